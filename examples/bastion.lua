#!/usr/bin/env sshlua
-- Hosts behind a bastion: commands, files, and a connection to a service there. usage: bastion.lua [BASTION [HOSTS]]
local ssh = require "sshlua"

local bastion = ssh.host(arg[1] or "web1")
local inside = ssh.hosts(arg[2] or "web[2-5]", { via = bastion })  -- one connection to the bastion for all of them

print(inside:run("uname -sn", { parallel = 10 }))

local far = ssh.host("web3", { via = { bastion, "web2" } })        -- a chain: bastion, then web2, then web3
print(far:read "echo two hosts away")

local port = far.port                                              -- any service that the host itself can reach
local t = far:dial(("%s:%d"):format(far.hostname, port))
print("its sshd says:", (t:read_line():gsub("\r", "")))
t:close()

print(ssh.try(far.dial, far, "127.0.0.1:1"))                       -- nil  web3: connect: web3 cannot connect to ...
