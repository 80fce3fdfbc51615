-- Host certificates against a real sshd: which are offered, accepted, refused, and with which words.
local core = require "sshlua.core"
local hostkeys = require "sshlua.hostkeys"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local testbed = require "sshlua.testbed"

local body, fails = run.body, run.fails
local fleet, start_fleet, stop_fleet = servers.shared { host_keys = { "ed25519", "ecdsa", "rsa" } }

local count = 0
local function known(text)
  count = count + 1
  return servers.write_file(("%s/known.%d"):format(fleet().dir, count), text)
end

local authorities = {}
-- An authority's private key path and public line.
local function authority(name, kind)
  if not authorities[name] then
    local path, line = testbed.make_key(fleet().dir .. "/ca." .. name, kind or "ed25519")
    authorities[name] = { path = path, line = line, fingerprint = core.fingerprint(core.public_key_parse(line)) }
  end
  return authorities[name]
end

local function configure(lines)
  local host = fleet():host()
  local text = servers.read_file(host.config):gsub("\nHostCertificate [^\n]*", ""):gsub("\nHostKeyAlgorithms [^\n]*", "")
  servers.write_file(host.config, text:gsub("%s*$", "") .. "\n" .. lines .. "\n")
end

-- Signs the host's key of a kind and makes sshd show the certificate.
local function certify(ca, kind, args, more)
  local host = fleet():host()
  local key = ("%s/host_%s"):format(host.dir, kind or "ed25519")
  local argv = { "ssh-keygen", "-q", "-s", ca.path, "-I", "the id", "-h" }
  for _, word in ipairs(args or { "-n", host.address }) do argv[#argv + 1] = word end
  argv[#argv + 1] = key .. ".pub"
  processes.must_run(argv)
  configure(("HostCertificate %s-cert.pub\n%s"):format(key, more or ""))
  return key .. "-cert.pub"
end

local function ca_line(ca, names) return ("@cert-authority %s %s\n"):format(names or "*", ca.line) end

local function connect(text, more)
  local opts = { known_hosts = known(text) }
  for k, v in pairs(more or {}) do opts[k] = v end
  local s = servers.connect(fleet(), nil, opts)
  assert.equal("fine", tostring(s:exec "echo fine"))
  return s
end

local function refused(reason, text, more)
  local e = fails("hostkey", connect, text, more)
  assert.equal(reason, e.reason, tostring(e))
  return e
end

local function plain_line(kind)
  local host = fleet():host()
  local line = servers.read_file(("%s/host_%s.pub"):format(host.dir, kind or "ed25519")):match "^%S+ %S+"
  return ("[%s]:%d %s\n"):format(host.address, host.port, line)
end

local function target(text, more)
  local opts = { known_hosts = known(text) }
  for k, v in pairs(more or {}) do opts[k] = v end
  return { name = "web1", hostname = "web1.example", port = 22, user = "root", opts = opts }
end

describe("a host certificate", function()
  setup(start_fleet)
  teardown(stop_fleet)
  before_each(function() if not core.about().packet_hook then pending "without our host key methods" end end)

  for _, kind in ipairs { "ed25519", "ecdsa", "rsa" } do
    it(("of an %s key is accepted through its authority, and nothing is learnt"):format(kind), body(function()
      certify(authority "one", kind, nil, kind == "rsa" and "HostKeyAlgorithms rsa-sha2-256-cert-v01@openssh.com" or nil)
      local path = known(ca_line(authority "one"))
      local s = servers.connect(fleet(), nil, { known_hosts = path })
      assert.truthy(s.core:algorithms().host_key:find "%-cert%-v01@openssh.com$", s.core:algorithms().host_key)
      assert.equal(ca_line(authority "one"), servers.read_file(path))
    end))
  end

  for _, kind in ipairs { "ed25519", "ecdsa", "rsa" } do
    it(("signed by an %s authority is accepted"):format(kind), body(function()
      local ca = authority("kind-" .. kind, kind)
      certify(ca)
      connect(ca_line(ca))
    end))
  end

  it("stays the same through a later key exchange", body(function()
    certify(authority "one", "ed25519", nil, "RekeyLimit 1M")
    local s = connect(ca_line(authority "one"))
    assert.equal(4194304, #s:exec("head -c 4194304 /dev/zero").stdout)
  end))

  it("is not asked for while no authority is known for the host", body(function()
    certify(authority "one")
    local s = connect(plain_line())
    assert.equal("ssh-ed25519", s.core:algorithms().host_key)
    s = connect(plain_line() .. ca_line(authority "one", "other.example"))
    assert.equal("ssh-ed25519", s.core:algorithms().host_key)
  end))

  it("is asked for first when one is", function()
    local with = hostkeys.algorithms(target(ca_line(authority "one")))
    assert.truthy(with:find "^ssh%-ed25519%-cert%-v01@openssh.com,ecdsa", with)
    assert.truthy(with:find("cert-v01@openssh.com,ssh-ed25519,", 1, true), with)
    assert.is_nil(hostkeys.algorithms(target ""):find "cert")
    assert.is_nil(hostkeys.algorithms(target(ca_line(authority "one"), { fingerprints = "SHA256:x" })):find "cert")
  end)

  it("of an unknown authority is judged by its plain key", body(function()
    certify(authority "one")
    connect(plain_line() .. ca_line(authority "two"))
    local e = refused("unknown", ca_line(authority "two"))
    assert.truthy(e.message:find(authority("one").fingerprint, 1, true), e.message)
    e = refused("changed", ca_line(authority "two") .. plain_line "rsa")
    assert.truthy(e.message:find "no @cert%-authority line", e.message)
  end))

  local bad = {
    { "for another host", { "-n", "other.example" }, "is not for the name" },
    { "that names no host", {}, "names no host" },
    { "that has expired", { "-n", "127.0.0.2", "-V", "20200101:20210101" }, "has expired" },
    { "that is not valid yet", { "-n", "127.0.0.2", "-V", "20900101:20910101" }, "not valid yet" },
    { "with a critical option", { "-n", "127.0.0.2", "-O", "critical:x@y=z" }, "critical option" },
  }
  for _, case in ipairs(bad) do
    it(case[1] .. " is refused, whatever is done with unknown keys", body(function()
      certify(authority "one", nil, case[2])
      for _, strict in ipairs { "yes", "accept-new", "no" } do
        local e = refused("unknown", ca_line(authority "one"), { strict_host_key_checking = strict })
        assert.truthy(e.message:find(case[3], 1, true), e.message)
      end
      connect(ca_line(authority "one") .. plain_line()) -- as in ssh: then the plain key counts
    end))
  end

  it("of a user is refused", body(function()
    local host = fleet():host()
    processes.must_run { "ssh-keygen", "-q", "-s", authority("one").path, "-I", "x", "-n", host.address,
      host.dir .. "/host_ed25519.pub" }
    local blob = core.public_key_parse(servers.read_file(host.dir .. "/host_ed25519-cert.pub"))
    local ok, err = core.host_certificate_check(blob, host.address)
    assert.is_nil(ok)
    assert.equal("NOT_HOST_CERTIFICATE", err.name)
  end))

  it("may name hosts by pattern, and any of several", body(function()
    certify(authority "one", nil, { "-n", "db.example,127.0.*" })
    connect(ca_line(authority "one"))
    certify(authority "one", nil, { "-n", "127.0.0.?" })
    connect(ca_line(authority "one"))
    certify(authority "one", nil, { "-n", "127.0.1.*" })
    refused("unknown", ca_line(authority "one"))
  end))

  it("is checked against host_key_alias where there is one", body(function()
    certify(authority "one", nil, { "-n", "the.alias" })
    connect(ca_line(authority "one", "the.alias"), { host_key_alias = "The.Alias" })
    refused("unknown", ca_line(authority "one"), {})
  end))

  it("is refused when its authority or its key is revoked", body(function()
    certify(authority "one")
    for _, revoked in ipairs { authority("one").line, plain_line():match " (.*)\n" } do
      local text = ca_line(authority "one") .. "@revoked * " .. revoked .. "\n" .. plain_line()
      refused("revoked", text, { host_key_algorithms = "ssh-ed25519-cert-v01@openssh.com" })
    end
    -- As with ssh, also when no authority is trusted, or the plain key is known.
    refused("revoked", "@revoked * " .. authority("one").line .. "\n" .. plain_line())
    local list = known(authority("one").line .. "\n")
    refused("revoked", plain_line(), { revoked_host_keys = list })
  end))

  it("signed in a way that ca_signature_algorithms does not allow is refused", body(function()
    certify(authority("kind-rsa", "rsa"))
    local ca = ca_line(authority "kind-rsa")
    connect(ca, { ca_signature_algorithms = { "rsa-sha2-512" } })
    local e = refused("unknown", ca, { ca_signature_algorithms = "ssh-ed25519" })
    assert.truthy(e.message:find "rsa%-sha2%-512, which is not allowed", e.message)
  end))

  it("signed with SHA-1 is refused by default", body(function()
    local path = certify(authority("kind-rsa", "rsa"), nil, { "-t", "ssh-rsa", "-n", fleet():host().address })
    local blob = core.public_key_parse(servers.read_file(path))
    local ok, err = core.host_certificate_check(blob, fleet():host().address)
    assert.is_nil(ok)
    assert.equal("CERTIFICATE_ALGORITHM", err.name)
    assert.is_true(core.host_certificate_check(blob, fleet():host().address, "ssh-rsa"))
  end))

  it("with one bit changed anywhere is not one any more", body(function()
    local host = fleet():host()
    local blob = core.public_key_parse(servers.read_file(certify(authority "one")))
    assert.is_true(core.host_certificate_check(blob, host.address))
    for at = 1, #blob do
      local forged = blob:sub(1, at - 1) .. string.char((blob:byte(at) + 1) % 256) .. blob:sub(at + 1)
      assert.is_nil((core.host_certificate_check(forged, host.address)), "byte " .. at)
    end
  end))

  it("does not help when only the plain algorithm is asked for", body(function()
    certify(authority "one")
    refused("unknown", ca_line(authority "one"), { host_key_algorithms = "ssh-ed25519" })
    local e = refused("unknown", ca_line(authority "two") .. plain_line(),
      { host_key_algorithms = "ssh-ed25519-cert-v01@openssh.com" })
    assert.truthy(e.message:find "not among host_key_algorithms", e.message)
  end))

  it("signed with SHA-1 is taken where its algorithm is named, and nowhere else", body(function()
    local old = "ssh-rsa-cert-v01@openssh.com"
    certify(authority "one", "rsa", nil, "HostKeyAlgorithms " .. old)
    connect(ca_line(authority "one"), { host_key_algorithms = old })
    fails("handshake", connect, ca_line(authority "one"))
  end))

  it("is shown to verify_host_key, and pins mean its plain key", body(function()
    local host = fleet():host()
    certify(authority "one")
    local seen
    connect("", { host_key_algorithms = "ssh-ed25519-cert-v01@openssh.com",
      verify_host_key = function(key) seen = key return true end })
    assert.equal("the id", seen.certificate.key_id)
    assert.same({ host.address }, seen.certificate.principals)
    assert.equal("ssh-ed25519", seen.type)
    connect("", { host_key_algorithms = "ssh-ed25519-cert-v01@openssh.com", fingerprints = { seen.fingerprint } })
  end))
end)
