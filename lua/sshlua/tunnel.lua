--- A connection that the server makes for us (direct-tcpip), as a stream of bytes in both directions.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local log = require("sshlua.log")
local scope = require("sshlua.task.scope")
local stream = require("sshlua.stream")
local task = require("sshlua.task.core")

local M = {}

local await = task.await

--- "host:port", "[::1]:port".
---@return string host, integer port
function M.parse(address, level)
  if type(address) ~= "string" then errors.usage(level + 1, "'host:port' expected, got %s", type(address)) end
  local host, port = address:match("^%[([^%]]+)%]:(%d+)$")
  if not host then host, port = address:match("^([^:%[%]]+):(%d+)$") end
  port = tonumber(port)
  if not host or host:find("[%s%c]") or #host > 255 or port < 1 or port > 65535 then
    errors.usage(level + 1, "'host:port' expected, got '%s'", errors.excerpt(address, 80))
  end
  return host, port
end

local function show(host, port) return (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port) end

--- RFC 4254 5.1: what the server's reasons mean for us.
local function explain(session, host, port, err)
  if not errors.is(err, "channel") or err.name ~= "SSH_OPEN_FAILURE" then return err end
  local to = show(host, port)
  if err.code == 2 or err.code == 4 then
    return errors.new({
      kind = "connect", name = err.name, code = err.code, cause = err,
      message = ("%s cannot connect to %s: %s"):format(session.name, to, err.message),
    })
  end
  err.message = ("%s does not connect to %s for us: %s"):format(session.name, to, err.message)
  err.hint = "AllowTcpForwarding and PermitOpen in its sshd_config, or restrictions of the key"
  return err
end

--- An open channel to host and port.
---@param session sshlua.Session
function M.channel(session, host, port)
  local ok, ch = pcall(await, session.core.open_direct, session.core, host, port, session.target.opts.window)
  if ok then return ch end
  if not session:is_alive() and not errors.is(ch, "cancelled") then ch = session:_lost() end
  error(explain(session, host, port, ch), 0)
end

---@class sshlua.Tunnel
---@field host string
---@field port integer
local Tunnel = {}
local tunnel_mt = { __index = Tunnel, __name = "sshlua.Tunnel" }

function tunnel_mt:__tostring() return "sshlua.Tunnel: " .. show(self.host, self.port) end

--- Asks the server to connect; see Session.dial.
---@return sshlua.Tunnel
function M.dial(session, host, port, seconds)
  local ch = scope.deadline({
    seconds = seconds, host = session.name, phase = "channel", op = "dial",
    message = ("%s has not connected to %s within %g s"):format(session.name, show(host, port), seconds),
  }, M.channel, session, host, port)
  if log.wants(2) then log.emit(2, session.name, "dial", { to = show(host, port) }) end
  local self = setmetatable({ host = host, port = port, ch = ch, session = session, since = core.now() }, tunnel_mt)
  self.input = stream.reader(function() return (await(ch.read, ch, 0)) end)
  self.output = stream.writer(function(bytes) await(ch.write, ch, bytes) end, function() await(ch.send_eof, ch) end,
    session.target.opts.max_write_buffer)
  return self
end

--- At most max bytes as soon as there are any; nil at the end.
---@param max? integer
---@return string|nil
function Tunnel:read(max) return self.input:read(max) end

--- Everything up to the end.
---@return string
function Tunnel:read_all() return self.input:read_all() end

--- The next line without its newline; nil at the end.
---@return string|nil
function Tunnel:read_line() return self.input:read_line() end

--- for line in t:lines() do
---@return fun(): string?
function Tunnel:lines() return self.input:lines() end

--- Writes all of it; waits while the other side does not take it.
---@param bytes string
function Tunnel:write(bytes) self.output:write(bytes) end

--- No more will be written; reading goes on. Idempotent.
function Tunnel:close_write() self.output:close_write() end

--- Closes both directions at once. Idempotent.
function Tunnel:close()
  if self.closed then return end
  self.closed, self.output.closed = true, true
  self.ch:close()
end
tunnel_mt.__close = Tunnel.close

return M
