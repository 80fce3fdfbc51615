-- Secrets: what they hide, where they come from, and that every place that shows something masks them.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local log = require "sshlua.log"
local program = require "spec.support.program"
local run = require "spec.support.run"
local secret = require "sshlua.secret"
local ssh = require "sshlua"
local Result = require("sshlua.result").Result

local body = run.body
local WORD = "hunter-two-and-more"

local function contains(text, part) assert.truthy(text:find(part, 1, true), ("%q is not in %q"):format(part, text)) end

local function lacks(text, part)
  assert.is_nil(text:find(part or WORD, 1, true), ("%q is in the text"):format(part or WORD))
end

describe("a secret", function()
  local s
  before_each(function() s = core.secret("db", WORD) end)
  after_each(function() s:wipe() end)

  it("hides itself: tostring, format, concatenation, length, JSON, quoting", function()
    assert.equal("<secret db>", tostring(s))
    lacks(("%s"):format(s))
    for _, fn in ipairs {
      function() return "x" .. s end, function() return s .. "x" end, function() return s .. 1 end, function() return #s end,
      function() return ssh.quote(s) end, function() return ssh.sh("echo %s", s) end,
      function() return require("sshlua.quote").argv { "echo", s } end, function() return s.bytes[1] end,
    } do
      local ok, err = pcall(fn)
      assert.is_false(ok)
      lacks(tostring(err))
    end
    local ok, text = pcall(ssh.json.encode, { password = s })
    lacks(tostring(ok and text or text))
    assert.is_false(getmetatable(s))
  end)

  it("is equal to another of the same bytes and gives them when told to", function()
    assert.is_true(s == core.secret("other", WORD))
    assert.is_false(s == core.secret("db", WORD .. "x"))
    assert.equal(WORD, s:reveal())
    assert.is_true(ssh.is_secret(s))
    assert.is_false(ssh.is_secret(WORD))
  end)

  it("is refused when it was wiped, and masked no more", function()
    assert.equal("<********>", ssh.mask("<" .. WORD .. ">"))
    s:wipe()
    s:wipe()
    assert.equal("<secret db, wiped>", tostring(s))
    assert.is_false(pcall(s.reveal, s))
    collectgarbage()
    assert.equal("<" .. WORD .. ">", ssh.mask("<" .. WORD .. ">"))
  end)

  it("is limited", function()
    assert.is_true(pcall(core.secret, "x", ("a"):rep(65536)))
    assert.is_false(pcall(core.secret, "x", ("a"):rep(65537)))
    assert.equal("", core.secret("x"):reveal())
    local all = {}
    for i = 0, 255 do all[i + 1] = string.char(i) end
    assert.equal(table.concat(all), core.secret("x", table.concat(all)):reveal())
  end)
end)

