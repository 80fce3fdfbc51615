--- Queue, semaphore, event: how tasks hand things to each other. First come, first served; a waiter that is cancelled
--- leaves its place, and what was handed to it is never lost.

local errors = require("sshlua.errors")
local task = require("sshlua.task.core")

local M = {}

--- A line of waiters. wait() suspends; wake(...) lets the first go on with these values, true if there was one.
local function line()
  local self = { first = 1, last = 0 }
  local function start(done)
    self.last = self.last + 1
    local at = self.last
    self[at] = done
    return {
      cancel = function() self[at] = false end,
    }
  end
  function self.wait() return task.await(start) end
  function self.wake(...)
    while self.first <= self.last do
      local done = self[self.first]
      self[self.first] = nil
      self.first = self.first + 1
      if done then
        done(nil, ...)
        return true
      end
    end
    return false
  end
  return self
end

---@class sshlua.Event
local Event = {}
local event_mt = { __index = Event, __name = "sshlua.Event" }

--- Something that happens once; wait() returns at once ever after, with what set() was given.
function M.event() return setmetatable({ line = line() }, event_mt) end

function Event:set(...)
  if self.happened then return end
  self.happened, self.value = true, ...
  while self.line.wake(...) do end -- luacheck: ignore 542
end

function Event:is_set() return self.happened == true end

function Event:wait()
  if self.happened then
    task.checkpoint()
    return self.value
  end
  return self.line.wait()
end

---@class sshlua.Semaphore
local Semaphore = {}
local semaphore_mt = { __index = Semaphore, __name = "sshlua.Semaphore" }

---@param n integer how many may hold it at once
function M.semaphore(n)
  if type(n) ~= "number" or n < 1 then errors.usage(2, "a number of at least 1 expected") end
  return setmetatable({ free = n, line = line() }, semaphore_mt)
end

function Semaphore:acquire()
  if self.free > 0 then
    task.checkpoint()
    self.free = self.free - 1
    return
  end
  self.line.wait()
end

function Semaphore:release()
  if not self.line.wake() then self.free = self.free + 1 end
end

--- fn(...) while holding it.
function Semaphore:with(fn, ...)
  self:acquire()
  local r = task.pack(pcall(fn, ...))
  self:release()
  if not r[1] then error(r[2], 0) end
  return (table.unpack or unpack)(r, 2, r.n) -- luacheck: ignore 143
end

---@class sshlua.Queue
local Queue = {}
local queue_mt = { __index = Queue, __name = "sshlua.Queue" }

---@param limit? integer put() waits while that many are inside; default: no limit
function M.queue(limit)
  return setmetatable({
    limit = limit or math.huge, first = 1, last = 0, getters = line(), putters = line(),
  }, queue_mt)
end

function Queue:size() return self.last - self.first + 1 end

--- Waits while the queue is full; raises when it is closed.
function Queue:put(value)
  if value == nil then errors.usage(2, "nil cannot be put into a queue") end
  while not self.closed and self:size() >= self.limit do self.putters.wait() end
  if self.closed then errors.raise({ kind = "closed", message = "the queue is closed" }) end
  task.checkpoint()
  if self.getters.wake(value) then return end
  self.last = self.last + 1
  self[self.last] = value
end

--- The next value, or nil when the queue is closed and empty.
function Queue:get()
  if self:size() == 0 then
    if self.closed then return nil end
    return self.getters.wait()
  end
  task.checkpoint()
  local value = self[self.first]
  self[self.first] = nil
  self.first = self.first + 1
  self.putters.wake()
  return value
end

--- No more puts; getters get what is inside, then nil.
function Queue:close()
  self.closed = true
  while self.getters.wake(nil) do end -- luacheck: ignore 542
  while self.putters.wake() do end -- luacheck: ignore 542
end

--- for value in queue:values() do
function Queue:values()
  return function() return self:get() end
end

return M
