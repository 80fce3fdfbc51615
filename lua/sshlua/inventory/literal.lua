--- Values of INI inventories: what is a Python literal becomes its value, everything else is text, as Ansible has it.
--- Knows the spelling of literals only.

local core = require("sshlua.core")

local M = {}

local MAX_DEPTH = 20
local null = core.json_null

local Reader = {}
Reader.__index = Reader

function Reader:skip() self.at = self.text:find("%S", self.at) or #self.text + 1 end

function Reader:take(pattern)
  local found = self.text:match("^" .. pattern, self.at)
  if found then self.at = self.at + #found end
  return found
end

local escapes = { n = "\n", t = "\t", r = "\r", ["\\"] = "\\", ["'"] = "'", ['"'] = '"', a = "\a", b = "\b", f = "\f",
  v = "\v", ["0"] = "\0" }

function Reader:string(quote)
  self.at = self.at + 1
  local parts = {}
  while true do
    local plain = self:take("[^\\'\"]+")
    local c = self.text:sub(self.at, self.at)
    parts[#parts + 1] = plain
    if c == "" then return false end
    self.at = self.at + 1
    if c == quote then return true, table.concat(parts) end
    if c == "\\" then
      local e = self.text:sub(self.at, self.at)
      local hex = e == "x" and self.text:match("^x(%x%x)", self.at)
      parts[#parts + 1] = hex and string.char(tonumber(hex, 16)) or escapes[e] or "\\" .. e
      self.at = self.at + (hex and 3 or 1)
    else
      parts[#parts + 1] = c
    end
  end
end

local function number(text)
  local sign, digits = text:match("^([+-]?)(.*)$")
  digits = digits:gsub("(%w)_(%w)", "%1%2")
  local n
  if digits:find("^0[xX]%x+$") then
    n = tonumber(digits)
  elseif digits:find("^0[oO][0-7]+$") then
    n = tonumber(digits:sub(3), 8)
  elseif digits:find("^0[bB][01]+$") then
    n = tonumber(digits:sub(3), 2)
  elseif digits:find("^[1-9]%d*$") and #digits <= 15 or digits:find("^0+$") then
    n = tonumber(digits)
  elseif digits:find("[.eE]") and digits:find("^%.?%d[%d.eE+-]*$") then
    n = tonumber(digits)
  end
  if not n then return false end
  return true, sign == "-" and -n or n
end

--- Items up to the closing byte; add(list) reads one.
function Reader:items(close, depth, add)
  local list = {}
  self.at = self.at + 1
  while true do
    self:skip()
    if self:take("%" .. close) then return true, list end
    if not add(list, depth) then return false end
    self:skip()
    if not self:take(",") and self.text:sub(self.at, self.at) ~= close then return false end
  end
end

local words = { True = true, False = false, None = null }

function Reader:value(depth)
  if depth > MAX_DEPTH then return false end
  self:skip()
  local c = self.text:sub(self.at, self.at)
  if c == "'" or c == '"' then return self:string(c) end
  if c == "[" or c == "(" then
    local ok, list = self:items(c == "[" and "]" or ")", depth, function(list)
      local good, value = self:value(depth + 1)
      list[#list + 1] = value
      return good
    end)
    return ok, ok and setmetatable(list, core.json_array) or nil
  elseif c == "{" then
    local ok, map = self:items("}", depth, function(map)
      local good, key = self:value(depth + 1)
      self:skip()
      if not good or type(key) == "table" or key == null or not self:take(":") then return false end
      local fine, value = self:value(depth + 1)
      map[key] = value
      return fine
    end)
    return ok, ok and setmetatable(map, core.json_object) or nil
  end
  local word = self:take("[%w+-][%w._+-]*") or self:take("%.%d[%w+-]*")
  if not word then return false end
  if words[word] ~= nil then return true, words[word] end
  return number(word)
end

--- The value of a text: a number, boolean, null, string, list or map when it is a literal of Python, else the text.
---@param text string
---@return any
function M.value(text)
  local first = text:sub(1, 1)
  if not first:find("[%d%[({'\"TFN.+-]") or #text > 65536 then return text end
  local reader = setmetatable({ text = text, at = 1 }, Reader)
  local ok, value = reader:value(0)
  reader:skip()
  if not ok or reader.at <= #text then return text end
  return value
end

return M
