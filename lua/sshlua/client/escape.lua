--- The escape key of ssh(1): what a person types, parted into what is sent and what is for us. The key counts at the
--- beginning of a line only. Pure.

local M = {}

---@class sshlua.client.Escape
local Escape = {}
local escape_mt = { __index = Escape }

local CR_OR_NL = { ["\r"] = true, ["\n"] = true }

--- Keys that mean something after the escape key; the others are sent, and it with them.
local commands = {
  ["."] = true, ["\26"] = true, ["?"] = true, ["#"] = true, ["C"] = true, ["&"] = true, ["R"] = true, ["B"] = true,
  ["V"] = true, ["v"] = true,
}

---@param key string|nil one byte; nil: there is none
---@return sshlua.client.Escape
function M.new(key) return setmetatable({ key = key, line_begins = true, pending = false }, escape_mt) end

--- After the key: what is sent, and perhaps a command.
local function after_key(self, byte)
  self.pending = false
  if byte == self.key then return byte end
  if commands[byte] then return "", byte end
  return self.key .. byte
end

--- The next part of typed bytes from position `at`: what to send, a command of ours if one stands behind it, and the
--- position after them.
---@param bytes string
---@param at integer
---@return string send, string|nil command, integer after
function Escape:next(bytes, at)
  local key = self.key
  if not key then return bytes:sub(at), nil, #bytes + 1 end
  if self.pending then
    local byte = bytes:sub(at, at)
    local send, command = after_key(self, byte)
    if not command then self.line_begins = CR_OR_NL[byte] or false end
    return send, command, at + 1
  end
  local from = at
  while true do
    local found = bytes:find(key, from, true)
    if not found then
      if at <= #bytes then self.line_begins = CR_OR_NL[bytes:sub(-1)] or false end
      return bytes:sub(at), nil, #bytes + 1
    end
    local begins = self.line_begins
    if found > at then begins = CR_OR_NL[bytes:sub(found - 1, found - 1)] or false end
    if begins then
      self.pending, self.line_begins = true, true
      return bytes:sub(at, found - 1), nil, found + 1
    end
    from = found + 1
    if found == at then self.line_begins = CR_OR_NL[key] or false end
  end
end

--- How a key is written: ~, ^], M-x.
---@param key string
function M.name(key)
  local c = key:byte()
  if c >= 128 then return "M-" .. M.name(string.char(c - 128)) end
  if c < 32 then return "^" .. string.char(c + 64) end
  return c == 127 and "^?" or key
end

local help = {
  { ".", "end the connection (whatever the host does)" }, { "^Z", "stop this program for now; the shell's fg goes on" },
  { "&", "go on in the background" }, { "B", "send a BREAK to the host" },
  { "#", "list what is open" }, { "V/v", "say less / more (LogLevel)" }, { "?", "this text" },
}

--- What ~? shows.
---@param key string
---@return string
function M.help(key)
  local name, lines = M.name(key), { "escape sequences, at the beginning of a line:" }
  for _, row in ipairs(help) do lines[#lines + 1] = (" %s%-5s %s"):format(name, row[1], row[2]) end
  lines[#lines + 1] = (" %s%-5s send the key itself"):format(name, name)
  lines[#lines + 1] = ("not part of this version: %sC (forwardings), %sR (a new key exchange)"):format(name, name)
  return table.concat(lines, "\r\n") .. "\r\n"
end

return M
