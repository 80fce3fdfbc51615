--- Recording what passes the connections that a script has in its hands: a session whose channels note what is sent and
--- what comes. Knows the verbs of the core's sessions and channels; must not know shells, processes and devices.

local channels = require("sshlua.cassette_channel")
local core = require("sshlua.core")
local talk = require("sshlua.cassette_talk")

local M = {}

local GIVEN_UP = 0.001 -- seconds: who gave up has waited longer than it took to come

--- Channels -----------------------------------------------------------------------------------------------------------

local Channel = {}
Channel.__index = Channel
channels.refuse_verbs(Channel, "channel:", channels.channel_verbs)

local function channel_of(self, real)
  return setmetatable({
    real = real, deck = self.deck, use = self.use, refuse = self.refuse, talk = talk.new(), waited = 0,
    words = self.deck:words(),
  }, Channel)
end

local function grown(self)
  if self.talk.size > talk.MAX then self.deck:too_much(self.use.host, self.talk.size) end
end

local function both(self, stdout, stderr)
  if stdout ~= "" then self.talk:came(0, stdout, 0, false) end
  if stderr ~= "" then self.talk:came(1, stderr, 0, false) end
  grown(self)
end

--- What a run that was given up had brought; the core tells once.
function Channel:gathered()
  self.running = false
  local stdout, stderr, bytes, truncated = self.real:gathered()
  both(self, stdout, stderr)
  return stdout, stderr, bytes, truncated
end

--- Its line, once: when it is closed, or at the end of the recording.
function Channel:finish()
  if not self.line or self.ended then return end
  self.ended = true
  if self.running then pcall(self.gathered, self) end
  local finish = { talk = self.talk:lines(self.words.fold), refused = self.refused }
  for name, value in pairs(self.more or {}) do finish[name] = value end
  self.deck:ended(self.line, finish, self.failure)
  self.talk = talk.new() -- nobody reads what may still come
end

local function plain(err) return { kind = err.kind, name = err.name, code = err.code, message = err.message } end

local function is_news(err) return err.kind ~= "closed" and err.kind ~= "cancelled" end

function Channel:lost(err)
  if is_news(err) and not self.broken then
    self.broken = true
    self.talk:note({ lost = plain(err) })
  end
end

local function begin(self, op, text)
  self.line = self.deck:began(self.use, { op = op, text = text, pty = self.terminal, env = self.env }, self.words)
  self.deck:open(self)
end

--- A request that starts what the channel is for. Without an answer it was cancelled.
local function request(self, op, text, start, done)
  begin(self, op, text)
  self.failure = { kind = "cancelled", message = "cancelled" }
  return start(function(err, ...)
    self.failure = err and plain(err) or nil
    done(err, ...)
  end)
end

function Channel:exec(text, done)
  return request(self, "exec", text, function(finished) return self.real:exec(text, finished) end, done)
end

function Channel:shell(done)
  return request(self, "shell", nil, function(finished) return self.real:shell(finished) end, done)
end

function Channel:subsystem(name, done)
  return request(self, "subsystem", name, function(finished) return self.real:subsystem(name, finished) end, done)
end

local function note_exit(self, code, signal, message)
  self.talk:note({ exit = { code = code, signal = signal, message = message ~= "" and message or nil } })
end

function Channel:run(text, max, done)
  begin(self, "exec", text)
  self.running = true
  self.talk:note({ eof = true })
  return self.real:run(text, max, function(err, stdout, stderr, bytes, truncated, code, signal, message, dumped)
    if err then
      if err.kind == "channel" then self.failure = plain(err) else self:lost(err) end
    else
      self.running = false
      both(self, stdout, stderr)
      self.more = truncated and { bytes = bytes, truncated = true } or nil
      self.talk:note({ ["end"] = true })
      note_exit(self, code, signal, message)
    end
    done(err, stdout, stderr, bytes, truncated, code, signal, message, dumped)
  end)
end

