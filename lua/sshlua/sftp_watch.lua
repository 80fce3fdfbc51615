--- Does an SFTP server still answer? While calls wait, something has to move on its channel: bytes of a request that go
--- out, or of an answer that come in. When nothing has for a while the server hangs (a dead file system under it,
--- perhaps), and nothing else would tell: sshd lives and keeps the connection. Knows when; must not know what is asked.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local scope = require("sshlua.task.scope")

local M = {}

local SECONDS = 120 -- as target.lua says
--- Of one call, although others are answered: many times longer, because it may wait in line behind large writes.
local ALONE = 10
--- What servers do in one step however long it takes.
local long = { fsync = 30, copy_data = 30 }
--- Made of many requests: their bytes are what counts.
local many = { get = true, put = true, fsync = true, copy_data = true }

---@class sshlua.SftpWatch
local Watch = {}
Watch.__index = Watch

---@param sftp sshlua.Sftp
---@param seconds? number of silence
function M.new(sftp, seconds)
  return setmetatable({ sftp = sftp, seconds = seconds or SECONDS, calls = {}, waiting = 0, last = 0 }, Watch)
end

--- The calls under way end, and the next one opens another channel.
local function give_up(self)
  self.hung = true
  self.sftp:close()
end

local function patience(self)
  local times = 1
  for _, call in pairs(self.calls) do times = math.max(times, long[call.op] or 1) end
  return self.seconds * times
end

local function one_is_stuck(self, now)
  for _, call in pairs(self.calls) do
    if not many[call.op] and now - call.since >= self.seconds * ALONE then return true end
  end
  return false
end

local arm

local function check(self)
  self.timer = nil
  if self.sftp.closed then return end
  local now, moved = core.now(), self.sftp.core:moved()
  if moved ~= self.moved or self.sftp.core:in_flight() == 0 then
    self.moved, self.since = moved, now
  elseif now - self.since >= patience(self) then
    return give_up(self)
  end
  if one_is_stuck(self, now) then return give_up(self) end
  arm(self)
end

function arm(self)
  self.timer = scope.timer(math.max(self.seconds / 4, 0.01), function() check(self) end)
end

--- A call begins to wait. Returns what finish wants.
---@param op string
function Watch:begin(op)
  local call = self.last + 1
  self.last = call
  self.calls[call] = { op = op, since = core.now() }
  self.waiting = self.waiting + 1
  if not self.timer then
    self.moved, self.since = self.sftp.core:moved(), core.now()
    arm(self)
  end
  return call
end

function Watch:finish(call)
  self.calls[call] = nil
  self.waiting = self.waiting - 1
  if self.waiting == 0 and self.timer then
    self.timer:cancel()
    self.timer = nil
  end
end

--- Why a call failed: the silence rather than that we closed the channel after it.
function Watch:reason(err)
  if not self.hung or not errors.is(err, "closed") then return err end
  return errors.new({
    kind = "timeout", host = self.sftp.name, phase = "sftp",
    message = ("the host's SFTP server has not answered for %g s"):format(self.seconds),
    hint = "its file system or sftp-server may hang; option timeouts = { sftp = seconds } lets it take longer",
  })
end

return M
