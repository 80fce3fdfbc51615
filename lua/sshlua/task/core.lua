--- Tasks and waiting: THE file with coroutines. A task is a coroutine that belongs to a scope; `await` is the only way
--- to suspend one and `step` the only way to go on. The semantics are in docs/concurrency.md.
---
--- A scope is what can be cancelled. Cancelling is level-triggered: while a task is inside a cancelled scope, every
--- await raises the scope's error again, until the scope is left. A shielded scope keeps the cancelling of outer
--- scopes out.

local errors = require("sshlua.errors")
local loop = require("sshlua.loop")
local place = require("sshlua.task.place")
local ready = require("sshlua.task.ready")
local tree = require("sshlua.task.tree")

local M = {
  new_scope = tree.new_scope, close_scope = tree.close_scope, pending = tree.pending, is_pending = tree.is_pending,
  is_cancellation = tree.is_cancellation,
}

local pending, cancellation = tree.pending, tree.cancellation
local enqueue, go = ready.add, ready.go

local create, resume_co, yield, running, status, isyieldable =
  coroutine.create, coroutine.resume, coroutine.yield, coroutine.running, coroutine.status, coroutine.isyieldable
local unpack = table.unpack or unpack -- luacheck: ignore 143
local select, xpcall, error = select, xpcall, error

--- What await yields; anything else is a foreign yield.
local SUSPEND = setmetatable({}, {
  __tostring = function() return "a task of sshlua: it cannot be resumed by hand" end,
})
local GO = {} -- what step resumes with; anything else is a foreign resume

--- So often a cancelled task may go on waiting in vain before it has to give way to the loop each time.
local PATIENCE = 100

---@class sshlua.CancelScope what can be cancelled
---@field parent? sshlua.CancelScope
---@field cancelled? sshlua.Error what every await inside raises a copy of
---@field shield boolean

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

local function pack(...) return { n = select("#", ...), ... } end
M.pack = pack

function task_mt:__tostring()
  if self.ended then return "sshlua.Task: " .. (self.error == nil and "ended" or "failed") end
  return ("sshlua.Task: at %s"):format(place.of(self.co) or "its start")
end

--- Errors -------------------------------------------------------------------------------------------------------------

--- Runs where the error is raised. nil cannot be told from "no error" afterwards, so it becomes a text.
local function note(err)
  if err == nil then return "(error object is a nil value)" end
  if errors.is(err) and rawget(err, "traceback") == nil and rawget(err, "kind") ~= "cancelled" then
    err.traceback = debug.traceback("", 2)
  end
  return err
end

--- pcall's results, packed. An Error keeps the traceback of where it was raised; an error is never nil.
function M.protected(fn, ...) return pack(xpcall(fn, note, ...)) end

--- Entering ---------------------------------------------------------------------------------------------------------

local function move(task, scope)
  task.scope.tasks[task] = nil
  task.scope = scope
  scope.tasks[task] = true
end

local function require_task()
  if not current then
    errors.usage(place.level(), "not inside a task: wrap the call in ssh.run(function() ... end)")
  end
  if running() ~= current.co then
    errors.usage(place.level(), "cannot wait here: inside a coroutine that is not a task")
  end
  return current
end

local function require_wait()
  local task = require_task()
  if not isyieldable() then
    errors.usage(place.level(),
      "cannot wait here: inside a sort comparator, a gsub callback, require or another C function")
  end
  return task
end

--- Raises where the current task could not wait.
M.check_wait = require_wait

--- Runs fn(...) with the current task inside `scope`; returns pcall's results, packed.
function M.within(scope, fn, ...)
  local task = require_task()
  local outer = task.scope
  move(task, scope)
  local r = pack(xpcall(fn, note, ...))
  move(task, outer)
  return r
end

--- The current task, or nil outside.
function M.current() return current end

--- The current scope; raises outside a task.
function M.current_scope() return require_task().scope end

--- How many tasks have not ended: zero when everything is over.
function M.live() return live end

--- Running ------------------------------------------------------------------------------------------------------------

