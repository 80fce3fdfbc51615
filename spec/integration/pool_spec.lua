-- Hosts and fleets on their shared connections: one per identity, opened once, lost and opened again; frozen servers.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body, fails, defer = run.body, run.fails, run.defer

describe("a host's connection", function()
  it("is opened on first use, once, and shared by equal hosts and their views", body(function()
    local own = servers.fleet {}
    local a, b = servers.host(own), servers.host(own)
    assert.equal(0, own:connections())
    local list = {}
    for i = 1, 20 do list[i] = i end
    task.each(list, function(i)
      local h = i % 2 == 0 and a or b:with { cwd = "/usr" }
      assert.equal(i % 2 == 0 and "ok" or "/usr", h:read(i % 2 == 0 and "echo ok" or "pwd"))
    end)
    assert.equal(1, own:connections())
    assert.equal(a:session(), b:session())
    local other = servers.host(own, nil, { compression = true })
    other:run "true"
    assert.equal(2, own:connections())
  end))

  it("that cannot be opened fails for all who wait, after one attempt", body(function()
    local own = servers.fleet {}
    own:refuse "web1"
    local h = servers.host(own, nil, { tries = 1 })
    local kinds = {}
    task.each({ 1, 2, 3, 4, 5 }, function()
      local ok, e = pcall(h.run, h, "true")
      assert.is_false(ok)
      kinds[e.kind] = (kinds[e.kind] or 0) + 1
    end)
    assert.equal(1, own:connections())
    own:refuse("web1", false)
    assert.equal("up", h:read "echo up")
  end))

  it("goes on opening for the others when the one who opened is cancelled", body(function()
    local own = servers.fleet {}
    own:pause "web1"
    local h = servers.host(own)
    task.all(function()
      fails("timeout", h.run, h, "true", { timeout = 0.2 })
      own:pause("web1", false)
    end, function()
      task.sleep(0.05)
      assert.equal("up", h:read("echo up", { timeout = 5 }))
    end)
  end))

  it("that is lost fails what runs, and the next verb opens another; nothing runs again by itself", body(function()
    local own = servers.fleet {}
    local h = servers.host(own)
    local count = own.dir .. "/count"
    local e
    task.all(function()
      e = fails("connection_lost", h.run, h, ("echo run >> %s; echo begun; sleep 100"):format(count))
    end, function()
      run.eventually(function() return servers.read_file(count) end)
      task.sleep(0.2)
      own:kill("web1", "KILL")
    end)
    assert.equal("begun\n", e.result.stdout)
    assert.equal("web1", e.host)
    assert.equal("again", h:read "echo again")
    assert.equal(2, own:connections())
    assert.equal("run\n", servers.read_file(count))
  end))

  it("is closed by close for all who share it, and opened again by the next verb", body(function()
    local own = servers.fleet {}
    local a, b = servers.host(own), servers.host(own)
    a:run "true"
    local s = a:session()
    b:close()
    assert.is_false(s:is_alive())
    fails("closed", s.exec, s, "true")
    assert.equal("again", a:read "echo again")
    b:close()
    b:close()
  end))

  it("closes in bounded time", body(function()
    local own = servers.fleet {}
    local h = servers.host(own)
    h:run "true"
    own:kill("web1", "STOP")
    assert.is_true(run.took(h.close, h) < 3)
    local s = servers.connect(servers.fleet {})
    assert.is_true(run.took(s.close, s) < 3)
    s:close()
  end))
end)

