--- Waiting for what goes on when we are cancelled: a call whose effects must not come behind our back.

local scope = require("sshlua.task.scope")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

--- await(start). Cancelled, the operation is not abandoned: `stop` may hurry it, its end is waited for, `seconds` at
--- most. Two lists: pcall's results of the await, and what the operation has said, (err, ...), nil while it has not.
---@param seconds number
---@param start fun(done: fun(err?: any, ...: any)): any
---@param stop? fun(op: any)
---@return table results, table? said
return function(seconds, start, stop)
  local ended, op = sync.event(), nil
  local r = task.pack(pcall(task.await, function(done)
    op = start(function(...)
      ended:set(task.pack(...))
      done(...)
    end)
    return { cancel = function() if stop then stop(op) end end }
  end))
  if not r[1] and op and not ended:is_set() then pcall(scope.shield, scope.timeout, seconds, ended.wait, ended) end
  return r, ended.value
end
