--- The side of a transfer that is this machine. Directories below the top are held open and their entries are reached
--- through them (/proc/self/fd), without following links, so nothing that is swapped meanwhile leads out of the tree.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local names = require("sshlua.transfer_names")
local outlast = require("sshlua.task.outlast")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = { is_local = true }

local await = task.await
local DROP_SECONDS = 5

--- Messages name what people know, not our descriptors.
local function explain(err, shown)
  if not errors.is(err) then return err end
  err.message = err.message:gsub("/proc/self/fd/%d+", function() return errors.excerpt(shown) end)
  if err.name == "ELOOP" or err.name == "ENOTDIR" then
    err.hint = "a symbolic link may be in the way: they are not followed"
  end
  if rawget(err, "path") == nil then err.path = shown end
  return err
end

--- await(fn, ...) whose failure names `shown` in place of an open directory.
function M.call(shown, fn, ...)
  local r = task.pack(pcall(await, fn, ...))
  if not r[1] then error(explain(r[2], shown), 0) end
  return r[2]
end

---@class sshlua.LocalDirectory
---@field shown string
local Directory = {}
Directory.__index = Directory

local function hold(file, shown) return setmetatable({ file = file, shown = shown }, Directory) end

--- The path of an entry, through the open directory.
function Directory:at(name) return ("/proc/self/fd/%d/%s"):format(self.file:fd(), name) end

--- The path of an entry for people.
function Directory:show(name) return self.shown:sub(-1) == "/" and self.shown .. name or self.shown .. "/" .. name end

function Directory:call(fn, name, ...) return M.call(self.shown, fn, self:at(name), ...) end

--- Removes what a failure has left, also when we are being cancelled. Waits: our descriptor must stay open.
function Directory:drop(name) pcall(scope.shield, scope.timeout, DROP_SECONDS, await, core.fs_unlink, self:at(name)) end

--- start(done), which makes the temporary entry `name`. Cancelled, we wait for it and remove what it has made.
function Directory:make(name, start)
  local r, said = outlast(DROP_SECONDS, start)
  if r[1] then return r[2] end
  if said and said[1] == nil then
    if said[2] then said[2]:close(function() end) end
    self:drop(name)
  end
  error(explain(r[2], self.shown), 0)
end

--- Makes a temporary file that was not there.
---@param mode integer
function Directory:make_file(name, mode)
  return self:make(name, function(done) return core.fs_open(self:at(name), "wx", mode, done) end)
end

function Directory:leave() pcall(self.file.close, self.file, function() end) end

--- A directory that the script has named: links on the way are the script's.
---@return sshlua.LocalDirectory
function M.open(path)
  local file = await(core.fs_open, path, "r", nil)
  local st = await(file.stat, file)
  if st.type ~= "directory" then
    pcall(file.close, file, function() end)
    local message = errors.excerpt(path) .. " is not a directory"
    errors.raise({ kind = "io", name = "ENOTDIR", path = path, message = message })
  end
  return hold(file, path)
end

--- Makes a directory with its parents.
function M.make_parents(path)
  local ok, err = pcall(await, core.fs_mkdir, path, 511)
  if ok then return end
  if err.name == "ENOENT" then
    local parent = path:match("^(.*[^/])/+[^/]+/*$")
    if not parent then error(err, 0) end
    M.make_parents(parent)
    ok, err = pcall(await, core.fs_mkdir, path, 511)
    if ok then return end
  end
  if not errors.is(err, "io") or err.name ~= "EEXIST" then error(err, 0) end
end

--- Raises when a file must not take the place of an entry that somebody has named, `path`. /dev/stdout and its like
--- lead to /proc, and whatever they lead to, they stay as they are.
function M.check_target(dir, name, path)
  local ok, st = pcall(M.look, dir, name, true)
  if not ok then return end -- whoever writes there says it
  names.check_replaceable(path, st, "io")
  local is_link, target = pcall(M.readlink, dir, name)
  if is_link and target:find("^/proc/") then names.check_replaceable(path, { type = "link" }, "io") end
end

--- As a side of a tree ----------------------------------------------------------------------------------------------

--- One entry: type, size, mode, mtime; nil when there is none. `follow`: what a link leads to.
function M.look(dir, name, follow)
  local ok, st = pcall(dir.call, dir, follow and core.fs_stat or core.fs_lstat, name)
  if ok then return st end
  if st.name == "ENOENT" then return nil end
  error(st, 0)
end

--- Entries by name, and how many names were refused.
function M.list(dir)
  local out = M.call(dir.shown, core.fs_list, dir:at("."))
  table.sort(out, function(a, b) return a.name < b.name end)
  return out, 0
end

function M.enter(dir, name, follow)
  local file = dir:call(core.fs_open, name, follow and "r" or "dir", nil)
  return hold(file, dir:show(name))
end

--- Makes a directory or finds that there is one; a link to one does not count. True: it was made.
function M.make(dir, name)
  local ok, err = pcall(dir.call, dir, core.fs_mkdir, name, 448)
  if ok then return true end
  if err.name ~= "EEXIST" then error(err, 0) end
  local st = M.look(dir, name)
  if st and st.type == "directory" then return false end
  errors.raise({ kind = "io", name = "ENOTDIR", path = dir:show(name),
    message = ("%s is in the way: it is a %s, not a directory"):format(errors.excerpt(dir:show(name)),
      st and names.kind(st.type) or "?") })
end

--- Mode and times of a directory whose entries are complete.
function M.settle(dir, mode, mtime)
  if mode then M.call(dir.shown, core.fs_chmod, dir:at("."), mode) end
  if mtime then M.call(dir.shown, core.fs_utime, dir:at("."), mtime, mtime) end
end

function M.chmod(dir, name, mode) dir:call(core.fs_chmod, name, mode) end

function M.readlink(dir, name) return dir:call(core.fs_readlink, name) end

function M.link(dir, name, target, temp)
  local at = dir:at(temp)
  dir:make(temp, function(done) return core.fs_symlink(target, at, done) end)
  local ok, err = pcall(M.call, dir.shown, core.fs_rename, at, dir:at(name))
  if ok then return end
  dir:drop(temp)
  error(err, 0)
end

local function remove(dir, name, kind, depth)
  if kind ~= "directory" then return dir:call(core.fs_unlink, name) end
  if depth > 64 then errors.raise({ kind = "limit", message = errors.excerpt(dir:show(name)) .. ": too deep" }) end
  local inner = M.enter(dir, name)
  local ok, err = pcall(function()
    for _, e in ipairs(M.list(inner)) do remove(inner, e.name, e.type, depth + 1) end
  end)
  inner:leave()
  if not ok then error(err, 0) end
  dir:call(core.fs_rmdir, name)
end

--- An entry and what is below it; links are removed, not followed.
function M.remove(dir, name, kind) remove(dir, name, kind, 1) end

--- A file of it as a source, see transfer_put.
function M.source(dir, name, follow)
  return { path = dir:at(name), shown = dir:show(name), base = dir.shown, how = follow and "r" or "rn" }
end

return M
