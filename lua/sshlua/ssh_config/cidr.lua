--- Networks in CIDR form, and the addresses of this machine's interfaces: Match localnetwork.

local core = require("sshlua.core")

local M = {}

--- An address in its usual form as a list of bits' bytes; nil when it is none.
local function bytes_of(text)
  local plain = core.numeric_address(text)
  if not plain or plain:find("%", 1, true) then return nil end
  local out = {}
  if not plain:find(":", 1, true) then
    for n in plain:gmatch("%d+") do out[#out + 1] = tonumber(n) end
    return out
  end
  plain = plain:gsub("(%d+)%.(%d+)%.(%d+)%.(%d+)$", function(a, b, c, d)
    return ("%x:%x"):format(a * 256 + b, c * 256 + d)
  end)
  local head, tail = plain:match("^(.-)::(.*)$")
  local function add(part, list)
    for group in part:gmatch("%x+") do
      local n = tonumber(group, 16)
      list[#list + 1] = math.floor(n / 256)
      list[#list + 1] = n % 256
    end
    return list
  end
  if not head then return add(plain, out) end
  add(head, out)
  local rest = add(tail, {})
  for _ = #out + #rest + 1, 16 do out[#out + 1] = 0 end
  for _, b in ipairs(rest) do out[#out + 1] = b end
  return out
end

--- The first `bits` of both are the same.
local function same_prefix(a, b, bits)
  for i = 1, #a do
    local left = bits - (i - 1) * 8
    if left <= 0 then return true end
    local unit = left >= 8 and 1 or 2 ^ (8 - left)
    if math.floor(a[i] / unit) ~= math.floor(b[i] / unit) then return false end
  end
  return true
end

--- A network's bytes and bits, or nil and a message. Bits behind the mask must be zero.
local function network(text)
  local address, mask = text:match("^([^/]+)/?(%d*)$")
  local bytes = address and bytes_of(address)
  if not bytes then return nil, ("not a network: '%s'"):format(text) end
  local bits = mask ~= "" and tonumber(mask) or #bytes * 8
  if bits > #bytes * 8 then return nil, ("the mask of '%s' is too long"):format(text) end
  local zero = {}
  for i = 1, #bytes do zero[i] = 0 end
  local host = {}
  for i = 1, #bytes do
    local left = math.min(8, math.max(0, bits - (i - 1) * 8))
    host[i] = bytes[i] % 2 ^ (8 - left)
  end
  if not same_prefix(host, zero, #bytes * 8) then
    return nil, ("'%s' has bits set behind its mask"):format(text)
  end
  return bytes, bits
end

--- Does one of these addresses lie in one of the networks? A list with commas.
---@param list string
---@param addresses string[]
---@return boolean|nil, string|nil message
function M.match(list, addresses)
  local found = false
  for one in (list .. ","):gmatch("([^,]*),") do
    local bytes, bits = network(one)
    if not bytes then return nil, bits end
    for _, address in ipairs(addresses) do
      local other = bytes_of(address)
      if other and #other == #bytes and same_prefix(bytes, other, bits) then found = true end
    end
  end
  return found
end

--- The same for the interfaces that are up.
function M.match_interfaces(list)
  local addresses = {}
  for _, interface in ipairs(core.interfaces() or {}) do addresses[#addresses + 1] = interface.address end
  return M.match(list, addresses)
end

return M
