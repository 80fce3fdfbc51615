--- The grammar of host expressions: text to a list of words with their ranges, counted but not expanded.
--- Knows columns and what is wrong at them; must not know what becomes of the hosts.

local clean = require("sshlua.core").clean
local errors = require "sshlua.errors"

local M = {}

local MAX_DIGITS = 15 -- what a double, LuaJIT's only number, holds exactly
local MAX_NAME = 255

---@class sshlua.HostParser
---@field text string the expression
---@field at integer column of the next byte
local Parser = {}
Parser.__index = Parser

local function raise(kind, column, fmt, ...)
  local message = ("column %d: "):format(column) .. fmt:format(...)
  errors.raise { kind = kind, message = message, op = "hosts" }
end

local function fail(column, fmt, ...) raise("usage", column, fmt, ...) end

function Parser:byte() return self.text:sub(self.at, self.at) end

--- The word around a column, for messages.
function Parser:quoted(from, to) return '"' .. errors.excerpt(self.text:sub(from, to), 60) .. '"' end

--- Letters of any script may stand in names; what a terminal would not show as itself may not.
local function check_visible(text, column, what)
  if text:find("[\128-\255]") and clean(text) ~= text then
    fail(column, "invisible characters or bad UTF-8 in the %s \"%s\"", what, errors.excerpt(text, 60))
  end
end

-- ---- pieces of a word