describe("a frozen server", function()
  it("is noticed by keepalive within interval times count, by what runs and by what waits", body(function()
    local own = servers.fleet {}
    local s = servers.connect(own, nil, { server_alive_interval = 0.3, server_alive_count_max = 2, max_sessions = 1 })
    local before
    local kinds = {}
    task.all(function()
      local e = fails("connection_lost", s.exec, s, "echo some; sleep 100")
      kinds[#kinds + 1] = e.kind
      assert.equal("some\n", e.result.stdout)
    end, function()
      task.sleep(0.1)
      local e = fails("connection_lost", s.exec, s, "true")
      kinds[#kinds + 1] = e.kind
    end, function()
      task.sleep(0.6)
      own:kill("web1", "STOP")
      before = core.now()
    end)
    local took = core.now() - before
    assert.equal(2, #kinds)
    assert.is_true(took < 0.6 + 3, took)
    assert.is_false(s:is_alive())
  end))

  it("that goes on in time is forgiven", body(function()
    local own = servers.fleet {}
    local s = servers.connect(own, nil, { server_alive_interval = 0.4, server_alive_count_max = 4 })
    task.all(function() assert.equal("late", tostring(s:exec "sleep 0.3; echo late")) end, function()
      task.sleep(0.1)
      own:kill("web1", "STOP")
      task.sleep(0.7)
      own:kill("web1", "CONT")
    end)
    task.sleep(1)
    assert.equal("on", tostring(s:exec "echo on"))
  end))

  it("does not delay time limits or the closing of the session", body(function()
    local own = servers.fleet {}
    local s = servers.connect(own)
    s:exec "true"
    own:kill("web1", "STOP")
    assert.is_true(run.took(fails, "timeout", s.exec, s, "true", { timeout = 0.3 }) < 2)
    assert.is_true(run.took(s.close, s) < 3)
  end))
end)

describe("a fleet", function()
  local names = { "web1", "web2", "web3", "web4", "web5", "web6" }
  local fleet, start_fleet, stop_fleet = servers.shared { hosts = names }
  setup(start_fleet)
  teardown(stop_fleet)

  -- The fleet's hosts, each with its own address, through the settings as a configuration would give them.
  local function all(list)
    local settings = require "sshlua.settings"
    for _, name in ipairs(names) do
      settings.hosts[name] = servers.options(fleet(), name, { tries = 1 })
      defer(function() settings.hosts[name] = nil end)
    end
    local hosts = ssh.hosts(list or "web[1-6]")
    defer(hosts.close, hosts)
    return hosts
  end

  it("runs a command everywhere, at most so many at once, results in order and by name", body(function()
    local hosts = all()
    local rs = hosts:run("hostname >/dev/null; echo ok", { parallel = 2 })
    assert.equal(6, #rs)
    for i, name in ipairs(names) do
      assert.equal(name, rs[i].host)
      assert.equal("ok\n", rs[name].stdout)
    end
    assert.equal("6 ok", tostring(rs):match "6 ok")
    local now, most = 0, 0
    hosts:each(function()
      now = now + 1
      most = math.max(most, now)
      task.sleep(0.05)
      now = now - 1
    end, { parallel = 3 })
    assert.equal(3, most)
  end))

  it("loses no host's result when one fails, and raises one error of kind fleet at the end", body(function()
    local hosts = all()
    fleet():refuse "web2"
    defer(function() fleet():refuse("web2", false) end)
    local e = fails("fleet", hosts.run, hosts, "echo here; [ -e " .. fleet():host("web4").dir .. " ]; exit 0")
    assert.equal(6, #e.result)
    local ok = 0
    for _, r in ipairs(e.result) do if r.ok then ok = ok + 1 end end
    assert.equal(5, ok)
    assert.equal("here\n", e.result.web3.stdout)
    assert.truthy(e.message:find "web2", e.message)
    assert.truthy(e.message:find "5 ok", e.message)
    local rs = hosts:run("echo here", { check = false })
    assert.is_false(rs.web2.ok)
    assert.truthy(rs.web2.err.kind == "connection_lost" or rs.web2.err.kind == "connect", tostring(rs.web2.err))
    assert.equal("web2", rs.web2.err.host)
    assert.truthy(tostring(rs):find "web2", tostring(rs))
  end))

  it("keeps what came before a time-out, and tells exits from failures", body(function()
    local hosts = all "web[1-2]"
    local rs = hosts:run("echo some; sleep 20", { timeout = 0.6, check = false })
    assert.equal("timeout", rs.web1.err.kind)
    assert.equal("some\n", rs.web1.stdout)
    rs = hosts:run("exit 3", { check = false })
    assert.equal(3, rs.web2.code)
    assert.is_false(rs.web2.ok)
  end))

  it("calls a function on each host and collects its failures and values", body(function()
    local hosts = all()
    local rs = hosts:each(function(h)
      if h.name == "web5" then error "mine" end
      return h:run "echo x"
    end, { check = false })
    assert.is_false(rs.web5.ok)
    assert.truthy(tostring(rs.web5.err):find "mine")
    assert.equal("x\n", rs.web6.stdout)
    local e = fails("fleet", hosts.each, hosts, function(h) if h.name == "web5" then error "mine" end end)
    assert.truthy(e.message:find "1 of 6")
  end))

  it("is copied to, whole or not at all, and copied from", body(function()
    local hosts = all "web[1-3]"
    local bytes = ("\0\1\2\255 line\n"):rep(300000)
    local from = servers.write_file(fleet().dir .. "/from", bytes)
    hosts:each(function(h)
      local to = fleet():host(h.name).dir .. "/to 'here'"
      local r = h:put(from, to, { mode = "640" })
      assert.equal(#bytes, r.bytes)
      assert.is_true(servers.read_file(to) == bytes)
      assert.equal(416, core.fs_stat_sync(to).mode)
      local back = fleet().dir .. "/back." .. h.name
      h:get(to, back)
      assert.is_true(servers.read_file(back) == bytes)
    end)
    local h = hosts[1]
    local ok, e = pcall(h.put, h, fleet().dir .. "/missing", "/tmp/x")
    assert.is_false(ok)
    assert.truthy(tostring(e):find "missing", tostring(e))
    ok, e = pcall(h.get, h, "/nonexistent/file", fleet().dir .. "/never")
    assert.is_false(ok)
    assert.truthy(tostring(e):find "/nonexistent/file", tostring(e))
    assert.is_nil(core.fs_stat_sync(fleet().dir .. "/never"))
    ok, e = pcall(h.put, h, from, "/nonexistent/dir/file")
    assert.is_false(ok)
    assert.truthy(tostring(e):find "nonexistent", tostring(e))
    ok = pcall(h.put, h, from, fleet():host("web1").dir)
    assert.is_false(ok)
    e = fails("timeout", h.put, h, from, fleet():host("web1").dir .. "/late", { timeout = 0 })
    assert.equal("web1", e.host)
  end))

  it("put everywhere works as a verb of the fleet", body(function()
    local hosts = all "web[1-3]"
    local from = servers.write_file(fleet().dir .. "/one", "one")
    local rs = hosts:put(from, fleet().dir .. "/same", { parallel = 1 })
    assert.equal(3, #rs)
    assert.equal("one", servers.read_file(fleet().dir .. "/same"))
  end))

  it("stops when the whole is cancelled", body(function()
    local hosts = all()
    assert.is_true(run.took(fails, "timeout", task.timeout, 0.5, hosts.run, hosts, "sleep 20") < 3)
    assert.equal("6 ok", tostring(hosts:run "true"):match "6 ok")
  end))
end)
