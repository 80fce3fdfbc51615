-- Throwaway ssh-agents for integration specs.
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local task = require "sshlua.task"

local M = {}

-- A real ssh-agent at that path until the spec ends. env: more of its environment. Returns its process and a function
-- that calls ssh-add with these arguments.
function M.start(path, env)
  local environment = processes.environment()
  for _, assignment in ipairs(env or {}) do environment[#environment + 1] = assignment end
  local child = assert(core.spawn { args = { "ssh-agent", "-D", "-a", path }, stdin = "null", stdout = "null", stderr = "null",
    env = environment })
  run.defer(function()
    child:kill "TERM"
    task.await(child.wait, child)
  end)
  assert(run.eventually(function() return core.fs_stat_sync(path) end))
  return child, function(...)
    return processes.must_run { "env", "SSH_AUTH_SOCK=" .. path, "ssh-add", ... }
  end
end

return M
