--- Dialogues on a cassette: a stand-in for a shell or a device whose verbs are steps of the host. What has an answer
--- that a line of JSON can hold is recorded; the other verbs are refused by name.

local task = require("sshlua.task.core")

local M = {}

local verbs = {
  shell = { cmd = true },
  device = { cmd = true, configure = true, confirm = true, rollback = true, save = true, enable = true },
}

--- Can a dialogue of that verb be recorded?
---@param verb string
---@return boolean
function M.knows(verb) return verbs[verb] ~= nil end

--- The stand-in. Its dialogue's number makes its steps other ones than those of a second dialogue with the same host.
---@param verb "shell"|"device"
---@param number integer
---@param real table|nil the dialogue, when it is recorded
---@param step fun(verb: string, args: table, go: fun(): any): any
---@param refuse fun(verb: string) raises
function M.of(verb, number, real, step, refuse)
  local function close()
    if real then real:close() end
  end
  return setmetatable({}, {
    __name = "sshlua.Cassette." .. verb, __close = close,
    __index = function(_, name)
      if name == "close" then return close end
      if not verbs[verb][name] then return refuse(("%s:%s"):format(verb, tostring(name))) end
      return function(_, ...)
        local args, given = task.pack(...), task.pack(...)
        args.n = args.n + 1
        args[args.n] = { dialogue = number }
        return step(verb .. ":" .. name, args, function()
          return real[name](real, (table.unpack or unpack)(given, 1, given.n)) -- luacheck: ignore 143
        end)
      end
    end,
  })
end

return M
