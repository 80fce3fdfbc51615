--- The host seam: our event loop as seen by tasks, and how another loop drives it.
--- Knows core's loop calls; must not know tasks.

local core = require("sshlua.core")
local errors = require("sshlua.errors")

local M = {}

local driver -- { kick = function } once attached

--- Seconds on a clock that never jumps.
M.now = core.now

--- Runs until M.stop; true when stopped, false when nothing is left that could ever happen.
M.run = core.run
M.stop = core.stop
M.running = core.running
M.stats = core.stats

--- Calls f() from the loop, after it has looked at clocks and sockets.
function M.soon(f) return core.timer(0, f) end

local function check_driver(d)
  if type(d) ~= "table" then errors.usage(3, "driver table expected, got %s", type(d)) end
  for _, name in ipairs({ "watch", "timer" }) do
    if type(d[name]) ~= "function" then
      errors.usage(3, "driver: function '%s' expected, got %s", name, type(d[name]))
    end
  end
  if driver then errors.usage(3, "sshlua is attached to a loop already") end
  if core.running() then errors.usage(3, "sshlua runs its own loop at the moment: attach first") end
end

--- Lets another event loop drive ours: it watches our descriptor and wakes for our timers.
--- `watch(fd, step)` calls step when fd is readable, and if it can, before it blocks; `timer(ms, step)` calls step once
--- after that long and returns a function that takes it back; `alive(boolean)`, if there is one, hears whether anything
--- is going on, that is, whether the other loop has a reason to run for us.
---@param d { watch: fun(fd: integer, step: fun()), timer: fun(ms: integer, step: fun()): fun(), alive?: function }
function M.attach(d)
  check_driver(d)
  local take_back
  local function step()
    if take_back then take_back() end
    take_back = nil
    local ms, alive = core.step()
    if d.alive then d.alive(alive) end
    -- A callback of ours may have stepped, too, and set the clock meanwhile.
    if take_back then take_back() end
    take_back = alive and ms >= 0 and d.timer(ms, step) or nil
  end
  driver = { kick = step }
  d.watch(core.fd(), step)
  step()
end

function M.attached() return driver ~= nil end

--- Work was started from outside a callback of ours: register it with the kernel.
function M.kick()
  if driver and not core.running() then driver.kick() end
end

--- The driver for luv, and so for Neovim: `uv` is require "luv" or vim.loop.
---@param uv table
function M.luv(uv)
  if type(uv) ~= "table" or type(uv.new_poll) ~= "function" then
    errors.usage(2, "luv expected: ssh.driver.luv(require \"luv\"), in Neovim ssh.driver.luv(vim.loop)")
  end
  local poll, prepare, timer
  local function stop_timer() timer:stop() end
  return {
    watch = function(fd, step)
      poll, prepare, timer = uv.new_poll(fd), uv.new_prepare(), uv.new_timer()
      poll:start("r", step)
      prepare:start(step) -- what a script has just started must be known before the outer loop blocks
      prepare:unref()
    end,
    timer = function(ms, step)
      timer:start(ms, 0, step)
      return stop_timer
    end,
    alive = function(alive)
      if alive then poll:ref() else poll:unref() end
    end,
  }
end

--- The driver for a C program that calls sshlua_step itself, as sshlua.h says.
function M.external()
  local function noop() end
  return { watch = noop, timer = function() return noop end }
end

return M
