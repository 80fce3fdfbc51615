-- Many connections at once against sshd's own limits: MaxStartups, MaxSessions, a shared bastion.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local settings = require "sshlua.settings"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body, fails, defer = run.body, run.fails, run.defer

local function daemon(...)
  local d = testbed.daemon { hosts = { "target" }, sshd_config = { ... } }
  defer(d.stop, d)
  return d
end

local function count(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

describe("many connections to one sshd", function()
  it("stay below its MaxStartups", body(function()
    local d = daemon("MaxStartups 10:100:10", "LogLevel DEBUG1")
    task.each(count(40), function()
      local s = ssh.connect("target", servers.options(d, "target"))
      assert.equal("ok\n", s:exec("echo ok").stdout)
      s:close()
    end)
    local _, dropped = d:log():gsub("drop connection", "")
    assert.is_true(dropped <= 5, dropped) -- all at once, it would be thirty
  end, 90))

  it("that are dropped are tried again until they get through", body(function()
    local d = daemon("MaxStartups 2:100:2", "LogLevel DEBUG1")
    task.each(count(12), function()
      local s = ssh.connect("target", servers.options(d, "target", { timeout = 80 }))
      s:close()
    end)
    assert.truthy(d:log():find "drop connection")
  end, 90))

  it("that are dropped for good end in an error that names MaxStartups", body(function()
    local d = daemon("MaxStartups 1:100:1", "LoginGraceTime 60")
    local place = task.await(core.tcp_connect, d:host().address, d:host().port, nil) -- takes the one place, says nothing
    defer(place.close, place)
    task.sleep(0.3)
    local e = fails("connection_lost", ssh.connect, "target", servers.options(d, "target", { tries = 3 }))
    assert.truthy(e.message:find "dropped 3 connections before its greeting", e.message)
    -- sshd says "Exceeded MaxStartups", and the kernel may take that back
    assert.truthy(e.message:find "which said: Exceeded MaxStartups" or e.message:find "reset by peer", e.message)
    assert.truthy(e.hint:find "MaxStartups", e.hint)
    assert.equal("greeting", e.phase)
  end, 60))

  it("that are refused for their key are made once", body(function()
    local d = daemon()
    local other = testbed.make_key(d.dir .. "/other")
    local log = #d:log()
    fails("auth", ssh.connect, "target", servers.options(d, "target", { identity = other }))
    local _, n = d:log():sub(log + 1):gsub("Connection from", "")
    assert.is_true(n <= 1, n)
  end))
end)

-- Names for the servers of a fleet, in turn, for the present spec, and for the bastion.
local function configure(bastion, fleet, names, of)
  settings.hosts.bastion = servers.options(bastion, "bastion")
  for i, name in ipairs(names) do
    settings.hosts[name] = servers.options(fleet, of[i % #of + 1], {
      timeout = 250, timeouts = { connect = 60, greeting = 60, handshake = 60, auth = 60 },
    })
  end
  defer(function()
    settings.hosts.bastion = nil
    for _, name in ipairs(names) do settings.hosts[name] = nil end
  end)
  defer(require("sshlua.pool").close_all)
end

-- How many hosts behind a bastion are being connected to at the most.
local function most_opens()
  local now, most = {}, 0
  defer(ssh.log(function(event)
    if event.what == "connected" and event.via then
      now[event.host] = true
      local n = 0
      for _ in pairs(now) do n = n + 1 end
      most = math.max(most, n)
    elseif event.what == "auth" or event.what == "failed" then
      now[event.host] = nil
    end
  end))
  return function() return most end
end

local function resident()
  local file = assert(io.open "/proc/self/statm")
  local pages = file:read("*l"):match "%d+ (%d+)"
  file:close()
  return pages * 4096 / 1048576
end

describe("hosts behind one bastion with MaxStartups 10 and MaxSessions 10", function()
  local function all_end_well(n)
    local bastion = testbed.daemon { hosts = { "bastion" }, sshd_config = { "MaxStartups 10", "MaxSessions 10" } }
    defer(bastion.stop, bastion)
    local names, of = {}, {}
    for i = 1, n do names[i] = ("h%03d"):format(i) end
    for i = 1, math.min(n, 100) do of[i] = names[i] end
    local fleet = servers.fleet { hosts = of, sshd_config = { "MaxSessions 10" } }
    configure(bastion, fleet, names, of)
    settings.hosts.h050.port = 1 -- nobody there
    settings.hosts.h051.identity = false -- no key
    local hosts, most = ssh.hosts(("h[001-%d]"):format(n), { via = "bastion" }), most_opens()
    local before, cpu, memory = core.now(), os.clock(), resident()
    local rs = hosts:run("echo ok", { parallel = n, check = false })
    if os.getenv "SSHLUA_LONG" then
      io.stderr:write(("# %d hosts: %.1f s, %.1f s of our processor, %.0f MiB more, %d opens at once\n"):format(n,
        core.now() - before, os.clock() - cpu, resident() - memory, most()))
    end
    assert.equal(n, #rs)
    for i, r in ipairs(rs) do
      if i == 50 then
        assert.equal("connect", r.err.kind)
      elseif i == 51 then
        assert.equal("auth", r.err.kind)
      else
        assert.equal("ok\n", r.stdout, tostring(r.err))
      end
    end
    assert.is_true(most() > 1 and most() <= 32, most())
    -- the bastion itself is a host as any other, and its sessions are not used up
    assert.equal("here", ssh.host("bastion"):read "echo here")
    local _, logins = bastion:log():gsub("Accepted publickey", "")
    assert.equal(1, logins)
  end

  it("all end well, or in an error of their own: a hundred", body(function() all_end_well(100) end, 200))

  it("all end well, or in an error of their own: five hundred #long", body(function() all_end_well(500) end, 400))

  it("are connected to at most so many at once", body(function()
    local fleet = servers.fleet { hosts = { "bastion", "web1" } }
    local bastion = ssh.host("bastion", servers.options(fleet, "bastion", { max_opens = 3 }))
    defer(bastion.close, bastion)
    fleet:pause "web1"
    local most = 0
    local stop = ssh.log(function(event)
      if event.what == "connected" and event.host ~= "bastion" then most = most + 1 end
    end)
    defer(stop)
    pcall(task.timeout, 1, task.each, count(20), function(i)
      ssh.connect("w" .. i, servers.options(fleet, "web1", { via = bastion, tries = 1 }))
    end)
    assert.equal(3, most)
    fleet:pause("web1", false)
    local s = ssh.connect("web1", servers.options(fleet, "web1", { via = bastion }))
    s:close()
  end))
end)
