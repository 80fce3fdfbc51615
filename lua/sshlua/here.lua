--- The local machine with the verbs of a host: run and read.

local Result = require("sshlua.result").Result
local command = require("sshlua.command")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local events = require("sshlua.events")
local options = require("sshlua.options")
local quote = require("sshlua.quote")
local scope = require("sshlua.task.scope")
local settings = require("sshlua.settings")
local task = require("sshlua.task")

local await = task.await
local OUTPUT_MAX = 8 * 1024 * 1024
local GRACE_SECONDS = 1

---@class sshlua.Here
local Here = { name = "localhost", vars = {}, defaults = {} }
local here_mt = { __index = Here, __name = "sshlua.Here", __tostring = function() return "localhost" end }

local here_options = options.merge(command.options, { dry_run = "boolean" })
here_options.pty, here_options.sudo, here_options.su, here_options.doas = nil, nil, nil, nil

local function environment(extra)
  if not extra then return nil end
  local list, seen = {}, {}
  for name, value in pairs(extra) do
    seen[name] = true
    list[#list + 1] = core.is_secret(value) and core.secret(value:name(), name .. "=", value)
      or name .. "=" .. tostring(value)
  end
  for _, entry in ipairs(core.environ()) do
    if not seen[entry:match("^([^=]*)")] then list[#list + 1] = entry end
  end
  return list
end

local function collect(socket, which, out)
  while true do
    local bytes = await(socket.read, socket, 65536)
    if not bytes then return socket:close() end
    out.last = core.now()
    local pieces, room = out[which], out.limit - out[which].size
    if #bytes > room then out.truncated = true end
    if room > 0 then pieces[#pieces + 1] = bytes:sub(1, room) end
    pieces.size = pieces.size + #bytes
    if out.sink then out.sink(bytes, which) end
  end
end

local function feed(socket, stdin)
  for bytes in command.pieces(stdin) do
    if not pcall(await, socket.write, socket, bytes) then break end
  end
  socket:close()
end

local function watch_silence(seconds, out)
  while true do
    local left = out.last + seconds - core.now()
    if left <= 0 then
      local message = ("no output for %g s"):format(seconds)
      errors.raise({ kind = "timeout", message = message, host = "localhost", op = "run" })
    end
    scope.sleep(left)
  end
end

--- Until both outputs and the process have ended.
local function follow(child, opts, out)
  local code, signal
  task.scope(function(s)
    if opts.stdin ~= nil then s:spawn(feed, child:stdin(), opts.stdin) end
    if opts.idle then s:spawn(watch_silence, opts.idle, out) end
    task.all(
      function() collect(child:stdout(), "stdout", out) end,
      function() collect(child:stderr(), "stderr", out) end
    )
    code, signal = await(child.wait, child)
    s:cancel()
  end)
  return code, signal
end

--- TERM, a moment to end in, then KILL.
local function end_child(child, opts)
  child:kill("TERM")
  child:stdout():close()
  child:stderr():close()
  if opts.stdin ~= nil then child:stdin():close() end
  pcall(scope.shield, scope.timeout, GRACE_SECONDS, await, child.wait, child)
  child:kill("KILL")
end

local function result_of(cmd, out, fields)
  fields.host, fields.cmd, fields.truncated, fields.duration = "localhost", cmd, out.truncated, core.now() - out.started
  fields.stdout, fields.stderr = table.concat(out.stdout), table.concat(out.stderr)
  fields.bytes = out.stdout.size + out.stderr.size
  return Result.new(fields)
end

local function interrupted(cmd, out, err)
  local result = result_of(cmd, out, { err = err })
  if errors.is(err, "cancelled") then
    err = errors.new({
      kind = "cancelled", message = err.message, host = "localhost", op = "run", result = result,
      cancelled_by = err.cancelled_by or err,
    })
  elseif errors.is(err) and rawget(err, "result") == nil then
    err.result = result
  end
  error(err, 0)
end

--- The words of a command: numbers as quoting would print them.
local function words(cmd)
  if type(cmd) ~= "table" then return { "/bin/sh", "-c", cmd } end
  local args = {}
  for i, word in ipairs(cmd) do args[i] = type(word) == "number" and quote.quote(word) or word end
  return args
end

local function run(cmd, opts)
  local now = core.now()
  local child, err = core.spawn({
    args = words(cmd), env = environment(opts.env), cwd = opts.cwd,
    stdin = opts.stdin ~= nil and "pipe" or "null", stdout = "pipe", stderr = "pipe",
  })
  if not child then errors.raise(errors.from(err, { host = "localhost", op = "run" })) end
  local out = {
    stdout = { size = 0 }, stderr = { size = 0 }, limit = opts.max_output or OUTPUT_MAX, sink = command.sink(opts.sink),
    started = now, last = now,
  }
  local ok, code, signal = pcall(follow, child, opts, out)
  if not ok then
    end_child(child, opts)
    return interrupted(cmd, out, code)
  end
  return result_of(cmd, out, { code = code, signal = signal and signal:gsub("^SIG", "") or nil })
end

--- Runs a local command: a string by /bin/sh, a table as an argument vector without a shell. In a dry run only what is
--- said to be safe is run.
---@param cmd string|(string|number)[]
---@param opts? table as host:run, without pty
---@return sshlua.Result
function Here:run(cmd, opts)
  opts = options.merge(self.defaults, options.check(opts, here_options, 2))
  local text = command.check(cmd, opts, 2)
  if not opts.safe and settings.is_dry(nil, opts) then
    local r = Result.own({ host = "localhost", cmd = cmd, code = 0, skipped = true, dry_run = true })
    if events.wants() then
      events.emit({ what = "step", host = r.host, verb = "run", state = "end", ok = true, seconds = 0, result = r })
    end
    return r
  end
  local result = scope.deadline({
    seconds = opts.timeout, host = "localhost", op = "run",
    message = opts.timeout and ("%s timed out after %g s"):format(command.label(text), opts.timeout) or nil,
  }, run, cmd, opts)
  if opts.check ~= false then result:check() end
  return result
end

--- Runs a local command and returns its standard output without the last newline.
---@param cmd string|(string|number)[]
---@param opts? table as run, without check
---@return string
function Here:read(cmd, opts)
  opts = options.merge(options.check(opts, here_options, 2), { check = true, safe = true })
  command.check(cmd, opts, 2)
  return self:run(cmd, opts):text()
end

--- The same with other defaults.
---@param defaults table as the options of run
---@return sshlua.Here
function Here:with(defaults)
  options.check(defaults, here_options, 2)
  local view = { defaults = options.merge(self.defaults, defaults) }
  return setmetatable(view, here_mt)
end

return setmetatable({}, here_mt)
