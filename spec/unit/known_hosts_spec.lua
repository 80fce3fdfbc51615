-- The Lua face of known_hosts. What lines mean is tested in C (spec/c/known_hosts*_test.c).
local core = require("sshlua.core")
local files = require("spec.support.files")

-- Well-formed ed25519 and RSA blobs, no real keys.
local function ed25519(n)
  return "\0\0\0\11ssh-ed25519\0\0\0\32" .. string.rep(string.char(n), 32)
end

local function rsa(n)
  return "\0\0\0\7ssh-rsa\0\0\0\3\1\0\1\0\0\0\129\0" .. string.rep(string.char(128 + n), 128)
end

local function line(name, blob, port, hashed)
  return assert(core.known_hosts_line(name, port or 22, blob, hashed))
end

local function set_of(...)
  local set = core.known_hosts()
  assert.is_true(set:add_text(table.concat({ ... }, "\n"), "some_file"))
  return set
end

local function temp_dir()
  local path = os.tmpname()
  os.remove(path)
  return path
end

local function write_file(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local read_file = files.read

describe("a set of known hosts", function()
  it("answers with a verdict and the line it rests on", function()
    local set = set_of("# hello", line("web.ex", ed25519(1)))
    local verdict, info = set:check("WEB.ex", 22, ed25519(1))
    assert.equal("match", verdict)
    assert.same({
      file = "some_file",
      line = 2,
      type = "ssh-ed25519",
      blob = ed25519(1),
      fingerprint = core.fingerprint(ed25519(1)),
      usable = true,
    }, info)
    verdict, info = set:check("web.ex", 22, rsa(1))
    assert.equal("changed", verdict)
    assert.equal(2, info.line)
    verdict, info = set:check("web.ex", 2222, rsa(1))
    assert.equal("unknown", verdict)
    assert.is_nil(info)
  end)

  it("knows a revoked key before all else", function()
    local set = set_of(line("h", ed25519(1)), "@revoked * " .. line("h", ed25519(1)):gsub("^h ", ""))
    local verdict, info = set:check("h", 22, ed25519(1))
    assert.equal("revoked", verdict)
    assert.equal("revoked", info.marker)
    assert.equal(2, info.line)
  end)

  it("lists the types to ask a host for, and its lines", function()
    local set = set_of(
      line("h", rsa(1)),
      line("h", ed25519(1)),
      line("h", ed25519(2), 22, true),
      "@cert-authority " .. line("h", ed25519(3)),
      line("i", rsa(1))
    )
    assert.same({ "ssh-rsa", "ssh-ed25519" }, set:types("h", 22))
    assert.same({}, set:types("nobody", 22))
    local found = set:lookup("h", 22)
    assert.equal(4, #found)
    assert.equal("ssh-rsa", found[1].type)
    assert.equal(core.fingerprint(ed25519(2)), found[3].fingerprint)
    assert.equal("cert-authority", found[4].marker)
  end)

  it("reports lines it does not understand", function()
    local set = set_of("", "host", line("h", rsa(1)), "@odd " .. line("h", rsa(1)))
    assert.same({
      { file = "some_file", line = 2, message = "no key" },
      { file = "some_file", line = 4, message = "unknown marker" },
    }, set:warnings())
    assert.same({}, set_of(""):warnings())
  end)

  it("reads files, says when there is none and when one has changed", function()
    local path = temp_dir()
    local set = core.known_hosts()
    assert.is_false(set:add_file(path))
    assert.is_false(set:stale())
    write_file(path, line("h", rsa(1)))
    assert.is_true(set:stale())
    set = core.known_hosts()
    assert.is_true(set:add_file(path))
    assert.is_false(set:stale())
    assert.equal("match", (set:check("h", 22, rsa(1))))
    os.remove(path)
    local ok, err = set:add_file("/dev/null")
    assert.is_nil(ok)
    assert.equal("io", err.kind)
    assert.truthy(err.message:find("/dev/null", 1, true))
  end)

  it("gives no verdict on what is no host key", function()
    local set = set_of(line("h", rsa(1)))
    for _, blob in ipairs({ "", "x", rsa(1) .. "x", "\0\0\0\3odd" }) do
      local verdict, err = set:check("h", 22, blob)
      assert.is_nil(verdict)
      assert.equal("hostkey", err.kind)
    end
  end)

  it("raises on arguments of the wrong type", function()
    local set = core.known_hosts()
    for _, call in ipairs({
      function() set:check(1, 22, "") end,
      function() set:check("h", "22", "") end,
      function() set:check("h", 0, "") end,
      function() set:check("h", 22.5, "") end,
      function() set:check("h", 65536, "") end,
      function() set:check("h", 0 / 0, "") end,
      function() set:check("h", 22) end,
      function() set:check("h\0i", 22, "") end,
      function() set:types("h") end,
      function() set:lookup(nil, 22) end,
      function() set:add_file({}) end,
      function() set:add_file("a\0b") end,
      function() set:add_text("x") end,
      function() set.check({}, "h", 22, "") end,
      function() core.known_hosts_line("h", 22, rsa(1), 1) end,
      function() core.known_hosts_append("p", "l", -1) end,
      function() core.known_hosts_append("p", "l", 0 / 0) end,
      function() core.known_hosts_learn("p", "h", 22, rsa(1), "yes") end,
      function() core.fingerprint() end,
      function() core.key_type(12) end,
    }) do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.truthy(tostring(message):find("bad argument", 1, true) or tostring(message):find("calling", 1, true))
    end
  end)

  it("can be made and dropped by the thousand", function()
    for _ = 1, 2000 do
      set_of(line("h", rsa(1)), "odd"):check("h", 22, rsa(2))
    end
    collectgarbage()
    assert.truthy(tostring(core.known_hosts()):find("sshlua.known_hosts", 1, true))
  end)
end)

describe("writing known hosts", function()
  it("refuses names that would not be read back", function()
    for _, name in ipairs({ "", "a b", "a,b", "*", "!a", "|1|a", "@a", "#a", "a\n" }) do
      local text, err = core.known_hosts_line(name, 22, rsa(1))
      assert.is_nil(text)
      assert.equal("usage", err.kind)
    end
    local text, err = core.known_hosts_line("h", 22, "no key")
    assert.is_nil(text)
    assert.equal("hostkey", err.kind)
  end)

  it("appends a line once", function()
    local path = temp_dir()
    local text = line("h", rsa(1), 2222)
    assert.same({ true, true }, { core.known_hosts_append(path, text) })
    assert.same({ true, false }, { core.known_hosts_append(path, text, 0) })
    assert.equal(text .. "\n", read_file(path))
    os.remove(path)
    local ok, err = core.known_hosts_append("/dev/null", text)
    assert.is_nil(ok)
    assert.equal("io", err.kind)
  end)

  it("learns a host once, and never a second key", function()
    local path = temp_dir()
    assert.same({ true, true }, { core.known_hosts_learn(path, "h", 22, rsa(1), true) })
    assert.same({ true, false }, { core.known_hosts_learn(path, "h", 22, rsa(1), true, 0.5) })
    local ok, err = core.known_hosts_learn(path, "h", 22, ed25519(1))
    assert.is_nil(ok)
    assert.equal("hostkey", err.kind)
    assert.equal("changed", err.name)
    assert.truthy(err.message:find(path .. ":1", 1, true))
    assert.equal("|1|", read_file(path):sub(1, 3))
    os.remove(path)
  end)

  it("prints fingerprints and types of keys", function()
    assert.equal("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", core.fingerprint(""))
    assert.equal("ssh-rsa", core.key_type(rsa(1)))
    assert.is_nil(core.key_type("x"))
  end)
end)
