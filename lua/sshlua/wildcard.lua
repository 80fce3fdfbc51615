--- Wildcards: "*" and "?", and for globs "[a-z]", "[!a]" and "\x", against a whole text. Pure. Whether a slash or a dot
--- is something special the caller knows. One star is tried again at a time, so that a match takes no more than
--- #text * #pattern steps, whatever the pattern.

local M = {}

local STAR, ANY = -1, -2

--- A bracket expression from `at` on as { byte -> true }, whether it is negated, and what is behind it; nil: it is not
--- closed, and the bracket stands for itself.
local function bracket(pattern, at)
  local negated, from = pattern:match("^%[([!^]?)()", at)
  local close = pattern:find("]", from + 1, true)
  if not close then return nil end
  local set = { negated = negated ~= "" }
  while from < close do
    local first, last = pattern:byte(from), nil
    if pattern:byte(from + 1) == 45 and from + 2 < close then -- "-"
      last = pattern:byte(from + 2)
      from = from + 2
    end
    for c = first, last or first do set[c] = true end
    from = from + 1
  end
  return set, close + 1
end

--- What can stand at a place: a byte, ANY, STAR, or a set.
local function compile(pattern, is_glob)
  local out, at = {}, 1
  while at <= #pattern do
    local c, behind = pattern:byte(at), at + 1
    local token = c
    if c == 42 then
      token = STAR
    elseif c == 63 then
      token = ANY
    elseif is_glob and c == 91 then -- "["
      local set, close = bracket(pattern, at)
      token, behind = set or c, close or behind
    elseif is_glob and c == 92 and at < #pattern then -- "\"
      token, behind = pattern:byte(at + 1), at + 2
    end
    if token ~= STAR or out[#out] ~= STAR then out[#out + 1] = token end
    at = behind
  end
  return out
end

local function fits(token, c)
  if token == c or token == ANY then return true end
  return type(token) == "table" and (token[c] or false) ~= token.negated
end

local function match(text, tokens)
  local t, p, star, mark = 1, 1, nil, nil
  while t <= #text do
    local token = tokens[p]
    if token == STAR then
      star, mark, p = p, t, p + 1
    elseif token and fits(token, text:byte(t)) then
      t, p = t + 1, p + 1
    elseif star then
      mark = mark + 1
      t, p = mark, star + 1
    else
      return false
    end
  end
  if tokens[p] == STAR then p = p + 1 end
  return tokens[p] == nil
end

local function matcher(pattern, is_glob, special)
  if not pattern:find(special) then return function(text) return text == pattern end end
  local tokens = compile(pattern, is_glob)
  return function(text) return match(text, tokens) end
end

--- "*" and "?" only.
---@param pattern string
---@return fun(text: string): boolean
function M.simple(pattern) return matcher(pattern, false, "[*?]") end

--- Brackets and "\" as well, as in glob(7).
---@param pattern string
---@return fun(text: string): boolean
function M.glob(pattern) return matcher(pattern, true, "[*?%[\\]") end

--- Does a component of a path stand for more than one name?
---@param component string
function M.is_magic(component) return component:find("[*?%[]") ~= nil end

--- For the names in a directory: a leading dot only where the pattern has one.
---@param component string
---@return fun(name: string): boolean
function M.names(component)
  local matches = M.glob(component)
  if component:byte(1) == 46 then return matches end
  return function(name) return name:byte(1) ~= 46 and matches(name) end
end

return M
