--- What terminals are sent, as text: control sequences taken out of a stream, lines as a person would see them, the
--- echo of a command found again. Pure; must not know channels.

local M = {}

local HELD_MAX = 4096
local ERASE = "\24" -- stands for "erase to the end of the line" between the stripper and the renderer
M.ERASE = ERASE

--- Control sequences ---------------------------------------------------------------------------------------------

--- ECMA-48: ESC [ parameters final. What moves or erases within a line is kept in a form the renderer knows.
local function control_sequence(parameters, final)
  if final == "K" and (parameters == "" or parameters == "0") then return ERASE end
  if final == "K" and parameters == "2" then return "\r" .. ERASE end
  if final == "D" then return ("\b"):rep(math.min(tonumber(parameters) or 1, 500)) end
  if final == "G" and (parameters == "" or parameters == "1") then return "\r" end
  return ""
end

--- Where an unfinished sequence begins at the end of the text, or nil.
local function unfinished(text)
  local at
  local from = math.max(1, #text - HELD_MAX)
  while true do
    local found = text:find("\27", from, true)
    if not found then break end
    at, from = found, found + 1
  end
  if not at then return nil end
  if at > 1 and at == #text and text:sub(at - 1, at - 1) ~= "\27" then -- perhaps ESC \ that ends a string
    local opener = text:sub(math.max(1, at - HELD_MAX), at - 1):match("^.*()\27[%]P_^X][^\7\27]*$")
    if opener then return math.max(1, at - HELD_MAX) + opener - 1 end
  end
  local rest = text:sub(at)
  if rest == "\27" or rest:find("^\27%[[0-?]*[ -/]*$") or rest:find("^\27[ -/]+$") then return at end
  if rest:find("^\27[%]P_^X][^\7]*$") then return at end
end

local UNWANTED = { "\27", "\0", "\7", ERASE, "\14", "\15", "\17", "\19" }

--- Plain searches: a set of characters would take many times as long.
local function is_clean(bytes)
  for _, c in ipairs(UNWANTED) do
    if bytes:find(c, 1, true) then return false end
  end
  return true
end

--- A stripper for a stream: feed(bytes) -> text without control sequences, padding, bells and the like. A sequence
--- that is cut by the end of a chunk waits for the next one, 4 KiB at most.
---@return fun(bytes: string): string
function M.stripper()
  local held = ""
  return function(bytes)
    if held == "" and is_clean(bytes) then return bytes end
    local text = held .. bytes
    held = ""
    local cut = unfinished(text)
    if cut and #text - cut < HELD_MAX then
      held, text = text:sub(cut), text:sub(1, cut - 1)
    end
    text = text:gsub("[%z\24\14\15\17\19]", "") -- a bell may end a sequence
    text = text:gsub("\27%[([0-?]*)[ -/]*([@-~])", control_sequence)
    text = text:gsub("\27[%]P_^X][^\7\27]*\27\\", ""):gsub("\27[%]P_^X][^\7\27]*\7", "")
    text = text:gsub("\27[ -/]+[0-~]", ""):gsub("\27[0-~]", "")
    return (text:gsub("[\7\27]", ""))
  end
end

--- Lines ---------------------------------------------------------------------------------------------------------

--- A line with carriage returns and backspaces as it looks in the end: what comes later overwrites. UTF-8 stays whole.
local function overwrite(line)
  local cells, at = {}, 1
  for c in line:gmatch("[%z\1-\127\194-\244][\128-\191]*") do
    if c == "\r" then
      at = 1
    elseif c == "\b" then
      at = math.max(1, at - 1)
    elseif c == ERASE then
      for i = #cells, at, -1 do cells[i] = nil end
    else
      for i = #cells + 1, at - 1 do cells[i] = " " end
      cells[at] = c
      at = at + 1
    end
  end
  return table.concat(cells)
end

--- One line as a person would see it.
function M.line(line)
  line = line:gsub("\r+$", "")
  if not line:find("[\r\b\24]") then return line end
  return overwrite(line)
end

local MOVING = { "\r", "\b", ERASE }

local function length_of(line)
  local _, continued = line:gsub("[\128-\191]", "")
  return #line - continued
end

--- Lines that fill the terminal exactly are joined with the next ones.
local function join_full(text, cols)
  local out, joined = {}, false
  for line, newline in text:gmatch("([^\n]*)(\n?)") do
    if joined then out[#out] = "" end -- the line break in front
    out[#out + 1] = line
    out[#out + 1] = newline
    joined = newline == "\n" and length_of(line) == cols
  end
  return table.concat(out)
end

--- Is there a line of at least so many bytes? Looks at the newlines of a window, not at each line.
local function has_long_line(text, bytes)
  local from = 1
  while from + bytes - 1 <= #text do
    local behind = text:sub(from, from + bytes - 1):match("^.*\n()")
    if not behind then return true end
    from = from + behind - 1
  end
  return false
end

--- Each line that has something to be done about it.
local function overwrite_lines(text)
  local out, from = {}, 1
  while true do
    local at = text:find("[\r\b\24]", from)
    if not at then break end
    local before = text:sub(from, at):match("^.*\n()")
    local start, newline = before and from + before - 1 or from, text:find("\n", at, true) or #text + 1
    out[#out + 1] = text:sub(from, start - 1)
    out[#out + 1] = M.line(text:sub(start, newline - 1))
    from = newline
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

--- Line ends as ours are. Plain searches, as in is_clean.
local function plain_ends(text)
  local out, n, from = {}, 0, 1
  while true do
    local at = text:find("\r\n", from, true)
    if not at then break end
    n = n + 1
    out[n] = text:sub(from, at - 1)
    from = at + 2
  end
  out[n + 1] = text:sub(from)
  text = table.concat(out, "\n")
  if text:find("\r\n", 1, true) then text = text:gsub("\r+\n", "\n") end
  return text:byte(-1) == 13 and text:gsub("\r+$", "") or text
end

--- Text as a person would see it: lines end in "\n". With `cols`, a line that fills the terminal exactly is joined with
--- the next one.
---@param text string
---@param cols? integer
---@return string
function M.render(text, cols)
  if text:find("\r", 1, true) then text = plain_ends(text) end
  for _, c in ipairs(MOVING) do
    if text:find(c, 1, true) then
      text = overwrite_lines(text)
      break
    end
  end
  if cols and has_long_line(text, cols) then return join_full(text, cols) end
  return text
end

--- The last line of what has come, as a person would see it, and where it begins.
---@return string line
---@return integer from
function M.last_line(text, look_back)
  local first, at = math.max(1, #text - look_back + 1), #text + 1
  -- Backwards in steps: lines are short.
  local step = 80
  while at > first do
    at = math.max(first, #text + 1 - step)
    local newline = text:sub(at):match("^.*\n()")
    if newline then
      at = at + newline - 1
      break
    end
    step = step * 4
  end
  return M.line(text:sub(at)), at
end

--- Pagers ---------------------------------------------------------------------------------------------------------

--- Something came together with pagers' lines (each is a NUL byte in it): the text without them and what they were
--- wiped with.
function M.without_pagers(text)
  local at = text:find("\0", 1, true)
  if not at then return text end
  local out, from = {}, 1
  while at do
    local before = text:sub(from, at - 1)
    local wiped, newline, behind = text:match("^([\b\r \24]*)(\r?\n?)()", at + 1)
    local kept = wiped:match("[\b\r\24]( *)$") or (wiped:find("^ +$") and wiped) or ""
    if before:byte(-1) == 10 and newline:find("\n", 1, true) and kept == "" then newline = "" end
    out[#out + 1] = before
    out[#out + 1] = kept .. newline
    from = behind
    at = text:find("\0", from, true)
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

--- Echo ----------------------------------------------------------------------------------------------------------

local function bare(text) return (text:gsub("[%s%z\1-\31\127]", "")) end

--- Where all letters of `wanted` have come, from `start` on; white space and controls between them do not count.
local function walk(text, start, wanted)
  local i, matched = start, 0
  while matched < #wanted do
    local c = text:sub(i, i)
    if c == "" then return nil end
    if c == wanted:sub(matched + 1, matched + 1) then
      matched = matched + 1
    elseif not c:find("[%s%c]") then
      return nil
    end
    i = i + 1
  end
  return i
end

--- Where the output begins behind the echo of a command, which is looked for in the first lines. Terminals break long
--- lines and redraw them, so white space does not count. nil: there is no echo, or not all of it yet.
---@param text string rendered
---@param sent string the command without its newline
---@param may_follow fun(before: string): boolean may the echo stand behind this?
---@return integer?
function M.after_echo(text, sent, may_follow)
  local wanted = bare(sent)
  if wanted == "" then return nil end
  local _, head = text:find("^[^\n]*\n?[^\n]*\n?[^\n]*")
  local start = text:find(wanted:sub(1, 1), 1, true)
  while start and start <= head do
    local behind = walk(text, start, wanted)
    if behind and may_follow(text:sub(1, start - 1)) then return (text:match("^[^\n]*\n?()", behind)) end
    start = text:find(wanted:sub(1, 1), start + 1, true)
  end
end

--- Prompts -------------------------------------------------------------------------------------------------------

local function escape(text) return (text:gsub("%p", "%%%0")) end
M.escape = escape

--- A pattern for the prompt of which this is one: the name in front stays, mode and directory behind it may change, and
--- it ends as prompts end.
---@param line string
---@return string
function M.prompt_pattern(line)
  line = line:gsub("%s+$", "")
  local stem = line:match("^[%[<(]?[%w_.@%-]+") or ""
  local last = line:sub(-1)
  if stem == "" or stem == line then return (#line > 1 and "" or "^") .. escape(line) .. "%s*$" end
  return escape(stem) .. "[^\n]*[#>$%%" .. (last:find("%p") and "%" .. last or last) .. "]%s*$"
end

return M
