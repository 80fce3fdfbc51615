--- Names of files by pattern, as glob(7): "*", "?", "[a-z]", "\" before a character; sorted. Reads directories as a task.

local core = require("sshlua.core")
local expand = require("sshlua.ssh_config.expand")
local task = require("sshlua.task.core")

local M = {}

local function is_magic(part) return part:find("[*?%[]") ~= nil end

local function unescape(part) return (part:gsub("\\(.)", "%1")) end

local function escape(c) return c:find("%w") and c or "%" .. c end

--- A bracket expression from `at` on as a Lua set and where it ends; nil: the bracket stands for itself.
local function set(part, at)
  local negated, first = part:match("^%[([!^]?)()", at)
  local close = part:find("]", first + 1, true)
  if not close then return nil end
  local body = part:sub(first, close - 1):gsub("([%%%]^])", "%%%1")
  return "[" .. (negated ~= "" and "^" or "") .. body .. "]", close + 1
end

--- A component of a path as a Lua pattern.
local function to_pattern(part)
  local out, at = {}, 1
  while at <= #part do
    local c = part:sub(at, at)
    if c == "*" then
      out[#out + 1] = ".*"
    elseif c == "?" then
      out[#out + 1] = "."
    elseif c == "[" then
      local body, after = set(part, at)
      out[#out + 1] = body or "%["
      at = (after or at + 1) - 1
    elseif c == "\\" and at < #part then
      at = at + 1
      out[#out + 1] = escape(part:sub(at, at))
    else
      out[#out + 1] = escape(c)
    end
    at = at + 1
  end
  return "^" .. table.concat(out) .. "$"
end

local function matching(dir, part)
  local ok, entries = pcall(task.await, core.fs_readdir, dir == "" and "." or dir)
  local names, pattern = {}, to_pattern(part)
  for _, entry in ipairs(ok and entries or {}) do
    local hidden = entry.name:sub(1, 1) == "." and part:sub(1, 1) ~= "."
    if not hidden and entry.name:find(pattern) then names[#names + 1] = entry.name end
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
