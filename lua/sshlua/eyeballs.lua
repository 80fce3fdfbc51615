--- Happy eyeballs (RFC 8305): a TCP connection to the first of several addresses that answers. Families take turns, the
--- next address starts when the one before fails or is slow.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local ATTEMPT_DELAY = 0.25

local function interleave(addresses)
  local six, four, out = {}, {}, {}
  for _, a in ipairs(addresses) do
    local list = a:find(":", 1, true) and six or four
    list[#list + 1] = a
  end
  local first, second = six, four
  if addresses[1] and not addresses[1]:find(":", 1, true) then first, second = four, six end
  for i = 1, math.max(#first, #second) do
    out[#out + 1] = first[i]
    out[#out + 1] = second[i]
  end
  return out
end

--- The source address on an interface, of the same family.
local function address_of_interface(name, family)
  local fallback
  for _, one in ipairs(core.interfaces() or {}) do
    if one.name == name and one.family == family then
      if not one.address:find("^fe80") then return one.address end
      fallback = fallback or one.address
    end
  end
  if fallback then return fallback end
  errors.raise({ kind = "config", message = ("the interface %s has no IPv%d address"):format(name, family) })
end

--- The source address, if one is wanted. A name is looked up.
local function source_of(opts, family)
  if opts.bind_interface then return address_of_interface(opts.bind_interface, family) end
  if not opts.bind or core.numeric_address(opts.bind) then return opts.bind end
  return await(core.resolve, opts.bind, family)[1]
end

local function connect_one(target, address)
  local o = target.opts
  return await(core.tcp_connect, address, target.port, {
    bind = source_of(o, address:find(":", 1, true) and 6 or 4), tos = o.tos, keepalive = o.tcp_keepalive,
  })
end

--- Connects to one of the addresses and says to which.
---@param target table its port and its options about sockets are used
---@param addresses string[] numeric, as the resolver orders them
---@return sshlua.core.Socket, string address
function M.connect(target, addresses)
  addresses = interleave(addresses)
  if #addresses == 1 then return connect_one(target, addresses[1]), addresses[1] end
  local winner, used, failures = nil, nil, {}
  group.scope(function(s)
    local started = 0
    local function start_next()
      if winner or started >= #addresses then return end
      started = started + 1
      local mine = started
      s:spawn(function()
        local slow = scope.timer(ATTEMPT_DELAY, start_next)
        local ok, socket = pcall(connect_one, target, addresses[mine])
        slow:cancel()
        if not ok then
          failures[#failures + 1] = socket
          return start_next()
        end
        if winner then return socket:close() end
        winner, used = socket, addresses[mine]
        s:cancel()
      end)
    end
    start_next()
  end)
  if winner then return winner, used end
  local texts = {}
  for i, e in ipairs(failures) do texts[i] = e.message end
  local first = failures[1]
  errors.raise({ kind = "connect", name = first.name, code = first.code, message = table.concat(texts, "; ") })
end

return M
