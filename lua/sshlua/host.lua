--- A host as playbooks hold it: connects on first use, keeps its connection for the script, runs verbs on it.

local Result = require("sshlua.result").Result
local command = require("sshlua.command")
local connect = require("sshlua.connect")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local events = require("sshlua.events")
local options = require("sshlua.options")
local pool = require("sshlua.pool")
local scope = require("sshlua.task.scope")
local settings = require("sshlua.settings")
local task = require("sshlua.task")
local lazy = require("sshlua.lazy")
local transfer = lazy("sshlua.transfer")
local transfer_text = lazy("sshlua.transfer_text")
local tunnel = lazy("sshlua.tunnel")

local M = {}

--- Hosts ------------------------------------------------------------------------------------------------------------

---@class sshlua.Host
---@field name string
---@field user string
---@field port integer
---@field vars table variables of the inventory
local Host = {}
local host_mt = { __name = "sshlua.Host" }

--- Who and where is final after the first connect: ssh_config may say more.
local of_target = { user = true, port = true, hostname = true }

function host_mt.__index(self, name)
  if of_target[name] then return rawget(self, "target")[name] end
  return Host[name]
end

function host_mt:__tostring() return self.name end

--- A host by name: "user@name:port". Nothing is connected yet.
---@param text string
---@param opts? sshlua.ConnectOptions
---@param below? table connection options of an inventory
---@return sshlua.Host
function M.new(text, opts, level, below)
  local target = connect.target(text, opts, (level or 1) + 1, below)
  return setmetatable({
    name = target.name, target = target,
    vars = {}, defaults = {},
  }, host_mt)
end

local verb_options = options.merge(command.options, { safe = "boolean", dry_run = "boolean" })

--- The host with other defaults for its verbs, on the same connection: h:with{ cwd = "/srv" }.
---@param defaults sshlua.CommandOptions
---@return sshlua.Host
function Host:with(defaults)
  options.check(defaults, verb_options, 2)
  local view = {}
  for k, v in pairs(self) do view[k] = v end
  view.defaults = options.merge(self.defaults, defaults)
  return setmetatable(view, host_mt)
end

--- As its keeper says, see sshlua.steps.
local function session_to(self, target)
  local way = rawget(self, "way")
  return (way or connect.shared)(target)
end

--- Its session, connected if it was not.
---@return sshlua.Session
function Host:session() return session_to(self, self.target) end

local function merged(self, opts, level)
  if getmetatable(self) ~= host_mt then errors.usage(level + 1, "a verb of a host: h:run(...), with a colon") end
  options.check(opts, verb_options, level + 1)
  local out = options.merge(self.defaults, opts)
  if self.defaults.env and opts and opts.env then out.env = options.merge(self.defaults.env, opts.env) end
  return out
end

--- Wall time counts from the verb's turn, connecting included.
local function within_time(self, opts, what, fn, ...)
  local seconds = opts.timeout
  if not seconds then return fn(...) end
  opts.timeout = nil
  return scope.deadline({
    seconds = seconds, host = self.name, op = what,
    message = ("%s timed out after %g s"):format(what, seconds),
  }, fn, ...)
end

--- Seconds: `what` took so long, and when the connection was made for it, also how long each part of that took.
local function timing_of(session, before, ready, what, seconds)
  local timing = { connect = ready - before, [what] = seconds }
  if session.opened_at and session.opened_at >= before then
    for name, value in pairs(session.target.timing or {}) do timing[name] = value end
  end
  return timing
end

--- Hears of whole lines as they come, while somebody listens.
local function told(self, opts)
  if events.wants("line") or events.wants("output") then
    opts.sink = lazy.load("sshlua.lines").told(self, opts.sink)
  end
end

local function run_on_session(self, cmd, opts)
  told(self, opts)
  local check = opts.check
  opts.check = false
  local before = core.now()
  local s = self:session()
  local ready = core.now()
  local result = s:exec(cmd, opts)
  result.timing = timing_of(s, before, ready, "exec", result.duration)
  result.safe = opts.safe
  if check ~= false then result:check() end
  return result
end

--- What a command that may change something gives in a dry run.
local function skipped(self, cmd)
  return Result.own({ host = self.name, port = self.port, cmd = cmd, code = 0, skipped = true, dry_run = true })
