#!/usr/bin/env sshlua
-- The same log of many hosts, merged as lines come. usage: tail.lua [HOSTS FILE]; without, a log is written here.
local ssh = require "sshlua"

local fleet = ssh.hosts(arg[1] or "web[1-3]")
local path = arg[2] or "/tmp/sshlua-example-" .. math.floor(ssh.now() * 1000) .. ".log"

local function write_some()
  for i = 1, 5 do
    fleet[1]:run(ssh.sh("echo %s >> %s", "GET /page" .. i .. (i == 5 and " 503" or " 200"), path))
    ssh.sleep(0.2)
  end
end

local function complain(err, host, again)
  io.stderr:write(("%s: %s%s\n"):format(host, tostring(err), again and ", trying again" or ""))
end

local failed = 0
ssh.scope(function(s)
  if not arg[2] then s:spawn(write_some) end
  for event in fleet:tail(path, { lines = arg[2] and 0 or 5, interval = 0.2, on_error = complain }) do
    if event.line:find " 5%d%d" then
      print(event.host, event.line)
      failed = failed + 1
      if not arg[2] and failed == #fleet then break end -- all of them write to one file here
    end
  end
end)
if not arg[2] then fleet[1]:run { "rm", "-f", path } end
