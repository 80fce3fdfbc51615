#!/usr/bin/env sshlua
-- Facts of a fleet as CSV: one line for each host, also for those that could not be asked.
-- usage: facts_csv.lua [HOSTS]
local ssh = require "sshlua"

local results = ssh.hosts(arg[1] or "web[1-5],gone.invalid"):run(
  [[. /etc/os-release; echo "$ID $VERSION_ID"; uname -r; getconf _NPROCESSORS_ONLN]],
  { safe = true, check = false, parallel = 100, timeout = 20 })

print(results:csv("os", "kernel", "cpus")) -- one field to a line of output; host, ok and error are added
io.stderr:write(tostring(results), "\n")

-- How long each took, and with what.
for _, r in ipairs(results:ok()) do
  io.stderr:write(("%s: key exchange %.0f ms, login %.0f ms, command %.0f ms\n"):format(r.host, r.timing.kex * 1000,
    r.timing.auth * 1000, r.timing.exec * 1000))
end
