#!/usr/bin/env sshlua
-- Several things at once, on one host and on many: the first result, all results, a limit. usage: parallel.lua [HOST]
local ssh = require "sshlua"

local h = ssh.host(arg[1] or "web1")

local kernel, name = ssh.all(
  function() return h:read "uname -r" end,
  function() return h:read "uname -n" end
)
print("all:", name, kernel)

print("race:", ssh.race(
  function() return h:read "sleep 5; echo slow" end,
  function() return h:read "echo quick" end
))

local squares = ssh.map({ 1, 2, 3, 4, 5, 6 }, function(n)
  return tonumber(h:read("echo $((" .. n .. " * " .. n .. "))"))
end, { parallel = 3 })
print("map:", table.concat(squares, " "))
