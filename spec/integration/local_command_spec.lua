-- LocalCommand: what runs here when a connection has been made, compared with ssh.
local local_command = require "sshlua.local_command"
local processes = require "sshlua.testbed.processes"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"

local fleet, start_fleet, stop_fleet = servers.shared { hosts = { "web1", "gate" }, sshd_config = { "AllowTcpForwarding yes" } }

local count = 0
local function fresh(text)
  count = count + 1
  return servers.write_file(("%s/local-%d"):format(fleet().dir, count), text or "")
end

local function config(lines)
  local host = fleet():host "web1"
  return fresh(("Host alias\n  HostName %s\n  Port %d\n  User %s\n  IdentityFile %s\n  IdentityAgent none\n  UserKnownHostsFile %s\n%s\n")
    :format(host.address, host.port, host.user, fleet().identity, fleet().known_hosts, lines))
end

local function connect(lines)
  local s = ssh.connect("alias", { ssh_config = config(lines), batch = true, tries = 1 })
  run.defer(s.close, s)
  return s
end

describe("LocalCommand", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("has run when the connection is there, with the tokens that ssh gives it", run.body(function()
    local ours, theirs = fresh(), fresh()
    local line = "  PermitLocalCommand yes\n  LocalCommand echo '%% %d %h %i %k %L %l %n %p %r %u %T %C' > "
    connect(line .. ours)
    processes.must_run { "ssh", "-F", config(line .. theirs), "-o", "BatchMode=yes", "alias", "true" }
    assert.equal(servers.read_file(theirs), servers.read_file(ours))
    assert.truthy(servers.read_file(ours):find "^%% /")
  end))

  it("is run by the user's shell, once for each connection", run.body(function()
    local out = fresh()
    local s = connect("  PermitLocalCommand yes\n  LocalCommand for i in 1 2; do echo $i; done >> " .. out)
    s:exec "true"
    s:exec "true"
    assert.equal("1\n2\n", servers.read_file(out))
  end))

  it("is not run without PermitLocalCommand", run.body(function()
    local out = fresh()
    connect("  LocalCommand echo x > " .. out)
    connect("  PermitLocalCommand no\n  LocalCommand echo x > " .. out)
    connect("  PermitLocalCommand yes\n  LocalCommand none")
    assert.equal("", servers.read_file(out))
  end))

  it("that fails, or leaves something running, changes nothing", run.body(function()
    local events = {}
    run.defer(ssh.log(function(event) if event.what == "local_command" then events[#events + 1] = event end end))
    assert.equal("fine", tostring(connect "  PermitLocalCommand yes\n  LocalCommand exit 3":exec "echo fine"))
    assert.equal(3, events[1].code)
    assert.equal("fine", tostring(connect "  PermitLocalCommand yes\n  LocalCommand sleep 3 &":exec "echo fine"))
    assert.equal(0, events[2].code)
  end))

  it("writes to our standard output, after what the script has said", run.body(function()
    local path = config "  PermitLocalCommand yes\n  LocalCommand echo command"
    local r = program.run { "-e", ([[io.write "before\n"; local s = require "sshlua".connect("alias", { ssh_config = %q })
      print "after"; s:close()]]):format(path) }
    assert.equal("before\ncommand\nafter\n", r.out, r.err)
  end))

  it("with an unknown token is an error with its line", run.body(function()
    local e = run.fails("config", connect, "  PermitLocalCommand yes\n  LocalCommand echo %z")
    assert.truthy(e.message:find "local%-%d+:9: LocalCommand: unknown token %%z", e.message)
  end))

  it("is ended at its time limit, with what it started, and the connection goes on", run.body(function()
    local events, mark = {}, fresh()
    run.defer(ssh.log(function(event) if event.what == "local_command" then events[#events + 1] = event end end))
    local usual = local_command.seconds
    assert.equal(60, usual)
    run.defer(function() local_command.seconds = usual end)
    local_command.seconds = 0.5
    local s = connect("  PermitLocalCommand yes\n  LocalCommand exec sh -c 'echo $$ > " .. mark .. "; exec sleep 50'")
    assert.equal("fine", tostring(s:exec "echo fine"))
    assert.truthy(events[1].error:find("did not end within 0.5 s", 1, true), events[1].error)
    local pid = servers.read_file(mark):match "%d+"
    assert.truthy(pid == nil or not processes.list()[tonumber(pid)], "it is still there")
  end))

  it("is ended when a person gives up", run.body(function()
    local e = run.fails("timeout", ssh.timeout, 1, connect, "  PermitLocalCommand yes\n  LocalCommand sleep 50")
    assert.equal("timeout", e.kind)
  end))
end)
