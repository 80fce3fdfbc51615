--- Queue, semaphore, event: how tasks hand things to each other. First come, first served; what is handed over is
--- handed to one waiter directly, so nobody can overtake it. A waiter that is cancelled leaves its place, and what was
--- handed to it is never lost.

local errors = require("sshlua.errors")
local task = require("sshlua.task.core")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

--- A line of waiters: a ring of places through the line itself.
---@class sshlua.Line
local Line = {}
Line.__index = Line

local Place = {}
Place.__index = Place

function Place:cancel()
  self.before.after, self.after.before = self.after, self.before
end

local function line()
  local self = setmetatable({}, Line)
  self.before, self.after = self, self
  return self
end

local function stand(self, value, done)
  local place = setmetatable({ done = done, value = value, before = self.before, after = self }, Place)
  self.before.after = place
  self.before = place
  return place
end

--- Suspends until somebody pops this place and calls its done(err, result). Whoever pops it may take `value` from it.
function Line:wait(value) return task.await(stand, self, value) end

--- Takes the first out of the line, or returns nil.
function Line:pop()
  local place = self.after
  if place == self then return nil end
  place:cancel()
  return place
end

---@class sshlua.Event
local Event = {}
local event_mt = { __index = Event, __name = "sshlua.Event" }

--- Something that happens once; wait() returns at once ever after, with what set() was given.
---@return sshlua.Event
function M.event() return setmetatable({ line = line() }, event_mt) end

--- It happens. Once: what comes later changes nothing.
---@param value? any
function Event:set(value)
  if self.happened then return end
  self.happened, self.value = true, value
  for place in Line.pop, self.line do place.done(nil, value) end
end

---@return boolean
function Event:is_set() return self.happened == true end

--- Waits until it has happened; what set() was given.
---@return any value
function Event:wait()
  if not self.happened then return self.line:wait() end
  task.checkpoint()
  return self.value
end

function event_mt:__tostring() return "sshlua.Event: " .. (self.happened and "set" or "not set") end

---@class sshlua.Semaphore
local Semaphore = {}
local semaphore_mt = { __index = Semaphore, __name = "sshlua.Semaphore" }

---@param n integer how many may hold it at once
---@return sshlua.Semaphore
function M.semaphore(n)
  if type(n) ~= "number" or not (n >= 1) or n % 1 ~= 0 then
    errors.usage(2, "a whole number of at least 1 expected, got %s", tostring(n))
  end
  return setmetatable({ free = n, limit = n, line = line() }, semaphore_mt)
end

--- Waits for a place. Every acquire needs its release: better use with.
function Semaphore:acquire()
  if self.free == 0 then return self.line:wait() end
  task.checkpoint()
  self.free = self.free - 1
end

--- Gives the place back, to whoever waits longest.
function Semaphore:release()
  if self.free == self.limit then errors.usage(2, "the semaphore was released more often than acquired") end
  local place = self.line:pop()
  if place then return place.done(nil) end
  self.free = self.free + 1
end

--- fn(...) while holding it.
---@param fn fun(...): ...
---@param ... any for fn
---@return any ... fn's results
function Semaphore:with(fn, ...)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  self:acquire()
  local r = task.protected(fn, ...)
  self:release()
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

function semaphore_mt:__tostring() return ("sshlua.Semaphore: %d of %d free"):format(self.free, self.limit) end

---@class sshlua.Queue
local Queue = {}
local queue_mt = { __index = Queue, __name = "sshlua.Queue" }

---@param limit? integer put() waits while that many are inside; 0: until somebody takes it; default: no limit
---@return sshlua.Queue
function M.queue(limit)
  if limit ~= nil and (type(limit) ~= "number" or not (limit >= 0) or (limit % 1 ~= 0 and limit ~= math.huge)) then
    errors.usage(2, "a whole number of at least 0 expected, got %s", tostring(limit))
  end
  return setmetatable({
    limit = limit or math.huge, first = 1, last = 0, getters = line(), putters = line(),
  }, queue_mt)
end

---@return integer values that are inside
function Queue:size() return self.last - self.first + 1 end

local function closed_error() return errors.new({ kind = "closed", message = "the queue is closed" }) end

local function append(self, value)
  self.last = self.last + 1
  self[self.last] = value
end

--- Waits while the queue is full; raises kind closed when it is or gets closed.
---@param value any not nil
function Queue:put(value)
  if value == nil then errors.usage(2, "nil cannot be put into a queue") end
  if self.closed then error(closed_error(), 0) end
  if self:size() >= self.limit and self.getters.after == self.getters then
    self.putters:wait(value) -- whoever makes room takes the value from our place
    return
  end
  task.checkpoint()
  local getter = self.getters:pop()
  if getter then return getter.done(nil, value) end
  append(self, value)
end

--- The next value, or nil when the queue is closed and empty.
---@return any value
function Queue:get()
  if self:size() == 0 and self.putters.after == self.putters and not self.closed then return self.getters:wait() end
  task.checkpoint()
  local putter = self.putters:pop()
  if putter then append(self, putter.value) end
  if self:size() == 0 then return nil end
  local value = self[self.first]
  self[self.first] = nil
  self.first = self.first + 1
  if putter then putter.done(nil) end -- last: outside of tasks it runs that task at once
  return value
end

--- No more puts, and those that wait raise kind closed; getters get what is inside, then nil. Idempotent.
function Queue:close()
  self.closed = true
  for place in Line.pop, self.getters do place.done(nil, nil) end
  for place in Line.pop, self.putters do place.done(closed_error()) end
end

--- for value in queue:values() do
---@return fun(): any
function Queue:values()
  return function() return self:get() end
end

function queue_mt:__tostring()
  return ("sshlua.Queue: %d inside%s"):format(self:size(), self.closed and ", closed" or "")
end

return M
