-- Small things the specs of tasks share.
local task = require "sshlua.task"

local M = {}

-- The error that fn raises; fails when it does not.
function M.failure(fn, ...)
  local r = task.pack(pcall(fn, ...))
  assert(not r[1], "no error was raised")
  return r[2]
end

-- "file:line" of the caller, for errors that name it.
function M.here(offset)
  local info = debug.getinfo(2, "Sl")
  return ("%s:%d"):format(info.short_src, info.currentline + (offset or 0))
end

function M.contains(text, part)
  assert(tostring(text):find(part, 1, true), ("%q is not in %q"):format(part, tostring(text)))
end

-- Turns for everybody else.
function M.settle()
  for _ = 1, 5 do task.sleep(0) end
end

return M
