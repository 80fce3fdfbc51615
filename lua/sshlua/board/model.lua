--- What a board knows: events of fleets in, rows of hosts out, the failed and the slow ones first. Knows nothing of
--- screens and keys; asks no clock.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local tail = require("sshlua.board.tail")

local M = {}

--- What all hosts together keep of their output, and one at least and at most.
local KEPT, KEPT_MIN, KEPT_MAX = 16 * 1024 * 1024, 2048, 64 * 1024

--- In this order they are shown.
M.states = { "failed", "running", "queued", "ok", "skipped" }

---@class sshlua.board.Row
---@field name string
---@field state "failed"|"running"|"queued"|"ok"|"skipped"
---@field index integer
---@field target? table of the host; `phase` is how far connecting has come
---@field tail sshlua.board.Tail
---@field started? number
---@field ended? number
---@field step? string the verb under way
---@field word? string how it ended
---@field problem? string why it failed, cleaned
---@field share? number progress of a copy

---@class sshlua.board.Model
---@field rows sshlua.board.Row[]
---@field counts table<string, integer>
---@field widest integer columns of the longest name
---@field notice? string
---@field version integer another one: the order of rows has changed
local Model = {}
Model.__index = Model

---@param hosts sshlua.Host[]
---@return sshlua.board.Model
function M.new(hosts)
  local self = setmetatable({
    rows = {}, of = {}, by_name = {}, runs = {}, counts = {}, widest = 1, version = 0,
    lists = {}, fresh = {}, stale = {}, -- by state: in order; what has come since; has anybody gone?
    kept = math.max(KEPT_MIN, math.min(KEPT_MAX, math.floor(KEPT / math.max(#hosts, 1)))),
  }, Model)
  for _, state in ipairs(M.states) do
    self.lists[state], self.fresh[state], self.counts[state] = {}, {}, 0
  end
  for _, h in ipairs(hosts) do self:_row(h) end
  return self
end

--- Rows -------------------------------------------------------------------------------------------------------------

function Model:_row(h)
  local row = self.of[h.target]
  if row then return row end
  row = {
    name = errors.excerpt(h.name, 120), state = "queued", index = #self.rows + 1, target = h.target,
    tail = tail.new(self.kept),
  }
  self.rows[row.index], self.of[h.target] = row, row
  self.by_name[h.name] = self.by_name[h.name] or row
  self.widest = math.max(self.widest, core.width(row.name))
  self.counts.queued = self.counts.queued + 1
  self:_fresh(row)
  return row
end

--- Within their state: who failed first, who has been at it for longest, who took longest.
local keys = {
  failed = function(row) return row.ended end,
  running = function(row) return row.started end,
  ok = function(row) return row.started - row.ended end,
}

--- Its place is to be found when somebody looks.
function Model:_fresh(row)
  local key = keys[row.state]
  row.key, row.fresh = key and key(row) or row.index, true
  table.insert(self.fresh[row.state], row)
  self.version = self.version + 1
end

local function move(self, row, state)
  self.counts[row.state] = self.counts[row.state] - 1
  self.stale[row.state] = true
  row.state = state
  self.counts[state] = self.counts[state] + 1
  self:_fresh(row)
end

local function before(a, b)
  if a.key ~= b.key then return a.key < b.key end
  return a.index < b.index
end

--- Those that have come to the state since the last time, in order, each once.
local function arrivals(self, state)
  local list = {}
  for _, row in ipairs(self.fresh[state]) do
    if row.state == state and row.fresh then
      row.fresh = false
      list[#list + 1] = row
    end
  end
  self.fresh[state] = {}
  table.sort(list, before)
  return list
end

--- The rows of a state in their order. What was in order stays; the work is linear in what there is.
local function in_order(self, state)
  if not self.stale[state] and not self.fresh[state][1] then return self.lists[state] end
  local stay = {}
  for _, row in ipairs(self.lists[state]) do
    if row.state == state and not row.fresh then stay[#stay + 1] = row end
  end
  local come, list, i, j = arrivals(self, state), {}, 1, 1
  while stay[i] or come[j] do
    if not come[j] or stay[i] and before(stay[i], come[j]) then
      list[#list + 1], i = stay[i], i + 1
    else
      list[#list + 1], j = come[j], j + 1
    end
  end
  self.lists[state], self.stale[state] = list, false
  return list
end

--- Events -----------------------------------------------------------------------------------------------------------

local function begin(row, self, at)
  row.started, row.ended, row.word, row.problem, row.share = at, nil, nil, nil, nil
  row.tail.progress = nil
  move(self, row, "running")
end

local function said(row, bytes, stream)
  row.tail:feed(bytes, stream)
  row.tail:finish()
end

--- What is kept of a Result: nothing that holds its outputs.
local function outcome(row, r)
  local status = r:status()
  row.word = status == "exit" and "exit " .. tostring(r.code) or status == "signal" and "signal " ..
    errors.excerpt(tostring(r.signal), 12) or status
  if r.ok and row.tail.size == 0 and r.stdout ~= "" then said(row, r.stdout:sub(-4096), "stdout") end
  if r.err ~= nil then
    row.problem = errors.excerpt(errors.is(r.err) and r.err.message or r:problem() or status, 400)
  end
end

local function finish(row, self, at, r)
  row.ended, row.step = at, nil
  row.started = row.started or at
  row.tail:finish()
  outcome(row, r)
  local skipped = r:status() == "skipped" or r:status() == "cancelled"
  move(self, row, r.ok and "ok" or skipped and "skipped" or "failed")
end

local takers = {}

function takers.begin(self, e)
  self.runs[e.run] = e.hosts
  self.started = self.started or e.at
  for _, h in ipairs(e.hosts) do self:_row(h) end
end

local function of_run(self, e)
  local hosts = self.runs[e.run]
  local h = hosts and hosts[e.index]
  return h and self.of[h.target]
end

function takers.start(self, e)
  local row = of_run(self, e)
  if not row then return end
  row.run = e.run
  begin(row, self, e.at)
end

takers["end"] = function(self, e)
  local row = of_run(self, e)
  if not row then return end
  row.run = nil
  finish(row, self, e.at, e.result)
end

function takers.step(self, e)
  local row = self.of[e.target]
  if not row then return end
  if e.state == "start" then
    if not row.run then begin(row, self, e.at) end
    row.step = errors.excerpt(e.verb, 20)
  elseif row.run then
    row.step = nil
  else
    row.ended, row.step, row.word = e.at, nil, e.ok and "ok" or "failed"
    row.problem = not e.ok and errors.excerpt(tostring(e.result), 400) or nil
    move(self, row, e.ok and "ok" or "failed")
  end
end

function takers.output(self, e)
  local row = self.of[e.target]
  if row then row.tail:feed(e.bytes, e.stream) end
end

function takers.finish(self, e)
  for i, h in ipairs(self.runs[e.run] or {}) do
    local row, r = self.of[h.target], e.results[i]
    if row.state == "queued" and r.skipped then
      row.word, row.problem = "skipped", r.reason and errors.excerpt(tostring(r.reason)) or nil
      move(self, row, "skipped")
    end
  end
  self.runs[e.run] = nil
end

function takers.interrupted(self)
  self.notice = "interrupted: nothing new starts; ^C again cancels"
end

--- What a board has to hear of.
M.kinds = {}
for what in pairs(takers) do M.kinds[what] = true end

--- Takes an event of sshlua.events.
---@param event table
function Model:take(event)
  local take = takers[event.what]
  if take then take(self, event) end
end

--- How far a copy has come.
---@param event sshlua.TransferProgress
function Model:moved(event)
  local row = self.by_name[event.host]
  if not row then return end
  row.share = event.total > 0 and event.bytes / event.total or nil
  row.note = event.file and errors.excerpt(event.file) or nil
end

--- Looking ----------------------------------------------------------------------------------------------------------

--- Progress of a row, 0 to 1, or nil.
---@param row sshlua.board.Row
---@return number|nil
function M.share(row)
  if row.state ~= "running" then return nil end
  row.tail:last() -- looks at what is new
  return row.share or row.tail.progress
end

--- What a host does, or how it ended, in a word.
---@param row sshlua.board.Row
---@return string
function M.word(row)
  if row.state == "running" then return row.target.phase or row.step or "running" end
  return row.state == "queued" and "queued" or row.word or row.state
end

--- The line that says most: why it failed, else what it said last.
---@param row sshlua.board.Row
---@return string
function M.line(row)
  if row.state ~= "running" and row.problem then return row.problem end
  local last = row.tail:last()
  return last == "" and row.note or last
end

--- Rows in their order; of one state alone, and those whose name contains the text.
---@param state? string
---@param text? string
---@return sshlua.board.Row[] not to be changed
function Model:list(state, text)
  local key = ("%d %s %s"):format(self.version, state or "", text or "")
  if self.listed == key then return self.list_made end
  local list = {}
  for _, name in ipairs(M.states) do
    for _, row in ipairs((not state or name == state) and in_order(self, name) or {}) do
      if not text or row.name:find(text, 1, true) then list[#list + 1] = row end
    end
  end
  self.listed, self.list_made = key, list
  return list
end

return M
