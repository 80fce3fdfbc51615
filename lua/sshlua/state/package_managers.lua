--- The sh by which package talks to package managers. Each sets manager and defines: version NAME, which sets v, ""
--- when it is not installed; planned NAME..., which prints lines "NAME VERSION" for what an installation would bring,
--- and fails where that would; removal NAME..., which fails where a removal would, and sets also: what else would go;
--- refresh, install, upgrade, remove, which do it. Must not know what was asked for.

local M = {}

--- For managers that give up at once while another one runs, or wait for ever. patiently COMMAND tries again for
--- $patience seconds; locked CODE WORDS is the manager's: was that why? Sets code and words.
M.patience = [[
patiently() {
  tries=0
  while :; do
    words=$("$@" </dev/null 2>&1)
    code=$?
    [ $code -ne 0 ] && locked $code "$words" || return $code
    [ $tries -lt "$patience" ] || break
    tries=$((tries + 1))
    sleep 1
  done
  words="$words${nl}somebody else installs there, for longer than lock_timeout ($patience s): ${words%%"$nl"*}"
  return 1
}
do_it() {
  patiently "$@"
  [ -z "$words" ] || printf '%s\n' "$words" >&2
  return $code
}
]]

M.apt = [[
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

--- What rpm says of a name, or of what provides it (vim of vim-enhanced): but that is not what is removed by it. parted
--- NAME... sets new and old: those that are not installed, and those that are.
local RPM = [[
version() {
  v=$(rpm -q --qf '%{EVR}\n' "$1" 2>/dev/null) || [ "$want" = absent ] ||
    v=$(rpm -q --whatprovides --qf '%{EVR}\n' "$1" 2>/dev/null) || v=
  v=${v##*"$nl"}
  case $v in *' '*) v= ;; esac
}
parted() {
  new= old=
  for name in "$@"; do
    version "$name"
    if [ -n "$v" ]; then old="$old $name"; else new="$new $name"; fi
  done
}
]]

M.dnf = RPM .. [[
manager=$(command -v dnf || command -v microdnf || command -v yum)
# exit_on_lock: else it waits for ever; it ends with 200 then
dnf() { "$manager" -y -q --setopt=exit_on_lock=True "$@"; }
locked() { case $1,$2 in 200,* | *"already locked"* | *"transaction lock"*) return 0 ;; esac; return 1; }
simulated() {
  patiently "$manager" --setopt=exit_on_lock=True --assumeno "$@"
  words=$(printf '%s\n' "$words" | sed '/^(try to add /d')
  case $code,$words in 0,* | *"peration aborted"*) return 0 ;; esac
  printf '%s\n' "$words" >&2
  return 1
}
# dnf 4 ends each line itself, dnf 5 does not
asked() { "$manager" -q repoquery --latest-limit=1 --qf '%{name} %{evr}\n' "$@" </dev/null | sed -n 's/ 0:/ /; /./p'; }
planned() {
  parted "$@"
  if [ -n "$new" ]; then
    simulated -q install $new || return
    plan=$(asked $new) || return
    printf '%s\n' "$plan"
    for name in $new; do
      case $nl$plan in *"$nl$name "*) continue ;; esac
      one=$(asked --whatprovides "$name") || return
      one=${one##*"$nl"}
      [ -z "$one" ] || printf '%s %s\n' "$name" "${one##* }"
    done
  fi
  if [ -n "$old" ]; then
    simulated -q upgrade $old || return
    asked --upgrades $old
  fi
}
removal() {
  simulated remove "$@" || return
  case $words in *"peration aborted"*) ;; *) return 0 ;; esac
  # rows: blank, name, architecture, version, repository, size
  for name in $(printf '%s\n' "$words" | sed -n 's/^ \([^ ][^ ]*\)  *[^ ][^ ]*  *[^ ]*[0-9][^ ]*  *.*@.*$/\1/p'); do
    case " $* " in *" $name "*) ;; *) also="$also $name" ;; esac
  done
}
refresh() { do_it dnf makecache; }
install() { do_it dnf install "$@"; }
upgrade() {
  parted "$@"
  [ -z "$new" ] || do_it dnf install $new || return
  [ -z "$old" ] || do_it dnf upgrade $old
}
remove() { do_it dnf remove "$@"; }
]]

