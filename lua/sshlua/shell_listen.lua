--- The listening half of a dialogue: takes what comes, keeps what nobody has taken yet, waits for one of
--- several things.
--- Memory is bounded, and no byte is moved more often than a few times, however much comes.

local Result = require("sshlua.result").Result
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local expect = require("sshlua.expect")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")
local text_of = require("sshlua.shell_text")

local M = {}

--- `old` is text that has been searched in vain, in pieces; `text` is what follows.
---@class sshlua.Listener
---@field host string
---@field package text string
local Listener = {}
M.Listener = Listener

function Listener:listen()
  self.strip = text_of.stripper()
  self.text, self.old, self.first, self.last, self.old_size, self.searched = "", {}, 1, 0, 0, 0
end

--- Receiving -----------------------------------------------------------------------------------------------------

--- A read with a time limit in one wait; done(nil, bytes) or done(nil, nil, "timeout").
local function timed_read(ch, seconds, done)
  if type(ch) == "table" and ch.read_within then return ch:read_within(seconds, done) end -- has a clock of its own
  local op, timer
  op = ch:read_any(function(err, bytes)
    timer:cancel()
    done(err, bytes)
  end)
  timer = scope.timer(math.max(seconds, 0), function()
    op:cancel()
    done(nil, nil, "timeout")
  end)
  return { cancel = function()
    timer:cancel()
    op:cancel()
  end }
end

--- For whoever takes the bytes as they are: bytes; nil and true when time is up; nil at the end.
function Listener:raw_read(seconds)
  local ok, bytes, why = pcall(task.await, timed_read, self.ch, seconds)
  if ok and bytes and self.rec then self.rec:output(bytes) end
  if ok then return bytes, why == "timeout" end
  if errors.is(bytes, "connection_lost") or errors.is(bytes, "closed") then
    self.lost = bytes
    return nil
  end
  error(bytes, 0)
end

--- Takes what comes within that time. True: something; false: the end; nil: nothing.
function Listener:receive(seconds)
  self.ended = self.ended or self.closed
  if self.ended then return false end
  local bytes, timed_out = self:raw_read(seconds)
  if bytes then
    self.text = self.text .. self.strip(bytes)
    return true
  end
  if timed_out then return nil end
  self.ended = true
  return false
end

--- Takes what comes until there is silence for that long; false when there is none before the deadline.
function Listener:quiet(seconds, deadline)
  while self:receive(seconds) do
    if core.now() >= deadline then return false end
    if self:size() > self.max_buffer then self:take_all() end
  end
  return true
end

--- Keeping -------------------------------------------------------------------------------------------------------

--- What has been searched goes to the old pieces, except as much as matches may reach back.
local function put_away(self)
  local keep = self.look_back or expect.LOOK_BACK
  if #self.text <= 2 * keep then return end
  local piece = self.text:sub(1, -keep - 1)
  self.text = self.text:sub(-keep)
  self.searched = math.max(0, self.searched - #piece)
  self.last = self.last + 1
  self.old[self.last] = piece
  self.old_size = self.old_size + #piece
end

local function forget_oldest(self)
  while self.old_size + #self.text > self.max_buffer and self.first <= self.last do
    self.old_size = self.old_size - #self.old[self.first]
    self.old[self.first] = nil
    self.first = self.first + 1
    self.truncated = true
  end
end

local function old_text(self) return table.concat(self.old, "", self.first, self.last) end

--- Everything that nobody has taken yet.
function Listener:pending() return old_text(self) .. self.text end

function Listener:size() return self.old_size + #self.text end

--- Takes it.
function Listener:take_all()
  local all = self:pending()
  self.text, self.old, self.first, self.last, self.old_size, self.searched = "", {}, 1, 0, 0, 0
  self.truncated = nil
  return all
end

--- What is in front of a match; the match itself.
function Listener:before(m) return old_text(self) .. self.text:sub(1, m.from - 1) end
function Listener:text_at(m) return self.text:sub(m.from, m.to) end

--- Takes a match and all in front of it; returns what was in front.
function Listener:consume(m)
  local before, rest = self:before(m), self.text:sub(m.to + 1)
  self:take_all()
  self.text = rest
  return before
end

--- Waiting -------------------------------------------------------------------------------------------------------

local function search(self, set)
  if set.custom then return set.custom(self.text) end
  local m = expect.search(set, self.text, self.searched, { look_back = self.look_back, fresh = self.last < self.first })
  self.searched = #self.text
  return m
end

--- The first match of a set; "eof"; "limit" when the set has a word for it or looks at lines; nil when time is up. A
--- match at the end of what has come counts when nothing more comes for a moment.
function Listener:wait(set, deadline)
  if self.last >= self.first then self.text = self:take_all() end
  self.searched = 0
  while true do
    local m = search(self, set)
    local left = deadline - core.now()
    local sure = m and (not m.unsure or self.ended or left <= 0)
    if sure then return m end
    if m and not self:receive(math.min(self.settle, left)) then
      self.silent_at = core.now()
      return m
    end
    if not m then
      if self.ended then return "eof" end
      if left <= 0 then return nil end
      put_away(self)
      if self:size() > self.max_buffer and (set.limit or set.custom) then return "limit" end
      forget_oldest(self)
      if self:receive(left) == nil then return nil end
    end
  end
end

--- One task at a time; a branch of expect may use the shell of its own. Returns what ends the turn.
function Listener:turn(level)
  local me = task.current()
  if self.user and self.user ~= me then errors.usage(level + 1, "another task is talking to this shell") end
  local outer = self.user
  self.user = me
  return function() self.user = outer end
end

--- Failing -------------------------------------------------------------------------------------------------------

local function said(self)
  local tail = text_of.render(self:pending():sub(-400)):gsub("%s+$", "")
  local line = tail:match("[^\n]*$")
  return line ~= "" and ("; the last it said: \"%s\""):format(errors.excerpt(line, 80)) or ""
end

local function with_output(self, fields, more)
  fields.host, fields.phase = self.host, "command"
  fields.result = Result.new({
    host = self.host, stdout = (more or ""):gsub("%z", "") .. self:pending(), truncated = self.truncated,
  })
  errors.raise(fields)
end

function Listener:fail_timeout(what, op, seconds, hint, more)
  local message = ("%s: not within %g s%s"):format(what, seconds, said(self))
  with_output(self, { kind = "timeout", op = op, message = message, hint = hint }, more)
end

--- The other side has ended it, or the connection is gone.
function Listener:fail_ended(what, op, more)
  if self.closed then errors.raise({ kind = "closed", host = self.host, op = op, message = "the shell was closed" }) end
  if not self.session:is_alive() then error(errors.wrap(self.lost or self.session:_lost(), { op = op }), 0) end
  local message = ("%s: the other side ended the shell%s"):format(what, said(self))
  with_output(self, { kind = "channel", name = "EOF", op = op, message = message }, more)
end

function Listener:fail_limit(what, op)
  with_output(self, {
    kind = "limit", op = op, message = ("%s: more than %d bytes came"):format(what, self.max_buffer),
    hint = "raise max_buffer, or read a process (host:spawn) piece by piece",
  })
end

return M