end

--- Runs a command; raises when it fails unless check = false. See Session.exec. In a dry run only what is said to be
--- safe is run.
---@param cmd string|(string|number)[]
---@param opts? sshlua.CommandOptions
---@return sshlua.Result
function Host:run(cmd, opts)
  opts = merged(self, opts, 2)
  local text = command.check(cmd, opts, 2)
  if not opts.safe and settings.is_dry(self.defaults, opts) then return skipped(self, cmd) end
  opts.dry_run = nil
  return within_time(self, opts, command.label(text), run_on_session, self, cmd, opts)
end

--- Runs a command and returns its standard output without the last newline.
---@param cmd string|(string|number)[]
---@param opts? sshlua.CommandOptions
---@return string
function Host:read(cmd, opts)
  opts = merged(self, opts, 2)
  opts.check, opts.dry_run = true, nil
  local text = command.check(cmd, opts, 2)
  return within_time(self, opts, command.label(text), run_on_session, self, cmd, opts):text()
end

--- What nobody can pretend is refused in a dry run, unless its caller says that it changes nothing.
local function refuse_dry(self, verb, opts)
  if type(opts) == "table" and opts.safe == true or not settings.is_dry(self.defaults, {}) then return end
  errors.usage(3, "%s cannot pretend, and this is a dry run: option safe = true when it changes nothing", verb)
end

--- Starts a command; its stdin, stdout and stderr are streams.
---@param cmd string|(string|number)[]
---@param opts? sshlua.SpawnOptions
---@return sshlua.Process
function Host:spawn(cmd, opts)
  refuse_dry(self, "spawn", opts)
  local d = self.defaults
  local kept = { cwd = d.cwd, env = d.env, sudo = d.sudo, su = d.su, doas = d.doas }
  return self:session():spawn(cmd, options.merge(kept, opts))
end

--- A shell as the wrong user would be worse than none.
local function refuse_privilege(self, verb, what)
  for _, name in ipairs({ "sudo", "su", "doas" }) do
    if self.defaults[name] then
      errors.usage(3, "%s %s as the user who logs in: option '%s' does not work here", verb, what, name)
    end
  end
end

--- A dialogue with the host's shell, or with what it has instead: a device's prompt, a menu, a program.
---@param opts? sshlua.ShellOptions
---@return sshlua.Shell
function Host:shell(opts)
  refuse_dry(self, "shell", opts)
  refuse_privilege(self, "shell", "talks")
  local kept = { env = self.defaults.env, timeout = self.defaults.timeout, profile = self.target.opts.profile }
  opts = options.merge(kept, opts)
  -- Loaded when somebody talks. In brackets: a tail call would hide the caller's line.
  return (lazy.load("sshlua.shell").open(function() return self:session() end, opts, 2))
end

--- A device by its profile (option `profile` here or of the host): cmd, configure, confirm, rollback, save. Its old
--- algorithms are offered to this host only.
---@param opts sshlua.DeviceOptions
---@return sshlua.Device
function Host:device(opts)
  refuse_privilege(self, "device", "talks")
  local own = self.target.opts.profile
  local kept = { env = self.defaults.env, timeout = self.defaults.timeout, profile = own,
    dry_run = settings.is_dry(self.defaults, {}) }
  opts = options.merge(kept, opts)
  local target = self.target
  if opts.profile and opts.profile ~= own then target = connect.with_profile(target, opts.profile, 2) end
  return (lazy.load("sshlua.device").open(function() return session_to(self, target) end, opts, 2))
end

--- Follows a file, over rotation and lost connections: for event in h:tail(path) do print(event.line) end
---@param path string
---@param opts? sshlua.TailOptions
---@return sshlua.Tail
function Host:tail(path, opts)
  local tail = lazy.load("sshlua.tail") -- loaded when somebody follows
  return tail.loop(tail.new({ self }, path, opts, 2))
end

--- A connection that the host makes to "host:port", as a stream; see Session.dial.
---@param address string
---@param opts? { timeout?: number }
---@return sshlua.Tunnel
function Host:dial(address, opts)
  tunnel.parse(address, 2)
  return self:session():dial(address, opts)
