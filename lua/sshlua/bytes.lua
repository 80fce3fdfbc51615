--- Bytes in JSON: as text when they are UTF-8, else as base64 under another name, so that nothing is lost. Pure.

local core = require("sshlua.core")

local M = {}

local function is_text(s)
  if not s:find("[\128-\255]") then return true end
  local encoded = core.json_encode({ s })
  local decoded = encoded and core.json_decode(encoded)
  return decoded ~= nil and decoded[1] == s
end

--- t[name] = s, or t[name .. "_base64"] when s is no text.
function M.put(t, name, s)
  if is_text(s) then t[name] = s else t[name .. "_base64"] = core.base64(s) end
end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local values

local function decode(text)
  if not values then
    values = {}
    for i = 1, 64 do values[alphabet:byte(i)] = i - 1 end
  end
  local out = {}
  for at = 1, #text - 3, 4 do
    local a, b, c, d = text:byte(at, at + 3)
    local n = (values[a] or 0) * 262144 + (values[b] or 0) * 4096 + (values[c] or 0) * 64 + (values[d] or 0)
    local bytes = string.char(math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256)
    out[#out + 1] = d ~= 61 and bytes or bytes:sub(1, c == 61 and 1 or 2)
  end
  return table.concat(out)
end

--- What put has put; nil when there is nothing.
---@return string|nil
function M.get(t, name)
  if type(t[name]) == "string" then return t[name] end
  local text = t[name .. "_base64"]
  return type(text) == "string" and decode(text) or nil
end

return M