--- "07" or "1-20" or "0-9/3" between two commas of a bracket.
function Parser:range(from, item)
  -- The length first: the pattern must not try its ways through a long run of digits.
  if #item > 3 * MAX_DIGITS + 2 then
    fail(from, "a range of %d bytes: %s", #item, self:quoted(from, from + #item - 1))
  end
  local low, dash, high, slash, step = item:match("^(%d+)(%-?)(%d*)(/?)(%d*)$")
  if not low or (dash == "") ~= (high == "") or (slash == "") ~= (step == "") then
    fail(from, "bad range %s (1-9, 01-20, 0-9/3 and 7 are good ones)", self:quoted(from, from + #item - 1))
  end
  if dash == "" and slash ~= "" then fail(from, "a step without a range in \"%s\"", item) end
  if #low > MAX_DIGITS or #high > MAX_DIGITS or #step > MAX_DIGITS then
    fail(from, "a number of more than %d digits in %s", MAX_DIGITS, self:quoted(from, from + #item - 1))
  end
  local width = low:find("^0.") and #low or 0
  if dash == "" then return { low = tonumber(low), high = tonumber(low), step = 1, width = width, count = 1.0 } end
  if high:find("^0.") and #high ~= #low then
    fail(from, "different padding at the two ends of \"%s\"", item)
  end
  local range = { low = tonumber(low), high = tonumber(high), step = tonumber(step) or 1, width = width }
  if range.step == 0 then fail(from, "a step of 0 in \"%s\"", item) end
  if range.high < range.low then fail(from, "reversed range \"%s\"", item) end
  range.count = math.floor((range.high - range.low) / range.step) + 1.0 -- a float: products must not wrap
  return range
end

--- At "[": its ranges, and past "]".
function Parser:bracket(word_at)
  local open = self.at
  local close = self.text:find("[%[%]]", open + 1)
  if not close then
    fail(open, "unclosed bracket in %s", self:quoted(word_at, (self.text:find(",", open, true) or 0) - 1))
  end
  if self.text:sub(close, close) == "[" then fail(close, "nested bracket in %s", self:quoted(word_at, close)) end
  if close == open + 1 then fail(open, "empty bracket in %s", self:quoted(word_at, close)) end
  local ranges, count, from = {}, 0.0, open + 1
  while from <= close do
    local comma = self.text:find(",", from, true)
    local stop = (comma and comma < close) and comma or close
    if stop == from then fail(from, "empty range in %s", self:quoted(word_at, close)) end
    local range = self:range(from, self.text:sub(from, stop - 1))
    ranges[#ranges + 1] = range
    count = count + range.count
    from = stop + 1
    if stop == close then break end
  end
  self.at = close + 1
  return { ranges = ranges, count = count }
end

local function valid_ipv4(s)
  if not s:find("^%d+%.%d+%.%d+%.%d+$") then return false end
  for byte in s:gmatch("%d+") do
    if #byte > 3 or tonumber(byte) > 255 then return false end
  end
  return true
end

--- How many 16-bit groups a piece of an IPv6 address has; nil when it is none.
local function ipv6_groups(part, may_end_in_ipv4)
  local n, ended = 0, false
  if part == "" then return 0 end
  for group in (part .. ":"):gmatch("([^:]*):") do
    if ended then return nil end
    if group:find("^%x%x?%x?%x?$") then
      n = n + 1
    elseif may_end_in_ipv4 and valid_ipv4(group) then
      n, ended = n + 2, true
    else
      return nil
    end
  end
  return n
end

--- RFC 4291 2.2, with a zone as in RFC 4007 11 ("fe80::1%eth0").
local function valid_ipv6(s)
  local address, zone = s:match("^([^%%]*)%%([%w._-]+)$")
  address = zone and address or s
  if #address > 45 then return false end
  local first, last = address:find("::", 1, true)
  if not first then return ipv6_groups(address, true) == 8 end
  local head, tail = ipv6_groups(address:sub(1, first - 1), false), ipv6_groups(address:sub(last + 1), true)
  return head ~= nil and tail ~= nil and head + tail <= 7
end

--- "[::1]" at the start of a host; nil when the bracket is a range.
function Parser:bracketed_ipv6()
  local close = self.text:find("]", self.at, true)
  local inside = close and self.text:sub(self.at + 1, close - 1)
  if not inside or not inside:find(":", 1, true) then return nil end
  if not valid_ipv6(inside) then fail(self.at, "%s is no IPv6 address", self:quoted(self.at, close)) end
  self.at = close + 1
  return inside
end

--- Later work, or no part of a name: said where it stands.
function Parser:refuse_char(word_at)
  local c = self:byte()
  if c:find("[!&^]") then
    fail(self.at, "the operator %s is not supported yet", c)
  elseif c == "@" then
    fail(self.at, "a user name cannot contain a range")
  elseif c == "]" then
    fail(self.at, "closing bracket without an opening one in %s", self:quoted(word_at, self.at))
  elseif c:find("%s") then
    fail(self.at, "a blank inside a host expression; a comma separates hosts")
  end
  fail(self.at, "%s cannot be part of a host name", self:quoted(self.at, self.at))
end

--- user@ in front of a word. The last @ counts, as for ssh: user names may contain one.
function Parser:user()
  local stop = (self.text:find("[,%[%]%s]", self.at) or #self.text + 1) - 1
  local word = self.text:sub(self.at, stop)
  local user = word:match("^(.*)@")
  if not user then return nil end
  if user == "" then
    fail(self.at, "groups (%s) are not supported yet", self:quoted(self.at, stop))
  end
  local bad = user:find("[^%w._@\\+$~=%%\128-\255-]") or user:find("^%-") or user:find("\\$")
  if bad then
    local column = self.at + bad - 1
    if user:sub(bad, bad):find("[!&^]") then
      fail(column, "the operator %s is not supported yet", user:sub(bad, bad))
    end
    fail(column, "%s cannot be part of a user name", self:quoted(column, column))
  end
  if #user > MAX_NAME then fail(self.at, "a user name of %d bytes; %d is the most", #user, MAX_NAME) end
  check_visible(user, self.at, "user name")
  self.at = self.at + #user + 1
  return user
end

function Parser:port()
  if self:byte() ~= ":" then return nil end
  local column = self.at
  local stop = (self.text:find("[,%s]", column) or #self.text + 1) - 1
  local digits = self.text:sub(column + 1, stop)
  local port = digits:find("^%d%d?%d?%d?%d?$") and tonumber(digits)
  if not port or port < 1 or port > 65535 then
    fail(column + 1, "bad port %s (1 to 65535)", self:quoted(column + 1, stop))
  end
  self.at = stop + 1
  return port
end

--- Text and brackets of a host name up to its port or end.
function Parser:pieces(word_at)
  local pieces, count = {}, 1.0
  while true do
    local text = self.text:match("^[%w._\128-\255-]+", self.at)
    if text then
      check_visible(text, self.at, "host name")
      pieces[#pieces + 1] = text
      self.at = self.at + #text
    elseif self:byte() == "[" then
      local column = self.at
      local bracket = self:bracket(word_at)
      pieces[#pieces + 1] = bracket
      count = count * bracket.count
      if self.total + count > self.limit then
        raise("limit", column, "%s names %.15g hosts; the limit is %d", self:quoted(word_at, self.at - 1),
          self.total + count, self.limit)
      end
    else
      return pieces, count
    end
    if #pieces > MAX_NAME then fail(word_at, "a host name of more than %d pieces", MAX_NAME) end
  end
end

--- An address like fe80::1 without brackets: no port, no ranges, all of the word.
function Parser:bare_ipv6()
  local stop = (self.text:find("[,%s]", self.at) or #self.text + 1) - 1
  local word = self.text:sub(self.at, stop)
  local _, colons = word:gsub(":", "")
  if colons < 2 then return nil end
  if not valid_ipv6(word) then
    fail(self.at, "more than one colon, and %s is no IPv6 address; [address]:port is the form with a port",
      self:quoted(self.at, stop))
  end
  self.at = stop + 1
  return word
end

--- One word: user@host[ranges]:port.
function Parser:word()
  local word_at = self.at
  if self:byte() == "^" then
    fail(self.at, "host files (%s) are not supported yet", self:quoted(self.at, #self.text))
  end
  local item = { user = self:user() }
  local host_at = self.at
  local address = self:byte() == "[" and self:bracketed_ipv6() or self:bare_ipv6()
  if address then
    item.pieces, item.count = { address }, 1
  else
    item.pieces, item.count = self:pieces(word_at)
    if type(item.pieces[1]) == "string" and item.pieces[1]:find("^%-") then
      fail(host_at, "a host name cannot start with a dash")
    end
  end
  item.port = self:port()
  local after = self:byte()
  if after ~= "" and after ~= "," and not self.text:find("^%s*,", self.at) and not self.text:find("^%s*$", self.at) then
    self:refuse_char(word_at)
  end
  if #item.pieces == 0 then fail(host_at, "a host name is missing") end
  item.column = word_at
  return item
end

--- All words of the expression, counted against the limit, nothing expanded yet.
function Parser:parse()
  local items = {}
  self.at = self.text:find("%S") or #self.text + 1
  if self.at > #self.text then fail(1, "the host expression is empty") end
  while true do
    if self:byte() == "," or self.at > #self.text then fail(self.at, "a host is missing at the comma") end
    local item = self:word()
    items[#items + 1] = item
    self.total = self.total + item.count
    if self.total > self.limit then
      raise("limit", item.column, "more hosts than the limit of %d", self.limit)
    end
    self.at = self.text:find("%S", self.at) or #self.text + 1
    if self.at > #self.text then return items end
    self.at = self.text:find("%S", self.at + 1) or #self.text + 1 -- past the comma
  end
end

---@class sshlua.HostRange
---@field low number
---@field high number
---@field step number
---@field width integer digits to pad to; 0: as they come

---@class sshlua.HostWord
---@field pieces (string|{ ranges: sshlua.HostRange[] })[]
---@field user? string
---@field port? integer
---@field column integer

--- The words of an expression. Raises kind usage naming the column, or kind limit.
---@param expression string
---@param limit integer how many hosts it may name
---@return sshlua.HostWord[]
function M.parse(expression, limit)
  return setmetatable({ text = expression, at = 1, total = 0, limit = limit }, Parser):parse()
end

return M
