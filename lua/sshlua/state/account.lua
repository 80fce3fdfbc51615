--- account: that a user is there, with a shell, a home and groups, or is not. shadow's tools, or busybox's.

local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local options = require("sshlua.options")

local M = {}

local SCRIPT = [[
n=$1 want=$2 uid=$3 group=$4 groups=$5 shell=$6 home=$7 comment=$8 system=$9
shift 9
make_home=$1 remove=$2 only=$3 set_comment=$4
entry() {
  if command -v getent >/dev/null 2>&1; then getent "$1" "$2" && return; fi
  while IFS= read -r e_line; do
    case $e_line in "$2":*) printf '%s\n' "$e_line"; return 0 ;; esac
  done <"/etc/$1"
  return 1
}
look() {
  there= lu= lg= lc= lh= ls= lgs=
  line=$(entry passwd "$n") || return 0
  there=1
  IFS=: read -r e_n e_p lu lg lc lh ls <<END
$line
END
  lg=$(id -gn "$n") || fail "its groups cannot be told"
  lgs=
  for g in $(id -Gn "$n" | tr ' ' '\n' | sort); do [ "$g" = "$lg" ] || lgs="$lgs${lgs:+,}$g"; done
}
tell() {
  say "$1.state" "${there:+present}"
  [ -n "$there" ] || return 0
  say "$1.uid" "$lu"; say "$1.group" "$lg"; say "$1.groups" "$lgs"; say "$1.comment" "$lc"
  say "$1.home" "$lh"; say "$1.shell" "$ls"
}
# The tools give up at once while somebody else changes users.
patient() {
  tries=0
  while :; do
    words=$("$@" 2>&1)
    code=$?
    case $code,$words in
      0,*) break ;;
      *"cannot lock"*) [ $tries -lt 30 ] || break ;;
      *) break ;;
    esac
    tries=$((tries + 1))
    sleep 1
  done
  [ -z "$words" ] || printf '%s\n' "$words" >&2
  return $code
}
may() { [ "$(id -u)" = 0 ] || fail "only root changes users: Permission denied"; }
full=
command -v useradd >/dev/null 2>&1 && command -v usermod >/dev/null 2>&1 && full=1
look
tell before
if [ "$want" = absent ]; then
  if [ -n "$there" ]; then
    say changed 1
    may
    if [ -n "$dry" ]; then
      there=
    else
      if [ -n "$full" ]; then patient userdel ${remove:+-r} -- "$n"; else deluser ${remove:+--remove-home} "$n" >&2; fi
      # userdel says 12 when there was no home to remove
      case $? in 0 | 12) ;; *) fail "it cannot be removed" ;; esac
      look
      [ -z "$there" ] || fail "it is still there"
    fi
  fi
  tell after
  finish
fi
for g in $(printf '%s' "$group,$groups" | tr ',' ' '); do
  entry group "$g" >/dev/null || assumed "$g" || fail "there is no group $g"
done
gone= missing=
for g in $(printf '%s' "$groups" | tr ',' ' '); do
  case ",$lg,$lgs," in *",$g,"*) ;; *) missing="$missing $g" ;; esac
done
if [ -n "$only" ]; then
  for g in $(printf '%s' "$lgs" | tr ',' ' '); do
    case ",$groups," in *",$g,"*) ;; *) gone="$gone $g" ;; esac
  done
fi
sorted() {
  printf '%s' "$*" | tr ', ' '\n\n' | sort -u | {
    r=
    while read -r g; do [ -z "$g" ] || r="$r${r:+,}$g"; done
    printf '%s' "$r"
  }
}
all_groups() {
  if [ -n "$only" ]; then sorted "$groups"; else sorted "$lgs" "$groups"; fi
}
if [ -z "$there" ]; then
  say changed 1
  may
  if [ -n "$dry" ]; then
    there=1 lu=${uid:-?} lc=$comment
    lg=${group:-$n}
    lh=${home:-/home/$n}
    ls=$shell
    if [ -z "$ls" ]; then
      ls=/bin/sh
      [ -z "$full" ] || ls=$(useradd -D | sed -n 's/^SHELL=//p')
    fi
    set -- "$groups"
    lgs=$(sorted "$1")
  elif [ -n "$full" ]; then
    if [ -n "$group" ]; then set -- -g "$group"; else set -- -U; fi
    [ -z "$uid" ] || set -- "$@" -u "$uid"
    [ -z "$groups" ] || set -- "$@" -G "$groups"
    [ -z "$shell" ] || set -- "$@" -s "$shell"
    [ -z "$system" ] || set -- "$@" -r
    set -- "$@" -d "${home:-/home/$n}" -c "$comment"
    if [ -n "$make_home" ]; then set -- "$@" -m; else set -- "$@" -M; fi
    patient useradd "$@" -- "$n" || fail "it cannot be made"
  else
    if [ -n "$group" ]; then set -- -G "$group"; else set --; fi
    [ -z "$uid" ] || set -- "$@" -u "$uid"
    [ -z "$system" ] || set -- "$@" -S
    [ -n "$make_home" ] || set -- "$@" -H
    adduser -D -h "${home:-/home/$n}" -s "${shell:-/bin/sh}" -g "$comment" "$@" "$n" >&2 || fail "it cannot be made"
    for g in $(printf '%s' "$groups" | tr ',' ' '); do addgroup "$n" "$g" >&2 || fail "it cannot join $g"; done
  fi
