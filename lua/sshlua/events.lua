--- What happens on a fleet, told as it happens: for boards, reports and traces. One listener or many; whoever listens
--- must not wait. docs/fleets.md lists the events. Knows nobody's meaning.

local core = require("sshlua.core")

local M = {}

---@class sshlua.FleetEvent
---@field what "begin"|"start"|"step"|"line"|"end"|"finish"
---@field at number seconds, core.now()'s clock
---@field host? string its name
---@field run? integer which fleet verb, of those of this process
---@field index? integer begin and finish apart: the host's place in the verb's list

local listeners = {}

--- Calls fn(event) for every event from now on. Returns a function that ends it.
---@param fn fun(event: sshlua.FleetEvent)
---@return fun() stop
function M.listen(fn)
  listeners[#listeners + 1] = fn
  return function()
    for i, one in ipairs(listeners) do
      if one == fn then return table.remove(listeners, i) end
    end
  end
end

--- Does anybody listen? Spares making the event.
---@return boolean
function M.wants() return listeners[1] ~= nil end

--- Tells everybody. `event` belongs to the listeners afterwards; one that fails is told, and harms nobody.
---@param event table
function M.emit(event)
  event.at = core.now()
  for i = #listeners, 1, -1 do
    local ok, err = pcall(listeners[i], event)
    if not ok then io.stderr:write("sshlua: a listener of fleet events failed: ", tostring(err), "\n") end
  end
end

return M
