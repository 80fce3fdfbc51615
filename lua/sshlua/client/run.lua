--- One session of `sshlua ssh` from the login to the exit status: the channel, its terminal, its streams. Which ones,
--- says the plan.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local lazy = require("sshlua.lazy")
local person = require("sshlua.client.person")
local begin = require("sshlua.channel_start")
local streams = require("sshlua.client.streams")
local task = require("sshlua.task")

local M = {}

local await = task.await
local FAILED = 255
local PTY_BYTES = 256 -- of the terminal's name and modes together
local LOOK_SECONDS = 0.5

---@class sshlua.client.Run
---@field program table
---@field session sshlua.Session
---@field plan sshlua.client.Plan
---@field words sshlua.client.Words
---@field host string as the person called it
---@field record? { to: string, input?: boolean } where what the terminal is sent is kept

--- Starting -----------------------------------------------------------------------------------------------------------

--- As ssh does, it goes on without a terminal when the server gives none.
local function request_pty(r, ch)
  local term = (os.getenv("TERM") or ""):sub(1, 100)
  local cols, rows = person.size()
  local ok, err = pcall(await, ch.pty, ch, term, cols, rows, core.tty_modes(0, PTY_BYTES - #term))
  if ok then return end
  if not errors.is(err, "channel") then error(err, 0) end
  r.words:error("the server gave no terminal: " .. err.message)
  r.plan.pty, r.plan.escape = false, nil
end

--- Before the command starts: who has to have a recording would not want it to run without.
local function begin_recording(r)
  local plan, cols, rows = r.plan, person.size()
  local size = { cols = cols > 0 and cols or nil, rows = rows > 0 and rows or nil, term = os.getenv("TERM") }
  r.recording = lazy.load("sshlua.record").of_run(r.record, r.session.name, size,
    plan.text and r.session.name .. ": " .. plan.text or r.session.name, not plan.pty)
end

local refusals = {
  exec = { "the server refused to run the command", "the account may be restricted" },
  shell = { "the server refused to start a shell", "the account may be restricted" },
  subsystem = { "the server has no such subsystem", "see Subsystem in its sshd_config" },
}

local function start(r, ch)
  local plan = r.plan
  begin.send_environment(r.session, ch)
  if plan.pty then request_pty(r, ch) end
  if r.record then begin_recording(r) end
  local ok, err
  if plan.what == "shell" then
    ok, err = pcall(await, ch.shell, ch)
  else
    ok, err = pcall(await, ch[plan.what], ch, plan.text)
  end
  if ok then return end
  if errors.is(err, "channel") and err.name == "LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED" then
    err.message, err.hint = refusals[plan.what][1], refusals[plan.what][2]
  end
  error(errors.wrap(err, { host = r.session.name, phase = "command" }), 0)
end

local function go_to_background(r)
  local ok, message = r.program.background()
  if not ok then errors.raise({ kind = "io", message = message }) end
end

--- Talking ------------------------------------------------------------------------------------------------------------

--- Input of a command that has a terminal: keys, among them the escape key.
local function keys(r, ch)
  local self = person.new({
    ch = ch, plan = r.plan, words = r.words, host = r.host, recording = r.recording,
    quit = function()
      r.quit = true
      r.session:abort()
    end,
    background = function() go_to_background(r) end,
  })
  r.person = self
  if core.isatty(0) then self:take_terminal() else self.socket = r.program.take_stream(0) end
  self:talk()
end

local function input(r, ch)
  if r.plan.no_input then return streams.input(ch, nil, r.words) end
  if r.plan.pty then return keys(r, ch) end
  local from = streams.take(r.program, 0)
  if r.record and r.record.input then
    return lazy.load("sshlua.client.recorded").input(ch, from, r.words, r.recording)
  end
  return streams.input(ch, from, r.words)
end

local function output(r, ch)
  local out = r.recording and lazy.load("sshlua.client.recorded").out or streams.out
  local to, err_to = streams.take(r.program, 1), streams.take(r.program, 2)
  task.all(function() out(ch, 0, to, r.words, r.recording) end, function() out(ch, 1, err_to, r.words, r.recording) end)
end

--- Over when the server has closed the channel, whatever may still come of our input.
local function pass(r, ch)
  local code, signal
  task.scope(function(s)
    s:spawn(input, r, ch)
    output(r, ch)
    code, signal = await(ch.wait_closed, ch)
    s:cancel()
  end)
  return code, signal
end

--- Nothing is run; the connection is held until it goes.
local function hold(r)
  if r.plan.background then go_to_background(r) end
  while r.session:is_alive() do task.sleep(LOOK_SECONDS) end
  error(r.session:_lost(), 0)
end

local function talk(r)
  if r.plan.what == "none" then return hold(r) end
  local ch = r.session:_open_channel()
  start(r, ch)
  if r.plan.background then go_to_background(r) end
  local code, signal = pass(r, ch)
  if code == nil and signal == nil and not r.session:is_alive() then error(r.session:_lost(), 0) end
  r.session:_close_channel(ch)
  return code
end

--- Returns the exit status: the command's, or 255.
---@param r sshlua.client.Run
---@return integer
function M.run(r)
  local ok, code = pcall(talk, r)
  if r.person then r.person:give_back() end
  if ok or r.quit then
    if r.plan.pty and r.words.level >= 3 then r.words:show(("Connection to %s closed.\n"):format(r.host)) end
    return ok and code or FAILED
  end
  error(code, 0)
end

return M
