-- Ways to hosts: chains of jump hosts in one process, shared connections, tunnels, and what happens when one dies.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local settings = require "sshlua.settings"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body, fails, defer = run.body, run.fails, run.defer

local names = { "gate", "mid", "deep", "web1", "web2", "web3" }
local fleet, start_fleet, stop_fleet = servers.shared { hosts = names }

-- What a configuration would say of the fleet's hosts, for the present spec; their pooled connections are closed.
local function configured(more, own)
  for _, name in ipairs(names) do
    settings.hosts[name] = servers.options(own or fleet(), name, more and more[name])
    defer(function() settings.hosts[name] = nil end)
  end
  defer(require("sshlua.pool").close_all)
end

local function before_and_now(name)
  local before = fleet():connections(name)
  return function() return fleet():connections(name) - before end
end

describe("a chain of jump hosts", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("runs commands and copies files three hosts away", body(function()
    configured()
    local h = ssh.host("web1", { via = "gate,mid,deep" })
    local address = fleet():host("deep").address
    assert.equal("ok", h:read "echo ok")
    -- sshd behind an inherited socket tells the client's address: that of the last jump host is a loopback one
    assert.truthy(h:read "echo $SSH_CONNECTION":find(fleet():host("web1").address, 1, true), address)
    local bytes = ("\0\1\2\255 line\n"):rep(500000)
    local from = servers.write_file(fleet().dir .. "/from", bytes)
    local to = fleet():host("web1").dir .. "/put"
    h:put(from, to)
    assert.is_true(servers.read_file(to) == bytes)
    h:get(to, fleet().dir .. "/back")
    assert.is_true(servers.read_file(fleet().dir .. "/back") == bytes)
    local r = h:run("head -c 33554432 /dev/zero", { max_output = 1 })
    assert.equal(33554432, r.bytes)
    assert.equal("err", h:run("echo err >&2; exit 3", { check = false }).stderr:match "%a+")
  end))

  it("uses each hop's own user, key, known hosts and settings", body(function()
    configured { gate = { identity = false } }
    local e = fails("auth", ssh.connect, "web1", { via = "gate" })
    assert.equal("web1", e.host)
    assert.equal("gate", e.cause.host)
    assert.truthy(e.message:find("jump host gate:", 1, true), e.message)
    configured { gate = { known_hosts = "none" } }
    e = fails("hostkey", ssh.connect, "web1", { via = "gate" })
    assert.equal("unknown", e.reason)
    configured { web1 = { known_hosts = "none" } } -- the target's key is checked through the jump, under its own name
    e = fails("hostkey", ssh.connect, "web1", { via = "gate" })
    assert.is_nil(e.cause)
    assert.equal("unknown", e.reason)
  end))

  it("shares one connection to each jump host", body(function()
    configured()
    local gate, mid = before_and_now "gate", before_and_now "mid"
    local list = {}
    for i = 1, 30 do list[i] = "web" .. (i % 3 + 1) end
    task.each(list, function(name)
      local s = ssh.connect(name, { via = "gate,mid" })
      assert.equal("ok\n", s:exec("echo ok").stdout)
      s:close()
    end)
    assert.equal("gate", ssh.host("gate"):read "echo gate")
    assert.equal(1, gate())
    assert.equal(1, mid())
  end))

  it("survives key re-exchanges on every level at once", body(function()
    local own = servers.fleet { hosts = names, sshd_config = { "RekeyLimit 700K" } }
    configured(nil, own)
    local h = ssh.host("web1", { via = "gate,mid" })
    local bytes = {}
    for i = 1, 400000 do bytes[i] = ("%08d\n"):format(i) end
    bytes = table.concat(bytes)
    local file = servers.write_file(own.dir .. "/bytes", bytes)
    task.all(function()
      for _ = 1, 3 do assert.is_true(h:run({ "cat", file }).stdout == bytes) end
    end, function()
      for _ = 1, 3 do assert.is_true(h:run("cat", { stdin = bytes }).stdout == bytes) end
    end)
    require("sshlua.pool").close_all()
    own:stop()
  end, 90))

  it("is one connection for equal ways and another for another way", body(function()
    configured()
    local web1 = before_and_now "web1"
    ssh.host("web1", { via = "gate" }):run "true"
    ssh.host("web1", { via = { ssh.host "gate" } }):run "true"
    assert.equal(1, web1())
    ssh.host("web1", { via = "mid" }):run "true"
    ssh.host("web1"):run "true"
    assert.equal(3, web1())
  end))

  it("whose middle host dies ends in an error that names it, and is made anew", body(function()
    configured()
    local h = ssh.host("web1", { via = "gate,mid,deep" })
    local e
    task.all(function()
      e = fails("connection_lost", h.run, h, "echo begun; sleep 30")
    end, function()
      run.eventually(function() return pcall(h.run, h, "true") end)
      task.sleep(0.3)
      fleet():kill("mid", "KILL")
    end)
    assert.equal("web1", e.host)
    assert.equal("begun\n", e.result.stdout)
    assert.truthy(e.message:find("through deep was lost: the connection through mid was lost", 1, true), e.message)
    assert.equal("again", h:read "echo again")
  end))

  it("whose middle host freezes is noticed by its keepalive", body(function()
    configured { mid = { server_alive_interval = 0.3, server_alive_count_max = 2 } }
    local h = ssh.host("web1", { via = "gate,mid" })
    h:run "true"
    fleet():kill("mid", "STOP")
    local e = fails("connection_lost", h.run, h, "true")
    assert.truthy(e.message:find("through mid was lost", 1, true), e.message)
    fleet():kill("mid", "KILL")
  end))

  it("ends for those behind it when the jump host is closed", body(function()
    configured()
    local gate = ssh.host "gate"
    local s = ssh.connect("web1", { via = gate })
    defer(s.close, s)
    s:exec "true"
    gate:close()
    local e = fails("connection_lost", s.exec, s, "true")
    assert.truthy(e.message:find("through gate", 1, true), e.message)
  end))

  it("ends for one without disturbing the others", body(function()
    configured()
    local a = ssh.connect("web1", { via = "gate" })
    local b = ssh.connect("web2", { via = "gate" })
    defer(b.close, b)
    a:close()
    assert.equal("ok\n", b:exec("echo ok").stdout)
    fleet():kill("web2", "KILL")
    fails("connection_lost", b.exec, b, "true")
    assert.equal("ok", ssh.host("web3", { via = "gate" }):read "echo ok")
  end))

  it("may be closed and collected in any order, in the middle of anything", body(function()
    configured()
    math.randomseed(7)
    for round = 1, 12 do
      local list = {}
      list[1] = ssh.connect "gate"
      -- by hand, so that every level is ours to close
      for i, name in ipairs { "mid", "deep", "web1" } do
        local opts = servers.options(fleet(), name)
        local below = list[i]
        local ch = task.await(below.core.open_direct, below.core, opts.hostname, opts.port, nil)
        local s = core.session(ch, { via = below.name })
        task.await(s.handshake, s)
        local target = require("sshlua.connect").target(name, opts)
        require("sshlua.auth").authenticate(s, target)
        list[i + 1] = require("sshlua.session").new(s, target, 5)
      end
      local ops = {}
      for i, s in ipairs(list) do
        local ch = s.core:open_channel()
        task.await(ch.exec, ch, "head -c 3000000 /dev/zero; cat")
        ops[i] = ch
        ch:write(("x"):rep(100000 * round), function() end)
        ch:read_any(function() end)
      end
      task.sleep(0.005 * (round % 4))
      while #list > 0 do
        local s = table.remove(list, math.random(#list))
        if s.name == "gate" or math.random(2) == 1 then s.core:close() end -- what ssh.connect makes is kept by the run
        ops = math.random(2) == 1 and {} or ops
        s = nil -- luacheck: ignore 311
        if math.random(2) == 1 then collectgarbage() end
        if math.random(2) == 1 then task.sleep(0) end
      end
      collectgarbage()
    end
  end, 60))
end)

describe("a host behind a jump host", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("that nobody listens for is an error of kind connect that says who tried", body(function()
    configured { web1 = { port = 1, tries = 1 } }
    local e = fails("connect", ssh.connect, "web1", { via = "gate" })
    assert.truthy(e.message:find("^gate cannot connect to 127%.[%d.]+:1: "), e.message)
    assert.equal("connect", e.phase)
    assert.is_true(e.retryable)
  end))

  it("that the jump host may not connect to is an error with a hint, and not tried again", body(function()
    local own = servers.fleet { hosts = names, per_host = { gate = { "AllowTcpForwarding no" } } }
    configured(nil, own)
    local e = fails("channel", ssh.connect, "web1", { via = "gate" })
    assert.truthy(e.hint:find "AllowTcpForwarding", e.hint)
    assert.is_false(e.retryable)
    own:stop()
  end))

  it("that is dead does not hold up the others", body(function()
    -- Nobody answers there: the kernel's queue of the listener is full.
    local listener = assert(core.tcp_listen("127.0.0.1", 0, 1))
    defer(listener.close, listener)
    local port = listener:port()
    for _ = 1, 4 do
      local done
      local op = core.tcp_connect("127.0.0.1", port, nil, function(_, socket)
        done = true
        if socket then defer(socket.close, socket) end
      end)
      defer(function() if not done then op:cancel() end end)
    end
    task.sleep(0.1)
    configured { web1 = { hostname = "127.0.0.1", port = port, tries = 1, timeouts = { connect = 2 } } }
    ssh.host("gate"):run "true"
    local ended
    task.all(function()
      local e = fails("timeout", ssh.connect, "web1", { via = "gate" })
      ended = true
      assert.equal("connect", e.phase)
    end, function()
      task.sleep(0.2)
      assert.equal("ok", ssh.host("web2", { via = "gate" }):read "echo ok")
      assert.is_nil(ended)
    end)
  end))

  it("is reached through faults of the network in any case in bounded time", body(function()
    configured()
    for _, faults in ipairs {
      { down = { cut_after = 5000 } }, { up = { cut_after = 2500, cut = "rst" } }, { down = { cut_after = 9000, cut = "rst" } },
      { down = { flip_at = 9000 } }, { down = { piece = 500 }, up = { piece = 300 } }, { down = { delay = 0.01 } },
    } do
      local host = fleet():host "gate"
      local relay = testbed.relay { to = { host.address, host.port }, up = faults.up, down = faults.down }
      local gate = servers.options(fleet(), "gate", { hostname = relay.address, port = relay.port, known_hosts = "none",
        insecure_accept_any_host_key = true, tries = 1 })
      local s
      local ok, e = pcall(function()
        s = ssh.connect("web1", { via = ssh.host("gate", gate), tries = 1, timeout = 10 })
        return assert(s:exec("head -c 200000 /dev/zero").bytes == 200000)
      end)
      if s then s:close() end
      if not ok then assert.truthy(e.kind == "connection_lost" or e.kind == "protocol" or e.kind == "timeout", tostring(e)) end
      local whole = not ((faults.down or {}).cut_after or (faults.up or {}).cut_after or (faults.down or {}).flip_at)
      assert.equal(whole, ok, tostring(e))
      ssh.host("gate", gate):close()
      relay:stop()
    end
  end, 90))

  it("is bounded in memory when one side does not read", body(function()
    configured()
    local s = ssh.connect("web1", { via = "gate" })
    defer(s.close, s)
    local p = s:spawn "sleep 30; cat >/dev/null"
    local written = 0
    local _, e = ssh.try(ssh.timeout, 1.5, function()
      while true do
        p.stdin:write(("x"):rep(1000000))
        written = written + 1000000
      end
    end)
    assert.equal("timeout", e.kind)
    local _, _, queued = s.core:traffic()
    assert.is_true(queued < 2000000, queued)
    assert.is_true(written < 16000000, written)
    local q = s:spawn "head -c 100000000 /dev/zero" -- nobody reads it
    task.sleep(1)
    local gate = ssh.host("gate"):session()
    local received = gate.core:traffic()
    assert.is_true(received < 16000000, received)
    q:close()
    p:close()
    assert.equal("ok\n", s:exec("echo ok").stdout)
  end))
end)

describe("dial", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("gives a stream to where the host connects, through jump hosts, too", body(function()
    configured()
    local server = testbed.raw_server(function(socket)
      local bytes = task.await(socket.read, socket, 100)
      task.await(socket.write, socket, "you said: " .. bytes .. "\nbye\n")
      while task.await(socket.read, socket, 100) do end -- luacheck: ignore 542
      task.await(socket.write, socket, "end of input seen\n")
      socket:close()
    end)
    defer(server.stop, server)
    local address = ("%s:%d"):format(server.address, server.port)
    for _, h in ipairs { ssh.host "web1", ssh.host("web1", { via = "gate,mid" }) } do
      local t = h:dial(address)
      t:write "hello"
      assert.equal("you said: hello", t:read_line())
      assert.equal("bye", t:read_line())
      t:close_write()
      assert.equal("end of input seen\n", t:read_all())
      assert.is_nil(t:read())
      t:close()
      t:close()
    end
  end))

  it("says who cannot connect where, and refuses what is no address", body(function()
    configured()
    local h = ssh.host "web1"
    local e = fails("connect", h.dial, h, "127.0.0.1:1")
    assert.truthy(e.message:find("web1 cannot connect to 127.0.0.1:1: ", 1, true), e.message)
    assert.equal("dial", e.op)
    for _, bad in ipairs { "x", "x:0", "x:99999", ":22", "::1:22", "a b:22", 22 } do fails("usage", h.dial, h, bad) end
  end))

  it("carries bulk both ways at once", body(function()
    configured()
    local server = testbed.raw_server(function(socket)
      while true do
        local bytes = task.await(socket.read, socket, 65536)
        if not bytes then break end
        task.await(socket.write, socket, bytes)
      end
      socket:close_write()
    end)
    defer(server.stop, server)
    local t = ssh.host("web1", { via = "gate" }):dial(("%s:%d"):format(server.address, server.port))
    local bytes = ("0123456789abcdef"):rep(65536)
    local got
    task.all(function()
      for _ = 1, 20 do t:write(bytes) end
      t:close_write()
    end, function() got = t:read_all() end)
    assert.is_true(got == bytes:rep(20))
    t:close()
  end))
end)
