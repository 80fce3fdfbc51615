-- A board while many hosts are worked on: a line for each, and everything printed at the end.
-- On a terminal: sshlua demo -- examples/board.lua   (without one: plain lines)
local ssh = require "sshlua"

local fleet = ssh.hosts(arg[1] or "web[1-5]")

local results = ssh.board(fleet, function()
  return fleet:each(function(h)
    h:run("for i in 1 2 3 4; do echo building part $i/4 of $(hostname); sleep 0.1; done")
    print(h.name .. " is built") -- held until the board goes
  end, { parallel = 3, check = false })
end, "build")

print(results)
