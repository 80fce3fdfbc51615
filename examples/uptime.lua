#!/usr/bin/env sshlua
-- How long has each host been up? usage: uptime.lua [HOSTS]
local ssh = require "sshlua"

local fleet = ssh.hosts(arg[1] or "web[1-5]")
local results = fleet:run("uptime", { check = false, timeout = 20 })

for _, r in ipairs(results) do
  print(("%-8s %s"):format(r.host, r.ok and tostring(r) or r:problem()))
end
print(results) -- "5 ok", or who failed and why
