-- ssh_config at work: every keyword that is said to be applied, against a real sshd.
local apply = require "sshlua.ssh_config.apply"
local core = require "sshlua.core"
local program = require "spec.support.program"
local processes = require "sshlua.testbed.processes"
local resolver = require "sshlua.ssh_config.resolver"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local settings = require "sshlua.settings"
local site = require "sshlua.testbed.site"
local ssh = require "sshlua"
local task = require "sshlua.task"

local fleet, start_fleet, stop_fleet = servers.shared {
  hosts = { "web1", "web2", "gate", "rsa" }, per_host = { rsa = { "HostKeyAlgorithms rsa-sha2-512,rsa-sha2-256" } },
  host_keys = { "ed25519", "rsa" }, sshd_config = { "AcceptEnv LANG LC_* SSHLUA_*", "AllowTcpForwarding yes" },
}

local count = 0
local function fresh(text)
  count = count + 1
  local path = ("%s/config-%d"):format(fleet().dir, count)
  assert(core.fs_write_sync(path, text or "", 384))
  return path
end

-- A configuration in which `alias` is a host of the fleet, with more lines in front of what it takes to get there.
local function config_for(name, lines, general)
  local host = fleet():host(name)
  return fresh(("%s\nHost alias\n%s\n  HostName %s\n  Port %d\n  User %s\n  IdentityFile %s\n  UserKnownHostsFile %s\n  IdentityAgent none\n")
    :format(general or "", lines or "", host.address, host.port, host.user, fleet().identity, fleet().known_hosts))
end

local function connect(lines, opts, name)
  local all = { ssh_config = config_for(name or "web1", lines), batch = true, tries = 1 }
  for k, v in pairs(opts or {}) do all[k] = v end
  local s = ssh.connect("alias", all)
  run.defer(s.close, s)
  return s
end

local function refused(kind, lines, opts, name) return run.fails(kind, connect, lines, opts, name) end

local function agreed(lines) return connect(lines).core:algorithms() end

