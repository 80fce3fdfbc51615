#!/bin/sh
# scp, sftp, rsync and tar as clients of the common command line (bench/README.md) for files:
#     files.sh TOOL get|put ... --from PATH --to PATH
# The source is a file or a directory; the target's directory is there, the target is not.
set -eu

die() { echo "files.sh: $*" >&2; exit 1; }

tool=$1 verb=$2
shift 2
while [ $# -ge 2 ]; do
  case $1 in
  --hosts) hosts=$2 ;;
  --key) key=$2 ;;
  --known-hosts) known_hosts=$2 ;;
  --user) user=$2 ;;
  --port) port=$2 ;;
  --count) count=$2 ;;
  --kex) kex=$2 ;;
  --cipher) cipher=$2 ;;
  --from) from=$2 ;;
  --to) to=$2 ;;
  --parallel | --bytes | --command) ;;
  *) die "unknown option $1" ;;
  esac
  shift 2
done

set -- -F /dev/null -o User="$user" -o Port="$port" -o IdentityFile="$key" \
  -o IdentitiesOnly=yes -o IdentityAgent=none -o PreferredAuthentications=publickey \
  -o UserKnownHostsFile="$known_hosts" -o GlobalKnownHostsFile=/dev/null -o HostKeyAlias=bench \
  -o StrictHostKeyChecking=yes -o HostKeyAlgorithms=ssh-ed25519 -o UpdateHostKeys=no -o BatchMode=yes
[ "$kex" = own ] || set -- "$@" -o KexAlgorithms="$kex"
[ "$cipher" = own ] || set -- "$@" -o Ciphers="$cipher"
read -r host <"$hosts"

tree=
[ ! -d "$from" ] || tree=yes

case $tool-$verb in
scp-get) scp -q ${tree:+-r} "$@" "$host:$from" "$to" ;;
scp-put) scp -q ${tree:+-r} "$@" "$from" "$host:$to" ;;
sftp-get) echo "get ${tree:+-r} $from $to" | sftp -q -b - "$@" "$host" ;;
sftp-put)
  { [ -z "$tree" ] || echo "mkdir $to"; echo "put ${tree:+-r} $from${tree:+/.} $to"; } |
    sftp -q -b - "$@" "$host"
  ;;
rsync-get) rsync -W ${tree:+-r} -e "ssh $*" "$host:$from${tree:+/}" "$to" ;;
rsync-put) rsync -W ${tree:+-r} -e "ssh $*" "$from${tree:+/}" "$host:$to" ;;
tar-get)
  mkdir "$to.dir"
  ssh -n "$@" "$host" "tar -C ${from%/*} -cf - ${from##*/}" | tar -C "$to.dir" -xf -
  mv "$to.dir/${from##*/}" "$to"
  ;;
tar-put)
  tar -C "${from%/*}" -cf - "${from##*/}" |
    ssh "$@" "$host" "mkdir $to.dir && tar -C $to.dir -xf - && mv $to.dir/${from##*/} $to"
  ;;
*) die "no $tool $verb" ;;
esac
echo "ok $count"
