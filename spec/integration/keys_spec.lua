-- `sshlua keys ...` as people run it, against real servers and beside ssh-keygen.
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local testbed = require "sshlua.testbed"

local body, fails = run.body, run.fails
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 3, host_keys = { "ed25519", "ecdsa" } }

local count = 0
local function file(text)
  count = count + 1
  return servers.write_file(("%s/file.%d"):format(fleet().dir, count), text)
end

local function keys(code, ...)
  if not program.path then run.skip "the program is not known" end
  local r = program.run({ "keys", ... }, { env = { HOME = fleet().dir } })
  assert.equal(code, r.code, r.out .. r.err)
  return r.out, r.err
end

local function where(i) return ("%s:%d"):format(fleet().hosts[i].address, fleet().hosts[i].port) end
local function site(i) return ("[%s]:%d"):format(fleet().hosts[i].address, fleet().hosts[i].port) end
local function line(i, k) return site(i) .. " " .. fleet().hosts[i].host_key_lines[k or 1] .. "\n" end
local function fingerprint(i, k) return core.fingerprint(core.public_key_parse(fleet().hosts[i].host_key_lines[k or 1])) end

local function other_key()
  count = count + 1
  local _, text = testbed.make_key(("%s/other.%d"):format(fleet().dir, count), "ed25519")
  return text
end

