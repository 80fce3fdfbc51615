-- The journal: what is on disk when, and that a run which ended anywhere goes on where it was.
local core = require "sshlua.core"
local fleets = require "spec.support.fleets"
local journal = require "sshlua.journal"
local journal_file = require "sshlua.journal_file"
local json = require "sshlua.json"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"

local body, fails = run.body, run.fails
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 4, homes = true }

local number = 0
local function new_path()
  number = number + 1
  return program.directory() .. "/journal" .. number
end

-- fn(host) under a journal, which is closed afterwards.
local function under(path, opts, fn)
  ssh.journal(path, opts)
  local ok, err = pcall(fn, servers.host(fleet(), "web1"))
  journal.close()
  if not ok then error(err, 0) end
end

local function log_of(name) return servers.read_file(fleet():host(name).home .. "/log") or "" end

local function count(text, word) return select(2, text:gsub(word .. "\n", "")) end

describe("a journal", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)
  before_each(function()
    for _, h in ipairs(fleet().hosts) do os.remove(h.home .. "/log") end
  end)

  it("has a step's start on disk before anything is sent, and its end after", body(function()
    local path = new_path()
    under(path, nil, function(h)
      h:run("cat " .. path .. " > log; echo out; printf '\\377' >&2")
    end)
    local seen = log_of "web1"
    assert.truthy(seen:find '"type":"start"' and not seen:find '"type":"end"', seen)
    local lines = journal_file.read(path)
    assert.equal("journal start end", lines[1].type .. " " .. lines[2].type .. " " .. lines[3].type)
    assert.same({ "out\n", "/w==", 0, "done", 1 }, { lines[3].stdout, lines[3].stderr_base64, lines[3].code,
      lines[3].state, lines[3].step })
    assert.equal(journal.name_of(servers.host(fleet(), "web1")), lines[3].host)
    assert.equal(384, core.fs_stat_sync(path).mode)
  end))

  it("gives what was finished again without running it", body(function()
    local path, seen = new_path(), {}
    local function play(h)
      local r = h:run({ "sh", "-c", "echo a >> log; printf 'o\\377'; echo e >&2" }, { cwd = "." })
      local failed = h:run("echo b >> log; exit 3", { check = false })
      local ok, err = pcall(h.run, h, "echo c >> log; kill -TERM $$")
      h:put({ data = "x" }, "file")
      local text = h:read "cat file; echo d >> log"
      seen[#seen + 1] = { r.stdout, r.stderr, r.code, failed.code, failed:status(), ok, err.kind, err.signal, err.message, text,
        err.result.signal }
    end
    under(path, nil, play)
    under(path, { resume = true }, play)
    assert.same(seen[1], seen[2])
    assert.equal("o\255", seen[2][1])
    assert.equal("a\nb\nc\nd\n", log_of "web1")
  end))

  it("goes on behind the last good step, and runs the one that failed again", body(function()
    local path = new_path()
    fails("exit", under, path, nil, function(h)
      h:run "echo a >> log"
      h:run "echo b >> log; false"
    end)
    under(path, { resume = true }, function(h)
      h:run "echo a >> log"
      h:run "echo b >> log; true"
      h:run "echo c >> log"
    end)
    assert.equal("a\nb\nb\nc\n", log_of "web1")
    under(path, { resume = true }, function(h)
      h:run "echo a >> log"
      assert.is_true(h:run("echo b >> log; true").replayed)
      h:run "echo c >> log"
    end)
    assert.equal("a\nb\nb\nc\n", log_of "web1")
  end))

  it("stops a host whose steps are others now, for good", body(function()
    local path = new_path()
    under(path, nil, function(h) h:run "echo a >> log" end)
    under(path, { resume = true }, function(h)
      local e = fails("config", h.run, h, "echo x >> log")
      assert.equal("mismatch", e.reason)
      assert.equal("mismatch", fails("config", h.run, h, "echo a >> log").reason)
    end)
    assert.equal("a\n", log_of "web1")
  end))

  it("tells steps apart by directory, environment and user, not by time limits", body(function()
    local path = new_path()
    under(path, nil, function(h) h:run("pwd", { env = { A = "1" }, timeout = 9 }) end)
    under(path, { resume = true }, function(h) assert.is_true(h:run("pwd", { env = { A = "1" }, timeout = 5, check = false }).replayed) end)
    for _, opts in ipairs { { env = { A = "2" } }, { env = { A = "1" }, cwd = "/" }, {} } do
      under(path, { resume = true }, function(h) fails("config", h.run, h, "pwd", opts) end)
    end
    under(path, { resume = true }, function(h) fails("config", h.run, h:with { cwd = "/" }, "pwd", { env = { A = "1" } }) end)
  end))

  it("calls a step unknown that was begun and not finished, unless it is safe", body(function()
    local path = new_path()
    fails("timeout", under, path, nil, function(h) h:run("echo a >> log; sleep 9", { timeout = 1 }) end)
    under(path, { resume = true }, function(h)
      assert.equal("unknown", fails("config", h.run, h, "echo a >> log; sleep 9").reason)
      fails("config", h.run, h, "true")
    end)
    under(path, { resume = true, unknown = "done" }, function(h)
      assert.is_true(h:run("echo a >> log; sleep 9").assumed)
      h:run "echo b >> log"
    end)
    assert.equal("a\nb\n", log_of "web1")
    path = new_path()
    fails("timeout", under, path, nil, function(h) h:run("echo s >> log; sleep 9", { timeout = 1, safe = true }) end)
    under(path, { resume = true }, function(h)
      fails("timeout", h.run, h, "echo s >> log; sleep 9", { timeout = 1, safe = true })
    end)
    assert.equal("a\nb\ns\ns\n", log_of "web1")
  end))

  it("does not call unknown what never left this machine", body(function()
    local path = new_path()
    ssh.journal(path)
    local gone = ssh.host("gone.invalid", { tries = 1, timeout = 5 })
    fails("resolve", gone.run, gone, "x")
    journal.close()
    ssh.journal(path, { resume = true })
    fails("resolve", gone.run, gone, "x")
    journal.close()
  end))

  it("cannot see the end of a process, and says so", body(function()
    local path = new_path()
    under(path, nil, function(h)
      h:spawn("true"):wait()
      h:run "true"
    end)
    under(path, { resume = true }, function(h) assert.equal("unknown", fails("config", h.spawn, h, "true").reason) end)
  end))

  it("is readable when it was cut at any byte", body(function()
    local path, cut = new_path(), new_path()
    under(path, nil, function(h)
      h:run "echo a >> log"
      h:run "echo b >> log"
    end)
    local text = servers.read_file(path)
    local first = text:find "\n"
    for size = first, #text, 7 do
      servers.write_file(cut, text:sub(1, size))
      local past = journal.read(cut)
      assert.equal("journal", past.head.type)
      assert.is_true(past.size <= size and (past.hosts.web1 and past.hosts.web1.last or 0) <= 2)
    end
    servers.write_file(cut, text:sub(1, #text - 20)) -- the end of the second step is torn
    under(cut, { resume = true }, function(h)
      h:run "echo a >> log"
      fails("config", h.run, h, "echo b >> log")
    end)
    assert.equal("a\nb\n", log_of "web1")
    for line in servers.read_file(cut):gmatch "[^\n]+" do json.decode(line) end
  end))

  it("holds no secret", body(function()
    local path = new_path()
    local secret = core.secret("token", "hunter2hunter2")
    under(path, nil, function(h)
      h:run("cat; echo $TOKEN; echo hunter2hunter2", { stdin = secret, env = { TOKEN = secret } })
    end)
    local text = servers.read_file(path)
    assert.is_nil(text:find("hunter2", 1, true), text)
  end))

  it("refuses what is none, another version, words it does not know, a file that is there", body(function()
    local path = new_path()
    servers.write_file(path, "hello\n")
    assert.truthy(fails("config", ssh.journal, path, { resume = true }).message:find(":1: not a line", 1, true))
    servers.write_file(path, '{"type":"journal","v":2}\n')
    assert.truthy(fails("config", ssh.journal, path, { resume = true }).message:find("version 2", 1, true))
    assert.equal("EEXIST", fails("io", ssh.journal, path).name)
    fails("io", ssh.journal, path .. ".none", { resume = true })
    fails("usage", ssh.journal, path, { resume = true, only = "some" })
    fails("usage", ssh.journal, path, { only = "ok" })
    fails("usage", ssh.journal, 5)
  end))

  it("goes on with the failed hosts alone", body(function()
    local path = new_path()
    local list = {}
    for i, h in ipairs(fleet().hosts) do list[i] = servers.host(fleet(), h.name) end
    local web = require("sshlua.hosts").of(list)
    local function play(opts, command)
      ssh.journal(path, opts)
      local rs = web:each(function(h) h:run(h.name == "web2" and command or "true") end, { check = false })
      journal.close()
      return tostring(rs)
    end
    assert.equal("3 ok, 1 exit (web2)", play(nil, "echo x >> log; false"))
    assert.equal("1 ok, 3 skipped (web[1,3-4])", play({ resume = true, only = "failed" }, "echo y >> log"))
    assert.equal("4 ok", play({ resume = true, only = "ok" }, "echo y >> log"))
    assert.equal("x\ny\n", log_of "web2")
  end))

  -- kill -9 -----------------------------------------------------------------------------------------------------------

  local SCRIPT = [[
    local ssh = require "sshlua"
    local rs = ssh.hosts("web[1-4]"):rolling({ batch = { 1, "100%" }, max_failed = 9, check = false }, function(h)
      for k = 1, 4 do h:run({ "sh", "-c", "echo step" .. k .. " >> log" }) end
    end)
    for _, r in ipairs(rs) do print(r.host, r.ok, r.err and r.err.reason, r.err and r.err.message) end
  ]]

  -- Of one host: each step once, or none behind the one that is unknown.
  local function check_host(name, ok, reason, message, seen)
    local log = log_of(name)
    if ok == "true" then
      assert.equal("step1\nstep2\nstep3\nstep4\n", log, name)
      return
    end
    assert.equal("unknown", reason, message)
    local at = tonumber(message:match "step (%d)")
    for k = 1, 4 do
      local n = count(log, "step" .. k)
      assert.is_true(k < at and n == 1 or k == at and n <= 1 or k > at and n == 0, name .. ": " .. log .. message)
    end
    seen.unknown = seen.unknown + 1
  end

  local function kill_at(seconds, env, script, seen)
    for _, h in ipairs(fleet().hosts) do os.remove(h.home .. "/log") end
    local path = new_path()
    local child = program.start({ "--journal", path, script }, { env = env })
    child:finish(function()
      ssh.sleep(seconds)
      child:kill "KILL"
    end)
    ssh.sleep(0.1) -- what had been sent ends
    if not core.fs_stat_sync(path) or core.fs_stat_sync(path).size == 0 then return end
    local r = program.run({ "--resume", path, script }, { env = env })
    assert.equal(0, r.code, r.err)
    local hosts = 0
    for name, ok, reason, message in r.out:gmatch "(web%d)\t(%w+)\t([^\t\n]*)\t([^\n]*)" do
      check_host(name, ok, reason, message, seen)
      hosts = hosts + 1
    end
    assert.equal(4, hosts, r.out .. r.err)
  end

  local function kill_often(times)
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    local env, script = fleets.environment(fleet()), program.file("script.lua", SCRIPT)
    local whole = run.took(program.run, { "--journal", new_path(), script }, { env = env })
    local seen = { unknown = 0 }
    for i = 1, times do kill_at(0.02 + math.random() * whole * (i % 4 == 0 and 1 or 0.8), env, script, seen) end
    print(("# %d kills in a run of %.2f s: %d hosts stopped at an unknown step"):format(times, whole, seen.unknown))
  end

  it("lets a run that was killed anywhere go on: each step once, or named as unknown", body(function() kill_often(3) end))

  it("the same at 20 points #long", body(function() kill_often(20) end, 120))
end)

