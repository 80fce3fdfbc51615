--- The local machine with the verbs of a host: run and read.

local Result = require("sshlua.result").Result
local command = require("sshlua.command")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task")

local await = task.await
local OUTPUT_MAX = 8 * 1024 * 1024

---@class sshlua.Here
local Here = { name = "localhost", vars = {}, defaults = {} }
local here_mt = { __index = Here, __name = "sshlua.Here", __tostring = function() return "localhost" end }

local here_options = options.merge(command.options)
here_options.pty = nil

local function environment(extra)
  if not extra then return nil end
  local list, seen = {}, {}
  for name, value in pairs(extra) do
    seen[name] = true
    list[#list + 1] = name .. "=" .. tostring(value)
  end
  for _, entry in ipairs(core.environ()) do
    if not seen[entry:match("^([^=]*)")] then list[#list + 1] = entry end
  end
  return list
end

local function collect(socket, which, opts, out, heard)
  local size, limit = 0, opts.max_output or OUTPUT_MAX
  while true do
    local bytes = await(socket.read, socket, 65536)
    if not bytes then return socket:close() end
    heard()
    if size + #bytes > limit then out.truncated = true end
    if size < limit then out[which] = out[which] .. bytes:sub(1, limit - size) end
    size = size + #bytes
    if opts.sink then opts.sink(bytes, which) end
  end
end

local function feed(socket, stdin)
  local next_piece = type(stdin) == "function" and stdin
  if type(stdin) == "string" then
    pcall(await, socket.write, socket, stdin)
  else
    for bytes in next_piece or function() return stdin:read(65536) end do
      if not pcall(await, socket.write, socket, bytes) then break end
    end
  end
  socket:close()
end

--- Ends the scope when nothing was heard for that long; returns what tells it that something was.
local function watch_idle(s, seconds)
  if not seconds then return function() end end
  local last = core.now()
  s:spawn(function()
    while true do
      local left = last + seconds - core.now()
      if left <= 0 then
        errors.raise({
          kind = "timeout", host = "localhost", op = "run", phase = "command",
          message = ("no output for %g s"):format(seconds),
        })
      end
      scope.sleep(left)
    end
  end)
  return function() last = core.now() end
end

local KILL_SECONDS = 1

--- TERM, a moment to end in, then KILL.
local function stop(child)
  for _, name in ipairs({ "TERM", "KILL" }) do
    child:kill(name)
    if pcall(scope.shield, scope.timeout, KILL_SECONDS, await, child.wait, child) then return end
  end
end

local function run(cmd, opts)
  local before = core.now()
  local args = { "/bin/sh", "-c", type(cmd) == "string" and cmd or nil }
  if type(cmd) == "table" then
    for i, arg in ipairs(cmd) do args[i] = tostring(arg) end
  end
  local child, err = core.spawn({
    args = args, env = environment(opts.env), cwd = opts.cwd,
    stdin = opts.stdin ~= nil and "pipe" or "null", stdout = "pipe", stderr = "pipe",
  })
  if not child then errors.raise(errors.from(err, { host = "localhost", op = "run" })) end
  local out = { stdout = "", stderr = "" }
  local ok, code, signal = pcall(function()
    task.scope(function(s)
      local heard = watch_idle(s, opts.idle)
      local all = {}
      if opts.stdin ~= nil then all[1] = s:spawn(feed, child:stdin(), opts.stdin) end
      all[#all + 1] = s:spawn(collect, child:stderr(), "stderr", opts, out, heard)
      collect(child:stdout(), "stdout", opts, out, heard)
      for _, t in ipairs(all) do t:wait() end
      s:cancel() -- the watch over silence
    end)
    return await(child.wait, child)
  end)
  if not ok then
    stop(child)
    local partial = Result.new({ host = "localhost", cmd = cmd, stdout = out.stdout, stderr = out.stderr, err = code })
    if errors.is(code, "cancelled") then
      code = errors.new({
        kind = "cancelled", message = code.message, cancelled_by = code.cancelled_by or code, result = partial,
      })
    elseif errors.is(code) then
      code.result = partial
    end
    error(code, 0)
  end
  return Result.new({
    host = "localhost", cmd = cmd, code = code, signal = signal and signal:gsub("^SIG", "") or nil,
    stdout = out.stdout, stderr = out.stderr, truncated = out.truncated, duration = core.now() - before,
  })
end

--- Runs a local command: a string by /bin/sh, a table as an argument vector without a shell.
---@param cmd string|(string|number)[]
---@param opts? table as host:run, without pty
---@return sshlua.Result
function Here:run(cmd, opts)
  opts = options.merge(self.defaults, options.check(opts, here_options, 2))
  local text = command.text(cmd, 2)
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
  opts = options.merge(options.check(opts, here_options, 2), { check = true })
  return tostring(self:run(cmd, opts))
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
