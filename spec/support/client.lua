-- `sshlua ssh` on hosts of a fleet: its configuration, the program with arguments.
local core = require "sshlua.core"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"

local M = {}

-- A file with every host of a fleet in ssh's words, and more lines before them; its path.
local count = 0
function M.config(fleet, lines)
  local out = { lines or "" }
  for _, host in ipairs(fleet.hosts) do
    out[#out + 1] = ("Host %s\n  HostName %s\n  Port %d\n  User %s\n  IdentityFile %s\n  IdentityAgent none\n")
      :format(host.name, host.address, host.port, host.user, fleet.identity)
    out[#out + 1] = ("  UserKnownHostsFile %s\n"):format(fleet.known_hosts)
  end
  count = count + 1
  return servers.write_file(("%s/client-%d"):format(fleet.dir, count), table.concat(out, "\n") .. "\n")
end

-- The program's path, absolute; without one the spec is skipped.
function M.path()
  if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
  return task.await(core.fs_realpath, program.path)
end

-- sshlua ssh -F CONFIG ...; opts as of program.run, and `config`, more lines of it.
function M.run(fleet, args, opts)
  M.path()
  opts = opts or {}
  local all = { "ssh", "-F", M.config(fleet, opts.config) }
  for _, word in ipairs(args) do all[#all + 1] = word end
  return program.run(all, opts)
end

-- All 256 bytes, unevenly often, and many of them.
function M.noise(size)
  local piece = {}
  for i = 1, 4099 do piece[i] = string.char(i * i % 256) end
  return table.concat(piece):rep(math.ceil(size / 4099)):sub(1, size)
end

return M
