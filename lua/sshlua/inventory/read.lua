--- Files that name hosts, as text. In a task the thread pool reads, so that a pipe or a dead file server makes only
--- that task wait, and not for ever; outside of tasks only plain files are read.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local home = require("sshlua.home")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local SECONDS = 30
local STDIN_SECONDS = 600 -- somebody may be typing
local LIMIT = 64 * 1024 * 1024
local CHUNK = 1024 * 1024

local function too_long(path, limit)
  errors.raise({ kind = "limit", message = ("%s: more than %d bytes"):format(path, limit) })
end

local function read_in_task(path, limit)
  local file = task.await(core.fs_open, path, "r", nil)
  local parts, size = {}, 0
  local ok, err = pcall(function()
    while true do
      local bytes = task.await(file.read, file, CHUNK, -1)
      if not bytes then return end
      parts[#parts + 1] = bytes
      size = size + #bytes
      if size > limit then too_long(path, limit) end
    end
  end)
  scope.shield(task.await, file.close, file)
  if not ok then error(err, 0) end
  return table.concat(parts)
end

local function read_plain(path, limit)
  local stat, err = core.fs_stat_sync(path)
  if not stat then errors.raise(errors.from(err)) end
  if stat.type ~= "file" then
    errors.raise({ kind = "usage", message = path .. ": no plain file; others are read inside a task (ssh.run)" })
  end
  local file, problem = io.open(path, "rb")
  if not file then errors.raise({ kind = "io", message = problem }) end
  local text = file:read(limit + 1) or ""
  file:close()
  if #text > limit then too_long(path, limit) end
  return text
end

--- The text of a file. Raises kind io, limit, timeout.
---@param path string "-" is standard input
---@param options? { limit?: integer, seconds?: number }
---@return string
function M.file(path, options)
  options = options or {}
  local limit, seconds = options.limit or LIMIT, options.seconds or path == "-" and STDIN_SECONDS or SECONDS
  path = path == "-" and "/dev/stdin" or home.expand(path)
  if not task.current() then return read_plain(path, limit) end
  return scope.deadline({
    seconds = seconds, op = "read", message = ("%s: not read within %g s"):format(path, seconds),
  }, read_in_task, path, limit)
end

--- Is there such a file? A directory counts.
---@param path string
---@return sshlua.core.Stat?
function M.stat(path) return (core.fs_stat_sync(path)) end

return M
