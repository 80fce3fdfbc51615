--- Destinations: [user@]host[:port], ssh://[user@]host[:port], and ProxyJump's chains of them. Pure.

local errors = require("sshlua.errors")
local numbers = require("sshlua.ssh_config.numbers")
local trim = require("sshlua.trim")

local M = {}

---@class sshlua.Destination
---@field user? string
---@field host string
---@field port? integer

--- "host:rest", "[host]:rest": the host, the separator (":" or "/"; nil: none) and the rest.
local function split_host(text)
  local host, after
  if text:sub(1, 1) == "[" then
    host, after = text:match("^(%[[^%]]*%])()")
    if not host then return nil end
  else
    host, after = text:match("^([^:/]*)()")
  end
  local separator = text:sub(after, after)
  if separator ~= "" and separator ~= ":" and separator ~= "/" then return nil end
  return host, separator ~= "" and separator or nil, text:sub(after + 1)
end

local function clean(host) return host:match("^%[(.*)%]$") or host end

--- [user@]host[:port]
---@return sshlua.Destination|nil
function M.plain(text)
  local user, rest = text:match("^(.*)@([^@]*)$")
  if user == "" then return nil end
  local host, separator, port = split_host(rest or text)
  if not host or host == "" or separator == "/" then return nil end
  local number
  if separator and port ~= "" then
    number = numbers.port(port)
    if not number or number == 0 then return nil end
  end
  return { user = user, host = clean(host), port = number }
end

--- A domain name by OpenSSH's rules, or nil and why not. A dot at its end goes.
---@return string|nil name, string|nil message
function M.domain(name)
  if name == "" then return nil, "empty domain name" end
  if not name:find("^%w") then return nil, "domain name starts with an invalid character" end
  if name:find("..", 1, true) then return nil, "domain name has consecutive dots" end
  if name:find("[^%w._-]") then return nil, "domain name contains invalid characters" end
  return (name:gsub("%.$", ""))
end

local function decode(text)
  local good = true
  local out = text:gsub("%+", " "):gsub("%%(%x?%x?)", function(digits)
    if #digits < 2 then
      good = false
      return ""
    end
    return string.char(tonumber(digits, 16))
  end)
  return good and out or nil
end

--- ssh://[user[;parameters]@]host[:port][/]. false: it is no such URI; nil: it is a wrong one.
---@return sshlua.Destination|nil|false
function M.uri(text)
  local rest = text:match("^ssh://(.*)$")
  if not rest then return false end
  local user
  local login, after = rest:match("^([^@]*)@(.*)$")
  if login then
    user = decode(login:match("^[^;]*"))
    if not user or user == "" then return nil end
    rest = after
  end
  local host, separator, tail = split_host(rest)
  if not host or host == "" then return nil end
  host = M.domain(clean(host))
  if not host then return nil end
  local port
  if separator == ":" and tail ~= "" then
    local digits, path = tail:match("^([^/]*)/?(.*)$")
    port = numbers.port(digits)
    if not port or port == 0 or path ~= "" then return nil end
  elseif tail ~= "" then
    return nil
  end
  return { user = user, host = host, port = port }
end

--- Either form.
---@return sshlua.Destination|nil
function M.destination(text)
  local by_uri = M.uri(text)
  if by_uri == false then return M.plain(text) end
  return by_uri
end

---@class sshlua.JumpChain
---@field last? sshlua.Destination the hop next to the target; nil: "none"
---@field extra? string the hops before it, as written

--- ProxyJump's value; nil when a hop is wrong.
---@return sshlua.JumpChain|nil
function M.chain(text)
  if text:lower() == "none" then return {} end
  local list = text:match("^[^#]*")
  list = list:match("^.%S*") or "" -- ssh means to trim the end, and drops everything from the first blank on
  local last
  local extra = list:match("^(.+),[^,]*$")
  while true do
    local before, hop = list:match("^(.*),([^,]*)$")
    local parsed = M.destination(hop or list)
    if not parsed then return nil end
    last = last or parsed
    if not hop then break end
    list = before
  end
  return { last = last, extra = extra }
end

--- As `ssh -G` prints it.
---@param chain sshlua.JumpChain
function M.text(chain)
  local hop = chain.last
  local host = hop.host
  if host:find(":", 1, true) or not host:find("[^0-9.]") then host = "[" .. host .. "]" end
  return (chain.extra and chain.extra .. "," or "") .. (hop.user and hop.user .. "@" or "") .. host
    .. (hop.port and ":" .. hop.port or "")
end

--- As our own option proxy_jump takes it. A user of an ssh:// URI may hold what means something in a list.
---@param chain sshlua.JumpChain
function M.option(chain)
  local hop = chain.last
  local odd = hop.user and (hop.user:find("[,#%s%c]") or hop.user:find("^ssh://")) -- only an ssh:// URI makes those
  if not odd then return M.text(chain) end
  local user = hop.user:gsub("[^%w._-]", function(c) return ("%%%02X"):format(c:byte()) end)
  return (chain.extra and chain.extra .. "," or "") .. "ssh://" .. user .. "@" .. hop.host
    .. (hop.port and ":" .. hop.port or "")
end

local function bad(text, why)
  errors.raise({
    kind = "config", message = ("ProxyJump '%s': %s"):format(errors.excerpt(text, 120), why),
    hint = "[user@]host[:port] expected, several with commas, or none",
  })
end

--- The hosts on the way, the nearest first, for our own connections; empty for "none". Raises kind config.
---@param text string
---@return string[] hosts "[user@]host[:port]"
function M.hops(text)
  local hops = {}
  if text:lower() == "none" then return hops end
  for item in (text .. ","):gmatch("([^,]*),") do
    local word = trim(item)
    if word == "" then bad(text, "a name is empty") end
    if word:lower() == "none" then bad(text, "'none' stands alone") end
    local hop = M.destination(word)
    if not hop or hop.host:find("[%s%c/]") then bad(text, "not a host name") end
    local host = hop.host:find(":", 1, true) and "[" .. hop.host .. "]" or hop.host
    hops[#hops + 1] = (hop.user and hop.user .. "@" or "") .. host .. (hop.port and ":" .. hop.port or "")
  end
  return hops
end

return M
