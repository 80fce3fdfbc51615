--- The host seam: our event loop as seen by tasks, and how another loop drives it.
--- Knows core's loop calls; must not know tasks.

local core = require("sshlua.core")

local M = {}

local driver -- { kick = function } once attached

--- Seconds on a clock that never jumps.
M.now = core.now

--- Runs until M.stop; true when stopped, false when nothing is left that could ever happen.
M.run = core.run
M.stop = core.stop
M.running = core.running
M.stats = core.stats

--- Lets another event loop drive ours: it watches our descriptor and wakes for our timers.
--- `watch(fd, step)` calls step when fd is readable, and if it can, before it blocks; `timer(ms, step)` calls step once
--- after that long and returns a function that takes it back.
---@param d { watch: fun(fd: integer, step: fun()), timer: fun(ms: integer, step: fun()): fun() }
function M.attach(d)
  if driver then error("sshlua is attached to a loop already", 2) end
  local take_back
  local function step()
    if take_back then take_back() end
    take_back = nil
    local ms, alive = core.step()
    if d.alive then d.alive(alive) end
    if alive and ms >= 0 then take_back = d.timer(ms, step) end
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

--- The driver for luv, and so for Neovim: `uv` is require "luv" or vim.uv.
---@param uv table
function M.luv(uv)
  local poll, prepare
  return {
    watch = function(fd, step)
      poll, prepare = uv.new_poll(fd), uv.new_prepare()
      poll:start("r", step)
      prepare:start(step) -- what a script has just started must be known before the outer loop blocks
      prepare:unref()
    end,
    timer = function(ms, step)
      local timer = uv.new_timer()
      timer:start(ms, 0, step)
      return function()
        timer:stop()
        if not timer:is_closing() then timer:close() end
      end
    end,
    alive = function(alive)
      if alive then poll:ref() else poll:unref() end
    end,
  }
end

return M
