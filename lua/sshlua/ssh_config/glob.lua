--- Names of files by pattern, as glob(7): "*", "?", "[a-z]", "\" before a character; sorted. Reads directories as a
--- task.

local core = require("sshlua.core")
local expand = require("sshlua.ssh_config.expand")
local task = require("sshlua.task.core")

local M = {}

local function is_magic(part) return part:find("[*?%[]") ~= nil end

local function unescape(part) return (part:gsub("\\(.)", "%1")) end

--- A bracket expression from `at` on as a Lua set and where it ends; nil: the bracket stands for itself.
local function set(part, at)
  local negated, first = part:match("^%[([!^]?)()", at)
  local close = part:find("]", first + 1, true)
  if not close then return nil end
  local body = part:sub(first, close - 1):gsub("([%%%]^])", "%%%1")
  return "[" .. (negated ~= "" and "^" or "") .. body .. "]", close + 1
end

--- A component of a path as a list: "*", "?", { set = Lua's }, or a character by its number.
local function compile(part)
  local out, at = {}, 1
  while at <= #part do
    local c, after = part:sub(at, at), at + 1
    if c == "*" or c == "?" then
      if c == "?" or out[#out] ~= "*" then out[#out + 1] = c end
    elseif c == "[" then
      local body, behind = set(part, at)
      out[#out + 1] = body and { set = body } or c:byte()
      after = behind or after
    else
      if c == "\\" and at < #part then at, after = at + 1, after + 1 end
      out[#out + 1] = part:byte(at)
    end
    at = after
  end
  return out
end

local function fits(token, name, at)
  if token == "?" then return true end
  if type(token) == "table" then return name:find("^" .. token.set, at) ~= nil end
  return token == name:byte(at)
end

--- One star is tried again at a time, so that no pattern takes for ever.
local function match(name, tokens)
  local n, t, star, mark = 1, 1, nil, nil
  while n <= #name do
    if tokens[t] == "*" then
      star, mark = t, n
      t = t + 1
    elseif tokens[t] and fits(tokens[t], name, n) then
      n, t = n + 1, t + 1
    elseif star then
      mark = mark + 1
      n, t = mark, star + 1
    else
      return false
    end
  end
  while tokens[t] == "*" do t = t + 1 end
  return t > #tokens
end

local function matching(dir, part)
  local ok, entries = pcall(task.await, core.fs_readdir, dir == "" and "." or dir)
  local names, tokens = {}, compile(part)
  for _, entry in ipairs(ok and entries or {}) do
    local hidden = entry.name:sub(1, 1) == "." and part:sub(1, 1) ~= "."
    if not hidden and match(entry.name, tokens) then names[#names + 1] = entry.name end
  end
  table.sort(names)
  return names
end

local function walk(dir, parts, i, found)
  local part = parts[i]
  if not part then
    found[#found + 1] = dir
    return
  end
  local names = is_magic(part) and matching(dir, part) or { unescape(part) }
  for _, name in ipairs(names) do
    local path = (dir == "" or dir == "/") and dir .. name or dir .. "/" .. name
    if core.fs_stat_sync(path) then walk(path, parts, i + 1, found) end
  end
end

--- The files that are there; "~" is $HOME here, as in the C library's glob.
---@param text string
---@return string[] paths
function M.expand(text)
  local home = os.getenv("HOME")
  local path = expand.tilde(text, home ~= "" and home or nil)
  if not path then return {} end
  local parts, found = {}, {}
  for part in path:gmatch("[^/]+") do parts[#parts + 1] = part end
  walk(path:sub(1, 1) == "/" and "/" or "", parts, 1, found)
  return found
end

return M
