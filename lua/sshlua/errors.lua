--- The Error class: one shape for every failure a script can see. C reports {kind, name, code, message},
--- this file makes it an object that says where (host, op, phase), why (cause) and what helps (hint).
--- Knows the kinds and the wording; must not know what raised the error.

local core = require("sshlua.core")
local clean, mask = core.clean, core.mask

local M = {}

--- The kinds. They say what one can do about it, not where it happened.
---@alias sshlua.Kind
---| "usage" | "resolve" | "connect" | "handshake" | "hostkey" | "auth" | "channel" | "exit" | "signal"
---| "sftp" | "timeout" | "cancelled" | "closed" | "connection_lost" | "protocol" | "io" | "limit"
---| "memory" | "forward" | "config" | "fleet" | "device"
local KINDS = {
  "usage", "resolve", "connect", "handshake", "hostkey", "auth", "channel", "exit", "signal", "sftp",
  "timeout", "cancelled", "closed", "connection_lost", "protocol", "io", "limit", "memory", "forward",
  "config", "fleet", "device",
}
local is_kind = {}
for _, kind in ipairs(KINDS) do is_kind[kind] = true end

--- Phases in which nothing has been asked of the server yet. A timeout may also be retried when it
--- comes between the greeting and authentication.
local early = { resolve = true, connect = true, greeting = true }
local before_auth = { resolve = true, connect = true, greeting = true, handshake = true }

---@class sshlua.Error
---@field kind sshlua.Kind
---@field message string one line, control characters visible
---@field host? string name of the host
---@field op? string what was being done: "exec", "sftp.open"
---@field phase? string resolve, connect, greeting, handshake, auth, channel, command, close
---@field code? integer exit status, SFTP status, errno or libssh2 code
---@field name? string symbolic code: "ECONNREFUSED"
---@field hint? string what to do about it
---@field cause? any the error behind this one
---@field result? sshlua.Result what came before it failed
---@field reason? string kind hostkey: unknown, changed or revoked
---@field bytes? integer transfers: how many bytes are safe
---@field at? string the script's line that asked for what failed: "deploy.lua:12"
---@field traceback? string filled by the task library
---@field retryable boolean computed: trying again may help
local Error = {}
local mt = { __name = "sshlua.Error" }

