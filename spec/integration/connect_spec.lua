-- Connecting to servers that are not there, not well, or not honest: each ends in a named error within its deadline.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body, fails, defer = run.body, run.fails, run.defer
local await = task.await
local fleet, start_fleet, stop_fleet = servers.shared {}

local function opts_of(more)
  local opts = { user = "nobody", known_hosts = "none", agent = false, identity = false, batch = true, tries = 1 }
  for k, v in pairs(more or {}) do opts[k] = v end
  return opts
end

-- The error of a connection attempt, which must come within `limit` seconds.
local function failure(kind, limit, opts, name)
  local before = core.now()
  local e = fails(kind, ssh.connect, name or "evil", opts)
  local took = core.now() - before
  assert.is_true(took < limit, ("took %.2f s"):format(took))
  assert.equal(name or "evil", e.host)
  return e, took
end

-- A server that accepts, and says these bytes; `after` is what it does then.
local function says(bytes, after)
  return function(socket)
    if bytes ~= "" then await(socket.write, socket, bytes) end
    if after == "stay" then
      while await(socket.read, socket, 65536) do end -- luacheck: ignore 542
      task.sleep(100)
    end
  end
end

describe("connecting where nobody listens", function()
  it("is refused at once, in phase connect, and may be tried again", body(function()
    local e = failure("connect", 2, opts_of { hostname = "127.0.0.1", port = servers.free_port() })
    assert.equal("connect", e.phase)
    assert.equal("ECONNREFUSED", e.name)
    assert.is_true(e.retryable)
    assert.truthy(e.message:find("127.0.0.1", 1, true), e.message)
  end))

  it("is tried again with growing pauses, as often as asked", body(function()
    local opts = opts_of { hostname = "127.0.0.1", port = servers.free_port(), tries = 3 }
    local _, took = failure("connect", 4, opts)
    assert.is_true(took > 0.4, took)
  end))

  it("succeeds when the server comes up between two tries", body(function()
    local server, opts = servers.raw(says("", "stay"))
    server:stop()
    opts.tries = 5
    opts.timeouts = { greeting = 0.2 }
    local later
    task.scope(function(s)
      s:spawn(function()
        task.sleep(0.3)
        local listener = assert(core.tcp_listen("127.0.0.1", opts.port))
        later = true
        local ok, socket = pcall(await, listener.accept, listener)
        listener:close()
        if ok then socket:close() end
      end)
      pcall(ssh.connect, "evil", opts)
      s:cancel()
    end)
    assert.is_true(later)
  end))

  it("by a name that does not exist is kind resolve and is not tried again", body(function()
    local e, took = failure("resolve", 8, opts_of { tries = 3 }, "no-such-host.invalid")
    assert.equal("resolve", e.phase)
    assert.truthy(e.message:find("no-such-host.invalid", 1, true), e.message)
    if not e.retryable then assert.is_true(took < 5) end
  end))
end)

-- A queue of one that is full: the kernel drops what comes.
local function black_hole(ip, port)
  ip = ip or "127.0.0.1"
  local listener = assert(core.tcp_listen(ip, port or 0, 1))
  defer(listener.close, listener)
  port = listener:port()
  for _ = 1, 4 do
    local done
    local op = core.tcp_connect(ip, port, nil, function(_, socket)
      done = true
      if socket then defer(socket.close, socket) end
    end)
    defer(function() if not done then op:cancel() end end)
  end
  task.sleep(0.1)
  return port
end

describe("a black hole", function()
  it("is a timeout of phase connect after just that long", body(function()
    local e, took = failure("timeout", 1.5, opts_of { hostname = "127.0.0.1", port = black_hole(), timeouts = { connect = 0.5 } })
    assert.equal("connect", e.phase)
    assert.is_true(took >= 0.49, took)
    assert.is_true(e.retryable)
    assert.truthy(e.message:find "0.5 s")
  end))

  it("is bounded by the limit over all, retries included", body(function()
    local e, took = failure("timeout", 2, opts_of {
      hostname = "127.0.0.1", port = black_hole(), timeouts = { connect = 0.3 }, tries = 50, timeout = 1,
    })
    assert.is_true(took >= 0.99, took)
    assert.truthy(e.message:find "1 s", e.message)
  end))

  it("is tried again, as a timeout before authentication may be", body(function()
    local _, took = failure("timeout", 4, opts_of {
      hostname = "127.0.0.1", port = black_hole(), timeouts = { connect = 0.3 }, tries = 2,
    })
    assert.is_true(took > 0.7, took)
  end))
end)

