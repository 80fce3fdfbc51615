-- Throwaway servers and connections for integration specs.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local ssh = require "sshlua"
local testbed = require "sshlua.testbed"

local M = {}

-- A port on loopback where nobody listens.
function M.free_port()
  local listener = assert(core.tcp_listen("127.0.0.1", 0))
  local port = listener:port()
  listener:close()
  return port
end

-- A fleet for a whole describe: get, setup, teardown.
function M.shared(opts)
  return run.shared(function() return testbed.start(opts) end, function(fleet) fleet:stop() end)
end

-- A fleet for the present spec.
function M.fleet(opts)
  local fleet = testbed.start(opts)
  run.defer(fleet.stop, fleet)
  return fleet
end

function M.options(fleet, name, more)
  local opts = fleet:options(name)
  opts.batch = true
  for k, v in pairs(more or {}) do opts[k] = v end
  return opts
end

-- A session to a host of the fleet, closed at the end of the spec.
function M.connect(fleet, name, more)
  local session = ssh.connect(name or fleet:host().name, M.options(fleet, name, more))
  run.defer(session.close, session)
  return session
end

-- A host of the fleet, its connection closed at the end of the spec.
function M.host(fleet, name, more)
  local host = ssh.host(name or fleet:host().name, M.options(fleet, name, more))
  run.defer(host.close, host)
  return host
end

-- A server of Lua code for the present spec; options to reach it.
function M.raw(fn, more)
  local server = testbed.raw_server(fn)
  run.defer(server.stop, server)
  local opts = { hostname = server.address, port = server.port, user = "nobody", known_hosts = "none", agent = false,
    identity = false, batch = true, tries = 1 }
  for k, v in pairs(more or {}) do opts[k] = v end
  return server, opts
end

-- A relay in front of a host; options that go through it.
function M.relay(fleet, name, faults, more)
  local host = fleet:host(name)
  faults.to = { host.address, host.port }
  local relay = testbed.relay(faults)
  run.defer(relay.stop, relay)
  local opts = M.options(fleet, name, { hostname = relay.address, port = relay.port, known_hosts = "none",
    insecure_accept_any_host_key = true, tries = 1 })
  for k, v in pairs(more or {}) do opts[k] = v end
  return relay, opts
end

M.read_file = files.read

function M.write_file(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  return path
end

return M
