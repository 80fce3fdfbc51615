-- ProxyCommand: a child process that carries the connection; its words, its end, and its noise.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body, fails, defer = run.body, run.fails, run.defer

local fleet, start_fleet, stop_fleet = servers.shared { hosts = { "gate", "web1" } }

-- Options of web1, reached by a command; what would be said on our standard error is kept.
local function by(command, more)
  local opts = servers.options(fleet(), "web1", { proxy_command = command, tries = 1 })
  for k, v in pairs(more or {}) do opts[k] = v end
  return opts
end

local said
local function hear()
  said = {}
  local real = io.stderr
  io.stderr = { write = function(_, ...) said[#said + 1] = table.concat { ... } end } -- luacheck: ignore 122
  defer(function() io.stderr = real end) -- luacheck: ignore 122
end

-- How many children of this process run now, the fleet's servers aside.
local function children()
  local list = {}
  for pid, p in pairs(require("sshlua.testbed.processes").list()) do
    if p.parent == core.getpid() and not p.name:find "^sshd" then list[#list + 1] = pid end
  end
  return #list
end

describe("a proxy command", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("carries a connection: openssh's ssh -W, tokens put in", body(function()
    hear()
    local args = fleet():ssh_arguments "gate"
    local to = table.remove(args)
    local s = ssh.connect("web1", by(table.concat(args, " ") .. " -W %h:%p " .. to))
    assert.equal("ok\n", s:exec("echo ok").stdout)
    local r = s:exec("head -c 20000000 /dev/zero", { max_output = 1 })
    assert.equal(20000000, r.bytes)
    r = s:exec("wc -c", { stdin = ("x"):rep(5000000) })
    assert.equal("5000000", r.stdout:match "%d+")
    s:close()
  end, 60))

  it("is ended with its connection", body(function()
    hear()
    local before = children()
    local args = fleet():ssh_arguments "gate"
    local to = table.remove(args)
    local command = table.concat(args, " ") .. " -W %h:%p " .. to
    local s = ssh.connect("web1", by(command))
    assert.equal(before + 1, children())
    s:close()
    assert.equal(before, children())
    local h = ssh.host("web1", by(command))
    h:run "true"
    h:close()
    assert.equal(before, children())
    h:run "true" -- one that ignores TERM and the end of its input is killed
    h:close()
    fails("timeout", ssh.connect, "web1", by("sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'",
      { timeouts = { greeting = 0.3 } }))
    assert.equal(before, children())
  end, 60))

  it("that fails is told with its exit status and last words", body(function()
    hear()
    local e = fails("connection_lost", ssh.connect, "web1", by "sh -c 'echo first >&2; echo no way there >&2; exit 7'")
    assert.equal("the proxy command (sh) ended with exit status 7: no way there", e.message)
    assert.equal("web1", e.host)
    assert.equal("greeting", e.phase)
    assert.truthy(table.concat(said):find("first\nno way there\n", 1, true), table.concat(said))
    e = fails("connection_lost", ssh.connect, "web1", by "/nonexistent/nc %h %p")
    assert.truthy(e.message:find "exit status 127", e.message)
    assert.truthy(e.hint:find "installed", e.hint)
    e = fails("connection_lost", ssh.connect, "web1", by "sh -c 'kill -9 $$'")
    assert.truthy(e.message:find "was ended by", e.message)
    e = fails("connection_lost", ssh.connect, "web1", by "true")
    assert.truthy(e.message:find "exit status 0", e.message)
  end))

  it("has its words cleaned", body(function()
    hear()
    local e = fails("connection_lost", ssh.connect, "web1", by [[printf '\033]0;x\007\033[31mred\n' >&2]])
    assert.is_nil(table.concat(said):find("\27", 1, true))
    assert.is_nil(e.message:find "[%c]")
  end))

  it("that hangs ends with the greeting's time limit", body(function()
    hear()
    local took = run.took(function()
      local e = fails("timeout", ssh.connect, "web1", by("sleep 60", { timeouts = { greeting = 0.5 } }))
      assert.equal("greeting", e.phase)
      assert.truthy(e.message:find("by way of the proxy command (sleep)", 1, true), e.message)
    end)
    assert.is_true(took < 4, took)
    took = run.took(fails, "timeout", ssh.connect, "web1", by("sleep 60", { timeout = 0.5, tries = 5 }))
    assert.is_true(took < 4, took)
  end))

  it("that prints noise ends in an error that says so", body(function()
    hear()
    local e = fails("protocol", ssh.connect, "web1", by "yes")
    assert.truthy(e.message:find "not an SSH server", e.message)
    fails("protocol", ssh.connect, "web1", by "cat /dev/zero")
    e = fails("connection_lost", ssh.connect, "web1", by "printf 'HTTP/1.1 403 Forbidden\\r\\n\\r\\n'")
    assert.truthy(e.message:find "exit status 0", e.message)
    assert.truthy(e.message:find("HTTP/1.1 403 Forbidden", 1, true), e.message)
    -- one that fills its standard error
    e = fails("timeout", ssh.connect, "web1", by("sh -c 'yes >&2'", { timeouts = { greeting = 0.3 } }))
    assert.is_true(#e.message < 400)
  end))

  it("that dies later ends the session with its words", body(function()
    hear()
    local args = fleet():ssh_arguments "gate"
    local to = table.remove(args)
    local pidfile = fleet().dir .. "/proxy.pid"
    local s = ssh.connect("web1", by("sh -c 'echo $$ >" .. pidfile .. "; exec " .. table.concat(args, " ") .. " -W %h:%p " ..
      to .. "'"))
    defer(s.close, s)
    s:exec "true"
    core.kill(tonumber(servers.read_file(pidfile)), "KILL")
    local e = fails("connection_lost", s.exec, s, "true")
    assert.equal("the proxy command (sh) was ended by signal KILL", e.message)
  end, 60))

  it("is cancelled with its task, and leaves nothing", body(function()
    hear()
    local before = children()
    assert.is_true(run.took(fails, "timeout", task.timeout, 0.3, ssh.connect, "web1", by "sleep 60") < 4)
    assert.equal(before, children())
  end))

  it("may start where a jump host is, with more hosts behind", body(function()
    hear()
    local args = fleet():ssh_arguments "gate"
    local to = table.remove(args)
    local gate = ssh.host("gate", servers.options(fleet(), "gate", {
      proxy_command = table.concat(args, " ") .. " -W %h:%p " .. to,
    }))
    defer(gate.close, gate)
    local s = ssh.connect("web1", servers.options(fleet(), "web1", { via = gate }))
    assert.equal("ok\n", s:exec("echo ok").stdout)
    s:close()
  end, 60))

  it("with an unsafe name is refused before it runs", body(function()
    local opts = servers.options(fleet(), "web1", { proxy_command = "nc %h 22", hostname = "a;touch /tmp/x" })
    local e = fails("config", ssh.connect, "web1", opts)
    assert.truthy(e.message:find "not safe", e.message)
  end))
end)
