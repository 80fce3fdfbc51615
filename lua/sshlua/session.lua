--- The session scripts hold: commands on one connection, queued beyond what the server allows at once.

local command = require("sshlua.command")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local exec = require("sshlua.exec")
local log = require("sshlua.log")
local options = require("sshlua.options")
local places = require("sshlua.places")
local privilege = require("sshlua.privilege")
local scope = require("sshlua.task.scope")
local lazy = require("sshlua.lazy")
local process = lazy("sshlua.process")
local sftp = lazy("sshlua.sftp")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")
local tunnel = lazy("sshlua.tunnel")

local M = {}

local await = task.await
local CLOSE_SECONDS = 2
local OPENS_AT_ONCE = 32

---@class sshlua.Session
---@field name string
---@field core userdata the C object underneath: its verbs are in meta/core.lua
---@field package places sshlua.Places for channels
local Session = {}
local session_mt = { __index = Session, __name = "sshlua.Session" }

--- dropbear before 2024.86 closes a channel that is being opened, and then loses the connection, when a process of
--- another channel ends in that moment.
local function ends_disturb(version)
  local year, number = version:match("^SSH%-2%.0%-dropbear_(%d%d%d%d)%.(%d+)")
  return year ~= nil and tonumber(year) * 1000 + tonumber(number) < 2024086
end

---@param core_session userdata authenticated
---@param target table as connect.target makes it
---@param open_seconds number for opening one channel
---@param place_seconds number for a place to come free
---@param child? sshlua.Proxy the process that carries it
---@param version? string what the server calls itself
function M.new(core_session, target, open_seconds, place_seconds, child, version)
  return setmetatable({
    child = child,
    core = core_session, name = target.name, port = target.port, target = target,
    open_seconds = open_seconds,
    places = places.new(target.name, target.opts.max_sessions, place_seconds, function()
      return core_session:is_alive()
    end, ends_disturb(version or "")),
  }, session_mt)
end

--- Is the connection there, as far as we know?
---@return boolean
function Session:is_alive() return self.core:is_alive() end

--- Why the connection is gone, as an Error.
function Session:_lost()
  local why = not self.closed and self.core:why()
  if not why then return errors.new({ kind = "closed", host = self.name, message = "the session was closed" }) end
  local err = errors.from(why, { host = self.name, phase = "command" })
  return self.child and self.child:explain(err) or err
end

local function require_alive(self)
  if self.closed or not self.core:is_alive() then error(self:_lost(), 0) end
end

--- Channels ---------------------------------------------------------------------------------------------------------

--- Returns when waiting for one began, if it did.
local function take_place(self, since)
  local taken
  while true do
    taken, since = self.places:take(since)
    if taken then return since end
    if not self.core:is_alive() then self.places:wake_all() end -- none of them can be served
    require_alive(self)
  end
end

--- The end of a process whose channel we have closed, where it disturbs the next one's beginning.
local DYING_SECONDS, LOOK_SECONDS = 1, 0.002

local function wait_for_dying(self)
  local till = core.now() + DYING_SECONDS
  while select(2, self.core:count_open()) > 0 and core.now() < till do
    scope.sleep(LOOK_SECONDS)
    require_alive(self)
  end
end

--- first(ch, done), with a deadline for the channel's opening. A scope around each would cost more than all else that a
--- short command needs.
local function start_first(self, ch, first, done)
  local timer
  local op = first(ch, function(...)
    timer:cancel()
    return done(...)
  end)
  timer = scope.timer(self.open_seconds, function()
    if ch:is_open() then return end
    op:cancel()
    local message = ("the server did not open a channel within %g s"):format(self.open_seconds)
    done(errors.new({ kind = "timeout", host = self.name, phase = "channel", message = message }))
  end)
  return { cancel = function()
    timer:cancel()
    op:cancel()
  end }
end

--- sshd refuses channels beyond MaxSessions: the refusal teaches how many there may be, and the rest waits its turn.
--- When none of ours is open, somebody else's or a dying one may be: a few more tries.
local REFUSED_ALONE_TRIES = 6

