#!/bin/sh
# A NETCONF server that is played, as a subsystem: says hello, answers in the framing of 1.1 after it, or of 1.0 when
# NETCONF_10 is the argument.
printf '<?xml version="1.0"?><hello><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability>'
[ "$1" = 10 ] || printf '<capability>urn:ietf:params:netconf:base:1.1</capability>'
printf '</capabilities></hello>]]>]]>'
while IFS= read -r line; do
  case $line in
  *message-id=*)
    id=${line#*message-id=\"}
    id=${id%%\"*}
    text="<rpc-reply message-id=\"$id\"><data>"
    more="grün</data></rpc-reply>"
    case $line in
    *wrong*) text="<rpc-reply message-id=\"$id\"><rpc-error><error-message>no " more="such thing</error-message></rpc-error></rpc-reply>" ;;
    esac
    if [ "$1" = 10 ]; then
      printf '%s%s]]>]]>' "$text" "$more"
    else
      printf '\n#%d\n%s\n#%d\n%s\n##\n' "$(printf %s "$text" | wc -c)" "$text" "$(printf %s "$more" | wc -c)" "$more"
    fi
    ;;
  esac
done
