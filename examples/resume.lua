#!/usr/bin/env sshlua
-- An upload that is interrupted, and goes on where it ended. usage: resume.lua [HOST]
local ssh = require "sshlua"

local h = ssh.host(arg[1] or "web1")
local from, to = os.tmpname(), "sshlua-resume.tmp" -- in the home of the account
local file = assert(io.open(from, "w"))
file:write(("0123456789abcdef"):rep(2 * 1024 * 1024)) -- 32 MiB
file:close()

-- Too slow for its time: the part that has arrived stays.
local _, err = ssh.try(h.put, h, from, to, { resume = true, limit = 20000000, timeout = 1 })
print(err)

-- The host computes the part's digest; what is proved is not sent again.
local r = h:put(from, to, { resume = true, verify = "sha256" })
print(r.ok, r.bytes < 32 * 1024 * 1024 and "a part was sent" or "all of it was sent")

h:run({ "rm", to })
os.remove(from)
