--- A throwaway fleet: OpenSSH servers on loopback addresses, each with its own host key and home. Every accepted
--- connection gets an `sshd -i` of its own, so that there is no daemon, no port to race for and nothing to leak.

local acceptor = require("sshlua.testbed.acceptor")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local options = require("sshlua.options")
local processes = require("sshlua.testbed.processes")
local scope = require("sshlua.task.scope")
local settings = require("sshlua.settings")
local site = require("sshlua.testbed.site")

local M = {}

---@class sshlua.TestbedHost
---@field name string
---@field address string
---@field port integer
---@field user string
---@field home string
---@field dir string where its files are
---@field log string path of sshd's log
---@field host_key_line string "ssh-ed25519 AAAA..."; of several keys the first
---@field host_key_lines string[]
---@field host_keys string[] paths of the private keys

---@class sshlua.TestbedFleet
---@field hosts sshlua.TestbedHost[]
---@field dir string the private directory of the fleet
---@field identity string path of the private key that every host accepts
---@field identity_line string its public half, "ssh-ed25519 AAAA..."
---@field known_hosts string path
local Fleet = {}
local fleet_mt = { __index = Fleet, __name = "sshlua.TestbedFleet" }
M.Fleet = Fleet

M.options = {
  hosts = "number|table", sshd_config = "table", per_host = "table", homes = "boolean", user = "table",
  pam = "boolean", sshd = "string", host_keys = "table",
}

local function host_names(hosts)
  if type(hosts) == "table" then return hosts end
  local names = {}
  for i = 1, hosts do names[i] = "web" .. i end
  return names
end

local function check(opts, level)
  opts = options.check(opts, M.options, level + 1)
  local names = host_names(opts.hosts or 1)
  local seen = {}
  for _, name in ipairs(names) do
    if type(name) ~= "string" or not name:find("^%w[%w._-]*$") or seen[name] then
      errors.usage(level + 1, "option 'hosts': a number or a list of different simple names expected")
    end
    seen[name] = true
  end
  if #names < 1 or #names > 5000 then errors.usage(level + 1, "option 'hosts': 1 to 5000 hosts expected") end
  for name in pairs(opts.per_host or {}) do
    if not seen[name] then errors.usage(level + 1, "option 'per_host': no host named '%s'", tostring(name)) end
  end
  return opts, names
end

--- What is on disk --------------------------------------------------------------------------------------------------

