--- What the lines of a journal or of a cassette tell: hosts by name, with their steps in order. Lines come from a file
--- that anybody may have changed: what does not have the right form is refused here, by its line.

local errors = require("sshlua.errors")
local journal_file = require("sshlua.journal_file")

local M = {}

---@class sshlua.PastStep
---@field start table its line
---@field finish? table
---@field from integer the place of `start` in the file
---@field till? integer that of `finish`

---@class sshlua.Past
---@field what "journal"|"cassette"
---@field path string
---@field head table the first line
---@field last? table
---@field hosts table<string, { steps: table<integer, sshlua.PastStep>, last: integer, outcome?: table }>
---@field names string[] of the hosts, as they came
---@field size integer of the lines that are whole

--- A past without lines.
---@return sshlua.Past
function M.new() return { hosts = {}, names = {} } end

---@param past sshlua.Past
---@param name string
function M.host(past, name)
  local one = past.hosts[name]
  if not one then
    one = { steps = {}, last = 0 }
    past.hosts[name] = one
    past.names[#past.names + 1] = name
  end
  return one
end

local function is_list_of_words(list)
  if type(list) ~= "table" then return false end
  for _, word in pairs(list) do
    if type(word) ~= "string" and type(word) ~= "number" then return false end
  end
  return true
end

local function optional(value, kind) return value == nil or type(value) == kind end

local right = {
  start = function(line)
    return type(line.op) == "string" and type(line.digest) == "string" and is_list_of_words(line.argv)
      and optional(line.with, "table")
  end,
  ["end"] = function(line)
    return type(line.state) == "string" and optional(line.error, "table") and optional(line.fields, "table")
      and optional(line.code, "number") and optional(line.signal, "string") and optional(line.arrived, "table")
      and optional(line.timing, "table") and optional(line.talk, "table") and optional(line.refused, "table")
      and (not line.error or type(line.error.message) == "string")
  end,
  host = function() return true end,
}

local take = {
  start = function(past, line, i)
    local one = M.host(past, line.host)
    one.steps[line.step] = { start = line, from = i }
    one.last = math.max(one.last, line.step)
  end,
  ["end"] = function(past, line, i)
    local step = M.host(past, line.host).steps[line.step]
    if step then step.finish, step.till = line, i end
  end,
  host = function(past, line) M.host(past, line.host).outcome = line end,
}

local function refuse(past, fmt, ...)
  errors.raise({ kind = "config", op = past.what, message = past.path .. ": " .. fmt:format(...) })
end

local function take_line(past, line, i)
  local act = take[line.type]
  if not act then return end
  local numbered = line.type == "host" or type(line.step) == "number" and line.step >= 1 and line.step % 1 == 0
  if type(line.host) ~= "string" or not numbered or not right[line.type](line) then
    refuse(past, "line %d is no %s of a step", i, line.type)
  end
  act(past, line, i)
end

--- Raises kind io when it cannot be read, config when it is something else.
---@param path string
---@param what "journal"|"cassette"
---@param version integer
---@return sshlua.Past
function M.read(path, what, version)
  local lines, size = journal_file.read(path, what)
  local past = M.new()
  past.what, past.path, past.head, past.last, past.size = what, path, lines[1], lines[#lines], size
  if not past.head or past.head.type ~= what then refuse(past, "not a %s of sshlua", what) end
  if past.head.v ~= version then
    refuse(past, "a %s of version %s; this is %d", what, errors.excerpt(tostring(past.head.v), 20), version)
  end
  for i, line in ipairs(lines) do take_line(past, line, i) end
  return past
end

return M
