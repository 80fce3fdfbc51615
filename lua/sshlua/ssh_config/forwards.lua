--- LocalForward, RemoteForward, DynamicForward: what is listened on, where it leads. Pure.

local expand = require("sshlua.ssh_config.expand")
local numbers = require("sshlua.ssh_config.numbers")

local M = {}

local LONGEST = 255 -- of a whole specification
local HOST_MAX, PATH_MAX = 1025, 108

---@class sshlua.Forward
---@field listen_host? string
---@field listen_port? integer
---@field listen_path? string
---@field connect_host? string "socks": decided for each connection
---@field connect_port? integer
---@field connect_path? string

--- One field and where the next begins (nil: the text is used up); nothing when there is none.
local function field(text, at)
  if at > #text then return nil end
  if text:sub(at, at) == "[" then
    local inside, after = text:match("^%[([^%]]*)%]()", at)
    if not inside or not text:find("^:", after) and after <= #text then return nil end
    return { text = inside, is_path = inside:find("/", 1, true) ~= nil }, after + 1
  end
  local out, is_path = {}, false
  while at <= #text do
    local c = text:sub(at, at)
    if c == ":" then return { text = table.concat(out), is_path = is_path }, at + 1 end
    if c == "\\" then
      at = at + 1
      if at > #text then return nil end
      c = text:sub(at, at)
    elseif c == "/" then
      is_path = true
    end
    out[#out + 1] = c
    at = at + 1
  end
  return { text = table.concat(out), is_path = is_path }, at
end

local function fields_of(text)
  local list, at = {}, 1
  while #list < 4 do
    local one, after = field(text, at)
    if not one then break end
    list[#list + 1] = one
    at = after
  end
  if at <= #text then return {} end
  return list
end

--- By how many fields there are.
local shapes = {
  function(f, a)
    if a.is_path then f.listen_path = a.text else f.listen_port = numbers.port(a.text) or -1 end
    f.connect_host = "socks"
  end,
  function(f, a, b)
    if a.is_path and b.is_path then
      f.listen_path, f.connect_path = a.text, b.text
    elseif b.is_path then
      f.listen_port, f.connect_path = numbers.port(a.text) or -1, b.text
    else
      f.listen_host, f.listen_port, f.connect_host = a.text, numbers.port(b.text) or -1, "socks"
    end
  end,
  function(f, a, b, c)
    if a.is_path then
      f.listen_path, f.connect_host, f.connect_port = a.text, b.text, numbers.port(c.text) or -1
    elseif c.is_path then
      f.listen_host, f.listen_port, f.connect_path = a.text, numbers.port(b.text) or -1, c.text
    else
      f.listen_port = numbers.port(a.text) or -1
      f.connect_host, f.connect_port = b.text, numbers.port(c.text) or -1
    end
  end,
  function(f, a, b, c, d)
    f.listen_host, f.listen_port = a.text, numbers.port(b.text) or -1
    f.connect_host, f.connect_port = c.text, numbers.port(d.text) or -1
  end,
}

local function fits(f, n, dynamic, remote)
  if dynamic then
    if n > 2 then return false end
  else
    if n < 3 and not f.connect_path and not f.listen_path then return false end
    if (f.connect_port or 0) <= 0 and not f.connect_path then return false end
  end
  local port = f.listen_port or 0
  if not f.listen_path and (port < 0 or (port == 0 and not remote)) then return false end
  return #(f.connect_host or "") < HOST_MAX and #(f.listen_host or "") < HOST_MAX
    and #(f.connect_path or "") < PATH_MAX and #(f.listen_path or "") < PATH_MAX
end

--- [host:]port[:host:port] and the forms with paths; nil when it is none.
---@param text string
---@param dynamic boolean only a listener
---@param remote boolean
---@return sshlua.Forward|nil
function M.parse(text, dynamic, remote)
  local full = expand.environment(text:sub(1, LONGEST))
  if not full then return nil end
  full = full:match("^%s*(.*)$")
  local list = fields_of(full)
  local shape = shapes[#list]
  if not shape then return nil end
  local f = {}
  shape(f, list[1], list[2], list[3], list[4])
  return fits(f, #list, dynamic, remote) and f or nil
end

local compared = { "listen_host", "listen_port", "listen_path", "connect_host", "connect_port", "connect_path" }

--- Are two the same?
function M.equal(a, b)
  for _, name in ipairs(compared) do
    if a[name] ~= b[name] then return false end
  end
  return true
end

local function side(path, host, port)
  if path then return path end
  if not host then return tostring(port or 0) end
  return ("[%s]:%d"):format(host, port or 0)
end

--- As `ssh -G` prints it; without what it leads to when it is dynamic.
function M.text(f, dynamic)
  local listen = side(f.listen_path, f.listen_host, f.listen_port)
  if dynamic then return listen end
  return listen .. " " .. side(f.connect_path, f.connect_host, f.connect_port)
end

return M
