-- The verbs of the loop, on the real system: processes, files, a terminal, signals, timers, names.
local core = require "sshlua.core"

local unpack = table.unpack or unpack

-- Runs the loop until stop is called. Inside sshlua a spec that has waited is inside the loop: then its task waits.
local stop
local function run()
  if not core.running() then
    stop = core.stop
    return core.run()
  end
  require("sshlua.task").await(function(done)
    stop = done
    return { cancel = function() end }
  end)
end

-- Calls start(..., done), runs the loop until done is called, returns what done got: err, results.
-- A watchdog ends a test that would hang.
local function await(start, ...)
  local args = { n = select("#", ...), ... }
  local got
  args[args.n + 1] = function(...)
    got = { n = select("#", ...), ... }
    stop()
  end
  local watchdog = core.timer(20, function() stop() end)
  start(unpack(args, 1, args.n + 1))
  run()
  watchdog:cancel()
  assert(got, "done was not called")
  return unpack(got, 1, got.n)
end

-- The same for a method: call(object, "name", ...).
local function call(object, name, ...)
  return await(object[name], object, ...)
end

-- Results without the error, which is raised.
local function ok(err, ...)
  if err then error(err.kind .. ": " .. err.message, 2) end
  return ...
end

local function sleep(seconds) ok(await(core.timer, seconds)) end

