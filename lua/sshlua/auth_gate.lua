--- The same key or password is not tried on a whole fleet when the first hosts refuse it: that would lock accounts and
--- fill logs. Until one host has accepted it, only so many try; when all of those refuse, nobody else is asked.

local errors = require("sshlua.errors")
local sync = require("sshlua.task.sync")

local M = {}

---@class sshlua.AuthGate
---@field limit integer
---@field on_shut? fun(gate: sshlua.AuthGate) all hosts seen so far had the same credentials, and they are refused
local Gate = {}
local gate_mt = { __index = Gate, __name = "sshlua.AuthGate" }

--- A gate for one fleet verb.
---@param limit integer so many refusals, and none accepted, are enough
---@return sshlua.AuthGate
function M.new(limit) return setmetatable({ limit = limit, lines = {}, count = 0 }, gate_mt) end

local credentials = { "identity", "identity_data", "certificate", "agent", "password", "keyboard_interactive" }

local function key_of(target)
  local parts = { target.user }
  for _, name in ipairs(credentials) do
    local value = target.opts[name]
    parts[#parts + 1] = type(value) == "table" and value[1] and table.concat(value, "\1") or tostring(value)
  end
  return table.concat(parts, "\0")
end

local function line_of(self, target)
  local key = key_of(target)
  local line = self.lines[key]
  if not line then
    line = { busy = 0, refused = 0, waiting = {} }
    self.lines[key] = line
    self.count = self.count + 1
  end
  return line
end

local function wake(line)
  local waiting = line.waiting
  line.waiting = {}
  for _, event in ipairs(waiting) do event:set() end
end

local function not_tried(self, target)
  errors.raise({
    kind = "auth", host = target.name, phase = "auth", not_tried = true,
    message = ("not tried: the first %d hosts refused the same key or password"):format(self.limit),
    hint = "log in to one of them by hand first; the option max_refused says how many are tried",
  })
end

local function wait_for_turn(self, line, target)
  while not line.open and not line.shut and line.busy + line.refused >= self.limit do
    local event = sync.event()
    table.insert(line.waiting, event)
    event:wait()
  end
  if line.shut then not_tried(self, target) end
end

local function settle(self, line, ok, err)
  line.busy = line.busy - 1
  if ok then
    line.open = true
  elseif errors.is(err, "auth") then
    line.refused = line.refused + 1
    if not line.open and not line.shut and line.refused >= self.limit then
      line.shut = true
      if self.count == 1 and self.on_shut then self:on_shut() end
    end
  end
  wake(line)
end

--- fn() in its turn: it authenticates the target, or raises kind auth when it is refused.
---@param target table
---@param fn fun(): any
---@return any
function Gate:try(target, fn)
  local line = line_of(self, target)
  if line.open then return fn() end
  wait_for_turn(self, line, target)
  line.busy = line.busy + 1
  local ok, r = pcall(fn)
  settle(self, line, ok, r)
  if not ok then error(r, 0) end
  return r
end

return M
