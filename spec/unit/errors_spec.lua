local text_core = require "spec.support.text_core"
local errors = require "sshlua.errors"

local function catch(fn, ...)
  local good, e = pcall(fn, ...)
  assert.is_false(good)
  return e
end

local function this_line() return debug.getinfo(2, "l").currentline end

describe("an Error", function()
  it("keeps its fields and prints as one line for people", function()
    local e = errors.new { kind = "auth", host = "web07", op = "connect", code = -18, name = "LIBSSH2_ERROR_X",
      message = "no key accepted (agent: 2 refused; ~/.ssh/id_rsa: passphrase needed)", phase = "auth" }
    assert.equal("web07: auth: no key accepted (agent: 2 refused; ~/.ssh/id_rsa: passphrase needed)", tostring(e))
    assert.equal("auth", e.kind)
    assert.equal("connect", e.op)
    assert.equal(-18, e.code)
    assert.equal("LIBSSH2_ERROR_X", e.name)
    assert.equal("auth", e.phase)
  end)

  it("prints without a host when there is none", function()
    assert.equal("timeout: nothing came for 5 s", tostring(errors.new { kind = "timeout", message = "nothing came for 5 s" }))
  end)

  it("can be joined with text, as scripts do in print", function()
    local e = errors.new { kind = "io", message = "disk full" }
    assert.equal("failed: io: disk full!", "failed: " .. e .. "!")
  end)

  it("keeps the hint out of tostring and shows it in describe", function()
    local e = errors.new { kind = "hostkey", host = "db", message = "unknown key", reason = "unknown", hint = "to accept it:\nssh-keyscan db" }
    assert.equal("db: hostkey: unknown key", tostring(e))
    assert.equal("db: hostkey: unknown key\n  hint: to accept it:\n        ssh-keyscan db", e:describe())
  end)

  it("describes its whole chain of causes with their hints", function()
    local e = errors.new { kind = "fleet", message = "1 of 2 hosts failed",
      cause = errors.new { kind = "connect", host = "a", message = "refused", hint = "is sshd running?", cause = "raw\27[m text" } }
    assert.equal("fleet: 1 of 2 hosts failed\n  caused by: a: connect: refused\n  hint: is sshd running?\n" ..
      "  caused by: raw\\x1b[m text", e:describe())
  end)

  it("describes a chain that bites its tail and causes that cannot be printed", function()
    local a = errors.new { kind = "io", message = "a" }
    local b = errors.new { kind = "io", message = "b", cause = a }
    a.cause = b
    assert.equal("io: a\n  caused by: io: b", a:describe())
    local bad = setmetatable({}, { __tostring = function() error("no") end })
    assert.equal("io: x\n  caused by: an error of type table", errors.new({ kind = "io", message = "x", cause = bad }):describe())
    assert.truthy(errors.new({ kind = "io", message = "x", cause = false }):describe())
  end)

  it("knows every kind of the documentation and refuses others", function()
    local kinds = errors.kinds()
    assert.equal(22, #kinds)
    for _, kind in ipairs(kinds) do assert.equal(kind, errors.new({ kind = kind, message = "m" }).kind) end
    kinds[1] = "changed"
    assert.equal("usage", errors.kinds()[1])
    local e = catch(errors.new, { kind = "conect", message = "m" })
    assert.is_true(errors.is(e, "usage"))
    assert.matches('unknown error kind "conect"', e.message, 1, true)
    assert.matches("unknown error kind nil", catch(errors.new, { message = "m" }).message, 1, true)
  end)

  it("names the line that made it wrongly", function()
    local e = catch(function() errors.new { kind = "nope", message = "m" } end)
    assert.matches("errors_spec.lua:" .. this_line() - 1 .. ": unknown error kind", e.message, 1, true)
    e = catch(function() errors.raise { kind = "nope", message = "m" } end)
    assert.matches("errors_spec.lua:" .. this_line() - 1 .. ": unknown error kind", e.message, 1, true)
    e = catch(function() errors.new { kind = "io" } end)
    assert.matches("errors_spec.lua:" .. this_line() - 1 .. ": error message: string expected, got nil", e.message, 1, true)
    e = catch(function() errors.new("io") end)
    assert.matches("errors_spec.lua:" .. this_line() - 1 .. ": a table of error fields expected, got string", e.message, 1, true)
  end)

  it("makes bytes of a server visible in every text it shows", function()
    local e = errors.new { kind = "protocol", host = "h\27[m", message = "a\27]0;x\7\nb\rc", hint = "d\27\ne" }
    assert.equal("h\\x1b[m: protocol: a\\x1b]0;x\\x07\\nb\\rc", tostring(e))
    assert.equal("h\\x1b[m: protocol: a\\x1b]0;x\\x07\\nb\\rc\n  hint: d\\x1b\n        e", e:describe())
  end)

  it("does not change or keep the table it was made from", function()
    local fields = { kind = "io", message = "m", retryable = true }
    local e = errors.new(fields)
    fields.message = "other"
    assert.equal("m", e.message)
    assert.is_nil(getmetatable(fields))
    assert.is_false(e.retryable)
  end)
end)

describe("retryable", function()
  local function of(fields)
    fields.message = "m"
    return errors.new(fields).retryable
  end

  it("is true for what trying again may cure", function()
    assert.is_true(of { kind = "connect" })
    for _, phase in ipairs { "resolve", "connect", "greeting" } do
      assert.is_true(of { kind = "timeout", phase = phase })
      assert.is_true(of { kind = "connection_lost", phase = phase })
    end
    assert.is_true(of { kind = "timeout", phase = "handshake" })
    assert.is_true(of { kind = "resolve", name = "EAI_AGAIN" })
  end)

  it("is false for everything else, never nil", function()
    for _, kind in ipairs(errors.kinds()) do
      if kind ~= "connect" then assert.is_false(of { kind = kind }) end
      if kind ~= "connect" and kind ~= "timeout" then assert.is_false(of { kind = kind, phase = "handshake" }) end
    end
    for _, phase in ipairs { "auth", "channel", "command", "close" } do
      assert.is_false(of { kind = "timeout", phase = phase })
      assert.is_false(of { kind = "connection_lost", phase = phase })
    end
    assert.is_false(of { kind = "resolve", name = "EAI_NONAME" })
    assert.is_false(of { kind = "auth", phase = "connect" })
    assert.is_false(of { kind = "hostkey", phase = "connect" })
  end)

  it("follows a phase that is added later", function()
    local e = errors.new { kind = "timeout", message = "m" }
    assert.is_false(e.retryable)
    errors.wrap(e, { phase = "connect", retryable = false })
    assert.is_true(e.retryable)
  end)
end)

describe("errors.raise", function()
  it("raises the object itself, without a position in front", function()
    local e = catch(errors.raise, { kind = "io", message = "m" })
    assert.is_true(errors.is(e, "io"))
    assert.equal("m", e.message)
  end)

  it("passes an Error on as it is", function()
    local e = errors.new { kind = "io", message = "m" }
    assert.equal(e, catch(errors.raise, e))
  end)
end)

describe("errors.usage", function()
  it("points at the line of the level asked for", function()
    local function verb(level) errors.usage(level, "bad %s (%d)", "thing", 3) end
    local line = this_line() + 1
    local e = catch(function() verb(2) end)
    assert.matches("errors_spec.lua:" .. line .. ": bad thing (3)", e.message, 1, true)
    assert.equal("usage", e.kind)
    assert.equal(e.message, tostring(e))
    assert.matches("errors_spec.lua:" .. line - 2 .. ": bad", catch(function() verb(1) end).message, 1, true)
  end)

  it("leaves the position out where there is none", function()
    local e = catch(errors.usage, 50, "far away")
    assert.equal("far away", e.message)
  end)

  it("survives a message that is no format", function()
    assert.matches("100% wrong", catch(errors.usage, 1, "100% wrong").message, 1, true)
  end)
end)

describe("errors.is", function()
  it("tells Errors from all else", function()
    local e = errors.new { kind = "auth", message = "m" }
    assert.is_true(errors.is(e))
    assert.is_true(errors.is(e, "auth"))
    assert.is_false(errors.is(e, "timeout"))
    for _, v in ipairs { "auth", 1, true, {}, print, setmetatable({}, { __name = "other" }), setmetatable({}, { __metatable = "locked" }) } do
      assert.is_false(errors.is(v))
      assert.is_false(errors.is(v, "auth"))
    end
    assert.is_false(errors.is(nil))
  end)

  it("knows the errors of a module that was loaded twice", function()
    local e = errors.new { kind = "auth", message = "m" }
    package.loaded["sshlua.errors"] = nil
    local again = require "sshlua.errors"
    package.loaded["sshlua.errors"] = errors
    assert.is_true(again.is(e, "auth"))
  end)

  it("refuses to test for a kind that does not exist", function()
    assert.matches('unknown error kind "conect"', catch(errors.is, {}, "conect").message, 1, true)
  end)
end)

describe("errors.from", function()
  it("makes the core's table an Error and merges what the caller knows", function()
    local raw = { kind = "connect", name = "ECONNREFUSED", code = -111, message = "connect to 10.0.0.1:22: refused" }
    local e = errors.from(raw, { host = "web01", op = "connect", phase = "connect" })
    assert.equal("web01: connect: connect to 10.0.0.1:22: refused", tostring(e))
    assert.equal(-111, e.code)
    assert.equal("ECONNREFUSED", e.name)
    assert.equal("connect", e.phase)
    assert.is_nil(getmetatable(raw))
  end)

  it("lets the caller's fields win and drops the code that means none", function()
    local e = errors.from({ kind = "protocol", message = "x", code = 0 }, { kind = "auth", message = "y" })
    assert.equal("auth: y", tostring(e))
    assert.is_nil(e.code)
  end)

  it("only completes what is an Error already", function()
    local e = errors.new { kind = "auth", message = "m" }
    assert.equal(e, errors.from(e, { host = "h" }))
    assert.equal("h", e.host)
  end)

  it("refuses what is not an error table", function()
    assert.matches("error table of the core expected, got string", catch(errors.from, "oops").message, 1, true)
    assert.matches("unknown error kind nil", catch(errors.from, {}).message, 1, true)
  end)
end)

describe("errors.wrap", function()
  it("adds what an Error lacks and changes nothing it has", function()
    local e = errors.new { kind = "timeout", message = "m", host = "inner" }
    assert.equal(e, errors.wrap(e, { host = "outer", op = "exec\27" }))
    assert.equal("inner", e.host)
    assert.equal("exec\\x1b", e.op)
  end)

  it("leaves a script's own errors untouched", function()
    local own = { code = 1 }
    assert.equal(own, errors.wrap(own, { host = "h" }))
    assert.is_nil(own.host)
    assert.equal("text", errors.wrap("text", { host = "h" }))
    assert.is_nil(errors.wrap(nil, { host = "h" }))
  end)
end)

describe("errors.excerpt", function()
  it("passes short text and cuts long text to the limit", function()
    assert.equal("abc", errors.excerpt("abc"))
    assert.equal(("x"):rep(200), errors.excerpt(("x"):rep(200)))
    assert.equal(("x"):rep(197) .. "...", errors.excerpt(("x"):rep(201)))
    assert.equal(("x"):rep(17) .. "...", errors.excerpt(("x"):rep(1000000), 20))
    assert.equal("a\\nb", errors.excerpt("a\nb"))
  end)

  it("never shows more than the limit, nor half a character", function()
    for n = 0, 60 do
      for max = 10, 40, 3 do
        local s = errors.excerpt(("x"):rep(n % 4) .. ("\27ä"):rep(n), max)
        assert.is_true(#s <= max)
        if text_core.real then assert.equal(s, text_core.core.clean(s)) end
      end
    end
  end)
end)
