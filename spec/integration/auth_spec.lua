-- Proving who we are to real servers: every method and key format, several factors, and errors that say what was tried.
local agents = require "spec.support.agents"
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body, fails, defer = run.body, run.fails, run.defer
local fleet, start_fleet, stop_fleet = servers.shared {}

local count = 0
local function fresh(name)
  count = count + 1
  return ("%s/%s.%d"):format(fleet().dir, name, count)
end

-- A key the fleet accepts; returns its path.
local function make_key(kind, passphrase, format)
  local path = fresh "key"
  local _, line = testbed.make_key(path, kind, passphrase)
  if format then
    processes.must_run { "ssh-keygen", "-q", "-p", "-P", passphrase or "", "-N", passphrase or "", "-m", format, "-f", path }
  end
  local f = assert(io.open(fleet().dir .. "/authorized_keys", "a"))
  f:write(line, "\n")
  f:close()
  return path
end

local function login(more)
  local s = servers.connect(fleet(), nil, more)
  assert.equal("in", tostring(s:exec "echo in"))
  return s
end

local function refused(more)
  local e = fails("auth", servers.connect, fleet(), nil, more)
  assert.equal("auth", e.phase)
  assert.equal("web1", e.host)
  assert.is_false(e.retryable)
  return e
end

local function says(e, text) assert.truthy(e.message:find(text, 1, true), e.message) end

-- A throwaway ssh-agent with these keys.
local function start_agent(...)
  local path = fresh "agent"
  local child, ssh_add = agents.start(path)
  local function add(...) return ssh_add("-q", ...) end
  for _, key in ipairs { ... } do add(key) end
  return path, child, add
end

