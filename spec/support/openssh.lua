-- OpenSSH's client, for comparisons.
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local task = require "sshlua.task"

local M = {}

-- Runs ssh with arguments; its exit status (nil: a signal), what it printed and what it complained about.
function M.ssh(args)
  local command = { "ssh" }
  for _, a in ipairs(args) do command[#command + 1] = a end
  local proc = assert(core.spawn { args = command, stdin = "null", stdout = "pipe", stderr = "pipe" })
  local out, err
  task.all(function() out = processes.read_all(proc:stdout()) end, function() err = processes.read_all(proc:stderr()) end)
  return task.await(proc.wait, proc), out, err
end

return M
