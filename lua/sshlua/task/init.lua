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

local function root_body(fn, ...)
  runs = runs + 1
  local r = task.pack(pcall(group.scope, function(_, ...) return fn(...) end, ...))
  scope.shield(end_run)
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

--- Runs fn(...) as a task on our own loop until it and all it started has ended; returns its results, raises its error.
--- Inside a task, which is where the program runs scripts, it is a scope of that task: a script may say ssh.run or not.
--- Meanwhile M.cancel_run(err) cancels the run (for ^C).
---@param fn fun(...): ...
function M.run(fn, ...)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  if task.current() then
    return group.scope(function(_, ...) return fn(...) end, ...)
  end
  if loop.attached() then errors.usage(2, "sshlua is attached to another loop: use ssh.spawn") end
  local root = task.new_scope(nil)
  M.cancel_run = function(err) task.cancel(root, err) end
  local main = task.spawn(root, root_body, fn, ...)
  main:watch(loop.stop)
  while not main.ended do
    if not loop.run() and not main.ended then
      task.cancel(root, errors.new({
        kind = "cancelled", message = "deadlock: every task waits for something that cannot happen any more",
      }))
    end
  end
  M.cancel_run = nil
  if main.error ~= nil then error(main.error, 0) end
  return unpack(main.result, 1, main.result.n)
end

--- With another loop: starts fn(...) as a task of its own. Its uncaught error goes to `on_error` (default: stderr).
---@param fn fun(...): ...
---@return sshlua.Task
function M.spawn(fn, ...)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  if not loop.attached() and not loop.running() then
    errors.usage(2, "no loop runs: use ssh.run, or ssh.attach first")
  end
  local child = task.spawn(task.new_scope(nil), root_body, fn, ...)
  child:watch(function(ended)
    if ended.error ~= nil then M.on_error(ended.error) end
  end)
  loop.kick()
  return child
end

function M.on_error(err) io.stderr:write("sshlua: ", tostring(err), "\n") end

--- Waits for a task and returns its results or raises its error.
function task.Task:wait()
  task.await(function(done)
    self:watch(function() done() end)
  end)
  if self.error ~= nil then error(self.error, 0) end
  return unpack(self.result, 1, self.result.n)
end

M.attach = loop.attach
M.driver = { luv = loop.luv }
M.now = core.now

return M
