--- One transfer under way: what has moved and how fast, what arrived and what failed, when it has to stop.
--- Must not know directions, names or files' sides.

local Result = require("sshlua.result").Result
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local scope = require("sshlua.task.scope")
local sync = require("sshlua.task.sync")

local M = {}

local IDLE = 120
local SMALL = 1024 * 1024 -- files below may be many at once
local SMALL_AT_ONCE, LARGE_AT_ONCE = 64, 4
local LIST_MAX = 100000

---@class sshlua.TransferJob
---@field failed { path: string, err: sshlua.Error }[]
local Job = {}
Job.__index = Job

--- Starting ---------------------------------------------------------------------------------------------------------

---@param host sshlua.Host
---@param op "put"|"get"|"sync"|"copy"
---@param opts sshlua.TransferOptions
---@return sshlua.TransferJob
function M.new(host, op, opts)
  local buffer = opts.buffer or 4 * 1024 * 1024
  return setmetatable({
    host = host, name = host.name, op = op, opts = opts, started = core.now(),
    block = math.max(32768, math.floor(buffer / 8)), blocks = 8,
    bytes = 0, total = 0, active = {}, ticks = 0, busy = 0,
    files = 0, same = 0, directories = 0, links = 0, changes = 0,
    arrived = {}, deleted = {}, left_out = {}, failed = {},
    small = sync.semaphore(opts.files or SMALL_AT_ONCE),
    large = sync.semaphore(math.min(opts.files or LARGE_AT_ONCE, LARGE_AT_ONCE)),
  }, Job)
end

--- The semaphore whose place a file of that size needs.
function Job:gate(size) return size and size < SMALL and self.small or self.large end

--- Should a file of that size be on the disk before it gets its name? Alone always; of a tree only large ones.
function Job:durable(size)
  if self.opts.fsync ~= nil then return self.opts.fsync end
  return not self.is_tree or size >= SMALL
end

--- Moving -----------------------------------------------------------------------------------------------------------

--- A file begins to move: { path, size, bytes, poll }; `poll` gives what has moved of the piece under way.
function Job:begin(path, size, already)
  local entry = { path = path, size = size, bytes = already or 0, poll = nil }
  self.active[entry] = true
  self.latest = entry
  return entry
end

--- It has ended, well or not.
function Job:finish(entry)
  self.active[entry] = nil
  self.bytes = self.bytes + entry.bytes
  self.ticks = self.ticks + 1
end

--- Something other than bytes went on.
function Job:tick() self.ticks = self.ticks + 1 end

--- Waits until n more bytes fit into the limit. One account for all files of the job.
function Job:pace(n)
  local limit = self.opts.limit
  if not limit then return end
  local now = core.now()
  local free = math.max(self.free_at or now, now)
  self.free_at = free + n / limit
  if free > now then
    self.busy = self.busy + 1
    local ok, err = pcall(scope.sleep, free - now)
    self.busy = self.busy - 1
    if not ok then error(err, 0) end
  end
end

--- The most that should move in one call.
function Job:slice(left)
  local limit = self.opts.limit
  if not limit then return left end
  return math.min(left, math.max(4096, math.floor(limit / 8)))
end

--- fn(...) during which no byte moves, but that has a limit of its own.
function Job:quiet(fn, ...)
  self.busy = self.busy + 1
  local ok, value = pcall(fn, ...)
  self.busy = self.busy - 1
  self:tick()
  if not ok then error(value, 0) end
  return value
end

local function live_bytes(entry)
  if not entry.poll then return entry.bytes end
  local ok, moved = pcall(entry.poll)
  return entry.bytes + (ok and moved or 0)
end

--- Bytes that have moved so far.
function Job:moved()
  local sum = self.bytes
  for entry in pairs(self.active) do sum = sum + live_bytes(entry) end
  return sum
end

--- Watching ---------------------------------------------------------------------------------------------------------

---@class sshlua.TransferProgress
---@field host string
---@field file? string the one that began last
---@field file_bytes? integer
---@field file_size? integer
---@field bytes integer of all files
---@field total integer of all files that are known so far
---@field files integer that have arrived
---@field rate number bytes per second, of late
---@field eta? number seconds to the end at that rate
---@field ended boolean this is the last event

function Job:event(ended)
  local now, moved = core.now(), self:moved()
  local before = self.sampled or { at = self.started, moved = 0, rate = nil }
  local span = now - before.at
  local rate = before.rate or 0
  if span > 0.05 then
    local latest = (moved - before.moved) / span
    rate = before.rate and before.rate * 0.7 + latest * 0.3 or latest
    self.sampled = { at = now, moved = moved, rate = rate }
  end
  local file = self.latest
  local left = math.max(self.total - moved, 0)
  return {
    host = self.name, file = file and file.path, file_bytes = file and live_bytes(file),
    file_size = file and file.size, bytes = moved, total = math.max(self.total, moved), files = self.files,
    rate = rate, eta = rate > 0 and left / rate or nil, ended = ended or false,
  }
end

