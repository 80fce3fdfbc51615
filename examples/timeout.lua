#!/usr/bin/env sshlua
-- What takes too long ends, and says what it had so far. usage: timeout.lua [HOST]
local ssh = require "sshlua"

local h = ssh.host(arg[1] or "web1")

local _, err = ssh.try(h.run, h, "echo begun; sleep 60", { timeout = 1 })
print(err)                                   -- web1: timeout: 'echo begun; sleep 60' timed out after 1 s
print("it had said:", (err.result.stdout:gsub("\n", "")))

_, err = ssh.try(h.run, h, "while :; do echo tick; sleep 0.1; done", { idle = 5, timeout = 1 })
print(err.kind, #err.result.stdout > 10)     -- wall time ends what is never idle

print(ssh.try(ssh.timeout, 0.5, function()   -- any block can have a deadline
  h:run "sleep 60"
end))
print("still connected:", h:read "echo yes")
