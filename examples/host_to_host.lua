#!/usr/bin/env sshlua
-- A directory from one host to another, through memory: no file here, no agent there, and the hosts need not reach each
-- other. usage: host_to_host.lua [FROM_HOST [TO_HOST]]
local ssh = require "sshlua"

local from, to = ssh.host(arg[1] or "web1"), ssh.host(arg[2] or "web2")
from:run("mkdir -p sshlua-out/sub && seq 100000 > sshlua-out/numbers && date > sshlua-out/sub/now")

local r = ssh.copy({ from, "sshlua-out" }, { to, "sshlua-in" }, { times = true, verify = "sha256", skip = "time" })
print(("%s to %s: %s"):format(from.name, to.name, r))
print("again:", ssh.copy({ from, "sshlua-out" }, { to, "sshlua-in" }, { times = true, skip = "time" }))

assert(to:read("cksum < sshlua-in/numbers") == from:read("cksum < sshlua-out/numbers"))
from:run({ "rm", "-r", "sshlua-out" })
to:run({ "rm", "-r", "sshlua-in" })
