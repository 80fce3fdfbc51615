--- One file from a host: to a new name in the target's directory, complete and on the disk, then renamed. Reaches the
--- local side through an open directory only. Must not know trees.

local core = require("sshlua.core")
local digest = require("sshlua.transfer_digest")
local errors = require("sshlua.errors")
local here = require("sshlua.transfer_local")
local names = require("sshlua.transfer_names")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local GROWTH = 256 * 1024 * 1024 -- a file that never ends must not fill the disk

local function short(job, path, got, size)
  errors.raise({ kind = "io", name = "SHORT", host = job.name, op = job.op, path = path,
    message = ("%s: the server sent %d of %d bytes"):format(errors.excerpt(path), got, size),
    hint = "the file may have become shorter while it was read" })
end

--- All bytes from `from` on. Without a limit on the rate in one call.
local function receive(job, entry, remote, file, from, size)
  entry.poll = function() return (select(2, remote:progress())) end
  local at, most, sparse = from, size + GROWTH, job.opts.sparse ~= false
  while true do
    local n = job.opts.limit and job:slice(most - at) or most - at
    job:pace(n)
    remote.begun = at
    local moved, ended, holes = remote:get(file,
      { from = at, to = at, length = n, block = job.block, blocks = job.blocks, sparse = sparse })
    at = at + moved
    local written = select(2, remote:progress())
    entry.poll, entry.bytes = nil, entry.bytes + moved
    if written ~= moved or holes then await(file.truncate, file, at) end
    if ended then break end
    if at >= most then
      errors.raise({ kind = "limit", host = job.name, op = job.op, path = entry.path,
        message = ("%s: the server sends more than the %d bytes it announced")
          :format(errors.excerpt(entry.path), size) })
    end
    entry.poll = function() return (select(2, remote:progress())) end
  end
  if at < size then short(job, entry.path, at, size) end
  return at
end

--- How much of a part may be kept: its beginning is proved by the host's digest. Hosts without a shell cannot prove it
--- for less than it costs to read it again.
local function proved(job, path, part, size)
  local st = await(part.stat, part)
  local n = math.min(st.size, size)
  if st.size ~= size then n = n - 2 * job.block * job.blocks end
  while n > 0 do
    local there = digest.of_remote(job, path, n, n, true)
    if not there then return 0 end
    local mine, bytes = digest.of_local(job, part, n)
    if bytes == n and mine == there then return n end
    if n < size then return 0 end
    n = size - 2 * job.block * job.blocks
  end
  return 0
end

--- Messages name the target and not the temporary file.
local function explain(err, dir, temp, name)
  if not errors.is(err) then return err end
  local from, till = err.message:find(errors.excerpt(temp), 1, true)
  if from then err.message = err.message:sub(1, from - 1) .. errors.excerpt(name) .. err.message:sub(till + 1) end
  if err.kind == "io" and rawget(err, "path") == nil then err.path = dir:show(name) end
  err.message = err.message:gsub("/proc/self/fd/%d+", function() return errors.excerpt(dir.shown) end)
  return err
end

--- The temporary file, opened; its name; from which byte on.
local function place(job, path, dir, name, size, mode)
  if not job.opts.resume then
    local temp = names.temporary(name)
    local ok, file = pcall(dir.make_file, dir, temp, mode)
    if not ok then error(explain(file, dir, temp, name), 0) end
    return file, temp, 0
  end
  local temp = names.part(name)
  local ok, part = pcall(dir.call, dir, core.fs_open, temp, "r+n", nil)
  if not ok then
    if part.name ~= "ENOENT" then dir:call(core.fs_unlink, temp) end -- not a file of ours
    return dir:call(core.fs_open, temp, "wx", 384), temp, 0
  end
  local good, from = pcall(proved, job, path, part, size)
  if good then good, from = pcall(function()
    await(part.truncate, part, from)
    return from
  end) end
  if good then return part, temp, from end
  pcall(part.close, part, function() end)
  error(from, 0)
end

--- The mode it is made with: the original's under our umask, as if it were made here.
function M.new_mode(job, st)
  local mode = st.mode and st.mode % 512 or 438
  return (job.opts.mode or job.opts.setuid or job.opts.resume or job.opts.verify) and 384 or mode
end

