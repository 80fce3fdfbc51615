--- Structured concurrency: a scope owns the tasks started in it and what it has to clean up. It ends when all of them
--- have ended; the first failure nobody handled cancels the others and is raised.

local errors = require("sshlua.errors")
local options = require("sshlua.options")
local scopes = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

--- Seconds that clean-up may take, all deferred functions of one scope together.
local GRACE = 5

---@class sshlua.Scope
---@field private inner sshlua.CancelScope
local Scope = {}
local scope_mt = { __index = Scope, __name = "sshlua.Scope" }

function scope_mt:__tostring()
  return ("sshlua.Scope: %s, %d tasks"):format(self.over and "over" or "open", self.running)
end

local function check_function(fn, level)
  if type(fn) ~= "function" then errors.usage(level + 1, "function expected, got %s", type(fn)) end
end

--- Waits although the task is cancelled: its children are, too, and end soon.
local function join(self)
  if self.running == 0 then return end
  task.park(function(done) self.joined = done end)
end

local function child_ended(self, child)
  self.running = self.running - 1
  if child.error ~= nil then self:_fail(child.error) end
  if self.running == 0 and self.joined then self.joined() end
end

--- A failure that is no cancellation of ours or from around us: the first one counts, the others are told to stop.
function Scope:_fail(err)
  if task.is_pending(err, self.inner) then return end
  if self.failure == nil then self.failure = err end
  task.cancel(self.inner, errors.new({ kind = "cancelled", message = "cancelled", cause = err }))
end

--- Starts fn(...) as a task of this scope.
---@param fn fun(...): ...
---@param ... any for fn
---@return sshlua.Task
function Scope:spawn(fn, ...)
  check_function(fn, 2)
  if self.over then errors.usage(2, "the scope is over") end
  self.running = self.running + 1
  local ok, child = pcall(task.spawn_watched, self.inner, self.on_end, fn, ...)
  if ok then return child end
  self.running = self.running - 1 -- no memory, no stack
  error(child, 0)
end

