--- Tasks as scripts see them, and running them.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local loop = require("sshlua.loop")
local scope = require("sshlua.task.scope")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

local M = {
  await = task.await, checkpoint = task.checkpoint, current = task.current, live = task.live,
  scope = group.scope, all = group.all, race = group.race, each = group.each, map = group.map, retry = group.retry,
  timeout = scope.timeout, deadline = scope.deadline, shield = scope.shield, sleep = scope.sleep,
  queue = sync.queue, semaphore = sync.semaphore, event = sync.event,
  pack = task.pack,
}

local unpack = table.unpack or unpack -- luacheck: ignore 143

local at_end = {} -- what is cleaned up when the last run ends, in reverse order
local runs = 0
local owner -- the scope of ssh.run's root task: what ssh.spawn starts belongs to it

--- Calls fn() when the present run, or the last of several, ends (connection pools and the like).
function M.at_run_end(fn) at_end[#at_end + 1] = fn end

local function end_run()
  runs = runs - 1
  if runs > 0 then return end
  while #at_end > 0 do
    local fn = table.remove(at_end)
    pcall(fn)
  end
end

local function check_function(fn, level)
  if type(fn) ~= "function" then errors.usage(level + 1, "function expected, got %s", type(fn)) end
end

local function root_body(fn, ...)
  runs = runs + 1
  local r = task.protected(group.scope, fn, ...)
  scope.shield(end_run)
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

--- So often waits that cannot end are broken in a run whose tasks wait for them again each time.
local DEADLOCKS = 10

--- Nothing is left that could ever happen, and tasks wait: they are cancelled; shielded ones, in the next rounds, too.
local function break_deadlock(root, round)
  local reason = errors.new({
    kind = "cancelled", hint = "something must set, put, release or close what they wait for",
    message = "deadlock: every task waits for something that cannot happen any more: " .. task.places(root, 5),
  })
  if round == 1 then task.cancel(root, reason) else task.break_waits(root, root.cancelled) end
end

local function run_until_ended(main, root)
  local rounds = 0
  while not main.ended and rounds < DEADLOCKS do
    if not loop.run() and not main.ended then
      rounds = rounds + 1
      break_deadlock(root, rounds)
    end
  end
end

local function check_run(fn, level)
  check_function(fn, level + 1)
  if loop.attached() then errors.usage(level + 1, "sshlua is attached to another loop: use ssh.spawn") end
  if loop.running() then errors.usage(level + 1, "the loop runs already: use ssh.spawn") end
end

--- Runs fn(...) as a task on our own loop until it and all it started has ended; returns its results, raises its error.
--- Inside a task, which is where the program runs scripts, it is a scope of that task: the same script runs under both.
--- Meanwhile M.cancel_run(err) cancels the run (for ^C).
---@param fn fun(...): ...
---@param ... any for fn
---@return any ... fn's results
function M.run(fn, ...)
  if task.current() and type(fn) == "function" then
    return group.scope(function(_, ...) return fn(...) end, ...)
  end
  check_run(fn, 2)
  local root = task.new_scope(nil)
  M.cancel_run = function(err) task.cancel(root, err) end
  local main = task.spawn(root, root_body, function(s, ...)
    owner = s
    return fn(...)
  end, ...)
  if not main.ended then main:watch(loop.stop) end
  run_until_ended(main, root)
  owner, M.cancel_run = nil, nil
  if not main.ended then error(root.cancelled, 0) end
  local err = main.error
  if err == nil then return unpack(main.result, 1, main.result.n) end
  -- The very object that cancel_run was given, unless there is more to say.
  if task.is_cancellation(err, root.cancelled) and rawget(err, "result") == nil then err = root.cancelled end
  error(err, 0)
end

local function report(err)
  local good, message = pcall(M.on_error, err)
  if not good then io.stderr:write("sshlua: on_error failed: ", tostring(message), "\n") end
end

--- Starts fn(...) as a task that belongs to the run: ssh.run waits for it, and its failure is the run's. With another
--- loop it is a run of its own, and its uncaught error goes to `on_error` (default: stderr).
---@param fn fun(...): ...
---@return sshlua.Task
function M.spawn(fn, ...)
  check_function(fn, 2)
  if owner and not owner.over then return owner:spawn(fn, ...) end
  if not loop.attached() then
    errors.usage(2, loop.running() and "the run is over" or "no loop runs: use ssh.run, or ssh.attach first")
  end
  local child = task.spawn(task.new_scope(nil), root_body, function(_, ...) return fn(...) end, ...)
  child:watch(function(ended)
    if ended.error ~= nil then report(ended.error) end
  end)
  loop.kick()
  return child
end

function M.on_error(err)
  local good, text = pcall(tostring, err)
  io.stderr:write("sshlua: ", good and text or "an error of type " .. type(err), "\n")
end

--- Waits for a task and returns its results or raises its error.
function task.Task:wait()
  if self == task.current() then errors.usage(2, "a task cannot wait for itself") end
  if self.ended then
    task.checkpoint()
  else
    task.await(function(done)
      return { cancel = self:watch(function() done() end) }
    end)
  end
  if self.error ~= nil then error(self.error, 0) end
  return unpack(self.result, 1, self.result.n)
end

M.attach = loop.attach
M.driver = { luv = loop.luv, external = loop.external }
M.now = core.now

return M
