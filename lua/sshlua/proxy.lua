--- A ProxyCommand: a child process whose standard input and output carry a connection. Its standard error is shown, its
--- end is told, and it does not outlive the connection.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local expand = require("sshlua.ssh_config.expand")
local log = require("sshlua.log")
local scope = require("sshlua.task.scope")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")
local user_shell = require("sshlua.user_shell")

local M = {}

local clean = core.clean
local GRACE_SECONDS = 1
local LAST_WORDS_SECONDS = 0.5
local LINE_MAX = 1024

--- Tokens -----------------------------------------------------------------------------------------------------------

local function check_token(name, value)
  if not value:find("^%-") and not value:find("[%s%c'\"`$\\;&<>|(){}*?!#]") then return value end
  errors.raise({
    kind = "config", phase = "connect",
    message = ("%%%s of the proxy command would be '%s': not safe in a shell command"):format(name, value),
  })
end

--- %h host name, %n name as given, %p port, %r user, %% a percent sign.
---@param command string
---@param values table<string, string>
---@return string
function M.expand(command, values)
  local checked = setmetatable({}, { __index = function(_, name)
    local value = values[name]
    return value and check_token(name, value)
  end })
  local text, message = expand.tokens(command, checked)
  if text then return text end
  errors.raise({
    kind = "config", phase = "connect", message = message .. " in the proxy command",
    hint = "%h, %n, %p, %r and %% are known here; a percent sign is %%",
  })
end

--- Its standard error ------------------------------------------------------------------------------------------------

---@class sshlua.Proxy
---@field carrier table what core.session takes
local Proxy = {}
local proxy_mt = { __index = Proxy, __name = "sshlua.Proxy" }

local function show(self, line)
  line = clean(line)
  if line:find("%S") then self.last_line = line end
  io.stderr:write(line, "\n")
  if log.wants(2) then log.emit(2, self.host, "proxy", { said = line }) end
end

local function take(self, bytes)
  local text = self.partial .. bytes
  for line in text:gmatch("([^\n]*)\n") do show(self, (line:gsub("\r$", ""):sub(1, LINE_MAX))) end
  self.partial = text:match("[^\n]*$"):sub(1, LINE_MAX)
end

local function read_stderr(self)
  self.reading = self.stderr:read(4096, function(err, bytes)
    self.reading = nil
    if err or not bytes then
      if self.partial ~= "" then show(self, self.partial) end
      self.stderr:close()
      return self.silent:set()
    end
    take(self, bytes)
    read_stderr(self)
  end)
end

--- Life -------------------------------------------------------------------------------------------------------------

--- Something whose end, that of the Lua state at the latest, calls fn.
local function sentinel(fn)
  local newproxy = rawget(_G, "newproxy") -- LuaJIT: tables have no __gc there
  if not newproxy then return setmetatable({}, { __gc = fn }) end
  local it = newproxy(true)
  getmetatable(it).__gc = fn
  return it
end

--- Starts a command by the user's shell, as ssh does.
---@param target table
---@param command string
---@return sshlua.Proxy
function M.start(target, command)
  local child, err = core.spawn({
    args = user_shell.argv("exec " .. command), stdin = "pipe", stdout = "pipe", stderr = "pipe",
  })
  if not child then errors.raise(errors.from(err, { host = target.name, phase = "connect" })) end
  local self = setmetatable({
    host = target.name, child = child, stderr = child:stderr(), partial = "", label = command:match("^%s*(%S*)"),
    ended = sync.event(), silent = sync.event(), carrier = { child:stdout(), child:stdin() },
  }, proxy_mt)
  child:wait(function(_, code, signal)
    self.code, self.signal = code, signal
    self.ended:set()
  end)
  read_stderr(self)
  self.at_exit = sentinel(function()
    if not self.ended:is_set() then pcall(child.kill, child, "TERM") end
  end)
  return self
end

local function until_told(self)
  self.ended:wait()
  self.silent:wait()
end

--- The error of a connection that this command carried, in terms of the command.
function Proxy:explain(err)
  if not errors.is(err) or rawget(err, "proxy") or not (err.kind == "connection_lost" or err.kind == "timeout") then
    return err
  end
  err.proxy = self.label
  if err.kind == "connection_lost" and task.current() then
    pcall(scope.shield, scope.timeout, LAST_WORDS_SECONDS, until_told, self)
  end
  local words = self.last_line and ": " .. errors.excerpt(self.last_line, 200)
  words = words or err.message:match(", which said: .*") or ""
  if self.ended:is_set() then
    err.proxy_failed = self.signal ~= nil or self.code ~= 0
    local how = ("ended with exit status %d"):format(self.code or 0)
    if self.signal then how = "was ended by signal " .. self.signal:gsub("^SIG", "") end
    err.message = ("the proxy command (%s) %s%s"):format(clean(self.label), how, words)
    if not self.signal and self.code == 127 then err.hint = "is the program of ProxyCommand installed?" end
  else
    err.message = ("%s; by way of the proxy command (%s)%s"):format(err.message, clean(self.label), words)
  end
  return err
end

--- Ends it: TERM, a second to end in, KILL. Idempotent. Outside of tasks the rest happens in the background.
function Proxy:close()
  if self.closed then return end
  self.closed = true
  for _, pipe in ipairs(self.carrier) do pipe:close() end
  if task.current() then
    if not self.ended:is_set() then user_shell.finish(self.child, function() self.ended:wait() end) end
  else
    self.child:kill("TERM")
    local timer
    timer = core.timer(GRACE_SECONDS, function() self.child:kill("KILL") end)
    self.child:wait(function() timer:cancel() end)
  end
  if self.reading then self.reading:cancel() end
  self.stderr:close()
end

return M
