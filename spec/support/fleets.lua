-- A testbed fleet as people have one: an ssh_config that names its hosts, for the program to be called with.
local program = require "spec.support.program"

local M = {}

-- Writes it; returns the environment that makes the program take it. `more[name]` are lines for one host.
function M.environment(fleet, more)
  local lines = {}
  for _, h in ipairs(fleet.hosts) do
    lines[#lines + 1] = ("Host %s\n  HostName %s\n  Port %d\n  User %s\n"):format(h.name, h.address, h.port, h.user)
    for _, line in ipairs(more and more[h.name] or {}) do lines[#lines + 1] = "  " .. line .. "\n" end
  end
  lines[#lines + 1] = ("Host *\n  IdentityFile %s\n  UserKnownHostsFile %s\n  IdentityAgent none\n  BatchMode yes\n"):format(
    fleet.identity, fleet.known_hosts)
  return { SSHLUA_SSH_CONFIG = program.file("ssh_config", table.concat(lines)), XDG_CONFIG_HOME = "/proc/none",
    SLURM_JOB_NODELIST = false, PBS_NODEFILE = false, BACKENDAI_CLUSTER_HOSTS = false, SSHLUA_INVENTORY = false }
end

-- How many connections its hosts have had.
function M.connections(fleet)
  local count = 0
  for _, h in ipairs(fleet.hosts) do count = count + fleet:connections(h.name) end
  return count
end

return M
