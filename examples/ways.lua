#!/usr/bin/env sshlua
-- Which way files go: SFTP, or what servers without it have: a shell, scp. One copy by scp, one that must go by SFTP.
-- usage: ways.lua [HOST [FILE]]
local ssh = require "sshlua"

local host = ssh.host(arg[1] or "web1")
local file = arg[2] or arg[0]

-- Without `how` SFTP is taken where it is, then a shell or the protocol of scp; the script need not know.
print(host:put(file, "ways-auto.lua"))

-- By scp: what an old device speaks. It writes in place, as scp does.
print(host:put(file, "ways-scp.lua", { how = "scp", times = true }))
local here = os.tmpname()
host:get("ways-scp.lua", here, { how = "scp" })
local a, b = assert(io.open(file, "rb")), assert(io.open(here, "rb"))
print("came back identical:", a:read("a") == b:read("a"))
a:close()
b:close()
os.remove(here)

-- What scp cannot do is refused before anything is written, and the hint says which option it was.
local ok, err = pcall(host.put, host, file, "ways-no.lua", { how = "scp", resume = true })
print(ok, err.hint)

-- Only whole or not at all will do: no other way is tried.
print(host:put(file, "ways-sftp.lua", { how = "sftp", verify = "sha256" }))
host:run({ "rm", "ways-auto.lua", "ways-scp.lua", "ways-sftp.lua" })
