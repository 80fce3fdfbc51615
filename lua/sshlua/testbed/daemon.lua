--- A private `sshd -D` on a loopback port, for what lives in sshd's own listener: MaxStartups, penalties. The object
--- is a
--- fleet of one host; ended by its process number.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local fleet = require("sshlua.testbed.fleet")
local processes = require("sshlua.testbed.processes")
local scope = require("sshlua.task.scope")

local M = {}

local function free_port()
  local listener, err = core.tcp_listen("127.0.0.1", 0)
  if not listener then errors.raise(errors.from(err)) end
  local port = listener:port()
  listener:close()
  return port
end

--- A connection would count against MaxStartups, so the log tells that it listens.
local function wait_for_listening(self)
  for _ = 1, 500 do
    if self:log():find("Server listening on", 1, true) then return true end
    if next(self.hosts[1].procs) == nil then return false end
    scope.sleep(0.01)
  end
  return false
end

local function launch(self, host, port)
  local proc, err = core.spawn({
    args = {
      self.sshd, "-D", "-f", host.config, "-E", host.log, "-p", ("%d"):format(port), "-o", "ListenAddress=127.0.0.1",
    },
    env = processes.environment(self.site.mark), stdin = "null", stdout = "null", stderr = "null", cwd = "/",
    detached = true,
  })
  if not proc then errors.raise(errors.from(err)) end
  fleet.keep(self, host, proc)
  host.address, host.port, host.pid = "127.0.0.1", port, proc:pid()
  return wait_for_listening(self)
end

local function start(self)
  local host = self.hosts[1]
  for _ = 1, 5 do -- the port may be taken between our look and sshd's
    if launch(self, host, free_port()) then return fleet.write_known_hosts(self) end
  end
  local words = self:log():gsub("[\r\n]+$", ""):gsub("[\r\n]+", "; ")
  errors.raise({ kind = "io", message = "sshd did not start: " .. errors.excerpt(words, 400) })
end

--- Starts it; inside a task. Options as of the fleet.
---@return sshlua.TestbedFleet
function M.start(opts)
  local names
  opts, names = fleet.check(opts, 2)
  if #names ~= 1 then errors.usage(2, "option 'hosts': a daemon is one host") end
  local self, finish = fleet.prepare(opts, names)
  return fleet.complete(self, finish, function() start(self) end)
end

return M
