#!/usr/bin/env sshlua
-- A small rolling deploy: two hosts at a time, health checked, the first failure stops that host only.
-- usage: deploy.lua REVISION [HOSTS]
local ssh = require "sshlua"

local rev = arg[1] or "r1"
local web = ssh.hosts(arg[2] or "web[1-5]")

local results = web:each(function(h)
  local home = h:read "echo $HOME"
  local release = home .. "/releases/" .. rev

  h:run { "mkdir", "-p", release }
  h:put("examples/index.html", release .. "/index.html", { mode = "644" })
  h:run { "ln", "-sfn", release, home .. "/current" }

  local page = ssh.retry({ tries = 5, delay = 0.2 }, function()
    return h:read("grep -c . current/index.html", { cwd = home, timeout = 5 })
  end)
  print(("%s now serves %s (%s lines)"):format(h, rev, page))
end, { parallel = 2, check = false })

print(results)
for _, r in ipairs(results:failed()) do print(r.host, r:problem()) end
os.exit(#results:failed() == 0)
