#!/usr/bin/env sshlua
-- A rolling restart: one host, then two, then the rest; a stop when more than one fails.
local ssh = require "sshlua"

local web = ssh.hosts(arg[1] or "web[1-5]")

local results = web:rolling({
  batch = { 1, 2, "100%" }, max_failed = 1, pause = 0.1, timeout = 60,
  before = function(hosts, number) print(("batch %d: %d hosts"):format(number, #hosts)) end,
  after = function(rs) print("  " .. tostring(rs)) end,
  check = false,
}, function(h)
  h:run "echo restarting >> app.log" -- systemctl restart app
  ssh.retry({ tries = 30, delay = 0.1 }, function()
    h:run("tail -n 1 app.log | grep -q restarting", { safe = true, timeout = 5 })
  end)
end)

print(results)
os.exit(#results:ok() == #results)
