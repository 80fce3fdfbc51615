--- Structured concurrency: a scope owns the tasks started in it and what it has to clean up. It ends when all of them
--- have ended; the first failure nobody handled cancels the others and is raised.

local errors = require("sshlua.errors")
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

local function noop() end

--- Waits although the task is cancelled: its children are, too, and end soon.
local function join(self)
  while self.running > 0 do
    scopes.shield(task.await, function(done)
      self.joined = done
      return { cancel = noop }
    end)
  end
end

local function child_ended(self, child)
  self.running = self.running - 1
  if child.error ~= nil and not task.is_cancellation(child.error, self.inner.cancelled) then self:_fail(child.error) end
  local joined = self.joined
  if self.running == 0 and joined then
    self.joined = nil
    joined()
  end
end

function Scope:_fail(err)
  local cancelled = errors.is(err, "cancelled") and task.pending(self.inner)
  if self.failure == nil and not cancelled then self.failure = err end
  task.cancel(self.inner, errors.new({ kind = "cancelled", message = "cancelled", cause = err }))
end

--- Starts fn(...) as a task of this scope.
---@return sshlua.Task
function Scope:spawn(fn, ...)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  if self.over then errors.usage(2, "the scope is over") end
  self.running = self.running + 1
  local child = task.spawn(self.inner, fn, ...)
  child:watch(function(ended) child_ended(self, ended) end)
  return child
end

--- Calls fn(...) when the scope ends, in reverse order of deferring, however it ends.
function Scope:defer(fn, ...)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  self.deferred[#self.deferred + 1] = { fn = fn, n = select("#", ...), ... }
end

--- Cancels everything in the scope; the scope then returns normally.
function Scope:cancel()
  task.cancel(self.inner, errors.new({ kind = "cancelled", message = "cancelled" }))
end

local function run_deferred(self)
  local failure
  for i = #self.deferred, 1, -1 do
    local d = self.deferred[i]
    local ok, err = pcall(d.fn, unpack(d, 1, d.n))
    if not ok and failure == nil then failure = err end
  end
  if failure ~= nil then error(failure, 0) end
end

local function clean_up(self)
  if #self.deferred == 0 then return end
  local ok, err = pcall(scopes.shield, scopes.timeout, GRACE, run_deferred, self)
  if not ok and self.failure == nil then self.failure = err end
end

--- Runs fn(scope, ...) and returns its results when every task of the scope has ended.
---@param fn fun(scope: sshlua.Scope, ...): ...
function M.scope(fn, ...)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  local inner = task.new_scope(task.current_scope())
  local self = setmetatable({ inner = inner, running = 0, deferred = {} }, scope_mt)
  local r = task.within(inner, function(...)
    local body = task.pack(pcall(fn, self, ...))
    if not body[1] and not task.is_cancellation(body[2], inner.cancelled) then self:_fail(body[2]) end
    join(self)
    self.over = true
    clean_up(self)
    return unpack(body, 1, body.n)
  end, ...)
  if not r[1] then error(r[2], 0) end
  if self.failure ~= nil then error(self.failure, 0) end
  task.checkpoint() -- an outer cancellation goes on from here
  if r[2] then return unpack(r, 3, r.n) end
end

--- Runs the functions at once; returns the first result of each, in order.
---@param ... fun(): any
function M.all(...)
  local functions, results = { ... }, {}
  M.scope(function(s)
    for i, fn in ipairs(functions) do
      s:spawn(function() results[i] = fn() end)
    end
  end)
  return unpack(results, 1, #functions)
end

--- Runs the functions at once; the first to end decides, with its results or its error. The others are cancelled.
---@param ... fun(): ...
function M.race(...)
  local functions, winner = { ... }, nil
  if #functions == 0 then errors.usage(2, "at least one function expected") end
  M.scope(function(s)
    for _, fn in ipairs(functions) do
      s:spawn(function()
        local r = task.pack(pcall(fn))
        if winner then return end
        if not r[1] and errors.is(r[2], "cancelled") and task.pending(task.current_scope()) then error(r[2], 0) end
        winner = r
        s:cancel()
      end)
    end
  end)
  task.checkpoint()
  if not winner[1] then error(winner[2], 0) end
  return unpack(winner, 2, winner.n)
end

local function check_list(list, fn, opts, level)
  if type(list) ~= "table" then errors.usage(level + 1, "list expected, got %s", type(list)) end
  if type(fn) ~= "function" then errors.usage(level + 1, "function expected, got %s", type(fn)) end
  if opts ~= nil and type(opts) ~= "table" then
    errors.usage(level + 1, "options table expected, got %s", type(opts))
  end
  local parallel = opts and opts.parallel or #list
  if type(parallel) ~= "number" or (#list > 0 and not (parallel >= 1)) then
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
---@return any[]
function M.map(list, fn, opts)
  local results = {}
  fan_out(list, check_list(list, fn, opts, 2), function(i) results[i] = fn(list[i], i) end)
  return results
end

local function retry_default(err) return errors.is(err) and err.retryable end

--- Calls fn(attempt) until it succeeds, at most `tries` times. Between attempts it waits `delay` seconds, doubled each
--- time up to `max_delay`, each wait scaled at random by up to `jitter` of itself.
--- Without `on`, every failure but misuse and cancellation is tried again; `on = "retryable"` only those that say so;
--- a function decides by itself.
---@param opts { tries?: integer, delay?: number, max_delay?: number, factor?: number, jitter?: number, on?: string|fun(err: any): boolean }
function M.retry(opts, fn, ...)
  if type(opts) ~= "table" then errors.usage(2, "options table expected, got %s", type(opts)) end
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  local tries, delay = opts.tries or 3, opts.delay or 1
  local factor, max_delay, jitter = opts.factor or 2, opts.max_delay or 30, opts.jitter or 0.25
  local again = opts.on == "retryable" and retry_default or opts.on
  for attempt = 1, tries do
    local r = task.pack(pcall(fn, attempt, ...))
    if r[1] then return unpack(r, 2, r.n) end
    local err = r[2]
    local final = attempt == tries or errors.is(err, "cancelled") or errors.is(err, "usage")
    if final or (again and not again(err)) then error(err, 0) end
    scopes.sleep(delay * (1 - jitter + 2 * jitter * math.random()))
    delay = math.min(delay * factor, max_delay)
  end
end

return M
