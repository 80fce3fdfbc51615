-- The throwaway fleet itself, looked at with the real ssh client: hosts, homes, faults, and that nothing stays behind.
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local await, eventually, defer = task.await, run.eventually, run.defer

-- The body of an `it` as a task with a deadline.
local function in_task(fn) return run.body(fn, 60) end

-- An `it` body that gets a fleet and stops it however it ends.
local function with_fleet(opts, fn)
  return in_task(function()
    local fleet = testbed.start(opts)
    defer(fleet.stop, fleet)
    fn(fleet)
  end)
end

local function ssh(fleet, name, ...)
  local args = fleet:ssh_arguments(name)
  for _, word in ipairs { ... } do args[#args + 1] = word end
  local out, status = processes.run(args)
  return (out:gsub("\n$", "")), status
end

local function ssh_in_background(fleet, name, command)
  local args = fleet:ssh_arguments(name)
  args[#args + 1] = command
  return assert(core.spawn { args = args, stdin = "null", stdout = "null", stderr = "null" })
end

-- A child that runs Lua source with these modules, wherever it stands.
local function spawn_lua(script, opts)
  local here = processes.run({ "pwd" }):gsub("\n", "") .. "/"
  local function absolute(path)
    return (path:gsub("[^;]+", function(entry)
      if entry:sub(1, 1) ~= "/" then return here .. entry end
    end))
  end
  local env = processes.environment("LUA_PATH=" .. absolute(package.path))
  env[#env + 1] = "LUA_CPATH=" .. absolute(package.cpath)
  for _, name in ipairs { "LD_PRELOAD", "ASAN_OPTIONS" } do
    if os.getenv(name) then env[#env + 1] = name .. "=" .. os.getenv(name) end
  end
  local i = 0
  while arg and arg[i - 1] do i = i - 1 end
  local program = arg and arg[i] or "lua5.4"
  if program:find "^[^/]+/" then program = here .. program end
  opts.args, opts.env, opts.cwd, opts.stdout = { program, "-e", script }, env, "/", "pipe"
  return assert(core.spawn(opts))
end

local function children()
  local found = {}
  for pid, process in pairs(processes.list()) do
    if process.parent == core.getpid() then found[pid] = process.name end
  end
  return found
end

-- Directories of test beds, other programs' too.
local function directories()
  local found = {}
  local out = processes.run { "sh", "-c", "ls -d ${TMPDIR:-/tmp}/sshlua-testbed-* 2>/dev/null" }
  for path in out:gmatch "[^\n]+" do found[path] = true end
  return found
end

-- Has it a guardian, which somebody else's has, or is it gone by now?
local function is_looked_after(path)
  if not core.fs_stat_sync(path) then return true end
  return (processes.run { "sh", "-c", ("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sshlua-guardian %s '"):format(path) }) ~= "0\n"
end

local function exists(path) return core.fs_stat_sync(path) ~= nil end

local read_all = processes.read_all

local function lives(pid)
  return processes.list()[pid] ~= nil
end

local function can_connect(address, port)
  local ok, socket = pcall(await, core.tcp_connect, address, port, nil)
  if ok then socket:close() end
  return ok
end

-- Reads to the end or the error; returns what came and the error's kind.
local function read_rest(socket)
  local parts = {}
  local ok, err = pcall(function()
    while true do
      local bytes = await(socket.read, socket, 65536)
      if not bytes then return end
      parts[#parts + 1] = bytes
    end
  end)
  return table.concat(parts), not ok and err.kind or nil
end

local function connect(server) return await(core.tcp_connect, server.address, server.port, nil) end

-- A connection through a relay to a server that runs fn.
local function through(faults, fn, use)
  return in_task(function()
    local server = testbed.raw_server(fn)
    defer(server.stop, server)
    faults.to = { server.address, server.port }
    local relay = testbed.relay(faults)
    defer(relay.stop, relay)
    local socket = connect(relay)
    defer(socket.close, socket)
    use(socket, relay, server)
    relay:stop()
    server:stop()
    assert.same({}, relay.errors)
    assert.same({}, server.errors)
  end)
end

local function echo(socket)
  while true do
    local bytes = await(socket.read, socket, 65536)
    if not bytes then return end
    await(socket.write, socket, bytes)
  end
end

describe("the throwaway fleet", function()
  it("answers the real ssh client with its own key and known hosts", with_fleet({ hosts = 3 }, function(fleet)
    task.each(fleet.hosts, function(host)
      local out, status = ssh(fleet, host.name, "echo $((6 * 7)); exit 3")
      assert.equal("42", out)
      assert.equal(3, status)
    end)
  end))

  it("gives every host an address, a key and names of its own", with_fleet({ hosts = { "db", "www.x" } }, function(fleet)
    local db, www = fleet:host("db"), fleet:host("www.x")
    assert.equal(db, fleet:host())
    assert.is_true(db.address ~= www.address or db.port ~= www.port)
    assert.not_equal(db.host_key_line, www.host_key_line)
    local file = assert(io.open(fleet.known_hosts))
    local text = file:read "*a"
    file:close()
    assert.truthy(text:find(("[%s]:%d %s"):format(www.address, www.port, www.host_key_line), 1, true))
  end))

  it("gives every host a home, in commands and in SFTP", with_fleet({ hosts = 2, homes = true }, function(fleet)
    for _, host in ipairs(fleet.hosts) do
      assert.equal(host.home .. "\n" .. host.home, (ssh(fleet, host.name, "pwd; echo ~; echo mine > file")))
      assert.is_true(exists(host.home .. "/file"))
    end
    assert.equal("", (ssh(fleet, "web1", "rm file; env | grep ORIGINAL_COMMAND")))
    assert.equal("mine", (ssh(fleet, "web2", "cat file")))
  end))

  it("lets exit signals through the home wrapper", with_fleet({ homes = true }, function(fleet)
    local out, status = ssh(fleet, nil, "kill -9 $$")
    assert.equal("", out)
    assert.equal(255, status)
  end))

  it("does not read the user's dot files", with_fleet({}, function(fleet)
    assert.equal(fleet:host().home, (ssh(fleet, nil, "echo ~")))
  end))

  it("puts lines for all hosts and for one before its own", with_fleet({
    hosts = 2, sshd_config = { "SetEnv A=1", "Banner none" },
    per_host = { web2 = { "SetEnv B=2", "ForceCommand echo forced $A $B" } },
  }, function(fleet)
    assert.equal("1", (ssh(fleet, "web1", "echo $A$B")))
    assert.equal("forced 1 2", (ssh(fleet, "web2", "true")))
    assert.equal(fleet:host("web1").home, (ssh(fleet, "web1", "echo $HOME")))
  end))

  it("makes the host keys one asks for", with_fleet({ host_keys = { "rsa", "ecdsa" } }, function(fleet)
    assert.truthy(fleet:host().host_key_lines[1]:find "^ssh%-rsa ")
    assert.truthy(fleet:host().host_key_lines[2]:find "^ecdsa%-sha2%-nistp256 ")
    assert.equal("ok", (ssh(fleet, nil, "echo ok")))
  end))

  it("refuses any other key", with_fleet({}, function(fleet)
    fleet.identity = testbed.make_key(fleet.dir .. "/other")
    local _, status = ssh(fleet, nil, "true")
    assert.equal(255, status)
    assert.truthy(fleet:log():find "Connection")
  end))

  it("counts connections, and refuses or pauses a host until told otherwise", with_fleet({ hosts = 2 }, function(fleet)
    fleet:refuse "web1"
    local host = fleet:host "web1"
    local socket = connect(host)
    local bytes, kind = read_rest(socket)
    assert.equal("", bytes)
    assert.equal("connection_lost", kind)
    fleet:refuse("web1", false)
    assert.equal("ok", (ssh(fleet, "web1", "echo ok")))
    assert.equal(2, fleet:connections "web1")
    fleet:pause "web1"
    socket = connect(host)
    assert.is_false((pcall(task.timeout, 0.2, await, socket.read, socket, 100)))
    assert.equal("ok", (ssh(fleet, "web2", "echo ok")))
    fleet:pause("web1", false)
    assert.truthy(await(socket.read, socket, 100):find "^SSH%-2%.0")
    socket:close()
  end))

  it("knows the server processes of a host, and kills them", with_fleet({ hosts = 2 }, function(fleet)
    local client = ssh_in_background(fleet, "web1", "sleep 100")
    local pids = eventually(function()
      return fleet:log "web1":find "Starting session" and fleet:pids "web1"
    end)
    assert.is_true(#pids >= 1)
    assert.same({}, fleet:pids "web2")
    assert.is_true(fleet:kill("web1", "KILL") >= 1)
    assert.equal(255, (await(client.wait, client)))
    assert.truthy(eventually(function() return #fleet:pids "web1" == 0 end))
  end))

  it("says what is wrong with its options", in_task(function()
    for _, opts in ipairs {
      { hosts = 0 }, { hosts = { "a", "a" } }, { hosts = { "../x" } }, { host = 2 }, { hosts = 1, per_host = { x = {} } },
    } do
      local err = run.fails("usage", function()
        local fleet = testbed.start(opts)
        return fleet
      end)
      assert.truthy(tostring(err):find "testbed_spec.lua")
    end
  end))

  it("serves in a later run, too", function()
    if task.current() then return end -- inside sshlua there is one run only
    local fleet
    task.run(function() fleet = testbed.start() end)
    task.run(function() assert.equal("ok", (ssh(fleet, nil, "echo ok"))) end)
    task.run(function() fleet:stop() end)
  end)
end)

describe("stopping the fleet", function()
  it("leaves no process, no directory and no listener", in_task(function()
    local fleet = testbed.start { hosts = 2 }
    local host = fleet:host()
    local client = ssh_in_background(fleet, "web1", "nohup sleep 1234 >/dev/null 2>&1 & setsid sleep 1234 & sleep 1234")
    local client2 = ssh_in_background(fleet, "web2", "trap '' TERM HUP; while :; do sleep 1; done")
    eventually(function()
      return fleet:log "web1":find "Starting session" and fleet:log "web2":find "Starting session"
    end)
    task.sleep(0.2)
    local own = fleet.site
    assert.is_true(fleet:stop())
    assert.is_false(exists(fleet.dir))
    assert.is_false(can_connect(host.address, host.port))
    local all = processes.list()
    assert.same({}, processes.marked(all, own.mark))
    for pid, process in pairs(all) do
      assert.is_false(process.parent == core.getpid() and process.name:find "^sshd" ~= nil, "sshd " .. pid)
    end
    assert.not_equal(0, (await(client.wait, client)))
    assert.not_equal(0, (await(client2.wait, client2)))
    assert.is_true(fleet:stop())
  end))

  it("ends stopped servers, too", in_task(function()
    local fleet = testbed.start()
    local client = ssh_in_background(fleet, nil, "sleep 100")
    eventually(function() return fleet:log():find "Starting session" end)
    fleet:kill(nil, "STOP")
    local before = core.now()
    assert.is_true(fleet:stop())
    assert.is_true(core.now() - before < 5)
    await(client.wait, client)
  end))

  it("works although the task is cancelled", in_task(function()
    local fleet
    pcall(task.timeout, 5, function()
      fleet = testbed.start()
      local ok, err = pcall(task.timeout, 0.05, task.sleep, 10)
      assert.is_false(ok)
      assert.equal("timeout", err.kind)
      task.scope(function(s)
        s:cancel()
        fleet:stop()
      end)
    end)
    assert.is_false(exists(fleet.dir))
  end))

  it("is done by the guardian when the process is killed", in_task(function()
    local script = [[
      local task = require "sshlua.task"
      local testbed = require "sshlua.testbed"
      local run = task.current() and function(fn) fn() end or task.run
      run(function()
        local fleet = testbed.start { hosts = 2 }
        local args = fleet:ssh_arguments "web1"
        args[#args + 1] = "nohup sleep 4321 >/dev/null 2>&1 & echo $!; sleep 4321"
        local client = require "sshlua.core".spawn { args = args, stdout = "inherit", stderr = "null" }
        while not fleet:log():find "Starting session" do task.sleep(0.01) end
        fleet:kill("web1", "STOP")
        print(fleet.dir, unpack and unpack(fleet:pids()) or table.unpack(fleet:pids()))
        io.stdout:flush()
        task.sleep(100)
      end)
    ]]
    local child = spawn_lua(script, {})
    local out, text = child:stdout(), ""
    eventually(function()
      text = text .. await(out.read, out, 4096)
      return text:find "/tmp[^\n]*\n"
    end)
    local sleeper = tonumber(text:match "^(%d+)\n")
    local dir, pid = text:match "(/%S+)\t(%d+)"
    assert.is_true(lives(tonumber(pid)))
    child:kill "KILL"
    assert.truthy(eventually(function() return not exists(dir) end))
    assert.is_false(lives(tonumber(pid)))
    if sleeper then assert.is_false(lives(sleeper)) end
    out:close()
  end))

  it("is done when a start fails half-way", in_task(function()
    local before, known = children(), directories()
    local ok, err = pcall(testbed.start, { hosts = 2, host_keys = { "ed25519", "nonsense" } })
    assert.is_false(ok)
    assert.equal("usage", err.kind)
    for pid, name in pairs(children()) do assert.equal(before[pid], name) end
    for path in pairs(directories()) do assert.is_true(known[path] or eventually(function() return is_looked_after(path) end)) end
  end))
end)

describe("a private daemon", function()
  it("listens by itself, drops by MaxStartups, and ends", in_task(function()
    local daemon = testbed.daemon { sshd_config = { "MaxStartups 2:100:2" } }
    local host = daemon:host()
    assert.equal("ok", (ssh(daemon, nil, "echo ok")))
    local held = {}
    for i = 1, 2 do
      held[i] = connect(host)
      assert.truthy(await(held[i].read, held[i], 100))
    end
    local third = connect(host)
    local bytes = read_rest(third)
    assert.is_nil(bytes:find "^SSH%-2%.0%-OpenSSH")
    assert.is_true(daemon:stop())
    assert.is_false(lives(host.pid))
    assert.is_false(can_connect(host.address, host.port))
    assert.is_false(exists(daemon.dir))
    for _, socket in ipairs { held[1], held[2], third } do socket:close() end
  end))

  it("says why sshd does not start", in_task(function()
    local ok, err = pcall(testbed.daemon, { sshd_config = { "Nonsense yes" } })
    assert.is_false(ok)
    assert.truthy(err.message:find "onsense")
  end))
end)

describe("a relay", function()
  it("passes bytes and ends through", through({}, echo, function(socket, relay)
    local text = ("x"):rep(300000)
    task.all(function()
      await(socket.write, socket, text)
      socket:close_write()
    end, function() assert.equal(text, read_all(socket)) end)
    assert.same({ { up = 300000, down = 300000 } }, relay.passed)
  end))

  it("delays without slowing down", through({ down = { delay = 0.2 } }, echo, function(socket)
    local before = core.now()
    for _ = 1, 10 do
      await(socket.write, socket, "x")
      task.sleep(0.02)
    end
    socket:close_write()
    assert.equal(("x"):rep(10), read_all(socket))
    local took = core.now() - before
    assert.is_true(took > 0.35 and took < 1.8, took) -- one after another they would take 2 s
  end))

  it("cuts with FIN after a number of bytes", through({ down = { cut_after = 5 } }, echo, function(socket)
    await(socket.write, socket, "123456789")
    local bytes, kind = read_rest(socket)
    assert.equal("12345", bytes)
    assert.is_nil(kind)
    for _ = 1, 3 do
      await(socket.write, socket, "more")
      task.sleep(0.02)
    end
  end))

  it("cuts with RST after a number of bytes", through({ down = { cut_after = 5, cut = "rst" } }, echo, function(socket)
    await(socket.write, socket, "123456789")
    local bytes, kind = read_rest(socket)
    assert.equal("12345", bytes)
    assert.equal("connection_lost", kind)
  end))

  it("cuts before the first byte", through({ up = { cut_after = 0, cut = "rst" } }, echo, function(socket)
    local bytes, kind = read_rest(socket)
    assert.equal("", bytes)
    assert.equal("connection_lost", kind)
  end))

  it("cuts the way up", through({ up = { cut_after = 3 } }, function(socket)
    local text = read_all(socket)
    await(socket.write, socket, "got " .. text)
  end, function(socket)
    await(socket.write, socket, "123456789")
    assert.equal("", (read_rest(socket)))
  end))

  it("freezes at a byte and thaws", through({ down = { freeze_after = 4 } }, echo, function(socket, relay)
    await(socket.write, socket, "123456789")
    assert.equal("1234", await(socket.read, socket, 100))
    local ok, err = pcall(task.timeout, 0.1, await, socket.read, socket, 100)
    assert.is_false(ok)
    assert.equal("timeout", err.kind)
    relay:thaw()
    assert.equal("56789", await(socket.read, socket, 100))
  end))

  it("freezes at any time", through({}, echo, function(socket, relay)
    await(socket.write, socket, "1")
    assert.equal("1", await(socket.read, socket, 100))
    relay:freeze()
    await(socket.write, socket, "2")
    assert.is_false((pcall(task.timeout, 0.1, await, socket.read, socket, 100)))
    relay:thaw()
    assert.equal("2", await(socket.read, socket, 100))
  end))

  it("sends single bytes", through({ down = { piece = 1 } }, echo, function(socket)
    await(socket.write, socket, "abcdef")
    local sizes = {}
    for i = 1, 6 do sizes[i] = #await(socket.read, socket, 100) end
    assert.same({ 1, 1, 1, 1, 1, 1 }, sizes)
  end))

  it("flips one bit of one byte", through({ down = { flip_at = 3, flip_bit = 5 } }, echo, function(socket)
    await(socket.write, socket, "abcd")
    socket:close_write()
    assert.equal("abCd", read_all(socket))
  end))

  it("ends its connections when told so", through({}, echo, function(socket, relay)
    await(socket.write, socket, "x")
    assert.equal("x", await(socket.read, socket, 1))
    relay:cut "rst"
    local _, kind = read_rest(socket)
    assert.equal("connection_lost", kind)
  end))

  it("carries a whole ssh session in single bytes", with_fleet({}, function(fleet)
    local host = fleet:host()
    local relay = testbed.relay { to = { host.address, host.port }, up = { piece = 1 }, down = { piece = 1 } }
    local args = fleet:ssh_arguments()
    for i, word in ipairs(args) do
      if word == ("%d"):format(host.port) then args[i] = ("%d"):format(relay.port) end
      if word == host.user .. "@" .. host.address then args[i] = host.user .. "@" .. relay.address end
    end
    table.insert(args, #args, "-oHostKeyAlias=[" .. host.address .. "]:" .. host.port)
    args[#args + 1] = "echo through"
    assert.equal("through\n", (processes.run(args)))
    relay:stop()
  end))
end)

describe("a raw server", function()
  it("runs a function per connection and keeps its errors", in_task(function()
    local server = testbed.raw_server(function(socket, number)
      await(socket.write, socket, "hello " .. number)
      if number == 2 then error "oops" end
    end)
    for i = 1, 2 do
      local socket = connect(server)
      assert.equal("hello " .. i, read_all(socket))
      socket:close()
    end
    assert.equal(2, server:connections())
    assert.equal(1, #server.errors)
    assert.truthy(server.errors[1]:find "oops")
    server:stop()
  end))

  it("stops functions that never end", in_task(function()
    local server = testbed.raw_server(function() task.sleep(1000) end)
    local socket = connect(server)
    task.sleep(0.02)
    server:stop()
    assert.is_nil(next(server.scope.tasks))
    read_rest(socket)
    socket:close()
    assert.is_false(can_connect(server.address, server.port))
  end))
end)

describe("a second user", function()
  local function with_user(opts, fn)
    return in_task(function()
      local user, reason = testbed.user(opts)
      if not user then run.skip(reason) end
      defer(function()
        user:stop()
        assert.is_false(exists(user.dir))
        assert.is_false(exists("/etc/pam.d/sshd-" .. user.name))
        assert.equal("", (processes.run { "grep", "^" .. user.name .. ":", "/etc/passwd", "/etc/group" }))
      end)
      fn(user)
    end)
  end

  local function fleet_of(user, opts, fn)
    opts.user = user
    local fleet = testbed.start(opts)
    defer(fleet.stop, fleet)
    fn(fleet)
  end

  it("logs in with the fleet's key and has its own home", with_user({}, function(user)
    fleet_of(user, { hosts = 2, homes = true }, function(fleet)
      assert.equal(user.name .. " " .. fleet:host().home, (ssh(fleet, nil, 'touch x; echo "$(id -un) $(pwd)"')))
    end)
  end))

  it("logs in with its password through PAM", with_user({ pam = "two_rounds" }, function(user)
    assert.equal(24, #user.password)
    fleet_of(user, { pam = true }, function(fleet)
      assert.equal("ok", (ssh(fleet, nil, "echo ok")))
      assert.is_true(#fleet:pids() <= 3)
    end)
  end))

  it("gets another name when there is one already", with_user({}, function(user)
    local second, reason = testbed.user()
    if not second then run.skip(reason) end
    defer(second.stop, second)
    assert.not_equal(user.name, second.name)
    assert.not_equal(user.uid, second.uid)
  end))

  it("is removed after a run that was interrupted", with_user({}, function(user)
    local script = [[
      local task = require "sshlua.task"
      local run = task.current() and function(fn) fn() end or task.run
      run(function()
        local user = require "sshlua.testbed".user { pam = "one_round" }
        io.write(user.name, " ", user.dir, "\n")
        io.stdout:flush()
        task.sleep(100)
      end)
    ]]
    local child = spawn_lua(script, {})
    local name, dir = await(child:stdout().read, child:stdout(), 1000):match "^(%S+) (%S+)\n"
    assert.not_equal(user.name, name)
    child:kill "KILL"
    await(child.wait, child)
    assert.truthy(eventually(function() return not exists(dir) end))
    assert.truthy(eventually(function()
      return not exists("/etc/pam.d/sshd-" .. name) and processes.run { "grep", "^" .. name .. ":", "/etc/passwd" } == ""
    end))
    child:stdout():close()
  end))

  it("can run a fleet itself, as an ordinary user", with_user({}, function(user)
    local script = [[
      local task = require "sshlua.task"
      local testbed = require "sshlua.testbed"
      local processes = require "sshlua.testbed.processes"
      local run = task.current() and function(fn) fn() end or task.run
      run(function()
        local fleet = testbed.start { hosts = 2, homes = true }
        local args = fleet:ssh_arguments "web2"
        args[#args + 1] = "id -un; pwd; nohup sleep 98765 >/dev/null 2>&1 &"
        io.write((processes.run(args)))
        print(fleet:host "web2".home)
        print(fleet:stop(), require "sshlua.core".fs_stat_sync(fleet.dir) == nil)
      end)
    ]]
    local child = spawn_lua(script, { uid = user.uid, gid = user.gid })
    local lines = {}
    for line in read_all(child:stdout()):gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal(0, (await(child.wait, child)))
    assert.same({ user.name, lines[3], lines[3], "true\ttrue" }, lines)
  end))
end)
