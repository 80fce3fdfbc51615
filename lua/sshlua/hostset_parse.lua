--- The grammar of one word of a host expression: user@host[ranges]:port to its ranges, counted but not expanded.
--- Knows columns and what is wrong at them; must not know operators, groups and what becomes of the hosts.

local address = require "sshlua.hostset_address"
local clean = require("sshlua.core").clean
local errors = require "sshlua.errors"

local M = {}

local MAX_DIGITS = 15 -- what a double, LuaJIT's only number, holds exactly
local MAX_NAME = 255

---@class sshlua.HostParser
---@field text string the expression
---@field at integer column of the next byte
---@field total number hosts so far
---@field limit integer
---@field where? string in front of the column: which file or group the text is from
---@field select? boolean the grammar of inventories: ":" is ",", there are no ports
---@field globs? boolean "*" and "?" may stand in names
local Parser = {}
Parser.__index = Parser

--- Raises an error that points at a column.
---@param kind string
---@param column integer
---@param fmt string
function Parser:raise(kind, column, fmt, ...)
  local message = ("%scolumn %d: "):format(self.where or "", column) .. fmt:format(...)
  errors.raise { kind = kind, message = message, op = "hosts", column = column }
end

function Parser:fail(column, fmt, ...) self:raise("usage", column, fmt, ...) end

function Parser:byte() return self.text:sub(self.at, self.at) end

--- The word around a column, for messages.
function Parser:quoted(from, to) return '"' .. errors.excerpt(self.text:sub(from, to), 60) .. '"' end

--- Letters of any script may stand in names; what a terminal would not show as itself may not.
function Parser:check_visible(text, column, what)
  if text:find("[\128-\255]") and clean(text) ~= text then
    self:fail(column, "invisible characters or bad UTF-8 in the %s \"%s\"", what, errors.excerpt(text, 60))
  end
end

-- ---- pieces of a word

