--- A TCP relay that misbehaves on request: delays, cuts, freezes, small pieces, flipped bits, in either direction and
--- at
--- an exact byte. Knows bytes; must not know SSH.

local connections = require("sshlua.testbed.connections")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

local M = {}

local await = task.await

--- What can go wrong with the bytes of one direction.
---@class sshlua.RelayFaults
---@field delay? number seconds that every byte is under way
---@field piece? integer send at most so many bytes at once, a loop turn apart
---@field gap? number seconds between pieces (default 0)
---@field cut_after? integer the connection ends when so many bytes have passed
---@field cut? "fin"|"rst" how (default fin)
---@field freeze_after? integer nothing more passes after so many bytes, and the connection stands
---@field flip_at? integer this byte (the first is 1) arrives with a wrong bit
---@field flip_bit? integer which one, 0 to 7 (default 0)
local fault_options = {
  delay = "seconds", piece = "count", gap = "seconds", cut_after = "number", cut = "string", freeze_after = "number",
  flip_at = "count", flip_bit = "number",
}

---@class sshlua.Relay: sshlua.TestbedServer
---@field up sshlua.RelayFaults client to server
---@field down sshlua.RelayFaults server to client
---@field passed { up: integer, down: integer }[] bytes forwarded, by connection
local Relay = {}
local relay_mt = {
  __index = function(_, key) return Relay[key] or connections.Server[key] end,
  __name = "sshlua.Relay",
}

--- A byte with one bit the other way round, without bit operators.
local function flip(byte, bit)
  local value = 2 ^ bit
  return string.char(math.floor(byte + (math.floor(byte / value) % 2 == 0 and value or -value)))
end

local function with_flip(bytes, faults, passed)
  local at = (faults.flip_at or 0) - passed
  if at < 1 or at > #bytes then return bytes end
  return bytes:sub(1, at - 1) .. flip(bytes:byte(at), faults.flip_bit or 0) .. bytes:sub(at + 1)
end

--- Until a reader on the same loop has seen what was written: a timer that is started after the loop's wait may fire
--- before the next one.
local function turn(seconds)
  scope.sleep(seconds)
  if seconds == 0 then scope.sleep(0) end
end

local function send(to, bytes, faults)
  local piece = faults.piece
  if not piece then return await(to.write, to, bytes) end
  for from = 1, #bytes, piece do
    await(to.write, to, bytes:sub(from, from + piece - 1))
    turn(faults.gap or 0)
  end
end

local function discard(socket)
  while await(socket.read, socket, 65536) do end -- luacheck: ignore 542
end

local function cut(flow, faults)
  if faults.cut == "rst" then
    flow.to:reset()
    flow.from:reset()
    return
  end
  -- The receiver sees the end and nothing worse: what it still sends is read and thrown away by the other direction.
  flow.to:close_write()
  flow.from:close()
end

--- How many of n bytes may still pass before the limit.
local function allowed(n, passed, limit)
  if not limit then return n end
  return math.max(0, math.min(n, limit - passed))
end

