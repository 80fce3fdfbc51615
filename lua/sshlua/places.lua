--- The places for channels on one connection: how many there are, who waits for one, and for how long. Knows counts and
--- clocks; must not know how a channel is opened, nor what runs on it.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local log = require("sshlua.log")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

--- How many channels end before a lesson about the limit is tested again: the refusal may have met a dying channel.
local TEST_AGAIN_AFTER = 64
--- How soon somebody in line looks whether the connection is still there, and whether a place is; then less and less
--- often.
local LOOK_FIRST, LOOK_SECONDS = 0.02, 1
--- Where commands run one after another, one that lasts longer is not waited for.
local TURN_SECONDS = 2

---@class sshlua.Places
---@field limit number channels at once, as far as we know
---@field taken integer channels that are open or being opened
---@field by_turns? boolean see M.new
---@field package kept table<any, boolean> those whose end nobody waits for: a process, a shell, SFTP
local Places = {}
local places_mt = { __index = Places, __name = "sshlua.Places" }

---@param name string the host, for messages
---@param most number|nil what the option max_sessions says
---@param seconds number how long one waits while no place comes free, and none can be expected to
---@param is_alive fun(): boolean is the connection there?
---@param by_turns? boolean no channel is opened while one is there that ends by itself: the server minds
---@return sshlua.Places
function M.new(name, most, seconds, is_alive, by_turns)
  return setmetatable({
    name = name, is_alive = is_alive, most = most or math.huge, limit = most or math.huge, seconds = seconds,
    taken = 0, line = {}, waiting = 0, kept = {}, kept_count = 0, by_turns = by_turns,
  }, places_mt)
end

--- Waiting ----------------------------------------------------------------------------------------------------------

--- Is every place held by something that ends when the script wants it to?
local function is_held(self) return self.kept_count > 0 and self.kept_count >= self.taken end

local function leave(self, entry)
  entry.done = nil
  self.waiting = self.waiting - 1
  if self.waiting == 0 and self.timer then
    self.timer:cancel()
    self.timer = nil
  end
end

local function wake_first(self)
  while self.line[1] do
    local entry = table.remove(self.line, 1)
    local done = entry.done
    if done then
      leave(self, entry)
      done()
      return true
    end
  end
  return false
end

local function no_place(self)
  local who = self.limit == self.most and "the option max_sessions" or "the server's MaxSessions"
  return errors.new({
    kind = "timeout", host = self.name, phase = "channel",
    message = ("no channel came free within %g s: processes and shells of this script hold all %d of %s"):format(
      self.seconds, self.taken, who),
    hint = "close some or wait for their end, or use another connection (ssh.connect); "
      .. "timeouts = { place = seconds } waits longer",
  })
end

--- Ends the waiting of those for whom nothing has moved all the time.
local function expire(self)
  local before, late = core.now() - self.seconds, {}
  for _, entry in ipairs(self.line) do
    if entry.done and math.max(entry.since, self.moved) <= before then late[#late + 1] = entry end
  end
  for _, entry in ipairs(late) do
    local done = entry.done
    if done then
      leave(self, entry)
      done(no_place(self))
    end
  end
end

local function wake_all(self)
  while wake_first(self) do end -- luacheck: ignore 542
end

--- What the server taught may not hold any more, and nothing of ours will end and show it: the first in line tries.
local function test_again(self)
  if self.waiting == 0 or self.limit >= self.most then return end
  self.limit = self.limit + 1
  wake_first(self)
end

local function had_patience(since) return since ~= nil and core.now() - since >= TURN_SECONDS end

local function look(self)
  if not self.is_alive() then return wake_all(self) end
  if self.by_turns and self.line[1] and had_patience(self.line[1].since) then wake_first(self) end
  if not is_held(self) then return end
  expire(self)
  test_again(self)
end

local function watch(self)
  local pause = self.pause
  self.pause = math.min(pause * 2, LOOK_SECONDS, self.seconds / 4)
  self.timer = scope.timer(pause, function()
    self.timer = nil
    look(self)
    if self.waiting > 0 and not self.timer then watch(self) end
  end)
end

--- Where nothing can be expected to end, a person who looks is told.
local function tell(self)
  if self.told or not is_held(self) then return end
  self.told = true
  if log.wants(1) then log.emit(1, self.name, "places.held", { places = self.taken, seconds = self.seconds }) end
end

local function stand_in_line(self, since, done)
  local entry, at = { done = done, since = since }, #self.line + 1
  while at > 1 and self.line[at - 1].since > since do at = at - 1 end -- who tried in vain stands where it stood
  table.insert(self.line, at, entry)
  self.waiting = self.waiting + 1
  if self.waiting == 1 then
    self.moved, self.pause = since, LOOK_FIRST
    if not self.timer then watch(self) end
  end
  tell(self)
  return { cancel = function() if entry.done then leave(self, entry) end end }
end

--- Something has moved: whoever waits does so from now.
local function moved(self)
  if self.waiting > 0 then self.moved, self.pause = core.now(), LOOK_FIRST end
end

--- Places -------------------------------------------------------------------------------------------------------------

--- Takes a place: true. Where there is none, waits for its turn to try again: false, and since when it has waited.
---@param since number|nil what it said before
---@return boolean taken, number|nil since
function Places:take(since)
  local must_wait = self.by_turns and self.taken > self.kept_count and not had_patience(since)
  if self.taken < self.limit and not must_wait then
    self.taken = self.taken + 1
    return true, since
  end
  since = since or core.now()
  task.await(stand_in_line, self, since)
  return false, since
end

--- Gives the place to the next in line.
function Places:give()
  self.taken = self.taken - 1
  wake_first(self)
end

--- How many more could be taken without anybody having to wait, as far as we know; below 0 somebody waits.
---@return number
function Places:left()
  local left = self.limit - self.taken
  if self.by_turns then left = math.min(left, 1 - (self.taken - self.kept_count)) end
  return left - self.waiting
end

--- The channel is gone: its place is the next one's.
function Places:note_closed(ch)
  self:expect(ch)
  if self.learnt then
    self.learnt = self.learnt + 1
    if self.learnt % TEST_AGAIN_AFTER == 0 and self.limit < self.most then self.limit = self.limit + 1 end
  end
  self.told = nil
  moved(self)
  self:give()
end

--- The server has refused the channel: so many as there are are as many as there may be. False: there are none, and
--- nothing to learn.
---@param opened integer how many are open
---@return boolean
function Places:refused(opened)
  if opened == 0 then
    self:give()
    return false
  end
  self.taken = self.taken - 1
  self.limit = math.min(self.limit, opened)
  if self.lesson ~= self.limit and log.wants(2) then
    log.emit(2, self.name, "max_sessions", { learnt = self.limit })
  end
  self.learnt, self.lesson = 0, self.limit
  return true
end

local function raw(ch) return type(ch) == "table" and ch.raw or ch end -- behind what channel_front puts before it

--- The channel stays until the script has had enough of it.
function Places:keep(ch)
  ch = raw(ch)
  if self.kept[ch] then return end
  self.kept[ch] = true
  self.kept_count = self.kept_count + 1
  moved(self)
  if self.waiting > 0 then tell(self) end
  if self.by_turns then wake_first(self) end
end

--- Somebody waits for the channel's end, as for that of a run.
function Places:expect(ch)
  ch = raw(ch)
  if not self.kept[ch] then return end
  self.kept[ch] = nil
  self.kept_count = self.kept_count - 1
end

--- All go on at once: there is nothing to wait for.
function Places:wake_all() wake_all(self) end

return M