--- Calls fn(...) when the scope ends, in reverse order of deferring, however it ends.
---@param fn fun(...)
---@param ... any for fn
function Scope:defer(fn, ...)
  check_function(fn, 2)
  if self.finished then errors.usage(2, "the scope is over") end
  self.deferred[#self.deferred + 1] = { fn = fn, n = select("#", ...), ... }
end

--- Cancels everything in the scope; the scope then returns normally.
function Scope:cancel()
  task.cancel(self.inner, errors.new({ kind = "cancelled", message = "cancelled" }))
end

local function run_deferred(self)
  local failure
  while #self.deferred > 0 do
    local d = table.remove(self.deferred)
    local r = task.protected(d.fn, unpack(d, 1, d.n))
    if not r[1] and failure == nil then failure = r[2] end
  end
  if failure ~= nil then error(failure, 0) end
end

local function clean_up(self)
  if #self.deferred == 0 then return end
  local limit = { seconds = GRACE, phase = "close", message = ("clean-up took longer than %g s"):format(GRACE) }
  local r = task.protected(scopes.shield, scopes.deadline, limit, run_deferred, self)
  if not r[1] and self.failure == nil then self.failure = r[2] end
end

--- Runs fn(scope, ...) and returns its results when every task of the scope has ended.
---@param fn fun(scope: sshlua.Scope, ...): ...
---@param ... any for fn
---@return any ... fn's results
function M.scope(fn, ...)
  check_function(fn, 2)
  task.check_wait()
  local inner = task.new_scope(task.current_scope())
  local self = setmetatable({ inner = inner, running = 0, deferred = {} }, scope_mt)
  self.on_end = function(child) child_ended(self, child) end
  local r = task.within(inner, fn, self, ...)
  if not r[1] then self:_fail(r[2]) end
  local joined, err = pcall(join, self)
  if not joined then self:_fail(err) end -- the stack is full: nobody can wait here, but they are told to end
  self.over = true
  clean_up(self)
  self.finished = true
  task.close_scope(inner)
  if self.failure ~= nil then error(self.failure, 0) end
  -- Somebody around us cancels: an error of the body may carry what it had so far.
  if not r[1] and not task.is_cancellation(r[2], inner.cancelled) then error(r[2], 0) end
  task.checkpoint()
  if r[1] then return unpack(r, 2, r.n) end
end

local function check_functions(level, ...)
  local functions = { n = select("#", ...), ... }
  for i = 1, functions.n do
    if type(functions[i]) ~= "function" then
      errors.usage(level + 1, "argument %d: function expected, got %s", i, type(functions[i]))
    end
  end
  return functions
end

--- Runs the functions at once; returns the first result of each, in order.
---@param ... fun(): any
---@return any ... first result of each
function M.all(...)
  local functions, results = check_functions(2, ...), {}
  M.scope(function(s)
    for i, fn in ipairs(functions) do
      s:spawn(function() results[i] = fn() end)
    end
  end)
  return unpack(results, 1, functions.n)
end

--- Runs the functions at once; the first to end decides, with its results or its error. The others are cancelled.
---@param ... fun(): ...
---@return any ... the winner's results
function M.race(...)
  local functions, winner = check_functions(2, ...), nil
  if functions.n == 0 then errors.usage(2, "at least one function expected") end
  M.scope(function(s)
    for _, fn in ipairs(functions) do
      s:spawn(function()
        local r = task.protected(fn)
        if winner then return end
        if not r[1] and task.is_pending(r[2], task.current_scope()) then error(r[2], 0) end
        winner = r
        s:cancel()
      end)
    end
  end)
  if not winner[1] then error(winner[2], 0) end
  return unpack(winner, 2, winner.n)
end

local each_options = { parallel = "number" }

--- Checks, and returns how many tasks work on the list.
local function check_list(list, fn, opts, level)
  if type(list) ~= "table" then errors.usage(level + 1, "list expected, got %s", type(list)) end
  check_function(fn, level + 1)
  local parallel = options.check(opts, each_options, level + 1).parallel or math.huge
  if not (parallel >= 1) then
    errors.usage(level + 1, "option 'parallel': a number of at least 1 expected, got %s", tostring(parallel))
  end
  return math.min(parallel, #list)
end

local function fan_out(list, workers, visit)
  local next_index = 0
  M.scope(function(s)
    for _ = 1, workers do
      s:spawn(function()
        while next_index < #list do
          next_index = next_index + 1
          visit(next_index)
        end
      end)
    end
  end)
end

--- Calls fn(item, index) for each item, `parallel` of them at once (default: all).
---@param list any[]
---@param fn fun(item: any, index: integer)
---@param opts? { parallel?: integer }
function M.each(list, fn, opts)
  fan_out(list, check_list(list, fn, opts, 2), function(i) fn(list[i], i) end)
end

--- As each; returns the list of first results, with holes where fn returned nil.
---@param list any[]
---@param fn fun(item: any, index: integer): any
---@param opts? { parallel?: integer }
---@return any[]
function M.map(list, fn, opts)
  local results = {}
  fan_out(list, check_list(list, fn, opts, 2), function(i) results[i] = fn(list[i], i) end)
  return results
end

local retry_options = {
  tries = "count", delay = "seconds", max_delay = "seconds", factor = "number", jitter = "number",
  on = "string|function",
}

local function retryable(err) return errors.is(err) and err.retryable end

local function check_retry(opts, fn, level)
  if type(opts) ~= "table" then errors.usage(level + 1, "options table expected, got %s", type(opts)) end
  options.check(opts, retry_options, level + 1)
  check_function(fn, level + 1)
  local factor, jitter, on = opts.factor or 2, opts.jitter or 0.25, opts.on
  if not (factor >= 1) then errors.usage(level + 1, "option 'factor': a number of at least 1 expected") end
  if not (jitter >= 0 and jitter <= 1) then
    errors.usage(level + 1, "option 'jitter': a number from 0 to 1 expected")
  end
  if type(on) == "string" and on ~= "retryable" then
    errors.usage(level + 1, "option 'on': \"retryable\" or a function expected, got %q", on)
  end
  return opts.tries or 3, opts.delay or 1, opts.max_delay or 30, factor, jitter, on == "retryable" and retryable or on
end

--- Calls fn(attempt, ...) until it succeeds, at most `tries` times. Between attempts it waits `delay` seconds, doubled
--- each time up to `max_delay`, each wait scaled at random by up to `jitter` of itself.
--- Without `on`, every failure but misuse and cancellation is tried again; `on = "retryable"` only those that say so;
--- a function decides by itself.
---@class sshlua.RetryOptions
---@field tries? integer default 3
---@field delay? number default 1 s
---@field max_delay? number default 30 s
---@field factor? number default 2
---@field jitter? number 0 to 1, default 0.25
---@field on? "retryable"|fun(err: any): boolean

---@param opts sshlua.RetryOptions
---@param fn fun(attempt: integer, ...): ...
---@param ... any for fn
---@return any ... fn's results
function M.retry(opts, fn, ...)
  local tries, delay, max_delay, factor, jitter, again = check_retry(opts, fn, 2)
  for attempt = 1, tries do
    local r = task.protected(fn, attempt, ...)
    if r[1] then return unpack(r, 2, r.n) end
    local err = r[2]
    local final = attempt == tries or errors.is(err, "cancelled") or errors.is(err, "usage")
    if final or (again and not again(err)) then error(err, 0) end
    delay = math.min(delay, max_delay)
    scopes.sleep(delay * (1 - jitter + 2 * jitter * math.random()))
    delay = delay * factor
  end
end

return M
