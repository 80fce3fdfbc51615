--- What file, dir, link and line have in common: sh that looks at a path and sets owner and mode, and how its records
--- are read. No GNU options: dash, bash and busybox with what POSIX has, and readlink.

local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local names = require("sshlua.transfer_names")

local M = {}

--- look PATH sets k (absent, file, dir, link, other), km (rwxr-xr-x), ko and kg (names), ku and ki (numbers), kz
--- (size), kt (where a link points).
M.LOOK = [[
look() {
  k=absent km= ko= kg= ku= ki= kz= kt=
  if [ -h "$1" ]; then k=link
  elif [ -d "$1" ]; then k=dir
  elif [ -f "$1" ]; then k=file
  elif [ -e "$1" ]; then k=other
  else return 0; fi
  if [ "$k" = link ]; then kt=$(readlink "$1"; echo x); kt=${kt%x}; kt=${kt%"$nl"}; return 0; fi
  look_p=$1
  set -- $(ls -ldn -- "$look_p")
  [ $# -ge 5 ] || fail "cannot look at it"
  ku=$3 ki=$4 kz=$5
  set -- $(ls -ld -- "$look_p")
  [ $# -ge 5 ] || fail "cannot look at it"
  km=${1#?} ko=$3 kg=$4
  km=${km%[+.@]}
}
# With $follow, a link is taken for what it leads to.
follow_link() {
  [ "$k" = link ] && [ -n "$follow" ] || return 0
  to=$(readlink -f "$p" && echo x) || fail "is a link that leads nowhere"
  to=${to%x}; p=${to%"$nl"}
  look "$p"
}
tell() {
  say "$1.type" "$k"
  case $k in
  absent) ;;
  link) say "$1.target" "$kt" ;;
  *) say "$1.mode" "$km"; say "$1.owner" "$ko"; say "$1.group" "$kg" ;;
  esac
}
parent() {
  d=${1%/*}
  [ -n "$d" ] || d=/
}
writable() {
  # not every test -w knows of read-only file systems; nothing has that name
  case $(rmdir "$1/.state.sshlua-$m" 2>&1) in *[Rr]ead-only*) fail "directory $1 is on a read-only file system" ;; esac
  [ -w "$1" ] && [ -x "$1" ] || fail "directory $1 cannot be written: Permission denied"
}
]]

--- owners OWNER GROUP sets wu, wo, wi, wg: numbers and names of whom it is to belong to; "" for whoever has it. settle
--- PATH gives it to them, with mode $mode, which ls shows as $ms. settled sets k... as if it had.
M.OWNERS = [[
entry() {
  if command -v getent >/dev/null 2>&1; then getent "$1" "$2"; return; fi
  while IFS=: read -r e_name e_pw e_id e_rest; do
    if [ "$e_name" = "$2" ] || [ "$e_id" = "$2" ]; then printf '%s:%s:%s\n' "$e_name" x "$e_id"; return 0; fi
  done <"/etc/$1"
  return 1
}
who() {
  case $2 in
  *[!0-9]*)
    w=$(entry "$1" "$2") || { assumed "$2" && w=$2:x:?; } || fail "there is no $3 $2" ;;
  *) w=$(entry "$1" "$2") || w=$2:x:$2 ;;
  esac
  wn=${w%%:*} w=${w#*:} w=${w#*:} w=${w%%:*}
}
owners() {
  wu= wo= wi= wg=
  if [ -n "$1" ]; then who passwd "$1" user; wu=$w wo=$wn; fi
  if [ -n "$2" ]; then who group "$2" group; wi=$w wg=$wn; fi
}
may_settle() {
  [ "$(id -u)" = 0 ] && return 0
  if [ -n "$wu" ] && [ "$wu" != "$ku" ]; then fail "cannot be given to $wo: not permitted"; fi
  if [ -n "$wi" ] && [ "$wi" != "$ki" ]; then
    [ "$ku" = "$(id -u)" ] || fail "cannot be given to group $wg: not permitted"
    case " $(id -G) " in *" $wi "*) ;; *) fail "cannot be given to group $wg: not permitted" ;; esac
  fi
  if [ -n "$ms" ] && [ "$ms" != "$km" ] && [ "$ku" != "$(id -u)" ]; then
    fail "its mode cannot be changed: not permitted"
  fi
  return 0
}
differs() {
  if [ -n "$wu" ] && [ "$wu" != "$ku" ]; then return 0; fi
  if [ -n "$wi" ] && [ "$wi" != "$ki" ]; then return 0; fi
  [ -n "$ms" ] && [ "$ms" != "$km" ]
}
settle() {
  [ -z "$wu" ] || [ "$wu" = "$ku" ] || { chown "$wu" "$1" || fail "its owner cannot be changed"; km=; }
  [ -z "$wi" ] || [ "$wi" = "$ki" ] || { chgrp "$wi" "$1" || fail "its group cannot be changed"; km=; }
  if [ -n "$mode" ] && [ "$ms" != "$km" ]; then
    [ "$k" != dir ] || chmod ug-s "$1" || fail "its mode cannot be changed"
    chmod "$mode" "$1" || fail "its mode cannot be changed"
  fi
}
settled() {
  if [ -n "$wu" ] && [ "$wu" != "$ku" ]; then ku=$wu ko=$wo; fi
  if [ -n "$wi" ] && [ "$wi" != "$ki" ]; then ki=$wi kg=$wg; fi
  [ -z "$ms" ] || km=$ms
}
born() {
  ku=$(id -u) ko=$(id -un) ki=$(id -g) kg=$(id -gn)
  born_k=$k born_p=$1
  set -- "$ku" "$ko" "$ki" "$kg"
  look "$born_p"
  case $km in
  ?????[sS]*) set -- "$1" "$2" "$ki" "$kg" ;;
  esac
  ku=$1 ko=$2 ki=$3 kg=$4 k=$born_k
}
]]

--- stage writes what `made` prints to a file beside $p, which nobody else can read; swap gives it owner and mode, those
--- of the old file unless others are wanted, and the name of $p. move FROM TO renames a file or a link, also to where a
--- link leads to a directory.
M.REPLACE = [[
t=
trap '[ -z "$t" ] || rm -f "$t"' 0
trap 'exit 1' 1 2 13 15
temporary() {
  parent "$p"
  t=$d/.state.sshlua-$m
}
stage() {
  [ -z "$t" ] || return 0
  temporary
  (umask 077; set -C; made >"$t") || fail "cannot be written"
}
symbolic() {
  printf '%s\n' "$1" | sed -e 's/^\(...\)\(...\)\(...\).*/u=\1,g=\2,o=\3/' -e 's/-//g' \
    -e 's/s/xs/g' -e 's/S/s/g' -e 's/t/x/' -e 's/T//'
}
may_enter() {
  parent "$p"
  if [ -d "$d" ]; then writable "$d"; elif ! assumed /; then fail "directory $d is missing"; fi
}
may_swap() {
  may_enter
  if [ "$k" = file ] && [ "$(id -u)" != 0 ] && [ "$ku" != "$(id -u)" ]; then
    fail "it belongs to $ko, and would no more: not permitted"
  fi
}
move() {
  if [ -h "$2" ] && [ -d "$2" ]; then
    mv -fT "$1" "$2" 2>/dev/null || mv -fh "$1" "$2" 2>/dev/null || { rm -f "$2" && mv -f "$1" "$2"; }
  else
    mv -f "$1" "$2"
  fi
}
swap() {
  if [ "$k" = file ]; then
    [ -n "$wu" ] || wu=$ku
    [ -n "$wi" ] || wi=$ki
    [ -n "$mode" ] || { mode=$(symbolic "$km"); ms=$km; }
  fi
  look "$t"
  km=
  settle "$t"
  move "$t" "$p" || fail "cannot take its place"
  t=
}
]]

--- Options of what has an owner and a mode.
M.options = { mode = "string|number", owner = "string|number", group = "string|number" }

local function who(value, name, level)
  if value == nil then return "" end
  local text = type(value) == "number" and ("%d"):format(value) or value
  return frame.name(text, "^[%w_.][%w_.@\\-]*%$?$", "option '" .. name .. "'", level + 1)
end

--- Mode in digits and as ls shows it, owner, group: four arguments of a script.
function M.attributes(opts, level)
  local mode = names.octal(opts.mode, "mode", level + 1)
  return mode and ("%o"):format(mode) or "", mode and frame.mode_words(mode) or "",
    who(opts.owner, "owner", level + 1), who(opts.group, "group", level + 1)
end

local types = { absent = true, file = true, dir = true, link = true, other = true }

--- What tell said, as a table.
function M.state(records, when)
  local kind = records[when .. ".type"]
  if not types[kind] then frame.nonsense(when .. ".type", kind) end
  local state = { type = kind }
  if kind == "absent" then return state end
  if kind == "link" then
    state.target = records[when .. ".target"]
    return state
  end
  state.mode = frame.mode_digits(records[when .. ".mode"])
  if not state.mode then frame.nonsense(when .. ".mode", records[when .. ".mode"]) end
  for _, name in ipairs({ "owner", "group" }) do
    local value = records[when .. "." .. name]
    if not value or value == "" or #value > 255 then frame.nonsense(when .. "." .. name, value) end
    state[name] = value
  end
  return state
end

--- How a verb is called in messages: "file /etc/motd".
function M.label(op, path) return op .. " " .. errors.excerpt(path, 200) end

return M
