-- Commands as another user: real sudo, su and doas behind a real sshd, with an account whose password is known; programs
-- of ours in their place for what the real ones seldom do.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body, fails, defer = run.body, run.fails, run.defer
local ALL = "NAME ALL=(ALL:ALL) ALL"
local ASK = "Defaults:NAME timestamp_timeout=0, lecture=never"

local account, reason, fleet
local function start()
  account, reason = testbed.user {}
  if account then fleet = testbed.start { user = account, pam = true, hosts = 3 } end
end

local function stop()
  if fleet then fleet:stop() end
  if account then account:stop() end
  account, fleet = nil, nil
end

local _, set_up, tear_down = run.shared(function()
  start()
  return true
end, stop)

-- The rules of sudo for the present spec.
local function sudoers(...)
  if not account then run.skip(reason) end
  local ok, why = account:set_sudoers { ... }
  if not ok then run.skip(why) end
end

local function connect(name) return servers.connect(fleet, name) end

-- A fresh secret each time: what is known of one does not reach the next spec.
local function password(text) return core.secret("sudo", text or account.password) end

local function nowhere(...)
  local word = account.password
  for i = 1, select("#", ...) do
    local text = select(i, ...)
    assert.is_nil(tostring(text):find(word, 1, true), "the password is in: " .. tostring(text):sub(1, 300))
  end
end

