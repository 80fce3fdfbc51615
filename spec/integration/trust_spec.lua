-- What judges host keys beside known_hosts: lists of revoked keys, KnownHostsCommand, CheckHostIP, random art, hashes.
local core = require "sshlua.core"
local hostkeys = require "sshlua.hostkeys"
local log = require "sshlua.log"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local show = require "sshlua.hostkey_show"
local testbed = require "sshlua.testbed"

local body, fails, defer = run.body, run.fails, run.defer
local fleet, start_fleet, stop_fleet = servers.shared { host_keys = { "ed25519" } }

local count = 0
local function file(text, name)
  count = count + 1
  return servers.write_file(("%s/%s.%d"):format(fleet().dir, name or "file", count), text)
end

local function key(kind, args)
  count = count + 1
  local path, line = testbed.make_key(("%s/key.%d"):format(fleet().dir, count), kind)
  local made = { path = path, line = line, blob = core.public_key_parse(line) }
  if args then
    local argv = { "ssh-keygen", "-q" }
    for _, word in ipairs(args) do argv[#argv + 1] = word end
    argv[#argv + 1] = path .. ".pub"
    processes.must_run(argv)
    made.cert_path = path .. "-cert.pub"
    made.cert = core.public_key_parse(servers.read_file(made.cert_path))
  end
  return made
end

-- A revocation list as ssh-keygen makes it, of specification lines or key files.
local function make_krl(spec, ca)
  local path = file("", "krl")
  local argv = { "ssh-keygen", "-q", "-k", "-f", path }
  if ca then
    argv[#argv + 1] = "-s"
    argv[#argv + 1] = ca
  end
  argv[#argv + 1] = type(spec) == "string" and file(spec, "spec") or spec[1]
  processes.must_run(argv)
  return path
end

local function listed(path, blob)
  local krl, err = core.krl(servers.read_file(path), path)
  assert.truthy(krl, err and err.message)
  return krl:check(blob)
end

local function site() return ("[%s]:%d"):format(fleet():host().address, fleet():host().port) end
local function good() return site() .. " " .. fleet():host().host_key_line .. "\n" end

local function connect(more)
  local opts = { known_hosts = file(good(), "known") }
  for k, v in pairs(more or {}) do opts[k] = v end
  return servers.connect(fleet(), nil, opts), opts.known_hosts
end

local function refused(reason, more)
  local e = fails("hostkey", connect, more)
  assert.equal(reason, e.reason, tostring(e))
  return e
end

describe("a list of revoked keys", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("as ssh-keygen makes it says what ssh-keygen says", body(function()
    local ca, other = key "ed25519", key "ecdsa"
    local keys = { key "ed25519", key "rsa", key "ecdsa" }
    for i, serial in ipairs { 0, 1, 5, 63, 64, 1000, 4294967296, 9007199254740993 } do
      keys[#keys + 1] = key("ed25519", { "-s", ca.path, "-I", "id " .. i, "-z", ("%d"):format(serial), "-h", "-n", "x" })
    end
    keys[#keys + 1] = key("ed25519", { "-s", other.path, "-I", "id 3", "-z", "5", "-h", "-n", "x" })
    local text = {}
    for i = 1, 40 do text[i] = ("serial: %d"):format(i * 3) end
    local specs = {
      { "serial: 5\n", ca }, { "serial: 1-64\n", ca }, { table.concat(text, "\n") .. "\n", ca },
      { "serial: 1000\nserial: 1001\nserial: 4294967290-4294967300\n", ca }, { "serial: 1-9223372036854775807\n", ca },
      { "id: id 3\nid: id 4\n", ca }, { "id: id 3\n", nil, "none" }, { "sha1: " .. keys[1].line .. "\n" },
      { "sha256: " .. keys[2].line .. "\n" }, { "key: " .. keys[3].line .. "\n" }, { keys[1].line .. "\n" },
      { "hash: " .. core.fingerprint(keys[4].blob) .. "\n" }, { "key: " .. ca.line .. "\n" },
      { "sha256: " .. ca.line .. "\nkey: " .. keys[2].line .. "\n" }, { "serial: 9007199254740993\n", ca },
    }
    local compared, revoked = 0, 0
    for n, spec in ipairs(specs) do
      local krl = make_krl(spec[1], spec[2] and spec[2].path .. ".pub" or spec[3])
      for i, k in ipairs(keys) do
        for _, what in ipairs { { k.path .. ".pub", k.blob }, k.cert and { k.cert_path, k.cert } } do
          local status = processes.run { "sh", "-c", ('ssh-keygen -Q -f "%s" "%s" >/dev/null 2>&1; echo $?'):format(krl, what[1]) }
          local ours = listed(krl, what[2])
          assert.equal(status:match "%d" == "1", ours ~= false, ("list %d, key %d"):format(n, i))
          compared = compared + 1
          if ours then revoked = revoked + 1 end
        end
      end
    end
    assert.is_true(compared >= 250, tostring(compared))
    assert.is_true(revoked >= 30, tostring(revoked))
  end, 60))

  it("that is cut off or damaged anywhere is an error or says less than nothing", body(function()
    local ca = key "ed25519"
    local bytes = servers.read_file(make_krl("serial: 1-5\nserial: 70\nid: x\n", ca.path .. ".pub"))
    for n = 9, #bytes - 1 do
      local krl, err = core.krl(bytes:sub(1, n), "cut")
      if krl then assert.equal(44, n) else assert.truthy(err.message:find "^cut: ", err.message) end
    end
  end))

  it("refuses a host before anything else is asked, in whatever form the list is", body(function()
    local line = fleet():host().host_key_line
    for _, path in ipairs { file("# stolen\n" .. line .. " a comment\n"), make_krl(line .. "\n"),
      make_krl("sha256: " .. line .. "\n") } do
      local e = refused("revoked", { revoked_host_keys = path })
      assert.truthy(e.message:find(path, 1, true), e.message)
      refused("revoked", { revoked_host_keys = path, insecure_accept_any_host_key = true })
      refused("revoked", { revoked_host_keys = path, strict_host_key_checking = "no", known_hosts = "none" })
      refused("revoked", { revoked_host_keys = path, verify_host_key = function() return true end })
    end
    connect { revoked_host_keys = { file(key("ed25519").line .. "\n"), make_krl(key("ed25519").line .. "\n") } }
  end))

  it("that cannot be read or understood refuses every host", body(function()
    for _, path in ipairs { "/nowhere/revoked", file "what is this\n", file "SSHKRL\n\0\0\0\0\2", fleet().dir } do
      local e = fails("hostkey", connect, { revoked_host_keys = path, insecure_accept_any_host_key = true })
      assert.is_nil(e.reason)
      assert.truthy(e.message:find(path, 1, true), e.message)
      assert.truthy(e.hint, e.message)
    end
  end))
end)

describe("known_hosts_command", function()
  setup(start_fleet)
  teardown(stop_fleet)

  local function script(text)
    local path = file("#!/bin/sh\n" .. text .. "\n", "command")
    processes.must_run { "chmod", "755", path }
    return path
  end

  it("is asked before and after the key exchange, with what ssh tells it", body(function()
    local seen = file ""
    local path = script(([[printf '%%s\n' "$*" >> '%s'; echo '%s']]):format(seen, good():gsub("\n", "")))
    connect { known_hosts = "none", known_hosts_command = path .. ' %I %H "%h %p" %t %f %K %% %n %r %u' }
    local host = fleet():host()
    local tail = ("%% web1 %s %s"):format(host.user, core.user().name)
    local kind, base64 = host.host_key_line:match "(%S+) (%S+)"
    local fingerprint = core.fingerprint(core.public_key_parse(host.host_key_line))
    local where = ("%s %s %d"):format(site(), host.address, host.port)
    assert.equal(("ORDER %s NONE NONE NONE %s\nHOSTNAME %s %s %s %s %s\n"):format(where, tail, where, kind, fingerprint,
      base64, tail), servers.read_file(seen))
  end))

  it("may be an argument vector, and adds to the files", body(function()
    connect { known_hosts = "none", known_hosts_command = { script [[printf '%s\n' "$1 $2"]], "%H",
      fleet():host().host_key_line } }
    connect { known_hosts_command = script "true" }
    local e = refused("revoked", { known_hosts_command = script("echo '@revoked * " .. fleet():host().host_key_line .. "'") })
    assert.truthy(e.message:find("KnownHostsCommand-HOSTNAME:1", 1, true), e.message)
  end))

  it("that fails ends the connection, saying how", body(function()
    local cases = {
      { script "echo no database >&2; exit 3", "no database" }, { script "kill -9 $$", "KILL" },
      { "/nowhere/command", "nowhere" }, { "relative", "absolute path" }, { "/bin/echo 'open", "quote" },
      { "/bin/echo %Z", "token %Z" }, { "/bin/echo ${NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE" },
    }
    for _, case in ipairs(cases) do
      local e = fails("hostkey", connect, { known_hosts_command = case[1] })
      assert.truthy(e.message:find(case[2], 1, true), e.message)
      assert.truthy(e.message:find("known_hosts_command: ", 1, true), e.message)
    end
  end))

  it("is off with none and false", body(function()
    connect { known_hosts_command = "none" }
    connect { known_hosts_command = false }
  end))
end)

describe("check_host_ip", function()
  setup(start_fleet)
  teardown(stop_fleet)

  local function verify(text, more)
    local opts = { check_host_ip = true, known_hosts = file(text, "known"), batch = true }
    for k, v in pairs(more or {}) do opts[k] = v end
    local blob = core.public_key_parse(fleet():host().host_key_line)
    hostkeys.verify({ name = "web", hostname = "web.example", port = 22, address = "192.0.2.7", opts = opts }, blob)
    return servers.read_file(opts.known_hosts)
  end

  local function mine(name) return name .. " " .. fleet():host().host_key_line .. "\n" end

  it("learns the address of a host that is known", body(function()
    assert.equal(mine "web.example" .. mine "192.0.2.7", verify(mine "web.example"))
  end))

  it("learns both of a new one", body(function()
    assert.equal(mine "web.example" .. mine "192.0.2.7", verify("", { strict_host_key_checking = "accept-new" }))
  end))

  it("refuses an address that is known with another key, before the name is learnt", body(function()
    local other = "192.0.2.7 " .. key("ed25519").line .. "\n"
    for _, strict in ipairs { "yes", "accept-new", "ask" } do
      local e = fails("hostkey", verify, mine "web.example" .. other, { strict_host_key_checking = strict })
      assert.equal("changed", e.reason)
      assert.truthy(e.message:find("192.0.2.7", 1, true), e.message)
    end
    fails("hostkey", verify, other, { strict_host_key_checking = "accept-new" })
    verify(mine "web.example" .. other, { strict_host_key_checking = "no" })
    verify(mine "web.example" .. other, { check_host_ip = false })
  end))
end)

describe("fingerprints", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("and random art are those of ssh-keygen", body(function()
    for _, kind in ipairs { "ed25519", "rsa", "ecdsa" } do
      for _, hash in ipairs { "sha256", "md5" } do
        local k = key(kind)
        local out = processes.must_run { "ssh-keygen", "-lv", "-E", hash, "-f", k.path .. ".pub" }
        local bits, print, art = out:match "^(%d+) (%S+)[^\n]*\n(.-)%s*$"
        assert.equal(print, show.fingerprint(k.blob, hash))
        assert.equal(tonumber(bits), show.bits(k.blob))
        assert.equal(art, show.randomart(k.blob, hash))
      end
    end
  end))

  it("are shown with the hash that is asked for", body(function()
    local e = refused("unknown", { known_hosts = "none", fingerprint_hash = "md5", strict_host_key_checking = "yes" })
    assert.truthy(e.message:find "MD5:%x%x:", e.message)
    connect { known_hosts = "none", fingerprints = e.message:match "MD5:[%x:]+" }
    fails("usage", connect, { fingerprint_hash = "sha3" })
  end))

  it("come with random art where visual_host_key asks for it", body(function()
    local shown
    defer(log.listen(function(event) if event.what == "hostkey.art" then shown = event end end))
    connect { visual_host_key = true }
    assert.truthy(shown)
    assert.truthy(shown.text:find "%+%-%-%[ED25519 256%]%-%-%+", shown.text)
  end))
end)
