#!/usr/bin/env sshlua
-- Whose key is it? Learning on first use, pinning, a lock file for a fleet, and what a changed key says.
-- usage: trust.lua [HOST [ANOTHER]]
local ssh = require "sshlua"

local name, other = arg[1] or "web1", arg[2] or "web2"
local learnt, lock = os.tmpname(), os.tmpname()

-- A host that nobody knows is refused; with accept-new its key is learnt, once.
print(ssh.try(ssh.connect, name, { known_hosts = learnt, strict_host_key_checking = "yes", batch = true }))
ssh.connect(name, { known_hosts = learnt, strict_host_key_checking = "accept-new" }):close()
for line in io.lines(learnt) do print("learnt:", line:sub(1, 60) .. "...") end
ssh.connect(name, { known_hosts = learnt, strict_host_key_checking = "yes" }):close()

-- A pin stands in place of known_hosts: the fingerprint that an administrator has told.
local fingerprint
ssh.connect(name, { verify_host_key = function(key)
  fingerprint = key.fingerprint
  return true -- to look at it, and for nothing else
end }):close()
ssh.connect(name, { fingerprints = fingerprint, known_hosts = "none" }):close()
print(ssh.try(ssh.connect, other, { fingerprints = fingerprint })) -- another host has another key

-- A lock file names the keys of a fleet (`sshlua keys lock` writes one); what is not in it does not pass.
local file = assert(io.open(lock, "w"))
for line in io.lines(learnt) do file:write(line, "\n") end
file:close()
print(ssh.host(name, { host_key_lock = lock }):read "echo the lock file knows me")
print(ssh.try(ssh.connect, other, { host_key_lock = lock }))

-- The same name with another key: changed keys are refused, whatever strict_host_key_checking says.
ssh.connect(other, { known_hosts = learnt, host_key_alias = "moved", strict_host_key_checking = "accept-new" }):close()
local _, err = ssh.try(ssh.connect, name, { known_hosts = learnt, host_key_alias = "moved",
  strict_host_key_checking = "no" })
assert(err.reason == "changed")
print(err:describe())

os.remove(learnt)
os.remove(lock)
