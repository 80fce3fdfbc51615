-- Recordings of terminals: shells, processes with a pty, and what reads them.
local core = require "sshlua.core"
local files = require "spec.support.files"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"

local fleet, start, stop = servers.shared { hosts = { "web1" }, sshd_config = { "PrintMotd no" } }

describe("a recording", function()
  setup(start)
  teardown(stop)

  local function directory()
    local dir = task.await(core.fs_mkdtemp, (os.getenv "TMPDIR" or "/tmp") .. "/sshlua-record-XXXXXX")
    run.defer(core.fs_rmtree_sync, dir)
    return dir
  end

  -- The header and the events of a file.
  local function load_cast(path)
    local events, header = {}, nil
    for line in io.lines(path) do
      local value = assert(core.json_decode(line))
      if header then events[#events + 1] = value else header = value end
    end
    return header, events
  end

  local function text_of(path, kind)
    local parts = {}
    local _, events = load_cast(path)
    for _, event in ipairs(events) do
      if event[2] == (kind or "o") then parts[#parts + 1] = event[3] end
    end
    return table.concat(parts)
  end

  it("of a shell has what the terminal was sent, for its owner alone", run.body(function()
    local dir = directory()
    local t = servers.connect(fleet()):shell { command = "sh -i", record = dir .. "/a.cast", timeout = 10 }
    t:cmd "echo 'grün 日本'"
    t:resize(100, 30)
    t:close()
    local stat = core.fs_stat_sync(dir .. "/a.cast")
    assert.equal(384, stat.mode)
    local header, events = load_cast(dir .. "/a.cast")
    assert.equal(2, header.version)
    assert.equal(511, header.width)
    assert.equal("web1", header.title)
    assert.truthy(text_of(dir .. "/a.cast"):find("grün 日本\r\n", 1, true))
    assert.equal("", text_of(dir .. "/a.cast", "i"))
    assert.equal("100x30", text_of(dir .. "/a.cast", "r"))
    local last = 0
    for _, event in ipairs(events) do
      assert.is_true(event[1] >= last)
      last = event[1]
    end
  end))

  it("has what was sent only if that is wanted, and never a secret", run.body(function()
    local dir = directory()
    local secret = core.secret("pin", "hunter2222")
    local t = servers.connect(fleet()):shell {
      command = "sh -i", record = { to = dir .. "/", input = true }, timeout = 10,
    }
    t:cmd { "echo ", secret, " | tr a-z A-Z" }
    t:send "echo hunter2222\n"
    t:expect "\nhunter2222"
    t:close()
    local path = files.paths(dir)[1]
    assert.truthy(path:find "/web1%-%d+T%d+Z%.cast$")
    local everything = servers.read_file(path)
    assert.falsy(everything:find("hunter2222", 1, true))
    assert.truthy(everything:find("HUNTER2222", 1, true))
    assert.truthy(text_of(path, "i"):find("echo ********", 1, true))
  end))

  it("masks a secret that comes in two packets, and keeps characters whole", run.body(function()
    local dir = directory()
    local secret = core.secret("split", "correct horse")
    run.defer(secret.wipe, secret)
    local p = servers.connect(fleet()):spawn(
      "printf 'pin: correct'; sleep 0.3; printf ' horse.\\346\\227'; sleep 0.3; printf '\\245\\377!'; sleep 0.1", {
        pty = true, record = dir .. "/p.cast",
      })
    assert.equal("pin: correct horse.\230\151\165\255!", p.stdout:read_all())
    p:wait()
    assert.equal("pin: ********.日\239\191\189!", text_of(dir .. "/p.cast"))
  end))

  it("is one file for each terminal, and is never written over", run.body(function()
    local dir = directory()
    local s = servers.connect(fleet())
    for _ = 1, 3 do
      local p = s:spawn("echo hello", { pty = { cols = 70, rows = 20 }, record = dir .. "/new/" })
      p:wait()
    end
    assert.equal(3, #files.paths(dir .. "/new"))
    assert.equal(448, core.fs_stat_sync(dir .. "/new").mode)
    for _, path in ipairs(files.paths(dir .. "/new")) do
      assert.equal("hello\r\n", text_of(path))
      assert.equal(70, (load_cast(path)).width)
    end
    servers.write_file(dir .. "/there", "x")
    local err = run.fails("io", s.spawn, s, "true", { pty = true, record = dir .. "/there" })
    assert.equal("EEXIST", err.name)
    assert.equal("x", servers.read_file(dir .. "/there"))
    run.fails("usage", s.spawn, s, "true", { record = dir .. "/x" })
    run.fails("usage", s.shell, s, { pty = false, record = dir .. "/x" })
    run.fails("usage", s.shell, s, { record = { too = "x" } })
  end))

  it("that cannot be written ends the dialogue with a named error", run.body(function()
    if not core.fs_stat_sync "/dev/full" then run.skip "no /dev/full" end
    local dir = directory()
    local rec = require("sshlua.record").open(dir .. "/a.cast", { host = "web1" })
    rec.file:close()
    rec.file = io.open("/dev/full", "a")
    rec.file:setvbuf "no"
    assert.truthy(run.fails("io", rec.output, rec, "x").message:find "cannot record")
    rec:output "y"
    rec:close()
  end))

  it("is listed, shown, played and searched on the command line", run.body(function()
    if not program.path then run.skip "no program" end
    local dir = directory()
    local head = '{"version": 2, "width": 80, "height": 24, "timestamp": 1700000000, "title": "sw1"}\n'
    servers.write_file(dir .. "/a.cast", head .. '[0.1, "o", "sw1# sh\\u001b[1mow\\u001b[0m ver\\r\\n"]\n'
      .. '[0.2, "i", "secret"]\n[0.3, "o", "Version 1"]\n[3600.5, "o", "2\\r\\nbye\\r\\n"]\n[3700, "o", "half wri')
    servers.write_file(dir .. "/b.cast", "nothing of the kind\n")
    local function rec(...) return program.run({ "rec", ... }) end
    local r = rec("grep", "-i", "VERSION 12", dir)
    assert.equal(dir .. "/a.cast: 0.3: Version 12\n", r.out)
    assert.equal(1, r.code) -- b.cast is none
    assert.truthy(r.err:find "asciicast v2 expected")
    os.remove(dir .. "/b.cast")
    r = rec("grep", "--pattern", "show ve%a$", dir)
    assert.equal(dir .. "/a.cast: 0.1: sw1# show ver\n", r.out)
    assert.equal(0, r.code)
    assert.equal(1, rec("grep", "secret", dir).code)
    assert.equal(dir .. "/a.cast\n", rec("grep", "-l", "bye", dir).out)
    r = rec("list", dir)
    assert.truthy(r.out:find "3600%.5 s .*80x24 +sw1 +/.*a%.cast\n")
    local all = "sw1# sh\27[1mow\27[0m ver\r\nVersion 12\r\nbye\r\n"
    assert.equal(all, rec("cat", dir .. "/a.cast").out)
    assert.equal(all, rec("play", "--idle", "0.1", "--speed=10", dir .. "/a.cast").out)
    assert.equal(2, rec("eat").code)
    assert.equal(2, rec("play", "--speed", "x", dir .. "/a.cast").code)
    assert.equal(1, rec("cat", dir .. "/c.cast").code)
  end))

  it("keeps what came before the program was killed", run.body(function()
    if not program.path then run.skip "no program" end
    local dir = directory()
    local o = fleet():options "web1"
    local code = ([[
      local ssh = require "sshlua"
      local t = ssh.connect("web1", { hostname = %q, port = %d, user = %q, identity = %q, known_hosts = %q, agent = false,
        ssh_config = false }):shell { command = "sh -i", record = %q }
      t:cmd "echo $((6 * 7))"
      require("sshlua.core").kill(require("sshlua.core").getpid(), "KILL")
      ssh.sleep(10)]]):format(o.hostname, o.port, o.user, o.identity, o.known_hosts, dir .. "/k.cast")
    program.lua(code)
    assert.truthy(text_of(dir .. "/k.cast"):find "42\r\n")
  end))
end)
