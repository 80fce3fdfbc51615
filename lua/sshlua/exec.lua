--- Commands run to their end: input fed, output gathered, a Result.

local Result = require("sshlua.result").Result
local begin = require("sshlua.channel_start")
local collector = require("sshlua.collector")
local command = require("sshlua.command")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local log = require("sshlua.log")
local privilege = require("sshlua.privilege")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local await = task.await

M.OUTPUT_MAX = 8 * 1024 * 1024 -- bytes of each stream that a Result keeps

local function ignore() end

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
function M.result_of(session, cmd, before, fields)
  fields.host, fields.port, fields.cmd = session.name, session.port, cmd
  fields.duration = core.now() - before
  return Result.own(fields)
end

--- Raises err with the Result of what came before it.
local function interrupted(session, cmd, before, output, err)
  output.err = err
  local result = M.result_of(session, cmd, before, output)
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
    log.emit(2, session.name, "exec", { code = code or "none", signal = signal, seconds = core.now() - before })
  end
  output.code, output.signal = code, signal
  if message ~= "" then output.signal_message = message end
  return M.result_of(session, cmd, before, output)
end

--- Piece by piece: there is input to feed, a sink, or silence to be noticed.
local function exec_pieces(session, cmd, opts, before)
  local out = collector.new(opts.max_output or M.OUTPUT_MAX, command.sink(opts.sink))
  local started, ch = pcall(begin.start, session, cmd, opts, opts.stdin ~= nil)
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
  local max = opts.max_output or M.OUTPUT_MAX
  if opts.env or begin.terminal_of(session, opts) then
    local ch, text = begin.prepare(session, cmd, opts)
    return ch, pcall(await, ch.run, ch, text, max)
  end
  local text = command.wrap(command.text(cmd, 4), opts.cwd)
  return session:_on_channel(function(ch, done) return ch:run(text, max, done) end, begin.sent_environment(session))
end

--- The core gathers the output.
local function exec_whole(session, cmd, opts, before)
  local opened, ch, ok, stdout, stderr, bytes, truncated, code, signal, message = pcall(run_whole, session, cmd, opts)
  if not opened then return interrupted(session, cmd, before, {}, ch) end
  if not ok then
    local output = gathered(ch)
    stop(session, ch)
    return interrupted(session, cmd, before, output, begin.explain(stdout))
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

return M