else
  set --
  [ -z "$uid" ] || [ "$uid" = "$lu" ] || set -- "$@" -u "$uid"
  [ -z "$group" ] || [ "$group" = "$lg" ] || set -- "$@" -g "$group"
  [ -z "$shell" ] || [ "$shell" = "$ls" ] || set -- "$@" -s "$shell"
  [ -z "$home" ] || [ "$home" = "$lh" ] || set -- "$@" -d "$home"
  [ -z "$set_comment" ] || [ "$comment" = "$lc" ] || set -- "$@" -c "$comment"
  [ -z "$missing$gone" ] || set -- "$@" -G "$(all_groups)"
  if [ $# -gt 0 ]; then
    say changed 1
    may
    if [ -z "$full" ] && { [ "$1" != -G ] || [ -n "$gone" ]; }; then
      fail "there is no usermod: nothing of a user can be changed, but for more groups"
    fi
    if [ -n "$dry" ]; then
      [ -z "$missing$gone" ] || lgs=$(all_groups)
      [ -z "$uid" ] || lu=$uid
      [ -z "$group" ] || lg=$group
      [ -z "$shell" ] || ls=$shell
      [ -z "$home" ] || lh=$home
      [ -z "$set_comment" ] || lc=$comment
    elif [ -n "$full" ]; then
      patient usermod "$@" -- "$n" || fail "it cannot be changed"
    else
      for g in $missing; do addgroup "$n" "$g" >&2 || fail "it cannot join $g"; done
    fi
  fi
fi
if [ -z "$dry" ]; then
  look
  [ -n "$there" ] || fail "it is not there after all"
fi
tell after
finish
]]

---@class sshlua.AccountOptions: sshlua.StateOptions
---@field uid? integer
---@field group? string its own group; default one of its name
---@field groups? string|string[] others that it is to be in
---@field only_groups? boolean and in no others
---@field shell? string
---@field home? string default /home/NAME
---@field comment? string
---@field system? boolean with a number for services
---@field make_home? boolean default: not for system
---@field remove_home? boolean absent: with its home and mail
local account_options = frame.with({
  uid = "count", group = "string", groups = "list", only_groups = "boolean", shell = "string", home = "string",
  comment = "string", system = "boolean", make_home = "boolean", remove_home = "boolean",
})

local NAME = "^[%a_][%w_.-]*%$?$"

local function field(value, what, level)
  if value == nil then return "" end
  if value:find("[%c:]") then errors.usage(level + 1, "option '%s': no colons and control characters", what) end
  return value
end

local function absolute(opts, what, level)
  local value = field(opts[what], what, level + 1)
  if value ~= "" and value:sub(1, 1) ~= "/" then
    errors.usage(level + 1, "option '%s': absolute path expected", what)
  end
  return value
end

local function state(records, when)
  local word = records[when .. ".state"]
  if word == "" then return { state = "absent" } end
  if word ~= "present" then frame.nonsense(when .. ".state", word) end
  local found = { state = "present" }
  for _, name in ipairs({ "group", "comment", "home", "shell" }) do
    local value = records[when .. "." .. name] or ""
    if #value > 4096 then frame.nonsense(name, value) end
    found[name] = value
  end
  local uid = records[when .. ".uid"]
  found.uid = uid ~= "?" and frame.number(uid, "uid", 2 ^ 32) or nil
  found.groups = {}
  for name in (records[when .. ".groups"] or ""):gmatch("[^,]+") do found.groups[#found.groups + 1] = name end
  return found
end

function M.account(name, want, opts, level)
  frame.name(name, NAME, "account", level + 1)
  want = frame.word(want or "present", { "present", "absent" }, "account", level + 1)
  options.check(opts, account_options, level + 1)
  local groups = options.merge(options.list(opts.groups))
  for _, group in ipairs(groups) do frame.name(group, NAME, "option 'groups'", level + 1) end
  if opts.group then frame.name(opts.group, NAME, "option 'group'", level + 1) end
  if opts.only_groups and opts.groups == nil then
    errors.usage(level + 1, "option 'only_groups': which ones, say with 'groups'")
  end
  local make_home = opts.make_home
  if make_home == nil then make_home = not opts.system end
  local function flag(value) return value and "1" or "" end
  return {
    op = "account", label = "account " .. name, subject = "user " .. name, script = SCRIPT,
    makes = want == "present" and { name = name } or nil, names = groups,
    args = {
      name, want, opts.uid or "", opts.group or "", table.concat(groups, ","), absolute(opts, "shell", level + 1),
      absolute(opts, "home", level + 1), field(opts.comment, "comment", level + 1), flag(opts.system), flag(make_home),
      flag(opts.remove_home), flag(opts.only_groups), flag(opts.comment),
    },
    hidden = opts.uid == nil and "uid" or nil, -- of a new user nobody knows it before
    read = function(records) return state(records, "before"), state(records, "after") end,
  }
end

return M
