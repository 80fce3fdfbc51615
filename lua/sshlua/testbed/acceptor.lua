--- A listening socket that hands what it accepts to a function, and can refuse or pause. Works on plain callbacks, not
--- tasks: a fixture outlives the run that started it, and serves whenever the loop runs.

local core = require("sshlua.core")
local errors = require("sshlua.errors")

local M = {}

---@class sshlua.Acceptor
---@field address string
---@field port integer
---@field accepted integer how many connections came, refused ones included
local Acceptor = {}
local acceptor_mt = { __index = Acceptor, __name = "sshlua.Acceptor" }

local arm

local function take(self, err, socket)
  self.op = nil
  if self.closed then
    if socket then socket:close() end
    return
  end
  if err then -- out of descriptors: not at once again
    self.op = core.timer(0.1, function() arm(self) end)
    return
  end
  self.accepted = self.accepted + 1
  if self.refusing then socket:reset() else self.serve(socket) end
  arm(self)
end

function arm(self)
  if self.closed or self.paused then return end
  self.op = self.listener:accept(function(err, socket) take(self, err, socket) end)
end

--- Listens on the address, or where a system has no such loopback address on 127.0.0.1; on `port` if it is free.
---@param address string
---@param port integer 0: any
---@param serve fun(socket: userdata) must not raise and not wait
---@return sshlua.Acceptor
function M.new(address, port, serve)
  local listener, err
  for _, try in ipairs({ { address, port }, { address, 0 }, { "127.0.0.1", 0 } }) do
    listener, err = core.tcp_listen(try[1], try[2], 512)
    if listener then
      address = try[1]
      break
    end
  end
  if not listener then errors.raise(errors.from(err)) end
  local self = setmetatable({
    listener = listener, address = address, port = listener:port(), serve = serve, accepted = 0,
  }, acceptor_mt)
  arm(self)
  return self
end

--- New connections are reset at once.
function Acceptor:refuse(on) self.refusing = on ~= false end

--- New connections are left waiting in the kernel's queue: connected, and nobody speaks.
function Acceptor:pause(on)
  self.paused = on ~= false
  if self.op then self.op:cancel() end
  self.op = nil
  arm(self)
end

function Acceptor:close()
  if self.closed then return end
  self.closed = true
  if self.op then self.op:cancel() end
  self.listener:close()
end

return M
