--- One word of a host expression, parsed: the names it stands for, one after the other, and whether a name is among
--- them. Knows ranges and padding; must not know the text of expressions.

local M = {}

local MAX_RANGES = 16 -- a matcher looks at each
local MAX_SET = 16384 -- names that a matcher may keep in a table

---@class sshlua.HostRange
---@field low number
---@field high number
---@field step number
---@field width integer digits to pad to; 0: as they come
---@field count number

---@class sshlua.HostWord
---@field name? string a name without ranges; then there are no pieces
---@field pieces? (string|{ ranges: sshlua.HostRange[], count: number })[]
---@field count number
---@field user? string
---@field port? integer

--- Calls visit(prefix .. value .. suffix) for each value of a range. There may be millions: as long as values have
--- the same number of digits, padding is a matter of the prefix.
local function each_in_range(range, prefix, suffix, visit)
  local n, high, step, width = range.low, range.high, range.step, range.width
  if high >= 1e14 then -- LuaJIT would write it with an exponent
    local format = "%s%0" .. math.max(width, 1) .. ".0f%s"
    for m = n, high, step do visit(format:format(prefix, m, suffix)) end
    return
  end
  while n <= high do
    local digits = #("%d"):format(n)
    local front = prefix .. ("0"):rep(width - digits)
    local last = math.min(high, 10 ^ digits - 1)
    for m = n, last, step do visit(front .. m .. suffix) end
    n = n + (math.floor((last - n) / step) + 1) * step
  end
end

local function each_value(bracket, prefix, suffix, visit)
  for _, range in ipairs(bracket.ranges) do each_in_range(range, prefix, suffix, visit) end
end

--- Calls visit(name) for each name of a word, the last bracket counting fastest.
---@param word sshlua.HostWord
---@param visit fun(name: string)
function M.each(word, visit)
  local pieces = word.pieces
  if not pieces then return visit(word.name) end
  local function descend(i, prefix)
    while type(pieces[i]) == "string" do
      prefix = prefix .. pieces[i]
      i = i + 1
    end
    local bracket, suffix = pieces[i], type(pieces[i + 1]) == "string" and pieces[i + 1] or ""
    if not bracket then return visit(prefix) end
    local following = i + (suffix == "" and 1 or 2)
    if not pieces[following] then return each_value(bracket, prefix, suffix, visit) end
    each_value(bracket, prefix, suffix, function(longer) descend(following, longer) end)
  end
  descend(1, "")
end

--- Two words with different keys have no host in common: runs of digits are holes, and all names of a word have the
--- same holes.
---@param word sshlua.HostWord
---@return string
function M.key(word)
  local text = word.name
  if not text then
    local parts = {}
    for i, piece in ipairs(word.pieces) do parts[i] = type(piece) == "string" and piece or "0" end
    text = table.concat(parts)
  end
  text = text:gsub("%d+", "\0")
  if not (word.user or word.port) then return text end
  return (word.user or "") .. "@" .. text .. ":" .. (word.port or "")
end

local function by_low(a, b) return a.low < b.low end

local function overlap(ranges)
  if #ranges == 1 then return false end
  local sorted = {}
  for i, range in ipairs(ranges) do sorted[i] = range end
  table.sort(sorted, by_low)
  for i = 2, #sorted do
    if sorted[i].low <= sorted[i - 1].high then return true end
  end
  return false
end

--- True when text shows where the numbers of each bracket begin and end: no digit stands next to one.
local function apart(pieces)
  local digit_before = false
  for _, piece in ipairs(pieces) do
    if type(piece) == "string" then
      if digit_before == "bracket" and piece:find("^%d") then return false end
      digit_before = piece:find("%d$") and "text" or false
    elseif digit_before then
      return false
    else
      digit_before = "bracket"
    end
  end
  return true
end

--- False when no name can come twice, so that nothing has to be remembered.
---@param word sshlua.HostWord
---@return boolean
function M.may_repeat(word)
  if not word.pieces then return false end
  local brackets = 0
  for _, piece in ipairs(word.pieces) do
    if type(piece) == "table" then
      brackets = brackets + 1
      if overlap(piece.ranges) then return true end
    end
  end
  return brackets > 1 and not apart(word.pieces)
end

--- Is the text of a number one of the range's?
local function in_range(range, text, n)
  if n < range.low or n > range.high or (n - range.low) % range.step ~= 0 then return false end
  if #text > 1 and text:byte() == 48 then return #text == range.width end
  return #text >= range.width
end

local function in_bracket(bracket, text)
  local n = tonumber(text)
  for _, range in ipairs(bracket.ranges) do
    if in_range(range, text, n) then return true end
  end
  return false
end

--- Which captures fit which brackets; for one bracket, the usual case, without a table for each name.
local function fit(brackets, first, ...)
  if not first or not in_bracket(brackets[1], first) then return false end
  for i = 2, #brackets do
    if not in_bracket(brackets[i], (select(i - 1, ...))) then return false end
  end
  return true
end

local function by_set(word)
  local set = {}
  M.each(word, function(name) set[name] = true end)
  return function(name) return set[name] ~= nil end
end

--- A function that says whether a name is one of the word's; nil when only a large set could tell.
---@param word sshlua.HostWord
---@return (fun(name: string): boolean)|nil
function M.matcher(word)
  if word.count <= MAX_SET then return by_set(word) end
  local pieces = word.pieces
  if not apart(pieces) then return nil end
  local pattern, brackets = { "^" }, {}
  for _, piece in ipairs(pieces) do
    if type(piece) == "string" then
      pattern[#pattern + 1] = piece:gsub("[^%w\128-\255]", "%%%0")
    else
      if #piece.ranges > MAX_RANGES then return nil end
      brackets[#brackets + 1] = piece
      pattern[#pattern + 1] = "(%d+)"
    end
  end
  if #brackets > 20 then return nil end -- Lua's patterns have 32 captures
  local text = table.concat(pattern) .. "$"
  return function(name) return fit(brackets, name:match(text)) end
end

return M
