--- The steps on a cassette, and which of them is played next. Each host has its own order; steps that were under way at
--- the same time on a host may come in any order. Pure but for reading the file.

local entry = require("sshlua.journal_entry")
local errors = require("sshlua.errors")
local hostset = require("sshlua.hostset")
local past_of = require("sshlua.journal_past")

local M = {}

M.VERSION = 2

---@class sshlua.Tape
---@field path string
---@field names string[] of the hosts
---@field seconds number that the recording took
---@field hosts table<string, { list: sshlua.PastStep[], first: integer, overlaps: boolean }>
local Tape = {}
Tape.__index = Tape

local function refuse(path, fmt, ...)
  errors.raise({ kind = "config", op = "cassette", message = path .. ": " .. fmt:format(...),
    hint = "SSHLUA_CASSETTE=record records it anew" })
end

--- Steps in the order in which they began.
local function order(past, one)
  local list, overlaps, till = {}, false, 0
  for _, step in pairs(one.steps) do list[#list + 1] = step end
  table.sort(list, function(a, b) return a.from < b.from end)
  for _, step in ipairs(list) do
    if not step.finish then refuse(past.path, "step %d of %s has no end", step.start.step, step.start.host) end
    overlaps = overlaps or step.from < till
    till = math.max(till, step.till)
  end
  return { list = list, first = 1, overlaps = overlaps }
end

--- Raises kind io or config when it cannot be played.
---@param path string
---@return sshlua.Tape
function M.load(path)
  local ok, past = pcall(past_of.read, path, "cassette", M.VERSION)
  if not ok then error(errors.wrap(past, { hint = "SSHLUA_CASSETTE=record records it anew" }), 0) end
  local self, count = setmetatable({ path = path, names = past.names, hosts = {} }, Tape), 0
  if past.last.type ~= "cassette_end" then refuse(path, "cut short: its last line is missing") end
  for name, one in pairs(past.hosts) do
    self.hosts[name] = order(past, one)
    count = count + #self.hosts[name].list
  end
  local from, till = past.head.at, past.last.at
  self.seconds = type(from) == "number" and type(till) == "number" and math.max(till - from, 0) or 0
  if past.last.steps ~= count then
    refuse(path, "%d steps are there, its last line says %s", count, tostring(past.last.steps))
  end
  return self
end

--- Playing ------------------------------------------------------------------------------------------------------------

local function is_same(step, line) return step.start.digest == line.digest and step.start.content == line.content end

--- Calls fn(step) for the steps whose turn it is, until it returns true: all that began before the first of them ended.
local function each_due(one, fn)
  local till = math.huge
  for i = one.first, #one.list do
    local step = one.list[i]
    if step.from > till then return end
    if not step.played then
      if fn(step) then return end
      till = math.min(till, step.till)
    end
  end
end

local function play(one, step)
  step.played = true
  while one.list[one.first] and one.list[one.first].played do one.first = one.first + 1 end
  return step
end

local function find(one, fits)
  for i = one.first, #one.list do
    if not one.list[i].played and fits(one.list[i]) then return one.list[i] end
  end
end

--- The step that answers this one, marked as played; or nil, and true when it is there but not in its turn yet.
---@param line table entry.start's, and content
---@return sshlua.PastStep|nil
---@return boolean? later
function Tape:take(line)
  local one, found = self.hosts[line.host], nil
  if not one then return nil, false end
  each_due(one, function(step)
    if is_same(step, line) then found = step end
    return found ~= nil
  end)
  if found then return play(one, found) end
  return nil, one.overlaps and find(one, function(step) return is_same(step, line) end) ~= nil
end

--- Saying what is wrong -----------------------------------------------------------------------------------------------

--- What the two steps say about one option, as far as they differ.
local function difference(old, new)
  local names, parts = {}, {}
  for name in pairs(old.with or {}) do names[#names + 1] = name end
  for name in pairs(new.with or {}) do
    if not (old.with or {})[name] then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local before, now = (old.with or {})[name], (new.with or {})[name]
    if before ~= now then
      parts[#parts + 1] = ("%s was %s, is %s"):format(name, errors.excerpt(tostring(before or "not given"), 60),
        errors.excerpt(tostring(now or "not given"), 60))
    end
  end
  if old.content ~= new.content then parts[#parts + 1] = "the local files have another content" end
  return parts[1] and table.concat(parts, "; ") or "its arguments were others"
end

local function named(step) return ("%s (step %d)"):format(entry.label(step.start), step.start.step) end

--- How much two labels have in common, at their beginnings and ends.
local function likeness(a, b)
  local n, m = 0, 0
  while n < #a and a:byte(n + 1) == b:byte(n + 1) do n = n + 1 end
  while m < #a - n and a:byte(#a - m) == b:byte(#b - m) do m = m + 1 end
  return n + m
end

local function nearest(one, line)
  local best, points, label = nil, 0, entry.label(line)
  for _, step in ipairs(one.list) do
    local n = likeness(entry.label(step.start), label)
    if not step.played and step.start.op == line.op and n > points then best, points = step, n end
  end
  return best
end

local function against(one, line)
  local label = entry.label(line)
  local next_step = find(one, function() return true end)
  if not next_step then return ("all its %d steps have been played"):format(#one.list) end
  local same = find(one, function(step) return entry.label(step.start) == label end)
  if same and not is_same(same, line) then
    return ("step %d differs: %s"):format(same.start.step, difference(same.start, line))
  end
  local near = nearest(one, line)
  local text = "next is " .. named(next_step)
  return near and near ~= next_step and ("%s, nearest %s"):format(text, named(near)) or text
end

--- In one line why `line` cannot be played.
---@param line table
---@return string
function Tape:problem(line)
  local one = self.hosts[line.host]
  local why
  if one then
    why = against(one, line)
  else
    why = #self.names == 0 and "it has no steps" or "it has nothing of that host, but of "
      .. errors.excerpt(hostset.fold(self.names), 80)
  end
  return ("not on the cassette %s: %s; %s"):format(self.path, entry.label(line), why)
end

--- Did the server refuse that variable on any channel?
---@param name string the host's
---@param variable string
---@return boolean
function Tape:refuses(name, variable)
  for _, step in ipairs(self.hosts[name] and self.hosts[name].list or {}) do
    for _, one in ipairs(step.finish.refused or {}) do
      if one == variable then return true end
    end
  end
  return false
end

--- What of a step is left: all of it, or what was sent then and has not been sent.
local function rest_of(step)
  if not step.played then return named(step) end
  local left = step.left and step.left()
  return left and ("%s from %s on"):format(named(step), left) or nil
end

--- In one line what was recorded and has not been played; nil: nothing.
---@return string?
function Tape:left_over()
  local parts, count = {}, 0
  for _, name in ipairs(self.names) do
    for _, step in ipairs(self.hosts[name].list) do
      local rest = rest_of(step)
      if rest then
        count = count + 1
        if count <= 3 then parts[count] = name .. ": " .. rest end
      end
    end
  end
  if count == 0 then return nil end
  return ("%s: %d step%s recorded and not played: %s%s"):format(self.path, count, count == 1 and "" or "s",
    table.concat(parts, ", "), count > 3 and ", ..." or "")
end

return M
