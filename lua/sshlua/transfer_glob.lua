--- Local globs. Knows this machine's directories; links are followed, as the shell does.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local names = require("sshlua.transfer_names")
local task = require("sshlua.task.core")
local wildcard = require("sshlua.wildcard")

local M = {}

local await = task.await

local function list(base)
  local ok, entries = pcall(await, core.fs_readdir, base == "" and "." or base)
  if ok then return entries end
  if not errors.is(entries, "io") then error(entries, 0) end
  return {} -- not a directory, or not ours to read
end

local function expand(base, components, at, found)
  local component = components[at]
  if not component then
    if pcall(await, core.fs_lstat, base) then found[#found + 1] = base end
    return
  end
  if not wildcard.is_magic(component) then return expand(names.join(base, component), components, at + 1, found) end
  local matches = wildcard.names(component)
  for _, e in ipairs(list(base)) do
    if matches(e.name) then expand(names.join(base, e.name), components, at + 1, found) end
  end
end

--- Paths that match, sorted; none is an empty list.
---@param pattern string
---@return string[]
function M.here(pattern)
  local components, found = {}, {}
  for component in pattern:gmatch("[^/]+") do components[#components + 1] = component end
  expand(pattern:sub(1, 1) == "/" and "/" or "", components, 1, found)
  table.sort(found)
  return found
end

return M
