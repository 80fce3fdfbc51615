-- A relay to a port of this machine that delays both directions (seconds): prints its address and port, and works until
-- its input ends.
local ssh = require "sshlua"
local testbed = require "sshlua.testbed"

local function faults()
  local seconds = tonumber(arg[3])
  return seconds > 0 and { delay = seconds } or nil
end
local relay = testbed.relay { to = { arg[1], tonumber(arg[2]) }, up = faults(), down = faults() }
print(relay.address, relay.port)
io.stdout:flush()
while true do ssh.sleep(3600) end