end

local function copy_on_session(self, op, from, to, opts)
  local before = core.now()
  local s = self:session()
  local ready = core.now()
  local result = transfer.run(self, op, from, to, opts)
  result.timing = timing_of(s, before, ready, "transfer", core.now() - ready)
  return result
end

local function copy(self, op, from, to, opts, level)
  options.check(opts, transfer.options, level + 1)
  opts = transfer.check(op, from, to, options.merge(transfer.kept(self), opts), level + 1)
  local what = op .. " " .. (type(from) == "string" and from or "to " .. to)
  return within_time(self, opts, what, copy_on_session, self, op, from, to, opts)
end

--- Copies to the host, over SFTP: a file, a directory with what is in it, what a glob matches, a list of these, or
--- bytes ({ data = "..." }, a function that returns the next ones, something with read, io.stdin). Files arrive
--- complete under their name or not at all.
---@param from string|string[]|function|table|file*
---@param to string a name, or a directory with a slash at its end
---@param opts? sshlua.TransferOptions
---@return sshlua.Result
function Host:put(from, to, opts) return (copy(self, "put", from, to, opts, 2)) end

--- Copies from the host: a file, a directory with what is in it, what a glob matches, or a list of these. Never
--- writes outside `to`.
---@param from string|string[]
---@param to string a name, or a directory with a slash at its end
---@param opts? sshlua.TransferOptions
---@return sshlua.Result
function Host:get(from, to, opts) return (copy(self, "get", from, to, opts, 2)) end

--- Makes the host's directory like the local one: only what differs is copied; with delete = true, what is not here is
--- removed there. With pull = true the other way round.
---@param from string
---@param to string
---@param opts? sshlua.TransferOptions
---@return sshlua.Result
function Host:sync(from, to, opts) return (copy(self, "sync", from, to, opts, 2)) end

--- Writes what a template makes of `vars` and the host's variables: <%= port %>, <% if tls then %>...<% end %>. Nothing
--- happens when the host has it already.
---@param from string local
---@param to string
---@param vars? table<string, any>
---@param opts? sshlua.TransferOptions mode, parents, dry_run, verify, fsync, idle, timeout, check, sudo, su, doas
---@return sshlua.Result changed, diff, before, after
function Host:template(from, to, vars, opts) return transfer_text.template(from, to, vars, opts, 2)(self) end

--- Writes text to a file of this machine, whole or not at all, and makes the directories above it.
---@param path string
---@param text string|number|sshlua.Result of a Result its stdout
---@param opts? { mode?: string|number, dry_run?: boolean }
---@return sshlua.Result changed, diff, before, after
function Host:save(path, text, opts) return transfer_text.save(path, text, opts, 2)(self) end

--- What a file of the host holds, up to `max` bytes (256 MiB).
---@param path string
---@param opts? { max?: integer, timeout?: number, sudo?: any, su?: any, doas?: any }
---@return string
function Host:read_file(path, opts) return transfer_text.read(path, opts, 2)(self) end

--- Closes its connection; the next verb opens another. Hosts that share it lose it too.
function Host:close() connect.close_shared(self.target) end

--- What a host has to be like, and what is known of it: sshlua.state, loaded when one of them is used.
for _, verb in ipairs({
  "file", "dir", "link", "line", "service", "package", "account", "facts", "reboot", "wait_up", "hostkeys",
}) do
  Host[verb] = function(self, ...) return (lazy.load("sshlua.state").call(self, verb, 2, ...)) end
end

--- Verbs of later versions say so instead of being nil.
for _, verb in ipairs({
  "forward", "socks", "reverse",
}) do
  Host[verb] = function()
    errors.usage(2, "host:%s is not part of this version", verb)
  end
end

M.close_all = pool.close_all
M.class = Host -- whose verbs sshlua.steps puts itself around

--- One connection by hand, not shared and not closed for you (the end of the run does).
---@param text string
---@param opts? sshlua.ConnectOptions
---@return sshlua.Session
function M.connect(text, opts, level)
  local target = connect.target(text, opts, (level or 1) + 1)
  local s = connect.guard and connect.guard(target, "connect") or connect.open(target)
  task.at_run_end(function() s:close() end)
  return s
end

return M
