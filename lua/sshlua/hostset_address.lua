--- Is this text a numeric address? Knows the forms of IPv4 and IPv6; must not know names or ports.

local M = {}

--- Four bytes in decimal.
---@param s string
---@return boolean
function M.is_ipv4(s)
  if not s:find("^%d+%.%d+%.%d+%.%d+$") then return false end
  for byte in s:gmatch("%d+") do
    if #byte > 3 or tonumber(byte) > 255 then return false end
  end
  return true
end

--- How many 16-bit groups a piece of an IPv6 address has; nil when it is none.
local function groups(part, may_end_in_ipv4)
  local n, ended = 0, false
  if part == "" then return 0 end
  for group in (part .. ":"):gmatch("([^:]*):") do
    if ended then return nil end
    if group:find("^%x%x?%x?%x?$") then
      n = n + 1
    elseif may_end_in_ipv4 and M.is_ipv4(group) then
      n, ended = n + 2, true
    else
      return nil
    end
  end
  return n
end

--- RFC 4291 2.2, with a zone as in RFC 4007 11 ("fe80::1%eth0").
---@param s string without brackets
---@return boolean
function M.is_ipv6(s)
  local address, zone = s:match("^([^%%]*)%%([%w._-]+)$")
  address = zone and address or s
  if #address > 45 then return false end
  local first, last = address:find("::", 1, true)
  if not first then return groups(address, true) == 8 end
  local head, tail = groups(address:sub(1, first - 1), false), groups(address:sub(last + 1), true)
  return head ~= nil and tail ~= nil and head + tail <= 7
end

return M