--- A channel was not opened: returns how often that was while none of ours was open, or raises when another try makes
--- no sense.
local function not_opened(self, ch, err, alone)
  local refused = errors.is(err, "channel") and err.name == "SSH_OPEN_FAILURE"
  local alive = self.core:is_alive()
  local opened = alive and self.core:count_open() or 0
  ch:close()
  if not refused then self.places:give() elseif self.places:refused(opened) then return alone end
  if not alive and not errors.is(err, "cancelled") then error(self:_lost(), 0) end
  if not refused or alone + 1 >= REFUSED_ALONE_TRIES then
    if refused then err.hint = "MaxSessions may be used up, or the account may be restricted" end
    error(errors.wrap(err, { host = self.name, phase = "channel", op = "open_channel" }), 0)
  end
  scope.sleep(0.02 * 2 ^ (alone + 1))
  return alone + 1
end

local attempt

local function answered(self, wish, ch, ok, ...)
  if ok or ch:is_open() then return ch, ok, ... end
  wish.alone = not_opened(self, ch, (...), wish.alone)
  return attempt(self, wish)
end

function attempt(self, wish)
  require_alive(self)
  if wish.spare and self.places:left() < 2 then
    errors.raise({ kind = "limit", host = self.name, phase = "channel", message = "no channel to spare" })
  end
  if self.places.by_turns then wait_for_dying(self) end
  wish.since = take_place(self, wish.since)
  local ch = self.core:open_channel(self.target.opts.window or wish.window, wish.variables)
  return answered(self, wish, ch, pcall(await, start_first, self, ch, wish.first))
end

--- Opens a channel and starts first(ch, done) on it, without a wait in between. Returns the channel, and then what
--- pcall would. Raises when there is no channel.
---@param first fun(ch: userdata, done: function): userdata
---@param variables? string[] names and values by turns, which the server gets as soon as it has opened it
---@param window? integer bytes the server may send ahead where option 'window' does not say
---@param spare? boolean only while one is left for others then; kind limit
function Session:_on_channel(first, variables, window, spare)
  return attempt(self, { first = first, variables = variables, window = window, spare = spare, alone = 0 })
end

local function opened(ch, done) return ch:opened(done) end

--- `spare`: only while one is left for others then; kind limit.
function Session:_open_channel(window, spare)
  local ch, ok, err = self:_on_channel(opened, nil, window, spare)
  if ok then return ch end
  self:_close_channel(ch)
  error(err, 0)
end

function Session:_close_channel(ch)
  if not ch:close() then return end
  self.places:note_closed(ch)
end

--- Nobody waits for the channel's end; somebody does.
function Session:_keep_channel(ch)
  self.places:keep(ch)
  return ch
end

function Session:_expect_end(ch) self.places:expect(ch) end

--- Verbs ------------------------------------------------------------------------------------------------------------

local function with_defaults(self, opts)
  local env = self.target.opts.env
  if env then opts = options.merge(opts, { env = options.merge(env, opts.env) }) end
  return opts
end

--- Runs a command to its end. A string is shell, a table an argument vector. Raises kind exit or signal when it fails,
--- unless check = false; timeout, idle and lost connections raise with what came so far in err.result.
---@param cmd string|(string|number)[]
---@param opts? sshlua.CommandOptions
---@return sshlua.Result
function Session:exec(cmd, opts)
  opts = with_defaults(self, options.check(opts, command.options, 2))
  local result = exec.exec(self, cmd, opts, 2)
  if opts.check ~= false then result:check() end
  return result
end

---@class sshlua.SpawnOptions
---@field cwd? string directory to run in
---@field env? table<string, string>
---@field pty? boolean|{ term?: string, cols?: integer, rows?: integer }
---@field merge? boolean stderr comes in stdout, in the order of arrival
---@field sudo? boolean|string|sshlua.Privilege
---@field su? boolean|string|sshlua.Privilege
---@field doas? boolean|string|sshlua.Privilege
---@field safe? boolean of a Host in a dry run: it changes nothing, and is started
---@field record? boolean|string|{ to?: boolean|string, input?: boolean } with a pty: a recording, see docs/recording.md
local spawn_options = {
  record = "boolean|string|table", cwd = "string", env = "table", pty = "boolean|table", merge = "boolean",
  safe = "boolean", sudo = privilege.type, su = privilege.type, doas = privilege.type,
}