describe("masking", function()
  local s
  before_each(function() s = core.secret("db", WORD) end)
  after_each(function() s:wipe() end)

  it("finds a secret however the stream is cut", function()
    local text = "a " .. WORD .. " b " .. WORD:sub(1, 9) .. WORD .. WORD .. "\0\255 end"
    local expected = ssh.mask(text)
    lacks(expected)
    for chunk = 1, 40 do
      local m, out = ssh.masker(), {}
      for i = 1, #text, chunk do out[#out + 1] = m:feed(text:sub(i, i + chunk - 1)) end
      out[#out + 1] = m:finish()
      assert.equal(expected, table.concat(out))
    end
  end)

  it("knows secrets that are made while the stream flows", function()
    local m = ssh.masker()
    assert.equal("one-other-", m:feed "one-other-")
    local other = core.secret("x", "one-other-three")
    assert.equal(" ", m:feed " one-oth")
    assert.equal("********.", m:feed "er-three.")
    other:wipe()
    assert.equal("one-other-three", m:feed "one-other-three")
  end)

  it("covers lines of a secret that has several", function()
    local lines = core.secret("key", "-----BEGIN\nfirst line of it\r\nsecond line of it\n")
    assert.equal("x ******** y ********", ssh.mask "x first line of it y second line of it")
    lines:wipe()
  end)

  it("covers errors, their hints and causes, and what is cut out of outputs", function()
    local e = errors.new { kind = "io", message = "no " .. WORD, hint = "not " .. WORD, cause = "because " .. WORD }
    lacks(e:describe())
    contains(tostring(e), "no ********")
    lacks(errors.excerpt(("x"):rep(190) .. WORD, 200), WORD:sub(1, 8))
    local r = Result.new { host = "web1", code = 1, cmd = "cat", stdout = WORD, stderr = "bad " .. WORD .. "\n" }
    local err = run.fails("exit", r.check, r)
    contains(err.message, "bad ********")
    lacks(r:problem())
  end)

  it("covers a Result that is shown, not its data", function()
    local r = Result.new { code = 0, stdout = "a " .. WORD .. "\n" }
    assert.equal("a ********", tostring(r))
    assert.equal("a " .. WORD .. "\n", r.stdout)
    assert.equal("a " .. WORD, r:text())
    assert.equal("a " .. WORD, r:lines()())
    assert.equal("a " .. WORD, r:fields("x").x)
    assert.equal('"********"', tostring(Result.new { stdout = '"' .. WORD .. '"' }))
    assert.equal(WORD, Result.new({ stdout = '"' .. WORD .. '"' }):json())
  end)

  it("covers events", function()
    local seen
    local stop = ssh.log(function(event) seen = event end)
    log.emit(1, "web1", "something", { text = "with " .. WORD })
    stop()
    assert.equal("with ********", seen.text)
  end)
end)

describe("ssh.secret", function()
  after_each(function()
    secret.forget "a name"
    program.remove_directory()
  end)

  it("is asked once: a command runs once for all tasks", body(function()
    local path = program.file("count", "")
    local opts = { command = ("echo x >> %s; sleep 0.1; echo %s"):format(path, WORD) }
    local a, b = ssh.all(function() return ssh.secret("a name", opts) end, function() return ssh.secret("a name", opts) end)
    assert.is_true(rawequal(a, b))
    assert.equal(WORD, a:reveal())
    assert.equal("x\n", io.open(path):read "*a")
    secret.forget "a name"
    assert.is_false(pcall(a.reveal, a))
  end))

  it("comes from an argument vector, whose failure names it and not what it said", body(function()
    assert.equal("x y", ssh.secret("a name", { command = { "printf", "%s\n", "x y" } }):reveal())
    secret.forget "a name"
    local e = run.fails("auth", ssh.secret, "a name", { command = "echo " .. WORD .. "; echo locked >&2; exit 3" })
    contains(e.message, "a name")
    contains(e.message, "locked")
    lacks(e:describe())
    e = run.fails("timeout", ssh.secret, "a name", { command = "sleep 60", timeout = 0.2 })
    assert.equal("localhost", e.host)
  end))

  it("comes from a file that only its owner can read", body(function()
    local path = program.file("secret", WORD .. "\n")
    core.fs_chmod_sync(path, 384)
    assert.equal(WORD, ssh.secret("a name", { file = path }):reveal())
    secret.forget "a name"
    core.fs_chmod_sync(path, 416) -- 0640
    local e = run.fails("auth", ssh.secret, "a name", { file = path })
    contains(e.message, "0640")
    assert.equal("chmod 600 " .. path, e.hint)
    run.fails("io", ssh.secret, "a name", { file = path .. ".none" })
    run.fails("io", ssh.secret, "a name", { file = program.directory() })
  end))

  it("refuses names and options that are none", body(function()
    run.fails("usage", ssh.secret, "")
    run.fails("usage", ssh.secret, "a\nb")
    run.fails("usage", ssh.secret, {})
    run.fails("usage", ssh.secret, "a name", { comand = "x" })
  end))

  if program.path then
    local code = [[local s = require("sshlua").secret("db pass", { timeout = 10 }) print(s, s:reveal() == "]] .. WORD .. [[")]]
    local nothing = { DISPLAY = false, WAYLAND_DISPLAY = false, SSH_ASKPASS = false, SSH_ASKPASS_REQUIRE = false }
    local function with(more)
      local env = {}
      for k, v in pairs(nothing) do env[k] = v end
      for k, v in pairs(more or {}) do env[k] = v end
      return env
    end
    -- setsid: without a controlling terminal, whoever runs the specs
    local function without_terminal(env)
      return program.start({ "-e", code }, { env = env, shell = 'exec setsid -w "$0" "$@"' }):finish()
    end
    local function askpass(answer)
      local path = program.file("askpass", ("#!/bin/sh\necho \"$1\" > %s/asked\n%s\n"):format(program.directory(), answer))
      return path
    end

    it("comes from the environment", body(function()
      local r = program.lua(code, { env = with { SSHLUA_SECRET_DB_PASS = WORD } })
      assert.equal("<secret db pass>\ttrue\n", r.out)
    end))

    it("comes from SSH_ASKPASS where there is a display and no terminal", body(function()
      local env = with { SSH_ASKPASS = askpass("echo " .. WORD), DISPLAY = ":99" }
      assert.equal("<secret db pass>\ttrue\n", without_terminal(env).out)
      assert.equal("db pass: \n", io.open(program.directory() .. "/asked"):read "*a")
      env.DISPLAY = nil
      local r = without_terminal(with { SSH_ASKPASS = env.SSH_ASKPASS })
      contains(r.err, "nobody can be asked")
      contains(r.err, "SSHLUA_SECRET_DB_PASS")
      assert.equal(1, r.code)
    end))

    it("obeys SSH_ASKPASS_REQUIRE", body(function()
      local ask = askpass("echo " .. WORD)
      local r = without_terminal(with { SSH_ASKPASS = ask, SSH_ASKPASS_REQUIRE = "force" })
      assert.equal("<secret db pass>\ttrue\n", r.out, r.err)
      r = without_terminal(with { SSH_ASKPASS = ask, SSH_ASKPASS_REQUIRE = "never", DISPLAY = ":99" })
      contains(r.err, "nobody can be asked")
      r = without_terminal(with { SSH_ASKPASS = ask, SSH_ASKPASS_REQUIRE = "prefer", DISPLAY = ":99" })
      assert.equal("<secret db pass>\ttrue\n", r.out, r.err)
      r = without_terminal(with { SSH_ASKPASS = askpass "exit 1", SSH_ASKPASS_REQUIRE = "force" })
      contains(r.err, "failed (1)")
    end))

    it("is asked on the terminal without echo", body(function()
      if not os.execute "command -v script >/dev/null 2>&1" then run.skip "there is no script(1)" end
      local name = program.file("ask.lua", code)
      local child = program.start({ name }, { stdin = "pipe", env = with { DISPLAY = ":99" },
        shell = 'exec script -qec "$0 --lua-path lua $1" /dev/null' })
      local r = child:finish(function(c)
        c:expect "db pass: "
        c:write(WORD .. "\n")
        c:expect "true"
      end)
      lacks(r.out)
      contains(r.out, "<secret db pass>\ttrue")
    end))

    it("is in no message of a program that fails with it", body(function()
      local r = program.lua([[
        local ssh = require "sshlua"
        local s = ssh.secret("db pass")
        io.stderr:write(tostring(s), "\n")
        error("failed with " .. s:reveal())]], { env = with { SSHLUA_SECRET_DB_PASS = WORD } })
      assert.equal(1, r.code)
      lacks(r.out .. r.err)
      contains(r.err, "failed with ********")
    end))
  end
end)
