--- One function on many hosts: how many at once, how fast they start, when to stop, and the truth about each of them.
--- Whatever one host's function does, every other host keeps its result. Must not know what the function does, nor how
--- hosts are reached.

local Result = require("sshlua.result").Result
local auth_gate = require("sshlua.auth_gate")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local events = require("sshlua.events")
local hostset = require("sshlua.hostset")
local interrupt = require("sshlua.interrupt")
local results = require("sshlua.results")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task")

local M = {}

M.PARALLEL = 64
M.MAX_REFUSED = 10
--- Of larger fleets each connection is closed when its host is done.
M.KEEP = 500

--- What fleet verbs take beside the options of what they do.
---@class sshlua.ExecutorOptions
---@field parallel? integer hosts at once, default 64
---@field ramp? number seconds over which the first `parallel` hosts start; default 0
---@field max_failed? integer|string how many may fail ("10%": of all) before no other starts; default: any number
---@field fail_fast? boolean the first failure stops everybody
---@field max_refused? integer|false so many hosts may refuse the same key or password, none accepting; default 10
---@field keep? boolean connections stay open afterwards; default: in fleets of up to 500
---@field check? boolean false: returns Results instead of raising kind fleet
M.options = {
  parallel = "count", ramp = "seconds", max_failed = "number|string", fail_fast = "boolean",
  max_refused = "count|false", keep = "boolean", check = "boolean",
}

--- A count, or a share of `n` ("25%"), as a count; nil when it is neither.
---@param value any
---@param n integer
---@return integer|nil
function M.share(value, n)
  if type(value) == "number" then return value >= 0 and value % 1 == 0 and value or nil end
  local percent = type(value) == "string" and tonumber(value:match("^([%d.]+)%%$"))
  if percent and percent <= 100 then return math.floor(n * percent / 100) end
  local count = type(value) == "string" and value:match("^%d+$")
  return count and tonumber(count) or nil
end

--- Descriptors of a host at work: its connection and now and then a file; of a tree that is copied dozens of files.
local DESCRIPTORS = { put = 40, get = 40, sync = 40 }
local SPARE = 24 -- the program's own

--- So many hosts at once, or as many as this process may have files open for.
---@param parallel integer
---@param op string
---@return integer
function M.at_once(parallel, op)
  local room = math.floor((core.max_files() - SPARE) / (DESCRIPTORS[op] or 2))
  return math.max(1, math.min(parallel, room))
end

--- Raises usage, `level` callers up, for values that cannot be.
function M.check(opts, level)
  if opts.max_failed ~= nil and not M.share(opts.max_failed, 100) then
    errors.usage(level + 1, 'option \'max_failed\': a count or a share ("10%%") expected, got %s',
      errors.excerpt(tostring(opts.max_failed), 40))
  end
end

---@class sshlua.Run one verb on many hosts
---@field hosts sshlua.Host[]
---@field parallel integer hosts at once, as far as there are descriptors for them
---@field stopped? string why no other host starts
---@field failed integer
---@field done integer
local Run = {}
local run_mt = { __index = Run, __name = "sshlua.Run" }

--- Who has to know about each host: wants(h) says whether it is worked on, ended(h, result) may wait. A journal's.
---@type nil|{ wants: fun(h: sshlua.Host): boolean, ended: fun(h: sshlua.Host, r: sshlua.Result) }
M.observer = nil

local count = 0

