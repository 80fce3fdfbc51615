#!/bin/sh
# ssh(1) as a client of the common command line (bench/README.md): xargs runs many at once,
# a master connection is shared by many commands. Writes to the current directory only.
set -eu

die() { echo "ssh.sh: $*" >&2; exit 1; }

verb=$1
shift
while [ $# -ge 2 ]; do
  case $1 in
  --hosts) hosts=$2 ;;
  --parallel) parallel=$2 ;;
  --key) key=$2 ;;
  --known-hosts) known_hosts=$2 ;;
  --user) user=$2 ;;
  --port) port=$2 ;;
  --count) count=$2 ;;
  --bytes) bytes=$2 ;;
  --command) command=$2 ;;
  --kex) kex=$2 ;;
  --cipher) cipher=$2 ;;
  *) die "unknown option $1" ;;
  esac
  shift 2
done

set -- -F /dev/null -l "$user" -p "$port" -i "$key" \
  -o IdentitiesOnly=yes -o IdentityAgent=none -o PreferredAuthentications=publickey \
  -o UserKnownHostsFile="$known_hosts" -o GlobalKnownHostsFile=/dev/null \
  -o StrictHostKeyChecking=yes -o HostKeyAlgorithms=ssh-ed25519 -o UpdateHostKeys=no \
  -o BatchMode=yes
[ "$kex" = own ] || set -- "$@" -o KexAlgorithms="$kex"
[ "$cipher" = own ] || set -- "$@" -o Ciphers="$cipher"
read -r first <"$hosts"

# The functions below take the options of ssh as their arguments.

run_one() {
  ssh -n "$@" "$first" "$command"
  echo "ok 1"
}

run_fanout() {
  xargs -P "$parallel" -I {} ssh -n "$@" {} "$command" <"$hosts"
  echo "ok $(wc -l <"$hosts")"
}

# ssh itself counts what it received: a counter behind it would cost more than ssh.
run_down() {
  log=$PWD/ssh_log.$$
  ssh -n -E "$log" -o LogLevel=VERBOSE "$@" "$first" "$command" >/dev/null
  received=$(sed -n 's/^Transferred: .* received \([0-9]*\) bytes.*/\1/p' "$log")
  rm -f "$log"
  [ "$received" -ge "$bytes" ] || die "received $received of $bytes bytes"
  echo "ok $bytes"
}

run_up() { # stdin is a file of so many bytes
  arrived=$(ssh "$@" "$first" "$command")
  [ "$arrived" -eq "$bytes" ] || die "$arrived of $bytes bytes arrived"
  echo "ok $bytes"
}

run_up_fed() { # as a shell would send what a program makes
  head -c "$bytes" /dev/zero | run_up "$@"
}

# Connections that stay open: masters in the background, as children, so that they are counted.
control=$PWD/control.$$
masters=

start_master() { # SOCKET HOST OPTIONS...
  socket=$1 host=$2
  shift 2
  ssh -n -N -M -S "$socket" "$@" "$host" >/dev/null 3<&- &
  masters="$masters $!"
}

# A control socket appears when its process has authenticated.
wait_for_socket() {
  tries=0
  until [ -S "$1" ]; do
    tries=$((tries + 1))
    [ $tries -lt 3000 ] || die "no connection came up at $1"
    sleep 0.01
  done
}

# KILL, because a master loses a TERM that comes just before it waits, and then waits for ever.
end_masters() {
  ending=$masters
  masters=
  # shellcheck disable=SC2086 # a list of process ids
  [ -z "$ending" ] || kill -KILL $ending || return
  wait
}

clean_up() {
  end_masters || :
  rm -rf "$control"
}

run_exec() {
  start_master "$control/0" "$first" "$@"
  wait_for_socket "$control/0"
  seq "$count" | xargs -P "$parallel" -I {} ssh -n -S "$control/0" "$@" "$first" "$command"
  end_masters
  echo "ok $count"
}

halt() {
  echo "open $1"
  read -r _
}

run_idle() {
  started=0 up=0
  halt 0
  while read -r host <&3; do
    started=$((started + 1))
    start_master "$control/$started" "$host" "$@"
    halting=no
    [ $started -ne $((count / 2)) ] && [ $started -ne "$count" ] || halting=yes
    [ $halting = yes ] || [ $((started % parallel)) -eq 0 ] || continue
    while [ $up -lt $started ]; do
      up=$((up + 1))
      wait_for_socket "$control/$up"
    done
    [ $halting = no ] || halt $started
  done 3<"$hosts"
  end_masters
  echo "ok $started"
}

case $verb in
exec | idle)
  mkdir "$control"
  trap clean_up EXIT
  ;;
esac
case $verb in
one) run_one "$@" ;;
fanout) run_fanout "$@" ;;
exec) run_exec "$@" ;;
down) run_down "$@" ;;
up) run_up "$@" ;;
up-fed) run_up_fed "$@" ;;
idle) run_idle "$@" ;;
*) die "unknown verb $verb" ;;
esac
