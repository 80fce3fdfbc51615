--- Where in a line of shell the %s of a format stand. A quoted word is safe only where the shell starts
--- reading a word: inside quotes of the format's own, `"%s"`, its quotes are text and the value is code.
--- A reader of POSIX sh good enough to tell these places apart; where it cannot be sure, it says so.
--- Knows sh's quoting; must not know how values are quoted.

local M = {}

local PROBLEM = {
  single = "inside single quotes",
  double = "inside double quotes",
  back = "inside backquotes; write $(...)",
  brace = "inside ${...}",
  arith = "inside an arithmetic expression",
  comment = "in a comment",
}

---@class sshlua.ShellReader
local Reader = {}
Reader.__index = Reader

local function new_reader(fmt)
  return setmetatable({ fmt = fmt, at = 1, stack = { "plain" }, word_start = true, backs = 0, found = {} }, Reader)
end

function Reader:top() return self.stack[#self.stack] end

function Reader:push(mode, length)
  self.stack[#self.stack + 1] = mode
  if mode == "back" then self.backs = self.backs + 1 end
  self.at = self.at + length
  self.word_start = true
end

function Reader:pop(length)
  if table.remove(self.stack) == "back" then self.backs = self.backs - 1 end
  self.at = self.at + length
  self.word_start = false
end

function Reader:skip(length)
  self.at = self.at + length
  self.word_start = false
end

function Reader:sees(text) return self.fmt:sub(self.at, self.at + #text - 1) == text end

function Reader:problem()
  if self.unsure then return self.unsure end
  if self.backs > 0 then return PROBLEM.back end
  local known = PROBLEM[self:top()]
  if known then return known end
  if self.at > 1 and self.fmt:sub(self.at - 1, self.at - 1) == "$" then return "right behind a $" end
  return nil
end

--- At a %: %% is a character, %s a place, anything else a mistake of the caller's.
function Reader:directive()
  if not self:sees("%%") then
    local directive = self.fmt:sub(self.at, self.at + 1)
    self.found[#self.found + 1] = { at = self.at, directive = directive, problem = self:problem(),
      before_redirect = self.fmt:find("^[<>]", self.at + 2) ~= nil }
  end
  self:skip(2)
end

function Reader:backslash()
  self:skip(1)
  if self:sees("%%") then return self:skip(2) end
  if not self:sees("%") then return self:skip(1) end
  self:directive()
  local found = self.found[#self.found]
  found.problem = found.problem or "right behind a backslash"
end

--- $(...), $((...)), ${...} and backquotes mean the same in plain text, in double quotes and in each other.
function Reader:expansion()
  if self:sees("$((") then return true, self:push("arith", 3) end
  if self:sees("$(") then return true, self:push("paren", 2) end
  if self:sees("${") then return true, self:push("brace", 2) end
  if not self:sees("`") then return false end
  if self:top() == "back" then return true, self:pop(1) end
  return true, self:push("back", 1)
end

--- The body of a here-document has rules of its own, and where it begins and ends is not worth knowing.
function Reader:here_document()
  if self:sees("<<<") then return self:skip(3) end
  self.unsure = "behind the << of a here-document"
  self:skip(2)
end

function Reader:plain(c)
  if c == "'" then return self:push("single", 1) end
  if c == '"' then return self:push("double", 1) end
  if self:sees("$'") then -- in some shells a backslash escapes the closing quote, in others not
    self.unsure = "behind a $'...' string, which shells read differently"
    return self:skip(1)
  end
  if self:expansion() then return end
  if self:sees("((") then return self:push("arith", 2) end
  if c == "(" then return self:push("paren", 1) end
  if c == ")" and self:top() == "paren" then return self:pop(1) end
  if c == "#" and self.word_start then return self:push("comment", 1) end
  if self:sees("<<") then return self:here_document() end
  if self.word_start and self:top() == "paren" and self.fmt:find("^case%s", self.at) then
    self.unsure = "behind a case inside parentheses"
  end
  self:skip(1)
  self.word_start = c:find("[%s;&|()]") ~= nil
end

local inside = {}

function inside.single(reader, c)
  if c == "'" then return reader:pop(1) end
  reader:skip(1)
end

function inside.comment(reader, c)
  if c ~= "\n" then return reader:skip(1) end
  reader:pop(0)
  reader:plain(c)
end

function inside.double(reader, c)
  if c == '"' then return reader:pop(1) end
  if not reader:expansion() then reader:skip(1) end
end

function inside.brace(reader, c)
  if c == "}" then return reader:pop(1) end
  if c == '"' then return reader:push("double", 1) end
  -- Inside "${...}" a single quote is text, else it quotes.
  if c == "'" and reader.stack[#reader.stack - 1] ~= "double" then return reader:push("single", 1) end
  if not reader:expansion() then reader:skip(1) end
end

function inside.arith(reader, c)
  if reader:sees("))") then return reader:pop(2) end
  if c == "(" then return reader:push("group", 1) end
  if not reader:expansion() then reader:skip(1) end
end

function inside.group(reader, c)
  if c == ")" then return reader:pop(1) end
  if c == "(" then return reader:push("group", 1) end
  if not reader:expansion() then reader:skip(1) end
end
PROBLEM.group = PROBLEM.arith

function Reader:step()
  local c, mode = self.fmt:sub(self.at, self.at), self:top()
  if c == "%" then return self:directive() end
  if c == "\\" and mode ~= "single" and mode ~= "comment" then return self:backslash() end
  local read = inside[mode]
  if read then return read(self, c) end
  return self:plain(c)
end

---@class sshlua.Directive
---@field at integer its column
---@field directive string "%s", or what stands there instead
---@field problem? string why a quoted word is not safe there: "inside double quotes"
---@field before_redirect boolean a < or > follows: a bare number would become a descriptor

--- The directives of a format in their order.
---@param fmt string
---@return sshlua.Directive[]
function M.directives(fmt)
  local reader = new_reader(fmt)
  while reader.at <= #fmt do reader:step() end
  return reader.found
end

return M
