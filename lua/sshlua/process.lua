--- Processes: commands and subsystems whose streams the script has in its hands.

local begin = require("sshlua.channel_start")
local collector = require("sshlua.collector")
local command = require("sshlua.command")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local exec = require("sshlua.exec")
local group = require("sshlua.task.group")
local lazy = require("sshlua.lazy")
local scope = require("sshlua.task.scope")
local stream = require("sshlua.stream")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local CLOSE_SECONDS = 2

--- RFC 4254's, without SIG.
local SIGNALS = {}
for name in ("ABRT ALRM FPE HUP ILL INT KILL PIPE QUIT SEGV TERM USR1 USR2"):gmatch("%u+%d?") do
  SIGNALS[name] = true
end

local function ignore() end

---@class sshlua.Process
---@field stdin sshlua.Writer
---@field stdout sshlua.Reader
---@field stderr sshlua.Reader
local Process = {}
local process_mt = { __index = Process, __name = "sshlua.Process" }

--- Both outputs as they come are stdout; stderr is at its end.
local function merged_readers(ch)
  return stream.reader(function() return (await(ch.read_any, ch)) end), stream.reader(ignore)
end

local function process_on(session, ch, cmd, merge)
  session:_keep_channel(ch)
  local self = setmetatable({ session = session, ch = ch, cmd = cmd, started = core.now() }, process_mt)
  self.stdin = stream.writer(function(bytes) await(ch.write, ch, bytes) end, function() await(ch.send_eof, ch) end,
    session.target and session.target.opts.max_write_buffer)
  if merge then
    self.stdout, self.stderr = merged_readers(ch)
  else
    self.stdout = stream.reader(function() return (await(ch.read, ch, 0)) end)
    self.stderr = stream.reader(function() return (await(ch.read, ch, 1)) end)
  end
  return self
end

--- Starts a command and returns at once. Read both streams: they share one window.
---@return sshlua.Process
function M.spawn(session, cmd, opts)
  local ch = begin.start(session, cmd, opts, true)
  local p = process_on(session, ch, cmd, opts.merge)
  if not opts.record then return p end
  local ok, err = pcall(lazy.load("sshlua.record_process").attach, p, opts, command.label(command.text(cmd, 4)))
  if ok then return p end
  session:_close_channel(ch)
  error(err, 0)
end

--- A subsystem of the server (RFC 4254 6.5) as a process.
---@param name string
---@return sshlua.Process
function M.subsystem(session, name)
  local ch = session:_open_channel()
  local ok, err = pcall(await, ch.subsystem, ch, name)
  if ok then return process_on(session, ch, name) end
  session:_close_channel(ch)
  if errors.is(err, "channel") and err.name == "LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED" then
    err.message = ("the server has no subsystem '%s'"):format(errors.excerpt(name, 60))
    err.hint = "it may have another name, or want another port; for OpenSSH see Subsystem in sshd_config"
  end
  error(err, 0)
end

local function finish(self)
  local out = collector.new(exec.OUTPUT_MAX)
  self.stdin:close_write()
  group.scope(function(s)
    local function rest(reader, which)
      for bytes in function() return reader:read() end do out.add(bytes, which) end
    end
    s:spawn(rest, self.stderr, 1)
    rest(self.stdout, 0)
  end)
  local code, signal = await(self.ch.wait_closed, self.ch)
  self.session:_close_channel(self.ch)
  if code == nil and signal == nil and not self.session:is_alive() then error(self.session:_lost(), 0) end
  local output = out.output()
  output.code, output.signal = code, signal
  return exec.result_of(self.session, self.cmd, self.started, output)
end

--- Ends its input, reads what is left, and returns the Result (with what nobody had read). Again: the same Result.
---@return sshlua.Result
function Process:wait()
  if not self.result then
    self.session:_expect_end(self.ch)
    local ok, result = pcall(finish, self)
    if not ok and not self.closed and self.session:is_alive() then self.session:_keep_channel(self.ch) end
    if not ok then error(errors.wrap(result, { host = self.session.name, op = "wait" }), 0) end
    self.result = result
  end
  return self.result
end

--- Sends a signal (RFC 4254 6.9): "TERM", "INT", ... OpenSSH delivers it for ordinary users only.
---@param name string with or without SIG
function Process:signal(name)
  if type(name) ~= "string" then errors.usage(2, "signal name expected, got %s", type(name)) end
  name = name:gsub("^SIG", "")
  if not SIGNALS[name] and not name:find("^[%w.-]+@[%w.-]+$") then
    errors.usage(2, "not a signal that SSH knows: %s", errors.excerpt(name, 40))
  end
  await(self.ch.signal, self.ch, name)
end

--- Tells a pty its new size.
---@param cols integer
---@param rows integer
function Process:resize(cols, rows)
  await(self.ch.resize, self.ch, cols, rows)
  if self.rec then self.rec:resize(cols, rows) end
end

--- TERM, a moment to end in, then the channel is closed. Never waits longer than that.
function Process:kill()
  if self.result or self.closed then return end
  pcall(scope.shield, scope.timeout, CLOSE_SECONDS, function()
    self:signal("TERM")
    self:wait()
  end)
  self:close()
end

--- Closes the channel at once. Idempotent.
function Process:close()
  if self.closed then return end
  self.closed = true
  self.session:_close_channel(self.ch)
  if self.rec then self.rec:close() end
end
process_mt.__close = Process.close

return M
