--- The user's shell, which runs what ssh_config names as commands: Match exec, ProxyCommand, LocalCommand.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local GRACE_SECONDS = 1

--- $SHELL -c command, as ssh starts it.
---@param command string
---@return string[] argv
function M.argv(command)
  local shell = os.getenv("SHELL")
  if not shell or shell == "" then shell = "/bin/sh" end
  local stat = core.fs_stat_sync(shell)
  if not stat or stat.mode % 2 == 0 and math.floor(stat.mode / 64) % 2 == 0 then
    errors.raise({ kind = "config", message = ("the shell %s cannot be run"):format(shell), hint = "set SHELL" })
  end
  return { shell, "-c", command }
end

--- TERM, a second to end in, KILL. `wait` waits for the child's end.
---@param child sshlua.core.Proc
---@param wait fun()
function M.finish(child, wait)
  child:kill("TERM")
  if not pcall(scope.shield, scope.timeout, GRACE_SECONDS, wait) then child:kill("KILL") end
end

--- Runs a command to its end; its messages go to our standard error. What has not ended in time is ended, and a timeout
--- raised.
---@param command string
---@param opts { what: string, seconds: number, stdout: sshlua.core.Stdio }
---@return integer|nil code, string|nil signal
function M.run(command, opts)
  local child, err = core.spawn({ args = M.argv(command), stdin = "null", stdout = opts.stdout, stderr = "inherit" })
  if not child then errors.raise(errors.from(err)) end
  local ok, code, signal = pcall(scope.deadline, {
    seconds = opts.seconds,
    message = ("%s '%s' did not end within %g s"):format(opts.what, errors.excerpt(command, 60), opts.seconds),
  }, task.await, child.wait, child)
  if ok then return code, signal end
  M.finish(child, function() task.await(child.wait, child) end)
  error(code, 0)
end

return M
