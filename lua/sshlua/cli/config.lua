--- `sshlua config HOST`, the same as `sshlua -G HOST`: the effective settings of a host as `ssh -G` prints them.

local errors = require("sshlua.errors")
local printer = require("sshlua.ssh_config.printer")
local resolver = require("sshlua.ssh_config.resolver")
local ssh_options = require("sshlua.cli.ssh_options")

local M = { summary = "print a host's effective settings, as ssh -G" }

M.help = [[
usage: sshlua config [ssh's options] [user@]host
       sshlua -G [ssh's options] [user@]host

Prints what ~/.ssh/config and /etc/ssh/ssh_config make of a host, in the format of ssh -G, without connecting. Options
are those of ssh(1), -F FILE and -o KEYWORD=VALUE above all. What sshlua does with each setting: sshlua explain.
]]

--- The configuration that ssh's arguments ask for; nil after --help.
---@param args string[]
---@param help string
---@return sshlua.Config|nil
function M.resolve(args, help)
  local o = ssh_options.parse(args)
  if o.help then
    io.stdout:write(help)
    return nil
  end
  if not o.host then
    errors.raise({ kind = "usage", message = ("which host? (%s)"):format(help:match("usage: ([^\n]*)")) })
  end
  return resolver.resolve(o.host, { file = o.file, steps = o.steps, command = o.command, strict_command = true })
end

---@param args string[]
function M.run(args)
  local config = M.resolve(args, M.help)
  if config then io.stdout:write(table.concat(printer.lines(config), "\n"), "\n") end
  return 0
end

return M
