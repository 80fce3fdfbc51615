#!/usr/bin/env sshlua
-- A file to many hosts, with progress, checked by digest on each. usage: upload.lua [HOSTS [FILE]]
local ssh = require "sshlua"

local fleet = ssh.hosts(arg[1] or "web[1-3]")
local file = arg[2] or arg[0]
local to = "sshlua-upload.tmp" -- in the home of the account

local results = fleet:each(function(h)
  local r = h:put(file, to, {
    mode = "600", verify = "sha256", timeout = 60,
    progress = function(p)
      if p.ended then print(("%s: %d of %d bytes"):format(p.host, p.bytes, p.total)) end
    end,
  })
  print(h.name, r.digest)
  h:run({ "rm", to })
  return r
end, { parallel = 2 })
print(results)
