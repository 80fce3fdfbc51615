--- The sh by which service asks and tells the systems that run services. Each sets system, and grace: seconds that a
--- script may be ahead of its daemon; and defines: look, which sets active (active, inactive, failed, ...), enabled
--- (enabled, disabled, static, ...) and detail, words about a failure; able VERB, which fails when it is known to be
--- refused; permitted VERB, which fails when this user may not; act VERB, which does it; why VERB, which prints what
--- else is known of a failure. Must not know what was asked for.

local M = {}

--- The unit is asked about by its own name, as NAME may be an alias, which goes when the unit is disabled. once: it
--- runs to its end and is over.
M.systemd = [[
system=systemd id=$n since= grace=0
case $n in *@ | *@.*) fail "it is a template: name an instance of it" ;; esac
control() { systemctl --no-ask-password "$@" </dev/null; }
look() {
  active= enabled= detail= loaded= sub= kind= stays= unable= result= status= stale= bad= once=
  shown=$(systemctl show -p Id -p LoadState -p LoadError -p ActiveState -p SubState -p UnitFileState -p Type \
    -p RemainAfterExit -p CanStart -p CanStop -p CanReload -p Result -p ExecMainStatus -p NeedDaemonReload \
    "$id" </dev/null) || fail "systemd does not say"
  while IFS='=' read -r key value; do
    case $key in
    Id) id=${value:-$id} ;;
    LoadState) loaded=$value ;;
    LoadError) case $value in *' "'*'"') bad=${value#* \"} bad=${bad%\"} ;; esac ;;
    ActiveState) active=$value ;;
    SubState) sub=$value ;;
    UnitFileState) enabled=${value:-unknown} ;;
    Type) kind=$value ;;
    RemainAfterExit) stays=$value ;;
    Can*) [ "$value" != no ] || unable="$unable ${key#Can} " ;;
    Result) result=$value ;;
    ExecMainStatus) status=$value ;;
    NeedDaemonReload) stale=$value ;;
    esac
  done <<END
$shown
END
  [ -n "$active" ] || fail "systemd does not say"
  case $loaded,$active in not-found,inactive | not-found,failed) unknown; return ;; esac
  # of scripts in /etc/init.d it says no more than that
  [ "$enabled" != generated ] || enabled=$(control is-enabled "$id" 2>/dev/null) || enabled=${enabled:-unknown}
  [ "$kind,$stays" != oneshot,no ] || once=1
  case $active,$sub in
  *,auto-restart*) active=restarting ;; # it ended, and is tried again and again
  # on the way: it is where it goes
  activating,* | reloading,* | refreshing,*) active=active ;;
  deactivating,*) active=inactive ;;
  esac
  case $result in '' | success) ;; *) detail=" ($result, status ${status:-unknown})" ;; esac
}
able() {
  case $1,$loaded in
  stop,masked | disable,masked) ;;
  *,masked) fail "it is masked: systemctl unmask it first" ;;
  esac
  [ "$stale" != yes ] || return 0
  case $1,$loaded in
  start,bad-setting | restart,bad-setting | start,error | restart,error)
    fail "it cannot $1: ${bad:-systemd cannot load it}" ;;
  esac
  case $1,$unable in
  reload,*Reload*) fail "it cannot reload: the unit says not how (ExecReload)" ;;
  start,*Start* | restart,*Start* | stop,*Stop* | restart,*Stop*)
    fail "it cannot $1: the unit leaves that to others (RefuseManualStart, RefuseManualStop)" ;;
  esac
  [ "$1,$once" != start,1 ] || fail "it ends when it has run (Type=oneshot), and never is started: restarted runs it"
}
permitted() {
  [ "$(id -u)" != 0 ] || return 0
  p=manage-units
  case $1 in enable | disable) p=manage-unit-files ;; esac
  command -v pkcheck >/dev/null 2>&1 || fail "only root does that: Permission denied"
  pkcheck -a "org.freedesktop.systemd1.$p" -p $$ </dev/null >/dev/null 2>&1 ||
    fail "polkit lets only others do that: Permission denied"
}
act() {
  if [ "$stale" = yes ]; then control daemon-reload >&2 || return; stale=; fi
  since=$(date +%s)
  words=$(control "$1" "$id" 2>&1)
  code=$?
  if [ "$code,$1" = 0,disable ] && [ "$(control is-enabled "$id" 2>/dev/null)" = enabled-runtime ]; then
    control disable --runtime "$id" >&2
  fi
  [ -z "$words" ] || printf '%s\n' "$words" | sed '/^See /d' >&2
  return $code
}
why() {
  case $1 in start | restart | reload) ;; *) return 0 ;; esac
  [ "$(id -u)" = 0 ] || return 0
  say journal "$id"
  journalctl --sync >/dev/null 2>&1
  words=$(journalctl -q --no-pager -o cat -n 1 --since "@$since" "_SYSTEMD_UNIT=$id" 2>/dev/null)
  [ -z "$words" ] || printf 'it said: %s\n' "$words" >&2
}
]]

M.openrc = [[
system=openrc detail= grace=5
# Scripts that are not OpenRC's own answer themselves, so words are of no use: 0 started, 3 stopped, 32 crashed,
# 8 starting, 4 stopping, 16 it waits.
look() {
  rc-service -e "$n" || { unknown; return; }
  rc-service "$n" status </dev/null >/dev/null 2>&1
  case $? in
  0 | 8 | 16) active=active ;;
  32) active=failed ;;
  *) active=inactive ;;
  esac
  enabled=disabled
  for name in $(rc-update show default | sed 's/|.*//'); do [ "$name" != "$n" ] || enabled=enabled; done
}
able() { :; }
permitted() { [ "$(id -u)" = 0 ] || fail "only root does that: Permission denied"; }
act() {
  case $1 in
  enable) rc-update add "$n" default >&2 ;;
  disable) rc-update del "$n" default >&2 ;;
  *) rc-service "$n" "$1" </dev/null >&2 ;;
  esac
}
why() { :; }
]]

M.sysv = [[
system=sysv detail= grace=5
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
able() {
  case $1 in enable | disable)
    command -v update-rc.d >/dev/null 2>&1 || command -v chkconfig >/dev/null 2>&1 ||
      fail "neither update-rc.d nor chkconfig is there" ;;
  esac
}
permitted() { [ "$(id -u)" = 0 ] || fail "only root does that: Permission denied"; }
act() {
  case $1 in
  enable | disable)
    if command -v update-rc.d >/dev/null 2>&1; then
      [ "$1" = disable ] || update-rc.d "$n" defaults >&2
      update-rc.d "$n" "$1" >&2
    elif [ "$1" = enable ]; then chkconfig "$n" on >&2
    else chkconfig "$n" off >&2; fi ;;
  *) "$init/$n" "$1" </dev/null >&2 ;;
  esac
}
why() { :; }
]]

return M
