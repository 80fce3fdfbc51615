--- Who takes a ^C before it cancels everything: the interactive mode, a fleet verb that first lists who still runs.
--- Knows the order; must not know what anybody does about it.

local M = {}

local handlers = {}

--- fn() is called when ^C comes, the latest first, in a turn of the loop: it must not wait. When it returns true it has
--- taken it; otherwise the next one is asked. Returns a function that takes fn away.
---@param fn fun(): boolean?
---@return fun()
function M.push(fn)
  local entry = { fn = fn }
  handlers[#handlers + 1] = entry
  return function()
    for i = #handlers, 1, -1 do
      if handlers[i] == entry then table.remove(handlers, i) end
    end
  end
end

--- What whoever took a ^C does when it has done so: everything is cancelled as if nobody had taken it. The program sets
--- it; without one there is nobody who would have cancelled anything.
function M.go_on() end

--- True when somebody took it.
function M.deliver()
  for i = #handlers, 1, -1 do
    if handlers[i].fn() then return true end
  end
  return false
end

return M
