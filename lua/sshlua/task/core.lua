--- Tasks and waiting: THE file with coroutines. A task is a coroutine that belongs to a scope; `await` is the only way
--- to suspend one and `resume` the only way to go on. The semantics are in docs/concurrency.md.
---
--- A scope is what can be cancelled. Cancelling is level-triggered: while a task is inside a cancelled scope, every
--- await raises the scope's error again, until the scope is left. A shielded scope keeps the cancelling of outer
--- scopes out.

local errors = require("sshlua.errors")
local loop = require("sshlua.loop")

local M = {}

local create, resume_co, yield, running, status =
  coroutine.create, coroutine.resume, coroutine.yield, coroutine.running, coroutine.status
local unpack = table.unpack or unpack -- luacheck: ignore 143
local select, pcall, error = select, pcall, error

local SUSPEND = {} -- what await yields; anything else is a foreign yield

---@class sshlua.CancelScope
---@field parent? sshlua.CancelScope
---@field cancelled? any the error that every await inside raises
---@field shield? boolean

---@class sshlua.Task
---@field scope sshlua.CancelScope where it stands now
---@field result? table packed results once it has ended well
---@field error? any why it ended badly
---@field ended? boolean
local Task = {}
local task_mt = { __index = Task, __name = "sshlua.Task" }
M.Task = Task

local current -- the task that runs now
local live = 0 -- tasks that have not ended
local ready, ready_head, ready_tail = {}, 1, 0 -- tasks to resume, with what
local draining = false

local function pack(...) return { n = select("#", ...), ... } end
M.pack = pack

--- Scopes -------------------------------------------------------------------------------------------------------------

--- A new scope below `parent`; not entered yet.
---@return sshlua.CancelScope
function M.new_scope(parent, shield)
  return { parent = parent, shield = shield or false, tasks = {}, children = {} }
end

--- The error that an await of this scope would raise now, or nil.
function M.pending(scope)
  while scope do
    if scope.cancelled then return scope.cancelled end
    if scope.shield then return nil end
    scope = scope.parent
  end
end
local pending = M.pending

local function move(task, scope)
  task.scope.tasks[task] = nil
  task.scope = scope
  scope.tasks[task] = true
end

local function require_task(level)
  if not current then
    errors.usage(level + 1, "not inside a task: wrap the call in ssh.run(function() ... end)")
  end
  return current
end

--- Runs fn(...) with the current task inside `scope`; returns pcall's results, packed.
function M.within(scope, fn, ...)
  local task = require_task(2)
  local outer = task.scope
  if scope.parent then scope.parent.children[scope] = true end
  move(task, scope)
  local r = pack(pcall(fn, ...))
  move(task, outer)
  if scope.parent then scope.parent.children[scope] = nil end
  return r
end

