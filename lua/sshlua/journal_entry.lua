--- What a journal or a cassette says of one step: which verb with which arguments, and what came of it; and the way
--- back, to the value or the error that the verb gave. Secrets are masked. Pure.

local Result = require("sshlua.result").Result
local bytes = require("sshlua.bytes")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local hostset = require("sshlua.hostset")
local json = require("sshlua.json")
local settings = require("sshlua.settings")

local M = {}

--- The name a host has: as a host expression says it. What a throwaway fleet says of a host is another in each run.
---@param h sshlua.Host
---@return string
function M.name_of(h)
  local said, given = h.target.said, settings.hosts[h.name] or {}
  return hostset.format({
    name = h.name, user = said.user ~= given.user and said.user or nil,
    port = said.port ~= given.port and said.port or nil,
  })
end

--- A step in a few words, for people.
---@param line table its start
---@return string
function M.label(line)
  local words = table.concat(line.argv, " ")
  return errors.excerpt(words == "" and line.op or line.op .. " " .. words, 80)
end

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

local function is_options(value) return type(value) == "table" and not getmetatable(value) end

--- The first that the verb's tables say about an option.
---@param args table packed
---@param name string
---@return any
function M.option(args, name)
  for i = 1, args.n do
    local value = args[i]
    if is_options(value) and value[name] ~= nil then return value[name] end
  end
end

local function essential(value)
  if not is_options(value) then return value end
  local out = {}
  for key, one in pairs(value) do
    if not passing[key] then out[key] = one end
  end
  return out
end

--- What makes a step the same step: verb, arguments, and the host's own defaults.
---@param alike? fun(text: string): string makes the same of what differs in each run
---@return string hexadecimal
function M.digest(verb, args, defaults, alike)
  local parts = { verb, canonical(essential(defaults), 0) }
  for i = 1, args.n do
    local value = essential(args[i])
    if i > 1 and type(value) == "table" and next(value) == nil then value = nil end -- no options, or none that count
    if value ~= nil then parts[#parts + 1] = i .. canonical(value, 0) end
  end
  local hasher = core.hasher("sha256")
  local text = core.mask(table.concat(parts, "\n"))
  hasher:update(alike and alike(text) or text)
  return hasher:digest()
end

local function shown(value)
  if type(value) == "string" then return errors.excerpt(value, 2000) end
  if type(value) == "number" then return value end
  if is_options(value) and value.data ~= nil then return "<data>" end
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

local by_digest = { stdin = true, content = true, data = true }

local function described(name, value)
  local text = core.mask(type(value) == "string" and by_digest[name] and value or canonical(value, 0))
  if #text <= 120 and not (type(value) == "string" and by_digest[name]) then return text end
  local hasher = core.hasher("sha256")
  hasher:update(text)
  return ("%d bytes, sha256 %s"):format(#text, hasher:digest())
end

--- The options and further arguments of a step by name, for people: what is long, and input, as its digest.
---@return table<string, string>
function M.with(args, defaults)
  local out = {}
  local function add(name, value)
    if not passing[name] then out[tostring(name)] = described(name, value) end
  end
  for name, value in pairs(defaults or {}) do add(name, value) end
  for i = 1, args.n do
    local value = args[i]
    if is_options(value) and (i > 1 or value[1] == nil) then
      for name, one in pairs(value) do add(name, one) end
    elseif i > 1 and value ~= nil and (i > 2 or type(value) ~= "string") then
      add("argument " .. i, value)
    end
  end
  return json.object(out)
end

--- The line that says that a step begins.
---@param h sshlua.Host
---@param number integer
---@return table
function M.start(h, number, verb, args, alike)
  return {
    type = "start", host = M.name_of(h), step = number, op = verb, argv = M.argv(args), at = os.time(),
    digest = M.digest(verb, args, h.defaults, alike),
  }
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

--- A copy in which fn has changed the strings, however deep they are in it.
---@param fn fun(text: string): string
---@param depth? integer
function M.map(value, fn, depth)
  depth = depth or 1
  if type(value) == "string" then return fn(value) end
  if type(value) ~= "table" or errors.is(value) or depth > 16 then return value end
  local copy = setmetatable({}, getmetatable(value))
  for k, v in pairs(value) do copy[k] = M.map(v, fn, depth + 1) end
  return copy
end

local function plain(value) return (core.json_encode(value)) ~= nil and type(value) ~= "userdata" end

local function put_result(t, r)
  bytes.put(t, "stdout", core.mask(r.stdout))
  bytes.put(t, "stderr", core.mask(r.stderr))
  t.fields = json.object({})
  for name, value in pairs(r) do
    if type(name) == "string" and not special[name] and plain(value) then t.fields[name] = M.map(value, core.mask) end
  end
  t.code, t.signal, t.bytes, t.seconds = r.code, r.signal, r.bytes, r.duration
end

local error_fields = {
  "kind", "message", "phase", "name", "code", "hint", "op", "reason", "path", "signal", "line", "index",
}

local function put_error(t, err)
  if not errors.is(err) then
    t.error = { message = errors.excerpt(tostring(err), 2000) }
    return
  end
  t.error = {}
  for _, name in ipairs(error_fields) do
    local value = rawget(err, name)
    if type(value) == "number" then t.error[name] = value end
    if type(value) == "string" and plain(value) then t.error[name] = core.mask(value) end
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
    t.value = M.map(value, core.mask)
  end
  return t
end

--- The line that says how a step has ended.
---@param start table
---@param ok boolean what pcall of the verb gave
---@param value any
---@param seconds number
---@return table
function M.finish(start, ok, value, seconds)
  local line = M.outcome(ok, value)
  line.type, line.host, line.step, line.at = "end", start.host, start.step, os.time()
  line.seconds = line.seconds or seconds
  return line
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

--- A Result, raised or handed out as the present call wants it.
local function as_wanted(r, check)
  if check ~= false and not r.ok then r:check() end
  return r
end

--- What the verb gave then: its value, or its error is raised. A command that failed is an error or a Result, as
--- `check` says now.
---@param t table the entry
---@param h sshlua.Host
---@param args table
function M.replay(t, h, args)
  local check = M.option(args, "check")
  if check == nil then check = h.defaults.check end
  if t.result then
    local r = result_from(t, h, args)
    if t.error then r.err = error_from(t, h, args) end
    return as_wanted(Result.own(r), check)
  end
  if t.error then
    local err = error_from(t, h, args)
    if check == false and errors.is(err) and err.result and (err.kind == "exit" or err.kind == "signal") then
      return err.result
    end
    error(err, 0)
  end
  local text = bytes.get(t, "text")
  if text then return text end
  return t.value
end

return M
