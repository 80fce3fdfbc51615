--- Asking a person about host keys that nobody knows: hosts that come up at the same time are asked about once,
--- together.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local scope = require("sshlua.task.scope")
local show = require("sshlua.hostkey_show")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")
local trim = require("sshlua.trim")

local M = {}

--- A question waits for others: until nothing has happened for QUIET seconds, GATHER seconds at most.
local QUIET, GATHER = 0.3, 3
local LISTED = 200

---@class sshlua.HostKeyQuestion
---@field name string the host, for people
---@field blob string a plain key
---@field art? boolean show random art
---@field hash? "sha256"|"md5"
---@field note? string more to say
---@field done sshlua.Event
---@field answer? boolean

local waiting = {} -- questions that nobody is asking yet
local leading = false -- is a task gathering, or asking?
local stopped = false -- somebody has said stop: no more questions in this process
local stirred = 0 -- when something last happened that may lead to a question

--- A handshake has begun or gone on: a question may be about to come.
function M.stir() stirred = core.now() end

local function single(q)
  local lines = {
    ("The authenticity of host '%s' can't be established."):format(core.clean(q.name)),
    ("%s key fingerprint is %s."):format(core.key_type(q.blob) or "?", show.fingerprint(q.blob, q.hash)),
  }
  if q.art then lines[#lines + 1] = show.randomart(q.blob, q.hash) end
  if q.note then lines[#lines + 1] = q.note end
  lines[#lines + 1] = "Are you sure you want to continue connecting (yes/no/fingerprint)? "
  return table.concat(lines, "\n")
end

local function several(list)
  local lines = { ("The authenticity of these %d hosts can't be established:"):format(#list) }
  for i, q in ipairs(list) do
    lines[#lines + 1] = ("%4d  %-24s %s %s"):format(i, core.clean(q.name), show.kind(q.blob),
      show.fingerprint(q.blob, q.hash))
    if q.art then lines[#lines + 1] = show.randomart(q.blob, q.hash) end
    if q.note then lines[#lines + 1] = "      " .. q.note end
  end
  lines[#lines + 1] = "Accept them (yes: all; numbers: those, as in 1,3-5; no: none; stop: none, and ask no more)? "
  return table.concat(lines, "\n")
end

--- "1,3-5" -> set; nil: not understood.
local function numbers(text, max)
  local chosen = {}
  for word in text:gmatch("[^,%s]+") do
    local a, b = word:match("^(%d+)%-(%d+)$")
    a, b = tonumber(a or word:match("^%d+$")), tonumber(b or word:match("^%d+$"))
    if not a or a < 1 or b > max or a > b then return nil end
    for i = a, b do chosen[i] = true end
  end
  return next(chosen) and chosen or nil
end

local function prompt(text) return task.await(core.tty_prompt, { prompt = text, echo = true }) end

local function ask_single(q)
  local text = single(q)
  for _ = 1, 3 do
    local answer = trim(prompt(text))
    local word = answer:lower()
    q.answer = word == "yes" or answer == show.fingerprint(q.blob, q.hash)
    if q.answer or word == "no" or answer:find("^%u%w*:") then return end -- another fingerprint is a no
    text = "Please type 'yes', 'no' or the fingerprint: "
  end
end

local function ask_several(list)
  local text = several(list)
  for _ = 1, 3 do
    local answer = trim(prompt(text)):lower()
    local chosen = numbers(answer, #list)
    if answer == "yes" or answer == "no" or answer == "stop" or chosen then
      for i, q in ipairs(list) do q.answer = answer == "yes" or (chosen ~= nil and chosen[i] == true) end
      stopped = answer == "stop"
      return
    end
    text = "Please type yes, no, stop, or numbers as in 1,3-5: "
  end
end

local function gather()
  local before = core.now()
  M.stir()
  while true do
    local now = core.now()
    local left = math.min(stirred + QUIET, before + GATHER) - now
    if left <= 0 or #waiting >= LISTED then return end
    scope.sleep(math.max(left, 0.01))
  end
end

local function take()
  local list = {}
  while waiting[1] and #list < LISTED do list[#list + 1] = table.remove(waiting, 1) end
  return list
end

--- The first to come asks for all; those who come while it asks are asked about when it has its answers.
local function lead()
  gather()
  while waiting[1] do
    local list = take()
    local ok, err = true, nil
    if not stopped then
      if list[2] then ok, err = pcall(ask_several, list) else ok, err = pcall(ask_single, list[1]) end
    end
    for _, q in ipairs(list) do
      if not ok then q.failure = err end
      q.done:set()
    end
  end
end

--- Asks, or joins a question. True: accepted. Raises kind io where there is no terminal.
---@param question table name, blob, art, hash, note
---@return boolean
function M.ask(question)
  local q = question
  q.done = sync.event()
  waiting[#waiting + 1] = q
  M.stir()
  if leading then
    q.done:wait()
  else
    leading = true
    local ok, err = pcall(lead)
    leading = false
    if not ok then
      for _, other in ipairs(take()) do
        other.failure = err
        other.done:set()
      end
      if not q.answer then error(err, 0) end
    end
  end
  if q.failure then
    if errors.is(q.failure, "cancelled") then
      errors.raise({ kind = "hostkey", reason = "unknown", message = "the question about the host key was cancelled" })
    end
    error(q.failure, 0)
  end
  return q.answer == true
end

return M
