--- What Tab completes in the interactive mode: globals, fields, methods. Looks at values without running any code of
--- theirs: a completion that connected somewhere would be a surprise.

local core = require("sshlua.core")

local M = {}

local KEYWORDS = {
  "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not",
  "or", "repeat", "return", "then", "true", "until", "while",
}
local DEPTH, MANY = 10, 300

--- The table in which a missing field of the value is looked for, if it is a table.
local function parent(value)
  local meta = debug.getmetatable(value)
  local index = type(meta) == "table" and rawget(meta, "__index")
  return type(index) == "table" and index or nil
end

local function get(value, key)
  for _ = 1, DEPTH do
    if type(value) == "table" and rawget(value, key) ~= nil then return rawget(value, key) end
    value = parent(value)
    if value == nil then return nil end
  end
end

local function add_names(found, t, prefix, methods)
  for key, value in next, t do
    if type(key) == "string" and key:find("^[%a_][%w_]*$") and key:sub(1, #prefix) == prefix
      and (not methods or type(value) == "function") and (key:sub(1, 1) ~= "_" or prefix ~= "") then
      found[key] = true
    end
  end
end

local function sorted(found)
  local list = {}
  for name in pairs(found) do list[#list + 1] = name end
  table.sort(list)
  return list
end

local function names_in(value, prefix, methods)
  local found = {}
  for _ = 1, DEPTH do
    if value == nil then break end
    if type(value) == "table" then add_names(found, value, prefix, methods) end
    value = parent(value)
  end
  return found
end

--- The names that may stand after `text`, and how much of them is there already.
---@param text string what stands before the cursor
---@return string[] names, string prefix
function M.names(text)
  local word = text:match("[%a_][%w_.:]*$") or ""
  local before = text:sub(1, #text - #word)
  if before:find("[%w_.:%])\"']$") then return {}, "" end -- part of something that only running would tell
  local path, sep, prefix = word:match("^(.*)([.:])([%w_]*)$")
  if not path then
    local found = names_in(_G, word, false)
    for _, keyword in ipairs(KEYWORDS) do
      if keyword:sub(1, #word) == word then found[keyword] = true end
    end
    return sorted(found), word
  end
  local value = _G
  for name in path:gmatch("[^.:]+") do
    value = get(value, name)
    if value == nil then return {}, "" end
  end
  return sorted(names_in(value, prefix, sep == ":")), prefix
end

local function common_start(names)
  local first, last = names[1], names[#names]
  local n = 0
  while n < #first and first:byte(n + 1) == last:byte(n + 1) do n = n + 1 end
  return first:sub(1, n)
end

local function columns(names)
  if #names > MANY then return ("%d possibilities"):format(#names) end
  local _, width = core.tty_size(1)
  local longest = 0
  for _, name in ipairs(names) do longest = math.max(longest, #name) end
  local per_line = math.max(1, math.floor((width or 80) / (longest + 2)))
  local lines, line = {}, {}
  for i, name in ipairs(names) do
    line[#line + 1] = name .. (" "):rep(longest + 2 - #name)
    if #line == per_line or i == #names then
      lines[#lines + 1] = (table.concat(line):gsub(" +$", ""))
      line = {}
    end
  end
  return table.concat(lines, "\n")
end

--- For the line editor: what to insert, what to show; nil for nothing.
---@param text string
---@return string|nil insert, string|nil show
function M.complete(text)
  if not text:find("%S") then return "  " end
  local names, prefix = M.names(text)
  if #names == 0 then return nil end
  local start = common_start(names)
  if #start > #prefix then return start:sub(#prefix + 1) end
  if #names > 1 then return nil, columns(names) end
end

return M
