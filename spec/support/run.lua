-- Spec bodies as tasks: sshlua.testbed.body, which our users have as sshlua.busted.
local body = require "sshlua.testbed.body"
local core = require "sshlua.core"

-- No spec depends on the machine's OpenSSH configuration; those about it name their own.
require("sshlua.settings").defaults.ssh_config = false

local M = {}
for name, fn in pairs(body) do M[name] = fn end

-- Seconds that fn(...) took.
function M.took(fn, ...)
  local before = core.now()
  fn(...)
  return core.now() - before
end

return M
