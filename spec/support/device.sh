#!/bin/sh
# A switch that is played: what a forced command runs in place of a shell. usage: device.sh HABIT
# HABIT: plain; control (the echo is redrawn); wrap (long lines are broken); twice (the prompt comes again a moment
# later); closes (in the middle of an output); never (no prompt at all); quiet (no echo).
habit=${1:-plain}
prompt='sw1>'
stty -echo -icanon min 1 -onlcr -icrnl
cr=$(printf '\r')

say() { printf '%s\r\n' "$1"; }
ask() { printf '%s' "$1"; }

# The next line, byte by byte, as devices read; the line end is a newline or a return.
next_line() {
  line=
  while :; do
    c=$(dd bs=1 count=1 2>/dev/null; echo .)
    c=${c%.}
    [ -n "$c" ] || exit 0
    case $c in "
" | "$cr") return ;; esac
    line=$line$c
  done
}

echo_line() {
  case $habit in
  quiet) printf '\r\n' ;;
  control)
    rest=${line#?}
    printf '%sX\b \b\033[1m%s\033[0m\a\033[K\r\n' "${line%"$rest"}" "$rest"
    ;;
  wrap)
    rest=$line
    while [ ${#rest} -gt 12 ]; do
      printf '%.12s\r\n' "$rest"
      rest=${rest#????????????}
    done
    say "$rest"
    ;;
  *) say "$line" ;;
  esac
}

# Lines of standard input, ten at a time.
page() {
  n=0
  while IFS= read -r text; do
    if [ $n = 10 ]; then
      n=0
      [ "$habit" != closes ] || { sleep 0.3; kill $$; exit; }
      ask ' --More-- '
      key=$(dd bs=1 count=1 2>/dev/null <&3)
      if [ "$habit" = control ]; then printf '\b\b\b\b\b\b\b\b\b\b          \b\b\b\b\b\b\b\b\b\b'; else printf '\r          \r'; fi
      [ "$key" = q ] && return
    fi
    say "$text"
    n=$((n + 1))
  done
}

show_prompt() {
  ask "$prompt"
  [ "$habit" != twice ] || { sleep 0.2; printf '\r\n%s' "$prompt"; }
}

exec 3<&0
say 'Authorised access only'
[ "$habit" != never ] || { ask 'booting'; sleep 60; }
while :; do
  show_prompt
  next_line
  echo_line
  case $line in
  enable)
    for try in 1 2 3; do
      ask 'Password: '
      next_line
      printf '\r\n'
      [ "$line" != s3cret ] || { prompt='sw1#'; break; }
    done
    [ "$prompt" = 'sw1#' ] || say '% Bad secrets'
    ;;
  'configure terminal') prompt='sw1(config)#' ;;
  vlan*) prompt='sw1(config-vlan)#' ;;
  end) prompt='sw1#' ;;
  'show run')
    i=1
    {
      while [ $i -le 25 ]; do
        echo "  line $i"
        i=$((i + 1))
      done
    } | page
    ;;
  'show wide')
    i=0
    while [ $i -lt 8 ]; do
      ask 0123456789
      i=$((i + 1))
    done
    printf '\r\nend of it\r\nshort\r\n'
    ;;
  exit) exit 0 ;;
  '') ;;
  *) say "you said: $line" ;;
  esac
done