describe("sudo", function()
  setup(set_up)
  teardown(tear_down)

  it("runs a command as root, answering one prompt, which nobody sees", body(function()
    sudoers(ASK, ALL)
    local r = connect():exec("id -un; echo err >&2; exit 3", { sudo = { password = password() }, check = false })
    assert.equal("root\n", r.stdout)
    assert.equal("err\n", r.stderr)
    assert.equal(3, r.code)
  end))

  it("takes a password as a string, or from a function that is told the host", body(function()
    sudoers(ASK, ALL)
    local s, asked = connect(), nil
    assert.equal("root", tostring(s:exec("id -un", { sudo = { password = account.password } })))
    assert.equal("root", tostring(s:exec("id -un", { sudo = { password = function(host)
      asked = host
      task.sleep(0.02)
      return password()
    end } })))
    assert.equal("web1", asked)
  end))

  it("does not ask for a password that nobody wants", body(function()
    sudoers "NAME ALL=(ALL:ALL) NOPASSWD: ALL"
    local s = connect()
    local as = { password = function() error "asked" end }
    assert.equal("root", tostring(s:exec("id -un", { sudo = as })))
    assert.equal("in", tostring(s:exec("cat", { sudo = as, stdin = "in" })))
    assert.equal("root", tostring(s:exec({ "id", "-un" }, { sudo = true })))
    assert.equal("nobody", tostring(s:exec("id -un", { sudo = "nobody" })))
  end))

  it("passes input on, byte by byte, and its end", body(function()
    sudoers(ASK, ALL)
    local s, all = connect(), {}
    for i = 0, 255 do all[i + 1] = string.char(i) end
    all = table.concat(all):rep(400)
    local as = { password = password() }
    assert.equal(all, s:exec("cat", { sudo = as, stdin = all }).stdout)
    local n = 0
    assert.equal("30000", tostring(s:exec("wc -c", { sudo = as, stdin = function()
      n = n + 1
      return n <= 3 and ("x"):rep(10000) or nil
    end })):match "%d+")
    assert.equal("", s:exec("cat", { sudo = as }).stdout)
    local p = s:spawn("cat; exit 4", { sudo = as })
    p.stdin:write "one\n"
    assert.equal("one", p.stdout:read_line())
    p.stdin:write "two"
    local r = p:wait()
    assert.equal("two", r.stdout)
    assert.equal(4, r.code)
  end))

  it("sets directory and variables inside, secret ones by stdin", body(function()
    sudoers(ASK, ALL)
    local value = "se'c\nr\\e\"t $x `y`\n"
    local r = connect():exec('printf "%s|" "$A" "$B" "$PWD"; cat; cat /proc/*/cmdline 2>/dev/null; true', {
      sudo = { password = password() }, cwd = "/etc", stdin = "in", env = { A = "x y", B = core.secret("b", value) },
    })
    local expected = "x y|" .. value .. "|/etc|in"
    assert.equal(expected, r.stdout:sub(1, #expected))
    assert.is_nil(r.stdout:find("`y`", #expected, true)) -- in no process's arguments
  end))

  it("tells how the command ended", body(function()
    sudoers(ASK, ALL)
    local s, as = connect(), { password = password() }
    assert.equal(255, s:exec("exit 255", { sudo = as, check = false }).code)
    assert.equal("TERM", s:exec("kill -TERM $$", { sudo = as, check = false }).signal)
    local e = fails("exit", s.exec, s, "cd /nowhere-at-all", { sudo = as })
    nowhere(e:describe())
    e = fails("exit", s.exec, s, "true", { sudo = as, cwd = "/nowhere-at-all" })
    assert.truthy(e.message:find("nowhere", 1, true), e.message)
  end))

  it("ends with auth when the password is wrong, and does not wait", body(function()
    sudoers(ASK, ALL)
    local s = connect()
    local e = fails("auth", s.exec, s, "id", { sudo = { password = password "certainly not" } })
    assert.equal("WRONG_PASSWORD", e.name)
    assert.equal("sudo: the password is wrong", e.message)
    assert.equal("web1", e.host)
    assert.equal("root", tostring(s:exec("id -un", { sudo = { password = password() } })))
    sudoers(ASK .. ", passwd_tries=1", ALL)
    e = fails("auth", s.exec, s, "id", { sudo = { password = password "certainly not" } })
    assert.equal("WRONG_PASSWORD", e.name)
  end))

  it("tries a password on one host first, and on no other when it was wrong", body(function()
    sudoers(ASK, ALL)
    local hosts = ssh.hosts({ "web1", "web2", "web3" }, {})
    for i, h in ipairs(hosts) do hosts[i] = servers.host(fleet, h.name) end
    local bad, started = password "certainly not", core.now()
    local rs = hosts:run("id -un", { sudo = { password = bad }, check = false })
    assert.equal("0 ok, 3 auth (web[1-3])", tostring(rs))
    assert.equal("sudo: the password is wrong", rs[1].err.message)
    assert.truthy(rs[2].err.message:find("not tried", 1, true), rs[2].err.message)
    rs = hosts:each(function(h) return h:run("id -un", { sudo = { password = bad } }) end, { check = false })
    assert.equal("0 ok, 3 auth (web[1-3])", tostring(rs))
    assert.is_true(core.now() - started < 20)
    local good = password()
    rs = hosts:with({ sudo = { password = good } }):run("id -un")
    assert.equal("3 ok", tostring(rs))
    assert.equal("root", tostring(rs[3]))
  end))

  it("says who may not", body(function()
    sudoers "# nothing"
    local s = connect()
    local e = fails("auth", s.exec, s, "id", { sudo = { password = password() } })
    assert.equal("REFUSED", e.name)
    assert.truthy(e.message:find("not in the sudoers file", 1, true), e.message)
  end))

  it("keeps a lecture and its own messages out of stderr", body(function()
    sudoers("Defaults:NAME timestamp_timeout=0, lecture=always", ALL)
    local s = connect()
    local said
    defer(ssh.log(function(event) if event.what == "sudo" then said = event.said end end))
    local r = s:exec("echo mine >&2", { sudo = { password = password() } })
    assert.equal("mine\n", r.stderr)
    assert.truthy(said:find("lecture", 1, true), said)
    nowhere(said)
  end))

  it("works with another locale, and keeps it", body(function()
    sudoers(ASK, ALL)
    local s, as = connect(), { password = password() }
    s.target.opts.env = { LC_ALL = "de_DE.UTF-8" }
    assert.equal("de_DE.UTF-8", tostring(s:exec("echo $LC_ALL", { sudo = as })))
    s.target.opts.env = nil
    assert.equal("unset", tostring(s:exec("echo ${LC_ALL-unset}", { sudo = as })))
    local e = fails("auth", s.exec, s, "id", { sudo = { password = password "certainly not" } })
    assert.equal("WRONG_PASSWORD", e.name)
  end))

  it("never answers what the command prints", body(function()
    sudoers(ASK, ALL)
    local s = connect()
    -- The command knows sudo's command line, says all prompts there are, and waits for an answer.
    local r = s:exec([[p=$(tr '\0' '\n' < /proc/$PPID/cmdline | grep '^2.*:$'); ]] ..
      [[printf '\n%s' "$p" >&2; printf '\nPassword: ' >&2; printf '\n[sudo] password for x: ' >&2; timeout 1 cat]],
      { sudo = { password = password() }, stdin = function()
        task.sleep(1.5)
        return nil
      end, check = false })
    assert.equal("", r.stdout)
    nowhere(r.stderr)
    assert.truthy(r.stderr:find("[sudo] password for x: ", 1, true))
  end))

  it("has the password in no process's arguments or environment, event or error", body(function()
    sudoers(ASK, ALL)
    local s, events = connect(), {}
    defer(ssh.log(function(event)
      for _, value in pairs(event) do events[#events + 1] = tostring(value) end
    end))
    local r = s:exec("cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n'", { sudo = { password = password() } })
    nowhere(r.stdout, r.stderr, table.concat(events, "\n"), servers.read_file(fleet:host().log))
  end))

  it("hides the password when the host echoes it", body(function()
    sudoers(ASK, ALL)
    local r = connect():exec("cat; cat >&2", { sudo = { password = password() }, stdin = account.password .. "\n", check = false })
    assert.equal(account.password .. "\n", r.stdout) -- data is data
    nowhere(r)                                       -- what is shown is masked
  end))

  it("works on a terminal", body(function()
    sudoers(ASK .. ", pwfeedback", ALL)
    local r = connect():exec("id -un; test -t 0 && echo tty; exit 5", { sudo = { password = password() }, pty = true, check = false })
    assert.equal("root\r\ntty\r\n", r.stdout)
    assert.equal(5, r.code)
  end))

  it("refuses secret variables on a terminal, before anything runs", body(function()
    sudoers(ASK, ALL)
    local s = connect()
    local e = fails("usage", s.exec, s, "true", { sudo = { password = password() }, pty = true, env = { B = core.secret("b", "b") } })
    assert.truthy(e.hint)
  end))

  it("that hangs is ended by a time limit", body(function()
    sudoers(ASK, ALL)
    -- PAM waits two seconds after a wrong password: longer than we do.
    local s = connect()
    local e = fails("timeout", s.exec, s, "id", { sudo = { password = password "certainly not", timeout = 0.4 } })
    assert.equal("sudo had not started the command within 0.4 s", e.message)
    assert.equal("in", tostring(s:exec "echo in"))
    e = fails("timeout", s.exec, s, "id", { sudo = { password = function() task.sleep(60) end }, timeout = 0.4 })
    assert.truthy(e.message:find("timed out after 0.4 s", 1, true), e.message)
  end))

  it("refuses options that are none, at the script's line", body(function()
    if not account then run.skip(reason) end
    local s = connect()
    for _, bad in ipairs { { sudo = "-u root" }, { sudo = { usr = "x" } }, { sudo = { user = "a b" } }, { sudo = 3 },
      { sudo = true, su = true }, { sudo = { password = 3 } } } do
      local e = fails("usage", function() s:exec("id", bad) end)
      assert.truthy(e.message:find("privilege_spec.lua:", 1, true), e.message)
    end
    fails("usage", ssh.here.run, ssh.here, "id", { sudo = true })
  end))

  it("works with a view of a host, for run, read and spawn, and can be switched off", body(function()
    sudoers(ASK, ALL)
    local h = servers.host(fleet)
    local root = h:with { sudo = { password = password() }, cwd = "/etc" }
    assert.equal("root /etc", root:read "echo $(id -un) $PWD")
    assert.equal(account.name, root:read("id -un", { sudo = false }))
    local p = root:spawn "id -un"
    assert.equal("root\n", p:wait().stdout)
    assert.equal(account.name, h:read "id -un")
    local to = os.tmpname()
    root:put({ data = "as root" }, to)
    assert.equal("root", root:read { "stat", "-c", "%U", to })
    os.remove(to)
  end))

  it("asks for the password once per run, when the first host wants it", body(function()
    sudoers(ASK, ALL)
    if not program.path then run.skip "no program is under test" end
    defer(program.remove_directory)
    local all = {}
    for i = 1, 3 do all["web" .. i] = servers.options(fleet, "web" .. i, { batch = false }) end
    local asked = program.directory() .. "/asked"
    local ask = program.file("askpass", ('#!/bin/sh\necho "$1" >> %s\necho %s\n'):format(asked, account.password))
    local code = [[
      local ssh, settings = require "sshlua", require "sshlua.settings"
      settings.hosts = ssh.json.decode(arg[1])
      local fleet = ssh.hosts "web[1-3]"
      print(fleet:run("id -un", { sudo = true }), fleet:each(function(h) h:run("id -un", { sudo = true }) end))
      print(ssh.ask_sudo())]]
    local function go()
      return program.run({ program.file("go.lua", code), ssh.json.encode(all) },
        { env = { SSH_ASKPASS = ask, SSH_ASKPASS_REQUIRE = "force", SSHLUA_SECRET_SUDO = false } })
    end
    local r1 = go()
    assert.equal("3 ok\t3 ok\n<secret sudo>\n", r1.out, r1.err)
    assert.equal("[sudo] password: \n", servers.read_file(asked))
    nowhere(r1.out, r1.err)
    os.remove(asked)
    sudoers "NAME ALL=(ALL:ALL) NOPASSWD: ALL"
    code = code:gsub("print%(ssh.ask_sudo%(%)%)", "")
    r1 = go()
    assert.equal("3 ok\t3 ok\n", r1.out, r1.err)
    assert.is_nil(servers.read_file(asked))
  end))
end)

describe("sudo with requiretty", function()
  setup(set_up)
  teardown(tear_down)

  it("gets a terminal, and input stays as it is", body(function()
    sudoers(ASK .. ", requiretty", ALL)
    local s, all = connect(), {}
    for i = 0, 255 do all[i + 1] = string.char(i) end
    all = table.concat(all):rep(1000)
    local as = { password = password() }
    for _ = 1, 2 do -- the second time it is known
      local r = s:exec("cat; exit 7", { sudo = as, stdin = all, check = false })
      assert.equal(7, r.code)
      assert.is_true(all == r.stdout)
    end
    assert.equal("root", tostring(s:exec("id -un; cat", { sudo = as })))
    assert.equal("x secret 1\n", s:exec("cat; echo \"$B\"", {
      sudo = as, stdin = "x ", env = { B = core.secret("b", "secret 1") },
    }).stdout)
  end))

  it("does not wait for input that the command does not want", body(function()
    sudoers(ASK .. ", requiretty", ALL)
    local s, as = connect(), { password = password() }
    local r = s:exec("id -un; exit 5", { sudo = as, stdin = ("x"):rep(300000), check = false })
    assert.equal("root\n", r.stdout)
    assert.equal(5, r.code)
    local p = s:spawn("read -r line; echo \"got $line\"; cat", { sudo = as })
    p.stdin:write "one\n"
    assert.equal("got one", p.stdout:read_line())
    p.stdin:write "two"
    assert.equal("two", p:wait().stdout)
  end))

  it("ends with auth when the password is wrong", body(function()
    sudoers(ASK .. ", requiretty", ALL)
    local s = connect()
    local e = fails("auth", s.exec, s, "cat", { sudo = { password = password "certainly not" }, stdin = "x" })
    assert.equal("WRONG_PASSWORD", e.name)
  end))
end)

describe("sudo for root", function()
  local as_root, start_root, stop_root = servers.shared {}
  setup(start_root)
  teardown(stop_root)

  it("runs commands as somebody else", body(function()
    if core.user().uid ~= 0 then run.skip "only root needs no password" end
    if not core.fs_stat_sync "/usr/bin/sudo" then run.skip "there is no sudo" end
    local s = servers.connect(as_root())
    assert.equal("nobody", tostring(s:exec("id -un", { sudo = "nobody" })))
    assert.equal("nobody", tostring(s:exec("id -un", { su = "nobody" })))
    assert.equal("in", tostring(s:exec("cat", { su = "nobody", stdin = "in" })))
    local e = fails("auth", s.exec, s, "id", { sudo = "no-such-user-here" })
    assert.truthy(e.message:find("unknown user", 1, true), e.message)
  end))
end)

describe("su", function()
  setup(set_up)
  teardown(tear_down)

  it("runs a command as another user, answering its prompt", body(function()
    if not account then run.skip(reason) end
    local s = connect()
    local as = { user = account.name, password = password() }
    local r = s:exec("id -un; cat; echo err >&2; echo $A $PWD $SSHLUA_1; exit 3",
      { su = as, stdin = "in\n", check = false, cwd = "/etc", env = { A = "x y" } })
    assert.equal(account.name .. "\nin\nx y /etc\n", r.stdout)
    assert.equal("err\n", r.stderr)
    assert.equal(3, r.code)
    r = s:exec("id -un", { su = as, pty = true })
    assert.equal(account.name .. "\r\n", r.stdout)
  end))

  it("ends with auth when the password is wrong", body(function()
    if not account then run.skip(reason) end
    local s = connect()
    local e = fails("auth", s.exec, s, "id", { su = { user = account.name, password = password "certainly not" } })
    assert.equal("WRONG_PASSWORD", e.name)
    nowhere(e:describe())
  end))
end)

describe("doas", function()
  setup(set_up)
  teardown(tear_down)

  local function doas_conf(...)
    if not account then run.skip(reason) end
    local ok, why = account:set_doas { ... }
    if not ok then run.skip(why) end
  end

  it("runs a command as root: on a terminal when it asks, without when it does not", body(function()
    doas_conf "permit NAME as root"
    local s = connect()
    local r = s:exec("id -un; cat; exit 3", { doas = { password = password() }, stdin = "a\4b\0c", check = false })
    assert.equal("root\na\4b\0c", r.stdout)
    assert.equal(3, r.code)
    doas_conf "permit nopass NAME as root"
    s = connect "web2"
    r = s:exec("id -un; echo err >&2; cat", { doas = true, stdin = "in" })
    assert.equal("root\nin", r.stdout)
    assert.equal("err\n", r.stderr)
  end))

  it("ends with auth when the password is wrong, or it is not permitted", body(function()
    doas_conf "permit NAME as root"
    local s = connect()
    local e = fails("auth", s.exec, s, "id", { doas = { password = password "certainly not" } })
    assert.equal("WRONG_PASSWORD", e.name)
    doas_conf "deny NAME"
    e = fails("auth", s.exec, s, "id", { doas = { password = password() } })
    assert.equal("REFUSED", e.name)
    assert.truthy(e.message:find("not permitted", 1, true), e.message)
  end))
end)

describe("a program in sudo's place", function()
  setup(set_up)
  teardown(tear_down)

  -- A host on which this sh text is what PATH finds as sudo; "": there is none.
  local function with_sudo(text, path)
    if not account then run.skip(reason) end
    local dir = core.fs_mkdtemp_sync "/tmp/sshlua-spec.XXXXXX"
    defer(core.fs_rmtree_sync, dir)
    core.fs_chmod_sync(dir, 493)
    if text then
      servers.write_file(dir .. "/sudo", "#!/bin/sh\n" .. text .. "\n")
      core.fs_chmod_sync(dir .. "/sudo", 493)
    end
    return servers.connect(servers.fleet {
      user = account, pam = true, sshd_config = { ("SetEnv PATH=%s%s"):format(dir, path or ":/usr/bin:/bin") },
    })
  end

  it("that asks twice gets one answer", body(function()
    local s = with_sudo([[
      while [ "$1" != -p ]; do shift; done; printf %s "$2" >&2; read -r a; printf '\n%s' "$2" >&2; read -r b; echo "$a$b" >&2]])
    local e = fails("auth", s.exec, s, "id", { sudo = { password = password() } })
    assert.equal("WRONG_PASSWORD", e.name)
    nowhere(e:describe())
  end))

  it("that echoes the password does not show it", body(function()
    local s = with_sudo([[
      while [ "$1" != -p ]; do shift; done; printf %s "$2" >&2; read -r a; echo "you said $a" >&2; exit 1]])
    local e = fails("auth", s.exec, s, "id", { sudo = { password = password() } })
    assert.truthy(e.message:find("you said ********", 1, true), e.message)
    nowhere(e:describe())
  end))

  it("that asks something else gets no answer, and the error quotes it", body(function()
    local s = with_sudo([[printf 'Verification code: ' >&2; sleep 20]])
    local e = fails("timeout", s.exec, s, "id", { sudo = { password = password(), timeout = 0.5 } })
    assert.truthy(e.hint:find("Verification code:", 1, true), e.hint)
  end))

  it("that says the prompt in the middle of a line, or with something behind it, gets no answer", body(function()
    local s = with_sudo([[
      while [ "$1" != -p ]; do shift; done; printf 'x%s' "$2" >&2; sleep 0.3; printf '\n%sx' "$2" >&2; timeout 1 cat >&2; exit 1]])
    local e = fails("auth", s.exec, s, "id", { sudo = { password = password(), timeout = 5 } })
    assert.equal("REFUSED", e.name)
    nowhere(e:describe())
  end))

  it("that says its prompt byte by byte is answered", body(function()
    local s = with_sudo([[
      while [ "$1" != -p ]; do shift; done; p=$2
      while [ -n "$p" ]; do printf %s "${p%"${p#?}"}" >&2; p=${p#?}; sleep 0.01; done
      read -r a; while [ "$1" != -- ]; do shift; done; shift; exec "$@"]])
    assert.equal(account.name .. "\nin", tostring(s:exec("id -un; cat", { sudo = { password = password() }, stdin = "in" })))
  end))

  it("that talks without end is ended", body(function()
    local s = with_sudo("yes >&2")
    local e = fails("limit", s.exec, s, "id", { sudo = { password = password() } })
    assert.truthy(e.message:find("16384", 1, true), e.message)
  end))

  it("that is not there is named", body(function()
    local s = with_sudo(nil, "")
    local e = fails("auth", s.exec, s, "id", { sudo = { password = password() } })
    assert.equal("NO_PROGRAM", e.name)
    assert.equal("there is no sudo on this host", e.message)
    assert.truthy(e.hint)
  end))

  it("gives way to a forced command with an error that quotes it", body(function()
    if not account then run.skip(reason) end
    local other = servers.fleet { user = account, pam = true, sshd_config = { "ForceCommand echo only this" } }
    local s = servers.connect(other)
    local e = fails("auth", s.exec, s, "id", { sudo = { password = password() } })
    assert.equal("REFUSED", e.name)
  end))
end)

describe("a secret variable", function()
  local plain, start_plain, stop_plain = servers.shared { hosts = 2, per_host = { web2 = { "AcceptEnv SECRET_*" } } }
  setup(start_plain)
  teardown(stop_plain)

  it("is read by a sh from stdin, whatever its bytes, and input follows", body(function()
    local s, bytes = servers.connect(plain()), {}
    for i = 1, 255 do bytes[i] = string.char(i) end
    bytes = table.concat(bytes)
    local r = s:exec('printf "%s" "$SECRET_A"; echo; cat; echo "$B$PWD"; cat /proc/$$/cmdline /proc/$PPID/cmdline', {
      env = { SECRET_A = core.secret("a", bytes), B = "plain" }, cwd = "/etc", stdin = "in\n",
    })
    assert.equal(bytes .. "\nin\nplain/etc\n", r.stdout:sub(1, #bytes + 14))
    assert.is_nil(r.stdout:sub(#bytes + 1):find(bytes:sub(40, 60), 1, true))
    assert.equal("", r.stderr)
    local p = s:spawn("echo $SECRET_A; cat", { env = { SECRET_A = core.secret("a", "spawned") } })
    p.stdin:write "in"
    assert.equal("spawned\nin", p:wait().stdout)
  end))

  it("is sent as all are where the server accepts it, also with a terminal", body(function()
    local s = servers.connect(plain(), "web2")
    assert.equal("value\r\n", s:exec("echo $SECRET_A", { env = { SECRET_A = core.secret("a", "value") }, pty = true }).stdout)
    s = servers.connect(plain())
    local e = fails("usage", s.exec, s, "true", { env = { SECRET_A = core.secret("a", "value") }, pty = true })
    assert.truthy(e.hint:find("AcceptEnv", 1, true))
    assert.equal("in", tostring(s:exec "echo in"))
  end))

  it("is not sent to a forced command", body(function()
    local other = servers.fleet { sshd_config = { "ForceCommand cat" } }
    local s = servers.connect(other)
    local e = fails("timeout", s.exec, s, "true", { env = { A = core.secret("a", "a value") }, timeout = 1 })
    assert.equal("", e.result.stdout)
  end))

  it("reaches local commands, and stdin takes secrets", body(function()
    local value = core.secret("a", "a value")
    assert.equal("a value", ssh.here:read("echo $A", { env = { A = value } }))
    assert.equal("a value", ssh.here:read("cat", { stdin = value }))
    local s = servers.connect(plain())
    assert.equal("a value", s:exec("cat", { stdin = value }).stdout)
    local given
    assert.equal("a value", s:exec("cat", { stdin = function()
      given = given == nil and value or false
      return given or nil
    end }).stdout)
    local p = s:spawn "cat"
    p.stdin:write(value)
    p.stdin:write "\n"
    assert.equal("a value\n", p:wait().stdout)
  end))
end)

describe("a login", function()
  setup(set_up)
  teardown(tear_down)

  it("takes a secret as password and as passphrase", body(function()
    if not account then run.skip(reason) end
    local s = servers.connect(fleet, nil, { identity = false, agent = false, password = password() })
    assert.equal(account.name, tostring(s:exec "id -un"))
    local e = fails("auth", servers.connect, fleet, nil, { identity = false, agent = false, password = password "certainly not" })
    assert.is_nil(e:describe():find("certainly", 1, true))
    assert.is_true(errors.is(e))
    local path = fleet.dir .. "/locked"
    local _, line = testbed.make_key(path, "ed25519", "a pass phrase")
    local f = assert(io.open(fleet.dir .. "/authorized_keys", "a"))
    f:write(line, "\n")
    f:close()
    s = servers.connect(fleet, nil, { identity = path, identities_only = true, passphrase = core.secret("p", "a pass phrase") })
    assert.equal(account.name, tostring(s:exec "id -un"))
  end))
end)