describe("several addresses", function()
  setup(start_fleet)
  teardown(stop_fleet)

  -- A resolver that knows one name more.
  local function with_addresses(list)
    local real = core.resolve
    defer(function() core.resolve = real end)
    core.resolve = function(_, _, done) return real("127.0.0.1", 0, function(err) done(err, list) end) end
  end

  local function connect_through(addresses, more)
    local host = fleet():host()
    local relay = testbed.relay { to = { host.address, host.port } }
    defer(relay.stop, relay)
    if addresses.black_hole then black_hole(addresses.black_hole, relay.port) end
    with_addresses(addresses)
    local opts = servers.options(fleet(), nil, more)
    opts.hostname, opts.port, opts.insecure_accept_any_host_key, opts.tries = "many", relay.port, true, 1
    local s
    local took = run.took(function() s = ssh.connect("many", opts) end)
    defer(s.close, s)
    assert.equal("hi", tostring(s:exec "echo hi"))
    return took
  end

  it("are all tried: the first refuses, the second answers", body(function()
    assert.is_true(connect_through { "::1", "127.0.0.1" } < 2)
    assert.is_true(connect_through { "127.0.0.77", "127.0.0.78", "127.0.0.1" } < 2)
  end))

  it("do not wait for each other: the first is a black hole, the second answers", body(function()
    local took = connect_through({ "127.0.0.99", "127.0.0.1", black_hole = "127.0.0.99" }, { timeouts = { connect = 5 } })
    assert.is_true(took < 2, took)
  end))

  it("that all refuse are named in one error", body(function()
    with_addresses { "127.0.0.77", "127.0.0.78" }
    local e = failure("connect", 2, opts_of { hostname = "many", port = servers.free_port() })
    assert.equal("ECONNREFUSED", e.name)
    assert.truthy(e.message:find("127.0.0.77", 1, true), e.message)
    assert.truthy(e.message:find("127.0.0.78", 1, true), e.message)
  end))

  it("can be kept to one family", body(function()
    local e = failure("connect", 2, opts_of { hostname = "localhost", port = servers.free_port(), family = 4 })
    assert.is_nil(e.message:find("::1", 1, true))
  end))
end)

