--- The side of a transfer that is the host: directories are paths. Links on the way are not followed where SFTP lets us
--- see them; somebody who can write there may still swap one in, see docs/transfers.md.

local errors = require("sshlua.errors")
local names = require("sshlua.transfer_names")
local why = require("sshlua.transfer_why")

local M = {}

---@class sshlua.RemoteDirectory
local Directory = {}
Directory.__index = Directory

--- job: of the transfer that writes there.
function M.hold(sftp, path, job) return setmetatable({ sftp = sftp, shown = path, job = job }, Directory) end

function Directory:show(name) return name == "." and self.shown or names.join(self.shown, name) end

function Directory:leave() self.left = true end

local function absent(err) return errors.is(err, "sftp") and err.name == "SSH_FX_NO_SUCH_FILE" end

--- One entry: type, size, mode, mtime; nil when there is none. `follow`: what a link leads to.
function M.look(dir, name, follow)
  local ok, st = pcall(follow and dir.sftp.stat or dir.sftp.lstat, dir.sftp, dir:show(name))
  if ok then return st end
  if absent(st) then return nil end
  error(st, 0)
end

--- Entries by name, and how many names were refused because they are no names.
function M.list(dir)
  local entries, refused = dir.sftp:list(dir.shown)
  for _, e in ipairs(entries) do
    if e.type == "unknown" or not e.size then
      local st = M.look(dir, e.name) or {}
      e.type, e.size, e.mode, e.mtime = st.type or "unknown", st.size, st.mode, st.mtime
    end
  end
  return entries, refused
end

function M.enter(dir, name) return M.hold(dir.sftp, dir:show(name), dir.job) end

--- Makes a directory or finds that there is one; a link to one does not count. True: it was made.
function M.make(dir, name)
  local path = dir:show(name)
  local ok, err = pcall(dir.sftp.mkdir, dir.sftp, path, { mode = 448 })
  if ok then return true end
  local st = M.look(dir, name)
  if st and st.type == "directory" then return false end
  if not st then
    why.ask(dir.job, err, path)
    error(err, 0)
  end
  errors.raise({ kind = "sftp", name = "SSH_FX_FAILURE", path = path,
    message = ("%s is in the way: it is a %s, not a directory"):format(errors.excerpt(path), names.kind(st.type)) })
end

function M.settle(dir, mode, mtime)
  local change = { mode = mode }
  if mtime then change.mtime, change.atime = names.wire_time(mtime), names.wire_time(mtime) end
  if next(change) then dir.sftp:setstat(dir.shown, change) end
end

function M.chmod(dir, name, mode) dir.sftp:setstat(dir:show(name), { mode = mode }) end

function M.readlink(dir, name) return dir.sftp:readlink(dir:show(name)) end

--- A link of an earlier attempt may stand in the way.
local function make_link(sftp, target, at)
  local ok, err = pcall(sftp.symlink, sftp, target, at)
  if ok then return end
  local good, st = pcall(sftp.lstat, sftp, at)
  if not good or st.type ~= "link" then error(err, 0) end
  sftp:remove(at)
  sftp:symlink(target, at)
end

function M.link(dir, name, target, temp)
  local at, put = dir:show(temp), require("sshlua.transfer_put")
  local ok, err = pcall(function()
    make_link(dir.sftp, target, at)
    put.rename(dir.sftp, at, dir:show(name))
  end)
  if ok then return end
  put.drop(dir.job, at)
  error(err, 0)
end

function M.remove(dir, name, kind)
  dir.sftp:remove(dir:show(name), { recursive = kind == "directory" or nil })
end

return M
