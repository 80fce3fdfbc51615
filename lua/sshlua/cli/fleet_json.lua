--- Results of many hosts as JSON Lines on standard output: one object for the beginning, one for each host as it ends,
--- one for the end. The schema is in docs/fleets.md; `v` is its version.

local bytes = require("sshlua.bytes")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local json = require("sshlua.json")

local M = {}

M.VERSION = 1

local function emit(object)
  object.v = M.VERSION
  io.stdout:write(json.encode(object), "\n")
  io.stdout:flush()
end

local function error_of(r)
  if r.err == nil then return nil end
  if not errors.is(r.err) then return { kind = "error", message = r:problem() } end
  local e = r.err
  return { kind = e.kind, message = e.message, phase = e.phase, reason = e.reason, name = e.name, hint = e.hint,
    retryable = e.retryable }
end

--- A Result as the object of type "result".
---@param r sshlua.Result
---@param h? sshlua.Host
---@return table
function M.result(r, h)
  local object = {
    type = "result", host = r.host, port = r.port, user = h and h.user, ok = r.ok, status = r:status(), code = r.code,
    signal = r.signal, duration = r.duration, truncated = r.truncated, timing = r.timing and json.object(r.timing),
    error = error_of(r), reason = r.skipped and r.reason or nil,
  }
  bytes.put(object, "stdout", core.mask(r.stdout))
  bytes.put(object, "stderr", core.mask(r.stderr))
  return object
end

local function counts(rs)
  local found, failed, skipped = {}, 0, 0
  for _, r in ipairs(rs) do
    local status = r:status()
    found[status] = (found[status] or 0) + 1
    if status == "skipped" then skipped = skipped + 1 elseif not r.ok then failed = failed + 1 end
  end
  return json.object(found), failed, skipped
end

--- A printer, see cli/fleet_print.lua.
function M.printer()
  local told = {}
  return {
    begin = function(what, fleet, parallel)
      emit({ type = "begin", op = what.op, command = what.command, hosts = #fleet, parallel = parallel,
        at = os.date("!%Y-%m-%dT%H:%M:%SZ") })
    end,
    ended = function(r, h)
      told[r] = true
      emit(M.result(r, h))
    end,
    finish = function(rs, info)
      for _, r in ipairs(rs) do
        if not told[r] then emit(M.result(r)) end
      end
      local status, failed, skipped = counts(rs)
      emit({ type = "summary", hosts = #rs, ok = #rs - failed - skipped, failed = failed, skipped = skipped,
        status = status, stopped = info.stopped, exit = info.exit, seconds = info.seconds })
    end,
  }
end

return M
