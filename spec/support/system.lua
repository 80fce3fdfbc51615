-- What a jailed host needs for verbs about its system: an archive with a package for apt, and a systemctl that keeps the
-- state of one unit in files.
local assert = require "luassert"
local core = require "sshlua.core"
local servers = require "spec.support.servers"
local ssh = require "sshlua"

local M = {}

-- What a dry run says, a run does, and a second run leaves alone. Returns the run's Result, and the dry one's.
function M.agree(h, verb, name, state, opts)
  local function call(dry)
    local view = h:with { dry_run = dry }
    return view[verb](view, name, state, opts)
  end
  local said, done, again = call(true), call(false), call(false)
  assert.equal(said.diff, done.diff)
  assert.equal(said.changed, done.changed)
  assert.same(said.before, done.before)
  assert.is_false(again.changed)
  assert.equal("", again.diff)
  assert.same(done.after, again.after)
  return done, said
end

local CONTROL = [[
Package: sshlua-probe
Version: %s
Architecture: all
Maintainer: nobody <nobody@example.invalid>
Description: a package for a spec
]]

-- An archive with one version, on the host.
function M.archive(h, version)
  h:run(ssh.sh([[
set -e
rm -rf /etc/apt/sources.list.d /etc/apt/sources.list /var/local/probe
mkdir -p /var/local/probe/p/DEBIAN /var/local/probe/p/usr/share/sshlua-probe
echo %s >/var/local/probe/p/usr/share/sshlua-probe/version
printf '%%s' %s >/var/local/probe/p/DEBIAN/control
cd /var/local/probe
chmod -R g-s p
dpkg-deb --root-owner-group -Znone -b p p.deb >/dev/null
{ cat p/DEBIAN/control
  printf 'Filename: ./p.deb\nSize: %%s\nSHA256: %%s\n\n' "$(wc -c <p.deb)" "$(sha256sum <p.deb | cut -c1-64)"; } >Packages
echo 'deb [trusted=yes] file:/var/local/probe ./' >/etc/apt/sources.list]], version, CONTROL:format(version)))
end

local SYSTEMCTL = [[
#!/bin/sh
dir=DIR
echo "$*" >>"$dir/calls"
for unit; do :; done
[ "$1" != --no-ask-password ] || shift
case $1 in
show)
  [ -e "$dir/active" ] || { printf 'LoadState=not-found\nActiveState=inactive\nUnitFileState=\n'; exit 0; }
  [ "$unit" = shop ] || { printf 'LoadState=not-found\nActiveState=inactive\nUnitFileState=\n'; exit 0; }
  printf 'UnitFileState=%s\nLoadState=loaded\nActiveState=%s\n' "$(cat "$dir/enabled")" "$(cat "$dir/active")" ;;
start | restart) [ ! -e "$dir/broken" ] || { echo "Job for $unit failed" >&2; exit 1; }; echo active >"$dir/active" ;;
reload) ;;
stop) echo inactive >"$dir/active" ;;
enable) echo enabled >"$dir/enabled" ;;
disable) echo disabled >"$dir/enabled" ;;
is-enabled) cat "$dir/enabled" ;;
*) exit 2 ;;
esac
]]

-- The unit shop, stopped and disabled; calls and active, enabled, broken are files of dir.
function M.units(h, dir)
  core.fs_mkdir_sync(dir .. "/bin", 493)
  os.execute(("mkdir -p '%s/run/systemd/system'"):format(dir))
  servers.write_file(dir .. "/bin/systemctl", (SYSTEMCTL:gsub("DIR", dir)))
  core.fs_chmod_sync(dir .. "/bin/systemctl", 493)
  servers.write_file(dir .. "/active", "inactive\n")
  servers.write_file(dir .. "/enabled", "disabled\n")
  os.remove(dir .. "/broken")
  return h, dir
end

return M
