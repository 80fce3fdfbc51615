#!/usr/bin/env sshlua
-- VLANs on switches, and their configuration; each dialogue is recorded. usage: switch.lua [HOSTS [DIRECTORY]]; without
-- hosts a switch is played.
local ssh = require "sshlua"

local PLAYED = [[
p='sw1>'
while printf '%s ' "$p" && read -r line; do
  case $line in
  enable) printf 'Password: '; stty -echo; read -r x; stty echo; echo; p='sw1#' ;;
  configure*) p='sw1(config)#' ;;
  vlan*9999) echo "% Invalid input detected at '^' marker." ;;
  vlan*) p='sw1(config-vlan)#'; vlans="$vlans $line;" ;;
  end) p='sw1#' ;;
  show*) echo 'hostname sw1'; printf ' --More-- '; read -r x; printf '\r          \r%s\n' "$vlans" ;;
  esac
done]]

local profile = "cisco_ios"
-- What is played reads lines, no keys.
if not arg[1] then profile = { base = "cisco_ios", pager = { ["%-%-More%-%-"] = "\n" } } end

local enable = ssh.secret("enable password", not arg[1] and { command = "echo played" } or nil)
local switches = ssh.hosts(arg[1] or "web1")
local results = switches:each(function(h)
  local d = h:device {
    profile = profile, enable = enable, timeout = 15, command = not arg[1] and PLAYED or nil,
    record = arg[2] and arg[2] .. "/" or nil,
  }
  d:configure { "vlan 10", "vlan 20", "vlan 30" }
  local _, err = ssh.try(d.configure, d, { "vlan 40", "vlan 9999" })
  print(h.name, err) -- what the switch does not take is named, with its line
  local config = d:cmd "show running-config"
  d:close()
  return config
end, { check = false })

for _, r in ipairs(results) do print(r.host, r.value or r:problem()) end
os.exit(#results:failed() == 0)