local function forward(flow, bytes)
  local faults, passed = flow.relay[flow.name], flow.count[flow.name]
  local n = math.min(allowed(#bytes, passed, faults.cut_after), allowed(#bytes, passed, faults.freeze_after))
  if n > 0 then
    flow.count[flow.name] = passed + n
    send(flow.to, with_flip(bytes:sub(1, n), faults, passed), faults)
  end
  passed = flow.count[flow.name]
  if faults.cut_after and passed >= faults.cut_after then
    cut(flow, faults)
    return false
  end
  if faults.freeze_after and passed >= faults.freeze_after then
    flow.relay.thawed:wait()
    if n < #bytes then return forward(flow, bytes:sub(n + 1)) end
  end
  return true
end

local function each_chunk(flow, use)
  while true do
    local bytes = await(flow.from.read, flow.from, 65536)
    if not bytes then break end
    if not use(bytes) then return false end
  end
  return true
end

--- Bytes wait in a queue until they are due, so that a delay costs latency and not throughput.
local function delayed(flow, delay)
  local queue = sync.queue(1024)
  flow.relay:spawn(function() queue:close() end, each_chunk, flow, function(bytes)
    queue:put({ bytes = bytes, due = core.now() + delay })
    return true
  end)
  for item in queue:values() do
    scope.sleep(math.max(0, item.due - core.now()))
    if not forward(flow, item.bytes) then return false end
  end
  return true
end

local function run_flow(flow)
  local faults = flow.relay[flow.name]
  if faults.cut_after == 0 then return cut(flow, faults) end
  local whole
  if faults.delay then
    whole = delayed(flow, faults.delay)
  else
    whole = each_chunk(flow, function(bytes) return forward(flow, bytes) end)
  end
  if whole then flow.to:close_write() end
end

--- One direction to its end. When the other side can no longer be written to, the rest is read and thrown away, or the
--- kernel would answer it with a reset.
local function direction(flow)
  local ok, err = pcall(run_flow, flow)
  if not ok and errors.is(err, "cancelled") then error(err, 0) end
  if not flow.from:is_closed() then pcall(discard, flow.from) end
end

local function connect(relay, client)
  local server = await(core.tcp_connect, relay.to[1], relay.to[2], nil)
  client:nodelay(true) -- or the kernel gathers small pieces
  local count = { up = 0, down = 0 }
  relay.passed[#relay.passed + 1] = count
  local link = { client = client, server = server }
  relay.links[link] = true
  local down_ended = sync.event()
  relay:spawn(function() down_ended:set() end, direction,
    { relay = relay, name = "down", count = count, from = server, to = client })
  local ok, err = pcall(direction, { relay = relay, name = "up", count = count, from = client, to = server })
  if ok then ok, err = pcall(down_ended.wait, down_ended) end
  relay.links[link] = nil
  server:close()
  if not ok then error(err, 0) end
end

local function check_faults(faults, level)
  faults = options.check(faults, fault_options, level + 1)
  if faults.cut and faults.cut ~= "fin" and faults.cut ~= "rst" then
    errors.usage(level + 1, "option 'cut': fin or rst expected, got '%s'", faults.cut)
  end
  return faults
end

--- Starts a relay on 127.0.0.1 to a numeric address. Its fields up and down may be set anew at any time, through set().
---@class sshlua.RelayOptions
---@field to { [1]: string, [2]: integer }
---@field up? sshlua.RelayFaults
---@field down? sshlua.RelayFaults
---@field address? string
---@param opts sshlua.RelayOptions
---@return sshlua.Relay
function M.new(opts)
  opts = options.check(opts, { to = "table", up = "table", down = "table", address = "string" }, 2)
  if not opts.to or type(opts.to[1]) ~= "string" or type(opts.to[2]) ~= "number" then
    errors.usage(2, "option 'to': {address, port} expected")
  end
  local up, down = check_faults(opts.up, 2), check_faults(opts.down, 2)
  local self
  self = connections.new(function(client) connect(self, client) end, opts.address)
  self.to, self.up, self.down, self.passed, self.links = opts.to, up, down, {}, {}
  self.thawed = sync.event()
  return setmetatable(self, relay_mt)
end

--- Other faults for one direction ("up" or "down"), from the next bytes on.
---@param name "up"|"down"
---@param faults sshlua.RelayFaults
function Relay:set(name, faults)
  if name ~= "up" and name ~= "down" then errors.usage(2, "up or down expected, got %s", tostring(name)) end
  self[name] = check_faults(faults, 2)
end

--- Frozen bytes go on, in both directions, and nothing freezes any more.
function Relay:thaw()
  self.up.freeze_after, self.down.freeze_after = nil, nil
  self.thawed:set()
end

--- Nothing more passes on any connection, from now on until thaw().
function Relay:freeze()
  if self.thawed:is_set() then self.thawed = sync.event() end
  self.up.freeze_after, self.down.freeze_after = 0, 0
end

--- Ends all connections now.
---@param how? "fin"|"rst" default fin
function Relay:cut(how)
  for link in pairs(self.links) do
    for _, socket in pairs(link) do
      if how == "rst" then socket:reset() else socket:close() end
    end
  end
end

return M
