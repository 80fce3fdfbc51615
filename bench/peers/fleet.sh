#!/bin/sh
# Tools for many hosts as clients of the common command line (bench/README.md): clush, pdsh, parallel-ssh, Ansible, each
# with ssh(1) underneath. The first argument names the tool. Writes to the current directory only.
set -eu

die() { echo "fleet.sh: $*" >&2; exit 1; }

tool=$1 verb=$2
shift 2
while [ $# -ge 2 ]; do
  case $1 in
  --hosts) hosts=$2 ;;
  --parallel) parallel=$2 ;;
  --key) key=$2 ;;
  --known-hosts) known_hosts=$2 ;;
  --user) user=$2 ;;
  --port) port=$2 ;;
  --count | --bytes) ;;
  --command) command=$2 ;;
  --kex) kex=$2 ;;
  --cipher) cipher=$2 ;;
  *) die "unknown option $1" ;;
  esac
  shift 2
done

case $verb in
one) head -n 1 "$hosts" >one-host && hosts=one-host ;;
fleet) ;;
*) die "unknown verb $verb" ;;
esac

options="-F /dev/null -p $port -i $key -o IdentitiesOnly=yes -o IdentityAgent=none -o PreferredAuthentications=publickey \
-o UserKnownHostsFile=$known_hosts -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes \
-o HostKeyAlgorithms=ssh-ed25519 -o UpdateHostKeys=no -o BatchMode=yes -o KexAlgorithms=$kex -o Ciphers=$cipher"
export HOME="$PWD" # none of the user's settings

case $tool in
clush) clush -S -n -f "$parallel" --hostfile="$hosts" -l "$user" -o "$options" "$command" ;;
pdsh) PDSH_SSH_ARGS="$options -a -x -l%u %h" pdsh -R ssh -S -f "$parallel" -w "^$hosts" -l "$user" "$command" ;;
pssh) parallel-ssh -h "$hosts" -p "$parallel" -l "$user" -t 0 -x "$options" "$command" >/dev/null ;;
ansible)
  ANSIBLE_HOME=$PWD/ansible ANSIBLE_LOCAL_TEMP=$PWD/ansible/tmp ANSIBLE_SSH_ARGS='-o ControlMaster=no' \
    ANSIBLE_HOST_KEY_CHECKING=True ansible all -i "$hosts" -f "$parallel" -u "$user" \
    --ssh-common-args="$options" -m raw -a "$command" >/dev/null
  ;;
*) die "unknown tool $tool" ;;
esac
echo "ok $(wc -l <"$hosts" | tr -d ' ')"