local function reading(self, start, done)
  local before = core.now()
  local op = start(function(err, bytes, stream)
    if err then
      self:lost(err)
    elseif bytes then
      self.talk:came(stream, bytes, self.waited + core.now() - before, self.waited > 0)
      grown(self)
    elseif not self.ending then
      self.ending = true
      self.talk:note({ ["end"] = true })
    end
    self.waited = 0
    done(err, bytes, stream)
  end)
  return { cancel = function()
    self.waited = self.waited + core.now() - before + GIVEN_UP
    op:cancel()
  end }
end

function Channel:read(stream, done)
  return reading(self, function(finished) return self.real:read(stream, finished) end, function(err, bytes)
    done(err, bytes, stream)
  end)
end

function Channel:read_any(done)
  return reading(self, function(finished) return self.real:read_any(finished) end, done)
end

function Channel:write(bytes, done)
  if type(bytes) == "string" then self.words.learn(bytes) end
  self.talk:sent(bytes)
  self.waited = 0
  grown(self)
  return self.real:write(bytes, function(err)
    if err and is_news(err) then self.talk:note({ unsent = plain(err) }) end
    done(err)
  end)
end

function Channel:send_eof(done)
  self.talk:note({ eof = true })
  return self.real:send_eof(done)
end

function Channel:signal(name, done)
  self.talk:note({ signal = name })
  return self.real:signal(name, done)
end

function Channel:resize(cols, rows, done)
  self.talk:note({ resize = ("%dx%d"):format(cols, rows) })
  return self.real:resize(cols, rows, done)
end

function Channel:pty(term, cols, rows, modes, done)
  self.terminal = { cols = cols, rows = rows }
  return self.real:pty(term, cols, rows, modes, done)
end

function Channel:setenv(name, value, done)
  self.env = self.env or {}
  self.env[name] = value
  return self.real:setenv(name, value, function(err, ...)
    if err then
      self.refused = self.refused or {}
      table.insert(self.refused, name)
    end
    done(err, ...)
  end)
end

function Channel:wait_closed(done)
  return self.real:wait_closed(function(err, code, signal, message, dumped)
    if err then self:lost(err) else note_exit(self, code, signal, message) end
    done(err, code, signal, message, dumped)
  end)
end

function Channel:close()
  self:finish()
  return self.real:close()
end

for _, verb in ipairs({ "opened", "is_open", "send_env" }) do
  Channel[verb] = function(self, ...) return self.real[verb](self.real, ...) end
end

--- Sessions -----------------------------------------------------------------------------------------------------------

local Core = {}
Core.__index = Core
channels.refuse_verbs(Core, "session.core:", channels.session_verbs)

function Core:open_channel(...) return channel_of(self, self.real:open_channel(...)) end

function Core:open_direct(host, port, window, done)
  local ch = channel_of(self, nil)
  return request(ch, "dial", ("%s:%d"):format(host, port), function(finished)
    return self.real:open_direct(host, port, window, finished)
  end, function(err, real)
    ch.real = real
    if err then ch:finish() end
    done(err, not err and ch or nil)
  end)
end

for _, verb in ipairs({ "is_alive", "why", "count_open", "disconnect", "close" }) do
  Core[verb] = function(self, ...) return self.real[verb](self.real, ...) end
end

--- A session as the script gets it: all is the real one's but the core underneath, and what it has learnt of sudo.
---@param deck sshlua.Cassette
---@param use sshlua.CassetteUse
---@param real sshlua.Session
---@return sshlua.Session
function M.session(deck, use, real)
  local function refuse(verb) deck:refuse(use.host.name, verb) end
  local meta = getmetatable(real)
  return channels.fence(setmetatable({
    core = setmetatable({ real = real.core, deck = deck, use = use, refuse = refuse }, Core), needs_terminal = {},
    close = function() real:close() end, abort = function() real:abort() end,
  }, {
    __index = real, __name = meta.__name, __tostring = meta.__tostring, __close = function() real:close() end,
  }), refuse)
end

return M