--- "07" or "1-20" or "0-9/3" between two commas of a bracket.
function Parser:range(from, item)
  -- The length first: the pattern must not try its ways through a long run of digits.
  if #item > 3 * MAX_DIGITS + 2 then
    self:fail(from, "a range of %d bytes: %s", #item, self:quoted(from, from + #item - 1))
  end
  local low, dash, high, slash, step = item:match("^(%d+)(%-?)(%d*)(/?)(%d*)$")
  if not low or (dash == "") ~= (high == "") or (slash == "") ~= (step == "") then
    self:fail(from, "bad range %s (1-9, 01-20, 0-9/3 and 7 are good ones)", self:quoted(from, from + #item - 1))
  end
  if dash == "" and slash ~= "" then self:fail(from, "a step without a range in \"%s\"", item) end
  if #low > MAX_DIGITS or #high > MAX_DIGITS or #step > MAX_DIGITS then
    self:fail(from, "a number of more than %d digits in %s", MAX_DIGITS, self:quoted(from, from + #item - 1))
  end
  local width = low:find("^0.") and #low or 0
  if dash == "" then
    return { low = tonumber(low), high = tonumber(low), step = 1, width = width, count = 1.0, length = #low }
  end
  if high:find("^0.") and #high ~= #low then
    self:fail(from, "different padding at the two ends of \"%s\"", item)
  end
  local range = { low = tonumber(low), high = tonumber(high), step = tonumber(step) or 1, width = width }
  if range.step == 0 then self:fail(from, "a step of 0 in \"%s\"", item) end
  if range.high < range.low then self:fail(from, "reversed range \"%s\"", item) end
  range.length = math.max(#low, #("%.0f"):format(range.high))
  range.count = math.floor((range.high - range.low) / range.step) + 1.0 -- a float: products must not wrap
  return range
end

--- At "[": its ranges, and past "]".
function Parser:bracket(word_at)
  local open = self.at
  local close = self.text:find("[%[%]]", open + 1)
  if not close then
    self:fail(open, "unclosed bracket in %s", self:quoted(word_at, (self.text:find(",", open, true) or 0) - 1))
  end
  if self.text:sub(close, close) == "[" then self:fail(close, "nested bracket in %s", self:quoted(word_at, close)) end
  if close == open + 1 then self:fail(open, "empty bracket in %s", self:quoted(word_at, close)) end
  local ranges, count, length, from = {}, 0.0, 0, open + 1
  while from <= close do
    local comma = self.text:find(",", from, true)
    local stop = (comma and comma < close) and comma or close
    if stop == from then self:fail(from, "empty range in %s", self:quoted(word_at, close)) end
    local range = self:range(from, self.text:sub(from, stop - 1))
    ranges[#ranges + 1] = range
    count = count + range.count
    length = math.max(length, range.length)
    from = stop + 1
    if stop == close then break end
  end
  self.at = close + 1
  return { ranges = ranges, count = count, length = length }
end

--- "[::1]" at the start of a host; nil when the bracket is a range.
function Parser:bracketed_ipv6()
  local close = self.text:find("]", self.at, true)
  local inside = close and self.text:sub(self.at + 1, close - 1)
  if not inside or not inside:find(":", 1, true) then return nil end
  if not address.is_ipv6(inside) then self:fail(self.at, "%s is no IPv6 address", self:quoted(self.at, close)) end
  self.at = close + 1
  return inside
end

--- No part of a name: said where it stands.
function Parser:refuse_char(word_at)
  local c = self:byte()
  if c == "@" then
    self:fail(self.at, "a user name cannot contain a range")
  elseif c == "]" then
    self:fail(self.at, "closing bracket without an opening one in %s", self:quoted(word_at, self.at))
  elseif c:find("%s") then
    self:fail(self.at, "a blank inside a host expression; a comma separates hosts")
  end
  self:fail(self.at, "%s cannot be part of a host name", self:quoted(self.at, self.at))
end

--- Bytes at which a word ends, for string.find.
function Parser:ends() return self.select and "[,!&^%s:]" or "[,!&^%s]" end

--- user@ in front of a word. The last @ counts, as for ssh: user names may contain one.
function Parser:user()
  local stop = (self.text:find(self.select and "[,!&^%[%]%s:]" or "[,!&^%[%]%s]", self.at) or #self.text + 1) - 1
  local word = self.text:sub(self.at, stop)
  local user = word:match("^(.*)@")
  if not user then return nil end
  local bad = user:find("[^%w._@\\+$~=%%\128-\255-]") or user:find("^[-@]") or user:find("[\\@]$")
  if bad or user == "" then
    local column = self.at + (bad or 1) - 1
    self:fail(column, "%s cannot be part of a user name", self:quoted(column, column))
  end
  if #user > MAX_NAME then self:fail(self.at, "a user name of %d bytes; %d is the most", #user, MAX_NAME) end
  self:check_visible(user, self.at, "user name")
  self.at = self.at + #user + 1
  return user
end

function Parser:port()
  if self.select or self:byte() ~= ":" then return nil end
  local column = self.at
  local stop = (self.text:find("[,!&^%s]", column) or #self.text + 1) - 1
  local digits = self.text:sub(column + 1, stop)
  local port = digits:find("^%d%d?%d?%d?%d?$") and tonumber(digits)
  if not port or port < 1 or port > 65535 then
    self:fail(column + 1, "bad port %s (1 to 65535)", self:quoted(column + 1, stop))
  end
  self.at = stop + 1
  return port
end

--- Text and brackets of a name up to its port or end, and how many names that is. `class`: the bytes of text.
function Parser:pieces(word_at, class)
  local pieces, count, length = {}, 1.0, 0
  local pattern = "^[" .. class .. "]+"
  while true do
    local text = self.text:match(pattern, self.at)
    if text then
      self:check_visible(text, self.at, "host name")
      pieces[#pieces + 1] = text
      self.at = self.at + #text
      length = length + #text
    elseif self:byte() == "[" then
      local column = self.at
      local bracket = self:bracket(word_at)
      pieces[#pieces + 1] = bracket
      count = count * bracket.count
      length = length + bracket.length
      if self.total + count > self.limit then
        self:raise("limit", column, "%s names %.15g hosts; the limit is %d", self:quoted(word_at, self.at - 1),
          self.total + count, self.limit)
      end
    else
      break
    end
    if #pieces > MAX_NAME then self:fail(word_at, "a host name of more than %d pieces", MAX_NAME) end
  end
  if length > MAX_NAME then self:fail(word_at, "a host name of %d bytes; %d is the most", length, MAX_NAME) end
  return pieces, count
end

--- An address like fe80::1 without brackets: no port, no ranges, all of the word.
function Parser:bare_ipv6()
  if self.select then return nil end
  local stop = (self.text:find("[,!&^%s]", self.at) or #self.text + 1) - 1
  local word = self.text:sub(self.at, stop)
  local _, colons = word:gsub(":", "")
  if colons < 2 then return nil end
  if not address.is_ipv6(word) then
    self:fail(self.at, "more than one colon, and %s is no IPv6 address; [address]:port is the form with a port",
      self:quoted(self.at, stop))
  end
  self.at = stop + 1
  return word
end

--- One word: user@host[ranges]:port.
---@return sshlua.HostWord
function Parser:word()
  local word_at = self.at
  if self.text:find("^%a+://", word_at) then
    self:fail(word_at, "a URI is not taken here; [user@]host[:port] is the form")
  end
  local word = { user = self:user() }
  local host_at = self.at
  word.name = self:byte() == "[" and self:bracketed_ipv6() or self:bare_ipv6()
  word.count, word.column = 1, word_at
  if not word.name then
    local pieces, count = self:pieces(word_at, self.globs and "%w._*?\128-\255-" or "%w._\128-\255-")
    if type(pieces[1]) == "string" and pieces[1]:find("^%-") then
      self:fail(host_at, "a host name cannot start with a dash")
    end
    if #pieces == 1 and type(pieces[1]) == "string" then
      word.name = pieces[1]
    else
      word.pieces, word.count = pieces, count
    end
  end
  word.port = self:port()
  local after = self:byte()
  if after ~= "" and not after:find(self:ends()) then self:refuse_char(word_at) end
  if word.pieces and #word.pieces == 0 then self:fail(host_at, "a host name is missing") end
  if self.total + word.count > self.limit then
    self:raise("limit", word_at, "more hosts than the limit of %d", self.limit)
  end
  return word
end

--- Past blanks; returns the byte there, "" at the end.
function Parser:skip_blanks()
  self.at = self.text:find("%S", self.at) or #self.text + 1
  return self:byte()
end

---@param fields table text and limit, and what else a parser knows
---@return sshlua.HostParser
function M.new(fields)
  fields.at, fields.total = 1, 0
  return setmetatable(fields, Parser)
end

return M
