--- package: that software is installed, is not, or is the newest there is. By the host's own package manager.

local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local options = require("sshlua.options")

local M = {}

-- For each manager: version NAME sets v, "" when it is not installed; planned NAME... prints lines "NAME VERSION" for
-- what an installation would bring; removal NAME... (apt) sets what else would go; install, upgrade, remove NAME... do
-- it; refresh fetches the lists.
local APT = [[
manager=apt
DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical NEEDRESTART_MODE=l
export DEBIAN_FRONTEND DEBIAN_PRIORITY NEEDRESTART_MODE
apt() {
  apt-get -q -y -o DPkg::Lock::Timeout="$patience" -o Dpkg::Options::=--force-confdef \
    -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}
version() {
  v=$(dpkg-query -W -f '${db:Status-Abbrev} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^.i. *//p' | head -n 1)
}
planned() {
  plan=$(apt-get -q -y -s install "$@" </dev/null) || return
  printf '%s\n' "$plan" | sed -n 's/^Inst \([^ ]*\) .*(\([^ ]*\) .*/\1 \2/p'
}
removal() {
  plan=$(apt-get -q -y -s remove "$@" </dev/null 2>&1) || { printf '%s\n' "$plan" >&2; return 1; }
  for name in $(printf '%s\n' "$plan" | sed -n 's/^Remv \([^ ]*\) .*/\1/p'); do
    case " $* " in *" ${name%%:*} "*) ;; *) also="$also $name" ;; esac
  done
}
refresh() { apt update; }
install() { apt install "$@"; }
upgrade() { apt install "$@"; }
remove() { apt remove "$@"; }
]]

local DNF = [[
manager=$(command -v dnf || command -v microdnf || command -v yum)
version() { v=$(rpm -q --qf '%{EVR}\n' "$1" 2>/dev/null | tail -n 1) || v=; case $v in *' '*) v= ;; esac; }
planned() {
  for name in "$@"; do
    newest=$($manager -q repoquery --latest-limit=1 --qf '%{evr}\n' "$name" </dev/null | tail -n 1) || return
    [ -n "$newest" ] || { echo "No match for argument: $name" >&2; return 1; }
    printf '%s %s\n' "$name" "${newest#0:}"
  done
}
refresh() { $manager -y -q makecache </dev/null >&2; }
install() { $manager -y -q install "$@" </dev/null >&2; }
upgrade() { $manager -y -q install "$@" </dev/null >&2 && $manager -y -q upgrade "$@" </dev/null >&2; }
remove() { $manager -y -q remove "$@" </dev/null >&2; }
]]

local ZYPPER = [[
manager=zypper
version() { v=$(rpm -q --qf '%{EVR}\n' "$1" 2>/dev/null | tail -n 1) || v=; case $v in *' '*) v= ;; esac; }
planned() {
  for name in "$@"; do
    newest=$(zypper -n -q info "$name" </dev/null | sed -n 's/^Version *: *//p' | tail -n 1) || return
    [ -n "$newest" ] || { echo "package '$name' not found" >&2; return 1; }
    printf '%s %s\n' "$name" "$newest"
  done
}
refresh() { zypper -n -q refresh </dev/null >&2; }
install() { zypper -n -q install -- "$@" </dev/null >&2; }
upgrade() { zypper -n -q install -- "$@" </dev/null >&2 && zypper -n -q update -- "$@" </dev/null >&2; }
remove() { zypper -n -q remove -- "$@" </dev/null >&2; }
]]

local APK = [[
manager=apk
version() {
  v=
  apk info -e "$1" >/dev/null 2>&1 || return 0
  v=$(apk list -I "$1" 2>/dev/null | sed -n "1s/^$1-\([^ ]*\) .*/\1/p")
}
planned() {
  plan=$(apk add --simulate -u "$@" </dev/null) || return
  printf '%s\n' "$plan" | sed -n -e 's/^.*) Installing \([^ ]*\) (\([^ ]*\))$/\1 \2/p' \
    -e 's/^.*) Upgrading \([^ ]*\) (.* -> \([^ ]*\))$/\1 \2/p'
}
refresh() { apk update -q >&2; }
install() { apk add -q "$@" </dev/null >&2; }
upgrade() { apk add -q -u "$@" </dev/null >&2; }
remove() { apk del -q "$@" </dev/null >&2; }
]]

local PACMAN = [[
manager=pacman
version() { v=$(pacman -Q -- "$1" 2>/dev/null | sed -n '1s/^[^ ]* //p'); }
planned() { pacman -S -p --print-format '%n %v' -- "$@" </dev/null; }
refresh() { pacman -S -y --noconfirm >&2; }
install() { pacman -S --noconfirm --needed -- "$@" </dev/null >&2; }
upgrade() { install "$@"; }
remove() { pacman -R --noconfirm -- "$@" </dev/null >&2; }
]]