local function interrupt_all(scope, err)
  local waiting = {}
  for task in pairs(scope.tasks) do waiting[#waiting + 1] = task end
  for _, task in ipairs(waiting) do task:_interrupt(err) end
  local inner = {}
  for child in pairs(scope.children) do inner[#inner + 1] = child end
  for _, child in ipairs(inner) do
    if not child.shield then interrupt_all(child, err) end
  end
end

--- Cancels everything inside the scope, now and for as long as it lasts. The first reason stays.
---@param err? any default: an Error of kind cancelled
function M.cancel(scope, err)
  if scope.cancelled then return end
  scope.cancelled = err or errors.new({ kind = "cancelled", message = "cancelled" })
  interrupt_all(scope, scope.cancelled)
end

--- Is err this cancellation, or one that carries what a cancelled call had so far?
function M.is_cancellation(err, cancelled)
  if cancelled == nil then return false end
  return err == cancelled or (errors.is(err, "cancelled") and err.cancelled_by == cancelled)
end

--- Running ------------------------------------------------------------------------------------------------------------

local function task_ended(task, ok, ...)
  task.ended = true
  live = live - 1
  task.scope.tasks[task] = nil
  if ok then
    task.result = pack(...)
  else
    task.error = (...)
    if task.error == nil then task.error = "error with a nil value" end
    local trace = debug.traceback(task.co)
    task.traceback = trace
    if errors.is(task.error) and not rawget(task.error, "traceback") then task.error.traceback = trace end
  end
  local watchers = task.watchers
  task.watchers = nil
  for i = 1, watchers and #watchers or 0 do watchers[i](task) end
end

local function after_resume(task, ok, token, ...)
  if status(task.co) == "dead" then return task_ended(task, ok, token, ...) end
  if token ~= SUSPEND then
    local message = "coroutine.yield in a task: tasks wait with the functions of sshlua; "
      .. "a generator needs a coroutine of its own"
    task_ended(task, false, errors.new({ kind = "usage", message = message }))
  end
end

local function step(task, ...)
  local previous = current
  current = task
  task.waiting = nil
  after_resume(task, resume_co(task.co, ...))
  current = previous
end

local function drain()
  draining = true
  while ready_head <= ready_tail do
    local entry = ready[ready_head]
    ready[ready_head] = nil
    ready_head = ready_head + 1
    if not entry.task.ended then step(entry.task, unpack(entry, 1, entry.n)) end
  end
  ready_head, ready_tail = 1, 0
  draining = false
  loop.kick()
end

--- Resumes from the top level only: a task that wakes another goes on first.
local function wake(task, ...)
  if not draining then
    draining = true
    step(task, ...)
    return drain()
  end
  local entry = pack(...)
  entry.task = task
  ready_tail = ready_tail + 1
  ready[ready_tail] = entry
end

--- Starts fn(...) as a task inside `scope`. It runs for the first time when the caller suspends or returns.
---@param scope sshlua.CancelScope
---@return sshlua.Task
function M.spawn(scope, fn, ...)
  local task = setmetatable({ co = create(fn), scope = scope, wait = 0 }, task_mt)
  scope.tasks[task] = true
  live = live + 1
  wake(task, ...)
  return task
end

--- Calls f(task) when the task has ended; at once if it has.
function Task:watch(f)
  if self.ended then return f(self) end
  self.watchers = self.watchers or {}
  self.watchers[#self.watchers + 1] = f
end

--- A waiting task stops waiting and raises err there. One that is about to go on meets the cancellation at its next
--- await: what it has just been given is not lost.
function Task:_interrupt(err)
  local waiting = self.waiting
  if not waiting then return end
  self.waiting = nil
  self.wait = self.wait + 1 -- a late `done` finds itself out of date
  if type(waiting) == "table" or type(waiting) == "userdata" then waiting:cancel() end
  wake(self, err)
end

--- Waiting ------------------------------------------------------------------------------------------------------------

local function raise(err)
  if type(err) == "table" and not errors.is(err) and err.kind then err = errors.from(err) end
  error(err, 0)
end

local function finish(err, ...)
  if err ~= nil then raise(err) end
  return ...
end

local no_yield = "attempt to yield across a C"

--- Both VMs forbid yielding across a C function; say where the script stands.
local function suspend()
  local ok, a, b, c, d, e = pcall(yield, SUSPEND)
  if ok then return a, b, c, d, e end
  if type(a) == "string" and a:find(no_yield, 1, true) then
    errors.usage(3, "cannot wait here: inside a sort comparator, a gsub callback or another C function")
  end
  error(a, 0)
end

--- Starts an operation and suspends the task until it has ended. `start(..., done)` returns something with a method
--- `cancel` (or nil), and calls done(err, ...) once, now or later; at most four results after err. Returns the results
--- or raises err as an Error.
function M.await(start, ...)
  local task = require_task(2)
  if running() ~= task.co then
    errors.usage(2, "cannot wait here: inside a coroutine that is not a task")
  end
  local cancelled = pending(task.scope)
  if cancelled then error(cancelled, 0) end
  task.wait = task.wait + 1
  local turn, early = task.wait, nil
  local suspended = false
  local function done(...)
    if task.wait ~= turn then return end
    task.wait = turn + 1
    if suspended then
      task.waiting = nil
      wake(task, ...)
    else
      early = pack(...)
    end
  end
  local n = select("#", ...)
  local op
  if n == 0 then
    op = start(done)
  elseif n == 1 then
    op = start((...), done)
  else
    local args = { ... }
    args[n + 1] = done
    op = start(unpack(args, 1, n + 1))
  end
  if early then return finish(unpack(early, 1, early.n)) end
  suspended = true
  task.waiting = op or true
  return finish(suspend())
end

--- A point where a cancelled task stops although it has nothing to wait for.
function M.checkpoint()
  local task = current
  local cancelled = task and pending(task.scope)
  if cancelled then error(cancelled, 0) end
end

--- The current task, or nil outside.
function M.current() return current end

--- The current scope; raises outside a task.
function M.current_scope() return require_task(2).scope end

--- How many tasks have not ended: zero when everything is over.
function M.live() return live end

--- Calls fn(...) in a fresh coroutine until it ends, for pieces of C that must not see our tasks (busted's runner).
--- Nothing inside may wait unless it starts a run of its own.
function M.outside(fn, ...)
  local previous, was_draining = current, draining
  current, draining = nil, false
  local r = pack(pcall(fn, ...))
  current, draining = previous, was_draining
  return unpack(r, 1, r.n)
end

return M
