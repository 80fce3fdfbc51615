-- A dropbear on loopback, as small systems have it: one process, in a name space of mounts where its account's home is a
-- directory of ours, so that it finds our key there.
local core = require "sshlua.core"
local files = require "spec.support.files"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local M = {}

-- $1: directory, $2: port, $3: "sftp" or not. dropbear knows one path for SFTP's server; there it finds nothing to run.
local SCRIPT = [[
  home=$(getent passwd "$(id -un)" | cut -d: -f6) && mount --make-rprivate / && mount --bind "$1" "$home" || exit 77
  if [ "$3" != sftp ]; then
    for f in /usr/lib/sftp-server /usr/libexec/sftp-server; do
      [ ! -e "$f" ] || mount --bind /dev/null "$f" || exit 77
    done
  fi
  exec dropbear -F -E -r "$1/host_key" -p "127.0.0.1:$2" -P "$1/pid" 2> "$1/log"]]

-- Why there can be none here, or nil.
function M.missing()
  if not os.execute "PATH=$PATH:/usr/sbin command -v dropbear unshare dropbearkey >/dev/null" then return "needs dropbear" end
  if not os.execute "unshare -m mount --bind /tmp /mnt 2>/dev/null" then return "needs a name space for mounts" end
end

local function launch(self, sftp)
  os.remove(self.dir .. "/log")
  self.port = servers.free_port()
  self.proc = assert(core.spawn {
    args = { "unshare", "-m", "sh", "-c", SCRIPT, "sh", self.dir, ("%d"):format(self.port), sftp and "sftp" or "none" },
    env = processes.environment "SSHLUA_SPEC=dropbear", stdin = "null", stdout = "null", stderr = "null",
  })
  local said
  local function has_begun()
    said = files.read(self.dir .. "/log") or ""
    return said:find "Not backgrounding" or said:find "Failed listening"
  end
  return run.eventually(has_begun) and not said:find "Failed listening"
end

-- Starts one; inside a task. sftp: has it a server for that?
function M.start(sftp)
  local self = { dir = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-dropbear.XXXXXX")) }
  local key, line = testbed.make_key(self.dir .. "/key")
  core.fs_mkdir_sync(self.dir .. "/.ssh", 448)
  assert(core.fs_write_sync(self.dir .. "/.ssh/authorized_keys", line .. "\n", 384))
  self.key = key
  processes.run { "dropbearkey", "-t", "ed25519", "-f", self.dir .. "/host_key" }
  for _ = 1, 5 do -- the port may be taken between our look and dropbear's
    if launch(self, sftp) then return self end
    M.stop(self, true)
  end
  error "dropbear did not start"
end

function M.stop(self, stays)
  self.proc:kill "KILL"
  task.await(self.proc.wait, self.proc)
  if not stays then core.fs_rmtree_sync(self.dir) end
end

function M.shared(sftp)
  return run.shared(function() return M.start(sftp) end, M.stop)
end

local function options(self)
  return { hostname = "127.0.0.1", port = self.port, user = processes.run({ "id", "-un" }):match "%S+",
    identity = self.key, agent = false, known_hosts = "none", insecure_accept_any_host_key = true, batch = true, tries = 1 }
end

function M.host(self)
  local h = ssh.host("small", options(self))
  run.defer(h.close, h)
  return h
end

-- A fleet of one.
function M.hosts(self)
  local opts = options(self)
  local fleet = ssh.hosts({ "small" }, opts)
  run.defer(fleet.close, fleet)
  return fleet
end

return M