local function task_ended(task, ok, ...)
  task.ended = true
  live = live - 1
  task.scope.tasks[task] = nil
  if ok then
    task.result = pack(...)
  else
    task.error = (...)
    if task.error == nil then task.error = "(error object is a nil value)" end
    if errors.is(task.error) and rawget(task.error, "traceback") == nil and task.error.kind ~= "cancelled" then
      task.error.traceback = debug.traceback(task.co)
    end
  end
  local watchers = task.watchers
  task.watchers = nil
  for i = 1, watchers and #watchers or 0 do
    if watchers[i] then watchers[i](task) end
  end
end

local function after_resume(task, ok, token, ...)
  if status(task.co) == "dead" then return task_ended(task, ok, token, ...) end
  if token ~= SUSPEND then
    task.strayed = place.of(task.co) or "?"
    enqueue(task)
  end
end

--- A task that called coroutine.yield itself goes on with an error raised right there, so that it can clean up: by a
--- hook, for nothing else can raise inside another coroutine.
local function step_strayed(task)
  local co, where = task.co, task.strayed
  task.strayed = nil
  local hook, mask, count = debug.gethook(co)
  if type(hook) ~= "function" then hook = nil end
  local raised = false
  local function restore()
    if hook then debug.sethook(co, hook, mask, count) else debug.sethook(co) end
  end
  debug.sethook(co, function()
    if running() ~= co then return end -- LuaJIT's hooks are for all coroutines
    restore()
    raised = true
    errors.raise({
      kind = "usage", message = where .. ": coroutine.yield in a task: tasks wait with the functions of sshlua; "
        .. "a generator needs a coroutine of its own",
    })
  end, "", 1)
  local r = pack(resume_co(co))
  if not raised then restore() end
  after_resume(task, unpack(r, 1, r.n))
end

local function step(task, ...)
  local previous = current
  current = task
  if task.strayed then
    step_strayed(task)
  elseif task.started then
    after_resume(task, resume_co(task.co, GO, ...))
  else
    task.started = true
    after_resume(task, resume_co(task.co, ...))
  end
  current = previous
end

ready.resume_with(step)

local function wake(task, ...)
  enqueue(task, ...)
  go()
end

--- Starts fn(...) as a task inside `scope`. It runs for the first time when the caller suspends or returns.
---@param scope sshlua.CancelScope
---@param on_end? fun(task: sshlua.Task)
---@return sshlua.Task
function M.spawn_watched(scope, on_end, fn, ...)
  local task = setmetatable({ co = create(fn), scope = scope, turn = 0, watchers = { on_end } }, task_mt)
  ready.put(ready.entry(task, ...))
  -- No call from there to here: a stack that is full must not leave half a task.
  scope.tasks[task] = true
  live = live + 1
  go()
  return task
end

---@return sshlua.Task
function M.spawn(scope, fn, ...) return M.spawn_watched(scope, nil, fn, ...) end

