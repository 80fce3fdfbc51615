--- Lines that end a turn of a dialogue: prompts, pagers, questions. Tells from the last line of what has come whether
--- it is one. Pure; must not know channels.

local errors = require("sshlua.errors")
local expect = require("sshlua.expect")
local text_of = require("sshlua.shell_text")

local M = {}

local PAGERS = { "%-%-+%s*%(?[Mm]ore%)?[^\n]*%-%-+", "<%-+%s*[Mm]ore%s*%-+>", "%(END%)", "^:$", "[Pp]ress any key.*" }

--- A test of one line: line -> where the match begins and its branch, or nil. It has to reach to the end of the line.
---@param what any pattern, function, object with find, or a list of them
function M.test(what, level)
  if type(what) == "function" then
    return function(line)
      local from = what(line)
      return from and (type(from) == "number" and from or 1) or nil
    end
  end
  local set = expect.compile(what, nil, level + 1)
  return function(line)
    for _, branch in ipairs(set) do
      local from, to = branch.find(line)
      if from and not line:find("%S", to + 1) then return from, branch end
    end
  end
end

local function nothing() end

--- The same for lines that are answered; the branch's action is what is sent.
---@param pager boolean|string|table|nil
function M.pagers(pager, level)
  if pager == nil or pager == false then return nothing end
  local list = {}
  if type(pager) == "table" then
    for _, pattern in ipairs(pager) do list[#list + 1] = { pattern, " " } end
    for pattern, key in pairs(pager) do
      if type(pattern) == "string" then list[#list + 1] = { pattern, key } end
    end
  else
    for _, pattern in ipairs(pager == true and PAGERS or { pager }) do list[#list + 1] = { pattern, " " } end
  end
  if not list[1] then return nothing end
  for _, entry in ipairs(list) do
    if type(entry[2]) ~= "string" then errors.usage(level + 1, "option 'pager': what is sent must be a string") end
  end
  return M.test(list, level + 1)
end

--- A test that asks two.
function M.either(first, second)
  if first == nothing then return second end
  if second == nothing then return first end
  return function(line)
    local from, branch = first(line)
    if from then return from, branch end
    return second(line)
  end
end

local function find_line(self, text)
  local last = text:byte(-1)
  if last == 10 or last == nil then return nil end -- between lines: the usual case
  local line, at = text_of.last_line(text, expect.END_LOOK_BACK)
  local from, branch = self.is_pager(line)
  if from then return { from = at, to = #text, unsure = true, key = branch.action } end
  if not line:find("%S") then return nil end
  from = self.is_prompt(line)
  if not from then return nil end
  -- Where the prompt begins in what came: rendering may have shortened the line.
  local start = text:find(line:sub(from), at, true)
  return { from = start or at, to = #text, unsure = true, line = line }
end

--- What the listener waits for: a prompt or a pager of this shell at the end of what has come.
---@param self sshlua.Shell
function M.set(self)
  return { custom = function(text) return find_line(self, text) end, name = "the prompt" }
end

return M
