# Completion of sshlua's command line for bash: source this file, or put it into bash_completion's directory as "sshlua".
# What may stand there is asked of the program itself.

_sshlua() {
  local line word=${COMP_WORDS[COMP_CWORD]}
  [[ $word == = ]] && word=
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
    :files | :dirs)
      compopt -o filenames 2>/dev/null
      if [[ $line == :dirs ]]; then
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$word")
      else
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$word")
      fi
      ;;
    *) COMPREPLY+=("${line%%$'\t'*}") ;;
    esac
  done < <("${COMP_WORDS[0]}" help --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}

complete -F _sshlua sshlua
