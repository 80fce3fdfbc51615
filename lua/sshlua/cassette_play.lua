--- Playing connections: a session without a network, whose channels give what came when the same is sent, and fail on
--- anything else. Knows the verbs of the core's sessions and channels; must not know shells, processes and devices.

local channels = require("sshlua.cassette_channel")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local session = require("sshlua.session")
local talk = require("sshlua.cassette_talk")

local M = {}

local OPEN_SECONDS, PLACE_SECONDS = 30, 120
--- What ended by itself takes no more input.
local GONE = { kind = "channel", name = "EPIPE", message = "the command has ended and takes no more input" }
local LOOK_FIRST, LOOK_MOST = 0.002, 0.05

local Channel = {}
Channel.__index = Channel
channels.refuse_verbs(Channel, "channel:", channels.channel_verbs)

local function channel_of(self)
  self.count = self.count + 1
  return setmetatable({
    core = self, deck = self.deck, use = self.use, refuse = self.refuse, words = self.deck:words(), pending = {},
    at = 1, taken = 0, outs = { [0] = 1, [1] = 1 },
  }, Channel)
end

--- done(...) in a turn of its own, as the core does it.
local function later(done, ...)
  local a, b = ...
  return core.timer(0, function() done(a, b) end)
end

--- What we do ---------------------------------------------------------------------------------------------------------

local function quoted(text)
  local json = core.json_encode({ text })
  return errors.excerpt(json and json:sub(2, -2) or ("%q"):format(text), 80)
end

local function unit_text(unit, from)
  if not unit then return "nothing more" end
  if unit.text then return quoted(unit.text:sub(from + 1)) end
  if unit.secret then return ("the secret '%s'"):format(errors.excerpt(unit.secret, 60)) end
  return unit.signal and "signal " .. errors.excerpt(unit.signal, 20) or "the size " .. errors.excerpt(unit.resize, 20)
end

local function wrong(self, what)
  local line = self.step.start
  self.deck:unsaid(self.use.host, ("%s sends %s; step %d goes on with %s"):format(line.op, what, line.step,
    unit_text(self.heard.units[self.at], self.taken)))
end

