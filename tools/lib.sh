# Sourced by ./test, ./demo and tools/run-examples (POSIX sh): what the system is, what is missing, how to install
# it without starting anything, how to build. The working directory is the repository; $log is a directory for logs.
# shellcheck shell=sh disable=SC2154

say() { printf '%s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Runs "$@" for at most $1 seconds where the system can (coreutils, busybox; macOS: gtimeout).
bounded() {
  bounded_seconds=$1
  shift
  if command -v timeout >/dev/null 2>&1; then
    # In the foreground, so that ^C reaches what runs (busybox does that anyway and knows no such option).
    if timeout --foreground 1 true 2>/dev/null; then
      timeout --foreground -k 10 "$bounded_seconds" "$@"
    else
      timeout -k 10 "$bounded_seconds" "$@"
    fi
  elif command -v gtimeout >/dev/null 2>&1; then
    gtimeout -k 10 "$bounded_seconds" "$@"
  else
    "$@"
  fi
}

cpus() { getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2; }

# ---- packages

# group | probe | Debian, Ubuntu | Fedora | Alpine | macOS (brew). "-": part of the system or not to be had;
# "rock:x": luarocks has it.
# Probes: cmd: any of these programs; pc: any of these in pkg-config; lua: a module of Lua 5.4; file: any of these.
# Group "source" is for bringing libssh2's source through apt, "system" for the systems that link their own.
package_table() {
  cat <<'END'
build|cmd:cc,gcc,clang|gcc|gcc|gcc|-
build|file:/usr/include/stdio.h,/Library/Developer|libc6-dev|glibc-devel|musl-dev|-
build|cmd:cmake|cmake|cmake|cmake|cmake
build|cmd:ninja,make|ninja-build|ninja-build|ninja|ninja
build|cmd:pkg-config|pkg-config|pkgconf-pkg-config|pkgconf|pkgconf
build|pc:libuv|libuv1-dev|libuv-devel|libuv-dev|libuv
build|pc:lua5.4,lua-5.4,lua54,lua|liblua5.4-dev|lua-devel|lua5.4-dev|lua@5.4
build|pc:libcrypto|libssl-dev|openssl-devel|openssl-dev|openssl@3
build|pc:zlib|zlib1g-dev|zlib-devel|zlib-dev|-
build|pc:jansson|libjansson-dev|jansson-devel|jansson-dev|jansson
build|pc:yaml-0.1|libyaml-dev|libyaml-devel|yaml-dev|libyaml
build|pc:libedit|libedit-dev|libedit-devel|libedit-dev|libedit
build|pc:lua5.4-luv|lua-luv-dev|-|-|-
source|cmd:dpkg-source|dpkg-dev|-|-|-
source|file:/usr/share/keyrings/debian-archive-keyring.gpg,/usr/share/keyrings/debian-archive-keyring.pgp,/usr/share/keyrings/ubuntu-archive-keyring.gpg|debian-archive-keyring|-|-|-
system|pc:libssh2|libssh2-1-dev|libssh2-devel|libssh2-dev|libssh2
fleet|cmd:sshd|openssh-server|openssh-server|openssh-server|-
fleet|cmd:ssh-keygen|openssh-client|openssh-clients|openssh-keygen|-
test|pc:luajit|libluajit-5.1-dev|luajit-devel|luajit-dev|luajit
test|cmd:luajit|luajit|luajit|luajit|luajit
test|cmd:lua5.4,lua|lua5.4|lua|lua5.4|lua@5.4
test|cmd:ssh-agent|openssh-client|openssh-clients|openssh-client-default|-
test|cmd:busted|lua-busted|rock:busted|rock:busted|rock:busted
test|cmd:luacheck|lua-check|rock:luacheck|rock:luacheck|rock:luacheck
test|lua:luv|lua-luv|rock:luv|rock:luv|rock:luv
test|cmd:nodeset|clustershell|clustershell|-|-
test|cmd:pdsh|pdsh|pdsh|-|pdsh
test|cmd:openssl|openssl|openssl|openssl|openssl@3
test|cmd:tmux|tmux|tmux|tmux|tmux
test|cmd:vi,vim|vim-tiny|vim-minimal|-|-
test|cmd:rsync|rsync|rsync|rsync|rsync
test|cmd:git|git|git|git|git
test|cmd:zsh|zsh|zsh|zsh|zsh
test|cmd:fish|fish|fish|fish|fish
test|cmd:mandoc|mandoc|mandoc|mandoc|mandoc
test|cmd:sudo|sudo|sudo|sudo|-
test|cmd:doas|opendoas|opendoas|doas|-
test|cmd:busybox|busybox|busybox|-|-
test|file:/usr/lib/python3/dist-packages/asyncssh/__init__.py|python3-asyncssh|python3-asyncssh|-|-
test|cmd:dropbear|dropbear-bin|dropbear|dropbear|-
END
}

detect_os() {
  os=other
  if [ "$(uname -s)" = Darwin ]; then
    os=macos
    for keg in openssl@3 lua@5.4 libedit; do # kept out of the way by brew: pkg-config must be told
      dir=$(brew --prefix $keg 2>/dev/null)/lib/pkgconfig
      [ ! -d "$dir" ] || export PKG_CONFIG_PATH="$dir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
    done
  elif command -v apt-get >/dev/null 2>&1; then
    os=debian
  elif command -v dnf >/dev/null 2>&1; then
    os=fedora
  elif command -v apk >/dev/null 2>&1; then
    os=alpine
  fi
}

# 0 when one of the comma-separated names of probe $1 is there.
present() {
  present_kind=${1%%:*}
  present_old_ifs=$IFS
  IFS=,
  # shellcheck disable=SC2086 # split at the commas
  set -- ${1#*:}
  IFS=$present_old_ifs
  for present_name in "$@"; do
    case $present_kind in
    cmd) (PATH=$PATH:/usr/sbin:/sbin command -v "$present_name") >/dev/null 2>&1 && return 0 ;;
    pc) pkg-config --exists "$present_name" 2>/dev/null && return 0 ;;
    lua) "$(find_lua)" -e "require '$present_name'" >/dev/null 2>&1 && return 0 ;;
    file) [ -e "$present_name" ] && return 0 ;;
    esac
  done
  return 1
}