--- Calls f(task) when the task has ended; at once if it has. Returns a function that takes it back.
function Task:watch(f)
  if self.ended then
    f(self)
    return function() end
  end
  local watchers = self.watchers or {}
  self.watchers = watchers
  local at = #watchers + 1
  watchers[at] = f
  return function()
    if watchers[at] == f then watchers[at] = false end
    while watchers[#watchers] == false do watchers[#watchers] = nil end
  end
end

--- A waiting task stops waiting and raises err there. One that is about to go on meets the cancellation at its next
--- await: what it has just been given is not lost.
function Task:_interrupt(err)
  local waiting = self.waiting
  if not waiting then return end
  self.waiting = nil
  self.turn = self.turn + 1 -- a late `done` finds itself out of date
  if type(waiting) == "table" or type(waiting) == "userdata" then waiting:cancel() end
  enqueue(self, err)
end

--- Interrupts what waits inside; nobody runs before all have been told.
local function interrupt_all(scope, reason, through_shields)
  local scopes = { scope }
  while #scopes > 0 do
    local s = table.remove(scopes)
    for task in pairs(s.tasks) do task:_interrupt(cancellation(reason)) end
    for child in pairs(s.children) do
      if through_shields or not child.shield then scopes[#scopes + 1] = child end
    end
  end
  go()
end

--- Cancels everything inside the scope, now and for as long as it lasts. The first reason stays.
---@param scope sshlua.CancelScope
---@param reason? sshlua.Error default: one of kind cancelled
function M.cancel(scope, reason)
  if scope.cancelled then return end
  if not errors.is(reason) then reason = errors.new({ kind = "cancelled", message = "cancelled", cause = reason }) end
  scope.cancelled = reason
  interrupt_all(scope, reason)
end

--- Interrupts every wait inside once, shielded ones too: for waits that can never end.
function M.break_waits(scope, reason) interrupt_all(scope, reason, true) end

--- Where the waiting tasks of a scope and of all below it stand: "a.lua:3, b.lua:7".
function M.places(scope, max)
  local found, count, scopes = {}, {}, { scope }
  while #scopes > 0 do
    local s = table.remove(scopes)
    for task in pairs(s.tasks) do
      local at = task ~= current and place.of(task.co)
      if at and not count[at] then found[#found + 1] = at end
      if at then count[at] = (count[at] or 0) + 1 end
    end
    for child in pairs(s.children) do scopes[#scopes + 1] = child end
  end
  table.sort(found)
  for i, at in ipairs(found) do
    if count[at] > 1 then found[i] = ("%s (%d tasks)"):format(at, count[at]) end
  end
  if #found > max then
    found[max] = ("and %d more places"):format(#found - max + 1)
    for i = #found, max + 1, -1 do found[i] = nil end
  end
  return table.concat(found, ", ")
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

--- What resumes a task is step. If somebody else did, the task goes back to sleep and gets an error from step.
local function resumed(task, token, ...)
  if token == GO then return ... end
  local message = "coroutine.resume of a task: tasks are resumed by sshlua only"
  task:_interrupt(errors.new({ kind = "usage", message = message }))
  ready.go_soon()
  return resumed(task, yield(SUSPEND))
end

--- Raises the cancellation. A loop that catches it again and again gives way to the loop, or nobody could act any more.
local function refuse(task, reason, may_wait)
  task.refusals = (task.refusals or 0) + 1
  if may_wait and task.refusals % PATIENCE == 0 then
    loop.soon(function() wake(task) end)
    resumed(task, yield(SUSPEND))
  end
  error(cancellation(reason), 0)
end

local function start_with(start, done, ...)
  local n = select("#", ...)
  if n == 0 then return start(done) end
  if n == 1 then return start((...), done) end
  if n == 2 then
    local a, b = ...
    return start(a, b, done)
  end
  local args = { ... }
  args[n + 1] = done
  return start(unpack(args, 1, n + 1))
end

local function suspend_on(task, interruptible, start, ...)
  task.turn = task.turn + 1
  local turn, early, suspended = task.turn, nil, false
  local function done(...)
    if task.turn ~= turn then return end
    task.turn = turn + 1
    if suspended then
      task.waiting = nil
      wake(task, ...)
    else
      early = pack(...)
    end
  end
  local op = start_with(start, done, ...)
  if early then return finish(unpack(early, 1, early.n)) end
  suspended = true
  task.waiting = interruptible and (op or true)
  return finish(resumed(task, yield(SUSPEND)))
end

--- Starts an operation and suspends the task until it has ended. `start(..., done)` returns something with a method
--- `cancel` (or nil), and calls done(err, ...) once, now or later. Returns the results or raises err as an Error.
function M.await(start, ...)
  local task = require_wait()
  local reason = pending(task.scope)
  if reason then refuse(task, reason, true) end
  return suspend_on(task, true, start, ...)
end

--- await that no cancellation ends: for what is known to come soon.
function M.park(start, ...) return suspend_on(require_wait(), false, start, ...) end

--- A point where a cancelled task stops although it has nothing to wait for.
function M.checkpoint()
  local task = current
  local reason = task and pending(task.scope)
  if reason then refuse(task, reason, running() == task.co and isyieldable()) end
end

--- Calls fn(...) as if outside of every task.
function M.outside(fn, ...)
  local previous, was = current, ready.outside()
  current = nil
  local r = pack(pcall(fn, ...))
  current = previous
  ready.inside(was)
  return unpack(r, 1, r.n)
end

return M