M.zypper = RPM .. [[
manager=zypper
ZYPP_LOCK_TIMEOUT=0
export ZYPP_LOCK_TIMEOUT
locked() { [ "$1" = 7 ]; }
# From 100 on it has done it, and has something to say; 104 and 105: it has not.
changes() {
  do_it zypper -n -q "$@" && return
  case $code in 10[012367]) return 0 ;; esac
  return 1
}
# The plan comes as XML: in plan, one line for each package that comes or goes.
simulated() {
  patiently zypper -x -n "$1" --dry-run -- $2 || case $1,$code in
    remove,104) words= ;; # nothing of that is there
    *) printf '%s\n' "$words" | sed -n -e "s/&apos;/'/g; s/&quot;/\"/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g" \
      -e 's/^<description>//p' -e 's/^<message type="error">\(.*\)<\/message>.*/\1/p' >&2
      return 1 ;;
  esac
  plan=$(printf '%s\n' "$words" | sed -n 's/^<solvable type="package" name="\([^"]*\)" edition="\([^"]*\)".*/\1 \2/p')
}
planned() {
  simulated install "$*" || return
  printf '%s\n' "$plan"
  [ -n "$plan" ] || return 0
  for name in "$@"; do
    case $nl$plan in *"$nl$name "*) continue ;; esac
    version "$name"
    [ -z "$v" ] || continue
    one=$(zypper -x -n search -s --provides --match-exact -- "$name" </dev/null 2>/dev/null |
      sed -n 's/^<solvable .*edition="\([^"]*\)".*/\1/p' | sed -n 1p)
    [ -z "$one" ] || printf '%s %s\n' "$name" "$one"
  done
}
removal() {
  simulated remove "$*" || return
  for name in $(printf '%s\n' "$plan" | sed 's/ .*//'); do
    case " $* " in *" $name "*) ;; *) also="$also $name" ;; esac
  done
}
refresh() { do_it zypper -n -q refresh; }
# Its last words are a question: the reason is in the plan.
install() { changes install -- "$@" || { simulated install "$*"; return 1; }; }
upgrade() { install "$@"; }
remove() { changes remove -- "$@"; }
]]

M.apk = [[
manager=apk
locked() { case $2 in *[Uu]"nable to lock"*) return 0 ;; esac; return 1; }
version() {
  v=
  real=$(apk info -e "$1" 2>/dev/null) || return 0
  # what provides it counts, but is removed by its own name only
  real=${real##*"$nl"}
  [ "$want" != absent ] || [ "$real" = "$1" ] || return 0
  v=$(apk list -I "$real" 2>/dev/null | sed -n "1s/^$real-\([^ ]*\) .*/\1/p")
}
reason() { printf '%s\n' "$1" | sed -e '/^ *required by: world\[/d' -e '/^OK: /d' >&2; }
planned() {
  patiently apk add --simulate -u "$@" || { reason "$words"; return 1; }
  plan=$(printf '%s\n' "$words" | sed -n -e 's/^.*) Installing \([^ ]*\) (\([^ ]*\))$/\1 \2/p' \
    -e 's/^.*) Upgrading \([^ ]*\) (.* -> \([^ ]*\))$/\1 \2/p')
  printf '%s\n' "$plan"
  for name in "$@"; do
    case $nl$plan in *"$nl$name "*) continue ;; esac
    # something else provides it
    for real in $(apk list -P "$name" 2>/dev/null | sed -n 's/^<[^>]*> *\([^ ]*\) .*/\1/p'); do
      v=${real#"${real%-*-r*}-"}
      case $nl$plan$nl in *"$nl${real%-*-r*} $v$nl"*) printf '%s %s\n' "$name" "$v" ;; esac
    done
  done
}
removal() {
  patiently apk del --simulate "$@" || { reason "$words"; return 1; }
  gone=$(printf '%s\n' "$words" | sed -n 's/^.*) Purging \([^ ]*\) (.*$/\1/p')
  for name in "$@"; do
    case "$nl$gone$nl" in *"$nl$name$nl"*) continue ;; esac
    printf '%s\n' "$words" | sed -n 's/^  \([^ :]*\): \(.*\)/\1 is needed by \2/p' >&2
    return 1
  done
  for name in $gone; do
    case " $* " in *" $name "*) ;; *) also="$also $name" ;; esac
  done
}
change() { patiently apk -q "$@" && return; reason "$words"; return 1; }
refresh() { change update; }
install() { change add "$@"; }
upgrade() { change add -u "$@"; }
remove() { change del "$@"; }
]]

M.pacman = [[
manager=pacman
locked() { case $2 in *"unable to lock database"*) return 0 ;; esac; return 1; }
version() {
  v=$(pacman -Q -- "$1" 2>/dev/null | sed -n 1p)
  # it answers for what is provided, too, but removes that by its own name only
  case $want,$v in absent,"$1 "*) ;; absent,*) v= ;; esac
  v=${v#* }
}
planned() {
  new= old=
  for name in "$@"; do
    version "$name"
    if [ -n "$v" ]; then old="$old $name"; else new="$new $name"; fi
  done
  if [ -n "$new" ]; then
    plan=$(pacman -S -p --noconfirm --print-format '%n %v' -- $new </dev/null) ||
      { printf '%s\n' "$plan" >&2; return 1; }
    printf '%s\n' "$plan"
    for name in $new; do
      case $nl$plan in *"$nl$name "*) continue ;; esac
      # something else provides it
      one=$(pacman -S -p -d --noconfirm --print-format '%v' -- "$name" </dev/null) || return
      printf '%s %s\n' "$name" "${one##*"$nl"}"
    done
  fi
  # -Qu ends with 1 when there is none
  [ -z "$old" ] || pacman -Qu -- $old </dev/null | sed -n 's/^\([^ ]*\) [^ ]* -> \([^ ]*\)$/\1 \2/p'
}
removal() {
  plan=$(pacman -R -p --print-format %n -- "$@" </dev/null) || { printf '%s\n' "$plan" >&2; return 1; }
}
change() {
  patiently pacman --noconfirm "$@" && return
  printf '%s\n' "$words" | sed '/^Errors occurred/d' >&2
  return 1
}
refresh() { change -S -y; }
install() { change -S --needed -- "$@"; }
upgrade() { install "$@"; }
remove() { change -R -- "$@"; }
]]

return M
