--- Values as words of POSIX sh, with no way to break out. What cannot be a word (nil, NUL, tables) is
--- refused, never guessed. Knows sh's words; must not know who runs them.

local errors = require "sshlua.errors"
local shell_context = require "sshlua.shell_context"

local usage = errors.usage
local is_secret = require("sshlua.core").is_secret

local M = {}

-- Words with a meaning of their own where a command may start.
local reserved = {}
for word in ("if then else elif fi do done case esac while until for in function select time coproc"):gmatch("%a+") do
  reserved[word] = true
end

--- Whole numbers print whole, also a float 2.0: `head -n 2.0` helps nobody.
local function number_text(n)
  if n ~= n or n == math.huge or n == -math.huge then return nil, "is not a finite number" end
  if math.type and math.type(n) == "integer" then return ("%d"):format(n) end
  if n == math.floor(n) and math.abs(n) <= 2 ^ 53 then return ("%.0f"):format(n) end
  for precision = 15, 17 do
    local text = ("%." .. precision .. "g"):format(n)
    if tonumber(text) == n or precision == 17 then return text end
  end
end

--- The text of a value, or nil and why it has none.
local function text_of(v)
  if type(v) == "number" then return number_text(v) end
  if v == nil then return nil, "is nil" end
  if is_secret(v) then return nil, "is a secret; others on the host can read command lines: use env or stdin" end
  if type(v) ~= "string" then return nil, "is a " .. type(v) .. "; a string or a number can be quoted" end
  if v:find("\0", 1, true) then return nil, "contains a NUL byte, which no argument can carry" end
  return v
end

--- sh needs only ' written as '\''. A backslash that stands before another one or before a quote goes
--- outside too: fish, somebody's login shell, reads \\ and \' inside single quotes.
local function in_quotes(s)
  local out = {}
  for piece, quote in s:gmatch("([^']*)('?)") do
    out[#out + 1] = piece:gsub("(\\+)()", function(run, behind)
      if #run == 1 and behind <= #piece then return nil end
      return "'" .. run:gsub("\\", "\\\\") .. "'"
    end)
    if quote ~= "" then out[#out + 1] = "'\\''" end
  end
  return "'" .. table.concat(out) .. "'"
end

local function word(s)
  if s:find("^[%w_@%%+:,./-]+$") and not s:find("[\128-\255]") and not reserved[s] then return s end
  return in_quotes(s)
end

--- One value as one word: bare when it is safe, else in single quotes. Stands for itself only as a whole
--- word: write `quote(n) .. " > file"`, with the blank.
---@param v string|number
---@return string
function M.quote(v)
  local text, problem = text_of(v)
  if not text then usage(2, "quote: the value %s", problem) end
  return word(text)
end

local function check_place(d, n)
  if d.directive ~= "%s" then
    usage(3, "sh: unknown directive %q at column %d (a %% is written %%%%)", d.directive, d.at)
  end
  if d.problem then
    usage(3, "sh: %%s number %d at column %d stands %s; it must be a word of its own or part of a bare one",
      n, d.at, d.problem)
  end
end

--- A line of shell in which each %s is a quoted value and %% a %. A %s where quoting cannot help, inside
--- quotes of the line's own for example, is refused.
---@param fmt string
---@param ... string|number one for each %s
---@return string
function M.sh(fmt, ...)
  if type(fmt) ~= "string" then usage(2, "sh: the format is a %s, not a string", type(fmt)) end
  local count, values = select("#", ...), { ... }
  if fmt:find("\0", 1, true) then usage(2, "sh: the format contains a NUL byte") end
  local places = shell_context.directives(fmt)
  for n, place in ipairs(places) do check_place(place, n) end
  if #places ~= count then
    usage(2, "sh: the format has %d %%s, but %d value%s came", #places, count, count == 1 and "" or "s")
  end
  local out, from = {}, 1
  for n, place in ipairs(places) do
    local text, problem = text_of(values[n])
    if not text then usage(2, "sh: value %d %s", n, problem) end
    local literal = fmt:sub(from, place.at - 1):gsub("%%%%", "%%")
    out[#out + 1] = literal
    out[#out + 1] = place.before_redirect and in_quotes(text) or word(text)
    from = place.at + 2
  end
  local rest = fmt:sub(from):gsub("%%%%", "%%")
  out[#out + 1] = rest
  return table.concat(out)
end

--- Length of a vector that may have holes: a nil in the middle must be an error, not an end.
local function vector_length(list, level)
  local n = 0
  for k in pairs(list) do
    if type(k) == "number" and k >= 1 and k == math.floor(k) then
      if k > n then n = k end
    elseif k ~= "n" then
      usage(level + 1, "argv: key %s in an argument vector; a list is expected",
        type(k) == "string" and ("%q"):format(errors.excerpt(k, 40)) or tostring(k))
    end
  end
  local given = list.n -- table.pack's count also shows a nil at the end
  if given == nil then return n end
  if type(given) ~= "number" or given < n or given ~= math.floor(given) then
    usage(level + 1, "argv: n = %s is not the length of the list", tostring(given))
  end
  return given
end

--- An argument vector as a line of shell.
---@param list (string|number)[] at least one; `n` as table.pack sets it is honoured
---@param level? integer whose line is blamed, as in error(); default 1, the caller's
---@return string
function M.argv(list, level)
  level = level or 1
  if type(list) ~= "table" then usage(level + 1, "argv: a list expected, got %s", type(list)) end
  local n, out = vector_length(list, level + 1), {}
  if n == 0 then usage(level + 1, "argv: the argument vector is empty") end
  for i = 1, n do
    local text, problem = text_of(list[i])
    if not text then usage(level + 1, "argv: argument %d %s", i, problem) end
    out[i] = word(text)
  end
  if list[1] == "" then usage(level + 1, "argv: argument 1, the command, is empty") end
  return table.concat(out, " ")
end

--- Environment variables as text to put before a command: "export A='b' C='d'; ", sorted by name, "" when
--- there are none. Never for secrets: a command line can be read by others on the host.
---@param env? table<string, string|number>
---@param level? integer as for argv
---@return string
function M.env_prefix(env, level)
  level = level or 1
  if env == nil then return "" end
  if type(env) ~= "table" then usage(level + 1, "env: a table expected, got %s", type(env)) end
  local names = {}
  for name in pairs(env) do
    if type(name) ~= "string" then usage(level + 1, "env: a %s as name; a string is expected", type(name)) end
    if not name:find("^[A-Za-z_][A-Za-z0-9_]*$") then
      usage(level + 1, 'env: "%s" is no name for a variable', errors.excerpt(name, 60))
    end
    names[#names + 1] = name
  end
  if #names == 0 then return "" end
  table.sort(names)
  local out = { "export" }
  for _, name in ipairs(names) do
    local text, problem = text_of(env[name])
    if not text then usage(level + 1, "env: %s %s", name, problem) end
    out[#out + 1] = name .. "=" .. in_quotes(text)
  end
  return table.concat(out, " ") .. "; "
end

return M
