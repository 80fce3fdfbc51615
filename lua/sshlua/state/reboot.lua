--- reboot and wait_up: until a host is there (again). It was rebooted when its boot id is another one.

local Result = require("sshlua.result").Result
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")

local M = {}

local UP_SECONDS, REBOOT_SECONDS = 300, 600
local LOOK_SECONDS = 15
local FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5

local ID = [[
if [ -r /proc/sys/kernel/random/boot_id ]; then id=$(cat /proc/sys/kernel/random/boot_id)
else id=$(sysctl -n kern.boottime 2>/dev/null) || id=$(who -b 2>/dev/null); fi
say id "$id"
]]

local REBOOT = ID .. [[
[ -n "$id" ] || fail "it does not tell one start from another: no boot id"
command=$1
if [ -z "$command" ]; then
  [ "$(id -u)" = 0 ] || fail "only root reboots: Permission denied"
  if command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ]; then command='systemctl reboot'
  elif command -v shutdown >/dev/null 2>&1; then command='shutdown -r now'
  elif command -v reboot >/dev/null 2>&1; then command=reboot
  else fail "neither systemctl, shutdown nor reboot is there"; fi
fi
if [ -z "$dry" ]; then
  # apart from this session, which is to end well
  (trap '' 1; sleep 1; exec /bin/sh -c "$command") </dev/null >/dev/null 2>&1 &
fi
finish
]]

--- Is trying again of use?
local passing = {
  connect = true, connection_lost = true, timeout = true, closed = true, handshake = true, resolve = true,
  channel = true, exit = true, signal = true, protocol = true,
}

--- The boot id of the host, over whatever connection there is; nil and the error when it cannot be told.
local function look(host, opts)
  local plan = { op = "wait_up", label = "wait_up", script = ID .. "finish\n" }
  local ok, records = pcall(scope.timeout, LOOK_SECONDS, frame.ask, host, plan, { env = opts.env }, false)
  if ok then return records.id or "" end
  if not errors.is(records) or not passing[records.kind] then error(records, 0) end
  return nil, records
end

--- Looks until there is an id that `good` likes.
local function wait(host, opts, good)
  local pause, tries, last = FIRST_PAUSE, 0, nil
  opts.seen = function() return tries, last end
  while true do
    tries = tries + 1
    local id, err = look(host, opts)
    if id and good(id) then return id, tries end
    last = err or last
    if err then host:close() end
    scope.sleep(pause)
    pause = math.min(pause * 1.5, LONGEST_PAUSE)
  end
end

local function bounded(host, opts, op, started, seconds, what, good)
  local left = math.max(seconds - (core.now() - started), 0.1)
  local ok, id, tries = pcall(scope.timeout, left, wait, host, opts, good)
  if ok then return id, tries end
  if not errors.is(id, "timeout") then error(id, 0) end
  local n, last = opts.seen()
  errors.raise({ kind = "timeout", host = host.name, op = op, cause = last,
    message = ("%s: %s within %g s (%d tries%s)"):format(op, what, seconds, n,
      last and ", the last: " .. errors.excerpt(last.message, 150) or ""),
    hint = "more time: option timeout; what it does in the meantime, its console tells" })
end

local function check_seconds(opts, level)
  if opts.timeout == 0 then errors.usage(level + 1, "option 'timeout': more than 0 seconds expected") end
end

local function result(host, op, started, fields)
  fields.host, fields.port, fields.op, fields.cmd, fields.code = host.name, host.port, op, op, 0
  fields.duration = core.now() - started
  return Result.own(fields)
end

---@class sshlua.WaitUpOptions
---@field timeout? number seconds, default 300
---@field check? boolean false: a failure gives a Result instead of raising
local wait_options = { timeout = "seconds", check = "boolean" }

--- Until the host can be logged in to and runs a command.
function M.wait_up(opts, level)
  options.check(opts, wait_options, level + 1)
  check_seconds(opts, level + 1)
  return {
    op = "wait_up", label = "wait_up", bounds_itself = true, -- and says how far it came
    run = function(host, _, given)
      local started = core.now()
      local id, tries = bounded(host, given, "wait_up", started, given.timeout or UP_SECONDS, "it was not up",
        function() return true end)
      return result(host, "wait_up", started, { boot_id = id, tries = tries })
    end,
  }
end

---@class sshlua.RebootOptions: sshlua.StateOptions
---@field timeout? number seconds until it is back, default 600
---@field command? string shell that reboots it; default systemctl, shutdown or reboot
local reboot_options = frame.with({ command = "string" })

--- Reboots the host and waits until it is back.
function M.reboot(opts, level)
  options.check(opts, reboot_options, level + 1)
  check_seconds(opts, level + 1)
  if opts.command and (opts.command:find("%z") or not opts.command:find("%S")) then
    errors.usage(level + 1, "option 'command': shell expected")
  end
  return {
    op = "reboot", label = "reboot", script = REBOOT, args = { opts.command or "" }, bounds_itself = true,
    run = function(host, plan, given)
      local started, dry_run = core.now(), frame.is_dry(host, given)
      local seconds = given.timeout or REBOOT_SECONDS
      local records = scope.deadline({ seconds = seconds, host = host.name, op = "reboot",
        message = ("reboot: not begun within %g s"):format(seconds) }, frame.ask, host, plan, given, dry_run)
      local before = { boot_id = records.id }
      if dry_run then
        return result(host, "reboot", started, { changed = true, dry_run = true, before = before, after = {},
          diff = "reboot\n", stdout = "reboot\n" })
      end
      local id, tries = bounded(host, given, "reboot", started, seconds,
        "it was not back with another boot id", function(now) return now ~= "" and now ~= records.id end)
      return result(host, "reboot", started, { changed = true, before = before, after = { boot_id = id }, tries = tries,
        diff = "reboot\n", stdout = "reboot\n" })
    end,
  }
end

return M