local function sorted(text)
  local lines = {}
  for l in text:gmatch "[^\n]+" do lines[#lines + 1] = l end
  table.sort(lines)
  return lines
end

describe("sshlua keys", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("scan prints what ssh-keyscan prints", body(function()
    local host = fleet().hosts[1]
    local theirs = processes.run { "sh", "-c", ("ssh-keyscan -p %d -t ed25519,ecdsa,rsa %s 2>/dev/null"):format(host.port,
      host.address) }
    assert.same(sorted(theirs), sorted((keys(0, "scan", where(1)))))
    assert.equal(line(2) .. line(3), (keys(0, "scan", "-t", "ed25519", where(2), where(3))))
    local hashed = keys(0, "scan", "-H", "-t", "ed25519", where(1))
    assert.truthy(hashed:find "^|1|")
    local _, err = keys(1, "scan", "127.0.0.2:1")
    assert.truthy(err:find "refused", err)
  end))

  it("find says what a connection would, and where it stands", body(function()
    local k, k2 = fleet().hosts[1].host_key_line, other_key()
    local a = file("# head\nalpha,*.example " .. k .. "\n[alpha]:2222 " .. k2 .. "\n@revoked beta " .. k .. "\n")
    local b = file("gamma " .. k .. "\n")
    local function find(...) return (keys(...)):gsub("%s+$", "") end
    assert.equal("match " .. a .. ":2", find(0, "find", "-f", a, "-f", b, "--key", k, "alpha"))
    assert.equal("match " .. b .. ":1", find(0, "find", "-f", a, "-f", b, "--key", k, "gamma"))
    assert.equal("match " .. a .. ":2", find(0, "find", "-f", a, "--key", k, "x.example"))
    assert.equal("match " .. a .. ":3", find(0, "find", "-p", "2222", "-f", a, "--key", k2, "alpha"))
    assert.equal("changed " .. a .. ":3", find(1, "find", "-f", a, "--key=" .. k, "alpha:2222"))
    assert.equal("revoked " .. a .. ":4", find(1, "find", "-f", a, "--key", k, "beta"))
    assert.equal("unknown", find(1, "find", "-f", a, "--key", k, "delta"))
    assert.equal("match " .. a .. ":2", find(0, "find", "-f", a, "--alias", "alpha", "--key", k, "delta:99"))
    local _, err = keys(2, "find", "-f", a, "--key", "nonsense", "alpha")
    assert.truthy(err:find "TYPE BASE64", err)
  end))

  it("add takes a key that is given, or one with a fingerprint, and no other", body(function()
    local path = file ""
    keys(0, "add", "-f", path, "--key", fleet().hosts[1].host_key_line, where(1))
    assert.equal(line(1), servers.read_file(path))
    assert.truthy(keys(0, "add", "-f", path, "--key", fleet().hosts[1].host_key_line, where(1)):find "^known")
    assert.truthy(keys(0, "add", "-f", path, "--fingerprint", fingerprint(2, 2), where(2)):find "^added")
    assert.equal(line(1) .. line(2, 2), servers.read_file(path))
    local _, err = keys(1, "add", "-f", path, "--fingerprint", fingerprint(1), where(3))
    assert.truthy(err:find(fingerprint(3), 1, true), err)
    keys(2, "add", "-f", path, where(3)) -- nobody to ask
    assert.equal(line(1) .. line(2, 2), servers.read_file(path))
  end))

  it("remove leaves what ssh-keygen -R leaves, hash what ssh-keygen -H does", body(function()
    local k, k2 = fleet().hosts[1].host_key_line, other_key()
    local text = "# head\n\nalpha " .. k .. " a comment\nbeta " .. k2 .. "\n[alpha]:22022 " .. k2 .. "\nAlpha " .. k2
      .. "\n*.example " .. k .. "\n@revoked alpha " .. k2 .. "\n"
    local ours, theirs = file(text), file(text)
    keys(0, "remove", "-f", ours, "alpha")
    processes.must_run { "ssh-keygen", "-q", "-R", "alpha", "-f", theirs }
    -- ssh-keygen takes a revocation away with the host; we keep it.
    local kept = servers.read_file(ours):gsub("@revoked[^\n]*\n", "")
    assert.equal((servers.read_file(theirs):gsub("@revoked[^\n]*\n", "")), kept)
    assert.truthy(servers.read_file(ours):find("@revoked alpha", 1, true))
    assert.equal(text, servers.read_file(ours .. ".old"))
    keys(1, "remove", "-f", ours, "alpha")

    keys(0, "hash", "-f", ours)
    local hashed = servers.read_file(ours)
    assert.is_nil(hashed:find "beta")
    assert.truthy(hashed:find("# head\n", 1, true) and hashed:find("*.example", 1, true))
    keys(0, "find", "-f", ours, "--key", k2, "beta")
    keys(0, "find", "-f", ours, "--key", k2, "alpha:22022")
    assert.truthy(processes.run({ "ssh-keygen", "-F", "beta", "-f", ours }):find "found")
    keys(0, "remove", "-f", ours, "beta")
    keys(1, "find", "-f", ours, "--key", k2, "beta")
  end))

  it("remove takes one name out of a line of several", body(function()
    local path = file("alpha,beta,192.0.2.1 " .. other_key() .. "\n")
    keys(0, "remove", "-f", path, "beta")
    assert.truthy(servers.read_file(path):find "^alpha,192.0.2.1 ssh")
  end))

  it("audit names faults, and finds none in a good file", body(function()
    local k, k2 = fleet().hosts[1].host_key_line, other_key()
    local good = file(line(1) .. line(2) .. "@cert-authority * " .. k .. "\n")
    core.fs_chmod_sync(good, 384)
    assert.equal("", (keys(0, "audit", "-f", good)))
    local path = file("alpha " .. k .. "\nalpha " .. k2 .. "\nalpha " .. k .. "\nnonsense\nx ssh-ed25519 AAAA\n")
    core.fs_chmod_sync(path, 438)
    local out = keys(1, "audit", "-f", path)
    for _, text in ipairs { ": everybody may write", ":2: alpha has another", ":3: alpha has this key in line 1", ":4: ",
      ":5: " } do
      assert.truthy(out:find(path .. text, 1, true), out)
    end
  end))

  it("lock writes a reviewable file, which verify holds servers to", body(function()
    local path = fleet().dir .. "/fleet.lock"
    local _, err = keys(0, "lock", "-o", path, where(2), where(1), where(3))
    assert.truthy(err:find "not in known_hosts", err)
    local text = servers.read_file(path)
    for i = 1, 3 do
      for k = 1, 2 do
        local want = line(i, k):gsub("\n", " ") .. fingerprint(i, k) .. "\n"
        assert.truthy(text:find(want, 1, true), text)
      end
    end
    assert.truthy(text:find(site(1), 1, true) < text:find(site(2), 1, true))
    keys(0, "lock", "-o", path, where(1)) -- the others stay, nothing changes
    assert.equal(text, servers.read_file(path))
    assert.equal(3, select(2, keys(0, "verify", "-o", path):gsub("ok ", "")))

    local forged = text:gsub("(" .. site(2):gsub("%p", "%%%0") .. " ssh%-ed25519) %S+", "%1 " .. other_key():match " (%S+)")
    servers.write_file(path, forged)
    local out = keys(1, "verify", "-o", path)
    assert.truthy(out:find("changed " .. site(2) .. " ssh-ed25519", 1, true), out)
    assert.truthy(out:find("misleading", 1, true), out)
    assert.truthy(out:find("ok " .. site(1), 1, true), out)
    _, err = keys(0, "lock", "-o", path, where(2))
    assert.truthy(err:find("- " .. site(2), 1, true) and err:find("+ " .. site(2) .. " ssh-ed25519 " .. fingerprint(2), 1, true))
    assert.equal(text, servers.read_file(path))
    assert.truthy(keys(1, "verify", "-o", path, "127.0.0.9:22"):find "missing")
    servers.write_file(path, "what is this\n")
    keys(1, "verify", "-o", path)
  end, 60))

  it("lock refuses a key that known_hosts contradicts or revokes", body(function()
    local path, known = fleet().dir .. "/second.lock", file(site(1) .. " " .. other_key() .. "\n")
    local _, err = keys(1, "lock", "-o", path, "-f", known, where(1))
    assert.truthy(err:find "contradicted", err)
    assert.is_nil(servers.read_file(path))
    keys(0, "lock", "-o", path, "-f", known, "--force", where(1))
    os.remove(path)
    known = file("@revoked * " .. fleet().hosts[1].host_key_line .. "\n")
    keys(1, "lock", "-o", path, "-f", known, "--force", where(1))
    assert.is_nil(servers.read_file(path))
  end))

  it("says what is wrong with its arguments", body(function()
    for _, case in ipairs { { "frobnicate" }, {}, { "scan" }, { "find", "a" }, { "scan", "--key", "x", "a" }, { "scan", "-p" },
      { "scan", "-p", "0", "a" }, { "scan", "-t", "dsa", "a" }, { "find", "--key", "x", "a", "b" }, { "hash", "a" } } do
      keys(2, (table.unpack or unpack)(case)) -- luacheck: ignore 143
    end
  end))
end)

describe("host_key_lock", function()
  setup(start_fleet)
  teardown(stop_fleet)

  local function connect(lock, more)
    local opts = { host_key_lock = lock, known_hosts = "none" }
    for k, v in pairs(more or {}) do opts[k] = v end
    return servers.connect(fleet(), "web1", opts)
  end

  it("lets pass what it has, and nothing else, and learns nothing", body(function()
    local lock = file(line(1))
    connect(lock)
    connect(lock, { strict_host_key_checking = "yes" })
    local e = fails("hostkey", connect, file(line(2)), { strict_host_key_checking = "accept-new" })
    assert.equal("unknown", e.reason)
    assert.truthy(e.hint:find "sshlua keys lock", e.hint)
    local wrong = file(site(1) .. " " .. other_key() .. "\n")
    e = fails("hostkey", connect, wrong, { known_hosts = file(line(1)), strict_host_key_checking = "no" })
    assert.equal("changed", e.reason)
    assert.truthy(e.message:find(wrong .. ":1", 1, true), e.message)
    e = fails("hostkey", connect, "/nowhere/lock", { strict_host_key_checking = "no" })
    assert.truthy(e.message:find "/nowhere/lock", e.message)
    assert.equal(line(1), servers.read_file(lock))
  end))

  it("is read again when it has changed", body(function()
    local lock = file(line(2))
    fails("hostkey", connect, lock)
    servers.write_file(lock, line(2) .. line(1))
    local s = connect(lock)
    assert.equal("x", tostring(s:exec "echo x"))
    assert.is_true(ssh.is_error(fails("hostkey", connect, file ""), "hostkey"))
  end))
end)