find_lua() {
  for find_lua_name in lua5.4 lua-5.4 lua54 lua; do
    if command -v "$find_lua_name" >/dev/null 2>&1; then
      echo "$find_lua_name"
      return
    fi
  done
  echo lua5.4
}

# Prints the packages that are missing for the groups given, each once; luarocks' own as "rock:x".
missing_packages() {
  package_table | while IFS='|' read -r group probe debian fedora alpine macos; do
    case " $* " in *" $group "*) ;; *) continue ;; esac
    present "$probe" && continue
    case $os in
    debian | other) echo "$debian" ;;
    fedora) echo "$fedora" ;;
    alpine) echo "$alpine" ;;
    macos) echo "$macos" ;;
    esac
  done | grep -vx -e - | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# The groups a build needs here: with apt libssh2's source comes from the archive, elsewhere the system has 1.11.
build_groups() {
  if [ -n "${SSHLUA_LIBSSH2_SOURCE-}" ] || [ -f build-deps/libssh2/src/libssh2_priv.h ]; then
    echo build
  elif [ "$os" = debian ]; then
    echo build source
  else
    echo build system
  fi
}

# ---- installing, without starting what is installed

policy_file=/usr/sbin/policy-rc.d
policy_mark='# temporary, by sshlua: nothing starts while packages are installed'

# invoke-rc.d and deb-systemd-invoke ask this file; 101 says "do not start". $1: what is to be installed.
forbid_daemons() {
  if [ -e "$policy_file" ] && ! grep -qF "$policy_mark" "$policy_file"; then
    case " $1 " in *' openssh-server '*) ;; *) return 0 ;; esac
    policy_answer=0
    "$policy_file" ssh start >/dev/null 2>&1 || policy_answer=$?
    [ "$policy_answer" = 101 ] || die "$policy_file of this machine would start sshd; install openssh-server yourself"
    return
  fi
  policy_ours=1
  printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy_file"
  chmod 755 "$policy_file"
}

allow_daemons() {
  [ -z "${policy_ours-}" ] || rm -f "$policy_file"
  policy_ours=
}

