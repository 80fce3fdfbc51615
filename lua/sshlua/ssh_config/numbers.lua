--- Numbers, ports and times as ssh_config(5) writes them. Pure, but for the names of services.

local M = {}

local INT_MAX = 2147483647

--- A whole number in the decimal system, as strtoll reads it.
---@return number|nil
local function whole(text)
  local sign, digits = text:match("^%s*([+-]?)(%d+)$")
  if not digits then return nil end
  local n = tonumber(digits .. ".0")
  return sign == "-" and -n or n
end

--- 0 to 2147483647, or nil and why not.
---@return integer|nil, string|nil
function M.integer(text, max)
  if not text or text == "" then return nil, "missing integer" end
  local n = whole(text)
  if not n then return nil, "an integer expected, got '" .. text .. "'" end
  if n < 0 then return nil, "integer value too small" end
  if n > (max or INT_MAX) then return nil, "integer value too large" end
  return math.floor(n)
end

local services

--- Ports by the names that /etc/services has for TCP.
local function service(name)
  if not services then
    services = {}
    local file = io.open("/etc/services", "r")
    for line in (file and file:lines() or function() end) do
      local words = {}
      for word in line:gsub("#.*", ""):gmatch("%S+") do words[#words + 1] = word end
      local port = words[2] and tonumber(words[2]:match("^(%d+)/tcp$"))
      if port then
        for i, word in ipairs(words) do
          if i ~= 2 and not services[word] then services[word] = port end
        end
      end
    end
    if file then file:close() end
  end
  return services[name]
end

--- 0 to 65535, or a service's name.
---@return integer|nil
function M.port(text)
  local n = whole(text)
  if n and n >= 0 and n <= 65535 then return math.floor(n) end
  return service(text)
end

local units = { s = 1, m = 60, h = 3600, d = 86400, w = 604800 }

--- "90", "1h30m", "2d": seconds; nil when it is no time.
---@return integer|nil
function M.time(text)
  local total, at = 0, 1
  if text == "" then return nil end
  while at <= #text do
    local sign, digits, unit, after = text:match("^%s*([+-]?)(%d+)(%a?)()", at)
    if not digits or (unit ~= "" and not units[unit:lower()]) or (unit == "" and after <= #text) then return nil end
    local seconds = tonumber(digits .. ".0")
    if sign == "-" and seconds ~= 0 then return nil end
    seconds = seconds * (units[unit:lower()] or 1)
    total = total + seconds
    if seconds > INT_MAX or total > INT_MAX then return nil end
    at = after
  end
  return math.floor(total)
end

local scales = { b = 1, k = 1024, m = 1024 ^ 2, g = 1024 ^ 3, t = 1024 ^ 4, p = 1024 ^ 5, e = 1024 ^ 6 }

--- "512K", "1.5G": bytes.
---@return number|nil
function M.size(text)
  local sign, digits, point, fraction, rest = text:match("^%s*([+-]?)(%d*)(%.?)(%d*)(.*)$")
  if #digits > 20 or (point == "" and digits == "" and rest == "" and sign == "") then return nil end
  local n = tonumber("0" .. digits .. ".0")
  if n >= 2 ^ 63 then return nil end
  if rest ~= "" then
    local scale = scales[rest:sub(1, 1):lower()]
    if not scale or rest:find("^.%w") or n * scale >= 2 ^ 63 then return nil end
    n = n * scale
    if fraction ~= "" then n = n + math.floor(tonumber("0." .. fraction) * scale) end
  end
  return sign == "-" and -n or n
end

--- Octal digits at the front, as strtol reads them.
---@return integer|nil
function M.octal(text)
  local sign, digits = text:match("^%s*([+-]?)([0-7]+)")
  local n = digits and #digits < 12 and tonumber(digits, 8)
  if not n or (sign == "-" and n > 0) then return nil end
  return n
end

--- Decimal, 0x or 0 in front, all of the text.
---@return integer|nil
function M.any_base(text)
  local digits = text:match("^%s*%+?(%w+)$")
  if not digits or #digits > 12 then return nil end
  if digits:find("^0[xX]%x+$") then return tonumber(digits:sub(3), 16) end
  if digits:find("^0[0-7]*$") then return tonumber(digits, 8) end
  return digits:find("^[1-9]%d*$") and tonumber(digits) or nil
end

return M
