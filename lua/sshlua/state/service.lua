--- service: that a service runs or does not, and is started with the system or is not. systemd where it runs, else
--- OpenRC, else scripts in /etc/init.d.

local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local options = require("sshlua.options")
local systems = require("sshlua.state.service_systems")

local M = {}

local SCRIPT = [[
n=$1 want=$2 enable=$3 once= acted=
unknown() {
  # with its last work the unit may go
  if [ -n "$acted" ]; then active=inactive enabled=$acted; return; fi
  assumed + || assumed "unit:$n" || assumed "unit:$n.service" || fail "there is no such service${1-}"
  active=inactive enabled=disabled unable= once=
}
if [ -d /run/systemd/system ]; then
]] .. systems.systemd .. [[
elif command -v rc-service >/dev/null 2>&1; then
]] .. systems.openrc .. [[
else
]] .. systems.sysv .. [[
fi
reached() {
  case $want,$active in
  ,* | started,active | restarted,active | reloaded,active | stopped,inactive | stopped,failed) ;;
  *) return 1 ;;
  esac
}
tell() { say "$1.active" "$active"; say "$1.enabled" "$enabled"; }
say system "$system"
look
tell before
todo=
case $want in
started) [ "$active" = active ] || todo=start ;;
stopped) case $active in inactive | failed) ;; *) todo=stop ;; esac ;;
restarted) todo=restart ;;
reloaded) if [ "$active" = active ]; then todo=reload; else todo=start; fi ;;
esac
switch=
case $enable in
yes) case $enabled in enabled | static | alias | generated | indirect) ;; *) switch=enable ;; esac ;;
no) case $enabled in enabled | enabled-runtime) switch=disable ;; esac ;;
esac
for verb in $switch $todo; do able "$verb"; done
[ -z "$todo" ] || say action "$todo"
[ -z "$todo$switch" ] || say changed 1
if [ -n "$dry" ]; then
  for verb in $switch $todo; do permitted "$verb"; done
  case $todo in start | restart | reload) active=active ;; stop) active=inactive ;; esac
  [ "$todo,$once" != restart,1 ] || active=inactive
  case $switch in enable) enabled=enabled ;; disable) enabled=disabled ;; esac
elif [ -n "$todo$switch" ]; then
  [ -z "$switch" ] || act "$switch" || fail "it cannot be ${switch}d"
  [ -z "$todo" ] || act "$todo" || { why "$todo"; fail "it cannot $todo"; }
  acted=$enabled
  [ "$switch" != disable ] || acted=disabled
  look
  tries=0
  while [ $tries -lt $grace ] && ! reached; do
    sleep 1
    tries=$((tries + 1))
    look
  done
  if ! reached && [ "$want,$once,$active" != restarted,1,inactive ]; then
    [ "$want" != stopped ] || fail "it runs still"
    why "$todo"
    fail "it does not run: it is $active$detail"
  fi
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
    args = { name, want or "", enable }, names = { "unit:" .. name, "unit:" .. name .. ".service" },
    hint = function(records)
      return records.journal and ("systemctl status %s tells more there"):format(errors.excerpt(records.journal, 200))
    end,
    read = function(records)
      local before, after = state(records, "before"), state(records, "after")
      local action = records.action and word_of(records, "action")
      if action == "restart" or action == "reload" then after.action = action end -- the others show
      return before, after
    end,
  }
end

return M
