-- A directory with files for the present spec.
local core = require "sshlua.core"
local task = require "sshlua.task"

local M = {}

local directory

-- Makes it when first asked for; in memory where the system has such a place and somebody asks for that first.
function M.directory(in_memory)
  local base = in_memory and core.fs_stat_sync "/dev/shm" and "/dev/shm" or os.getenv "TMPDIR" or "/tmp"
  directory = directory or assert(core.fs_mkdtemp_sync(base .. "/sshlua-spec.XXXXXX"))
  return directory
end

-- Writes a file with its directories; returns its path.
function M.write(name, text, mode)
  local path = M.directory()
  for folder in name:gmatch "([^/]+)/" do
    path = path .. "/" .. folder
    core.fs_mkdir_sync(path, 448)
  end
  path = M.directory() .. "/" .. name
  assert(core.fs_write_sync(path, text, mode or 420))
  return path
end

-- The text of a file; nil when it is not there.
function M.read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then file:close() end
  return text
end

-- The names in a directory, in order. Waits as a task does.
function M.list(path)
  local names = {}
  for i, entry in ipairs(task.await(core.fs_readdir, path)) do names[i] = entry.name end
  table.sort(names)
  return names
end

-- The same with the directory in front.
function M.paths(path)
  local paths = M.list(path)
  for i, name in ipairs(paths) do paths[i] = path .. "/" .. name end
  return paths
end

-- The names in one text.
function M.names(path) return table.concat(M.list(path), " ") end

-- For after_each.
function M.remove()
  if directory then core.fs_rmtree_sync(directory) end
  directory = nil
end

return M