local SCRIPT = [[
want=$1 fresh=$2 patience=$3
shift 3
if command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1; then
]] .. APT .. [[
elif command -v dnf >/dev/null 2>&1 || command -v microdnf >/dev/null 2>&1; then
]] .. DNF .. [[
elif command -v zypper >/dev/null 2>&1; then
]] .. ZYPPER .. [[
elif command -v yum >/dev/null 2>&1; then
]] .. DNF .. [[
elif command -v apk >/dev/null 2>&1; then
]] .. APK .. [[
elif command -v pacman >/dev/null 2>&1; then
]] .. PACMAN .. [[
else
  fail "none of apt-get, dnf, zypper, yum, apk and pacman is there"
fi
say manager "${manager##*/}"
may() { [ "$(id -u)" = 0 ] || fail "only root installs packages: Permission denied"; }
tell() { for name in "$@"; do version "$name"; printf '\n%s %s %s=%s' "$m" "$when" "$name" "$v"; done; }
when=before
tell "$@"
if [ -n "$fresh" ] && [ -z "$dry" ] && [ "$want" != absent ]; then
  may
  refresh || fail "the lists of packages cannot be fetched"
fi
names=
for name in "$@"; do
  version "$name"
  case $want in
  present) [ -n "$v" ] || names="$names $name" ;;
  absent) [ -z "$v" ] || names="$names $name" ;;
  latest) names="$names $name" ;;
  esac
done
plan= also=
if [ -n "$names" ] && [ "$want" = absent ] && [ "$manager" = apt ]; then
  removal $names || fail "they cannot be removed"
  [ -z "$also" ] || say also "${also# }"
fi
if [ -n "$names" ] && [ "$want" != absent ] && { [ -n "$dry" ] || [ "$want" = latest ]; }; then
  plan=$(planned $names) || fail "they cannot be installed"
fi
if [ "$want" = latest ]; then
  wanted= was=$names
  for name in $names; do
    version "$name"
    newest=$(printf '%s\n' "$plan" | while read -r n new rest; do [ "$n" != "$name" ] || { echo "$new"; break; }; done)
    if [ -n "$newest" ] && [ "$newest" != "$v" ]; then wanted="$wanted $name"; fi
  done
  names=$wanted
fi
if [ -n "$names" ]; then
  say changed 1
  may
fi
when=after
if [ -n "$dry" ]; then
  for name in "$@"; do
    version "$name"
    case " $names " in *" $name "*)
      v=
      if [ "$want" != absent ]; then
        v=$(printf '%s\n' "$plan" | while read -r n new rest; do [ "$n" != "$name" ] || { echo "$new"; break; }; done)
        v=${v:-?}
      fi ;;
    esac
    printf '\n%s after %s=%s' "$m" "$name" "$v"
  done
  finish
fi
if [ -n "$names" ]; then
  case $want in
  present) install $names || fail "they cannot be installed" ;;
  latest) upgrade $names || fail "they cannot be installed" ;;
  absent) remove $names || fail "they cannot be removed" ;;
  esac
  for name in $names; do
    version "$name"
    case $want in
    absent) [ -z "$v" ] || fail "$name is still there" ;;
    *) [ -n "$v" ] || fail "$name is not there after all" ;;
    esac
  done
fi
tell "$@"
finish
]]

---@class sshlua.PackageOptions: sshlua.StateOptions
---@field update_cache? boolean fetch the lists of what there is first
---@field lock_timeout? integer apt: seconds to wait while somebody else installs, default 60
local package_options = frame.with({ update_cache = "boolean", lock_timeout = "count" })

local NAMES_MAX = 500

local function names_of(value, level)
  local list = type(value) == "table" and value or { value }
  if #list == 0 then errors.usage(level + 1, "package: no names") end
  if #list > NAMES_MAX then errors.usage(level + 1, "package: %d names, %d at most", #list, NAMES_MAX) end
  for _, name in ipairs(list) do frame.name(name, "^[%w][%w_.+:-]*$", "package", level + 1) end
  return list
end

--- Versions by name, for the names asked for.
local function versions(records, when, names)
  local found, state = {}, {}
  for _, text in ipairs(records[when] or {}) do
    local name, version = text:match("^([^=]+)=([%w.+~:^?_-]*)$")
    if not name or #version > 200 then frame.nonsense(when, text) end
    found[name] = version
  end
  for _, name in ipairs(names) do
    if not found[name] then frame.nonsense(when .. " of " .. name, "missing") end
    state[name] = found[name] ~= "" and found[name] or "absent"
  end
  return state
end

M["package"] = function(name, want, opts, level)
  local names = names_of(name, level + 1)
  want = frame.word(want or "present", { "present", "absent", "latest" }, "package", level + 1)
  options.check(opts, package_options, level + 1)
  local label = "package " .. errors.excerpt(table.concat(names, " "), 100)
  local args = { want, opts.update_cache and "1" or "", opts.lock_timeout or 60 }
  for _, one in ipairs(names) do args[#args + 1] = one end
  return {
    op = "package", label = label, subject = "packages", script = SCRIPT, args = args,
    makes = want ~= "absent" and { packages = true } or nil, lists = { before = true, after = true },
    read = function(records)
      local before, after = versions(records, "before", names), versions(records, "after", names)
      after["removed with them"] = records.also and errors.excerpt(records.also, 2000)
      return before, after
    end,
  }
end

return M
