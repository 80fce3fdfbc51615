--- LocalCommand: run here when a connection has been made, as ssh does. How it ends is said in an event and changes
--- nothing for the connection.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local log = require("sshlua.log")
local user_shell = require("sshlua.user_shell")

local M = {
  stdout = "inherit", -- where its output goes; changed where standard output carries something else
  seconds = 60, -- it may take that long; ssh would wait for ever
}

--- Runs the target's command, if it has one, to its end.
---@param target table {name=, opts=}
function M.run(target)
  local command = target.opts.local_command
  if not command then return end
  pcall(io.stdout.flush, io.stdout) -- what the script has said stands before what the command says
  local before = core.now()
  local ok, code, signal = pcall(user_shell.run, command, {
    what = "LocalCommand", seconds = M.seconds, stdout = M.stdout,
  })
  if not ok and (not errors.is(code) or errors.is(code, "cancelled")) then error(code, 0) end
  if not log.wants(1) then return end
  log.emit(1, target.name, "local_command", {
    code = ok and code or nil, signal = ok and signal or nil, error = not ok and code.message or nil,
    seconds = ("%.2f"):format(core.now() - before),
  })
end

return M
