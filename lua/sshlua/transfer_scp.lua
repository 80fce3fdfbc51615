--- put and get with the protocol of scp, for servers without SFTP. A get is as safe as any other: files appear complete
--- under their names, within the target. A put writes in place, as scp does. Knows jobs and local directories.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local here = require("sshlua.transfer_local")
local names = require("sshlua.transfer_names")
local one = require("sshlua.transfer_get")
local quote = require("sshlua.quote")
local task = require("sshlua.task.core")
local wire = require("sshlua.scp_wire")

local M = {}

local await = task.await
local PIECE = 256 * 1024
local DEPTH_MAX, ENTRIES_MAX = 64, 10000000

--- Options that work; the others need SFTP.
M.options = { mode = true, dir_mode = true, setuid = true, times = true, links = true, exclude = true, fsync = true,
  keep_going = true, limit = true, progress = true, idle = true, timeout = true, check = true, files = true,
  buffer = true, how = true, parents = true }

local function start(job, flags, path)
  if path:sub(1, 1) == "-" then path = "./" .. path end
  local process = job.host:session():spawn(("scp %s %s"):format(flags, quote.quote(path)))
  return process, wire.new(process, job.name)
end

--- fn(wire) with scp on the other side, which is ended in any case.
local function with(job, flags, path, fn)
  local process, line = start(job, flags, path)
  local ok, err = pcall(fn, line)
  process:close()
  if not ok then error(err, 0) end
end

--- Sending ----------------------------------------------------------------------------------------------------------

local function times(job, line, st, path)
  if not job.opts.times or not st.mtime then return end
  local at = math.max(0, math.floor(st.mtime))
  line:write(("T%d 0 %d 0\n"):format(at, at))
  return line:answer(path)
end