--- Bytes of others in one visible line, cut to `max` bytes at a character's edge.
---@param s string
---@param max? integer default 200
---@return string
function M.excerpt(s, max)
  max = max or 200
  s = mask(s) -- before it is cut
  -- Cleaning never shortens: what a cut at max + 8 may spoil lies behind the final cut.
  local text = clean(#s > max + 8 and s:sub(1, max + 8) or s)
  if #text <= max and #s <= max then return text end
  local cut = max - 3
  while cut > 0 and text:find("^[\128-\191]", cut + 1) do cut = cut - 1 end
  return text:sub(1, cut) .. "..."
end

--- Where our own files are: "@sshlua/" inside the program, "@/usr/share/lua/5.4/sshlua/".
local home = debug.getinfo(1, "S").source:match("^(.*)errors%.lua$") or "\0"

--- The innermost line of this task from `level` on that is not in a file of ours, "deploy.lua:12"; nil: none.
local function script_line(level)
  for at = level + 1, level + 50 do
    local info = debug.getinfo(at, "Sl")
    if not info then return nil end
    if info.currentline > 0 and info.source:sub(1, #home) ~= home then
      return ("%s:%d"):format(info.short_src, info.currentline)
    end
  end
end

local function where(level)
  local line = script_line(level + 1)
  return line and line .. ": " or ""
end

local function check_kind(kind, level)
  if is_kind[kind] then return end
  M.usage(level + 1, "unknown error kind %s", type(kind) == "string" and ("%q"):format(kind) or type(kind))
end

local one_line = { "message", "host", "op", "name", "reason", "phase" }

local function build(fields, level)
  if type(fields) ~= "table" then M.usage(level + 1, "a table of error fields expected, got %s", type(fields)) end
  check_kind(fields.kind, level + 1)
  if type(fields.message) ~= "string" then
    M.usage(level + 1, "error message: string expected, got %s", type(fields.message))
  end
  local e = {}
  for k, v in pairs(fields) do e[k] = v end
  e.retryable = nil -- computed, see below
  if e.at == nil then e.at = script_line(2) end
  for _, k in ipairs(one_line) do
    if type(e[k]) == "string" then e[k] = clean(mask(e[k])) end
  end
  if type(e.hint) == "string" then e.hint = clean(mask(e.hint), { newline = true }) end
  return setmetatable(e, mt)
end

--- A new Error. Fields beyond the documented ones are kept; text is cleaned here, so that pieces of it may
--- come from a server.
---@param fields table kind and message are required
---@return sshlua.Error
function M.new(fields)
  local e = build(fields, 2) -- no tail call: it would take a level away
  return e
end

--- Raises a new Error, or the one given.
---@param fields table
function M.raise(fields)
  error(getmetatable(fields) == mt and fields or build(fields, 2), 0)
end

--- Raises an Error of kind usage whose message starts with the position of a caller, as luaL_argerror's does.
---@param level integer 1: the line that calls errors.usage; 2: the caller of that function, as in error()
---@param fmt string
---@param ... any for string.format
function M.usage(level, fmt, ...)
  local good, text = pcall(string.format, fmt, ...)
  M.raise({ kind = "usage", message = where(level + 1) .. (good and text or fmt) })
end

--- True for an Error, of that kind if one is given. Safe on any value.
---@param e any
---@param kind? sshlua.Kind
---@return boolean
function M.is(e, kind)
  if kind ~= nil then check_kind(kind, 2) end
  if type(e) ~= "table" then return false end
  -- By name and not by identity: a module that was loaded twice still knows its errors.
  local meta = getmetatable(e)
  if type(meta) ~= "table" or rawget(meta, "__name") ~= mt.__name then return false end
  return kind == nil or e.kind == kind
end

--- The C side's {kind, name, code, message} as an Error. What `extra` says wins.
---@param core_err table
---@param extra? table host, op, phase, hint, ...
---@return sshlua.Error
function M.from(core_err, extra)
  if M.is(core_err) then return M.wrap(core_err, extra) end
  if type(core_err) ~= "table" then M.usage(2, "an error table of the core expected, got %s", type(core_err)) end
  local fields = {}
  for k, v in pairs(core_err) do fields[k] = v end
  if fields.code == 0 then fields.code = nil end -- the C side's "no code"
  for k, v in pairs(extra or {}) do fields[k] = v end
  local e = build(fields, 2)
  return e
end

--- Adds what is missing (host, op, phase, ...) to an Error and returns it. Other values, a script's own
--- errors, are handed back untouched.
---@generic T
---@param e T
---@param extra? table
---@return T
function M.wrap(e, extra)
  if M.is(e) then
    for k, v in pairs(extra or {}) do
      if rawget(e, k) == nil and k ~= "retryable" then
        e[k] = type(v) == "string" and clean(mask(v), { newline = k == "hint" }) or v
      end
    end
  end
  return e
end

local function retryable(e)
  local kind, phase = rawget(e, "kind"), rawget(e, "phase")
  if kind == "connect" then return true end
  if kind == "resolve" then return rawget(e, "name") == "EAI_AGAIN" end
  if kind == "timeout" then return before_auth[phase] == true end
  if kind == "connection_lost" then return early[phase] == true end
  return false
end

function mt.__index(e, key)
  if key == "retryable" then return retryable(e) end
  return Error[key]
end

--- One line for people: "web07: auth: no key accepted". A usage error starts with its position instead.
function mt.__tostring(e)
  local parts = {}
  if e.host then parts[#parts + 1] = tostring(e.host) end
  if e.kind ~= "usage" then parts[#parts + 1] = e.kind end
  parts[#parts + 1] = e.message
  return table.concat(parts, ": ")
end

function mt.__concat(a, b) return tostring(a) .. tostring(b) end

local function add_indented(lines, label, text)
  local indent = "  "
  for line in (text .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = indent .. label .. line
    label = (" "):rep(#label)
  end
end

local function describe_cause(cause)
  if M.is(cause) then return tostring(cause) end
  -- A foreign object's __tostring is the script's own code: it may fail, or answer with no string.
  local good, text = pcall(tostring, cause)
  return clean(mask(good and type(text) == "string" and text or "an error of type " .. type(cause)), { newline = true })
end

--- Several lines for people: the error, its hint, the chain of causes with theirs. No newline at the end.
---@return string
function Error:describe()
  local lines, seen = { tostring(self) }, { [self] = true }
  local e = self
  while true do
    local is_error = M.is(e)
    if is_error and e.hint then add_indented(lines, "hint: ", tostring(e.hint)) end
    local cause = is_error and e.cause or nil
    if cause == nil or seen[cause] then break end
    seen[cause] = true
    add_indented(lines, "caused by: ", describe_cause(cause))
    e = cause
  end
  return table.concat(lines, "\n")
end

--- The kinds in the order of the documentation.
---@return sshlua.Kind[]
function M.kinds()
  local list = {}
  for i, kind in ipairs(KINDS) do list[i] = kind end
  return list
end

return M