local function take_text(self, text)
  local rest, at, taken = self.words.fold(text), self.at, self.taken
  while rest ~= "" do
    local unit = self.heard.units[at]
    local there = unit and unit.text and unit.text:sub(taken + 1, taken + #rest)
    if not there or there ~= rest:sub(1, #there) then wrong(self, quoted(self.words.fold(text))) end
    rest, taken = rest:sub(#there + 1), taken + #there
    if taken == #unit.text then at, taken = at + 1, 0 end
  end
  self.at, self.taken = at, taken
end

local function take_unit(self, name, value)
  local unit = self.heard.units[self.at]
  if not unit or unit[name] ~= value then wrong(self, unit_text({ [name] = value }, 0)) end
  self.at = self.at + 1
end

--- In words what was sent then and is not now; nil: nothing.
local function left_of(self)
  local unit = self.heard and self.heard.units[self.at]
  return unit and unit_text(unit, self.taken) or nil
end

--- What comes ---------------------------------------------------------------------------------------------------------

local function due(self, one) return one and self.at > one.after and (self.eof or not one.eof) end

local function next_out(self, stream)
  local outs, at = self.heard.outs, self.outs
  if stream then return outs[stream][at[stream]] end
  local a, b = outs[0][at[0]], outs[1][at[1]]
  return a and b and (a.order < b.order and a or b) or a or b
end

local function take_out(self, out)
  self.outs[out.stream] = self.outs[out.stream] + 1
  return self.words.unfold(out.bytes)
end

--- All that may come by now of both streams.
local function take_all(self)
  local parts = { [0] = {}, [1] = {} }
  for stream, list in pairs(parts) do
    local out = next_out(self, stream)
    while due(self, out) do
      list[#list + 1] = take_out(self, out)
      out = next_out(self, stream)
    end
  end
  return table.concat(parts[0]), table.concat(parts[1])
end

local function lose(self)
  local why = self.heard.lost.error
  self.core.lost = self.core.lost or why
  return why
end

--- Each returns true when the one who waits has had an answer.
local serve = {}

--- Who waits for so long only, waits in the cassette's time: silence takes none.
function serve.read(self, entry)
  local out, seconds = next_out(self, entry.stream), entry.seconds
  if due(self, out) then
    if seconds and out.wait > seconds then
      out.wait = out.wait - seconds
      entry.done(nil, nil, "timeout")
    else
      entry.done(nil, take_out(self, out), out.stream)
    end
  elseif not out and due(self, self.heard.lost) then
    entry.done(lose(self))
  elseif not out and due(self, self.heard.ended) then
    entry.done(nil)
  elseif seconds then
    entry.done(nil, nil, "timeout")
  else
    return false
  end
  return true
end

function serve.exit(self, entry)
  local exit = self.heard.exit
  if due(self, exit) then
    entry.done(nil, exit.code, exit.signal, exit.message or "", false)
  elseif due(self, self.heard.lost) then
    entry.done(lose(self))
  else
    return false
  end
  return true
end

function serve.run(self, entry)
  local exit = self.heard.exit
  if not due(self, exit) then return serve.exit(self, entry) end
  local stdout, stderr = take_all(self)
  local finish, size, max = self.step.finish, #stdout + #stderr, entry.max
  entry.done(nil, stdout:sub(1, max), stderr:sub(1, max), finish.bytes or size,
    finish.truncated or #stdout > max or #stderr > max, exit.code, exit.signal, exit.message or "", false)
  return true
end

local function serve_all(self)
  local list = self.pending
  self.pending, self.serving = {}, nil
  local stopped = self.deck:stopped_of(self.use.host)
  for _, entry in ipairs(list) do
    local served = not entry.done
    if not served and self.closed then
      entry.done({ kind = "closed", message = "the channel was closed" })
    elseif not served and stopped then
      entry.done(stopped)
    elseif not served and not serve[entry.what](self, entry) then
      self.pending[#self.pending + 1] = entry
    end
  end
end

local function look(self)
  if not self.serving and self.pending[1] then self.serving = core.timer(0, function() serve_all(self) end) end
end

local function wait(self, entry)
  self.pending[#self.pending + 1] = entry
  look(self)
  return { cancel = function() entry.done = nil end }
end

--- Requests -----------------------------------------------------------------------------------------------------------

local function answer(self, step, done)
  local finish = step.finish
  local heard, at = talk.read(finish.talk or {})
  if not heard then
    return done(self.deck:unreadable(self.use.host,
      ("step %d: entry %d of its talk is none"):format(step.start.step, at)))
  end
  self.step, self.heard = step, heard
  step.left = function() return left_of(self) end
  local err = finish.error and self.deck:error_of(step, self.use.host)
  if not err then return done(nil) end
  if not errors.is(err, "cancelled") then done(err) end -- somebody gave up then, and will again
end

--- It may be another task's turn first, as it was then.
local function request(self, op, text, done)
  local line = self.deck:request(self.use, { op = op, text = text, pty = self.terminal, env = self.env }, self.words)
  local step, is_later = self.deck:take(self.use.host, line)
  if not step and not is_later then self.deck:unrecorded(self.use.host, line) end
  local op_of = {}
  local pause, till = LOOK_FIRST, core.now() + self.deck:patience()
  local function try()
    if step then return answer(self, step, done) end
    if not is_later or core.now() > till then
      local _, err = pcall(self.deck.unrecorded, self.deck, self.use.host, line)
      return done(err)
    end
    step, is_later = self.deck:take(self.use.host, line)
    pause = math.min(pause * 2, LOOK_MOST)
    op_of.timer = core.timer(step and 0 or pause, try)
  end
  op_of.timer = core.timer(0, try)
  return { cancel = function() op_of.timer:cancel() end }
end

function Channel:exec(text, done) return request(self, "exec", text, done) end
function Channel:shell(done) return request(self, "shell", nil, done) end
function Channel:subsystem(name, done) return request(self, "subsystem", name, done) end

function Channel:run(text, max, done)
  local entry = { what = "run", max = max, done = done }
  local op = request(self, "exec", text, function(err)
    if not entry.done then return end
    if err then return done(err) end
    local first = self.heard.units[1]
    if first and not first.signal then -- one that was given up was sent a signal
      local _, problem = pcall(wrong, self, "no input")
      return done(problem)
    end
    self.eof = true
    wait(self, entry)
  end)
  return { cancel = function()
    entry.done = nil
    op:cancel()
  end }
end

function Channel:gathered()
  if not self.heard then return "", "", 0, false end
  local stdout, stderr = take_all(self)
  return stdout, stderr, #stdout + #stderr, false
end

function Channel:setenv(name, value, done)
  self.env = self.env or {}
  self.env[name] = value
  return later(done, self.deck:refuses(self.use.host, name) and {
    kind = "channel", name = "LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED", message = "the server does not accept " .. name,
  } or nil)
end

function Channel:pty(_, cols, rows, _, done)
  self.terminal = { cols = cols, rows = rows }
  return later(done)
end

function Channel:send_env(_, _, done) return later(done) end
function Channel:opened(done) return later(done) end
function Channel:is_open() return not self.closed end

--- Verbs --------------------------------------------------------------------------------------------------------------

local function check(self)
  local stopped = self.deck:stopped_of(self.use.host)
  if stopped then error(stopped, 0) end
end

function Channel:write(bytes, done)
  check(self)
  if self.closed then return later(done, { kind = "closed", message = "the channel was closed" }) end
  local unsent, ended, over = self.heard.unsent, self.heard.ended, not self.heard.units[self.at]
  if over and (unsent or due(self, ended) and not ended.eof) then return later(done, unsent or GONE) end
  if type(bytes) == "string" then
    self.words.learn(bytes)
    take_text(self, bytes)
  else
    take_unit(self, "secret", bytes:name())
  end
  look(self)
  return later(done, not self.heard.units[self.at] and unsent or nil)
end

function Channel:send_eof(done)
  self.eof = true
  look(self)
  return later(done)
end

function Channel:signal(name, done)
  check(self)
  take_unit(self, "signal", name)
  look(self)
  return later(done)
end

function Channel:resize(cols, rows, done)
  check(self)
  take_unit(self, "resize", ("%dx%d"):format(cols, rows))
  look(self)
  return later(done)
end

function Channel:read(stream, done) return wait(self, { what = "read", stream = stream, done = done }) end
function Channel:read_any(done) return wait(self, { what = "read", done = done }) end

--- As a read that is cancelled after so many seconds: done(nil, nil, "timeout").
function Channel:read_within(seconds, done) return wait(self, { what = "read", seconds = seconds, done = done }) end

function Channel:wait_closed(done) return wait(self, { what = "exit", done = done }) end

function Channel:close()
  if self.closed then return false end
  self.closed = true
  self.core.count = self.core.count - 1
  look(self)
  return true
end

--- Sessions -----------------------------------------------------------------------------------------------------------

local Core = {}
Core.__index = Core
channels.refuse_verbs(Core, "session.core:", channels.session_verbs)

local function add(self, ch)
  self.channels[ch] = true
  return ch
end

function Core:open_channel() return add(self, channel_of(self)) end

function Core:open_direct(host, port, _, done)
  local ch = add(self, channel_of(self))
  return request(ch, "dial", ("%s:%d"):format(host, port), function(err) done(err, not err and ch or nil) end)
end

function Core:is_alive() return not self.closed and not self.lost end
function Core:why() return self.lost end
function Core:count_open() return self.count, 0 end
function Core:disconnect(done) return later(done) end

function Core:close()
  self.closed = true
  for ch in pairs(self.channels) do ch:close() end
end

--- A session that was there when it was recorded, for all that the cassette says.
---@param deck sshlua.Cassette
---@param use sshlua.CassetteUse
---@param target table
---@return sshlua.Session
function M.session(deck, use, target)
  local function refuse(verb) deck:refuse(use.host.name, verb) end
  local below = setmetatable({
    deck = deck, use = use, refuse = refuse, count = 0, channels = setmetatable({}, { __mode = "k" }),
  }, Core)
  local s = channels.fence(session.new(below, target, OPEN_SECONDS, PLACE_SECONDS), refuse)
  s.masked = true
  return s
end

return M