--- Mode and times of the original, `st`.
function M.settle(job, file, st)
  local at = ("/proc/self/fd/%d"):format(file:fd())
  local mode = job.opts.mode
  if not mode and M.new_mode(job, st) == 384 and st.mode then
    mode = names.masked(names.mode(job.opts, st.mode), core.umask())
  end
  if mode then await(core.fs_chmod, at, mode) end
  if job.opts.times and st.mtime then await(core.fs_utime, at, st.mtime, st.mtime) end
end

local function digest_here(job, dir, name)
  local file = dir:call(core.fs_open, name, "rn", nil)
  local ok, sum = pcall(digest.of_local, job, file)
  pcall(file.close, file, function() end)
  if not ok then error(sum, 0) end
  return sum
end

--- Are these bytes here already? What is known of them; else nil.
local function same_here(job, path, dir, name, st)
  local skip = job.opts.skip
  if not skip then return nil end
  local mine = here.look(dir, name)
  if not mine or mine.type ~= "file" or mine.size ~= st.size then return nil end
  local same
  if skip == "time" then
    same = st.mtime ~= nil and math.abs(math.floor(mine.mtime) - st.mtime) <= 1
  else
    same = digest_here(job, dir, name) == digest.of_remote(job, path, nil, st.size)
  end
  return same and mine or nil
end

--- Bytes that are here stay; their mode may have to become another. False: only a new copy can have it.
local function keep(job, dir, name, st, mine)
  local mode = st.mode and (job.opts.mode or names.masked(names.mode(job.opts, st.mode), core.umask()))
  if not names.lacks_mode(job.opts, mode, mine.mode) then
    job.same = job.same + 1
    return true
  end
  if not job.opts.dry_run then
    local ok, file = pcall(dir.call, dir, core.fs_open, name, "rn", nil) -- the entry itself, whatever is swapped in
    if not ok then return false end
    ok = pcall(await, core.fs_chmod, ("/proc/self/fd/%d"):format(file:fd()), mode)
    pcall(file.close, file, function() end)
    if not ok then return false end
  end
  job:arrive(dir:show(name), "files")
  return true
end

local function fill(job, entry, path, file, from, st, sum)
  local size = st.size or 0
  local remote = job.sftp:open(path, "r")
  local ok, err = pcall(receive, job, entry, remote, file, from, size)
  if not ok then
    local good, safe = pcall(remote.progress, remote)
    entry.safe = (remote.begun or from) + (good and entry.poll and safe or 0)
    entry.poll = nil
    remote:abandon()
    error(err, 0)
  end
  remote:abandon() -- nothing that a close could say matters to what has been read
  if job.opts.verify then
    local there = digest.of_remote(job, path, nil, err)
    digest.compare(job, path, sum(), there)
  end
  M.settle(job, file, st)
  if job:durable(err) then job:quiet(await, file.fsync, file) end
end

local function receive_file(job, path, dir, name, st)
  local file, temp, from = place(job, path, dir, name, st.size or 0, M.new_mode(job, st))
  local entry = job:begin(path, st.size)
  job.resumed = from > 0 and from or nil
  local ok, err = pcall(function()
    fill(job, entry, path, file, from, st, function() return digest_here(job, dir, temp) end)
    await(file.close, file)
    dir:call(core.fs_rename, temp, dir:at(name))
  end)
  entry.poll = nil
  job:finish(entry)
  if ok then return end
  pcall(file.close, file, function() end)
  if not job.opts.resume then dir:drop(temp) end
  err = explain(err, dir, temp, name)
  if errors.is(err) and err.kind ~= "cancelled" and rawget(err, "bytes") == nil then err.bytes = entry.safe or 0 end
  error(err, 0)
end

--- Gets the remote file at `path`, whose attributes are `st`, as `name` in the local directory `dir`.
---@param dir sshlua.LocalDirectory
---@param name string one component
function M.file(job, path, dir, name, st)
  if st.type ~= "file" and st.type ~= "unknown" then
    errors.raise({ kind = "io", host = job.name, op = job.op, path = path,
      message = ("%s is not a regular file but a %s"):format(errors.excerpt(path), names.kind(st.type)) })
  end
  job.total = job.total + (st.size or 0)
  local mine = same_here(job, path, dir, name, st)
  if mine and keep(job, dir, name, st, mine) then return end
  if not job.opts.dry_run then receive_file(job, path, dir, name, st) end
  job:arrive(dir:show(name), "files")
end

return M
