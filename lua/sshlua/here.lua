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

local function collect(socket, which, opts, out)
  local size, limit = 0, opts.max_output or OUTPUT_MAX
  while true do
    local bytes = await(socket.read, socket, 65536)
    if not bytes then return socket:close() end
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

local function run(cmd, opts)
  local before = core.now()
  local args = type(cmd) == "table" and cmd or { "/bin/sh", "-c", command.text(cmd, 3) }
  for i, arg in ipairs(args) do args[i] = tostring(arg) end
  local child, err = core.spawn({
    args = args, env = environment(opts.env), cwd = opts.cwd,
    stdin = opts.stdin ~= nil and "pipe" or "null", stdout = "pipe", stderr = "pipe",
  })
  if not child then errors.raise(errors.from(err, { host = "localhost", op = "run" })) end
  local out = { stdout = "", stderr = "" }
  local ok, code, signal = pcall(function()
    task.scope(function(s)
      if opts.stdin ~= nil then s:spawn(feed, child:stdin(), opts.stdin) end
      s:spawn(collect, child:stderr(), "stderr", opts, out)
      collect(child:stdout(), "stdout", opts, out)
    end)
    return await(child.wait, child)
  end)
  if not ok then
    child:kill("TERM")
    if errors.is(code, "cancelled") then
      code = errors.new({
        kind = "cancelled", message = code.message, cancelled_by = code.cancelled_by or code,
        result = Result.new({ host = "localhost", cmd = cmd, stdout = out.stdout, stderr = out.stderr, err = code }),
      })
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
---@return string
function Here:read(cmd, opts)
  opts = options.merge(options.check(opts, here_options, 2), { check = true })
  return tostring(self:run(cmd, opts))
end

--- The same with other defaults.
function Here:with(defaults)
  options.check(defaults, here_options, 2)
  local view = { defaults = options.merge(self.defaults, defaults) }
  return setmetatable(view, here_mt)
end

return setmetatable({}, here_mt)