describe("a server that is no SSH server", function()
  local cases = {
    { "says nothing", "", "stay", kind = "timeout", phase = "greeting" },
    { "closes at once", "", nil, kind = "connection_lost", phase = "greeting" },
    { "speaks HTTP and closes", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", nil },
    { "speaks HTTP and stays", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "stay" },
    { "is SSH-1", "SSH-1.5-old\r\n", "stay" },
    { "is SSH-3", "SSH-3.0-new\r\n", "stay" },
    { "sends NULs", ("\0"):rep(1000), "stay" },
    { "sends NUL inside the greeting", "SSH-2.0-a\0b\r\n", "stay" },
    { "sends garbage", ("\255\1\254\10"):rep(5000), "stay" },
    { "greets with an endless line", "SSH-2.0-" .. ("x"):rep(200000), "stay" },
    { "greets and closes", "SSH-2.0-x\r\n", nil, kind = "connection_lost" },
    { "greets and falls silent", "SSH-2.0-x\r\n", "stay", kind = "timeout", phase = "handshake" },
    { "greets and sends garbage", "SSH-2.0-x\r\n" .. ("\255"):rep(5000), "stay" },
    { "greets and sends a packet of no bytes", "SSH-2.0-x\r\n\0\0\0\0\0\0\0\0", "stay" },
    { "greets and sends a huge length", "SSH-2.0-x\r\n\127\255\255\255\4\20" .. ("a"):rep(100), "stay" },
    { "greets and sends an empty KEXINIT", "SSH-2.0-x\r\n\0\0\0\12\10\20" .. ("\0"):rep(10), "stay" },
    { "greets and disconnects with words", "SSH-2.0-x\r\n\0\0\0\28\4\1\0\0\0\2\0\0\0\9go \27[31m!\0\0\0\0\0\0\0\0\0\0\0", "stay" },
  }
  for _, case in ipairs(cases) do
    it("ends in a named error: it " .. case[1], body(function()
      local _, opts = servers.raw(says(case[2], case[3]), { timeouts = { greeting = 0.6, handshake = 0.6 } })
      local before = core.now()
      local ok, e = pcall(ssh.connect, "evil", opts)
      local took = core.now() - before
      assert.is_false(ok)
      assert.is_true(took < 4, took)
      assert.is_true(errors.is(e), tostring(e))
      assert.equal("evil", e.host)
      assert.is_nil(e.message:find "[%c\127-\255]", e.message)
      assert.is_true(e.phase == "greeting" or e.phase == "handshake", tostring(e.phase))
      if case.kind then assert.equal(case.kind, e.kind) end
      if case.phase then assert.equal(case.phase, e.phase) end
      local known = { timeout = true, connection_lost = true, protocol = true, handshake = true }
      assert.is_true(known[e.kind], tostring(e))
      if not case.kind then assert.is_true(e.kind ~= "timeout" or case[3] == "stay", tostring(e)) end
    end))
  end

  it("greets without end: refused soon and without much memory, neighbours not delayed", body(function()
    local chunk = ("just text, no greeting\r\n"):rep(2000)
    local _, opts = servers.raw(function(socket)
      while true do await(socket.write, socket, chunk) end
    end, { timeouts = { greeting = 3 } })
    local worst, last, on = 0, core.now(), true
    task.scope(function(s)
      s:spawn(function()
        while on do
          task.sleep(0.005)
          worst = math.max(worst, core.now() - last - 0.005)
          last = core.now()
        end
      end)
      task.each({ 1, 2, 3, 4 }, function() failure("protocol", 2, opts) end)
      on = false
    end)
    assert.is_true(worst < 0.1, worst)
  end))

  it("is a slow loris: one byte at a time ends at the limit of the phase", body(function()
    local _, opts = servers.raw(function(socket)
      local text = "SSH-2.0-" .. ("x"):rep(300)
      for c in text:gmatch "." do
        await(socket.write, socket, c)
        task.sleep(0.05)
      end
    end, { timeouts = { greeting = 0.7 } })
    local e = failure("timeout", 1.5, opts)
    assert.equal("greeting", e.phase)
  end))

  it("speaks twenty lines of text first, as RFC 4253 allows", body(function()
    local _, opts = servers.raw(says(("welcome\r\n"):rep(20) .. "SSH-2.0-x\r\n", "stay"),
      { timeouts = { greeting = 1, handshake = 0.4 } })
    assert.equal("handshake", failure("timeout", 2, opts).phase)
  end))

  it("and its neighbour is served as fast as ever", body(function()
    local own = servers.fleet {}
    local _, evil = servers.raw(says("", "stay"), { timeouts = { greeting = 10 } })
    local list = {}
    for i = 1, 40 do list[i] = i end
    local took
    task.scope(function(s)
      s:spawn(task.each, list, function() ssh.connect("evil", evil) end)
      task.sleep(0) -- they have begun
      took = run.took(function() servers.connect(own):exec "true" end)
      s:cancel()
    end)
    assert.is_true(took < 5, took)
  end))
end)

describe("a connection that breaks while it is made", function()
  setup(start_fleet)
  teardown(stop_fleet)

  -- How many bytes the server sends until the session stands.
  local function length_of_login()
    local relay, opts = servers.relay(fleet(), nil, {})
    local s = ssh.connect("web1", opts)
    local n = relay.passed[1].down
    s:close()
    relay:stop()
    return n
  end

  for _, how in ipairs { "fin", "rst" } do
    it("at many bytes, by " .. how .. ", is connection_lost with the phase, at once", body(function()
      local length = length_of_login()
      local phases = {}
      for at = 0, length - 1, math.max(1, math.floor(length / 25)) do
        local relay, opts = servers.relay(fleet(), nil, { down = { cut_after = at, cut = how } })
        local before = core.now()
        local ok, e = pcall(ssh.connect, "web1", opts)
        local took = core.now() - before
        assert.is_false(ok, "connected although cut at " .. at)
        assert.is_true(errors.is(e), tostring(e))
        assert.is_true(e.kind == "connection_lost" or e.kind == "connect", ("cut at %d: %s (%s)"):format(at, tostring(e), e.phase))
        assert.is_true(took < 2, took)
        phases[e.phase or "none"] = true
        relay:stop()
      end
      assert.is_true(phases.greeting and phases.handshake and phases.auth)
      assert.is_nil(phases.none)
    end, 60))
  end

  it("at many bytes, by silence, is a timeout of that phase", body(function()
    local length = length_of_login()
    local phases, list = {}, {}
    for at = 0, length - 1, math.max(1, math.floor(length / 12)) do list[#list + 1] = at end
    task.each(list, function(at)
      local _, opts = servers.relay(fleet(), nil, { down = { freeze_after = at } },
        { timeouts = { greeting = 0.8, handshake = 0.8, auth = 0.8 } })
      local before = core.now()
      local ok, e = pcall(ssh.connect, "web1", opts)
      assert.is_false(ok)
      assert.equal("timeout", e.kind, tostring(e))
      assert.is_true(core.now() - before < 4)
      phases[e.phase] = true
    end, { parallel = 4 })
    assert.is_true(phases.greeting and phases.handshake and phases.auth)
  end, 60))

  it("in single bytes and with delays is none: it just works", body(function()
    local _, opts = servers.relay(fleet(), nil, { up = { piece = 1 }, down = { piece = 1 } })
    local s = ssh.connect("web1", opts)
    defer(s.close, s)
    assert.equal("through", tostring(s:exec "echo through"))
    _, opts = servers.relay(fleet(), nil, { up = { delay = 0.05 }, down = { delay = 0.05 } })
    local s2 = ssh.connect("web1", opts)
    defer(s2.close, s2)
    assert.equal("through", tostring(s2:exec "echo through"))
  end))

  it("by a flipped bit never logs in wrongly", body(function()
    local length = length_of_login()
    local list = {}
    for at = 1, length, math.max(1, math.floor(length / 16)) do list[#list + 1] = at end
    task.each(list, function(at)
      local _, opts = servers.relay(fleet(), nil, { down = { flip_at = at, flip_bit = at % 8 } },
        { timeouts = { greeting = 1, handshake = 1, auth = 1 } })
      local ok, s = pcall(ssh.connect, "web1", opts)
      if ok then
        local good, r = pcall(s.exec, s, "echo right", { timeout = 2 })
        if good then assert.equal("right\n", r.stdout) end
        s:close()
      else
        assert.is_true(errors.is(s), tostring(s))
      end
    end, { parallel = 4 })
  end, 60))
end)

describe("time limits", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("name their phase in the error", body(function()
    local _, opts = servers.relay(fleet(), nil, { down = { delay = 0.3 } }, { timeouts = { greeting = 0.1 } })
    assert.equal("greeting", failure("timeout", 1, opts, "web1").phase)
    _, opts = servers.relay(fleet(), nil, { down = { delay = 0.3 } }, { timeouts = { handshake = 0.1 } })
    assert.equal("handshake", failure("timeout", 2, opts, "web1").phase)
    _, opts = servers.relay(fleet(), nil, { down = { delay = 0.2 } }, { timeouts = { auth = 0.1 } })
    local e = failure("timeout", 3, opts, "web1")
    assert.equal("auth", e.phase)
    assert.is_false(e.retryable)
  end))

  it("of opening a channel leave the session good", body(function()
    local relay, opts = servers.relay(fleet(), nil, {}, { timeouts = { channel = 0.3 } })
    local s = ssh.connect("web1", opts)
    defer(s.close, s)
    relay:freeze()
    local e = fails("timeout", s.exec, s, "echo late")
    assert.equal("channel", e.phase)
    assert.equal("web1", e.host)
    relay:thaw()
    assert.equal("now", tostring(s:exec "echo now"))
  end))

  it("of a verb count from its turn, connecting included", body(function()
    local _, evil = servers.raw(says("", "stay"))
    local h = ssh.host("evil", evil)
    local e
    assert.is_true(run.took(function() e = fails("timeout", h.run, h, "true", { timeout = 0.4 }) end) < 1.5)
    assert.equal("evil", e.host)
    assert.truthy(e.message:find "timed out after 0.4 s")
  end))

  it("cancel an attempt at any moment without a trace", body(function()
    for i = 0, 30 do
      local ok, s = pcall(task.timeout, i * 0.002, ssh.connect, "web1", servers.options(fleet()))
      if ok then s:close() end
    end
  end))
end)

describe("a server under load", function()
  it("that drops by MaxStartups is tried again until all are in", body(function()
    local daemon = testbed.daemon { sshd_config = { "MaxStartups 2:100:2" } }
    defer(daemon.stop, daemon)
    local list = {}
    for i = 1, 12 do list[i] = i end
    local sessions = task.map(list, function()
      return servers.connect(daemon, nil, { tries = 20, timeout = 25 })
    end)
    assert.equal(12, #sessions)
    for i, s in ipairs(sessions) do assert.equal(tostring(i), tostring(s:exec("echo " .. i))) end
  end, 60))

  it("that drops for good says so with a hint", body(function()
    local daemon = testbed.daemon { sshd_config = { "MaxStartups 1:100:1" } }
    defer(daemon.stop, daemon)
    local host = daemon:host()
    local held = await(core.tcp_connect, host.address, host.port, nil)
    defer(held.close, held)
    assert.truthy(await(held.read, held, 100))
    local opts = servers.options(daemon, nil, { tries = 2, timeouts = { greeting = 2 } })
    local ok, e = pcall(ssh.connect, "web1", opts)
    assert.is_false(ok)
    assert.is_true(e.kind == "connection_lost" or e.kind == "protocol", tostring(e))
    assert.equal("greeting", e.phase)
    assert.truthy(e.hint and e.hint:find "MaxStartups", tostring(e))
    assert.is_true(e.retryable)
  end))

  it("takes 60 connections at once", body(function()
    local own = servers.fleet {}
    local list = {}
    for i = 1, 60 do list[i] = i end
    task.each(list, function(i)
      local s = servers.connect(own)
      assert.equal(tostring(i), tostring(s:exec("echo " .. i)))
      s:close()
    end, { parallel = 30 })
  end, 60))
end)

describe("algorithms", function()
  it("that have nothing in common are named with what the server offers", body(function()
    local own = servers.fleet { sshd_config = { "Ciphers aes256-cbc" } }
    local e = fails("handshake", ssh.connect, "web1", servers.options(own))
    assert.truthy(e.message:find("no common cipher algorithm; the server offers aes256-cbc", 1, true), e.message)
    assert.truthy(e.hint:find "legacy = true")
    assert.is_false(e.retryable)
    local s = servers.connect(own, nil, { legacy = true })
    assert.equal("ok", tostring(s:exec "echo ok"))
  end))

  it("that this build does not know are named", body(function()
    local own = servers.fleet {}
    local ok, e = pcall(ssh.connect, "web1", servers.options(own, nil, { ciphers = "rot13" }))
    assert.is_false(ok)
    assert.truthy(tostring(e):find "ciphers", tostring(e))
  end))

  it("compress when asked", body(function()
    local own = servers.fleet { sshd_config = { "Compression yes" } }
    local s = servers.connect(own, nil, { compression = true })
    assert.equal(3000000, #s:exec("head -c 3000000 /dev/zero").stdout)
  end))

  -- sshd says something as soon as it has let us in (hostkeys-00@openssh.com): it may come with the message before it.
  it("compress what comes together with the word that we are logged in", body(function()
    local own = servers.fleet { sshd_config = { "Compression yes" } }
    local stopped = false
    local function hold_up() -- looks at the network only now and then
      local till = core.now() + 0.05
      while core.now() < till do end -- luacheck: ignore 542
      if not stopped then core.timer(0.002, hold_up) end
    end
    defer(function() stopped = true end)
    hold_up()
    local s = servers.connect(own, nil, { compression = true })
    assert.equal("hi", tostring(s:exec "echo hi"))
  end))
end)
