--- Deadlines and shields: scopes around one function.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local task = require("sshlua.task.core")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

--- Half a human life: what core's timers take at most, and for ever to a script.
local LONGEST = 1e9 - 1

local function check_seconds(seconds, level)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    local got = type(seconds) == "number" and tostring(seconds) or type(seconds)
    errors.usage(level + 1, "seconds expected, got %s", got)
  end
end

local function check_function(fn, level)
  if type(fn) ~= "function" then errors.usage(level + 1, "function expected, got %s", type(fn)) end
end

local function noop() end

--- Calls `fire` after that many seconds unless cancelled first; math.huge never does.
---@return { cancel: fun(self) }
function M.timer(seconds, fire)
  if seconds > LONGEST then return { cancel = noop } end
  return core.timer(seconds, fire)
end

--- Suspends the task. sleep(0) lets the others have their turn.
---@param seconds number
function M.sleep(seconds)
  check_seconds(seconds, 2)
  task.await(core.timer, math.min(seconds, LONGEST))
end

local function duration(seconds)
  return ("%g s"):format(seconds)
end

local function run_until(fields, fn, ...)
  local seconds = fields.seconds
  local scope = task.new_scope(task.current_scope())
  local fired
  local timer = M.timer(seconds, function()
    fired = errors.new({ kind = "cancelled", message = "timed out after " .. duration(seconds) })
    task.cancel(scope, fired)
  end)
  local r = task.within(scope, fn, ...)
  timer:cancel()
  task.close_scope(scope)
  if r[1] then return unpack(r, 2, r.n) end
  local err = r[2]
  if not task.is_cancellation(err, fired) then error(err, 0) end
  local e = { kind = "timeout", cause = err.cause }
  for k, v in pairs(fields) do e[k] = v end
  if type(e.message) == "function" then e.message = e.message() end
  e.message = e.message or ("timed out after " .. duration(seconds))
  e.result = err.result
  errors.raise(e)
end

--- Runs fn(...); what is not done within `seconds` is cancelled, and an Error of kind timeout is raised. Its `result`
--- is what the cancelled call had so far.
---@param seconds number nil or math.huge: no limit
---@param fn fun(...): ...
---@param ... any
---@return any ... fn's results
function M.timeout(seconds, fn, ...)
  if type(seconds) == "table" then return M.deadline(seconds, fn, ...) end
  if seconds ~= nil then check_seconds(seconds, 2) end
  check_function(fn, 2)
  if seconds == nil or seconds == math.huge then return fn(...) end
  return run_until({ seconds = seconds }, fn, ...)
end

--- timeout with more to say: `fields` go into the error (host, op, phase, message, hint).
---@param fields { seconds: number, message?: string|fun(): string }
function M.deadline(fields, fn, ...)
  local seconds = fields.seconds
  if seconds == nil or seconds == math.huge then return fn(...) end
  check_seconds(seconds, 2)
  return run_until(fields, fn, ...)
end

--- Runs fn(...) so that the cancelling of outer scopes reaches it only after it has ended. Clean-up belongs in here,
--- with a time limit of its own.
---@param fn fun(...): ...
---@param ... any for fn
---@return any ... fn's results
function M.shield(fn, ...)
  check_function(fn, 2)
  local scope = task.new_scope(task.current_scope(), true)
  local r = task.within(scope, fn, ...)
  task.close_scope(scope)
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

return M