describe("a key file", function()
  setup(start_fleet)
  teardown(stop_fleet)

  for _, kind in ipairs { "ed25519", "rsa", "ecdsa", "ecdsa384", "ecdsa521" } do
    for _, format in ipairs { "RFC4716", "PEM", "PKCS8" } do
      it(("of type %s in format %s works, open and encrypted"):format(kind, format), body(function()
        login { identity = make_key(kind, nil, format) }
        if not (kind == "ed25519" and format == "PKCS8") then
          login { identity = make_key(kind, "pass phrase ü", format), passphrase = "pass phrase ü" }
        end
      end))
    end
  end

  it("may have its passphrase from a function, which may wait and is asked again after a wrong answer", body(function()
    local path, seen = make_key("ed25519", "right"), {}
    login { identity = path, passphrase = function(label, try)
      task.sleep(0.02)
      seen[#seen + 1] = label .. try
      return try == 2 and "right" or "wrong"
    end }
    assert.same({ path .. "1", path .. "2" }, seen)
  end))

  it("with a wrong passphrase is named, and the right one works afterwards", body(function()
    local path = make_key("ed25519", "right")
    local e = refused { identity = path, passphrase = "wrong-marker" }
    says(e, path)
    assert.truthy(e.message:find "passphrase", e.message)
    assert.is_nil(e:describe():find("wrong-marker", 1, true))
    login { identity = path, passphrase = "right" }
  end))

  it("without a passphrase to be had says passphrase needed", body(function()
    local path = make_key("ed25519", "secret")
    says(refused { identity = path }, path .. ": passphrase needed")
    login { identity = path, passphrase = "secret" }
  end))

  it("may come from memory, encrypted too", body(function()
    local text = servers.read_file(make_key "ed25519")
    login { identity = false, identity_data = text }
    text = servers.read_file(make_key("rsa", "phrase", "PEM"))
    login { identity = false, identity_data = text, passphrase = "phrase" }
  end))

  it("that others can read is refused with the command to mend it, which then helps", body(function()
    local path = make_key()
    core.fs_chmod_sync(path, 420)
    local e = refused { identity = path }
    says(e, path .. ": permissions 0644 are too open")
    assert.equal("chmod 600 " .. path, e.hint)
    ssh.here:run(e.hint)
    login { identity = path }
  end))

  it("that is none, or not there, or a directory, is named", body(function()
    local junk = servers.write_file(fresh "junk", "this is no key\n")
    core.fs_chmod_sync(junk, 384)
    says(refused { identity = junk }, junk)
    says(refused { identity = fleet().dir .. "/missing" }, fleet().dir .. "/missing")
    says(refused { identity = fleet().dir }, fleet().dir)
    says(refused { identity = false, identity_data = "junk" }, "key from memory")
    local cut = servers.write_file(fresh "cut", servers.read_file(make_key()):sub(1, 200))
    core.fs_chmod_sync(cut, 384)
    says(refused { identity = cut }, cut)
  end))

  it("list is tried in order, and each refusal is in the error", body(function()
    local a, b = testbed.make_key(fresh "a"), testbed.make_key(fresh "b", "rsa")
    local e = refused { identity = { a, b } }
    says(e, a .. ": refused")
    says(e, b .. ": refused")
    says(e, "the server allows publickey")
    says(e, "not accepted as " .. fleet():host().user)
    login { identity = { a, b, fleet().identity } }
    assert.is_true(e.message:find(a, 1, true) < e.message:find(b, 1, true))
  end))
end)

describe("a certificate", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("signed by a trusted authority is accepted, beside the key or named; an expired one is not", body(function()
    local ca = testbed.make_key(fresh "ca")
    local own = servers.fleet { sshd_config = { "TrustedUserCAKeys " .. ca .. ".pub", "AuthorizedKeysFile none" } }
    local user = own:host().user
    local function certify(validity)
      local path = testbed.make_key(fresh "certified")
      processes.must_run { "ssh-keygen", "-q", "-s", ca, "-I", "id", "-n", user, "-V", validity, path .. ".pub" }
      return path
    end
    local path = certify "-1h:+1h"
    local s = servers.connect(own, nil, { identity = path })
    assert.equal("in", tostring(s:exec "echo in"))
    local elsewhere = fresh "moved"
    assert(os.rename(path .. "-cert.pub", elsewhere))
    fails("auth", servers.connect, own, nil, { identity = path })
    servers.connect(own, nil, { identity = path, certificate = elsewhere })
    local e = fails("auth", servers.connect, own, nil, { identity = certify "-2h:-1h" })
    assert.truthy(e.message:find "refused" or e.message:find "expired", e.message)
    local agent = start_agent()
    local in_agent = certify "-1h:+1h"
    processes.must_run { "env", "SSH_AUTH_SOCK=" .. agent, "ssh-add", "-q", in_agent }
    servers.connect(own, nil, { identity = false, agent = agent })
  end))
end)

describe("an agent", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("signs, with keys of every type", body(function()
    for _, kind in ipairs { "ed25519", "rsa", "ecdsa" } do
      login { identity = false, agent = (start_agent(make_key(kind))) }
    end
  end))

  it("signs for an encrypted file that is configured, without asking for the passphrase", body(function()
    local path = make_key("ed25519")
    local agent = start_agent(path)
    processes.must_run { "ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", path }
    login { identity = path, agent = agent, passphrase = function() error "asked" end }
  end))

  it("has 30 keys: the configured one is tried first, whatever MaxAuthTries", body(function()
    local agent, _, add = start_agent()
    local mine = make_key()
    for _ = 1, 29 do add((testbed.make_key(fresh "many"))) end
    add(mine)
    login { identity = mine, agent = agent }
    login { identity = mine, agent = agent, identities_only = true }
    local ok, e = pcall(servers.connect, fleet(), nil, { identity = false, agent = agent })
    assert.is_false(ok)
    assert.equal("auth", e.kind, tostring(e))
    assert.truthy(e.message:find "agent", e.message)
    assert.truthy(e.message:find "too many attempts", e:describe())
    assert.truthy(e.hint:find "identities_only")
  end, 60))

  it("that is gone is named, and the next method goes on", body(function()
    local agent = fleet().dir .. "/no-agent"
    says(refused { identity = false, agent = agent }, "agent: ")
    login { agent = agent }
    local path, child = start_agent(make_key())
    child:kill "KILL"
    task.sleep(0.1)
    login { agent = path }
  end))

  it("that hangs is given up after its time, and the next method goes on", body(function()
    local path = fresh "hang"
    local child = assert(core.spawn { stdin = "null", stdout = "null", stderr = "null", args = { "/usr/bin/python3", "-c",
      "import socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen(9)\ntime.sleep(60)", path } })
    defer(function() child:kill "KILL" end)
    if not run.eventually(function() return core.fs_stat_sync(path) end) then run.skip "no python3" end
    task.sleep(0.1)
    assert.is_true(run.took(login, { agent = path }) < 8)
    says(refused { identity = false, agent = path }, "agent")
  end, 40))

  it("that lies is refused politely, whatever it says", body(function()
    local answers = {
      "", "\\0\\0\\0\\0", "\\0\\0\\0\\1\\5", "\\377\\377\\377\\377", "\\0\\0\\0\\5\\14\\377\\377\\377\\377", "\\0\\0\\0\\11\\14\\0\\0\\0\\1\\0\\0\\0\\377",
      "\\0\\0\\0\\5\\14\\0\\0\\0\\0", "garbage garbage garbage",
    }
    for _, answer in ipairs(answers) do
      local path = fresh "lie"
      local child = assert(core.spawn { stdin = "null", stdout = "null", stderr = "null", args = { "/usr/bin/python3", "-c",
        "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen(9)\n"
        .. "while 1:\n c,_=s.accept()\n c.recv(99)\n c.sendall(b'" .. answer .. "')\n c.close()", path } })
      defer(function() child:kill "KILL" end)
      if not run.eventually(function() return core.fs_stat_sync(path) end) then run.skip "no python3" end
      task.sleep(0.1)
      login { agent = path }
      refused { identity = false, agent = path }
    end
  end, 60))

  it("is not asked when switched off, and identities_only keeps its other keys back", body(function()
    local agent = start_agent(make_key())
    refused { identity = false, agent = false }
    says(refused { identity = false, agent = agent, identities_only = true }, "nothing to try")
  end))
end)

describe("passwords", function()
  local user, one, stop_all
  setup(function()
    if task.current() then
      user = testbed.user { pam = "one_round" }
      one = user and testbed.start { user = user, pam = true,
        sshd_config = { "PasswordAuthentication yes", "KbdInteractiveAuthentication no" } }
    else
      task.run(function()
        user = testbed.user { pam = "one_round" }
        one = user and testbed.start { user = user, pam = true,
          sshd_config = { "PasswordAuthentication yes", "KbdInteractiveAuthentication no" } }
      end)
    end
  end)
  stop_all = function()
    if one then one:stop() end
    if user then user:stop() end
  end
  teardown(function()
    if task.current() then stop_all() else task.run(stop_all) end
  end)

  local function with(more, config)
    if not user then run.skip "needs root, useradd and PAM" end
    local target = one
    if config then
      target = testbed.start { user = user, pam = true, sshd_config = config }
      defer(target.stop, target)
    end
    local opts = { identity = false }
    for k, v in pairs(more) do opts[k] = v end
    if opts.identity == true then opts.identity = target.identity end
    return servers.connect(target, nil, opts)
  end

  it("log in, from a string or a function that may wait", body(function()
    assert.equal(user and user.name, tostring(with({ password = user and user.password }):exec "id -un"))
    local prompts = {}
    with { password = function(prompt, try)
      task.sleep(0.02)
      prompts[#prompts + 1] = prompt .. try
      return try == 2 and user.password or "wrong"
    end }
    local asked = user.name .. "@web1's password: "
    assert.same({ asked .. 1, asked .. 2 }, prompts)
  end))

  it("that are wrong are tried once as strings, three times as functions, and shown nowhere", body(function()
    local heard = {}
    defer(ssh.log(function(event)
      for k, v in pairs(event) do heard[#heard + 1] = tostring(k) .. tostring(v) end
    end))
    local e = fails("auth", with, { password = "marker-4711" })
    assert.truthy(e.message:find("password: refused", 1, true), e.message)
    local everything = e:describe() .. tostring(e.traceback) .. table.concat(heard, "\n")
    for _, v in pairs(e) do everything = everything .. tostring(v) end
    assert.is_nil(everything:find("marker-4711", 1, true))
    local n = 0
    e = fails("auth", with, { password = function()
      n = n + 1
      return "wrong"
    end })
    assert.equal(3, n)
    assert.truthy(e.message:find "the server allows", e.message)
  end, 60))

  it("that nobody has are said to be missing", body(function()
    local e = fails("auth", with, {})
    assert.truthy(e.message:find("nothing to try", 1, true), e.message)
    assert.truthy(e.message:find("password", 1, true), e.message)
  end))

  it("answer one hidden keyboard-interactive prompt, too", body(function()
    local config = { "PasswordAuthentication no", "KbdInteractiveAuthentication yes" }
    with({ password = user and user.password }, config)
    local seen
    with({ keyboard_interactive = function(info)
      task.sleep(0.02)
      seen = info
      return { user.password }
    end }, config)
    assert.equal(1, #seen)
    assert.is_false(seen[1].echo)
    assert.truthy(seen[1].text:find "assword")
    with({ keyboard_interactive = { Password = user.password } }, config)
    with({ keyboard_interactive = { user.password } }, config)
  end, 60))

  it("and wrong numbers of answers are errors that name the prompt", body(function()
    local config = { "PasswordAuthentication no", "KbdInteractiveAuthentication yes" }
    for _, answers in ipairs { {}, { "a", "b" }, "text", false } do
      local e = fails("auth", with, { keyboard_interactive = function() return answers end }, config)
      assert.truthy(e.message:find "no answer to 1 prompt", e.message)
    end
    local mine = {}
    local ok, e = pcall(with, { keyboard_interactive = function() error(mine, 0) end }, config)
    assert.is_false(ok)
    assert.equal(mine, e)
  end, 60))

  it("are one factor of several: publickey, then password; what is missing is named", body(function()
    local config = { "PasswordAuthentication yes", "AuthenticationMethods publickey,password" }
    local s = with({ identity = true, password = user and user.password }, config)
    assert.equal("in", tostring(s:exec "echo in"))
    local e = fails("auth", with, { identity = true }, config)
    assert.truthy(e.message:find("the server allows password", 1, true), e.message)
    e = fails("auth", with, { password = user.password }, config)
    assert.truthy(e.message:find("the server allows publickey", 1, true), e.message)
  end, 60))

  it("take the order of the option methods", body(function()
    local config = { "PasswordAuthentication yes", "KbdInteractiveAuthentication yes" }
    local order = {}
    defer(ssh.log(function(event) if event.what == "auth.ok" then order[#order + 1] = event.method end end))
    with({ identity = true, password = user and user.password, methods = { "password", "publickey" } }, config)
    with({ identity = true, password = user.password, methods = "publickey" }, config)
    with({ identity = true, password = user.password, methods = "keyboard-interactive,publickey" }, config)
    assert.same({ "password", "publickey", "keyboard-interactive" }, order)
    local e = fails("usage", with, { methods = "pasword" }, config)
    assert.truthy(e.message:find "pasword")
  end, 60))

  it("that run out of MaxAuthTries end in kind auth, not in a lost connection", body(function()
    local ok, e = pcall(with, { password = function() return "wrong" end },
      { "PasswordAuthentication yes", "KbdInteractiveAuthentication no", "MaxAuthTries 2" })
    assert.is_false(ok)
    assert.equal("auth", e.kind, errors.is(e) and e:describe() or tostring(e))
    assert.truthy(e:describe():find "many", e:describe())
  end, 60))

  it("that have expired are changed by the script, or the error says what to do", body(function()
    if not user then run.skip "needs root, useradd and PAM" end
    local config = { "PasswordAuthentication no", "KbdInteractiveAuthentication yes" }
    user:expire_password()
    defer(function() user:set_password(user.password) end)
    local asked = {}
    local old, fresh_word = user.password, "Nw9-completely-other-word"
    local ok, e = pcall(with, { keyboard_interactive = function(info)
      local answers = {}
      for i, prompt in ipairs(info) do
        asked[#asked + 1] = prompt.text
        answers[i] = prompt.text:lower():find "new" and fresh_word or old
      end
      return answers
    end }, config)
    assert.is_true(#asked >= 1)
    if ok then user.password = fresh_word end
    assert.is_true(ok or e.kind == "auth", tostring(e))
  end, 60))
end)

describe("two rounds of keyboard-interactive", function()
  it("are answered one after the other, wrong ones refused", body(function()
    local user, reason = testbed.user { pam = "two_rounds" }
    if not user then run.skip(reason) end
    defer(user.stop, user)
    local own = testbed.start { user = user, pam = true, sshd_config = { "KbdInteractiveAuthentication yes" } }
    defer(own.stop, own)
    local rounds = {}
    local s = servers.connect(own, nil, { identity = false, keyboard_interactive = function(info)
      rounds[#rounds + 1] = info[1] and info[1].text or "none"
      task.sleep(0.02)
      local answers = {}
      for i = 1, #info do answers[i] = #rounds == 1 and user.password or "someone@example.com" end
      return answers
    end })
    assert.equal(user.name, tostring(s:exec "id -un"))
    assert.is_true(#rounds >= 1)
    fails("auth", servers.connect, own, nil, { identity = false, keyboard_interactive = function(info)
      local answers = {}
      for i = 1, #info do answers[i] = "wrong" end
      return answers
    end })
  end, 90))
end)

describe("the banner", function()
  it("is delivered before anything is decided, whole, and harmless in the log", body(function()
    local path = os.tmpname()
    defer(os.remove, path)
    servers.write_file(path, "Authorised use only\27[31m\nsecond line\n")
    local own = servers.fleet { sshd_config = { "Banner " .. path } }
    local text, logged
    defer(ssh.log(function(event) if event.what == "banner" then logged = event.text end end))
    servers.connect(own, nil, { banner = function(b) text = b end })
    assert.truthy(text:find "Authorised use only", text)
    assert.truthy(text:find "second line", text)
    servers.connect(own)
    assert.is_nil(logged:find "\27")
  end))
end)

describe("nothing to offer", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("says so, and what the server allows", body(function()
    local e = refused { identity = false }
    says(e, "nothing to try")
    says(e, "the server allows publickey")
  end))

  it("and a user that does not exist read the same", body(function()
    local e = refused { user = "nosuchuser" }
    says(e, "not accepted as nosuchuser")
  end))
end)
