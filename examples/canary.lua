#!/usr/bin/env sshlua
-- A canary: the change goes to one host, is looked at for a while, and to the others only if it is well. What is broken
-- is taken back.
local ssh = require "sshlua"

local broken = arg[1] == "broken"

local function deploy(h)
  h:run("cp -f app.conf app.conf.old 2>/dev/null; echo " .. (broken and "bad" or "good") .. " > app.conf")
end

local function healthy(h)
  for _ = 1, 3 do -- three looks
    h:run("grep -q good app.conf", { safe = true })
    ssh.sleep(0.05)
  end
end

local function take_back(h) h:run "[ ! -e app.conf.old ] || mv -f app.conf.old app.conf" end

local results = ssh.hosts "web[1-5]":rolling({ batch = { 1, "100%" }, max_failed = 0, check = false }, function(h)
  deploy(h)
  local _, err = ssh.try(healthy, h)
  if err then
    take_back(h)
    error(err, 0)
  end
end)

print(results) -- 5 ok; or: 0 ok, 4 skipped (web[2-5]), 1 exit (web1)
if broken then assert(#results:failed() == 1 and results.web2.skipped) else results:check() end
