-- What ssh_config says and this client does not do: -v and explain tell each, with the line that says it and why.
local apply = require "sshlua.ssh_config.apply"
local files = require "spec.support.files"
local keywords = require "sshlua.ssh_config.keywords"
local program = require "spec.support.program"
local resolver = require "sshlua.ssh_config.resolver"
local run = require "spec.support.run"
local ssh = require "sshlua"

-- A line for each: whatever its keyword's status is "ignored" or "later".
local lines = {
  "ChannelTimeout session=5m", "ClearAllForwardings no", "ControlMaster auto", "ControlPath /tmp/%C", "ControlPersist 10",
  "DynamicForward 1080", "EnableEscapeCommandline yes", "EnableSSHKeysign yes", "ExitOnForwardFailure yes",
  "ForwardAgent yes", "ForwardX11 yes", "ForwardX11Timeout 5m", "ForwardX11Trusted no", "GatewayPorts yes",
  "GSSAPIAuthentication yes", "GSSAPIClientIdentity me", "GSSAPIDelegateCredentials yes", "GSSAPIKexAlgorithms gss-gex-sha1-",
  "GSSAPIKeyExchange yes", "GSSAPIRenewalForcesRekey yes", "GSSAPIServerIdentity it", "GSSAPITrustDns yes",
  "HostbasedAcceptedAlgorithms ssh-ed25519", "HostbasedAuthentication yes", "KbdInteractiveDevices pam", "LocalForward 8080 a:80",
  "LogVerbose kex.c:*:1000", "ObscureKeystrokeTiming no", "PermitRemoteOpen a:1", "RekeyLimit 1G 1h", "RemoteForward 90 b:90",
  "SecurityKeyProvider /usr/lib/sk.so", "StreamLocalBindMask 0077", "StreamLocalBindUnlink yes",
  "SyslogFacility AUTH", "TunnelDevice any:any", "UpdateHostKeys yes", "VerifyHostKeyDNS yes", "VersionAddendum x", "WarnWeakCrypto no",
  "XAuthLocation /usr/bin/xauth",
}

local function keyword_of(line) return keywords.by_name[line:match "^%a+%d*%a*":lower()] end

describe("what ssh_config says and this client does not do", function()
  after_each(files.remove)

  it("has a line here", function()
    local there = {}
    for _, line in ipairs(lines) do there[assert(keyword_of(line), line).name] = true end
    for _, def in ipairs(keywords.list) do
      local nothing = def.status == "ignored" or def.status == "later"
      assert(not nothing or there[def.name], def.title .. " has no line in this spec")
      assert(nothing or not there[def.name], def.title .. " is " .. def.status)
      assert(not nothing or def.why and def.why ~= "", def.title)
    end
  end)

  it("is told once with -v: the keyword, its file and line, and why", run.body(function()
    local path = files.write("config", "Host web1\n  " .. table.concat(lines, "\n  ") .. "\n  LocalForward 8081 a:81\nHost other\n  GatewayPorts no\n", 384)
    local heard = {}
    run.defer(ssh.log(function(event)
      if event.what == "ssh_config.ignored" then
        assert.equal("web1", event.host)
        heard[#heard + 1] = ("%s %s %s"):format(event.keyword, event.from, event.reason)
      end
    end))
    local function settings() return apply.options(resolver.resolve("web1", { file = path })) end
    settings()
    settings()
    local wanted = {}
    for number, line in ipairs(lines) do
      local def = keyword_of(line)
      wanted[#wanted + 1] = ("%s %s:%d %s"):format(def.title, path, number + 1, def.why)
    end
    wanted[#wanted + 1] = ("LocalForward %s:%d waits for forwarding"):format(path, #lines + 2)
    table.sort(heard)
    table.sort(wanted)
    assert.same(wanted, heard)
  end))

  it("is told by explain", run.body(function()
    local path = files.write("config", "Host web1\n  " .. table.concat(lines, "\n  ") .. "\n", 384)
    local r = program.run { "explain", "-F", path, "web1" }
    assert.equal(0, r.code, r.err)
    for number, line in ipairs(lines) do
      local def = keyword_of(line)
      local told = ("\n    %s:%d: %s%s\n"):format(path, number + 1, def.status == "later" and "ignored for now: " or "ignored: ", def.why)
      local at = r.out:find("\n" .. def.title .. " ", 1, true) or r.out:find("^" .. def.title .. " ")
      assert.truthy(at, def.title)
      assert.truthy(r.out:find(told, at, true), def.title .. told .. r.out)
    end
  end))

  it("comes with the right line for lists, too", run.body(function()
    local path = files.write("config", "LocalForward 1 a:1\nDynamicForward 2\nLocalForward 3 a:3\nSendEnv A B LC_X\nSendEnv -A D\nSendEnv -LC_*\n"
      .. "IdentityFile /a\nIdentityFile /b\n", 384)
    local r = program.run { "explain", "-F", path, "web1" }
    for line, text in pairs { "LocalForward 1 [a]:1", "DynamicForward 2", "LocalForward 3 [a]:3", "SendEnv B", "SendEnv D", [7] = "IdentityFile /a",
      [8] = "IdentityFile /b" } do
      assert.truthy(r.out:find(("\n%s\n    %s:%d: "):format(text, path, line), 1, true), text .. r.out)
    end
    assert.is_nil(r.out:find "LC_X")
  end))

  it("is printed by -v", run.body(function()
    local path = files.write("config", "Host web1\n  ProxyCommand exit 1\n  ControlMaster auto\n  LocalForward 8080 a:80\n", 384)
    local r = program.run { "-v", "-e", ('require "sshlua".connect("web1", { ssh_config = %q, tries = 1, batch = true })'):format(path) }
    assert.truthy(r.err:find("ssh_config.ignored from=" .. path .. ":3 keyword=ControlMaster reason=one connection per host", 1, true), r.err)
    assert.truthy(r.err:find("ssh_config.ignored from=" .. path .. ":4 keyword=LocalForward reason=waits for forwarding", 1, true), r.err)
    assert.is_nil(r.err:find("DynamicForward", 1, true))
  end))
end)
