--- One file to a host: to a name beside the target, complete and on the disk, then renamed over it. Knows one remote
--- file at a time; must not know trees.

local core = require("sshlua.core")
local digest = require("sshlua.transfer_digest")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local here = require("sshlua.transfer_local")
local leftovers = require("sshlua.transfer_leftovers")
local names = require("sshlua.transfer_names")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")
local why = require("sshlua.transfer_why")
local wide = require("sshlua.transfer_wide")

local M = {}

local await = task.await
local BUFFER = 512 * 1024
local SWAP_SECONDS = 20

--- Temporary files --------------------------------------------------------------------------------------------------

--- Also when we are being cancelled. Where the connection is gone, or goes before the answer, the next one does it.
function M.drop(job, temp)
  if job.sftp:is_alive() then
    local ok, err = pcall(scope.shield, scope.timeout, 2, await, job.sftp.core.remove, job.sftp.core, temp)
    if ok or errors.is(err, "sftp") then return end
  end
  leftovers.note(job, temp)
end

local function swap(sftp, temp, to)
  local old = names.temporary(to)
  sftp:rename(to, old)
  local ok, err = pcall(sftp.rename, sftp, temp, to)
  if not ok then pcall(sftp.rename, sftp, old, to) end
  sftp:remove(ok and old or temp)
  if not ok then error(err, 0) end
end

--- Without posix-rename a target that is there has to be moved away first; cancelling waits for the new one.
local function rename_in_steps(sftp, temp, to)
  local ok, err = pcall(sftp.rename, sftp, temp, to)
  if ok then return end
  local st = sftp:exists(to)
  if not st or st.type == "directory" then error(err, 0) end
  scope.shield(scope.timeout, SWAP_SECONDS, swap, sftp, temp, to)
end

--- The complete file gets its name.
function M.rename(sftp, temp, to)
  local ok, err
  if sftp.offers["posix-rename@openssh.com"] then
    ok, err = pcall(sftp.rename, sftp, temp, to)
  else
    ok, err = pcall(rename_in_steps, sftp, temp, to)
  end
  if ok then return end
  if errors.is(err, "sftp") then
    local good, st = pcall(sftp.exists, sftp, to)
    if good and st and st.type == "directory" then
      err.message = errors.excerpt(to) .. " is a directory"
      err.hint = "a slash at its end puts the file into it"
    end
  end
  error(err, 0)
end

local function hint_parents(err)
  if err.name ~= "SSH_FX_NO_SUCH_FILE" then return end
  err.hint = "its directory may be missing: the option parents (--parents) makes it"
end

--- Messages name the target and not the temporary file.
local function explain(err, temp, to)
  if not errors.is(err) then return err end
  if rawget(err, "path") == temp then err.path = to end
  local from, till = err.message:find(errors.excerpt(temp), 1, true)
  if from then err.message = err.message:sub(1, from - 1) .. errors.excerpt(to) .. err.message:sub(till + 1) end
  hint_parents(err)
  if err.name == "SSH_FX_NO_SUCH_FILE" and to:find("^~/") then
    err.hint = "~ is not expanded on hosts: a name without / in front is below the home there"
  end
  return err
end

--- Says what the server does not, of a directory at `path` that could not be made.
function M.explain(job, err, path)
  why.ask(job, err, path)
  if errors.is(err) then hint_parents(err) end
end

