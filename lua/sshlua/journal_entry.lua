--- What a journal says of one step: which verb with which arguments, and what came of it; and the way back, to the
--- value or the error that the verb gave. Secrets are masked. Pure.

local Result = require("sshlua.result").Result
local bytes = require("sshlua.bytes")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local json = require("sshlua.json")

local M = {}

--- Arguments ----------------------------------------------------------------------------------------------------------

local canonical

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return type(a) .. tostring(a) < type(b) .. tostring(b) end)
  return keys
end

local function canonical_table(t, depth)
  if depth > 16 or (getmetatable(t) and not errors.is(t)) then return "<object>" end
  local parts = {}
  for _, key in ipairs(sorted_keys(t)) do
    parts[#parts + 1] = canonical(key, depth + 1) .. "=" .. canonical(t[key], depth + 1)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- The same text for the same value, in this run and in the next one.
function canonical(value, depth)
  if core.is_secret(value) then return "<secret " .. value:name() .. ">" end
  local kind = type(value)
  if kind == "string" then return ("%q"):format(value) end
  if kind == "number" then return ("%.14g"):format(value) end
  if kind == "boolean" or kind == "nil" then return tostring(value) end
  if kind == "table" then return canonical_table(value, depth) end
  return "<" .. kind .. ">"
end

--- How long one waits, and what one does with the output, makes no step another one.
local passing = {
  timeout = true, idle = true, sink = true, safe = true, check = true, max_output = true, progress = true,
}

local function essential(value)
  if type(value) ~= "table" or getmetatable(value) then return value end
  local out = {}
  for key, one in pairs(value) do
    if not passing[key] then out[key] = one end
  end
  return out
end

--- What makes a step the same step: verb, arguments, and the host's own defaults.
---@return string hexadecimal
function M.digest(verb, args, defaults)
  local parts = { verb, canonical(essential(defaults), 0) }
  for i = 1, args.n do
    local value = essential(args[i])
    if i > 1 and type(value) == "table" and next(value) == nil then value = nil end -- no options, or none that count
    if value ~= nil then parts[#parts + 1] = i .. canonical(value, 0) end
  end
  local hasher = core.hasher("sha256")
  hasher:update(core.mask(table.concat(parts, "\n")))
  return hasher:digest()
end

local function shown(value)
  if type(value) == "string" then return errors.excerpt(value, 2000) end
  if type(value) == "number" then return value end
  return "<" .. (core.is_secret(value) and "secret" or type(value)) .. ">"
end

--- The command's words, or the names that a transfer was given; for people.
---@return table a JSON array
function M.argv(args)
  local list = {}
  local first = args[1]
  if type(first) == "table" and first[1] ~= nil and not getmetatable(first) then
    for i, word in ipairs(first) do list[i] = shown(word) end
  elseif first ~= nil then
    list[1] = shown(first)
    if type(args[2]) == "string" then list[2] = shown(args[2]) end
  end
  return json.array(list)
end

--- Outcomes -----------------------------------------------------------------------------------------------------------

local before_command = {
  resolve = true, connect = true, greeting = true, handshake = true, hostkey = true, auth = true, channel = true,
}
local finished = {
  exit = true, signal = true, sftp = true, auth = true, usage = true, io = true, limit = true, config = true,
}

--- "failed": it is known that it did not do its work; "unknown": it was under way when we lost sight of it.
local function state_of(err)
  if not errors.is(err) then return "failed" end
  if before_command[err.phase] or finished[err.kind] then return "failed" end
  if err.kind == "resolve" or err.kind == "connect" or err.kind == "hostkey" or err.kind == "handshake" then
    return "failed"
  end
  return "unknown"
end

local special = {
  stdout = true, stderr = true, cmd = true, err = true, host = true, port = true, timing = true, ok = true, code = true,
  signal = true, bytes = true, duration = true,
}

local function plain(value) return (core.json_encode(value)) ~= nil and type(value) ~= "userdata" end

local function put_result(t, r)
  bytes.put(t, "stdout", core.mask(r.stdout))
  bytes.put(t, "stderr", core.mask(r.stderr))
  t.fields = json.object({})
  for name, value in pairs(r) do
    if type(name) == "string" and not special[name] and plain(value) then t.fields[name] = value end
  end
  t.code, t.signal, t.bytes, t.seconds = r.code, r.signal, r.bytes, r.duration
end

local error_fields = { "kind", "message", "phase", "name", "code", "hint", "op", "reason", "path", "signal" }

local function put_error(t, err)
  if not errors.is(err) then
    t.error = { message = errors.excerpt(tostring(err), 2000) }
    return
  end
  t.error = {}
  for _, name in ipairs(error_fields) do
    local value = rawget(err, name)
    if type(value) == "string" or type(value) == "number" then t.error[name] = value end
  end
  if Result.is(err.result) then put_result(t, err.result) end
end

--- What pcall of a verb gave, as fields of an entry.
---@param ok boolean
---@param value any
---@return table
function M.outcome(ok, value)
  local t = {}
  if not ok then
    t.state = state_of(value)
    put_error(t, value)
    return t
  end
  t.state = "done"
  if Result.is(value) then
    t.result = true
    put_result(t, value)
    if value.err ~= nil then
      t.state = state_of(value.err)
      put_error(t, value.err)
    elseif not value.ok then
      t.state = "failed"
    end
  elseif type(value) == "string" then
    bytes.put(t, "text", core.mask(value))
  elseif value ~= nil and plain(value) then
    t.value = value
  end
  return t
end

local function result_from(t, h, args)
  local r = {}
  for name, value in pairs(t.fields or {}) do
    if value ~= json.null then r[name] = value end
  end
  r.stdout, r.stderr = bytes.get(t, "stdout"), bytes.get(t, "stderr")
  r.code, r.signal, r.bytes, r.duration = t.code, t.signal, t.bytes, t.seconds
  r.host, r.port, r.cmd, r.replayed = h.name, h.port, args[1], true
  return r
end

local function error_from(t, h, args)
  if not t.error.kind then return t.error.message end
  local fields = { host = h.name, replayed = true }
  for _, name in ipairs(error_fields) do fields[name] = t.error[name] end
  if t.fields then fields.result = Result.own(result_from(t, h, args)) end
  return errors.new(fields)
end

--- What the verb gave then: its value, or its error is raised.
---@param t table the entry
---@param h sshlua.Host
---@param args table
function M.replay(t, h, args)
  if t.result then
    local r = result_from(t, h, args)
    if t.error then r.err = error_from(t, h, args) end
    return Result.own(r)
  end
  if t.error then error(error_from(t, h, args), 0) end
  local text = bytes.get(t, "text")
  if text then return text end
  return t.value
end

return M