--- root's "!" in the shadow file locks the account for an sshd without PAM.
local function needs_pam(user)
  if core.user().uid ~= 0 then return false end
  local shadow = io.open("/etc/shadow", "r")
  if not shadow then return false end
  local locked = false
  for line in shadow:lines() do
    if line:sub(1, #user + 2) == user .. ":!" then locked = true end
  end
  shadow:close()
  return locked
end

local function own(account, path)
  if account then processes.must_run({ "chown", "-R", ("%d:%d"):format(account.uid, account.gid), path }) end
end

--- Directory, home, host keys and configuration of one host.
---@return sshlua.TestbedHost
function M.make_host(self, name)
  local opts, where = self.opts, self.site
  local dir = where:mkdir(name, opts.user and 457 or 448) -- 0711: another user has to get to his home
  local host = {
    name = name, dir = dir, home = where:mkdir(name .. "/home"), log = dir .. "/log", config = dir .. "/sshd_config",
    user = self.user, host_keys = {}, host_key_lines = {}, procs = {},
  }
  own(opts.user, host.home)
  for i, kind in ipairs(opts.host_keys or { "ed25519" }) do
    host.host_keys[i], host.host_key_lines[i] = site.make_key(("%s/host_%s"):format(dir, kind), kind)
  end
  host.host_key_line = host.host_key_lines[1]
  where:write(name .. "/sshd_config", where:sshd_config({
    dir = dir, home = host.home, user = self.user, host_keys = host.host_keys, pam = self.pam, ask_pam = opts.pam,
    authorized_keys = self.authorized_keys, wrapper = self.wrapper,
  }, opts.sshd_config, opts.per_host and opts.per_host[name]), 384)
  return host
end

local function write_known_hosts(self)
  local lines = {}
  for _, host in ipairs(self.hosts) do
    for _, key in ipairs(host.host_key_lines) do
      lines[#lines + 1] = ("[%s]:%d %s\n"):format(host.address, host.port, key)
    end
  end
  self.site:write("known_hosts", table.concat(lines), 384)
end

--- Serving ----------------------------------------------------------------------------------------------------------

--- A server process belongs to a host until it has ended.
function M.keep(self, host, proc)
  local pid = proc:pid()
  host.procs[pid] = proc
  self.site:note("+", pid)
  proc:wait(function()
    host.procs[pid] = nil
    self.site:note("-", pid)
  end)
end

local function serve(self, host, socket)
  local proc = core.spawn({
    args = { self.sshd, "-i", "-f", host.config, "-E", host.log }, env = processes.environment(self.site.mark),
    stdin = socket, stdout = socket, stderr = "null", cwd = "/", detached = true,
  })
  if not proc then return socket:reset() end
  socket:close()
  M.keep(self, host, proc)
end

local function listen(self)
  local port = 0
  for i, host in ipairs(self.hosts) do
    local number = i + 1
    local address = ("127.0.%d.%d"):format(math.floor(number / 256), number % 256)
    host.acceptor = acceptor.new(address, port, function(socket) serve(self, host, socket) end)
    host.address, host.port = host.acceptor.address, host.acceptor.port
    port = host.port
  end
end

--- A fleet with everything on disk that does not depend on ports; used by the daemon, too.
function M.prepare(opts, names)
  local sshd = opts.sshd or (opts.pam and opts.user and opts.user.sshd) or site.find_sshd()
  if not sshd then
    errors.raise({
      kind = "config", message = "OpenSSH's server (sshd) is not installed",
      hint = "install the package openssh-server; it need not run",
    })
  end
  local self = setmetatable({ opts = opts, sshd = sshd, hosts = {}, by_name = {} }, fleet_mt)
  self.user = opts.user and opts.user.name or core.user().name
  if not self.user then errors.raise({ kind = "config", message = "this user has no name" }) end
  self.pam = opts.pam or needs_pam(self.user)
  self.site = site.new(opts.user and 457 or nil)
  self.dir = self.site.dir
  return self, function()
    self.site:need_privsep()
    self.identity, self.identity_line = site.make_key(self.dir .. "/id_ed25519")
    self.authorized_keys = self.site:write("authorized_keys", self.identity_line .. "\n", 420)
    if opts.homes then self.wrapper = self.site:home_wrapper() end
    self.hosts = group.map(names, function(name) return M.make_host(self, name) end, { parallel = 4 })
    for _, host in ipairs(self.hosts) do self.by_name[host.name] = host end
    self.known_hosts = self.dir .. "/known_hosts"
  end
end

--- Runs the rest of a start; what fails half-way leaves nothing behind.
function M.complete(self, ...)
  for i = 1, select("#", ...) do
    local ok, err = pcall((select(i, ...)))
    if not ok then
      scope.shield(self.stop, self)
      error(err, 0)
    end
  end
  return self
end

--- Starts a fleet; inside a task. It serves until stop(), in this run and in later ones of the same loop.
---@class sshlua.TestbedOptions
---@field hosts? integer|string[] how many, or their names
---@field sshd_config? string[] lines for all hosts
---@field per_host? table<string, string[]> lines for one
---@field homes? boolean each host with a home of its own
---@field user? sshlua.TestbedAccount
---@field pam? boolean
---@field sshd? string
---@field host_keys? string[] key types
---@param opts? sshlua.TestbedOptions
---@return sshlua.TestbedFleet
function M.start(opts)
  local names
  opts, names = check(opts, 2)
  local self, finish = M.prepare(opts, names)
  return M.complete(self, finish, function()
    listen(self)
    write_known_hosts(self)
  end)
end
M.check, M.write_known_hosts = check, write_known_hosts

--- Using it ---------------------------------------------------------------------------------------------------------

--- The host with that name; without one, the first.
---@param name? string
---@return sshlua.TestbedHost
function Fleet:host(name)
  local host = name == nil and self.hosts[1] or self.by_name[name]
  if not host then errors.usage(2, "no host named '%s' in the fleet", tostring(name)) end
  return host
end

--- Connect options that reach a host, with the fleet's key and known hosts and nothing of the user's.
---@return table
function Fleet:options(name)
  local host = self:host(name)
  return {
    hostname = host.address, port = host.port, user = host.user, identity = self.identity,
    known_hosts = self.known_hosts, agent = false, ssh_config = false,
  }
end

--- From now on scripts find the hosts by their names. The user's own key, agent, configuration and known_hosts are out
--- of the game, for hosts that are not of the fleet, too.
---@return fun() leave
function Fleet:enter()
  local saved = { defaults = settings.defaults, hosts = settings.hosts, only_mine = settings.only_mine }
  settings.only_mine = true
  settings.defaults = { identity = self.identity, known_hosts = self.known_hosts, agent = false, ssh_config = false }
  settings.hosts = {}
  for _, host in ipairs(self.hosts) do settings.hosts[host.name] = self:options(host.name) end
  return function()
    settings.defaults, settings.hosts, settings.only_mine = saved.defaults, saved.hosts, saved.only_mine
  end
end

--- Arguments with which OpenSSH's ssh reaches a host, and with nothing of the user's configuration.
---@return string[]
function Fleet:ssh_arguments(name)
  local host = self:host(name)
  return {
    "ssh", "-F", "none", "-i", self.identity, "-p", ("%d"):format(host.port), "-o", "IdentitiesOnly=yes",
    "-o", "IdentityAgent=none", "-o", "UserKnownHostsFile=" .. self.known_hosts, "-o", "GlobalKnownHostsFile=none",
    "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
    host.user .. "@" .. host.address,
  }
end

--- The text that sshd has logged for a host so far.
---@return string
function Fleet:log(name)
  local f = io.open(self:host(name).log, "rb")
  if not f then return "" end
  local text = f:read(4194304)
  f:close()
  return text or ""
end

--- Numbers of the living sshd processes of a host: what was started for each connection, and what that has forked for
--- its
--- own purposes. Not the commands that run in sessions.
---@return integer[]
function Fleet:pids(name)
  local all, found = processes.list(), {}
  for pid in pairs(processes.tree(all, self:host(name).procs)) do
    if all[pid].name:find("^sshd") then found[#found + 1] = pid end
  end
  table.sort(found)
  return found
end

--- Sends a signal ("KILL", "STOP", ...) to all of pids(name); returns how many there were.
---@return integer
function Fleet:kill(name, signal)
  local pids = self:pids(name)
  for _, pid in ipairs(pids) do core.kill(pid, signal) end
  return #pids
end

--- How many connections a host has seen.
function Fleet:connections(name) return self:host(name).acceptor.accepted end

--- New connections to a host are reset at once, or no longer.
---@param on? boolean default true
function Fleet:refuse(name, on) self:host(name).acceptor:refuse(on) end

--- New connections to a host are not accepted: they stand, and nobody answers.
---@param on? boolean default true
function Fleet:pause(name, on) self:host(name).acceptor:pause(on) end

local function roots(self)
  local found = {}
  for _, host in ipairs(self.hosts) do
    for pid, proc in pairs(host.procs) do found[pid] = proc end
  end
  return found
end

--- Until the loop has heard of every end, 1 second at most.
local function reap(self)
  for _ = 1, 100 do
    if next(roots(self)) == nil then return true end
    scope.sleep(0.01)
  end
  return false
end

local function stop(self)
  for _, host in ipairs(self.hosts) do
    if host.acceptor then host.acceptor:close() end
  end
  local gone = self.site:end_processes(function() return roots(self) end) and reap(self)
  self.site:release_privsep()
  self.site:remove()
  return gone
end

--- Ends everything the fleet has started, commands in sessions included, and removes its directory; takes 5 seconds at
--- most, even when the task is cancelled. Again is nothing.
---@return boolean false when a process would not die
function Fleet:stop()
  if self.stopped then return true end
  self.stopped = true
  return scope.shield(stop, self)
end

return M
