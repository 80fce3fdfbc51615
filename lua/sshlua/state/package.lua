--- package: that software is installed, is not, or is the newest there is. By the host's own package manager.

local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local managers = require("sshlua.state.package_managers")
local options = require("sshlua.options")

local M = {}

local SCRIPT = [[
want=$1 fresh=$2 patience=$3
shift 3
]] .. managers.patience .. [[
if command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1; then
]] .. managers.apt .. [[
elif command -v dnf >/dev/null 2>&1 || command -v microdnf >/dev/null 2>&1; then
]] .. managers.dnf .. [[
elif command -v zypper >/dev/null 2>&1; then
]] .. managers.zypper .. [[
elif command -v yum >/dev/null 2>&1; then
]] .. managers.dnf .. [[
elif command -v apk >/dev/null 2>&1; then
]] .. managers.apk .. [[
elif command -v pacman >/dev/null 2>&1; then
]] .. managers.pacman .. [[
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
# only apt shows everybody what it would do
[ -z "$names" ] || [ "$manager" = apt ] || may
if [ -n "$names" ] && [ "$want" = absent ]; then
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
---@field lock_timeout? integer seconds to wait while somebody else installs, default 60
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
    hint = function(records)
      return not records.manager and "h:run runs the installer that this host has" or nil
    end,
    makes = want ~= "absent" and { packages = true } or nil, lists = { before = true, after = true },
    read = function(records)
      local before, after = versions(records, "before", names), versions(records, "after", names)
      after["removed with them"] = records.also and errors.excerpt(records.also, 2000)
      return before, after
    end,
  }
end

return M
