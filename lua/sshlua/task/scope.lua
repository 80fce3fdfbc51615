--- Deadlines and shields: scopes around one function.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local task = require("sshlua.task.core")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

local function check_seconds(seconds, level)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    errors.usage(level + 1, "seconds expected, got %s", type(seconds) == "number" and seconds or type(seconds))
  end
end

local function noop() end

--- Calls `fire` after that many seconds unless cancelled first; math.huge never does.
---@return { cancel: fun(self) }
function M.timer(seconds, fire)
  if seconds >= 1e9 then return { cancel = noop } end
  return core.timer(seconds, fire)
end

--- Suspends the task.
---@param seconds number
function M.sleep(seconds)
  check_seconds(seconds, 2)
  task.await(core.timer, seconds)
end

local function duration(seconds)
  return ("%g s"):format(seconds)
end

--- Runs fn(...); what is not done within `seconds` is cancelled, and an Error of kind timeout is raised. Its `cause`
--- carries what the cancelled call had so far (`cause.result`).
---@param seconds number nil: no limit
---@param fn fun(...): ...
---@param ... any
function M.timeout(seconds, fn, ...)
  if type(seconds) == "table" then return M.deadline(seconds, fn, ...) end
  if seconds == nil or seconds == math.huge then return fn(...) end
  check_seconds(seconds, 2)
  return M.deadline({ seconds = seconds }, fn, ...)
end

--- timeout with more to say: `fields` go into the error (host, op, phase, message, hint).
---@param fields { seconds: number, message?: string }
function M.deadline(fields, fn, ...)
  local seconds = fields.seconds
  if seconds == nil or seconds == math.huge then return fn(...) end
  local scope = task.new_scope(task.current_scope())
  local fired
  local timer = M.timer(seconds, function()
    fired = errors.new({ kind = "cancelled", message = "timed out after " .. duration(seconds) })
    task.cancel(scope, fired)
  end)
  local r = task.within(scope, fn, ...)
  timer:cancel()
  if r[1] then return unpack(r, 2, r.n) end
  local err = r[2]
  if task.is_cancellation(err, fired) then
    local e = { kind = "timeout", cause = err ~= fired and err or nil }
    for k, v in pairs(fields) do e[k] = v end
    e.message = fields.message or ("timed out after " .. duration(seconds))
    if errors.is(err) then e.result = err.result end
    errors.raise(e)
  end
  error(err, 0)
end

--- Runs fn(...) so that the cancelling of outer scopes reaches it only after it has ended. Clean-up belongs in here,
--- with a time limit of its own.
function M.shield(fn, ...)
  local outer = task.current_scope()
  local r = task.within(task.new_scope(outer, true), fn, ...)
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

return M
