-- The program as people call it: options, scripts, exit codes, what errors look like.
local core = require "sshlua.core"
local program = require "spec.support.program"
local run = require "spec.support.run"

local body = run.body

local function it_runs(name, fn)
  it(name, body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    fn()
  end))
end

local function sshlua(...) return program.run { ... } end

local function check(r, code, out, err)
  assert.equal(err or "", r.err)
  assert.equal(out or "", r.out)
  assert.equal(code, r.code)
end

local function has_luv() return sshlua("--version").out:find "\n  luv +on" ~= nil end

describe("the program", function()
  teardown(program.remove_directory)

  describe("takes options:", function()
    it_runs("-e runs code, several in order, attached or apart", function()
      check(sshlua("-e", "x = 1", "-ex = x + 1", "-e", "print(x)"), 0, "2\n")
    end)

    it_runs("-l requires a module into a global of its name, or of another", function()
      check(sshlua("-l", "string", "-l", "s=string", "-e", "print(s == string, rawget(_G, 's') ~= nil)"), 0, "true\ttrue\n")
    end)

    it_runs("-l gives a versioned module a name that a script can say", function()
      program.file("mod-v2.lua", "return 'loaded ' .. ...")
      local r = program.run({ "-l", "mod-v2", "-e", "print(mod)" }, { env = { LUA_PATH = program.directory() .. "/?.lua" } })
      check(r, 0, "loaded mod-v2\n")
    end)

    it_runs("-l of a module that is not there says so in one line", function()
      check(sshlua("-l", "nope"), 1, "", "sshlua: option -l: module 'nope' not found (LUA_PATH says where modules are)\n")
      check(sshlua("--resume", "x", "--only", "bla", "y.lua"), 2, "",
        "sshlua: --only: failed, ok, unreachable expected, got \"bla\"\n")
    end)

    it_runs("an unknown one is named on one line and ends with 2", function()
      check(sshlua "-x", 2, "", "sshlua: unknown option -x (see sshlua --help)\n")
      check(sshlua "--nothing", 2, "", "sshlua: unknown option --nothing (see sshlua --help)\n")
      check(sshlua "--nothing=1", 2, "", "sshlua: unknown option --nothing (see sshlua --help)\n")
      check(sshlua "-vx", 2, "", "sshlua: unknown option -x (see sshlua --help)\n")
    end)

    it_runs("a missing or superfluous argument is named", function()
      check(sshlua "-e", 2, "", "sshlua: option -e needs CODE (see sshlua --help)\n")
      check(sshlua "--version=2", 2, "", "sshlua: option --version takes no argument\n")
      check(sshlua("-v", "--lua-path", "x"), 2, "", "sshlua: option --lua-path must come first\n")
    end)

    it_runs("--help says what there is", function()
      local r = sshlua "--help"
      assert.equal(0, r.code)
      for _, text in ipairs { "-e CODE", "-E FILE", "--version", "exit status", "commands:", "\n  help " } do
        assert.truthy(r.out:find(text, 1, true), text)
      end
      for line in r.out:gmatch "[^\n]+" do assert.is_true(#line <= 110, line) end
      assert.equal(r.out, sshlua("help").out)
      assert.equal(r.out, sshlua("help", "--help").out)
      assert.equal(r.out, sshlua("-h").out)
    end)

    it_runs("--version says what it is made of", function()
      local r = sshlua "--version"
      assert.equal(0, r.code)
      for _, text in ipairs { "^sshlua %d", "\n  Lua +5%.4", "\n  libssh2 +%d.*CVE", "\n  libuv +%d", "\n  OpenSSL +%d",
        "\n  ciphers +%a", "\n  packet hook +o", "\n  fibres +o", "\n  JSON +o", "\n  line editing +o", "\n  luv +o" } do
        assert.truthy(r.out:find(text), text)
      end
    end)

    it_runs("-E makes a file of events for its owner only, or says why not", function()
      local path = program.directory() .. "/events"
      check(sshlua("-vv", "-E", path, "-e", ""), 0)
      assert.equal(384, core.fs_stat_sync(path).mode)
      local r = sshlua("-E", program.directory() .. "/no/such", "-e", "")
      assert.equal(2, r.code)
      assert.truthy(r.err:find("^sshlua: option %-E: .*No such file or directory\n$"))
    end)

    it_runs("LUA_INIT is honoured as by lua, the versioned one first", function()
      local file = program.file("init.lua", "x = 'file'")
      check(program.lua("print(x)", { env = { LUA_INIT = "x = 'text'" } }), 0, "text\n")
      check(program.lua("print(x)", { env = { LUA_INIT = "@" .. file } }), 0, "file\n")
      check(program.lua("print(x)", { env = { LUA_INIT = "x = 1", LUA_INIT_5_4 = "x = 2" } }), 0, "2\n")
      check(program.lua("print(x)", { env = { LUA_INIT = "x = = 1" } }), 1, "",
        "sshlua: LUA_INIT:1: unexpected symbol near '='\n")
      assert.equal(0, program.run({ "help" }, { env = { LUA_INIT = "error 'not for commands'" } }).code)
    end)

    it_runs("--lua-path reads the library from files", function()
      local r = sshlua("--lua-path", "lua", "-e", "print(debug.getinfo(require('sshlua.errors').new).source)")
      check(r, 0, "@lua/sshlua/errors.lua\n")
      r = program.run({ "--lua-path", program.directory(), "-e", "" }, { env = { LUA_PATH = false } })
      assert.equal(1, r.code)
      assert.truthy(r.err:find("no file of 'sshlua.cli.main' in", 1, true))
    end)
  end)

  describe("runs a script", function()
    it_runs("with its arguments in ... and in arg, negative indices too", function()
      local path = program.file("args.lua", "#!/usr/bin/env sshlua\nprint(#arg, arg[0], arg[-1], arg[-2] ~= nil, arg[-3], ...)")
      check(sshlua("-v", path, "a b", "-e", ""), 0, ("3\t%s\t-v\ttrue\tnil\ta b\t-e\t\n"):format(path))
    end)

    it_runs("from standard input, with arguments after -", function()
      check(program.run({}, { stdin = "print(arg[0] ~= nil, ...)" }), 0, "true\n")
      check(program.run({ "-", "x" }, { stdin = "print(arg[0], ...)" }), 0, "-\tx\n")
      check(program.run({}, { stdin = "x = = 1" }), 1, "", "sshlua: stdin:1: unexpected symbol near '='\n")
    end)

    it_runs("that does not exist: one line, 2; that does not parse: its line, 1", function()
      check(sshlua "/no/such.lua", 2, "", "sshlua: cannot open /no/such.lua: No such file or directory\n")
      check(sshlua "nothing", 2, "",
        "sshlua: cannot open nothing: No such file or directory (no such command either; see sshlua --help)\n")
      check(sshlua(program.file("bad.lua", "\nx = = 1")), 1, "",
        ("sshlua: %s/bad.lua:2: unexpected symbol near '='\n"):format(program.directory()))
      local r = sshlua(program.directory())
      assert.equal(2, r.code)
      assert.truthy(r.err:find("^sshlua: cannot read [^\n]*\n$"))
    end)

    it_runs("of a command's name only when it is told apart", function()
      program.file("help", "print('script')")
      local here = { cwd = program.directory() }
      assert.truthy(program.run({ "help" }, here).out:find "^sshlua %- ")
      check(program.run({ "./help" }, here), 0, "script\n")
      check(program.run({ "--", "help" }, here), 0, "script\n")
      check(program.run({ "-e", "", "help" }, here), 2, "",
        "sshlua: option -e is not for the command help (a script of that name: ./help)\n")
      check(program.run({ "help", "nothing" }, here), 2, "", "sshlua: help: no command 'nothing' (see sshlua --help)\n")
    end)

    it_runs("in a task: it may wait anywhere but under C functions", function()
      check(program.lua [[
        local ssh = require "sshlua"
        ssh.sleep(0.001)
        for _ in function(_, x) ssh.sleep(0.001) return not x or nil end do end
        setmetatable({}, { __index = function() ssh.sleep(0.001) return 1 end }).x = nil
        local _ = setmetatable({}, { __index = function() ssh.sleep(0.001) return 1 end }).y
        pcall(ssh.sleep, 0.001)
        load "require('sshlua').sleep(0.001)" ()
        print "waited"]], 0, "waited\n")
      local r = program.lua "local ssh = require 'sshlua'\ntable.sort({ 1, 2 },\nfunction() ssh.sleep(0) end)"
      assert.equal(1, r.code)
      assert.truthy(r.err:find("^sshlua: %(command line%):3: cannot wait here: "), r.err)
    end)

    it_runs("without HOME and with no environment at all", function()
      check(program.lua("print(1)", { env = { HOME = false } }), 0, "1\n")
      check(program.start({ "-e", "print(2)" }, { shell = 'exec env -i "$0" "$@"' }):finish(), 0, "2\n")
    end)

    it_runs("with standard descriptors closed", function()
      check(program.start({ "-e", "print(1)" }, { shell = 'exec "$0" "$@" <&-' }):finish(), 0, "1\n")
      check(program.start({ "-e", "print(1)" }, { shell = 'exec "$0" "$@" >&-' }):finish(), 1, "",
        "sshlua: cannot write to standard output: some of it was lost\n")
      check(program.start({ "-e", "require 'sshlua' print(1)" }, { shell = 'exec "$0" "$@" 2>&-' }):finish(), 0, "1\n")
    end)

    it_runs("and says so when its output does not fit on the disk", function()
      if not io.open "/dev/full" then run.skip "no /dev/full" end
      local shell = 'exec "$0" "$@" >/dev/full'
      check(program.start({ "-e", "io.write 'x'" }, { shell = shell }):finish(), 1, "",
        "sshlua: cannot write to standard output: No space left on device\n")
      check(program.start({ "-e", "print 'x' os.exit(3)" }, { shell = shell }):finish(), 3)
    end)

    it_runs("that tries to close its output", function() -- Lua keeps the standard files open
      check(program.lua "print(1) io.stdout:close() io.stderr:close() error 'x'", 1, "1\n", "sshlua: (command line):1: x\n")
    end)

    it_runs("and loads no more of the library than tasks need", function()
      check(program.lua [[
        local n = 0
        for name in pairs(package.loaded) do if name:find "^sshlua" then n = n + 1 end end
        print(package.loaded.sshlua, package.loaded.luv, n < 20)]], 0, "nil\tnil\ttrue\n")
    end)
  end)

  describe("ends", function()
    it_runs("with what os.exit says, from inside tasks and with the state closed, too", function()
      local prelude = "local task = require 'sshlua.task' task.sleep(0.001) "
      check(program.lua "os.exit(7)", 7)
      check(program.lua "os.exit(8, true)", 8)
      check(program.lua(prelude .. "os.exit(9)"), 9)
      check(program.lua(prelude .. "os.exit(10, true)"), 10)
      check(program.lua(prelude .. "os.exit(true, true)"), 0)
      check(program.lua(prelude .. "os.exit(false)"), 1)
      check(program.lua(prelude .. [[
        local core = require "sshlua.core"
        task.scope(function(s)
          for i = 1, 10 do s:spawn(task.sleep, 10) end
          core.spawn { args = { "true" }, stdout = "pipe" }:stdout():read(1, type)
          core.tcp_listen("127.0.0.1", 0)
          core.fs_readdir("/", type)
          task.sleep(0)
          os.exit(11, true)
        end)]]), 11)
    end)

    it_runs("soon, although a thread of the pool is stuck", function()
      local fifo = program.directory() .. "/fifo"
      os.execute("mkfifo " .. fifo)
      if not has_luv() then run.skip "built without luv" end
      local code = ("require('luv').fs_open(%q, 'r', 0, print) "):format(fifo)
      local before = core.now()
      check(program.lua(code), 0)
      check(program.lua(code .. "os.exit(5, true)"), 5)
      check(program.lua(code .. "os.exit(6)"), 6)
      assert.is_true(core.now() - before < 8)
    end)

    it_runs("with 1 and the line for an error, with the script's own frames when there are several", function()
      local path = program.file("err.lua", "local function f(x)\n  return x.y.z\nend\nlocal function g(x)\n  local r = f(x)\n  return r\nend\n"
        .. "if arg[1] then g({}) end\nlocal t = require 'sshlua.task'\nt.sleep(0)\nt.scope(function() error('plain') end)")
      check(sshlua(path, "deep"), 1, "", (([[
sshlua: P:2: attempt to index a nil value (field 'y')
stack traceback:
	P:2: in upvalue 'f'
	P:5: in local 'g'
	P:8: in main chunk
]]):gsub("P", path)))
      check(sshlua(path), 1, "", ("sshlua: %s:11: plain\n"):format(path))
    end)

    it_runs("with 1 for error objects of any kind", function()
      check(program.lua "error()", 1, "", "sshlua: (command line):1: (error object is a nil value)\n")
      check(program.lua "error({})", 1, "", "sshlua: (command line):1: (error object is a table value)\n")
      check(program.lua "error(setmetatable({}, { __tostring = function() return 'text' end }))", 1, "",
        "sshlua: (command line):1: text\n")
      check(program.lua "error(setmetatable({}, { __tostring = function() error 'x' end }))", 1, "",
        "sshlua: (command line):1: (error object is a table value)\n")
      check(program.lua "error('no position', 0)", 1, "", "sshlua: (command line):1: no position\n")
    end)

    it_runs("with the host, the hint and the script's line for an Error", function()
      local raise = "\nlocal e = require 'sshlua.errors' e.raise { kind = '%s', host = 'web1', message = 'no', hint = 'do' }"
      check(program.lua(raise:format "auth"), 1, "", "sshlua: (command line):2: web1: auth: no\n  hint: do\n")
      check(program.lua "local t = require 'sshlua.task'\nt.timeout(0.01, t.sleep, 9)", 1, "",
        "sshlua: (command line):2: timeout: timed out after 0.01 s\n")
      local r = program.lua "\nrequire('sshlua.task').sleep('x')"
      assert.truthy(r.err:find "^sshlua: %(command line%):2: [^\n]*\n$", r.err)
      assert.is_nil(r.err:find "sshlua/")
    end)

    it_runs("with 3 for a fleet of which commands failed, with 4 when a host was not reached", function()
      local raise = "local e = require 'sshlua.errors' local function err(f) f.message = 'm' return e.new(f) end "
        .. "e.raise { kind = 'fleet', message = 'some failed', result = { { ok = true }, { ok = false, err = err(%s) } } }"
      local codes = {
        ["{ kind = 'exit' }"] = 3, ["{ kind = 'timeout', phase = 'command' }"] = 3, ["{ kind = 'sftp' }"] = 3,
        ["{ kind = 'connection_lost', phase = 'command' }"] = 3, ["{ kind = 'auth' }"] = 4, ["{ kind = 'hostkey' }"] = 4,
        ["{ kind = 'connect' }"] = 4, ["{ kind = 'resolve' }"] = 4, ["{ kind = 'timeout', phase = 'connect' }"] = 4,
        ["{ kind = 'connection_lost', phase = 'handshake' }"] = 4,
      }
      for fields, code in pairs(codes) do
        check(program.lua(raise:format(fields)), code, "", "sshlua: (command line):1: fleet: some failed\n")
      end
    end)
  end)

  describe("with luv", function()
    local function with_luv(code)
      if not has_luv() then run.skip "built without luv" end
      return program.lua("local uv, ssh = require 'luv', require 'sshlua' " .. code)
    end

    it_runs("shares its loop, and callbacks wake tasks", function()
      check(with_luv [[
        local e, t = ssh.event(), uv.new_timer()
        t:start(20, 0, function() t:close() e:set("fired") end)
        print((e:wait()))]], 0, "fired\n")
    end)

    it_runs("refuses what would end or walk that loop", function()
      check(with_luv [[
        for _, name in ipairs { "run", "stop", "walk", "loop_close" } do
          local ok, message = pcall(uv[name], print)
          print(ok, message:match "^uv%.%a+[%w_]*: ")
        end]], 0, "false\tuv.run: \nfalse\tuv.stop: \nfalse\tuv.walk: \nfalse\tuv.loop_close: \n")
    end)

    it_runs("ends with the error of a callback", function()
      check(with_luv "uv.new_timer():start(5, 0, function() error 'late' end) ssh.sleep(5)", 1, "",
        "sshlua: (command line):1: late\n")
    end)

    it_runs("ends cleanly with handles open", function()
      check(with_luv "uv.new_timer():start(5000, 0, print) uv.new_tcp() uv.new_idle()", 0)
      check(with_luv "uv.new_timer():start(5000, 0, print) ssh.sleep(0.001) os.exit(4, true)", 4)
    end)
  end)

  describe("runs busted", function()
    local function busted(text)
      local where = io.open "/usr/bin/busted"
      if not where then run.skip "no /usr/bin/busted" end
      where:close()
      return sshlua("/usr/bin/busted", "-o", "TAP", program.file("inner_spec.lua", text))
    end

    it_runs("whose bodies may wait, and whose exit code it keeps", function()
      local r = busted [[
        local task = require "sshlua.task"
        describe("waiting", function()
          setup(function() task.sleep(0.001) end)
          before_each(function() task.sleep(0.001) end)
          it("works", function() task.sleep(0.001) assert.is_not_nil(task.current()) end)
          it("works beside", function() task.each({ 1, 2 }, function() task.sleep(0.001) end) end)
          it("can be put off", function() task.sleep(0.001) pending "later" end)
          teardown(function() task.sleep(0.001) end)
        end)]]
      assert.equal("", r.err)
      assert.equal(0, r.code)
      assert.truthy(r.out:find "ok 1 .*ok 2 .*ok 3 .*SKIP.*\n1%.%.3\n$")
      r = busted "it('fails', function() require('sshlua.task').sleep(0) assert.equal(1, 2) end)"
      assert.equal(1, r.code)
      assert.truthy(r.out:find("Expected objects to be equal", 1, true))
    end)
  end)
end)
