--- What ProxyJump says: "[user@]host[:port],...", ssh:// addresses, "none". Knows text; must not know connections.

local errors = require("sshlua.errors")
local trim = require("sshlua.trim")

local M = {}

local function bad(text, why)
  errors.raise({
    kind = "config", message = ("ProxyJump '%s': %s"):format(errors.excerpt(text, 120), why),
    hint = "[user@]host[:port] expected, several with commas, or none",
  })
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- ssh://[user@]host[:port][/] as [user@]host[:port]; user and host may have %XX.
local function from_uri(text, whole)
  local authority, path = text:match("^([^/]*)(.*)$")
  if path ~= "" and path ~= "/" then bad(whole, "an ssh:// address of a jump host has no path") end
  local user, rest = authority:match("^(.-)@([^@]*)$")
  if user then return decoded(user) .. "@" .. decoded(rest) end
  return decoded(authority)
end

--- The hosts on the way, the nearest first; empty for "none".
---@param text string
---@return string[] hosts "[user@]host[:port]"
function M.parse(text)
  local hops = {}
  if text:lower() == "none" then return hops end
  for item in (text .. ","):gmatch("([^,]*),") do
    local hop = trim(item)
    if hop == "" then bad(text, "a name is empty") end
    if hop:lower() == "none" then bad(text, "'none' stands alone") end
    local uri = hop:match("^[sS][sS][hH]://(.*)$")
    if uri then hop = from_uri(uri, text) end
    if hop == "" or hop:find("[%s%c/]") then bad(text, "not a host name") end
    hops[#hops + 1] = hop
  end
  return hops
end

return M