--- Nothing starts yet: go() does it. `opts` have been checked.
---@param hosts sshlua.Host[]
---@param opts sshlua.ExecutorOptions and timeout, for each host, and one_interrupt: the first ^C cancels
---@param op string
---@return sshlua.Run
function M.new(hosts, opts, op)
  count = count + 1
  local self = setmetatable({
    id = count, hosts = hosts, opts = opts, op = op, list = {}, active = {}, failed = 0, done = 0, next = 1,
    parallel = M.at_once(opts.parallel or M.PARALLEL, op),
    allowed = opts.max_failed ~= nil and M.share(opts.max_failed, #hosts) or math.huge,
  }, run_mt)
  if opts.fail_fast then self.allowed = 0 end
  local refusals = opts.max_refused
  if refusals == nil then refusals = M.MAX_REFUSED end
  if refusals and #hosts > refusals then self:_make_gate(refusals) end
  self.keep = opts.keep
  if self.keep == nil then self.keep = #hosts <= M.at_once(M.KEEP, op) end
  return self
end

function Run:_make_gate(refusals)
  self.gate = auth_gate.new(refusals)
  self.gate.on_shut = function()
    self:stop(("the first %d hosts refused the same key or password"):format(refusals))
  end
end

--- No other host starts. The first reason stays.
---@param reason string
function Run:stop(reason) self.stopped = self.stopped or reason end

--- Who is being worked on, in the order of the list.
---@return sshlua.Host[]
function Run:running()
  local places, list = {}, {}
  for i in pairs(self.active) do places[#places + 1] = i end
  table.sort(places)
  for n, i in ipairs(places) do list[n] = self.hosts[i] end
  return list
end

--- One host ---------------------------------------------------------------------------------------------------------

--- What a host's failure leaves: what it had so far, and why.
local function failed_result(h, err)
  local r = errors.is(err) and err.result
  local copy = {}
  for k, v in pairs(Result.is(r) and r or {}) do copy[k] = v end
  copy.host, copy.port, copy.err = h.name, h.port, errors.wrap(err, { host = h.name })
  copy.timing = copy.timing or h.target and h.target.timing
  return Result.own(copy)
end

--- The Result of a host that was not started.
function M.skipped(h, reason)
  return Result.own({ host = h.name, port = h.port, skipped = true, reason = reason })
end

local function result_of(h, ok, r)
  if not ok then return failed_result(h, r) end
  if not Result.is(r) then return Result.own({ host = h.name, port = h.port, code = 0, value = r }) end
  return r
end

function Run:_call(h, fn)
  local seconds = self.opts.timeout
  if not seconds then return fn(h) end
  return scope.deadline({
    seconds = seconds, host = h.name, op = self.op,
    message = function() return ("not done within %g s"):format(seconds) end,
  }, fn, h)
end

--- Where it failed is told to whoever looks; the connection of a host of a large fleet is not kept.
function Run:_settle(i, h, r, waited)
  r.timing = r.timing or {}
  r.timing.queue = waited
  self.list[i] = r
  self.active[i] = nil
  self.done = self.done + 1
  if not r.ok and r:status() ~= "skipped" then self.failed = self.failed + 1 end
  if events.wants() then
    events.emit({ what = "end", run = self.id, index = i, host = h.name, port = h.port, result = r })
  end
  if self.on_end then self.on_end(r, i) end
end

function Run:_judge(r)
  if self.failed <= self.allowed or self.stopped then return end
  if self.opts.fail_fast then
    self:stop(("%s failed"):format(r.host))
    self.cut = true
    return self.scope:cancel()
  end
  self:stop(("%d failed, %d may"):format(self.failed, self.allowed))
end

function Run:_visit(i, fn)
  local h = self.hosts[i]
  if M.observer and not M.observer.wants(h) then
    self.list[i] = M.skipped(h, "not asked for")
    return
  end
  local waited = core.now() - self.began
  self.active[i] = true
  if events.wants() then events.emit({ what = "start", run = self.id, index = i, host = h.name, port = h.port }) end
  if h.target then h.target.gate = self.gate end
  local ok, r = pcall(self._call, self, h, fn)
  if h.target then h.target.gate = nil end
  local from_outside = not ok and errors.is(r, "cancelled") and not self.cut
  local noted, why = true, nil
  if M.observer then noted, why = pcall(M.observer.ended, h, result_of(h, ok, r)) end
  if not noted and ok then ok, r = false, why end -- a full disk, say: this host's affair
  self:_settle(i, h, result_of(h, ok, r), waited)
  if from_outside then error(r, 0) end
  if not self.keep and h.target and h.target.timing then pcall(h.close, h) end -- it has been on its way there
  self:_judge(self.list[i])
end

--- All of them --------------------------------------------------------------------------------------------------------

function Run:_work(fn, delay)
  if delay > 0 then scope.sleep(delay) end
  while self.next <= #self.hosts and not self.stopped do
    local i = self.next
    self.next = i + 1
    self:_visit(i, fn)
  end
end

local live = {} -- runs that a ^C stops

local function say_who_runs(run)
  local names = {}
  for i, h in ipairs(run:running()) do names[i] = h.name end
  io.stderr:write(("\nsshlua: interrupted: nothing new starts; still running: %s (^C again cancels)\n"):format(
    #names > 0 and errors.excerpt(hostset.fold(names), 400) or "none"))
end

--- The first ^C stops what has not started, the second is somebody else's.
local function on_interrupt()
  local took = false
  for _, run in ipairs(live) do
    if not run.interrupted then
      run.interrupted, took = true, true
      run:stop("interrupted")
      if events.wants() then events.emit({ what = "interrupted", run = run.id }) end
      say_who_runs(run)
    end
  end
  return took
end

local release

local function watch_interrupts(run)
  if run.opts.one_interrupt then return end
  if #live == 0 then release = interrupt.push(on_interrupt) end
  live[#live + 1] = run
end

local function unwatch_interrupts(run)
  for i = #live, 1, -1 do
    if live[i] == run then table.remove(live, i) end
  end
  if #live == 0 and release then
    release()
    release = nil
  end
end

local function fan_out(self, fn)
  local workers = math.min(self.parallel, #self.hosts)
  local ramp = self.opts.ramp or 0
  task.scope(function(s)
    self.scope = s
    for n = 1, workers do s:spawn(self._work, self, fn, ramp * (n - 1) / workers) end
  end)
end

--- All results so far, in the order of the hosts; who has none was not started.
---@return sshlua.Results
function Run:results()
  local list = {}
  for i, h in ipairs(self.hosts) do list[i] = self.list[i] or M.skipped(h, self.stopped or "cancelled") end
  return results.new(list)
end

--- Calls fn(h) for each host; returns when all that started have ended. Only the cancellation of the whole is raised;
--- results() says how far it came.
---@param fn fun(h: sshlua.Host): any
---@return sshlua.Results
function Run:go(fn)
  self.began = core.now()
  if events.wants() then
    events.emit({ what = "begin", run = self.id, op = self.op, hosts = self.hosts, parallel = self.parallel })
  end
  watch_interrupts(self)
  local ok, err = pcall(fan_out, self, fn)
  unwatch_interrupts(self)
  local rs = self:results()
  if events.wants() then events.emit({ what = "finish", run = self.id, results = rs, stopped = self.stopped }) end
  if not ok then error(err, 0) end
  if self.interrupted then
    interrupt.go_on()
    task.checkpoint()
  end
  return rs
end

--- Raising ----------------------------------------------------------------------------------------------------------

--- A mistake of the script that met every host is told as such.
local function raise_misuse(failed, n)
  if #failed ~= n then return end
  for _, r in ipairs(failed) do
    if not errors.is(r.err, "usage") then return end
  end
  error(failed[1].err, 0)
end

local function cause_of(r)
  if r.err ~= nil then return r.err end
  local ok, err = pcall(r.check, r)
  return not ok and err or nil
end

--- Raises one Error of kind fleet when a host failed.
---@param rs sshlua.Results
---@param op string
---@return sshlua.Results
function M.raise_if_failed(rs, op)
  local failed = rs:failed()
  if #failed == 0 then return rs end
  raise_misuse(failed, #rs)
  errors.raise({
    kind = "fleet", op = op, result = rs, cause = cause_of(failed[1]),
    message = ("%s failed on %d of %d hosts: %s"):format(op, #failed, #rs, tostring(rs)),
  })
end

--- new and go; raises at the end unless check is false.
---@return sshlua.Results
function M.run(hosts, opts, op, fn)
  local rs = M.new(hosts, opts, op):go(fn)
  if opts.check ~= false then M.raise_if_failed(rs, op) end
  return rs
end

return M