local function read_all(socket)
  local parts = {}
  while true do
    local bytes = ok(call(socket, "read", 65536))
    if not bytes then return table.concat(parts) end
    parts[#parts + 1] = bytes
  end
end

local function spawn(options) return assert(core.spawn(options)) end

local function output_of(...)
  local proc = spawn { args = { ... }, stdout = "pipe" }
  local text = read_all(proc:stdout())
  return text, ok(call(proc, "wait"))
end

local function interpreter()
  local i = 0
  while arg and arg[i - 1] do i = i - 1 end
  return arg and arg[i] or "lua"
end

local function contains(text, part)
  assert(text:find(part, 1, true), ("%q is not in %q"):format(part, text))
end

local function count(text, pattern) return select(2, text:gsub(pattern, "")) end

-- Descriptors of this process, the one that lists them included.
local function descriptors() return #ok(await(core.fs_readdir, "/proc/self/fd")) end

local function settle()
  collectgarbage()
  collectgarbage()
  sleep(0)
  core.step()
end

local dir
local function path_of(name) return dir .. "/" .. name end

describe("the loop", function()
  local before

  setup(function() dir = assert(core.fs_mkdtemp_sync("/tmp/loop_spec.XXXXXX")) end)
  teardown(function() assert(core.fs_rmtree_sync(dir)) end)
  -- Operations and handles that a test leaves behind would be leaks.
  before_each(function()
    settle()
    before = core.stats()
  end)
  after_each(function()
    settle()
    assert.same(before, core.stats())
  end)

  describe("spawn", function()
    it("runs a program and tells its exit code", function()
      local text, code, signal = output_of("sh", "-c", "echo hello; exit 3")
      assert.equal("hello\n", text)
      assert.equal(3, code)
      assert.is_nil(signal)
    end)

    it("feeds stdin and ends it with close_write", function()
      local proc = spawn { args = { "cat" }, stdin = "pipe", stdout = "pipe" }
      ok(call(proc:stdin(), "write", "some bytes"))
      proc:stdin():close_write()
      assert.equal("some bytes", read_all(proc:stdout()))
      assert.equal(0, ok(call(proc, "wait")))
    end)

    it("gives pipes that can be opened as /dev/stdin", function()
      local proc = spawn { args = { "sh", "-c", "cat </dev/stdin" }, stdin = "pipe", stdout = "pipe" }
      ok(call(proc:stdin(), "write", "x"))
      proc:stdin():close()
      assert.equal("x", read_all(proc:stdout()))
      assert.equal(0, ok(call(proc, "wait")))
    end)

    it("keeps stdout and stderr apart", function()
      local proc = spawn { args = { "sh", "-c", "echo out; echo err >&2" }, stdout = "pipe", stderr = "pipe" }
      assert.equal("out\n", read_all(proc:stdout()))
      assert.equal("err\n", read_all(proc:stderr()))
      assert.is_nil(proc:stdin())
      ok(call(proc, "wait"))
    end)

    it("has no input by default", function() assert.equal("", (output_of("cat"))) end)

    it("gives the child nothing but the named environment", function()
      local proc = spawn { args = { "/usr/bin/env" }, env = { "A=1", "B=two words" }, stdout = "pipe" }
      assert.equal("A=1\nB=two words\n", read_all(proc:stdout()))
      ok(call(proc, "wait"))
    end)

    it("starts the child in cwd", function()
      local proc = spawn { args = { "pwd", "-P" }, cwd = "/", stdout = "pipe" }
      assert.equal("/\n", read_all(proc:stdout()))
      ok(call(proc, "wait"))
    end)

    it("names a program that does not exist", function()
      local fds = descriptors()
      local proc, err = core.spawn { args = { "no-such-program-here" }, stdin = "pipe", stdout = "pipe" }
      assert.is_nil(proc)
      assert.equal("io", err.kind)
      assert.equal("ENOENT", err.name)
      contains(err.message, "no-such-program-here")
      assert.equal(fds, descriptors())
    end)

    it("names a directory that does not exist", function()
      local proc, err = core.spawn { args = { "true" }, cwd = "/no/such/directory" }
      assert.is_nil(proc)
      assert.equal("ENOENT", err.name)
      contains(err.message, "/no/such/directory")
    end)

    it("raises on options of the wrong shape, and leaves no descriptor behind", function()
      local fds = descriptors()
      for _, options in ipairs {
        {}, { args = {} }, { args = "ls" }, { args = { "a\0b" } }, { args = { 1 } }, { args = { "" } },
        { args = { "true" }, stdin = "pipe", stdout = "what" }, { args = { "true" }, stdin = -1 },
        { args = { "true" }, env = { "NOVALUE" } }, { args = { "true" }, stdin = {} },
        { args = { "true" }, stdin = "pipe", stdout = io.stdout }, { args = { "true" }, uid = -5 },
        { args = { "true" }, cwd = "/\0" },
      } do
        assert.is_false((pcall(core.spawn, options)))
      end
      assert.is_false((pcall(core.spawn, { args = { "true" } }, 3)))
      settle()
      assert.equal(fds, descriptors())
    end)

    it("calls done when the child ends", function()
      local err, code = await(core.spawn, { args = { "sh", "-c", "exit 4" } })
      assert.is_nil(err)
      assert.equal(4, code)
    end)

    it("tells the signal that ended the child", function()
      local proc = spawn { args = { "sleep", "30" } }
      assert.is_true(proc:kill("TERM"))
      local err, code, signal = call(proc, "wait")
      assert.is_nil(err)
      assert.is_nil(code)
      assert.equal("SIGTERM", signal)
      assert.is_false(proc:kill("SIGTERM"))
      assert.is_false((pcall(proc.kill, proc, "SIGNONSENSE")))
    end)

    it("answers several waiters, before and after the exit", function()
      local proc = spawn { args = { "sh", "-c", "read line; exit 5" }, stdin = "pipe" }
      local codes = {}
      local function note(_, code) codes[#codes + 1] = code end
      proc:wait(note)
      proc:wait(note)
      proc:wait(function() codes[#codes + 1] = "cancelled" end):cancel()
      proc:stdin():close()
      ok(call(proc, "wait"))
      assert.equal(5, ok(call(proc, "wait")))
      assert.same({ 5, 5 }, codes)
    end)

    it("does not keep the loop running for a child nobody waits for", function()
      if core.running() then return pending "this loop has more to do" end
      local proc = spawn { args = { "sleep", "30" } }
      assert.is_false(core.run())
      proc:kill(9)
      ok(call(proc, "wait"))
    end)

    it("reaps a child whose object was collected", function()
      local proc = spawn { args = { "sleep", "0.1" } }
      local pid = proc:pid()
      proc = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.equal(1, core.stats().handles - before.handles)
      for _ = 1, 50 do
        sleep(0.02)
        if not core.kill(pid, 0) then break end
      end
      local alive, err = core.kill(pid, 0)
      assert.is_nil(alive)
      assert.equal("ESRCH", err.name)
    end)

    it("passes on a descriptor, and an object with fd()", function()
      local file = ok(await(core.fs_open, path_of("passed"), "w", 384))
      local proc = spawn { args = { "sh", "-c", "echo out; echo err >&2" }, stdout = file, stderr = file:fd() }
      ok(call(proc, "wait"))
      ok(call(file, "close"))
      local back = ok(await(core.fs_open, path_of("passed"), "r", nil))
      assert.equal("out\nerr\n", (ok(call(back, "read", 100, -1))))
      ok(call(back, "close"))
    end)

    it("lets us survive writing to a child that has gone", function()
      local proc = spawn { args = { "true" }, stdin = "pipe" }
      ok(call(proc, "wait"))
      assert.equal("EPIPE", call(proc:stdin(), "write", "x").name)
    end)

    it("moves a megabyte through a child", function()
      local proc = spawn { args = { "cat" }, stdin = "pipe", stdout = "pipe" }
      local text = ("0123456789abcdef"):rep(65536)
      proc:stdin():write(text, function() proc:stdin():close() end)
      assert.is_true(read_all(proc:stdout()) == text)
      ok(call(proc, "wait"))
    end)

    it("gives a detached child a session of its own", function()
      local proc = spawn { args = { "cat", "/proc/self/stat" }, stdout = "pipe", detached = true }
      local pid, session = read_all(proc:stdout()):match("^(%d+) %(cat%) %S %d+ %d+ (%d+)")
      assert.equal(proc:pid(), tonumber(pid))
      assert.equal(pid, session)
      ok(call(proc, "wait"))
    end)

    it("leaves no descriptors of ours open in children", function()
      local others = output_of("ls", "/proc/self/fd")
      local proc = spawn { args = { "sleep", "30" }, stdin = "pipe", stdout = "pipe", stderr = "pipe" }
      assert.equal(others, (output_of("ls", "/proc/self/fd")))
      proc:kill("KILL")
      ok(call(proc, "wait"))
    end)
  end)

  describe("a file", function()
    it("is written, synced, looked at and read back", function()
      local file = ok(await(core.fs_open, path_of("a"), "w", 384))
      ok(call(file, "write", "hello ", -1))
      ok(call(file, "write", "world", -1))
      ok(call(file, "write", "", -1))
      ok(call(file, "fsync"))
      local stat = ok(call(file, "stat"))
      assert.equal("file", stat.type)
      assert.equal(11, stat.size)
      assert.equal(384, stat.mode)
      ok(call(file, "close"))

      file = ok(await(core.fs_open, path_of("a"), "r", nil))
      assert.equal("hello", (ok(call(file, "read", 5, -1))))
      assert.equal(" world", (ok(call(file, "read", 500, -1))))
      assert.is_nil((ok(call(file, "read", 5, -1))))
      assert.equal("wor", (ok(call(file, "read", 3, 6))))
      assert.is_nil((ok(call(file, "read", 3, 100))))
      ok(call(file, "close"))
    end)

    it("keeps the order of writes and closes last, without waiting in between", function()
      local file = ok(await(core.fs_open, path_of("order"), "w", 384))
      local want = {}
      for i = 1, 100 do
        want[i] = i .. ";"
        file:write(want[i], -1, function(err) assert(not err) end)
      end
      ok(call(file, "close"))
      file = ok(await(core.fs_open, path_of("order"), "r", nil))
      assert.equal(table.concat(want), (ok(call(file, "read", 1000, -1))))
      ok(call(file, "close"))
    end)

    it("closes its descriptor when it is collected", function()
      local fds = descriptors()
      local file = ok(await(core.fs_open, path_of("a"), "r", nil)) -- luacheck: ignore
      assert.equal(fds + 1, descriptors())
      file = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.equal(fds, descriptors())
    end)

    it("is closed when its opening was abandoned", function()
      local fds = descriptors()
      core.fs_open(path_of("a"), "r", nil, function() error("called") end):cancel()
      sleep(0.05)
      assert.equal(fds, descriptors())
    end)

    it("finishes a write whose object was collected", function()
      local file = ok(await(core.fs_open, path_of("late"), "w", 384)) -- luacheck: ignore
      await(function(done)
        file:write(("x"):rep(3000000), -1, done)
        file = nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
      end)
      assert.equal(3000000, core.fs_stat_sync(path_of("late")).size)
    end)

    it("cannot be used after close, and can be closed twice", function()
      local file = ok(await(core.fs_open, path_of("a"), "r", nil))
      ok(call(file, "close"))
      ok(call(file, "close"))
      assert.is_false((pcall(file.read, file, 1, -1, function() end)))
      contains(tostring(file), "closed")
    end)

    it("is not overwritten with wx", function()
      assert.equal("EEXIST", await(core.fs_open, path_of("a"), "wx", 384).name)
    end)

    it("is appended to with a and changed in place with r+", function()
      assert(core.fs_write_sync(path_of("b"), "12345", 384))
      local file = ok(await(core.fs_open, path_of("b"), "a", 384))
      ok(call(file, "write", "67", -1))
      ok(call(file, "close"))
      file = ok(await(core.fs_open, path_of("b"), "r+", nil))
      ok(call(file, "write", "xx", 1))
      assert.equal("1xx4567", (ok(call(file, "read", 100, 0))))
      ok(call(file, "close"))
    end)

    it("that tells a full disk names itself", function()
      local file = ok(await(core.fs_open, "/dev/full", "w", 384))
      local err = call(file, "write", "x", -1)
      assert.equal("ENOSPC", err.name)
      contains(err.message, "/dev/full")
      ok(call(file, "close"))
    end)

    describe("that is a FIFO", function()
      setup(function() assert.equal(0, select(2, output_of("mkfifo", path_of("fifo")))) end)

      it("delivers what comes later", function()
        local reader = ok(await(core.fs_open, path_of("fifo"), "r", nil))
        local writer = ok(await(core.fs_open, path_of("fifo"), "w", nil))
        local bytes = ok(await(function(done)
          reader:read(10, -1, done)
          core.timer(0.02, function() writer:write("later", -1, function() end) end)
        end))
        assert.equal("later", bytes)
        ok(call(writer, "close"))
        assert.is_nil((ok(call(reader, "read", 10, -1))))
        ok(call(reader, "close"))
        assert.equal("ENXIO", await(core.fs_open, path_of("fifo"), "w", nil).name)
      end)

      it("is not waited for any more when the read is cancelled", function()
        local reader = ok(await(core.fs_open, path_of("fifo"), "r", nil))
        local writer = ok(await(core.fs_open, path_of("fifo"), "w", nil))
        local never = function() error("called") end
        local first = reader:read(10, -1, never)
        local second = reader:read(10, -1, never)
        sleep(0.02)
        first:cancel()
        sleep(0.02)
        second:cancel()
        sleep(0.02)
        ok(call(writer, "write", "left", -1))
        assert.equal("left", (ok(call(reader, "read", 10, -1))))
        ok(call(writer, "close"))
        ok(call(reader, "close"))
      end)

      it("tells a writer that the reader has gone", function()
        local reader = ok(await(core.fs_open, path_of("fifo"), "r", nil))
        local writer = ok(await(core.fs_open, path_of("fifo"), "w", nil))
        ok(call(reader, "close"))
        assert.equal("EPIPE", call(writer, "write", "x", -1).name)
        ok(call(writer, "close"))
      end)
    end)
  end)

  describe("a path", function()
    it("is in the message of a failure, shortened at the front", function()
      local err = await(core.fs_stat, path_of("missing"))
      assert.equal("io", err.kind)
      assert.equal("ENOENT", err.name)
      contains(err.message, path_of("missing"))
      err = await(core.fs_stat, "/" .. ("long/"):rep(200) .. "end")
      assert.truthy(err.message:find("%.%.%..*long/end: "))
      err = await(core.fs_rename, path_of("from"), path_of("to"))
      contains(err.message, path_of("from") .. " to " .. path_of("to"))
    end)

    it("with a NUL byte is refused", function()
      assert.is_false((pcall(core.fs_stat, "a\0b", function() end)))
      assert.is_false((pcall(core.fs_rename, "a", "b\0", function() end)))
    end)

    it("is renamed, linked, resolved, changed and removed", function()
      assert(core.fs_write_sync(path_of("one"), "1", 420))
      ok(await(core.fs_rename, path_of("one"), path_of("two")))
      ok(await(core.fs_symlink, "two", path_of("link")))
      assert.equal("two", (ok(await(core.fs_readlink, path_of("link")))))
      local real = ok(await(core.fs_realpath, dir))
      assert.equal(real .. "/two", (ok(await(core.fs_realpath, path_of("link")))))
      assert.equal("link", ok(await(core.fs_lstat, path_of("link"))).type)
      assert.equal("file", ok(await(core.fs_stat, path_of("link"))).type)
      ok(await(core.fs_chmod, path_of("two"), 256))
      assert.equal(256, ok(await(core.fs_stat, path_of("two"))).mode)
      ok(await(core.fs_utime, path_of("two"), 1000000000, 1234567890.5))
      assert.equal(1234567890.5, ok(await(core.fs_stat, path_of("two"))).mtime)
      ok(await(core.fs_unlink, path_of("link")))
      ok(await(core.fs_unlink, path_of("two")))
    end)

    it("of a directory is made, listed and removed", function()
      ok(await(core.fs_mkdir, path_of("d"), 448))
      ok(await(core.fs_mkdir, path_of("d/sub"), 448))
      assert(core.fs_write_sync(path_of("d/f"), "", 384))
      local entries = ok(await(core.fs_readdir, path_of("d")))
      table.sort(entries, function(a, b) return a.name < b.name end)
      assert.same({ { name = "f", type = "file" }, { name = "sub", type = "directory" } }, entries)
      assert.same({}, (ok(await(core.fs_readdir, path_of("d/sub")))))
      assert.equal("ENOTEMPTY", await(core.fs_rmdir, path_of("d")).name)
      ok(await(core.fs_unlink, path_of("d/f")))
      ok(await(core.fs_rmdir, path_of("d/sub")))
      ok(await(core.fs_rmdir, path_of("d")))
      assert.equal("ENOENT", await(core.fs_readdir, path_of("d")).name)
    end)

    it("is made up by mkdtemp", function()
      local made = ok(await(core.fs_mkdtemp, path_of("t.XXXXXX")))
      assert.equal(448, core.fs_stat_sync(made).mode)
      ok(await(core.fs_rmdir, made))
    end)
  end)

  describe("without a loop", function()
    it("a tree is removed, but not what its links point to", function()
      local tree = path_of("tree")
      assert(core.fs_write_sync(path_of("outside"), "kept", 384))
      assert(core.fs_mkdir_sync(tree, 448))
      assert(core.fs_mkdir_sync(tree .. "/deep", 448))
      assert(core.fs_write_sync(tree .. "/deep/file", "x", 256))
      ok(await(core.fs_symlink, path_of("outside"), tree .. "/to-file"))
      ok(await(core.fs_symlink, dir, tree .. "/deep/to-directory"))
      assert.is_true(core.fs_rmtree_sync(tree))
      assert.equal("ENOENT", select(2, core.fs_stat_sync(tree)).name)
      assert.equal(4, core.fs_stat_sync(path_of("outside")).size)
    end)

    it("a link is not taken for a tree", function()
      ok(await(core.fs_symlink, dir, path_of("self")))
      local done, err = core.fs_rmtree_sync(path_of("self"))
      assert.is_nil(done)
      assert.equal("ENOTDIR", err.name)
      ok(await(core.fs_unlink, path_of("self")))
    end)

    it("files are written with a mode, and modes are changed", function()
      assert(core.fs_write_sync(path_of("m"), "text", 384))
      assert.equal(384, core.fs_stat_sync(path_of("m")).mode)
      assert(core.fs_chmod_sync(path_of("m"), 256))
      assert.equal(256, core.fs_stat_sync(path_of("m")).mode)
      assert.equal("ENOENT", select(2, core.fs_write_sync(path_of("no/such/m"), "text", 384)).name)
    end)
  end)

  -- The terminal is made by script(1), whose standard streams are pipes here: an answer is typed when the
  -- question was seen.
  describe("the terminal", function()
    local prelude = [[
      local core = require "sshlua.core"
      local function show(err, line)
        print(err and "error " .. err.kind .. " " .. tostring(err.name) or "line <" .. line .. ">")
      end
      local function echo() -- what the terminal does now
        local pipe = io.popen("stty -a </dev/tty")
        local settings = pipe:read("*a")
        pipe:close()
        return settings:find("[ \n]echo[ ;\n]") and "echo is on" or "echo is off"
      end
      io.stdout:setvbuf("no")
      local function prompt(options) return core.tty_prompt(options, show) end
    ]]

    -- The command that runs these lines, and says at the end how the terminal was left.
    local function script(body)
      local text = ("package.cpath = %q\n"):format(package.cpath) .. prelude .. body .. "\nprint('after', echo())"
      assert(core.fs_write_sync(path_of("child.lua"), text, 384))
      return interpreter() .. " " .. path_of("child.lua")
    end

    -- Runs a command on a terminal, types {question, keys, question, keys, ...}, returns all it showed.
    local function on_terminal(command, dialogue)
      -- script(1) leaks, and programs that end by exit() leave their state behind: no leak checks here.
      local proc = spawn {
        args = { "env", "ASAN_OPTIONS=detect_leaks=0", "script", "-qec", command, "/dev/null" },
        stdin = "pipe", stdout = "pipe",
      }
      local shown, step, from = "", 1, 1
      while true do
        local bytes = ok(call(proc:stdout(), "read", 4096))
        if not bytes then break end
        shown = shown .. bytes
        while dialogue[step] do
          local _, to = shown:find(dialogue[step], from, true)
          if not to then break end
          ok(call(proc:stdin(), "write", dialogue[step + 1]))
          from, step = to + 1, step + 2
        end
      end
      ok(call(proc, "wait"))
      return (shown:gsub("\r", ""))
    end

    local left_echoing = "; stty -a </dev/tty | grep -o ' echo '"

    it("is asked without echo, and echoes again afterwards", function()
      local shown = on_terminal(script [[
        prompt { prompt = "Password: " }
        core.timer(0.1, function() print("during", echo()) end)
        core.run() ]], { "during\techo", "s3cret\n" })
      contains(shown, "during\techo is off")
      contains(shown, "line <s3cret>")
      contains(shown, "after\techo is on")
      assert.equal(1, count(shown, "s3cret"))
    end)

    it("echoes when asked to, and lets lines be edited", function()
      local shown = on_terminal(script [[prompt { prompt = "User: ", echo = true } core.run()]],
        { "User: ", "wrong\21robx\127\n" })
      contains(shown, "line <rob>")
      contains(shown, "wrong")
    end)

    it("shows prompts one after the other", function()
      local shown = on_terminal(script [[
        prompt { prompt = "One: " }
        prompt { prompt = "Never: " }:cancel()
        prompt { prompt = "Two: " }
        core.run() ]], { "One: ", "1\n", "Two: ", "2\n" })
      assert.truthy(shown:find("One: \n.*Two: "))
      contains(shown, "line <1>")
      contains(shown, "line <2>\nafter\techo is on")
      assert.is_nil(shown:find("Never"))
    end)

    it("is given up after the timeout", function()
      local shown = on_terminal(script [[prompt { prompt = "Q: ", timeout = 0.1 } core.run()]], {})
      contains(shown, "error timeout ETIMEDOUT\nafter\techo is on")
    end)

    it("is put back when the prompt is cancelled", function()
      local shown = on_terminal(script [[
        local op = prompt { prompt = "Q: " }
        core.timer(0.1, function() op:cancel() end)
        core.run() ]], {})
      contains(shown, "Q: \nafter\techo is on")
    end)

    it("answers an end of file with an error", function()
      local shown = on_terminal(script [[prompt { prompt = "Q: " } core.run()]], { "Q: ", "\4" })
      contains(shown, "error io EOF\nafter\techo is on")
    end)

    it("takes a line of 1024 bytes and no longer one", function()
      local shown = on_terminal(script [[
        core.tty_prompt({ prompt = "A: " }, function(_, line) print(#line) end)
        prompt { prompt = "B: " }
        core.run() ]], { "A: ", ("x"):rep(1024) .. "\n", "B: ", ("x"):rep(1025) .. "\n" })
      contains(shown, "1024\n")
      contains(shown, "error limit E2BIG\nafter\techo is on")
    end)

    for name, key in pairs { INT = "\3", QUIT = "\28" } do
      it("is put back before SIG" .. name .. " ends the program", function()
        -- The interpreter has a handler of its own for SIGINT.
        local command = script [[
          core.signal("SIGINT", function() end)
          core.signal("SIGINT", nil)
          prompt { prompt = "Q: " }
          core.run() ]]
        local shown = on_terminal(
          "trap : INT QUIT; ulimit -c 0; " .. command .. "; echo status $?" .. left_echoing, { "Q: ", key })
        contains(shown, "status " .. (name == "INT" and 130 or 131))
        contains(shown, "\n echo \n")
        assert.is_nil(shown:find("after", 1, true))
      end)
    end

    it("is put back when a signal from elsewhere ends the program", function()
      -- sshlua has a handler of its own for SIGTERM.
      local shown = on_terminal(script [[
        core.signal("SIGTERM", function() end)
        core.signal("SIGTERM", nil)
        prompt { prompt = "Q: " }
        core.timer(0.1, function() core.kill(core.getpid(), "TERM") end)
        core.run() ]] .. left_echoing, {})
      contains(shown, "\n echo \n")
      assert.is_nil(shown:find("after", 1, true))
    end)

    it("ends the prompt with 'cancelled' when the program survives the signal", function()
      local shown = on_terminal(script [[
        core.signal("SIGINT", function(name) print("caught", name) end)
        prompt { prompt = "Q: " }
        prompt { prompt = "Next: " }
        core.run() ]], { "Q: ", "\3", "Next: ", "n\n" })
      contains(shown, "error cancelled")
      contains(shown, "caught\tSIGINT")
      contains(shown, "line <n>\nafter\techo is on")
    end)

    it("is put back by exit and by the end of the state", function()
      for _, ending in ipairs { "os.exit(0)", "os.exit(0, true)", "error('bug')" } do
        local shown = on_terminal(script([[
          prompt { prompt = "Q: " }
          core.timer(0.05, core.stop)
          core.run() ]] .. "do " .. ending .. " end") .. left_echoing, {})
        contains(shown, " echo \n")
        assert.is_nil(shown:find("after", 1, true))
      end
    end)

    it("is put back while the program is stopped, and asked again when it goes on", function()
      local command = script [[prompt { prompt = "Question: " } core.run()]]
      -- A shell with job control: stopped by ^Z, looked at, brought back.
      local shown = on_terminal("exec bash -c 'set -m; " .. command .. left_echoing:gsub("'", '"')
        .. "; echo stopped; fg; echo end'", { "Question: ", "\26", "stopped", "", "Question: ", "yes\n" })
      assert.truthy(shown:find("\n echo \n.*stopped"))
      contains(shown, "line <yes>\nafter\techo is on")
      assert.equal(2, count(shown, "Question: "))
    end)

    it("is missed when there is none", function()
      local command = script [[prompt { prompt = "Q: " } core.run() do os.exit(0) end]]
      local shown, code = output_of("env", "ASAN_OPTIONS=detect_leaks=0", "setsid", "-w", "sh",
        "-c", command .. " </dev/null")
      assert.equal(0, code)
      contains(shown, "error io ENXIO")
    end)

    it("has a size, and other things have not", function()
      local shown = on_terminal("stty rows 33 cols 77; " .. script [[print(core.isatty(0), core.tty_size(0))]], {})
      contains(shown, "true\t33\t77")
      local file = ok(await(core.fs_open, "/dev/null", "r", nil))
      assert.is_false(core.isatty(file:fd()))
      assert.is_nil((core.tty_size(file:fd())))
      ok(call(file, "close"))
    end)
  end)

  describe("a signal", function()
    it("calls its handler from the loop, every time", function()
      local names = {}
      core.signal("SIGUSR1", function(name)
        names[#names + 1] = name
        assert(core.running())
      end)
      for i = 1, 2 do
        core.kill(core.getpid(), "USR1")
        assert.equal(i - 1, #names)
        sleep(0.05)
      end
      core.signal("SIGUSR1", nil)
      assert.same({ "SIGUSR1", "SIGUSR1" }, names)
    end)

    it("can have its handler replaced and taken away, also by the handler", function()
      local log = {}
      core.signal("SIGUSR1", function() log[#log + 1] = "old" end)
      core.signal("SIGUSR1", function()
        log[#log + 1] = "new"
        core.signal("SIGUSR1", nil)
        core.signal("SIGUSR1", function() log[#log + 1] = "newest" end)
      end)
      for _ = 1, 2 do
        core.kill(core.getpid(), "SIGUSR1")
        sleep(0.05)
      end
      core.signal("SIGUSR1", nil)
      assert.same({ "new", "newest" }, log)
    end)

    it("handler does not keep the loop running", function()
      if core.running() then return pending "this loop has more to do" end
      core.signal("SIGUSR1", function() end)
      assert.is_false(core.run())
      core.signal("SIGUSR1", nil)
    end)

    it("that cannot be caught is refused", function()
      assert.is_false((pcall(core.signal, "SIGKILL", function() end)))
      assert.is_false((pcall(core.signal, "SIGWHAT", function() end)))
      assert.is_false((pcall(core.signal, "SIGUSR1", 1)))
    end)
  end)

  describe("the process", function()
    it("knows its number, user, host and umask", function()
      assert.equal(core.getpid(), tonumber((output_of("sh", "-c", "echo $PPID"))))
      local user = core.user()
      assert.equal(user.uid .. "\n", (output_of("id", "-ru")))
      assert.equal(user.name .. "\n", (output_of("id", "-run")))
      assert.equal("string", type(user.home))
      assert.equal("string", type(user.shell))
      assert.equal(core.hostname() .. "\n", (output_of("uname", "-n")))
      local old = core.umask(63)
      assert.equal(63, core.umask())
      assert.equal(63, core.umask(old))
      assert.equal(old, core.umask())
    end)

    it("knows how many files it may have open", function()
      assert.equal(core.max_files(), tonumber((output_of("sh", "-c", "ulimit -n"))))
    end)

    it("cannot signal what is not there", function()
      local done, err = core.kill(2147483646, "TERM")
      assert.is_nil(done)
      assert.equal("ESRCH", err.name)
    end)
  end)

  describe("a timer", function()
    it("fires once, after its time", function()
      local start = core.now()
      sleep(0.05)
      assert.is_true(core.now() - start >= 0.049)
    end)

    it("fires in the order of times", function()
      local order = {}
      for _, ms in ipairs { 60, 20, 40 } do
        core.timer(ms / 1000, function() order[#order + 1] = ms end)
      end
      sleep(0.1)
      assert.same({ 20, 40, 60 }, order)
    end)

    it("that is cancelled does not fire", function()
      local fired = false
      local op = core.timer(0.01, function() fired = true end)
      op:cancel()
      op:cancel()
      sleep(0.03)
      assert.is_false(fired)
    end)

    it("of nonsense is refused", function()
      for _, seconds in ipairs { -1, 0 / 0, 1 / 0, "x" } do
        assert.is_false((pcall(core.timer, seconds, function() end)))
      end
    end)
  end)

  describe("resolve", function()
    it("answers numeric addresses and localhost", function()
      assert.same({ "127.0.0.1" }, (ok(await(core.resolve, "127.0.0.1", 0))))
      assert.same({ "::1" }, (ok(await(core.resolve, "::1", 0))))
      assert.same({ "127.0.0.1" }, (ok(await(core.resolve, "localhost", 4))))
    end)

    it("refuses what is no name", function()
      for _, host in ipairs { "", "a\0b", ("x"):rep(300) } do
        assert.equal("resolve", await(core.resolve, host, 0).kind)
      end
    end)

    it("can be abandoned", function()
      core.resolve("localhost", 0, function() error("called") end):cancel()
      sleep(0.2)
    end)
  end)

  it("ends with files, children and signal handlers under way", function()
    assert(core.fs_write_sync(path_of("end.lua"), ("package.cpath = %q\n"):format(package.cpath) .. [[
      local core = require "sshlua.core"
      local function never() print("called") end
      core.signal("SIGUSR1", never)
      core.fs_open("/dev/null", "w", nil, function(_, file)
        file:write(("x"):rep(1000000), -1, never)
        file:write("y", -1, never)
        core.fs_readdir("/etc", never)
        core.fs_open("/dev/null", "r", nil, never)
        local proc = core.spawn { args = { "sh", "-c", "read x" }, stdin = "pipe", stdout = "pipe" }
        proc:wait(never)
        proc:stdout():read(1, never)
        core.stop()
      end)
      core.run() ]], 384))
    local shown, code = output_of(interpreter(), path_of("end.lua"))
    assert.equal("", shown)
    assert.equal(0, code)
  end)
end)
