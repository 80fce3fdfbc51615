--- The small files of a tree, some dozens or hundreds in one operation of the C module. It does what goes as it should;
--- a file that anything is wrong with is left as it was, and whoever copies one file does it, and says what is wrong.

local core = require("sshlua.core")
local leftovers = require("sshlua.transfer_leftovers")
local names = require("sshlua.transfer_names")
local outlast = require("sshlua.task.outlast")
local sync = require("sshlua.task.sync")

local M = {}

local SIZE_MAX = 65536 -- of one file
local AT_ONCE = 128 -- files of one operation
local BYTES = 1024 * 1024 -- about so many of one operation
local NODES = 32 -- directories of one operation: each is held open
local OPERATIONS = 6
local STOP_SECONDS = 5
local FIELDS = 7 -- of a file in an operation's list: source, temporary name, target, size, modes, time

---@class sshlua.TransferMany
---@field most integer bytes of the largest file that is taken
local Many = {}
Many.__index = Many

local slow = { "verify", "resume", "limit", "fsync", "dry_run" }

--- For a tree; nil when its options or the server need one file at a time.
---@param job sshlua.TransferJob
---@param way "put"|"get"
---@param copy fun(node: table, name: string, st: table) copies one alone
---@param release fun(node: table)
---@return sshlua.TransferMany?
function M.new(job, way, copy, release)
  local opts, sftp = job.opts, job.sftp
  for _, name in ipairs(slow) do
    if opts[name] then return nil end
  end
  if way == "put" and not sftp.offers["posix-rename@openssh.com"] then return nil end
  local limits = sftp:limits()
  local most = way == "put" and limits.write_size * 2 or limits.read_size - 1
  return setmetatable({
    job = job, way = way, copy = copy, release = release, most = math.min(SIZE_MAX, most),
    gate = sync.semaphore(math.min(opts.files or OPERATIONS, OPERATIONS)), umask = core.umask(),
    list = {}, entries = {}, bytes = 0, nodes = 0,
  }, Many)
end

--- Is it a file for us? `old`: what is known to be in its place.
function Many:takes(st, old)
  if not st.size or st.size > self.most then return false end
  return not (old and self.job.opts.skip) -- to be compared
end

local function push(list, ...)
  local n = #list
  for i = 1, FIELDS do list[n + i] = (select(i, ...)) end
end

local function mtime_of(job, st)
  return job.opts.times and st.mtime and names.wire_time(st.mtime) or -1
end

local add = {}

function add.put(self, node, name, st)
  local to = node.target:show(name)
  local mode = names.mode(self.job.opts, st.mode) or -1
  push(self.list, node.source:at(name), names.temporary(to), to, st.size, 0, mode, mtime_of(self.job, st))
end

--- Made with the original's mode under our umask; where there is more to a mode it is made private first.
function add.get(self, node, name, st)
  local opts, create, change = self.job.opts, st.mode and st.mode % 512 or 438, -1
  if opts.mode or opts.setuid then
    create, change = 384, opts.mode or st.mode and names.masked(names.mode(opts, st.mode), self.umask) or -1
  end
  push(self.list, node.source:show(name), node.target:at(names.temporary(name)), node.target:at(name), st.size,
    create, change, mtime_of(self.job, st))
end

--- Takes a file; when there are enough they go, in a task of `s`.
function Many:add(s, node, name, st)
  node.uses = node.uses + 1
  if self.node ~= node then self.node, self.nodes = node, self.nodes + 1 end
  add[self.way](self, node, name, st)
  self.entries[#self.entries + 1] = { node = node, name = name, st = st }
  self.bytes = self.bytes + st.size
  if #self.entries >= AT_ONCE or self.bytes >= BYTES or self.nodes >= NODES then self:flush(s) end
end

local function done(self, entries, flags, bytes)
  local job = self.job
  job.total = job.total + bytes
  job.bytes = job.bytes + bytes
  local left = {}
  for i, e in ipairs(entries) do
    if flags:byte(i) == 49 then
      job:arrive(e.node.target:show(e.name), "files")
    else
      left[#left + 1] = e
    end
  end
  return left
end

--- The operation to its end. Cancelled, it stops, and we wait for what the thread pool is writing: nothing appears
--- behind our back, and the directories that it writes through stay open.
local function copy_all(self, list, entries)
  local client = self.job.sftp.core
  local r, said = outlast(STOP_SECONDS, function(finished)
    return client[self.way .. "_files"](client, list, self.job.opts.links == "follow", finished)
  end, function(op) op:stop() end)
  if r[1] then return r[2], r[3] end
  if said and not said[1] then done(self, entries, said[2], said[3]) end
  if self.way == "put" and not self.job.sftp:is_alive() then
    for i = 2, #list, FIELDS do leftovers.note(self.job, list[i]) end
  end
  error(r[2], 0)
end

local function run(self, list, entries)
  local flags, bytes = copy_all(self, list, entries)
  for _, e in ipairs(done(self, entries, flags, bytes)) do
    self.job:try(e.node.source:show(e.name), self.copy, e.node, e.name, e.st)
  end
end

--- What has been taken goes now.
function Many:flush(s)
  local list, entries = self.list, self.entries
  if #entries == 0 then return end
  self.list, self.entries, self.bytes, self.nodes, self.node = {}, {}, 0, 0, nil
  self.gate:acquire()
  s:spawn(function()
    local ok, err = pcall(self.job.try, self.job, entries[1].name, run, self, list, entries)
    for _, e in ipairs(entries) do
      local good, why = pcall(self.release, e.node)
      if ok and not good then ok, err = good, why end
    end
    self.gate:release()
    if not ok then error(err, 0) end
  end)
end

return M
