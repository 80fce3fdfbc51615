-- NETCONF (RFC 6242) over the subsystem "netconf", with the framing of 1.0 (base:1.0, "]]>]]>") and, when the device
-- has it, of 1.1 (base:1.1, chunks). A module: local netconf = require "netconf"
--
--   local nc = netconf.open(session)
--   print(nc:rpc "<get-config><source><running/></source></get-config>")
--   nc:close()
local ssh = require "sshlua"

local M = {}

local END = "]]>]]>"
local MESSAGE_MAX = 64 * 1024 * 1024
local BASE = "urn:ietf:params:netconf:base:"
local NAMESPACE = "urn:ietf:params:xml:ns:netconf:base:1.0"
local HELLO = [[<?xml version="1.0" encoding="UTF-8"?>
<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities>
<capability>urn:ietf:params:netconf:base:1.0</capability>
<capability>urn:ietf:params:netconf:base:1.1</capability>
</capabilities></hello>]]

local Client = {}
Client.__index = Client

local function fail(what) error("netconf: " .. what, 0) end

-- 1.0: everything up to the mark.
local function read_marked(from)
  local text, mark = from:read_until(END, MESSAGE_MAX)
  if not mark then fail "the device ended in the middle of a message" end
  return text
end

-- 1.1 (RFC 6242 4.2): "\n#LENGTH\n" and that many bytes, again and again, then "\n##\n".
local function read_chunked(from)
  local parts, total = {}, 0
  while true do
    if from:read_line() ~= "" then fail "a chunk does not begin as it should" end
    local size = from:read_line()
    if size == "##" then return table.concat(parts) end
    size = tonumber(size and size:match "^#([1-9]%d*)$")
    if not size or total + size > MESSAGE_MAX then fail "a chunk of no valid length" end
    total = total + size
    while size > 0 do
      local bytes = from:read(size)
      if not bytes then fail "the device ended in the middle of a message" end
      parts[#parts + 1] = bytes
      size = size - #bytes
    end
  end
end

function Client:send(text)
  if self.chunked then
    self.process.stdin:write(("\n#%d\n%s\n##\n"):format(#text, text))
  else
    self.process.stdin:write(text .. END)
  end
end

function Client:receive()
  return ssh.timeout(self.timeout, self.chunked and read_chunked or read_marked, self.process.stdout)
end

-- Says hello both ways; from then on 1.1 if both sides have it.
function M.open(session, opts)
  opts = opts or {}
  local self = setmetatable({ process = session:subsystem "netconf", timeout = opts.timeout or 30, id = 0 }, Client)
  self:send(HELLO)
  self.hello = self:receive()
  self.chunked = opts.version ~= "1.0" and self.hello:find(BASE .. "1.1", 1, true) ~= nil
  return self
end

-- The answer to an operation. One at a time: answers come in the order of the questions (RFC 6241 4.1).
function Client:rpc(operation)
  self.id = self.id + 1
  self:send(('<rpc message-id="%d" xmlns="%s">%s</rpc>'):format(self.id, NAMESPACE, operation))
  local answer = self:receive()
  if not answer:find('message%-id="' .. self.id .. '"') then fail "an answer to another question" end
  if answer:find "<rpc%-error>" then
    fail((answer:match "<error%-message[^>]*>%s*(.-)%s*</error%-message>" or "the device refused"))
  end
  return answer
end

function Client:close()
  pcall(self.rpc, self, "<close-session/>")
  self.process:close()
end

return M
