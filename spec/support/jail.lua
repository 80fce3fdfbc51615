-- Hosts of a fleet whose commands see another system than this machine: /bin/sh is another shell, and what is written to
-- /etc, /var, ... lands in a directory of the spec. Each command gets a mount namespace of its own; nothing of this
-- machine is changed. Needs root and unshare.
local core = require "sshlua.core"
local servers = require "spec.support.servers"
local testbed = require "sshlua.testbed"

local M = {}

local SCRIPT = [[
dir=$1 shell=$2
shift 2
for root in "$@"; do
  mkdir -p "$dir/up$root" "$dir/work$root"
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$dir/up$root,workdir=$dir/work$root" "$root" || exit 125
done
[ ! -e "$dir/boot_id" ] || mount --bind "$dir/boot_id" /proc/sys/kernel/random/boot_id || exit 125
[ ! -d "$dir/run" ] || mount --bind "$dir/run" /run || exit 125
[ ! -d "$dir/read-only" ] || { mount --bind "$dir/read-only" "$dir/read-only" && mount -o remount,ro,bind "$dir/read-only"; } ||
  exit 125
if [ "$shell" = busybox ]; then
  PATH=$dir/busybox
  mount --bind "$(command -v /usr/bin/busybox || command -v /bin/busybox)" "$(readlink -f /bin/sh)" || exit 125
elif [ -n "$shell" ]; then
  mount --bind "$(command -v "$shell")" "$(readlink -f /bin/sh)" || exit 125
fi
[ ! -d "$dir/bin" ] || PATH=$dir/bin:$PATH
SSHLUA_LANDED=1
command=$SSH_ORIGINAL_COMMAND
unset SSH_ORIGINAL_COMMAND
exec "$SHELL" -c "$command"
]]

local function works(command) return (os.execute(command .. " >/dev/null 2>&1")) == true end

-- nil, or why there can be no jail.
function M.missing(overlay)
  if core.user().uid ~= 0 then return "only root can mount" end
  if not works "unshare -m mount -t tmpfs tmpfs /mnt" then return "nothing can be mounted here" end
  if overlay then
    local dir = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-spec.XXXXXX"))
    local good = works(([[mkdir %s/u %s/w && unshare -m mount -t overlay overlay -o lowerdir=/etc,upperdir=%s/u,workdir=%s/w /etc]])
      :format(dir, dir, dir, dir))
    core.fs_rmtree_sync(dir)
    if not good then return "no overlay can be mounted here" end
  end
end

-- hosts: name -> { shell = "dash"|"busybox"|"bash"|nil, roots = { "/etc", ... } }. Returns the fleet and each host's
-- directory: files in its bin come first in PATH; run, if there, is /run; read-only cannot be written to; boot_id is the
-- kernel's.
function M.start(hosts)
  local base = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-spec.XXXXXX"))
  local names, per_host, dirs = {}, {}, {}
  servers.write_file(base .. "/jail", SCRIPT)
  for name, host in pairs(hosts) do
    names[#names + 1] = name
    local dir = base .. "/" .. name
    core.fs_mkdir_sync(dir, 493)
    if host.shell == "busybox" then
      os.execute(("mkdir -p '%s/busybox' && busybox --install -s '%s/busybox'"):format(dir, dir))
    end
    dirs[name] = dir
    per_host[name] = { ("ForceCommand exec unshare -m /bin/sh '%s/jail' '%s' '%s' %s"):format(base, dir,
      host.shell or "", table.concat(host.roots or {}, " ")) }
  end
  table.sort(names)
  local fleet = testbed.start { hosts = names, per_host = per_host }
  return { fleet = fleet, dirs = dirs, base = base, names = names }
end

function M.stop(jail)
  jail.fleet:stop()
  core.fs_rmtree_sync(jail.base)
end

return M
