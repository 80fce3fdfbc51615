#!/usr/bin/env sshlua
-- Groups, variables and selections from an inventory file:  sshlua demo -- examples/inventory.lua
local ssh = require "sshlua"

local here = arg[0]:match "^(.*/)" or ""
local inv = ssh.inventory(here .. "inventory.ini")
print(inv)

-- A command on a part of it.
print(inv:select("shop:&web:!web3"):run "echo up")

-- Variables are data: each host has its own.
local results = inv:select("db"):each(function(h)
  h:run { "mkdir", "-p", "." .. h.vars.data }
  return ("%s of %s is in %s"):format(h.name, h.vars.owner, h:read("cd ." .. h.vars.data .. " && pwd"))
end)
for _, r in ipairs(results) do
  print(r.value)
  assert(r.value:find "/srv/")
end

-- The language of selections is that of host expressions.
assert(#inv:select "web[1-2],db" == 4)
assert(#inv:expand "!web" == 2)
