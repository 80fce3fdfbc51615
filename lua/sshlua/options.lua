--- Checking of option tables: an unknown name or a wrong type is an error at the caller's line, never silence.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local trim = require("sshlua.trim")

local M = {}

--- How many letters differ, for "did you mean"; good enough for short names.
local function distance(a, b)
  local previous = {}
  for j = 0, #b do previous[j] = j end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + same)
    end
    previous = row
  end
  return previous[#b]
end

--- " (did you mean 'timeout'?)", or nothing.
local function suggestion(name, spec)
  if #name > 40 then return "" end
  local best, score = nil, 4
  for candidate in pairs(spec) do
    local d = distance(name, candidate)
    local better = d < score or (d == score and best and candidate < best)
    if better and 2 * d <= #name + 1 then best, score = candidate, d end
  end
  return best and (" (did you mean '%s'?)"):format(best) or ""
end

--- The same for a long option of a command line, "--timeout"; a short name has to be nearer.
---@param name string
---@param spec table<string, any> the options that there are
---@return string
function M.long_suggestion(name, spec)
  local near = {}
  for candidate in pairs(spec) do
    local long = #name <= 40 and candidate:find("^%-%-")
    if long and 2 * distance(name, candidate) < #name - 2 then near[candidate] = true end
  end
  return suggestion(name, near)
end

local checks = {
  seconds = function(v) return type(v) == "number" and v >= 0 end,
  count = function(v) return type(v) == "number" and v >= 1 and v % 1 == 0 end,
  port = function(v) return type(v) == "number" and v >= 1 and v <= 65535 and v % 1 == 0 end,
  list = function(v) return type(v) == "string" or type(v) == "table" end,
  secret = core.is_secret,
  any = function() return true end,
}

local function check_of(kind)
  if checks[kind] then return checks[kind] end
  if kind == "false" then return function(v) return v == false end end
  return function(v) return type(v) == kind end
end

local parsed = {} -- types with "|" -> their checks

local function parse(wanted)
  local list = {}
  for kind in wanted:gmatch("[^|]+") do list[#list + 1] = check_of(kind) end
  parsed[wanted] = list
  return list
end

local function fits(value, wanted)
  local list = parsed[wanted] or parse(wanted)
  for i = 1, #list do
    if list[i](value) then return true end
  end
  return false
end

--- Raises usage, `level` callers up, unless every option is in spec with a fitting type.
---@param opts table|nil
---@param spec table<string, string> name -> types with "|": Lua's, or seconds, count, port, list, any, false
---@param level integer as in error()
---@return table opts, never nil
function M.check(opts, spec, level)
  if opts == nil then return {} end
  if type(opts) ~= "table" then errors.usage(level + 1, "options table expected, got %s", type(opts)) end
  for name, value in pairs(opts) do
    local wanted = spec[name]
    if type(name) ~= "string" or not wanted then
      local hint = type(name) == "string" and suggestion(name, spec) or ""
      errors.usage(level + 1, "unknown option '%s'%s", tostring(name), hint)
    end
    if not fits(value, wanted) then
      errors.usage(level + 1, "option '%s': %s expected, got %s", name, (wanted:gsub("|", " or ")),
        type(value) == "table" and "table" or type(value) .. " " .. tostring(value))
    end
  end
  return opts
end

--- A shallow copy of the tables, later ones winning. What is none was given to the verb that calls this.
function M.merge(...)
  local out = {}
  for i = 1, select("#", ...) do
    local opts = (select(i, ...)) or {}
    if type(opts) ~= "table" then errors.usage(3, "options table expected, got %s", type(opts)) end
    for k, v in pairs(opts) do out[k] = v end
  end
  return out
end

--- "a,b" or {"a", "b"} or nil as a list.
function M.list(value)
  if value == nil or value == false then return {} end
  if type(value) == "table" then return value end
  local out = {}
  for item in value:gmatch("[^,]+") do out[#out + 1] = trim(item) end
  return out
end

return M
