--- One line of ssh_config as words: the keyword, and the arguments with their quotes and escapes. Pure.

local M = {}

local BLANK = "^[ \t\r\n]*()"

--- The next word from `at` on, split at white space, "=" or a quoted part, and where the rest begins: nil when nothing
--- is left. Without a word: an unclosed quote. "Match" takes its words so; everything else takes its keyword.
---@return string|nil word
---@return integer|nil rest
function M.delimited(text, at)
  if at == nil then return nil, nil end
  local stop = text:find('[ \t\r\n"=]', at)
  if not stop then return text:sub(at), nil end
  local c = text:sub(stop, stop)
  if c == '"' then
    local close = text:find('"', stop + 1, true)
    if not close then return nil, nil end
    return text:sub(at, stop - 1) .. text:sub(stop + 1, close - 1), text:match(BLANK, close + 1)
  end
  local rest = text:match(BLANK, stop + 1)
  if c ~= "=" and text:sub(rest, rest) == "=" then rest = text:match(BLANK, rest + 1) end
  return text:sub(at, stop - 1), rest
end

local escapable = { ["'"] = true, ['"'] = true, ["\\"] = true }

--- One argument from `at` on: its text and where it ends; nil: its quote is not closed.
local function argument(text, at)
  local parts, quote = {}, nil
  while at <= #text do
    local from, stop = at, text:find("[\\ \t'\"]", at)
    if not stop then stop = #text + 1 end
    if stop > from then parts[#parts + 1] = text:sub(from, stop - 1) end
    local c = text:sub(stop, stop)
    at = stop + 1
    if c == "\\" then
      local follows = text:sub(at, at)
      if escapable[follows] or (not quote and follows == " ") then
        parts[#parts + 1] = follows
        at = at + 1
      else
        parts[#parts + 1] = c
      end
    elseif (c == " " or c == "\t") and not quote then
      return table.concat(parts), at
    elseif (c == '"' or c == "'") and not quote then
      quote = c
    elseif c ~= "" and c == quote then
      quote = nil
    else
      parts[#parts + 1] = c
    end
  end
  if quote then return nil end
  return table.concat(parts), at
end

--- The arguments; a "#" at the start of one begins a comment, unless there are `no_comments`. nil: a quote is not
--- closed.
---@param text string
---@param no_comments? boolean
---@return string[]|nil
function M.arguments(text, no_comments)
  local list, at = {}, 1
  while at <= #text do
    at = text:match("^[ \t]*()", at)
    if at > #text or text:byte(at) == 35 and not no_comments then break end
    local word
    word, at = argument(text, at)
    if not word then return nil end
    list[#list + 1] = word
  end
  return list
end

--- A line's keyword in lower case and what follows it (nil: nothing); nil for an empty line, a comment, and a keyword
--- with an unclosed quote.
---@return string|nil keyword
---@return string|nil rest
function M.keyword(line)
  line = line:match("^[^%z]*")
  line = line:sub(1, 1) .. (line:sub(2):match("^.*[^ \t\r\n\f]") or "")
  if line == "" then return nil end
  local word, rest = M.delimited(line, 1)
  if word == "" then word, rest = M.delimited(line, rest) end
  if not word or word == "" or word:sub(1, 1) == "#" then return nil end
  rest = rest and line:sub(line:match(BLANK, rest)) or ""
  return word:lower(), rest ~= "" and rest or nil
end

return M
