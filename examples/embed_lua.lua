#!/usr/bin/env lua5.4
-- sshlua as a module of plain Lua 5.4 or LuaJIT: a command on a host, in a loop of our own, with a deadline.
-- usage: lua5.4 embed_lua.lua [[USER@]HOST[:PORT] [COMMAND]]        without HOST: on this machine
-- SSHLUA_IDENTITY and SSHLUA_KNOWN_HOSTS may name the key file and the known_hosts file.
local ssh = require "sshlua"

local name, command = arg[1], arg[2] or "uname -sr"

local output = ssh.run(function()
  local host = ssh.here
  if name then
    host = ssh.host(name, { identity = os.getenv "SSHLUA_IDENTITY", known_hosts = os.getenv "SSHLUA_KNOWN_HOSTS" })
  end
  return ssh.timeout(20, function() return host:read(command) end)
end)

print(("%s: %s"):format(name or "here", output))
