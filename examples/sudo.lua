#!/usr/bin/env sshlua
-- Commands as another user, and a secret that no command line, message or log shows. usage: sudo.lua [HOSTS [USER]]
local ssh = require "sshlua"

local fleet = ssh.hosts(arg[1] or "web[1-3]")
local user = arg[2] or "root"

-- The password is asked for when a host wants one: once, and tried on one host first. With NOPASSWD it never is.
local privileged = fleet:with({ sudo = user, timeout = 30 })
local results = privileged:run('echo "$(id -un) in $PWD"', { cwd = "/", check = false })
for _, r in ipairs(results) do
  print(("%-8s %s"):format(r.host, r.ok and tostring(r) or r:problem()))
end

-- From SSHLUA_SECRET_TOKEN, or else from this command; without it a person would be asked.
local token = ssh.secret("token", { command = "od -An -N 12 -tx1 /dev/urandom | tr -d ' \\n'" })
local r = fleet[1]:run('echo "the host has ${#TOKEN} bytes of it: $TOKEN"', { env = { TOKEN = token } })
print(token, r) -- <secret token>  the host has 24 bytes of it: ********
