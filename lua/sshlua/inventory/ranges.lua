--- Ansible's ranges in the names of an inventory: web[01:20:2], db-[a:f]. Knows names; must not know files.

local address = require("sshlua.hostset_address")
local model = require("sshlua.inventory.model")

local M = {}

local LETTERS = "abcdefghijklmnopqrstuvwxyz"
local MAX_DIGITS = 15

local function letters(from, to, step, where, text)
  local alphabet = from:find("%l") and LETTERS or LETTERS:upper()
  local low, high = alphabet:find(from, 1, true), alphabet:find(to, 1, true)
  if not low or not high then model.fail(where, "letters of two kinds in the range [%s]", text) end
  if low > high then model.fail(where, "reversed range [%s]", text) end
  local list = {}
  for i = low, high, step do list[#list + 1] = alphabet:sub(i, i) end
  return list
end

local function numbers(from, to, step, where, text)
  if #from > MAX_DIGITS or #to > MAX_DIGITS then model.fail(where, "more than %d digits in a range", MAX_DIGITS) end
  local low, high = tonumber(from), tonumber(to)
  local width = from:find("^0.") and #from or 0
  if width > 0 and #to ~= #from then model.fail(where, "different padding at the two ends of [%s]", text) end
  if low > high then model.fail(where, "reversed range [%s]", text) end
  if (high - low) / step >= model.MAX_HOSTS then model.fail(where, "too many hosts in [%s]", text) end
  local format, list = "%0" .. math.max(width, 1) .. ".0f", {}
  for n = low, high, step do list[#list + 1] = format:format(n) end
  return list
end

--- "1:20:2" or "a:f" between brackets.
local function values(text, where)
  local from, to, step = text:match("^(%w*):(%w+):?(%d*)$")
  if not from then model.fail(where, "a range is [from:to] or [from:to:step], not [%s]", text:sub(1, 60)) end
  if from == "" then from = "0" end
  if text:find(":$") or #step > MAX_DIGITS then model.fail(where, "a bad step in the range [%s]", text:sub(1, 60)) end
  step = tonumber(step) or 1
  if step == 0 then model.fail(where, "a step of 0 in the range [%s]", text) end
  if from:find("^%d+$") and to:find("^%d+$") then return numbers(from, to, step, where, text) end
  if from:find("^%a$") and to:find("^%a$") then return letters(from, to, step, where, text) end
  model.fail(where, "a range is of numbers or of single letters, not [%s]", text:sub(1, 60))
end

--- Calls visit(name) for each name that a pattern stands for.
---@param pattern string
---@param where string "file:line"
---@param visit fun(name: string)
function M.each(pattern, where, visit)
  if #pattern > 1024 then model.fail(where, "a name of %d bytes", #pattern) end
  local parts, at, total = {}, 1, 1
  while true do
    local open = pattern:find("[", at, true)
    if not open then break end
    local close = pattern:find("]", open, true)
    if not close then model.fail(where, "unclosed bracket in \"%s\"", pattern) end
    parts[#parts + 1] = pattern:sub(at, open - 1)
    local list = values(pattern:sub(open + 1, close - 1), where)
    parts[#parts + 1] = list
    total = total * #list
    if total > model.MAX_HOSTS then model.fail(where, "more than %d hosts in \"%s\"", model.MAX_HOSTS, pattern) end
    at = close + 1
  end
  parts[#parts + 1] = pattern:sub(at)
  local function descend(i, prefix)
    local part = parts[i]
    if part == nil then return visit(prefix) end
    if type(part) == "string" then return descend(i + 1, prefix .. part) end
    for _, value in ipairs(part) do descend(i + 1, prefix .. value) end
  end
  descend(1, "")
end

--- "name:2222" and "[::1]:2222" as name and port.
local function split_port(text, where)
  local head, digits = text:match("^(.+):(%d+)$")
  if not head then return text end
  if head:gsub("%[[^%[%]]*%]", ""):find("[:%[]") then return text end -- a bare IPv6 address; an open bracket
  local port = tonumber(digits)
  if #digits > 5 or port < 1 or port > 65535 then
    model.fail(where, "bad port \"%s\" (1 to 65535)", digits:sub(1, 20))
  end
  return head, port
end

--- Calls visit(name, port) for each host of a pattern as inventories write it: ranges, a port, IPv6 in brackets.
---@param pattern string
---@param where string "file:line"
---@param visit fun(name: string, port?: integer)
function M.hosts(pattern, where, visit)
  local text, port = split_port(pattern, where)
  local inside = text:match("^%[([%x:.]+)%]$")
  if inside and address.is_ipv6(inside) then return visit(inside, port) end
  if not text:find("[", 1, true) then return visit(text, port) end
  M.each(text, where, function(name) visit(name, port) end)
end

return M
