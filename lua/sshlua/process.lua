--- Commands on a channel: starting one, its streams, its end. `exec` collects a whole run into a Result, `spawn`
--- hands the streams to the script.

local Result = require("sshlua.result").Result
local collector = require("sshlua.collector")
local command = require("sshlua.command")
local core = require("sshlua.core")
local lazy = require("sshlua.lazy")
local elevate = lazy("sshlua.elevate")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local log = require("sshlua.log")
local privilege = require("sshlua.privilege")
local scope = require("sshlua.task.scope")
local stream = require("sshlua.stream")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local OUTPUT_MAX = 8 * 1024 * 1024
local CLOSE_SECONDS = 2

local function ignore() end

--- Starting ---------------------------------------------------------------------------------------------------------

--- Asks the server for each variable; returns those it refused.
local function set_environment(ch, env)
  local refused
  for name, value in pairs(env or {}) do
    if not core.is_secret(value) then value = tostring(value) end
    local ok, err = pcall(await, ch.setenv, ch, name, value)
    if not ok then
      if not errors.is(err, "channel") then error(err, 0) end
      refused = refused or {}
      refused[name] = value
    end
  end
  return refused
end

--- Variables that ssh_config sends (SendEnv, SetEnv), as ssh does: nobody waits, and what the server does not take it
--- leaves out. Names and values by turns; nil: none.
local function sent_environment(session) return session.target and session.target.opts.sent_environment end

--- All at once. The requests of a channel go out in order: what follows comes after them.
local function send_environment(session, ch, own)
  local list = sent_environment(session) or {}
  for i = 1, #list, 2 do
    if not (own and own[list[i]] ~= nil) then ch:send_env(list[i], list[i + 1], ignore) end
  end
end

M.send_environment = send_environment

local function request_pty(ch, pty)
  if not pty then return end
  local p = type(pty) == "table" and pty or {}
  -- RFC 4254 8: no modes but the end mark; the server's defaults apply.
  await(ch.pty, ch, p.term or os.getenv("TERM") or "xterm", p.cols or 80, p.rows or 24, p.modes or "\0")
end

local function terminal_of(session, opts)
  if opts.pty ~= nil then return opts.pty end
  return session.target and session.target.opts.pty
end

--- A channel that is ready for the command, and the command's text.
local function prepare(session, cmd, opts)
  local ch = session:_open_channel()
  local ok, refused = pcall(function()
    send_environment(session, ch, opts.env)
    local refused = set_environment(ch, opts.env)
    request_pty(ch, terminal_of(session, opts))
    return refused
  end)
  if ok then return ch, command.wrap(command.text(cmd, 4), opts.cwd, refused) end
  session:_close_channel(ch)
  error(refused, 0)
end

--- What the server's refusal of a command means.
local function explain(err)
  if errors.is(err, "channel") and err.name == "LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED" then
    err.message = "the server refused to run the command"
    err.hint = "the account may be restricted (a forced command, a menu), or the server takes no exec requests"
  end
  return err
end

