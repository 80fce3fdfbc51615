-- sshlua -W: standard input and output by way of a host, under real ssh's ProxyCommand and under our own.
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local fleet, start_fleet, stop_fleet = servers.shared {
  hosts = { "web1", "gate", "shut" }, per_host = { shut = { "AllowTcpForwarding no" } },
  sshd_config = { "AllowTcpForwarding yes" },
}

local count = 0
local function fresh(text)
  count = count + 1
  return servers.write_file(("%s/dial-%d"):format(fleet().dir, count), text or "")
end

-- A configuration that has every host of the fleet, and more lines.
local function config(lines)
  local out = { lines or "" }
  for _, name in ipairs { "web1", "gate", "shut" } do
    local host = fleet():host(name)
    out[#out + 1] = ("Host %s\n  HostName %s\n  Port %d\n  User %s\n  IdentityFile %s\n  IdentityAgent none\n  UserKnownHostsFile %s\n")
      :format(name, host.address, host.port, host.user, fleet().identity, fleet().known_hosts)
  end
  return fresh(table.concat(out, "\n") .. "\n")
end

local function proxy(path) return ("%s -W %%h:%%p -F %s gate"):format(task.await(core.fs_realpath, program.path), path) end

-- A TCP server of Lua code; its port.
local function listener(serve)
  local l = assert(core.tcp_listen("127.0.0.1", 0))
  run.defer(l.close, l)
  local function accept()
    l:accept(function(err, socket)
      if err then return end
      task.spawn(function() serve(socket) end)
      accept()
    end)
  end
  accept()
  return l:port()
end

local function dial(port, opts, name)
  return program.run({ "-W", "127.0.0.1:" .. port, "-F", config(), name or "gate" }, opts or {})
end

-- All 256 bytes, unevenly often, and many of them.
local function noise(size)
  local piece = {}
  for i = 1, 4099 do piece[i] = string.char(i * i % 256) end
  return table.concat(piece):rep(math.ceil(size / 4099)):sub(1, size)
end

describe("sshlua -W", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("is a ProxyCommand for ssh", run.body(function()
    local path = config()
    local out = processes.must_run { "ssh", "-F", path, "-o", "BatchMode=yes", "-o", "ProxyCommand=" .. proxy(path), "web1",
      "echo done" }
    assert.equal("done\n", out)
  end))

  it("carries large data of ssh in both directions unchanged", run.body(function()
    local path, sent = config(), noise(3000001)
    local input = fresh(sent)
    local output = fresh()
    processes.must_run { "sh", "-c", ("ssh -F %s -o BatchMode=yes -o 'ProxyCommand=%s' web1 cat <%s >%s"):format(path,
      proxy(path), input, output) }
    assert.is_true(sent == servers.read_file(output))
  end, 60))

  it("is a ProxyCommand for ourselves", run.body(function()
    local path = config()
    local s = ssh.connect("web1", { ssh_config = path, proxy_command = proxy(path), batch = true, tries = 1 })
    run.defer(s.close, s)
    assert.equal("fine", tostring(s:exec "echo fine"))
  end))

  it("goes through jump hosts of the configuration", run.body(function()
    local path = config "Host web1\n  ProxyJump gate\n"
    local r = program.run({ "-W", ("127.0.0.1:%d"):format(listener(function(socket)
      task.await(socket.write, socket, "hello")
      socket:close()
    end)), "-F", path, "web1" }, {})
    assert.equal("hello", r.out, r.err)
    assert.equal(0, r.code)
  end))

  it("ends its side when standard input ends, and goes on reading", run.body(function()
    local port = listener(function(socket)
      local got = {}
      for bytes in function() return task.await(socket.read, socket, 65536) end do got[#got + 1] = bytes end
      task.await(socket.write, socket, "got " .. #table.concat(got))
      socket:close()
    end)
    for _, opts in ipairs { { stdin = noise(200000) }, { shell = 'exec "$0" "$@" <' .. fresh(noise(200000)) } } do
      local r = dial(port, opts)
      assert.equal("got 200000", r.out, r.err)
      assert.equal(0, r.code)
    end
  end))

  it("ends its standard output when the other side ends its own, and goes on sending", run.body(function()
    local got = task.event()
    local port = listener(function(socket)
      task.await(socket.write, socket, "bye")
      socket:close_write()
      got:set(task.await(socket.read, socket, 100))
      socket:close()
    end)
    local child = program.start({ "-W", "127.0.0.1:" .. port, "-F", config(), "gate" }, { stdin = "pipe" }).proc
    local out = child:stdout()
    assert.equal("bye", task.await(out.read, out, 100))
    assert.is_nil((task.await(out.read, out, 100)))
    task.await(child:stdin().write, child:stdin(), "later")
    assert.equal("later", got:wait())
    child:stdin():close() -- until then, as with ssh -W, more might come
    assert.equal(0, (task.await(child.wait, child)))
  end))

  it("ends with 255 and says why when there is no connection", run.body(function()
    local closed = assert(core.tcp_listen("127.0.0.1", 0))
    local port = closed:port()
    closed:close()
    local r = dial(port)
    assert.equal(255, r.code)
    assert.truthy(r.err:find "gate cannot connect to 127.0.0.1", r.err)
    assert.equal("", r.out)
    r = dial(port, nil, "shut")
    assert.equal(255, r.code)
    assert.truthy(r.err:find "AllowTcpForwarding", r.err)
    for _, args in ipairs { { "-W" }, { "-W", "nowhere", "gate" }, { "-W", "a:1" }, { "-W", "a:1", "gate", "command" } } do
      r = program.run(args)
      assert.equal(255, r.code)
      assert.truthy(r.err:find "^sshlua: ", r.err)
    end
    assert.equal(0, program.run({ "dial", "--help" }).code)
  end))

  it("keeps the output of a LocalCommand out of the stream", run.body(function()
    local port = listener(function(socket)
      task.await(socket.write, socket, "clean")
      socket:close()
    end)
    local r = program.run({ "-W127.0.0.1:" .. port, "-F", config "Host gate\n  PermitLocalCommand yes\n  LocalCommand echo noise\n",
      "gate" }, {})
    assert.equal("clean", r.out)
    assert.truthy(r.err:find "noise")
  end))

  it("leaves the descriptors of others as they were", run.body(function()
    local port = listener(function(socket) socket:close() end)
    local r = dial(port, { shell = [["$0" "$@"; python3 -c 'import fcntl, os
print([bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK) for fd in (0, 1)])']], stdin = "" })
    assert.equal("[False, False]\n", r.out, r.err)
  end))
end)
