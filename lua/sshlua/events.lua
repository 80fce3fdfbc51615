--- What happens on a fleet, told as it happens: for boards, reports and traces. One listener or many; whoever listens
--- must not wait. docs/fleets.md lists the events. Knows nobody's meaning.

local core = require("sshlua.core")

local M = {}

---@class sshlua.FleetEvent
---@field what "begin"|"start"|"step"|"line"|"output"|"end"|"interrupted"|"finish"
---@field at number seconds, core.now()'s clock
---@field host? string its name
---@field run? integer which fleet verb, of those of this process
---@field index? integer begin and finish apart: the host's place in the verb's list

local listeners = {} -- { fn, only }
local wanted = {} -- what -> how many want it; true: those that want everything

local function count(only, n)
  if not only then wanted[true] = (wanted[true] or 0) + n end
  for what in pairs(only or {}) do wanted[what] = (wanted[what] or 0) + n end
end

--- Calls fn(event) for every event from now on. Returns a function that ends it.
---@param fn fun(event: sshlua.FleetEvent)
---@param only? table<string, boolean> these kinds alone; default: all but `output`
---@return fun() stop
function M.listen(fn, only)
  local entry = { fn = fn, only = only }
  listeners[#listeners + 1] = entry
  count(only, 1)
  return function()
    for i, one in ipairs(listeners) do
      if one == entry then
        count(only, -1)
        return table.remove(listeners, i)
      end
    end
  end
end

--- Does anybody listen? Spares making the event.
---@param what? string to events of this kind
---@return boolean
function M.wants(what)
  if listeners[1] == nil or not what then return listeners[1] ~= nil end
  return (wanted[what] or 0) > 0 or what ~= "output" and (wanted[true] or 0) > 0
end

local function hears(entry, what)
  if entry.only then return entry.only[what] end
  return what ~= "output"
end

--- Tells everybody. `event` belongs to the listeners afterwards; one that fails is told, and harms nobody.
---@param event table
function M.emit(event)
  event.at = core.now()
  for i = #listeners, 1, -1 do
    local entry = listeners[i]
    local ok, err = true, nil
    if entry and hears(entry, event.what) then ok, err = pcall(entry.fn, event) end
    if not ok then io.stderr:write("sshlua: a listener of fleet events failed: ", tostring(err), "\n") end
  end
end

return M
