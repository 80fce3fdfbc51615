# Completion of sshlua's command line for bash: source this file, or put it into bash_completion's directory as "sshlua".
# Commands and options are asked of the program itself.

_sshlua_words() { "${1}" --help 2>/dev/null | sed -n '/^commands:/,/^exit status:/s/^  \([a-z][a-z-]*\) .*/\1/p'; }

_sshlua_options() { # PROGRAM COMMAND
  "${1}" ${2:+"$2"} --help 2>/dev/null | sed -n 's/^  \(-[^ ].*\)/\1/p' | grep -oE '(^|[ ,])--?[A-Za-z0-9][a-z-]*' | tr -d ' ,'
}

_sshlua() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
    -*) ;;
    *)
      command=${COMP_WORDS[i]}
      break
      ;;
    esac
  done
  case $previous in
  --inventory | --journal | --resume | --outdir | --report | --trace | --record | --cwd | -F | -i | -E | -f)
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    return
    ;;
  --on-fail) mapfile -t COMPREPLY < <(compgen -W 'stop skip continue' -- "$word") && return ;;
  --order) mapfile -t COMPREPLY < <(compgen -W 'given sorted reverse shuffle' -- "$word") && return ;;
  --exit) mapfile -t COMPREPLY < <(compgen -W 'main all any largest' -- "$word") && return ;;
  --links) mapfile -t COMPREPLY < <(compgen -W 'skip copy follow' -- "$word") && return ;;
  --skip) mapfile -t COMPREPLY < <(compgen -W 'time digest' -- "$word") && return ;;
  --only) mapfile -t COMPREPLY < <(compgen -W 'failed ok unreachable' -- "$word") && return ;;
  --unknown) mapfile -t COMPREPLY < <(compgen -W 'stop again done' -- "$word") && return ;;
  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_sshlua_options "${COMP_WORDS[0]}" "$command")" -- "$word")
  elif [[ -z $command ]]; then
    mapfile -t COMPREPLY < <(compgen -f -W "$(_sshlua_words "${COMP_WORDS[0]}")" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}

complete -o filenames -F _sshlua sshlua
