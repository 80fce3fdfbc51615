#!/usr/bin/env sshlua
-- VLANs on switches, and their configuration. usage: switch.lua [HOSTS]; without hosts a switch is played.
local ssh = require "sshlua"

local PLAYED = [[
p='sw1>'
while printf '%s ' "$p" && read -r line; do
  case $line in
  enable) printf 'Password: '; stty -echo; read -r x; stty echo; echo; p='sw1#' ;;
  configure*) p='sw1(config)#' ;;
  vlan*) p='sw1(config-vlan)#'; vlans="$vlans $line;" ;;
  end) p='sw1#' ;;
  show*) echo 'hostname sw1'; printf ' --More-- '; read -r x; printf '\r          \r%s\n' "$vlans" ;;
  esac
done]]

local enable = ssh.secret("enable password", not arg[1] and { command = "echo played" } or nil)
local switches = ssh.hosts(arg[1] or "web1")
local results = switches:each(function(h)
  local t = h:shell {
    prompt = "[%w()%-]+[>#]%s?$", timeout = 15, pager = { ["%-%-More%-%-"] = arg[1] and " " or "\n" },
    command = not arg[1] and PLAYED or nil,
  }
  t:send "enable\n"
  t:expect { ["[Pp]assword:%s?$"] = function() t:send(enable, "\n") end, ["#%s?$"] = true }
  t:cmd "configure terminal"
  for _, vlan in ipairs { 10, 20, 30 } do t:cmd("vlan " .. vlan) end
  t:cmd "end"
  local config = t:cmd "show running-config"
  t:close()
  return config
end, { check = false })

for _, r in ipairs(results) do print(r.host, r.value or r:problem()) end
os.exit(#results:failed() == 0)