--- What was announced goes, all of it: a file that has become shorter is filled up, and the server is told.
local function send_bytes(job, line, entry, file, size)
  local at, short = 0, false
  while at < size do
    local n = job:slice(math.min(PIECE, size - at))
    job:pace(n)
    local bytes = not short and await(file.read, file, n, at) or nil
    short = bytes == nil
    line:write(bytes or ("\0"):rep(n))
    at = at + (bytes and #bytes or n)
    entry.bytes = at
  end
  if not short then return line:accept() end
  line:refuse("the file became shorter")
  line:answer(entry.path)
  errors.raise({ kind = "io", name = "SHORT", path = entry.path,
    message = errors.excerpt(entry.path) .. " became shorter while it was read" })
end

local function send_open(job, line, file, source, name, to)
  local st = await(file.stat, file)
  if st.type ~= "file" then return job:leave_out(source.shown, "a " .. st.type) end
  job.total = job.total + st.size
  local refused = times(job, line, st, to)
  if not refused then
    line:write(("C%04o %d %s\n"):format(names.mode(job.opts, st.mode), st.size, name))
    refused = line:answer(to)
  end
  if refused then error(refused, 0) end
  local entry = job:begin(source.shown, st.size)
  local ok, err = pcall(send_bytes, job, line, entry, file, st.size)
  job:finish(entry)
  if not ok then error(err, 0) end
  refused = line:answer(to)
  if refused then error(refused, 0) end
  job:arrive(to, "files")
end

local function send_file(job, line, source, name, to)
  if name:find("\n", 1, true) then return job:leave_out(source.shown, "scp has no way to say its name") end
  local file = here.call(source.base or source.shown, core.fs_open, source.path, source.how, nil)
  local ok, err = pcall(send_open, job, line, file, source, name, to)
  pcall(file.close, file, function() end)
  if not ok then error(err, 0) end
end

local send_directory

local function send_entry(job, line, dir, st, to, rel, depth)
  local name, shown = st.name, dir:show(st.name)
  local below = rel == "" and name or rel .. "/" .. name
  if names.excluded(job.opts.exclude, below, name, st.type == "directory") then return end
  local follow = job.opts.links == "follow"
  if st.type == "link" and follow then
    st = here.look(dir, name, true)
    if not st then return job:leave_out(shown, "a link that leads nowhere") end
  end
  if st.type == "link" then return job:leave_out(shown, "a symbolic link") end
  if st.type == "directory" then
    local inner = here.enter(dir, name, follow)
    local ok, err = pcall(send_directory, job, line, inner, st, name, names.join(to, name), below, depth + 1)
    inner:leave()
    if not ok then error(err, 0) end
  elseif st.type == "file" then
    send_file(job, line, here.source(dir, name, follow), name, names.join(to, name))
  else
    job:leave_out(shown, "a " .. st.type)
  end
end

function send_directory(job, line, dir, st, name, to, rel, depth)
  if name:find("\n", 1, true) then return job:leave_out(dir.shown, "scp has no way to say its name") end
  if depth > DEPTH_MAX then
    errors.raise({ kind = "limit",
      message = ("%s: more than %d levels of directories"):format(errors.excerpt(dir.shown), DEPTH_MAX) })
  end
  local entries = here.list(dir)
  local refused = times(job, line, st, to)
  local mode = job.opts.dir_mode or (job.opts.setuid and st.mode or st.mode % 512)
  if not refused then
    line:write(("D%04o 0 %s\n"):format(mode, name))
    refused = line:answer(to)
  end
  if refused then error(refused, 0) end
  job:arrive(to .. "/", "directories")
  for _, entry in ipairs(entries) do
    job:try(dir:show(entry.name), send_entry, job, line, dir, entry, to, rel, depth)
  end
  line:write("E\n")
  refused = line:answer(to)
  if refused then error(refused, 0) end
end

--- The directory that scp is to write in, and the name of the copy in it.
local function place(to)
  local parent, name = to:match("^(.-)/*([^/]+)/*$")
  if not name or name == "." or name == ".." then return nil end
  if parent == "" then parent = to:sub(1, 1) == "/" and "/" or "." end
  return parent, name
end

---@param job sshlua.TransferJob
function M.put(job, from, to)
  local st = await(core.fs_stat, from)
  local parent, name = place(to)
  if not parent then errors.usage(4, "put: a file name expected, got %s", errors.excerpt(to)) end
  local directory = st.type == "directory"
  local device = not to:find("/", 1, true) and to:find(":", 1, true) -- flash:name: there is no directory
  local flags = "-t" .. (directory and " -r" or "") .. (job.opts.times and " -p" or "") .. (device and "" or " -d")
  with(job, flags, device and to or parent, function(line)
    local refused = line:answer(to)
    if refused then error(refused, 0) end
    if directory then
      job.is_tree = true
      local dir = here.open(from)
      local ok, err = pcall(send_directory, job, line, dir, st, name, to, "", 1)
      dir:leave()
      if not ok then error(err, 0) end
    else
      send_file(job, line, { path = from, shown = from, how = "r" }, device and to:match("[^:]*$") or name, to)
    end
    line:finish()
  end)
end

--- Receiving --------------------------------------------------------------------------------------------------------

---@class sshlua.ScpSink
local Sink = {}
Sink.__index = Sink

local function receive_bytes(job, line, entry, file, size)
  while entry.bytes < size do
    local n = job:slice(math.min(PIECE, size - entry.bytes))
    job:pace(n)
    local bytes = line:bytes(n)
    await(file.write, file, bytes, entry.bytes)
    entry.bytes = entry.bytes + #bytes
  end
end

--- After a local failure the rest of the file comes all the same.
local function skip(job, line, left)
  while left > 0 do
    left = left - #line:bytes(math.min(PIECE, left))
    job:tick()
  end
end

local function receive_into(self, said, path, dir, name, temp, file)
  local job, line = self.job, self.line
  line:accept()
  local entry = job:begin(path, said.size)
  local ok, err = pcall(receive_bytes, job, line, entry, file, said.size)
  if not ok and errors.is(err, "io") then skip(job, line, said.size - entry.bytes) end
  job:finish(entry)
  if not ok and not errors.is(err, "io") then error(err, 0) end
  local refused = line:answer(path)
  line:accept()
  if not ok or refused then error(ok and refused or err, 0) end
  one.settle(job, file, { mode = said.mode, mtime = self.mtime })
  if job:durable(said.size) then job:quiet(await, file.fsync, file) end
  await(file.close, file)
  dir:call(core.fs_rename, temp, dir:at(name))
  job:arrive(dir:show(name), "files")
end

local function receive_file(self, said, path, dir, name)
  local job, temp = self.job, names.temporary(name)
  job.total = job.total + said.size
  local opened, file = pcall(dir.make_file, dir, temp, one.new_mode(job, said))
  if not opened then
    self.line:refuse("cannot be written")
    error(file, 0)
  end
  local ok, err = pcall(receive_into, self, said, path, dir, name, temp, file)
  if ok then return end
  pcall(file.close, file, function() end)
  dir:drop(temp)
  error(err, 0)
end

--- Leaves the directory on top of the stack, complete or not.
local function leave(self, settled)
  local top = table.remove(self.stack)
  local ok, err = true, nil
  if settled then
    local mode = top.made and (self.job.opts.dir_mode or names.masked(
      self.job.opts.setuid and top.mode or top.mode % 512, core.umask())) or self.job.opts.dir_mode
    ok, err = pcall(here.settle, top.dir, mode, top.mtime)
  end
  top.dir:leave()
  if not ok then self.job:fail(top.dir.shown, err) end
end

local function enter(self, said, path, parent, name)
  if #self.stack >= DEPTH_MAX then
    errors.raise({ kind = "limit",
      message = ("%s: more than %d levels of directories"):format(errors.excerpt(path), DEPTH_MAX) })
  end
  local ok, made = pcall(here.make, parent, name)
  local good, dir
  if ok then good, dir = pcall(here.enter, parent, name) end
  if not ok or not good then
    self.line:refuse("cannot be made")
    return self.job:fail(path, ok and dir or made)
  end
  if made then self.job:arrive(dir.shown .. "/", "directories") end
  self.stack[#self.stack + 1] = { dir = dir, mode = said.mode, made = made, seen = {}, path = path,
    rel = self.rel, mtime = self.mtime }
  self.line:accept()
end

--- The first announcement is what was asked for, under its name, once; the others are below it.
local function locate(self, said)
  local top = self.stack[#self.stack]
  if top then
    if top.seen[said.name] then self.line:unwanted(said) end
    top.seen[said.name] = true
    self.rel = top.rel == "" and said.name or top.rel .. "/" .. said.name
    return top.dir, said.name, names.join(top.path, said.name)
  end
  local known = self.base == "" or self.base == "." or self.base == ".."
  if self.begun or not (known or said.name == self.base) then self.line:unwanted(said) end
  self.begun, self.rel = true, ""
  return self.dir, self.name, self.from
end

local function receive(self, said)
  if said.what == "times" then
    self.mtime = self.job.opts.times and said.mtime or nil
    return self.line:accept()
  elseif said.what == "end" then
    if #self.stack == 0 then self.line:unwanted(said) end
    leave(self, true)
    return self.line:accept()
  end
  self.entries = self.entries + 1
  if self.entries > ENTRIES_MAX or (said.what == "directory" and not self.recursive) then self.line:unwanted(said) end
  local dir, name, path = locate(self, said)
  if names.excluded(self.rel ~= "" and self.job.opts.exclude or nil, self.rel, name, said.what == "directory") then
    self.line:refuse("excluded")
  elseif said.what == "directory" then
    enter(self, said, path, dir, name)
  else
    self.job:try(path, receive_file, self, said, path, dir, name)
  end
  self.mtime = nil
end

local function run(self)
  self.line:accept()
  while true do
    local said, complaint = self.line:announcement(self.from)
    if complaint then
      if not self.begun then error(complaint, 0) end
      self.job:fail(complaint.path, complaint)
    elseif not said then
      break
    else
      receive(self, said)
    end
  end
  if #self.stack > 0 or not self.begun then self.line:ended() end
end

local function attempt(job, from, dir, name, recursive)
  local flags = "-f" .. (recursive and " -r" or "") .. (job.opts.times and " -p" or "")
  with(job, flags, from, function(line)
    local self = setmetatable({ job = job, line = line, from = from, dir = dir, name = name, recursive = recursive,
      base = names.base(from), stack = {}, entries = 0 }, Sink)
    local ok, err = pcall(run, self)
    while #self.stack > 0 do leave(self, false) end
    if not ok then error(err, 0) end
    line:finish()
  end)
end

local function is_directory(err)
  return errors.is(err, "io") and err.name == "SCP" and err.message:lower():find("not a regular file") ~= nil
end

---@param job sshlua.TransferJob
---@param dir sshlua.LocalDirectory where the copy will be
---@param name string of the copy
function M.get(job, from, dir, name)
  if from:sub(-1) ~= "/" then
    local ok, err = pcall(attempt, job, from, dir, name, false)
    if ok then return end
    if not is_directory(err) then error(err, 0) end
  end
  job.is_tree = true
  attempt(job, (from:gsub("(.)/+$", "%1")), dir, name, true)
end

return M