# Prints the pids of processes called sshd that hold a listening TCP socket.
listening_sshd() {
  [ -r /proc/net/tcp ] || return 0
  listening=" $(awk '$4 == "0A" { printf "%s ", $10 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)"
  for listening_comm in /proc/[0-9]*/comm; do
    [ "$(cat "$listening_comm" 2>/dev/null)" = sshd ] || continue
    listening_dir=${listening_comm%/comm}
    for listening_fd in "$listening_dir"/fd/*; do
      listening_inode=$(readlink "$listening_fd" 2>/dev/null | sed -n 's/^socket:\[\([0-9]*\)\]$/\1/p')
      case $listening in
      *" ${listening_inode:-none} "*)
        echo "${listening_dir#/proc/}"
        break
        ;;
      esac
    done
  done
}

install_with_apt() {
  before=" $(listening_sshd | tr '\n' ' ')"
  forbid_daemons "$1"
  export DEBIAN_FRONTEND=noninteractive
  if ! apt-get -q -o APT::Sandbox::User=root update >"$log/apt.log" 2>&1; then
    say "  apt-get update had trouble (see $log/apt.log); going on with the lists there are"
  fi
  # shellcheck disable=SC2086 # a list of names
  if ! apt-get -q -y -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=120 install --no-install-recommends $1 \
    >>"$log/apt.log" 2>&1; then
    allow_daemons
    tail -n 15 "$log/apt.log" >&2
    die "apt-get could not install: $1"
  fi
  allow_daemons
  case " $1 " in
  *' openssh-server '*)
    for pid in $(listening_sshd); do
      case $before in
      *" $pid "*) ;;
      *) die "an sshd (process $pid) listens that did not before the installation of openssh-server" ;;
      esac
    done
    # Wanted for its program only: it must not come up with the next boot either.
    if command -v systemctl >/dev/null 2>&1; then
      systemctl --quiet disable ssh.service ssh.socket >>"$log/apt.log" 2>&1 || true
    fi
    if command -v update-rc.d >/dev/null 2>&1; then
      update-rc.d ssh disable >>"$log/apt.log" 2>&1 || true
    fi
    say "  openssh-server is here for its program only: not started, not enabled"
    ;;
  esac
}

# Sets `missing` to the system's packages that are missing and `rocks` to those of luarocks.
find_missing() {
  missing=''
  rocks=''
  for find_name in $(missing_packages "$@"); do
    case $find_name in
    rock:*) rocks="$rocks${rocks:+ }${find_name#rock:}" ;;
    *) missing="$missing${missing:+ }$find_name" ;;
    esac
  done
}

# ensure_packages GROUP...: prints what is missing and installs it if it may.
ensure_packages() {
  find_missing "$@"
  if [ -n "$rocks" ]; then
    say "packages: missing, not installed by this script: luarocks --lua-version 5.4 install $rocks"
  fi
  if [ -z "$missing" ]; then
    [ -n "$rocks" ] || say "packages: nothing is missing"
    return 0
  fi
  case $os in
  debian) command="apt-get install --no-install-recommends $missing" ;;
  fedora) command="dnf install $missing" ;;
  alpine) command="apk add $missing" ;;
  macos) command="brew install $missing" ;;
  *) command= ;;
  esac
  if [ -n "$command" ]; then
    say "packages: missing, to be installed with: $command"
  else
    say "packages: missing, by their Debian names: $missing"
  fi
  [ -z "${no_install-}" ] || return 0
  case $os in
  debian)
    [ "$(id -u)" = 0 ] || die "not root: run the command above as root, then this again"
    install_with_apt "$missing"
    ;;
  fedora | alpine)
    [ "$(id -u)" = 0 ] || die "not root: run the command above as root, then this again"
    : >"$log/packages.log"
    for name in $missing; do # one by one: a name that this release does not know must not stop the others
      case $os in
      fedora) dnf -q -y install "$name" ;;
      alpine) apk add -q "$name" ;;
      esac >>"$log/packages.log" 2>&1 || say "  $name could not be installed (see $log/packages.log); going on"
    done
    ;;
  *)
    say "  not installed by this script on this system; going on without"
    return
    ;;
  esac
  find_missing "$@"
  [ -z "$missing" ] || say "packages: still missing: $missing"
}

# ---- building

# configure_and_build PRESET [CMAKE-ARGUMENT...]; $build_targets: which targets, all if empty.
configure_and_build() {
  preset=$1
  shift
  for tool in cmake pkg-config; do
    command -v $tool >/dev/null 2>&1 || {
      say "error: cannot build without $tool, which is missing"
      return 1
    }
  done
  if command -v ninja >/dev/null 2>&1; then
    export CMAKE_GENERATOR="${CMAKE_GENERATOR-Ninja}"
  fi
  if [ -n "${SSHLUA_LIBSSH2_SOURCE-}" ]; then
    set -- "$@" "-DSSHLUA_LIBSSH2_SOURCE=$SSHLUA_LIBSSH2_SOURCE"
  elif [ "$os" != debian ] && [ ! -d build-deps/libssh2 ]; then
    set -- "$@" -DSSHLUA_LIBSSH2=system
  fi
  # shellcheck disable=SC2086 # a list of names
  bounded 600 cmake --preset "$preset" "$@" &&
    bounded 1800 cmake --build --preset "$preset" --parallel "$(cpus)" ${build_targets:+--target $build_targets}
}
