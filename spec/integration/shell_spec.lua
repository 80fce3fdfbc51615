-- Dialogues with shells and with devices that are played behind a real sshd.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local habits = { "plain", "control", "wrap", "twice", "closes", "never", "quiet" }

local function device_path()
  local here = debug.getinfo(1, "S").source:match "^@(.*)integration/[^/]*$"
  return here .. "support/device.sh"
end

local function start()
  local path = task.await(core.fs_realpath, device_path())
  local per_host, names = {}, { "shell" }
  for i, habit in ipairs(habits) do
    names[i + 1] = habit
    per_host[habit] = { ("ForceCommand sh '%s' %s"):format(path, habit) }
  end
  return require("sshlua.testbed").start { hosts = names, per_host = per_host, sshd_config = { "PrintMotd no" } }
end

local PROMPT = "sw1[%w()-]*[>#]%s?$"

describe("a shell", function()
  local fleet, set_up, tear_down = run.shared(start, function(f) f:stop() end)
  setup(set_up)
  teardown(tear_down)

  local function open(name, opts)
    opts = opts or {}
    opts.timeout = opts.timeout or 10
    local t = servers.connect(fleet(), name):shell(opts)
    run.defer(t.close, t)
    return t
  end

  local function device(habit, opts)
    opts = opts or {}
    opts.prompt, opts.pager = opts.prompt or PROMPT, "%-%-More%-%-"
    return open(habit, opts)
  end

  describe("of a user", function()
    for _, program in ipairs { "env HISTFILE=/dev/null bash --norc", "dash -i", "sh -i" } do
      it("learns the prompt of " .. program .. " and gives the output of commands alone", run.body(function()
        local t = open("shell", { command = program })
        assert.equal("hello", t:cmd "echo hello")
        assert.equal("", t:cmd "true")
        assert.equal("a\n\nb", t:cmd "printf 'a\\n\\nb\\n'")
        assert.equal("", t:cmd "")
        assert.equal("", t:cmd "cd /tmp")
        assert.equal("/tmp", t:cmd "pwd")
        assert.equal("grün 日本", t:cmd "echo 'grün 日本'")
        assert.equal(("x"):rep(400), t:cmd("echo " .. ("x"):rep(400)))
      end))
    end

    it("is the login shell without a command, and takes colours out", run.body(function()
      local t = open "shell"
      assert.equal("red plain", t:cmd "printf '\\033[31mred\\033[0m plain\\n'")
      assert.equal("over", t:cmd "printf 'gone\\rover\\n'")
      assert.equal("50 100%", t:cmd "printf '50 99%%\\b\\b\\b100%%\\n'")
    end))

    it("keeps the output of a command that does not end its line", run.body(function()
      local t = open("shell", { command = "HISTFILE=/dev/null bash --norc" })
      assert.equal("foo", t:cmd "printf foo")
    end))

    it("sees variables that the server or sh takes", run.body(function()
      local t = open("shell", { command = "sh -i", env = { SOMETHING = "a b" } })
      assert.equal("a b", t:cmd 'echo "$SOMETHING"')
    end))

    it("does not mistake output for the prompt while more comes", run.body(function()
      local t = open("shell", { command = "dash -i", prompt = "# $" })
      assert.equal("# \n# \n1", t:cmd "for i in 1 2; do echo '# '; done; echo 1")
    end))

    it("refuses two tasks at once", run.body(function()
      local t = open "shell"
      local ok, err = pcall(task.all, function() t:cmd "sleep 0.2" end, function() t:cmd "true" end)
      assert.falsy(ok)
      assert.equal("usage", err.kind)
    end))

    it("gives the kind closed after close, and is closed with its connection", run.body(function()
      local t = open "shell"
      t:close()
      t:close()
      run.fails("closed", t.cmd, t, "true")
      run.fails("closed", t.expect, t, "x")
    end))

    it("says connection_lost when the connection goes", run.body(function()
      local t = open "shell"
      ssh.scope(function(s)
        s:spawn(function() ssh.sleep(0.2) fleet():kill("shell", "KILL") end)
        run.fails("connection_lost", t.cmd, t, "sleep 20")
      end)
    end))
  end)

  describe("of a device", function()
    local function configure(habit, opts)
      local t = device(habit, opts)
      local secret = core.secret("enable password", "s3cret")
      t:send "enable\n"
      t:expect { ["[Pp]assword:%s?$"] = function() t:send(secret, "\n") end, ["#%s?$"] = true }
      t:cmd "configure terminal"
      for _, vlan in ipairs { 10, 20 } do assert.equal("", t:cmd("vlan " .. vlan)) end
      t:cmd "end"
      local lines = {}
      for i = 1, 25 do lines[i] = "  line " .. i end
      assert.equal(table.concat(lines, "\n"), t:cmd "show run")
      assert.equal("you said: show version and more of it", t:cmd "show version and more of it")
      return t
    end

    for _, habit in ipairs { "plain", "control", "wrap", "twice", "quiet" } do
      it("is configured, habit " .. habit, run.body(function() configure(habit) end))
    end

    it("comes in single bytes", run.body(function()
      local relay, opts = servers.relay(fleet(), "plain", { down = {} })
      local s = ssh.connect("plain", opts)
      run.defer(s.close, s)
      relay:set("down", { piece = 1 })
      local t = s:shell { prompt = PROMPT, pager = "%-%-More%-%-", timeout = 20, settle = 0.3 }
      assert.equal("you said: abc", t:cmd "abc")
      local out = t:cmd "show run"
      assert.equal(25, select(2, out:gsub("line", "")))
    end, 60))

    it("has its prompt learnt, over modes", run.body(function()
      local t = open "plain"
      assert.equal("you said: x", t:cmd "x")
      t:cmd "configure terminal"
      assert.equal("you said: y", t:cmd "y")
      assert.truthy(t.banner:find "Authorised")
    end))

    it("has lines joined that its terminal breaks, unless that is not wanted", run.body(function()
      local t = device("plain", { pty = { cols = 80, rows = 24 } })
      local line = ("0123456789"):rep(8)
      assert.equal(line .. "end of it\nshort", t:cmd "show wide")
      t = device("plain", { pty = { cols = 80, rows = 24 }, wrap = false })
      assert.equal(line .. "\nend of it\nshort", t:cmd "show wide")
    end))

    it("closes in the middle: an error of kind channel with what came", run.body(function()
      local t = device "closes"
      local err = run.fails("channel", t.cmd, t, "show run")
      assert.equal("EOF", err.name)
      assert.truthy(err.message:find("'show run'", 1, true))
      assert.truthy(err.result.stdout:find "line")
    end))

    it("never shows a prompt: a timeout that says what came last", run.body(function()
      local s = servers.connect(fleet(), "never")
      local err = run.fails("timeout", s.shell, s, { prompt = PROMPT, timeout = 0.8 })
      assert.truthy(err.message:find("booting", 1, true))
      assert.truthy(err.result.stdout:find "Authorised")
      run.fails("timeout", s.shell, s, { timeout = 1.5 })
    end))

    it("asks for the password again and again, and does not hang", run.body(function()
      local t = device "plain"
      local asked = 0
      t:send "enable\n"
      local said = t:expect {
        ["[Pp]assword:%s?$"] = function() asked = asked + 1 t:send "wrong\n" end,
        { plain = "Bad secrets", function(m) return m.text end },
      }
      assert.equal("Bad secrets", said)
      assert.equal(3, asked)
    end))

    it("hides secrets in errors", run.body(function()
      local t = device "plain"
      local secret = core.secret("pin", "hunter22")
      t:send(secret, "\n")
      local err = run.fails("timeout", t.expect, t, "nothing of the sort", { timeout = 0.5 })
      assert.falsy(err:describe():find("hunter22", 1, true))
    end))

    it("is talked to many times at once without a mix-up", run.body(function()
      local s = servers.connect(fleet(), "quiet")
      ssh.each({ 1, 2, 3, 4, 5 }, function(i)
        local t = s:shell { prompt = PROMPT, timeout = 20 }
        for j = 1, 10 do assert.equal(("you said: %d-%d"):format(i, j), t:cmd(i .. "-" .. j)) end
        t:close()
      end)
    end, 60))
  end)

  describe("waiting for one of several", function()
    local function program(text, opts)
      opts = opts or {}
      opts.command, opts.prompt = text, false
      if opts.pty == nil then opts.pty = false end
      return open("shell", opts)
    end

    it("takes the earliest in the stream, then the first in order", run.body(function()
      local t = program "printf 'one two three'; sleep 20"
      local m = t:expect { "three", "two" }
      assert.equal("two", m.text)
      assert.equal(2, m.index)
      assert.equal("one ", m.before)
      m = t:expect { "thr", "three" }
      assert.equal(1, m.index)
    end))

    it("knows patterns with captures, plain text, functions, objects, and actions that answer", run.body(function()
      local t = program [[printf 'a.b 12 '; read x; echo "got $x"; read y; echo "$y."; echo end]]
      assert.equal("a.b", t:expect({ plain = "a.b" } and { { plain = "a.b" } }).text)
      assert.equal("12", t:expect "(%d+)%s"[1])
      local object = { find = function(_, text, init) return text:find("got", init, true) end }
      t:send "x\n"
      assert.equal("got", t:expect(object).text)
      assert.equal("x\n", t:expect(function(text) return text:find "x\n" end).text)
      t:send "yes\n"
      assert.equal("done", t:expect { ["yes%."] = "ignored\n", ["end"] = function() ssh.sleep(0.01) return "done" end })
    end))

    it("takes plain text when it is told to", run.body(function()
      local t = program "echo 'a.c (x)'; echo abc; sleep 20"
      assert.equal("(x)", t:expect("(x)", { plain = true }).text)
    end))

    it("finds what comes in pieces, and what stands over what was searched before", run.body(function()
      local t = program "for c in p a s s w o r d; do printf $c; sleep 0.02; done; sleep 20"
      assert.equal("password", t:expect("pass[w]ord").text)
    end))

    it("takes $ for the end of what comes, when nothing follows", run.body(function()
      local t = program "printf 'a# '; sleep 0.01; printf 'b# '; sleep 20"
      local m = t:expect("# $", { timeout = 5 })
      assert.truthy(m.before == "a# b")
    end))

    it("takes ^ for the end of the last match", run.body(function()
      local t = program "echo 'one two'; sleep 20"
      assert.equal("one ", t:expect("^one ").text)
      run.fails("timeout", t.expect, t, "^wo", { timeout = 0.3 })
      assert.equal("two", t:expect("^two").text)
    end))

    it("has words for the end, for time and for too much", run.body(function()
      local t = program "echo bye"
      assert.equal("over", t:expect { never = true, eof = function() return "over" end })
      assert.equal("eof", t:expect { "never", eof = true })
      assert.equal("EOF", run.fails("channel", t.expect, t, "never").name)
      t = program "sleep 20"
      assert.equal("late", t:expect({ "never", timeout = function() return "late" end }, { timeout = 0.2 }))
      t = program("yes; sleep 20", { max_buffer = 100000 })
      assert.equal("limit", t:expect { "never", limit = true })
    end))

    it("keeps what nobody matched for the next one, also after a timeout", run.body(function()
      local t = program "echo first; echo second; sleep 20"
      run.fails("timeout", t.expect, t, "third", { timeout = 0.3 })
      assert.equal("first", t:expect("first").text)
      assert.equal("second", t:expect("second").text)
    end))

    it("is linear in what comes, and bounded in memory", run.body(function()
      local t = program("head -c 100000000 /dev/zero | tr '\\0' x | fold -w 99; echo; echo the end; sleep 20",
        { max_buffer = 1000000, timeout = 60 })
      local before = os.clock()
      local m = t:expect { "[Pp]assword:%s?$", "never (%d+) comes", "the end" }
      assert.equal("the end", m.text)
      assert.is_true(m.truncated)
      assert.is_true(#m.before <= 1000000)
      assert.is_true(os.clock() - before < 30)
    end, 90))

    it("refuses what is no pattern, and what it does not know", run.body(function()
      local t = program "sleep 20"
      assert.truthy(run.fails("usage", t.expect, t, "[a"):describe():find "pattern")
      run.fails("usage", t.expect, t, {})
      run.fails("usage", t.expect, t, "")
      run.fails("usage", t.expect, t, { a = 5 })
      run.fails("usage", t.cmd, t, "a")
      run.fails("usage", t.send, t, 5)
      local s = t.session
      run.fails("usage", s.shell, s, { record = { too = "x" } })
      run.fails("usage", s.shell, s, { promt = "x" })
      run.fails("usage", s.shell, s, { prompt = "[x" })
    end))

    it("can be cancelled, and goes on afterwards", run.body(function()
      local t = program "sleep 0.5; echo there; sleep 20"
      run.fails("timeout", ssh.timeout, 0.1, t.expect, t, "there")
      assert.equal("there", t:expect("there").text)
    end))
  end)
end)

describe("require 'sshlua'", function()
  it("does not load what is for dialogues", run.body(function()
    local code = "require 'sshlua' for n in pairs(package.loaded) do if n:find 'sshlua.shell$' or n:find 'expect' or n:find "
      .. "'interact' or n:find 'tail' or n:find 'shell_text' then error(n) end end"
    local program = require "spec.support.program"
    if not program.path then run.skip "no program" end
    local r = program.lua(code)
    assert.equal("", r.err)
  end))
end)
