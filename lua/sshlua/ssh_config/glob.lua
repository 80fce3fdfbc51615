--- Names of files by pattern, as glob(7): "*", "?", "[a-z]", "\" before a character; sorted. Reads directories as a
--- task.

local core = require("sshlua.core")
local expand = require("sshlua.ssh_config.expand")
local task = require("sshlua.task.core")
local wildcard = require("sshlua.wildcard")

local M = {}

local function unescape(part) return (part:gsub("\\(.)", "%1")) end

local function matching(dir, part)
  local ok, entries = pcall(task.await, core.fs_readdir, dir == "" and "." or dir)
  local names, matches = {}, wildcard.names(part)
  for _, entry in ipairs(ok and entries or {}) do
    if matches(entry.name) then names[#names + 1] = entry.name end
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
  local names = wildcard.is_magic(part) and matching(dir, part) or { unescape(part) }
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