--- Starts a command; its stdin, stdout and stderr are streams.
---@param cmd string|(string|number)[]
---@param opts? sshlua.SpawnOptions
---@return sshlua.Process
function Session:spawn(cmd, opts)
  opts = with_defaults(self, options.check(opts, spawn_options, 2))
  command.check(cmd, opts, 2)
  if opts.record then
    if not opts.pty then errors.usage(2, "option 'record' goes with a pty") end
    lazy.load("sshlua.record").check(opts.record, 2)
  end
  local ok, p = pcall(process.spawn, self, cmd, opts)
  if not ok then error(errors.wrap(p, { host = self.name, op = "spawn", phase = "command" }), 0) end
  return p
end

--- A subsystem of the server by name, such as "netconf"; its stdin, stdout and stderr are streams.
---@param name string
---@return sshlua.Process
function Session:subsystem(name)
  if type(name) ~= "string" or not name:find("^[^%c%s]+$") or #name > 255 then
    errors.usage(2, "subsystem: a name expected")
  end
  local ok, p = pcall(process.subsystem, self, name)
  if not ok then error(errors.wrap(p, { host = self.name, op = "subsystem", phase = "command" }), 0) end
  return p
end

local function with_profile(target, opts)
  local profile = target.opts.profile
  return profile and options.merge({ profile = profile }, opts) or opts
end

--- A dialogue with the user's shell, a device, or a program: send, expect, cmd, interact.
---@param opts? sshlua.ShellOptions
---@return sshlua.Shell
function Session:shell(opts)
  -- loaded when somebody talks
  return lazy.load("sshlua.shell").open(function() return self end, with_profile(self.target, opts), 2)
end

--- A device by its profile: cmd, configure, confirm, rollback, save.
---@param opts sshlua.DeviceOptions
---@return sshlua.Device
function Session:device(opts)
  return lazy.load("sshlua.device").open(function() return self end, with_profile(self.target, opts), 2)
end

--- Files of the host: opened on first use, one for everybody who has this session.
---@return sshlua.Sftp
function Session:sftp()
  require_alive(self)
  return sftp.of(self)
end

--- fn(...) in its turn among those who connect through this host: its option max_opens.
function Session:_in_turn(fn, ...)
  self.turns = self.turns or sync.semaphore(self.target.opts.max_opens or OPENS_AT_ONCE)
  return self.turns:with(fn, ...)
end

--- Asks the server to connect to "host:port" and returns the connection as a stream: read, write, close_write, close.
---@param address string
---@param opts? { timeout?: number }
---@return sshlua.Tunnel
function Session:dial(address, opts)
  local host, port = tunnel.parse(address, 2)
  opts = options.check(opts, { timeout = "seconds" }, 2)
  require_alive(self)
  local ok, t = pcall(self._in_turn, self, tunnel.dial, self, host, port, opts.timeout or self.open_seconds)
  if not ok then error(errors.wrap(t, { host = self.name, op = "dial", phase = "channel" }), 0) end
  return t
end

--- Says good-bye and closes; bounded. What is still running ends with kind closed. Idempotent.
function Session:close()
  if self.closed then return end
  self.closed = true
  if self.core:is_alive() and task.current() then
    pcall(scope.shield, scope.timeout, CLOSE_SECONDS, await, self.core.disconnect, self.core)
  end
  self.core:close()
  self.places:wake_all()
  if self.child then self.child:close() end
  if log.wants(2) then log.emit(2, self.name, "closed") end
end

--- Closes at once, without a word to the server.
function Session:abort()
  self.closed = true
  self.core:close()
  self.places:wake_all()
  if self.child then self.child:close() end
end
session_mt.__close = Session.close

function session_mt:__tostring()
  return ("sshlua.Session: %s%s"):format(self.name, self.closed and " (closed)" or "")
end

M.now = core.now

return M
