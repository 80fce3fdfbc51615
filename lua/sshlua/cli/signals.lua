--- What ^C, SIGTERM, SIGHUP and a closed output do: cancel the root task, so that clean-ups run. A ^C is offered to
--- sshlua.interrupt first. Must not know how signals get here, nor what runs.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local interrupt = require("sshlua.interrupt")

local M = {}

local CODES = { SIGHUP = 129, SIGINT = 130, SIGPIPE = 141, SIGTERM = 143 }
local SAYS = {
  SIGHUP = "interrupted by a hangup", SIGINT = "interrupted", SIGPIPE = "nobody reads the output any more",
  SIGTERM = "terminated",
}

--- Somebody who pressed ^C and sees nothing happen for that long is told why.
local PATIENCE = 1

--- The exit code of the signal that ended the run, or nil.
M.code = nil

local reminder

local function remind()
  if not core.isatty(2) then return end
  reminder = core.timer(PATIENCE, function()
    io.stderr:write("sshlua: cleaning up; ^C again leaves at once\n")
  end)
end

local function end_run(program, task, name)
  M.code = CODES[name]
  program.last_chance()
  if name == "SIGINT" then remind() end
  if task.cancel_run then task.cancel_run(errors.new({ kind = "cancelled", message = SAYS[name] })) end
end

--- From now on signals end the run in an orderly way.
---@param program table
---@param task table the task library
function M.install(program, task)
  program.signals(function(name)
    if M.code or (name == "SIGINT" and interrupt.deliver()) then return end
    end_run(program, task, name)
  end)
  function interrupt.go_on()
    if not M.code then end_run(program, task, "SIGINT") end
  end
end

--- The run is over; a signal that came while the script did not wait any more counts, too.
function M.settle(program)
  if reminder then reminder:cancel() end
  reminder = nil
  M.code = M.code or CODES[program.untold()]
end

--- Is that how a cancelled run ends, and nothing that a person must read?
function M.is_silent(err)
  if M.code == CODES.SIGPIPE and type(err) == "string" and err:find(": interrupted$") then return true end
  return M.code ~= nil and errors.is(err, "cancelled")
end

return M
