--- service: that a service runs or does not, and is started with the system or is not. systemd where it runs, else
--- OpenRC, else scripts in /etc/init.d.

local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local options = require("sshlua.options")

local M = {}

-- For each system: look sets active (active, inactive, failed, ...) and enabled (enabled, disabled, static, ...); act
-- VERB does it.
local SCRIPT = [[
n=$1 want=$2 enable=$3
unknown() {
  assumed + || fail "there is no such service${1-}"
  active=inactive enabled=disabled
}
if [ -d /run/systemd/system ]; then
  system=systemd
  look() {
    active= enabled= loaded=
    shown=$(systemctl show -p LoadState -p ActiveState -p UnitFileState "$n" </dev/null) || fail "systemd does not say"
    while IFS='=' read -r key value; do
      case $key in
      LoadState) loaded=$value ;;
      ActiveState) active=$value ;;
      UnitFileState) enabled=${value:-unknown} ;;
      esac
    done <<END
$shown
END
    case $loaded in
    not-found)
      unknown
      return ;;
    masked) [ -z "$enable" ] && [ "$want" = stopped ] || fail "it is masked: systemctl unmask it first" ;;
    esac
    [ -n "$active" ] || fail "systemd does not say"
    # on the way: it is where it goes
    case $active in activating | reloading | refreshing) active=active ;; deactivating) active=inactive ;; esac
  }
  act() { systemctl "$1" "$n" </dev/null >&2; }
elif command -v rc-service >/dev/null 2>&1; then
  system=openrc
  look() {
    rc-service -e "$n" || { unknown; return; }
    case $(rc-service "$n" status 2>&1) in
    *started*) active=active ;;
    *crashed*) active=failed ;;
    *) active=inactive ;;
    esac
    enabled=disabled
    for name in $(rc-update show default | sed 's/|.*//'); do [ "$name" != "$n" ] || enabled=enabled; done
  }
  act() {
    case $1 in
    enable) rc-update add "$n" default >&2 ;;
    disable) rc-update del "$n" default >&2 ;;
    *) rc-service "$n" "$1" </dev/null >&2 ;;
    esac
  }
else
  system=sysv
  init=/etc/init.d
  [ -d "$init" ] || init=/etc/rc.d/init.d
  look() {
    [ -x "$init/$n" ] || { unknown ", and no systemd or OpenRC"; return; }
    if "$init/$n" status </dev/null >/dev/null 2>&1; then active=active; else active=inactive; fi
    enabled=disabled
    set +f
    for link in /etc/rc[2345].d/S[0-9][0-9]"$n" /etc/rc.d/rc[2345].d/S[0-9][0-9]"$n"; do
      [ ! -h "$link" ] || enabled=enabled
    done
    set -f
  }
  act() {
    case $1 in
    enable | disable)
      if command -v update-rc.d >/dev/null 2>&1; then
        [ "$1" = disable ] || update-rc.d "$n" defaults >&2
        update-rc.d "$n" "$1" >&2
      elif command -v chkconfig >/dev/null 2>&1; then
        if [ "$1" = enable ]; then chkconfig "$n" on; else chkconfig "$n" off; fi >&2
      else
        fail "neither update-rc.d nor chkconfig is there"
      fi ;;
    *) "$init/$n" "$1" </dev/null >&2 ;;
    esac
  }
fi
tell() { say "$1.active" "$active"; say "$1.enabled" "$enabled"; }
say system "$system"
look
tell before
todo=
case $want in
started) [ "$active" = active ] || todo=start ;;
stopped) [ "$active" != active ] || todo=stop ;;
restarted) todo=restart ;;
reloaded) todo=reload ;;
esac
switch=
case $enable in
yes) case $enabled in enabled | static | alias | generated | indirect | enabled-runtime) ;; *) switch=enable ;; esac ;;
no) case $enabled in enabled | enabled-runtime) switch=disable ;; esac ;;
esac
[ -z "$todo" ] || say action "$todo"
[ -z "$todo$switch" ] || say changed 1
if [ -n "$dry" ]; then
  case $todo in start | restart | reload) active=active ;; stop) active=inactive ;; esac
  case $switch in enable) enabled=enabled ;; disable) enabled=disabled ;; esac
else
  [ -z "$switch" ] || act "$switch" || fail "it cannot be ${switch}d"
  if [ "$todo" = reload ] && [ "$active" != active ]; then todo=start; fi
  [ -z "$todo" ] || act "$todo" || fail "it cannot $todo"
  look
  case $want in
  started | restarted | reloaded) [ "$active" = active ] || fail "it does not run: it is $active" ;;
  stopped) [ "$active" != active ] || fail "it runs still" ;;
  esac
fi
tell after
finish
]]

---@class sshlua.ServiceOptions: sshlua.StateOptions
---@field enabled? boolean started with the system, or not
local service_options = frame.with({ enabled = "boolean" })

local STATES = { "started", "stopped", "restarted", "reloaded" }

local function word_of(records, name)
  local value = records[name]
  if not value or not value:find("^[%w-]+$") or #value > 40 then frame.nonsense(name, value) end
  return value
end

local function state(records, when)
  return { active = word_of(records, when .. ".active"), enabled = word_of(records, when .. ".enabled") }
end

function M.service(name, want, opts, level)
  frame.name(name, "^[%w_][%w_.@:\\-]*$", "service", level + 1)
  options.check(opts, service_options, level + 1)
  if want == nil and opts.enabled == nil then
    errors.usage(level + 1, "service: a state or option 'enabled' expected")
  end
  if want ~= nil then frame.word(want, STATES, "service", level + 1) end
  local enable = opts.enabled == nil and "" or opts.enabled and "yes" or "no"
  return {
    op = "service", label = "service " .. name, subject = "service " .. name, script = SCRIPT,
    args = { name, want or "", enable },
    read = function(records)
      local before, after = state(records, "before"), state(records, "after")
      local action = records.action and word_of(records, "action")
      if action == "restart" or action == "reload" then after.action = action end -- the others show
      return before, after
    end,
  }
end

return M
