-- Commands on a session, against real servers: every promise about input, output, ends and failures.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body, fails, defer = run.body, run.fails, run.defer
local fleet, start_fleet, stop_fleet = servers.shared { sshd_config = { "AcceptEnv GOOD_*", "MaxSessions 10" } }

local function connect(more) return servers.connect(fleet(), nil, more) end

local function pattern(n)
  local words, size = {}, 0
  while size < n do
    words[#words + 1] = ("%08x "):format(size)
    size = size + 9
  end
  return (table.concat(words):sub(1, n))
end

describe("a command", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("gives stdout and stderr apart, the exit code and what was run", body(function()
    local s = connect()
    local r = s:exec("echo out; echo err >&2; exit 3", { check = false })
    assert.equal("out\n", r.stdout)
    assert.equal("err\n", r.stderr)
    assert.equal(3, r.code)
    assert.is_nil(r.signal)
    assert.is_false(r.ok)
    assert.is_false(r.truncated)
    assert.equal(8, r.bytes)
    assert.equal("web1", r.host)
    assert.is_true(r.duration >= 0)
    assert.equal("out", tostring(r))
  end))

  it("raises kind exit with host, code, command and the last words of stderr", body(function()
    local s = connect()
    local e = fails("exit", s.exec, s, "echo one >&2; echo broken >&2; exit 7")
    assert.equal(7, e.code)
    assert.equal("web1", e.host)
    assert.equal("web1: exit: 'echo one >&2; echo broken >&2; exit 7' exited with 7: broken", tostring(e))
    assert.equal("one\nbroken\n", e.result.stderr)
  end))

  it("tells exit code, signal and no status apart", body(function()
    local s = connect()
    local r = s:exec("kill -9 $$", { check = false })
    assert.is_nil(r.code)
    assert.equal("KILL", r.signal)
    assert.equal("KILL", fails("signal", s.exec, s, "kill -9 $$").signal)
    assert.equal(137, s:exec("sh -c 'kill -9 $$'; exit $?", { check = false }).code)
    assert.equal(0, s:exec("true").code)
    assert.equal(255, s:exec("exit 255", { check = false }).code)
  end))

  it("gives megabytes of both streams whole and in order", body(function()
    local s = connect()
    local r = s:exec("seq 1 300000; seq 1 200000 >&2; exit 5", { check = false })
    local out, err = {}, {}
    for i = 1, 300000 do out[i] = ("%d\n"):format(i) end
    for i = 1, 200000 do err[i] = ("%d\n"):format(i) end
    assert.is_true(r.stdout == table.concat(out))
    assert.is_true(r.stderr == table.concat(err))
    assert.equal(5, r.code)
  end))

  it("is ended by its exit although something in the background holds no stream", body(function()
    local s = connect()
    assert.is_true(run.took(s.exec, s, "sleep 30 >/dev/null 2>&1 </dev/null & echo started") < 5)
  end))

  it("with nothing to say gives empty strings", body(function()
    local r = connect():exec "true"
    assert.equal("", r.stdout)
    assert.equal("", r.stderr)
    assert.equal(0, r.bytes)
    assert.is_true(r.ok)
  end))

  it("passes every byte in both directions", body(function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local all = table.concat(bytes)
    assert.equal(all, connect():exec("cat", { stdin = all }).stdout)
  end))
end)

describe("standard input", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("is at its end at once when none is given", body(function()
    assert.equal("0", tostring(connect():exec "wc -c"):match "%d+")
  end))

  it("comes from a string, empty ones too, and then ends", body(function()
    local s = connect()
    assert.equal("abc", s:exec("cat", { stdin = "abc" }).stdout)
    assert.equal("", s:exec("cat", { stdin = "" }).stdout)
  end))

  it("comes from a function until it returns nil, and the function may wait", body(function()
    local n = 0
    local r = connect():exec("cat", { stdin = function()
      n = n + 1
      task.sleep(0.01)
      if n <= 5 then return "line " .. n .. "\n" end
    end })
    assert.equal("line 1\nline 2\nline 3\nline 4\nline 5\n", r.stdout)
    assert.equal(6, n)
  end))

  it("takes empty pieces of a function for pieces and not for the end", body(function()
    local pieces = { "a", "", "b" }
    local r = connect():exec("cat", { stdin = function() return table.remove(pieces, 1) end })
    assert.equal("ab", r.stdout)
  end))

  it("comes from something with read: a file, another command's output", body(function()
    local s = connect()
    local path = servers.write_file(fleet().dir .. "/input", pattern(200000))
    local f = assert(io.open(path, "rb"))
    assert.is_true(s:exec("cat", { stdin = f }).stdout == pattern(200000))
    f:close()
    local p = s:spawn "seq 1 50000"
    local sum = s:exec("md5sum", { stdin = p.stdout }).stdout
    assert.equal(s:exec("seq 1 50000 | md5sum").stdout, sum)
    p:wait()
  end))

  it("is held back by a command that does not read: 64 MiB through cat, every byte", body(function()
    local s = connect()
    local piece, sent, got, bad = pattern(9 * 65536), 0, 0, 0
    local total = 64 * 1048576
    local ahead = 0
    local r = s:exec("cat", {
      max_output = 1,
      stdin = function()
        if sent >= total then return nil end
        local p = piece:sub(1, total - sent)
        sent = sent + #p
        ahead = math.max(ahead, sent - got)
        return p
      end,
      sink = function(bytes)
        local at = got % #piece
        local want = piece:sub(at + 1, at + #bytes)
        if #want < #bytes then want = want .. piece:sub(1, #bytes - #want) end
        if want ~= bytes then bad = bad + 1 end
        got = got + #bytes
      end,
    })
    assert.equal(total, got)
    assert.equal(0, bad)
    assert.is_true(ahead < 24 * 1048576, "input ran " .. ahead .. " bytes ahead")
    assert.is_true(r.truncated)
    assert.equal(1, #r.stdout)
  end, 60))

  it("that nobody reads hurts nobody: true, head -c1, exit, and 64 MiB on the way", body(function()
    local s = connect()
    local piece = ("x"):rep(1048576)
    for _, cmd in ipairs { "true", "head -c1 >/dev/null", "exec sh -c 'exit 0'", "exec <&-; true" } do
      local n = 0
      local r = s:exec(cmd, { timeout = 20, stdin = function()
        n = n + 1
        if n <= 64 then return piece end
      end })
      assert.equal(0, r.code)
      assert.equal(0, s:exec(cmd, { timeout = 20, stdin = piece:rep(16) }).code)
    end
    assert.equal("still good", tostring(s:exec "echo still good"))
  end, 60))

  it("function that fails ends the command with the function's own error", body(function()
    local s = connect()
    local mine = {}
    local ok, err = pcall(s.exec, s, "cat", { stdin = function() error(mine, 0) end })
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal("fine", tostring(s:exec "echo fine"))
  end))

  it("function that returns something else than a string is misuse, named", body(function()
    local s = connect()
    for _, wrong in ipairs { 5, true, {} } do -- no number: io.write takes them, but nobody means it here
      local ok, err = pcall(s.exec, s, "cat", { timeout = 5, stdin = function() return wrong end })
      assert.is_false(ok)
      assert.truthy(tostring(err):find "string", tostring(err))
    end
  end))
end)

describe("the environment", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("arrives where the server accepts it, and by export where it does not", body(function()
    local s = connect()
    local hard = "a 'b' \"c\" $HOME `id` \\ \n newline; exit 9 ü"
    local r = s:exec('printf "%s|" "$GOOD_ONE" "$BAD_ONE"; env | grep -c -e ^GOOD_ONE -e ^BAD_ONE',
      { env = { GOOD_ONE = hard, BAD_ONE = hard } })
    assert.equal(hard .. "|" .. hard .. "|2\n", r.stdout)
  end))

  it("is exported to argument vectors and in front of cwd, too", body(function()
    local r = connect():exec({ "sh", "-c", 'echo "$X $PWD"' }, { env = { X = "y z" }, cwd = "/usr" })
    assert.equal("y z /usr\n", r.stdout)
  end))

  it("of the connection is joined by the verb's, which wins", body(function()
    local s = connect { env = { A = "1", B = "1" } }
    assert.equal("1 2", tostring(s:exec('echo "$A $B"', { env = { B = "2" } })))
  end))

  it("takes numbers, and refuses names and values that cannot be", body(function()
    local s = connect()
    assert.equal("5", tostring(s:exec("echo $N", { env = { N = 5 } })))
    for _, env in ipairs { { ["A B"] = "x" }, { ["A=B"] = "x" }, { [1] = "x" }, { A = {} }, { A = true }, { A = "\0" } } do
      local e = fails("usage", s.exec, s, "true", { env = env })
      assert.truthy(tostring(e):find "env", tostring(e))
    end
    assert.equal(0, s.places.taken)
  end))
end)

describe("an argument vector", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("cannot break out, whatever its words are", body(function()
    local s = connect()
    local words = {
      "", " ", "'", "''", '"', "\\", "\\'", "$(id)", "`id`", ";id", "&", "|id", "\n", "a\nb", "\t", "*", "?", "[a]", "~", "~root",
      "{a,b}", "!", "!!", "-e", "--", "#x", "$HOME", "${IFS}", "<(id)", ">x", "\r", "\27[31m", "\127", "ü", "\255\254", "=", "a=b",
      "if", "%s", "$'x'", "\1", ("x"):rep(20000),
    }
    local cmd = { "printf", "%s\\0" }
    for _, w in ipairs(words) do cmd[#cmd + 1] = w end
    assert.equal(table.concat(words, "\0") .. "\0", s:exec(cmd).stdout)
  end))

  it("may name a program with a hostile name", body(function()
    local s = connect()
    local e = fails("exit", s.exec, s, { "no such; program $(touch x)" })
    assert.equal(127, e.code)
  end))

  it("takes numbers, refuses nil, NUL, tables and nothing at all with the index", body(function()
    local s = connect()
    assert.equal("1 2.5", tostring(s:exec { "echo", 1, 2.5 }))
    assert.truthy(tostring(fails("usage", s.exec, s, { "echo", "a\0b" })):find "2")
    assert.truthy(tostring(fails("usage", s.exec, s, { "echo", nil, "x" })):find "2")
    assert.truthy(tostring(fails("usage", s.exec, s, { "echo", {} })):find "2")
    fails("usage", s.exec, s, {})
  end))

  it("runs in cwd, whatever its name, and not at all when there is none", body(function()
    local s = connect()
    local dir = fleet().dir .. "/a 'b' $c -d"
    assert(core.fs_mkdir_sync(dir, 448))
    defer(core.fs_rmtree_sync, dir)
    assert.equal(dir, tostring(s:exec({ "pwd" }, { cwd = dir })))
    assert.equal(dir, tostring(s:exec("pwd", { cwd = dir })))
    local r = s:exec("echo ran", { cwd = "/nonexistent", check = false })
    assert.is_false(r.ok)
    assert.equal("", r.stdout)
    assert.truthy(r.stderr:find "/nonexistent")
    assert.equal("ran", tostring(s:exec("pwd; echo ran", { cwd = "-", check = false })) == "ran" and "" or "ran")
  end))
end)

describe("captured output", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("is capped for each stream, says so, and the command still ends", body(function()
    local s = connect()
    local r = s:exec("seq 1 100000; echo short >&2", { max_output = 1000 })
    assert.equal(1000, #r.stdout)
    assert.equal("short\n", r.stderr)
    assert.is_true(r.truncated)
    assert.is_true(r.bytes > 100000)
    r = s:exec("printf 12345", { max_output = 5 })
    assert.equal("12345", r.stdout)
    assert.is_false(r.truncated)
  end))

  it("is capped at 8 MiB by default", body(function()
    local r = connect():exec "head -c 9000000 /dev/zero"
    assert.equal(8 * 1048576, #r.stdout)
    assert.is_true(r.truncated)
    assert.equal(9000000, r.bytes)
  end))

  it("goes whole to a sink, which may wait, with the stream's name", body(function()
    local sizes = { stdout = 0, stderr = 0 }
    connect():exec("seq 1 20000; seq 1 1000 >&2", { max_output = 10, sink = function(bytes, stream)
      task.sleep(0)
      sizes[stream] = sizes[stream] + #bytes
    end })
    assert.equal(108894, sizes.stdout)
    assert.equal(3893, sizes.stderr)
  end))

  it("goes to a sink with write, too", body(function()
    local path = fleet().dir .. "/sink"
    local f = assert(io.open(path, "wb"))
    connect():exec("seq 1 1000", { sink = f })
    f:close()
    assert.equal(3893, #servers.read_file(path))
  end))

  it("to a slow sink is held back instead of filling memory", body(function()
    local s = connect { window = 262144 }
    collectgarbage()
    local before, most = collectgarbage "count", 0
    s:exec("head -c 20000000 /dev/zero", { max_output = 1, sink = function()
      most = math.max(most, collectgarbage "count" - before)
    end })
    assert.is_true(most < 20000, most)
  end))

  it("to a sink that fails ends the command with the sink's error", body(function()
    local s = connect()
    local mine = setmetatable({}, { __tostring = function() return "mine" end })
    local ok, err = pcall(s.exec, s, "seq 1 100000; sleep 20", { sink = function() error(mine, 0) end })
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal("fine", tostring(s:exec "echo fine"))
  end))
end)

describe("time limits", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("of wall time raise timeout with what came so far", body(function()
    local s = connect()
    local e
    local took = run.took(function()
      e = fails("timeout", s.exec, s, "echo some; echo more >&2; sleep 20", { timeout = 0.4 })
    end)
    assert.is_true(took >= 0.39 and took < 3, took)
    assert.equal("some\n", e.result.stdout)
    assert.equal("more\n", e.result.stderr)
    assert.is_nil(e.result.code)
    assert.equal("web1", e.host)
    assert.equal("command", e.phase)
    assert.truthy(e.message:find("timed out after 0.4 s", 1, true))
    assert.is_false(e.retryable)
    assert.equal("fine", tostring(s:exec "echo fine"))
  end))

  it("of silence count from the last output", body(function()
    local s = connect()
    local r = s:exec("for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done", { idle = 0.6 })
    assert.equal("1\n2\n3\n4\n5\n6\n", r.stdout)
    local e = fails("timeout", s.exec, s, "echo some; sleep 20", { idle = 0.3 })
    assert.equal("some\n", e.result.stdout)
    assert.truthy(e.message:find("no output for 0.3 s", 1, true))
    assert.equal("web1", e.host)
  end))

  it("hold while input is stuck, too", body(function()
    local s = connect()
    local e = fails("timeout", s.exec, s, "echo a; sleep 20", { timeout = 0.5, stdin = ("x"):rep(8 * 1048576) })
    assert.equal("a\n", e.result.stdout)
    assert.equal("fine", tostring(s:exec "echo fine"))
  end))

  it("of a verb around it keep what came in the error", body(function()
    local s = connect()
    local e = fails("timeout", task.timeout, 0.4, s.exec, s, "echo some; sleep 20")
    assert.equal("some\n", e.result.stdout)
  end))

  it("of zero seconds time out at once", body(function()
    local s = connect()
    fails("timeout", s.exec, s, "sleep 1", { timeout = 0 })
    assert.equal("fine", tostring(s:exec "echo fine"))
    assert.equal(0, s.places.taken)
  end))

  it("end a command that ignores TERM as far as we are concerned", body(function()
    local s = connect()
    assert.is_true(run.took(fails, "timeout", s.exec, s, "trap '' TERM; echo on; sleep 20", { timeout = 0.3 }) < 3)
  end))
end)

describe("cancelling", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("returns what came so far, and says by what", body(function()
    local s = connect()
    local caught
    task.scope(function(sc)
      sc:spawn(function()
        local ok, err = pcall(s.exec, s, "echo some; sleep 20")
        assert(not ok)
        caught = err
        error(err, 0)
      end)
      task.sleep(0.4)
      sc:cancel()
    end)
    assert.equal("cancelled", caught.kind)
    assert.equal("some\n", caught.result.stdout)
    assert.equal("web1", caught.host)
    assert.is_true(errors.is(caught.cancelled_by, "cancelled"))
    assert.equal("fine", tostring(s:exec "echo fine"))
  end))

  it("at any moment leaves the session good and no channel behind", body(function()
    local s = connect()
    for i = 0, 40 do
      pcall(task.timeout, i * 0.0004, s.exec, s, "echo x; cat", { stdin = "y", env = { E = "1" } })
      pcall(task.timeout, i * 0.0004, s.exec, s, "echo x")
      assert.is_true(s:is_alive())
    end
    assert.equal("fine", tostring(s:exec "echo fine"))
    assert.equal(0, s.places.taken)
    assert.equal(0, s.core:count_open())
  end))

  it("takes a command out of the queue for a channel", body(function()
    local s = connect { max_sessions = 1 }
    task.scope(function(sc)
      sc:spawn(s.exec, s, "sleep 10")
      task.sleep(0.05)
      assert.is_true(run.took(fails, "timeout", task.timeout, 0.1, s.exec, s, "true") < 4)
      sc:cancel()
    end)
    assert.equal("fine", tostring(s:exec "echo fine"))
  end))
end)

describe("many commands on one session", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("beyond MaxSessions wait their turn: 200 at once", body(function()
    local s = connect()
    local list = {}
    for i = 1, 200 do list[i] = i end
    local rs = task.map(list, function(i) return s:exec("echo " .. i .. "; exit " .. i % 7, { check = false }) end)
    for i = 1, 200 do
      assert.equal(i .. "\n", rs[i].stdout)
      assert.equal(i % 7, rs[i].code)
    end
    assert.equal(0, s.places.taken)
    assert.equal(1, fleet():connections() - (fleet():connections() - 1))
  end, 60))

  it("go one after the other when MaxSessions is 1", body(function()
    local small = servers.fleet { sshd_config = { "MaxSessions 1" } }
    local s = servers.connect(small)
    local list = { 1, 2, 3, 4, 5, 6, 7, 8 }
    local rs = task.map(list, function(i) return tostring(s:exec("echo " .. i)) end)
    for i = 1, 8 do assert.equal(tostring(i), rs[i]) end
  end))

  it("are refused with a hint when MaxSessions is 0", body(function()
    local none = servers.fleet { sshd_config = { "MaxSessions 0" } }
    local s = servers.connect(none)
    local e = fails("channel", s.exec, s, "true")
    assert.truthy(e.hint:find "MaxSessions")
    assert.equal("channel", e.phase)
    assert.is_true(s:is_alive())
  end))

  it("all end with connection_lost, promptly, when the server is killed", body(function()
    local own = servers.fleet { sshd_config = { "MaxSessions 10" } }
    local s = servers.connect(own)
    local list, kinds, partial = {}, {}, 0
    for i = 1, 60 do list[i] = i end
    local killed
    task.scope(function(sc)
      sc:spawn(function()
        task.sleep(1)
        killed = core.now()
        own:kill(nil, "KILL")
      end)
      task.each(list, function()
        local ok, err = pcall(s.exec, s, "echo begun; sleep 100")
        assert.is_false(ok)
        kinds[err.kind] = (kinds[err.kind] or 0) + 1
        if err.result and err.result.stdout == "begun\n" then partial = partial + 1 end
        assert.equal("web1", err.host)
      end)
    end)
    assert.is_true(core.now() - killed < 2, core.now() - killed)
    assert.same({ connection_lost = 60 }, kinds)
    assert.equal(10, partial)
    assert.is_false(s:is_alive())
    local e = fails("connection_lost", s.exec, s, "true")
    assert.equal("web1", e.host)
  end, 20))

  it("all end with closed when the session is closed under them", body(function()
    local s = connect()
    local list, kinds = {}, {}
    for i = 1, 40 do list[i] = i end
    task.scope(function(sc)
      sc:spawn(function()
        task.sleep(0.6)
        s:close()
      end)
      task.each(list, function()
        local ok, err = pcall(s.exec, s, "sleep 100")
        assert.is_false(ok)
        kinds[err.kind] = (kinds[err.kind] or 0) + 1
      end)
    end)
    assert.same({ closed = 40 }, kinds)
    local e = fails("closed", s.exec, s, "true")
    assert.equal("web1: closed: the session was closed", tostring(e))
  end, 20))

  it("that are short and in sequence take no 40 ms each", body(function()
    local s = connect()
    s:exec "true"
    local took = run.took(function()
      for _ = 1, 200 do s:exec ":" end
    end)
    assert.is_true(took < 7, took)
  end))
end)

describe("a pty", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("is there when asked for, with its size and terminal, and joins the streams", body(function()
    local s = connect()
    local r = s:exec("tty >/dev/null && stty size; echo $TERM; echo err >&2", { pty = { term = "vt100", cols = 123, rows = 45 } })
    assert.equal("45 123\r\nvt100\r\nerr\r\n", r.stdout)
    assert.equal("", r.stderr)
    assert.equal(1, s:exec("tty >/dev/null", { check = false }).code)
  end))

  it("is resized under a running command", body(function()
    local p = connect():spawn("trap 'stty size' WINCH; echo on; while :; do sleep 0.05; done", { pty = true })
    assert.equal("on\r", p.stdout:read_line())
    p:resize(99, 33)
    assert.equal("33 99\r", p.stdout:read_line())
    p:close()
  end))
end)

describe("a spawned process", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("has streams one can talk with", body(function()
    local p = connect():spawn "while read -r l; do echo \"got $l\"; echo \"err $l\" >&2; done; exit 4"
    for i = 1, 3 do
      p.stdin:write("word " .. i .. "\n")
      assert.equal("got word " .. i, p.stdout:read_line())
      assert.equal("err word " .. i, p.stderr:read_line())
    end
    p.stdin:close()
    assert.is_nil(p.stdout:read_line())
    local r = p:wait()
    assert.equal(4, r.code)
    assert.equal(r, p:wait())
  end))

  it("gives lines, the last one without newline too, and everything else at wait", body(function()
    local s = connect()
    local p = s:spawn "printf 'a\\nb\\n\\nc'; echo rest >&2"
    local lines = {}
    for line in p.stdout:lines() do lines[#lines + 1] = line end
    assert.same({ "a", "b", "", "c" }, lines)
    local r = p:wait()
    assert.equal("rest\n", r.stderr)
    assert.equal("", r.stdout)
    assert.equal(0, s.places.taken)
  end))

  it("is ended by kill, within its time", body(function()
    local s = connect()
    local p = s:spawn "sleep 100"
    assert.is_true(run.took(p.kill, p) < 3)
    p:kill()
    p:close()
    assert.equal(0, s.places.taken)
    local stubborn = s:spawn "trap '' TERM INT HUP; while :; do sleep 1; done"
    assert.is_true(run.took(stubborn.kill, stubborn) < 4)
    assert.equal("fine", tostring(s:exec "echo fine"))
  end))

  it("takes signals by name", body(function()
    local user, reason = testbed.user()
    if not user then run.skip(reason) end
    defer(user.stop, user)
    local own = servers.fleet { user = user }
    local p = servers.connect(own):spawn "trap 'echo got it; exit 6' USR1; echo on; while :; do sleep 0.05; done"
    assert.equal("on", p.stdout:read_line())
    run.fails("usage", p.signal, p, "FOO")
    p:signal "USR1"
    local got = task.timeout(3, p.stdout.read_line, p.stdout)
    assert.equal("got it", got)
    assert.equal(6, p:wait().code)
    fails("usage", p.signal, p, 5)
  end))

  it("that is lost raises connection_lost from every stream and from wait", body(function()
    local own = servers.fleet {}
    local s = servers.connect(own)
    local p = s:spawn "echo on; sleep 100"
    assert.equal("on", p.stdout:read_line())
    own:kill(nil, "KILL")
    local e = fails("connection_lost", p.stdout.read_line, p.stdout)
    assert.truthy(e.message)
    fails("connection_lost", function() p.stdin:write "x" end)
    e = fails("connection_lost", p.wait, p)
    assert.equal("web1", e.host)
    p:close()
    assert.equal(0, s.places.taken)
  end))

  it("can be dropped without being closed", body(function()
    local s = connect()
    for _ = 1, 5 do s:spawn "sleep 100" end
    collectgarbage()
    collectgarbage()
    s:close()
  end))

  it("gives its place in the queue back when it is closed unread", body(function()
    local s = connect { max_sessions = 2 }
    for _ = 1, 6 do
      local p = s:spawn "seq 1 1000000; sleep 100"
      p.stdout:read(10)
      p:close()
    end
    assert.equal("fine", tostring(s:exec "echo fine"))
  end))
end)

describe("the local machine", function()
  it("runs commands like a host", body(function()
    local r = ssh.here:run("echo out; echo err >&2; exit 3", { check = false })
    assert.same({ "out\n", "err\n", 3 }, { r.stdout, r.stderr, r.code })
    assert.equal("x y", ssh.here:read({ "echo", "x y" }))
    assert.equal("abc", ssh.here:run("cat", { stdin = "abc" }).stdout)
    assert.equal("/usr 5", ssh.here:with({ cwd = "/usr" }):read("echo $PWD $Z", { env = { Z = 5 } }))
    assert.equal("KILL", ssh.here:run("kill -9 $$", { check = false }).signal)
    local e = fails("exit", ssh.here.run, ssh.here, "echo no >&2; exit 2")
    assert.equal("localhost: exit: 'echo no >&2; exit 2' exited with 2: no", tostring(e))
  end))

  it("passes argument vectors without a shell and does not change them", body(function()
    local words = { "printf", "%s|", "$(id)", "'", "", 5 }
    assert.equal("$(id)|'||5|", ssh.here:read(words))
    assert.equal(5, words[6])
  end))

  it("says which program there is not", body(function()
    local ok, err = pcall(ssh.here.run, ssh.here, { "/nonexistent/program" })
    assert.is_false(ok)
    assert.truthy(tostring(err):find "/nonexistent/program", tostring(err))
  end))

  it("times out and cancels with what came, and the process is gone", body(function()
    local e = fails("timeout", ssh.here.run, ssh.here, "echo some; sleep 7.125", { timeout = 0.3 })
    assert.equal("some\n", e.result.stdout)
    e = fails("timeout", ssh.here.run, ssh.here, "echo some; sleep 7.125", { idle = 0.3 })
    assert.equal("some\n", e.result.stdout)
  end))

  it("that ignores TERM does not hang us", body(function()
    assert.is_true(run.took(fails, "timeout", ssh.here.run, ssh.here, "trap '' TERM; sleep 4 & wait; wait", { timeout = 0.3 }) < 3)
  end))

  it("takes 16 MiB through cat", body(function()
    local big = pattern(16 * 1048576)
    local r = ssh.here:run("cat", { stdin = big, max_output = 32 * 1048576 })
    assert.is_true(r.stdout == big)
    assert.equal(0, ssh.here:run("true", { stdin = big }).code)
  end))
end)

describe("helpers", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("try returns values or nil and the error; misuse and cancelling go through", body(function()
    local s = connect()
    assert.equal("a", tostring(ssh.try(s.exec, s, "echo a")))
    local value, err = ssh.try(s.exec, s, "exit 4")
    assert.is_nil(value)
    assert.equal(4, err.code)
    fails("usage", ssh.try, s.exec, s, "true", { tiemout = 5 })
    fails("timeout", task.timeout, 0.1, ssh.try, s.exec, s, "sleep 10")
  end))

  it("sh and quote give words that stay words", body(function()
    local s = connect()
    local evil = "a'b; $(id) `x`"
    assert.equal(evil, tostring(s:exec(ssh.sh("printf %%s %s | cat", evil))))
    assert.equal(evil, tostring(s:exec("printf %s " .. ssh.quote(evil))))
  end))

  it("json reads what a command printed, and says where it is wrong", body(function()
    local s = connect()
    assert.same({ a = { 1, 2 } }, s:exec([[echo '{"a":[1,2]}']]):json())
    local e = fails("protocol", function() return s:exec("echo '{]'"):json() end)
    assert.equal("web1", e.host)
  end))
end)

describe("a fleet", function()
  it("shows its names", body(function()
    assert.equal("web[1-3],db", tostring(ssh.hosts("web[1-3],db")))
    assert.equal("web[1-2]", tostring(ssh.hosts({ "web1", "web2" }):with { cwd = "/" }))
    assert.equal("", tostring(ssh.hosts {}))
  end))
end)

describe("misuse", function()
  setup(start_fleet)
  teardown(stop_fleet)

  local function names_this_line(fn, want)
    local line = debug.getinfo(2, "l").currentline
    local e = fails("usage", fn)
    local text = tostring(e)
    assert.truthy(text:find("exec_spec.lua:" .. line, 1, true), text .. " (expected line " .. line .. ")")
    if want then assert.truthy(text:find(want, 1, true), text) end
  end

  it("of a session is named with the caller's line", body(function()
    local s = connect()
    names_this_line(function() s:exec("true", { tiemout = 5 }) end, "did you mean 'timeout'")
    names_this_line(function() s:exec("true", { timeout = "5" }) end, "'timeout': seconds expected, got string 5")
    names_this_line(function() s:exec("true", { timeout = -1 }) end, "timeout")
    names_this_line(function() s:exec("true", "x") end, "options table expected")
    names_this_line(function() s:exec(nil) end, "command")
    names_this_line(function() s:exec "" end, "command: empty")
    names_this_line(function() s:exec "a\0b" end, "NUL")
    names_this_line(function() s:exec { "echo", "a\0b" } end, "NUL")
    names_this_line(function() s:exec {} end)
    names_this_line(function() s:exec("true", { stdin = 5 }) end, "stdin")
    names_this_line(function() s:exec("true", { stdin = {} }) end, "stdin")
    names_this_line(function() s:exec("true", { sink = 5 }) end, "sink")
    names_this_line(function() s:exec("true", { cwd = "a\0b" }) end, "NUL")
    names_this_line(function() s:exec("true", { env = { ["a b"] = "x" } }) end, "env")
    names_this_line(function() s:exec("true", { env = { A = {} } }) end, "env")
    names_this_line(function() s:exec("true", { max_output = -1 }) end, "max_output")
    names_this_line(function() s:spawn(5) end, "command")
    names_this_line(function() s:spawn("true", { timeout = 5 }) end, "timeout")
    names_this_line(function() s:spawn("true", { env = { A = {} } }) end, "env")
    names_this_line(function() s:spawn("true", { pty = 5 }) end, "pty")
    assert.equal(0, s.places.taken)
  end))

  it("of a host and of the local machine is named with the caller's line", body(function()
    local h = servers.host(fleet())
    names_this_line(function() h:run("true", { tiemout = 5 }) end, "did you mean 'timeout'")
    names_this_line(function() h:run(5) end, "command")
    names_this_line(function() h:run { "a", "b\0" } end, "NUL")
    names_this_line(function() h:run("true", { stdin = 5 }) end, "stdin")
    names_this_line(function() h:run("true", { sink = 5 }) end, "sink")
    names_this_line(function() h:run("true", { env = { A = {} } }) end, "env")
    names_this_line(function() h:run("true", { cwd = "a\0b" }) end, "NUL")
    names_this_line(function() h:read(5) end, "command")
    names_this_line(function() h:read("true", { x = 5 }) end, "unknown option 'x'")
    names_this_line(function() h:with { x = 5 } end, "unknown option 'x'")
    names_this_line(function() h.run("true") end, "with a colon")
    names_this_line(function() h:run("true", { pty = { col = 80 } }) end, "did you mean 'cols'")
    names_this_line(function() h:spawn("true", { pty = { rows = "x" } }) end, "'rows': count expected")
    names_this_line(function() h:shell { pty = { col = 80 } } end, "did you mean 'cols'")
    names_this_line(function() h:shell { promt = "x" } end, "did you mean 'prompt'")
    names_this_line(function() h:shell { profile = "nope" } end, "option 'profile'")
    names_this_line(function() h:device { profile = "linux", promt = "x" } end, "did you mean 'prompt'")
    names_this_line(function() h:shell "bash" end, "options table expected, got string")
    names_this_line(function() h:spawn("true", "x") end, "options table expected, got string")
    names_this_line(function() h:device "linux" end, "options table expected, got string")
    names_this_line(function() ssh.config.resolve() end, "host name expected")
    names_this_line(function() ssh.journal("x", { resume = true, only = "all" }) end, "failed, ok, unreachable expected")
    names_this_line(function() ssh.log() end, "function expected, got nil")
    names_this_line(function() ssh.copy("web1:/etc/passwd") end, "copy: HOST:PATH expected")
    names_this_line(function() ssh.copy({ "web1", "/x" }, "web2:/x") end, "copy: { HOST, PATH } expected")
    names_this_line(function() h:spawn(5) end, "command")
    names_this_line(function() h:spawn("true", { x = 1 }) end, "unknown option 'x'")
    names_this_line(function() h:put(5, "x") end, "file name")
    names_this_line(function() h:put("x", "y\0") end, "NUL")
    names_this_line(function() h:get("x", nil) end, "file name")
    names_this_line(function() h:put("/etc/passwd", "/tmp/x", { mode = "9" }) end, "mode")
    names_this_line(function() h:put("/etc/passwd", "/tmp/x", { exclude = { 5 } }) end, "exclude")
    names_this_line(function() ssh.host(5) end, "host name")
    names_this_line(function() ssh.host("a b") end, "not a host name")
    names_this_line(function() ssh.host("-oProxyCommand=x") end, "not a host name")
    names_this_line(function() ssh.host("-x@y") end, "not a user name")
    names_this_line(function() ssh.host("a:99999") end, "port")
    names_this_line(function() ssh.host("a:abc") end, 'not a port: "abc"')
    names_this_line(function() ssh.host("[::1]:x") end, 'not a port: "x"')
    names_this_line(function() ssh.host("a", { user = "" }) end, "'user'")
    names_this_line(function() ssh.host("a", { kex = {} }) end, "'kex': names of algorithms expected")
    names_this_line(function() ssh.host("a", { prot = 22 }) end, "did you mean 'port'")
    names_this_line(function() ssh.host("a", { port = "22" }) end, "port")
    names_this_line(function() ssh.host("a", { timeouts = { conect = 1 } }) end, "conect")
    names_this_line(function() ssh.host("a", { strict_host_key_checking = "maybe" }) end, "maybe")
    names_this_line(function() ssh.connect("a", { family = 5 }) end, "family")
    names_this_line(function() ssh.here:run(5) end, "command")
    names_this_line(function() ssh.here:run("true", { pty = true }) end, "pty")
    names_this_line(function() ssh.here:run("true", { env = { A = {} } }) end, "env")
    names_this_line(function() ssh.here:run { "a", nil, "b" } end)
    names_this_line(function() ssh.here:run { "a", "b\0" } end, "NUL")
    names_this_line(function() ssh.here:run("true", { stdin = 5 }) end, "stdin")
    names_this_line(function() ssh.hosts(5) end, "host expression")
    names_this_line(function() ssh.hosts("a", { x = 1 }) end, "unknown option 'x'")
    local all = ssh.hosts({ "web1" }, servers.options(fleet()))
    names_this_line(function() all:run("true", { tiemout = 5 }) end, "did you mean 'timeout'")
    names_this_line(function() all:run(5) end, "command")
    names_this_line(function() all:each(5) end, "function expected")
    names_this_line(function() all:run("true", { parallel = 0 }) end, "parallel")
  end))

  it("outside a task says what to do", function()
    if task.current() then return pending "a task runs here" end
    local ok, err = pcall(ssh.connect, "web1", { hostname = "127.0.0.1" })
    assert.is_false(ok)
    assert.truthy(tostring(err):find("ssh.run", 1, true), tostring(err))
  end)
end)