--- A channel with what line(refused variables) returns under way (nil: the user's shell).
local function launch(session, env, pty, line)
  local ch = session:_open_channel()
  local ok, err = pcall(function()
    send_environment(session, ch, env)
    local refused = set_environment(ch, env)
    request_pty(ch, pty)
    local text = line(refused)
    if text then await(ch.exec, ch, text) else await(ch.shell, ch) end
  end)
  if ok then return ch end
  session:_close_channel(ch)
  error(explain(err), 0)
end

--- A channel with the command under way. `input`: something will be written to it.
local function start(session, cmd, opts, input)
  if privilege.wanted(opts) then return elevate.start(session, command.text(cmd, 4), opts, input, launch) end
  local ch, text = prepare(session, cmd, opts)
  local ok, err = pcall(await, ch.exec, ch, text)
  if ok then return ch end
  session:_close_channel(ch)
  error(explain(err), 0)
end

--- The channel of a command that was started, for those who speak a protocol with it.
M.channel = function(session, cmd, opts) return start(session, cmd, opts, true) end

--- Feeding ----------------------------------------------------------------------------------------------------------

local function feed(ch, stdin)
  for bytes in command.pieces(stdin) do await(ch.write, ch, bytes) end
  await(ch.send_eof, ch)
end

--- A command that ends without reading its input is no failure of ours. A lost connection is told by whoever reads what
--- came before it.
local function feed_quietly(ch, stdin)
  local ok, err = pcall(feed, ch, stdin)
  if ok or errors.is(err, "channel") or errors.is(err, "closed") or errors.is(err, "connection_lost") then return end
  error(err, 0)
end

--- Collecting -------------------------------------------------------------------------------------------------------

local function drain(ch, opts, out)
  local idle = opts.idle and {
    seconds = opts.idle, phase = "command", message = ("no output for %g s"):format(opts.idle),
  }
  while true do
    local bytes, which
    if idle then
      bytes, which = scope.deadline(idle, await, ch.read_any, ch)
    else
      bytes, which = await(ch.read_any, ch)
    end
    if not bytes then return end
    out.add(bytes, which)
  end
end

local function run(ch, opts, out)
  if opts.stdin == nil then
    ch:send_eof(ignore)
    drain(ch, opts, out)
  else
    group.scope(function(s)
      local feeder = s:spawn(feed_quietly, ch, opts.stdin)
      drain(ch, opts, out)
      if not feeder.ended then s:cancel() end -- the command is over: nobody reads what is left
    end)
  end
  return await(ch.wait_closed, ch)
end

--- TERM, then the channel is closed; the server ends what is left or not, we do not wait for it.
local function stop(session, ch)
  pcall(ch.signal, ch, "TERM", ignore)
  session:_close_channel(ch)
end

--- `fields` become the Result: what came, and how it ended.
local function result_of(session, cmd, before, fields)
  fields.host, fields.port, fields.cmd = session.name, session.port, cmd
  fields.duration = core.now() - before
  return Result.own(fields)
end

--- Raises err with the Result of what came before it.
local function interrupted(session, cmd, before, output, err)
  output.err = err
  local result = result_of(session, cmd, before, output)
  if errors.is(err, "cancelled") then
    -- The cancellation belongs to many; what this call had so far belongs to it alone.
    err = errors.new({
      kind = "cancelled", message = err.message, cause = err.cause, result = result, host = session.name, op = "exec",
      cancelled_by = err.cancelled_by or err,
    })
  elseif errors.is(err) then
    err = errors.wrap(err, { host = session.name, op = "exec", phase = "command" })
    if rawget(err, "result") == nil then err.result = result end
  end
  error(err, 0)
end

--- The command is over: its Result.
local function ended(session, cmd, before, output, code, signal, message)
  if code == nil and signal == nil and not session:is_alive() then
    return interrupted(session, cmd, before, output, session:_lost())
  end
  if log.wants(2) then
    local seconds = ("%.4f"):format(core.now() - before)
    log.emit(2, session.name, "exec", { code = code or "none", signal = signal, seconds = seconds })
  end
  output.code, output.signal = code, signal
  if message ~= "" then output.signal_message = message end
  return result_of(session, cmd, before, output)
end

--- Piece by piece: there is input to feed, a sink, or silence to be noticed.
local function exec_pieces(session, cmd, opts, before)
  local out = collector.new(opts.max_output or OUTPUT_MAX, command.sink(opts.sink))
  local started, ch = pcall(start, session, cmd, opts, opts.stdin ~= nil)
  if not started then return interrupted(session, cmd, before, out.output(), ch) end
  local ok, code, signal, message = pcall(run, ch, opts, out)
  if not ok then
    stop(session, ch)
    return interrupted(session, cmd, before, out.output(), code)
  end
  session:_close_channel(ch)
  return ended(session, cmd, before, out.output(), code, signal, message)
end

local function gathered(ch)
  local stdout, stderr, bytes, truncated = ch:gathered()
  return { stdout = stdout, stderr = stderr, bytes = bytes, truncated = truncated }
end

--- The channel, and what pcall of its run gives. Without questions of our own in front it costs one wait.
local function run_whole(session, cmd, opts)
  local max = opts.max_output or OUTPUT_MAX
  if opts.env or terminal_of(session, opts) then
    local ch, text = prepare(session, cmd, opts)
    return ch, pcall(await, ch.run, ch, text, max)
  end
  local text = command.wrap(command.text(cmd, 4), opts.cwd)
  return session:_on_channel(function(ch, done) return ch:run(text, max, done) end, sent_environment(session))
end

--- The core gathers the output.
local function exec_whole(session, cmd, opts, before)
  local opened, ch, ok, stdout, stderr, bytes, truncated, code, signal, message = pcall(run_whole, session, cmd, opts)
  if not opened then return interrupted(session, cmd, before, {}, ch) end
  if not ok then
    local output = gathered(ch)
    stop(session, ch)
    return interrupted(session, cmd, before, output, explain(stdout))
  end
  session:_close_channel(ch)
  local output = { stdout = stdout, stderr = stderr, bytes = bytes, truncated = truncated }
  return ended(session, cmd, before, output, code, signal, message)
end

local function exec(session, cmd, opts)
  local by_pieces = opts.stdin ~= nil or opts.sink or opts.idle or privilege.wanted(opts)
  return (by_pieces and exec_pieces or exec_whole)(session, cmd, opts, core.now())
end

--- Runs a command to its end and returns its Result; see Session.exec.
function M.exec(session, cmd, opts, level)
  local text = command.check(cmd, opts, level + 1)
  if not opts.timeout then return exec(session, cmd, opts) end
  return scope.deadline({
    seconds = opts.timeout, host = session.name, op = "exec", phase = "command",
    message = ("%s timed out after %g s"):format(command.label(text), opts.timeout),
  }, exec, session, cmd, opts)
end

--- Processes --------------------------------------------------------------------------------------------------------

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
  local ch = start(session, cmd, opts, true)
  local p = process_on(session, ch, cmd, opts.merge)
  if not opts.record then return p end
  local ok, err = pcall(lazy.load("sshlua.record_process").attach, p, opts, command.label(command.text(cmd, 4)))
  if ok then return p end
  session:_close_channel(ch)
  error(err, 0)
end

--- A channel for a person or a dialogue: variables, a terminal, and then the user's shell, or a command.
---@param env table|nil
---@param pty boolean|table|nil
---@param text string|nil nil: the user's shell
function M.dialogue(session, env, pty, text)
  return launch(session, env, pty, function(refused)
    if text then return command.wrap(text, nil, refused) end
    if refused then
      errors.raise({
        kind = "channel", message = ("the server does not accept the variable %s"):format(next(refused)),
        hint = "AcceptEnv in sshd_config, or set it in the dialogue",
      })
    end
  end)
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
  local out = collector.new(OUTPUT_MAX)
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
  return result_of(self.session, self.cmd, self.started, output)
end

--- Ends its input, reads what is left, and returns the Result (with what nobody had read). Again: the same Result.
---@return sshlua.Result
function Process:wait()
  if not self.result then
    local ok, result = pcall(finish, self)
    if not ok then error(errors.wrap(result, { host = self.session.name, op = "wait" }), 0) end
    self.result = result
  end
  return self.result
end

--- Sends a signal (RFC 4254 6.9): "TERM", "INT", ... OpenSSH delivers it for ordinary users only.
---@param name string with or without SIG
function Process:signal(name)
  if type(name) ~= "string" then errors.usage(2, "signal name expected, got %s", type(name)) end
  await(self.ch.signal, self.ch, (name:gsub("^SIG", "")))
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