describe("ssh_config", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(function() settings.ssh_config_files = nil end)

  it("leads to the host: HostName, Port, User, IdentityFile, UserKnownHostsFile, IdentityAgent", run.body(function()
    local h = ssh.host("alias", { ssh_config = config_for "web1", batch = true })
    run.defer(h.close, h)
    assert.equal("here", h:read "echo here")
    assert.equal(fleet():host("web1").port, h.port)
    assert.equal(fleet():host("web1").address, h.hostname)
  end))

  it("yields to options, and a name's user and port to neither", run.body(function()
    local host = fleet():host "web1"
    local path = config_for("web1", "  User nobody\n  Port 1\n  HostName 127.0.0.99")
    local s = ssh.connect(("%s@alias:%d"):format(host.user, host.port), { ssh_config = path, hostname = host.address, batch = true })
    run.defer(s.close, s)
    assert.equal("ok", tostring(s:exec "echo ok"))
    local with_o = ssh.connect("alias", { ssh_config = path, batch = true, ssh_options = {
      "User=" .. host.user, "Port " .. host.port, "HostName = " .. host.address } })
    run.defer(with_o.close, with_o)
    assert.equal("ok", tostring(with_o:exec "echo ok"))
  end))

  it("is the user's file, then the system's, by default; false reads neither", run.body(function()
    settings.ssh_config_files = {
      user = config_for("web1", "  SetEnv SSHLUA_FROM=user"),
      system = fresh "Host alias\n  Port 1\n  SetEnv SSHLUA_FROM=system\n  HashKnownHosts yes\n",
    }
    local s = ssh.connect("alias", { ssh_config = true, batch = true })
    run.defer(s.close, s)
    assert.equal("user", tostring(s:exec "echo $SSHLUA_FROM"))
    run.fails("resolve", ssh.connect, "alias.invalid", { ssh_config = false, batch = true, tries = 1 })
  end))

  it("refuses a user's file that others may write, naming it", run.body(function()
    local path = fresh "Host *\n"
    assert(core.fs_chmod_sync(path, 438))
    settings.ssh_config_files = { user = path, system = "/nonexistent" }
    local err = run.fails("config", ssh.connect, "x", { ssh_config = true, batch = true })
    assert.truthy(err.message:find(path, 1, true))
  end))

  it("names file and line of what is wrong", run.body(function()
    local path = fresh "Port 22\n\nNonsense yes\n"
    local err = run.fails("config", ssh.connect, "x", { ssh_config = path, batch = true })
    assert.truthy(err.message:find(path .. ":3: nonsense: unknown keyword", 1, true))
    assert.truthy(err.hint:find "IgnoreUnknown")
    run.fails("config", ssh.connect, "x", { ssh_config = path .. ".none", batch = true })
  end))

  describe("decides how to log in:", function()
    it("PubkeyAuthentication, PreferredAuthentications and the other switches", run.body(function()
      local err = refused("auth", "  PubkeyAuthentication no\n  PasswordAuthentication no")
      assert.falsy(err.message:find(fleet().identity, 1, true))
      refused("auth", "  PreferredAuthentications password,keyboard-interactive")
      err = refused("config", "  PreferredAuthentications gssapi-with-mic")
      assert.truthy(err.message:find "config%-%d+:%d+: PreferredAuthentications")
      assert.truthy(connect "  PreferredAuthentications gssapi-with-mic,publickey\n  KbdInteractiveAuthentication no":is_alive())
    end))

    it("NumberOfPasswordPrompts and BatchMode", run.body(function()
      local own = servers.fleet { hosts = { "pw" }, sshd_config = { "PasswordAuthentication yes" } }
      local host, asked = own:host "pw", 0
      local path = fresh(("Host *\n HostName %s\n Port %d\n User %s\n UserKnownHostsFile %s\n NumberOfPasswordPrompts 2\n"
        .. " PreferredAuthentications password\n BatchMode yes\n"):format(host.address, host.port, host.user, own.known_hosts))
      local opts = { ssh_config = path, tries = 1, password = function()
        asked = asked + 1
        return "wrong"
      end }
      local err = run.fails("auth", ssh.connect, "pw", opts)
      assert.truthy(asked == 2 or not err.message:find "allows password", "asked " .. asked)
      opts.password = nil
      run.fails("auth", ssh.connect, "pw", opts)
    end))

    it("PubkeyAcceptedAlgorithms and RequiredRSASize", run.body(function()
      local err = refused("auth", "  PubkeyAcceptedAlgorithms rsa-sha2-512")
      assert.truthy(err.message:find("ssh-ed25519 is not among PubkeyAcceptedAlgorithms", 1, true))
      refused("config", "  PubkeyAcceptedAlgorithms ssh-dss")
      local key = site.make_key(fleet().dir .. "/short_rsa", "rsa")
      local path = config_for("web1", "  RequiredRSASize 3072\n  IdentitiesOnly yes")
      err = run.fails("auth", ssh.connect, "alias", { ssh_config = path, identity = key, batch = true })
      assert.truthy(err.message:find("an RSA key of 2048 bits, 3072 are required", 1, true))
      err = refused("hostkey", "  RequiredRSASize 3072\n  HostKeyAlgorithms rsa-sha2-512", nil, "rsa")
      assert.truthy(err.message:find "2048 bits")
    end))

    it("IdentityAgent, IdentitiesOnly, and a public key as IdentityFile", run.body(function()
      local socket = fleet().dir .. "/agent"
      local agent = assert(core.spawn { args = { "ssh-agent", "-D", "-a", socket }, stdin = "null", stdout = "null",
        stderr = "null", env = processes.environment() })
      run.defer(function()
        agent:kill "TERM"
        task.await(agent.wait, agent)
        os.remove(socket)
      end)
      assert(run.eventually(function() return core.fs_stat_sync(socket) end))
      processes.must_run { "env", "SSH_AUTH_SOCK=" .. socket, "ssh-add", "-q", fleet().identity }
      local host = fleet():host "web1"
      local general = ("Host alias\n HostName %s\n Port %d\n User %s\n UserKnownHostsFile %s\n"):format(host.address,
        host.port, host.user, fleet().known_hosts)
      local public = fresh(fleet().identity_line .. " comment\n")
      for _, lines in ipairs { " IdentityFile none\n IdentityAgent " .. socket,
        (" IdentityFile %s\n IdentitiesOnly yes\n IdentityAgent %s"):format(public, socket) } do
        local s = ssh.connect("alias", { ssh_config = fresh(general .. lines .. "\n"), batch = true })
        run.defer(s.close, s)
        assert.equal("in", tostring(s:exec "echo in"))
      end
      for _, lines in ipairs { " IdentityFile none\n IdentityAgent none",
        (" IdentityFile %s\n IdentitiesOnly yes\n IdentityAgent %s"):format(fresh "no key", socket) } do
        run.fails("auth", ssh.connect, "alias", { ssh_config = fresh(general .. lines .. "\n"), batch = true })
      end
    end))

    it("CertificateFile", run.body(function()
      local dir = fleet().dir
      local ca, ca_line = site.make_key(dir .. "/ca")
      local key = site.make_key(dir .. "/certified")
      local own = servers.fleet { hosts = { "c" }, sshd_config = { "TrustedUserCAKeys " .. fresh(ca_line .. "\n") } }
      local host = own:host "c"
      processes.must_run { "ssh-keygen", "-q", "-s", ca, "-I", "id", "-n", host.user, key .. ".pub" }
      assert(os.rename(key .. "-cert.pub", dir .. "/elsewhere.pub"))
      local path = fresh(("Host *\n HostName %s\n Port %d\n User %s\n UserKnownHostsFile %s\n IdentityFile %s\n IdentityAgent none\n")
        :format(host.address, host.port, host.user, own.known_hosts, key))
      run.fails("auth", ssh.connect, "c", { ssh_config = path, batch = true })
      local s = ssh.connect("c", { ssh_config = path, batch = true, ssh_options = { "CertificateFile " .. dir .. "/none",
        "CertificateFile %d/../" .. dir .. "/elsewhere.pub" } })
      run.defer(s.close, s)
      assert.equal("in", tostring(s:exec "echo in"))
    end))
  end)

  describe("decides what is agreed on:", function()
    it("KexAlgorithms, Ciphers, MACs, HostKeyAlgorithms, Compression", run.body(function()
      local a = agreed("  KexAlgorithms ecdh-sha2-nistp384\n  Ciphers aes256-ctr\n  MACs hmac-sha2-512\n"
        .. "  HostKeyAlgorithms ssh-rsa,rsa-sha2-256\n  Compression yes")
      assert.same({ "ecdh-sha2-nistp384", "aes256-ctr", "hmac-sha2-512", "rsa-sha2-256" }, { a.kex, a.cipher_in, a.mac_in, a.host_key })
      assert.truthy(a.compression:find "zlib")
    end))

    it("with + - ^ against what is offered otherwise", run.body(function()
      local a = agreed "  Ciphers -*gcm*,chacha20*\n  KexAlgorithms ^ecdh-sha2-nistp521\n  MACs -*etm*\n  HostKeyAlgorithms -ssh-ed25519*,rsa-sha2-512"
      assert.same({ "ecdh-sha2-nistp521", "aes256-ctr", "hmac-sha2-256", "rsa-sha2-256" }, { a.kex, a.cipher_in, a.mac_in, a.host_key })
    end))

    it("is an error when nothing is left that this client can do", run.body(function()
      for _, line in ipairs { "KexAlgorithms sntrup761x25519-sha512@openssh.com", "MACs umac-64@openssh.com", "HostKeyAlgorithms ssh-dss" } do
        local err = refused("config", "  " .. line)
        assert.truthy(err.message:find("config%-%d+:3: " .. line:match "%a+"), err.message)
      end
    end))
  end)

  describe("decides whom to trust:", function()
    it("StrictHostKeyChecking, UserKnownHostsFile, HashKnownHosts, HostKeyAlias", run.body(function()
      local learnt = fleet().dir .. "/learnt"
      run.defer(os.remove, learnt)
      local file = "  UserKnownHostsFile " .. learnt .. "\n"
      refused("hostkey", file .. "  StrictHostKeyChecking yes")
      refused("hostkey", file .. "  StrictHostKeyChecking ask")
      connect(file .. "  StrictHostKeyChecking accept-new\n  HostKeyAlias Called.So")
      assert.truthy(servers.read_file(learnt):find "^called%.so ")
      connect(file .. "  StrictHostKeyChecking no\n  HashKnownHosts yes\n  HostKeyAlias other")
      assert.truthy(servers.read_file(learnt):find "\n|1|")
      connect(file .. "  StrictHostKeyChecking yes\n  HostKeyAlias other")
    end))

    it("GlobalKnownHostsFile is asked and never written to", run.body(function()
      connect("  UserKnownHostsFile none\n  GlobalKnownHostsFile " .. fleet().known_hosts .. "\n  StrictHostKeyChecking yes")
      local global = fresh ""
      connect("  UserKnownHostsFile none\n  GlobalKnownHostsFile " .. global .. "\n  StrictHostKeyChecking accept-new")
      assert.equal("", servers.read_file(global))
    end))

    it("NoHostAuthenticationForLocalhost, RevokedHostKeys, KnownHostsCommand", run.body(function()
      connect("  UserKnownHostsFile none\n  GlobalKnownHostsFile none\n  NoHostAuthenticationForLocalhost yes\n  StrictHostKeyChecking yes")
      local host = fleet():host "web1"
      local err = refused("hostkey", "  HostKeyAlgorithms ssh-ed25519\n  RevokedHostKeys " .. fresh(host.host_key_line .. "\n"))
      assert.equal("revoked", err.reason)
      connect(("  UserKnownHostsFile none\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  HostKeyAlgorithms ssh-ed25519\n"
        .. "  KnownHostsCommand /bin/echo %%H %s"):format(host.host_key_line))
    end))
  end)

  describe("decides the way:", function()
    it("AddressFamily, BindAddress, BindInterface", run.body(function()
      assert.equal("127.0.0.77", tostring(connect "  BindAddress 127.0.0.77":exec "echo ${SSH_CONNECTION%% *}"))
      assert.equal("127.0.0.1", tostring(connect "  BindInterface lo":exec "echo ${SSH_CONNECTION%% *}"))
      refused("config", "  BindInterface none-such")
      refused("resolve", "  AddressFamily inet6")
    end))

    it("ConnectTimeout and ConnectionAttempts", run.body(function()
      local own = servers.fleet { hosts = { "t" } }
      local host = own:host "t"
      local path = fresh(("Host *\n HostName %s\n Port %d\n User %s\n UserKnownHostsFile %s\n IdentityFile %s\n ConnectTimeout 1\n ConnectionAttempts 2\n")
        :format(host.address, host.port, host.user, own.known_hosts, own.identity))
      own:pause "t"
      local err
      local took = run.took(function()
        err = run.fails("timeout", ssh.connect, "t", { ssh_config = path, batch = true, agent = false })
      end)
      assert.equal("greeting", err.phase)
      assert(took > 1.9 and took < 8, took)
    end))

    it("TCPKeepAlive", run.body(function()
      -- The kernel shows its timers: 02 is the one for keepalive probes.
      local function timers(lines)
        local s = connect(lines)
        local port = tostring(s:exec "set -- $SSH_CONNECTION; echo $2")
        local text = servers.read_file "/proc/net/tcp"
        if not text then run.skip "there is no /proc/net/tcp" end
        return text:match((":%04X %%x+:%%x+ 01 %%x+:%%x+ (%%x%%x):"):format(tonumber(port)))
      end
      assert.equal("02", timers "")
      assert.not_equal("02", timers "  TCPKeepAlive no")
    end))

    it("IPQoS", run.body(function()
      if #processes.run { "sh", "-c", "command -v python3" } == 0 then run.skip "there is no python3" end
      local code = [[
import socket, sys
l = socket.socket(); l.setsockopt(0, 13, 1); l.bind(("127.0.0.1", 0)); l.listen(1)
print(l.getsockname()[1], flush=True)
c, _ = l.accept(); c.setsockopt(0, 13, 1); c.recv(1)
data = c.getsockopt(0, 9, 200); print(data.hex(), flush=True)
]]
      local python = assert(core.spawn { args = { "python3", "-c", code }, stdin = "null", stdout = "pipe", stderr = "inherit" })
      run.defer(function()
        python:kill "KILL"
        python:stdout():close()
        task.await(python.wait, python)
      end)
      local out = python:stdout()
      local port = tonumber(task.await(out.read, out, 100):match "%d+")
      local path = fresh(("Host *\n HostName 127.0.0.1\n Port %d\n IPQoS ef cs1\n ConnectTimeout 5\n"):format(port))
      local ok, err = ssh.try(ssh.connect, "x", { ssh_config = path, batch = true, tries = 1 })
      assert(not ok and err)
      local hex = task.await(out.read, out, 1000)
      assert.truthy(hex:find "01000000" and hex:find "20", "the type of service is not 0x20: " .. hex)
    end))

    it("ServerAliveInterval and ServerAliveCountMax", run.body(function()
      local own = servers.fleet { hosts = { "s" } }
      local host = own:host "s"
      local path = fresh(("Host *\n HostName %s\n Port %d\n User %s\n UserKnownHostsFile %s\n IdentityFile %s\n"
        .. " ServerAliveInterval 1\n ServerAliveCountMax 2\n")
        :format(host.address, host.port, host.user, own.known_hosts, own.identity))
      local s = ssh.connect("s", { ssh_config = path, batch = true, agent = false })
      run.defer(s.close, s)
      own:kill("s", "STOP")
      local took = run.took(function() run.fails("connection_lost", s.exec, s, "true") end)
      own:kill("s", "CONT")
      assert(took < 10, took)
    end))

    it("ProxyJump and ProxyCommand, each hop with its own section", run.body(function()
      local gate, target = fleet():host "gate", fleet():host "web2"
      local common = ("  IdentityFile %s\n  UserKnownHostsFile %s\n  IdentityAgent none\n"):format(fleet().identity, fleet().known_hosts)
      local path = fresh(("Host jumper\n  HostName %s\n  Port %d\n  User %s\n%sHost behind\n  HostName %s\n  Port %d\n  User %s\n%s  ProxyJump jumper\n"
        .. "Match host by-command\n  ProxyCommand echo %%h-%%p-%%r >&2\n"):format(gate.address, gate.port, gate.user, common,
        target.address, target.port, target.user, common))
      local before = fleet():connections "gate"
      local jumper = ssh.host("jumper", { ssh_config = path })
      run.defer(jumper.close, jumper)
      local s = ssh.connect("behind", { ssh_config = path, batch = true })
      run.defer(s.close, s)
      assert.equal("through", tostring(s:exec "echo through"))
      assert.equal(before + 1, fleet():connections "gate")
      local err = run.fails("connection_lost", ssh.connect, "me@by-command", { ssh_config = path, batch = true, tries = 1 })
      assert.truthy((err.message .. (err.hint or "") .. err:describe()):find("by-command-22-me", 1, true), err:describe())
    end))

    it("ProxyJump with tokens, which ssh takes there", run.body(function()
      local function chain(lines, host)
        local config = resolver.resolve(host or "web1", { file = fresh("Host *\n" .. lines) })
        return apply.options(config).proxy_jump
      end
      assert.equal("gw-real,jo@%-42:7", chain "ProxyJump gw-%h,jo@%%-%p:7\nHostName real\nPort 42\n")
      assert.equal("gw-web1", chain "ProxyJump gw-%n\nHostName real\n")
      assert.equal("[fe80::1%eth0]", chain "ProxyJump [fe80::1%eth0]\n")
      for _, lines in ipairs { "ProxyJump gw-%h\nHostName ::1\n", "ProxyJump %r@gw\nUser a,b\n" } do
        local err = run.fails("config", chain, lines)
        assert.truthy(err.message:find "config%-%d+:2: ProxyJump: %%%l would be '", err.message)
      end
    end))
  end)

  describe("decides what a command gets:", function()
    it("SetEnv and SendEnv, and what the server refuses is left out", run.body(function()
      local s = connect "  SetEnv SSHLUA_A=1 NOT_TAKEN=2\n  SendEnv NOT_TAKEN PAT*"
      assert.equal("1-", tostring(s:exec "echo $SSHLUA_A-$NOT_TAKEN"))
      assert.equal("own", tostring(s:exec("echo $SSHLUA_A", { env = { SSHLUA_A = "own" } })))
      local path = config_for("web1", "  SendEnv LC_SSHLUA*")
      local r = program.run({ "-e", ([[print(require "sshlua".connect("alias", { ssh_config = %q, batch = true }):exec "echo $LC_SSHLUA_X")]])
        :format(path) }, { env = { LC_SSHLUA_X = "sent" } })
      assert.equal("sent\n", r.out, r.err)
    end))

    it("RequestTTY force", run.body(function()
      assert.equal("no", tostring(connect "  RequestTTY yes":exec "test -t 1 && echo yes || echo no"))
      local s = connect "  RequestTTY force"
      assert.equal("yes", (tostring(s:exec "test -t 1 && echo yes || echo no"):gsub("\r", "")))
      assert.equal("no", tostring(s:exec("test -t 1 && echo yes || echo no", { pty = false })))
    end))

    it("LogLevel, of this host only", run.body(function()
      local code = [[print(require "sshlua".connect("alias", { ssh_config = %q, batch = true }):exec "true".code)]]
      local loud = program.lua(code:format(config_for("web1", "  LogLevel DEBUG2")))
      assert.truthy(loud.err:find "alias kex", loud.err)
      assert.equal("", program.lua(code:format(config_for("web1", "  LogLevel INFO"))).err)
    end))
  end)

  it("refuses what it cannot do, and says what it leaves out", run.body(function()
    for _, line in ipairs { "Tunnel yes", "ProxyUseFdpass yes", "RefuseConnection closed today" } do
      local err = refused("config", "  " .. line)
      assert.truthy(err.message:find("config%-%d+:3: " .. line:match "%a+"), err.message)
    end
    local unreadable = refused("config", "  RevokedHostKeys /nonexistent")
    assert.truthy(unreadable.message:find "config%-%d+:3: RevokedHostKeys: cannot be read: ", unreadable.message)
    refused("config", "  IdentityAgent none\n  PKCS11Provider /usr/lib/p11.so")
    connect "  Tunnel no\n  ProxyUseFdpass no\n  PKCS11Provider none"
    local heard = {}
    local stop = ssh.log(function(event)
      if event.what == "ssh_config.ignored" then heard[#heard + 1] = event.keyword end
    end)
    run.defer(stop)
    connect "  GSSAPIAuthentication yes\n  ControlMaster auto"
    table.sort(heard)
    assert.same({ "ControlMaster", "GSSAPIAuthentication" }, heard)
  end))

  it("is explained to scripts: ssh.config.resolve", run.body(function()
    local path = config_for("web1", "  Ciphers +aes128-cbc")
    local config = ssh.config.resolve("alias", { file = path, options = { "Port=77" } })
    assert.equal(77, config:get "Port")
    assert.equal("command line", config:origin "Port")
    assert.equal(path .. ":3", config:origin "ciphers")
    assert.is_nil(config:origin "Compression")
    assert.truthy(tostring(config):find "\nport 77\n")
    run.fails("usage", ssh.config.resolve, "alias", { nonsense = 1 })
  end))
end)
