--- Steps: the verbs that a script calls on hosts, one after the other on each. Puts itself around the verbs of Host
--- when somebody wants to know: a listener of events, a journal. What a verb does inside is part of its step.

local core = require("sshlua.core")
local events = require("sshlua.events")
local host = require("sshlua.host")
local task = require("sshlua.task.core")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

--- Verbs that have ended when they return; and those that hand out something which goes on.
local ended = {
  "run", "read", "put", "get", "sync", "file", "dir", "link", "line", "template", "service", "package", "account",
  "save", "read_file", "facts", "reboot", "wait_up", "hostkeys",
}
local living = { "spawn", "shell", "device", "tail", "session", "dial", "forward", "socks", "reverse" }

--- keeper(self, verb, args, go, alive, view) runs go() or not, and returns what the verb returns. A journal's.
--- `view` is the host as the verb has it: with a field `way` its session comes from there.
---@type nil|fun(self: sshlua.Host, verb: string, args: table, go: fun(): ..., alive: boolean, view: sshlua.Host): ...
M.keeper = nil

local function emit(self, verb, state, fields)
  local event = { what = "step", host = self.name, target = self.target, verb = verb, state = state }
  for name, value in pairs(fields or {}) do event[name] = value end
  events.emit(event)
end

--- Runs go() and returns what it returns; who listens hears of it.
function M.told(self, verb, args, go)
  if not events.wants() then return go() end
  local before = core.now()
  emit(self, verb, "start", { args = args })
  local r = task.pack(pcall(go))
  emit(self, verb, "end", { args = args, ok = r[1], seconds = core.now() - before, result = r[2] })
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

--- The host for the verb's own use: what it calls is no step.
function M.inner_view(self)
  local view = { inner = true }
  for name, value in pairs(self) do view[name] = value end
  return setmetatable(view, getmetatable(self))
end

local function is_step(self) return not rawget(self, "inner") and (M.keeper or events.wants()) end

--- fn(view) as a step of the host: what a verb does, also when a fleet does it without calling the host's own.
---@param self sshlua.Host
---@param verb string
---@param args table with the number of them in n
---@param fn fun(view: sshlua.Host): ...
---@param alive? boolean it goes on when fn has returned
function M.step(self, verb, args, fn, alive)
  if not is_step(self) then return fn(self) end
  local view = M.inner_view(self)
  return M.told(self, verb, args, function()
    local function go() return fn(view) end
    if M.keeper then return M.keeper(self, verb, args, go, alive == true, view) end
    return go()
  end)
end

local function wrap(verb, original, alive)
  return function(self, ...)
    if type(self) ~= "table" or not is_step(self) then return original(self, ...) end
    local args = task.pack(...)
    return M.step(self, verb, args, function(view) return original(view, unpack(args, 1, args.n)) end, alive)
  end
end

local installed = false

--- From now on verbs are steps.
function M.install()
  if installed then return end
  installed = true
  for alive, list in pairs({ [false] = ended, [true] = living }) do
    for _, verb in ipairs(list) do
      local original = host.class[verb]
      if original then host.class[verb] = wrap(verb, original, alive) end
    end
  end
end

return M
