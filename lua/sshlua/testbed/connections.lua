--- A server of ours whose connections are each served by a task. The tasks belong to the server, not to the run that
--- started it, and end when it stops.

local acceptor = require("sshlua.testbed.acceptor")
local errors = require("sshlua.errors")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

---@class sshlua.TestbedServer
---@field address string
---@field port integer
---@field errors any[] what the serving functions raised, other than losing their connection
local Server = {}
M.Server = Server
local server_mt = { __index = Server, __name = "sshlua.TestbedServer" }

local function expected(err)
  return errors.is(err, "cancelled") or errors.is(err, "connection_lost") or errors.is(err, "closed")
end

--- Runs fn(...) as a task of the server; `close` is called at its end.
function Server:spawn(close, fn, ...)
  return task.spawn(self.scope, function(...)
    local ok, err = pcall(fn, ...)
    close()
    if not ok and not expected(err) then self.errors[#self.errors + 1] = err end
  end, ...)
end

--- Listens on 127.0.0.1, or `address`, and serves each connection with fn(socket, number). The socket is closed when fn
--- ends.
---@param fn fun(socket: userdata, number: integer)
---@param address? string
---@return sshlua.TestbedServer
function M.new(fn, address)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  local self = setmetatable({ scope = task.new_scope(nil), errors = {} }, server_mt)
  self.acceptor = acceptor.new(address or "127.0.0.1", 0, function(socket)
    self:spawn(function() socket:close() end, fn, socket, self.acceptor.accepted)
  end)
  self.address, self.port = self.acceptor.address, self.acceptor.port
  return self
end

--- How many connections came.
function Server:connections() return self.acceptor.accepted end

--- New connections are reset at once, or no longer.
---@param on? boolean default true
function Server:refuse(on) self.acceptor:refuse(on) end

--- New connections stand, and nobody answers.
---@param on? boolean default true
function Server:pause(on) self.acceptor:pause(on) end

local function join(self)
  while next(self.scope.tasks) do
    local running = next(self.scope.tasks)
    task.await(function(done) running:watch(function() done() end) end)
  end
end

--- Closes everything; a serving function that does not end within 2 seconds is left alone. Again is nothing.
function Server:stop()
  self.acceptor:close()
  task.cancel(self.scope)
  pcall(scope.shield, scope.timeout, 2, join, self)
end

return M