--- Attributes, disk, close: the server does them in this order, so nobody waits for each of them.
local function complete(job, remote, attributes)
  local steps = { function() remote:setstat(attributes) end }
  if job:durable(remote.total or 0) and job.sftp.offers["fsync@openssh.com"] then
    steps[2] = function() job:quiet(remote.sync, remote) end
  end
  steps[#steps + 1] = function() remote:close() end
  group.all((table.unpack or unpack)(steps)) -- luacheck: ignore 143
end

--- The target that somebody has named: a file, or nothing yet.
local function check_target(job, to)
  local ok, st = pcall(job.sftp.exists, job.sftp, to)
  if ok then return names.check_replaceable(to, st, "sftp") end
  if not errors.is(st, "sftp") then error(st, 0) end -- else opening says it
end

--- Cancelled while it got its name: the server did that all the same, or not. Requests are answered in order.
local function has_moved(sftp, temp)
  local ok, err = pcall(scope.shield, scope.timeout, 2, sftp.lstat, sftp, temp)
  return not ok and errors.is(err, "sftp") and err.name == "SSH_FX_NO_SUCH_FILE"
end

--- Opens the temporary file, calls fill(file) for its bytes and attributes, closes, checks, renames. A part stays when
--- it is to be resumed.
local function replace(job, to, temp, how, fill, check)
  local sftp, safe = job.sftp, 0
  local remote, is_renaming
  local ok, err = pcall(function()
    local function open()
      local before = core.now()
      remote = sftp:open(temp, how, { mode = 384 })
      remote.round_trip = core.now() - before
    end
    if job.named then group.all(open, function() check_target(job, to) end) else open() end
    complete(job, remote, fill(remote))
    if check then check(temp) end
    is_renaming = true
    M.rename(sftp, temp, to)
  end)
  if ok then return end
  if is_renaming and errors.is(err, "cancelled") and sftp:is_alive() and has_moved(sftp, temp) then
    job:arrive(to, "files")
    error(err, 0)
  end
  why.ask(job, err, to)
  if remote then
    local good, n = pcall(remote.progress, remote)
    safe = remote.safe or (remote.begun or 0) + (good and n or 0)
    pcall(remote.abandon, remote)
  end
  -- Cancelled while it was being opened: the server opens it all the same.
  local perhaps = remote or job.named or errors.is(err, "cancelled") or not sftp:is_alive()
  if perhaps and not job.opts.resume then M.drop(job, temp) end
  err = explain(err, temp, to)
  if job.is_tree and not job.named and errors.is(err) and err.message:find(" is a directory$") then
    err.hint = "sync removes what is in the way if it may (delete = true, --delete)"
  end
  if errors.is(err) and not errors.is(err, "cancelled") and rawget(err, "bytes") == nil then err.bytes = safe end
  error(err, 0)
end

local function attributes(job, st)
  local out = { mode = names.mode(job.opts, st.mode) }
  if job.opts.times and st.mtime then
    out.mtime = names.wire_time(st.mtime)
    out.atime = out.mtime
  end
  return out
end

--- From a file ------------------------------------------------------------------------------------------------------

local function became_shorter(job, entry, at, size)
  errors.raise({ kind = "io", name = "SHORT", host = job.name, op = job.op, path = entry.path,
    message = ("%s became shorter while it was read: %d of %d bytes"):format(errors.excerpt(entry.path), at, size) })
end

--- True: blocks of zeros were not sent, so the file has not its size yet.
local function send(job, entry, file, remote, temp, from, size)
  local holes = false
  remote.begun, remote.total = from, size
  if wide.is_for(job, size, remote.round_trip) then
    return wide.send(job, entry, file, remote, temp, size, function(at) became_shorter(job, entry, at, size) end)
  end
  local function poll() return (select(2, remote:progress())) end
  local at = from
  while at < size do
    local n = job:slice(size - at)
    job:pace(n)
    remote.safe, entry.poll = nil, poll
    local moved, _, left_out = remote:put(file, n, { from = at, to = at, block = job.block, blocks = job.blocks,
      sparse = job.opts.sparse ~= false, round_trip = remote.round_trip })
    at, holes = at + moved, holes or left_out
    entry.poll, entry.bytes, remote.safe = nil, entry.bytes + moved, at
    if moved < n then became_shorter(job, entry, at, size) end
    if at < size then remote.begun = at end
  end
  return holes
end

--- How much of a part may be kept: its beginning is proved by its digest. The last blocks were written in any order.
local function proved(job, file, part, size)
  local st = job.sftp:exists(part)
  if not st or st.type ~= "file" or not st.size then return 0 end
  local n = math.min(st.size, size) - 2 * job.block * job.blocks
  if st.size == size then n = size end -- perhaps only the rename is missing
  while n > 0 do
    local there = digest.of_remote(job, part, n, n)
    local mine, bytes = digest.of_local(job, file, n)
    if bytes == n and there == mine then return n end
    if n < size then return 0 end
    n = size - 2 * job.block * job.blocks
  end
  return 0
end

local function lstat(sftp, path)
  local ok, st = pcall(sftp.lstat, sftp, path)
  if ok then return st end
  if errors.is(st, "sftp") and st.name == "SSH_FX_NO_SUCH_FILE" then return nil end
  error(st, 0)
end

--- Where to write, and from which byte on.
local function place(job, file, to, size)
  if not job.opts.resume then return names.temporary(to), "wx", 0 end
  local part = names.part(to)
  local old = lstat(job.sftp, part)
  if not old then return part, "wx", 0 end
  if old.type ~= "file" then -- somebody else's: a link would lead elsewhere
    job.sftp:remove(part)
    return part, "wx", 0
  end
  local from = proved(job, file, part, size)
  if from == 0 then
    job.sftp:remove(part)
    return part, "wx", 0
  end
  return part, "r+", from
end

--- Does the target have these bytes already? What is known of it; else nil.
local function same_there(job, file, to, st)
  local skip = job.opts.skip
  if not skip then return nil end
  local there = lstat(job.sftp, to)
  if not there or there.type ~= "file" or there.size ~= st.size then return nil end
  local same
  if skip == "time" then
    same = there.mtime ~= nil and math.abs(there.mtime - names.wire_time(st.mtime)) <= 1
  else
    same = digest.of_remote(job, to, nil, st.size) == digest.of_local(job, file)
  end
  return same and there or nil
end

--- Bytes that are there stay; their mode may have to become another.
local function keep(job, to, st, there)
  local mode = names.mode(job.opts, st.mode)
  if not names.lacks_mode(job.opts, mode, there.mode) then
    job.same = job.same + 1
    return
  end
  if not job.opts.dry_run then job.sftp:setstat(to, { mode = mode }) end
  job:arrive(to, "files")
end

--- A dry run fails where the run would find no directory, unless a verb before it would have made that.
function M.pretend(job, to, what)
  local parent = to:match("^(.*[^/])/+[^/]*$")
  local pretended = require("sshlua.state.pretended")
  if parent and not job.is_tree and not job.opts.parents and not pretended.has_parent(job.host, to) then
    job.sftp:stat(parent)
  end
  if job.named then check_target(job, to) end
  pretended.file(job.host, to)
  job:arrive(to, what)
end

local function from_file(job, file, st, source, to)
  local there = same_there(job, file, to, st)
  if there then return keep(job, to, st, there) end
  if job.opts.dry_run then return M.pretend(job, to, "files") end
  local temp, how, from = place(job, file, to, st.size)
  local entry = job:begin(source.shown, st.size, 0)
  job.resumed = from > 0 and from or nil
  local ok, err = pcall(replace, job, to, temp, how, function(remote)
    if from > 0 then remote:setstat({ size = from }) end
    local change = attributes(job, st)
    local sent, holes = pcall(send, job, entry, file, remote, temp, from, st.size)
    if not sent then
      job:stop(entry)
      error(holes, 0)
    end
    if holes then change.size = st.size end
    return change
  end, job.opts.verify and function(path)
    local mine = digest.of_local(job, file)
    digest.compare(job, source.shown, mine, digest.of_remote(job, path, nil, st.size))
  end)
  entry.poll = nil
  job:finish(entry)
  if not ok then error(err, 0) end
  job:arrive(to, "files")
end

--- From bytes -------------------------------------------------------------------------------------------------------

local function gathered(pieces)
  local list, size = {}, 0
  return function()
    while size < BUFFER do
      local bytes = pieces()
      if not bytes then break end
      list[#list + 1], size = bytes, size + #bytes
    end
    if size == 0 then return nil end
    local all = table.concat(list)
    list, size = {}, 0
    return all
  end
end

--- From a function that returns the next bytes, nil at the end. mtime: kept when times are.
function M.data(job, pieces, to, mode, mtime)
  if job.opts.dry_run then return M.pretend(job, to, "files") end
  local temp, hasher = names.temporary(to), job.opts.verify and core.hasher("sha256")
  local entry = job:begin(to, nil)
  local ok, err = pcall(replace, job, to, temp, "wx", function(remote)
    remote.begun = 0
    for bytes in gathered(pieces) do
      job:pace(#bytes)
      remote:write_at(entry.bytes, bytes)
      if hasher then hasher:update(bytes) end
      entry.bytes = entry.bytes + #bytes
      remote.begun = entry.bytes
    end
    remote.total = entry.bytes
    return attributes(job, { mode = mode or 420, mtime = mtime })
  end, hasher and function(path)
    digest.compare(job, to, hasher:digest(), digest.of_remote(job, path, nil, entry.bytes))
  end)
  job:finish(entry)
  if not ok then error(err, 0) end
  job:arrive(to, "files")
end

local WRITER_SECONDS = 0.02

--- `waits`: a FIFO that has a name and perhaps no writer yet. It was opened without waiting for one, and until there is
--- one it looks as if it had ended.
local function file_pieces(file, waits)
  local at = -1 -- wherever it stands: pipes have no offsets
  return function()
    local bytes = await(file.read, file, BUFFER, at)
    while waits and (not bytes or bytes == "") do
      scope.sleep(WRITER_SECONDS)
      bytes = await(file.read, file, BUFFER, at)
    end
    waits = false
    return bytes
  end
end

local function is_named_fifo(path)
  local ok, st = pcall(await, core.fs_lstat, path)
  return ok and st.type == "fifo"
end

---@class sshlua.TransferSource
---@field path string to open
---@field shown string for people
---@field base? string what /proc/self/fd stands for
---@field how "r"|"rn"

--- Puts the file that `source` names.
---@param source sshlua.TransferSource
---@param to string
function M.file(job, source, to)
  local file = here.call(source.base or source.shown, core.fs_open, source.path, source.how, nil)
  local ok, err = pcall(function()
    local st = await(file.stat, file)
    if st.type == "fifo" or (st.type == "char" and not job.is_tree) then
      return M.data(job, file_pieces(file, is_named_fifo(source.path)), to)
    elseif st.type ~= "file" then
      errors.raise({ kind = "io", host = job.name, op = job.op, path = source.shown,
        message = errors.excerpt(source.shown) .. " is not a regular file but a " .. names.kind(st.type) })
    end
    job.total = job.total + st.size
    from_file(job, file, st, source, to)
  end)
  pcall(file.close, file, function() end)
  if not ok then error(err, 0) end
end

return M
