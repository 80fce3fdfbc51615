--- What a ^C ends while somebody is at the prompt: the call that runs, and not the program.

local errors = require("sshlua.errors")
local interrupt = require("sshlua.interrupt")
local task = require("sshlua.task.core")

local M = {}

local active -- the scope that ^C cancels

--- Runs fn(...) so that ^C ends it. Returns pcall's results, packed, and whether it was ^C.
function M.run(fn, ...)
  local scope = task.new_scope(task.current_scope())
  active = scope
  local r = task.within(scope, fn, ...)
  active = nil
  return r, scope.cancelled ~= nil and task.is_cancellation(r[2], scope.cancelled)
end

local function on_interrupt()
  if active then task.cancel(active, errors.new({ kind = "cancelled", message = "interrupted" })) end
  return true
end

--- From now on ^C is ours; returns what gives it back.
---@return fun()
function M.take() return interrupt.push(on_interrupt) end

return M