function Job:report(ended)
  if self.progress then self.progress(self:event(ended)) end
end

local function watch(self)
  local idle = self.opts.idle or IDLE
  local step = self.progress and 0.2 or 1
  if idle > 0 then step = math.min(step, math.max(idle / 4, 0.02)) end
  local seen, since = -1, core.now()
  while true do
    scope.sleep(step)
    local exchanged = self.sftp and self.sftp:is_alive() and self.sftp.core:moved() or 0
    local state = self:moved() + self.ticks + exchanged
    if state ~= seen or self.busy > 0 then
      seen, since = state, core.now()
    elseif core.now() - since >= idle and idle > 0 then
      errors.raise({ kind = "timeout", host = self.name, op = self.op, phase = "command",
        message = ("%s: nothing moved for %g s"):format(self.op, idle),
        hint = "the option idle (--idle-timeout) says how long that may last" })
    end
    self:report(false)
  end
end

--- The cancellation belongs to many; what this job had so far belongs to it alone.
local function cancelled(self, err)
  return errors.new({ kind = "cancelled", message = err.message, cause = err.cause, host = self.name, op = self.op,
    cancelled_by = err.cancelled_by or err, bytes = self:moved(), result = self:result(err) })
end

--- Runs fn(job), watched; returns the Result or raises with it.
function M.run(self, fn)
  local ok, err = pcall(group.scope, function(s)
    s:spawn(watch, self)
    fn(self)
    s:cancel()
  end)
  if not ok then
    pcall(self.report, self, true)
    if not errors.is(err) then error(err, 0) end
    if errors.is(err, "cancelled") then error(cancelled(self, err), 0) end
    errors.wrap(err, { host = self.name, op = self.op, bytes = self:moved(), result = self:result(err) })
    error(err, 0)
  end
  self:report(true)
  return self:result(nil)
end

--- Outcomes ---------------------------------------------------------------------------------------------------------

local function note(list, value)
  if #list < LIST_MAX then list[#list + 1] = value end
end

--- An entry has arrived under its name.
function Job:arrive(path, what)
  self[what] = self[what] + 1
  self.changes = self.changes + 1
  note(self.arrived, path)
  self:tick()
end

function Job:delete(path)
  self.changes = self.changes + 1
  note(self.deleted, path)
  self:tick()
end

--- An entry was passed over on purpose.
function Job:leave_out(path, why)
  note(self.left_out, { path = path, why = why })
  self:tick()
end

local ends_all = { cancelled = true, connection_lost = true, closed = true, timeout = true, protocol = true,
  memory = true, usage = true, channel = true }

--- An entry failed: the others go on, unless none of them can or the script wants it otherwise.
function Job:fail(path, err)
  if not errors.is(err) or ends_all[err.kind] or self.opts.keep_going == false then error(err, 0) end
  errors.wrap(err, { host = self.name, op = self.op, path = path })
  note(self.failed, { path = path, err = err })
  self:tick()
end

--- fn(...), its failure noted; true when it went well.
function Job:try(path, fn, ...)
  local ok, err = pcall(fn, ...)
  if not ok then self:fail(path, err) end
  return ok
end

local function plural(n, word) return ("%d %s%s"):format(n, word, n == 1 and "" or "s") end

function Job:summary()
  local parts = { plural(self.files, "file") .. ", " .. plural(self:moved(), "byte") }
  local function add(n, text) if n > 0 then parts[#parts + 1] = n .. " " .. text end end
  if self.links > 0 then parts[#parts + 1] = plural(self.links, "link") end
  add(self.same, "same")
  add(#self.deleted, "deleted")
  add(#self.left_out, "left out")
  add(#self.failed, "failed")
  return (self.opts.dry_run and "would be: " or "") .. table.concat(parts, "; ")
end

local function diff_of(self)
  local lines = {}
  for _, path in ipairs(self.arrived) do lines[#lines + 1] = "+ " .. path end
  for _, path in ipairs(self.deleted) do lines[#lines + 1] = "- " .. path end
  return lines
end

---@param err sshlua.Error?
---@return sshlua.Result
function Job:result(err)
  local first = self.failed[1]
  local r = {
    host = self.name, port = self.host.port, bytes = self:moved(), duration = core.now() - self.started,
    changed = self.changes > 0, skipped = false, stdout = self:summary() .. "\n",
    files = self.files, same = self.same, directories = self.directories, links = self.links,
    arrived = self.arrived, deleted = self.deleted, left_out = self.left_out, failed = self.failed,
    diff = diff_of(self), digest = self.digest, dry_run = self.opts.dry_run == true,
  }
  if not err and first then
    local n = #self.failed
    local what = n == 1 and first.err.message or ("%d entries failed, the first: %s"):format(n, first.err.message)
    err = errors.new({ kind = first.err.kind, name = first.err.name, code = first.err.code, host = self.name,
      op = self.op, path = first.path, cause = first.err, message = what, bytes = r.bytes, hint = first.err.hint })
  end
  r.err, r.code = err, not err and 0 or nil
  return Result.own(r)
end

return M
