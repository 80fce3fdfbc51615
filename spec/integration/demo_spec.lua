-- `sshlua demo -- script.lua`: the script's view, its exit codes, and that nothing is left on any way out.
local child = require "spec.support.child"
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local task = require "sshlua.task"

local await, defer, eventually = task.await, run.defer, run.eventually

local function body(fn)
  return run.body(function()
    if not child.interpreter():find "sshlua$" then run.skip "needs the program sshlua" end
    fn()
  end, 60)
end

local read_all = processes.read_all

local function exists(path) return core.fs_stat_sync(path) ~= nil end

-- A directory that is HOME, with the script in it. What an ssh client would read of the user's is a FIFO: to open it
-- would be to hang.
local function make_home(script)
  local dir = assert(core.fs_mkdtemp_sync "/tmp/sshlua-demo-spec-XXXXXX")
  defer(core.fs_rmtree_sync, dir)
  assert(core.fs_mkdir_sync(dir .. "/.ssh", 448))
  for _, name in ipairs { "known_hosts", "config", "id_ed25519", "id_rsa", "authorized_keys" } do
    processes.must_run { "mkfifo", dir .. "/.ssh/" .. name }
  end
  assert(core.fs_write_sync(dir .. "/script.lua", script, 420))
  return dir
end

local function start(dir, args)
  local env = processes.environment("HOME=" .. dir)
  local words = { child.interpreter(), "demo" }
  for _, word in ipairs(args) do words[#words + 1] = word end
  return assert(core.spawn { args = words, env = env, stdout = "pipe", stderr = "pipe", detached = true })
end

local function finish(proc)
  local out, err
  task.all(function() out = read_all(proc:stdout()) end, function() err = read_all(proc:stderr()) end)
  return await(proc.wait, proc), out, err
end

local function demo(script, ...)
  local dir = make_home(script)
  local args = { ... }
  args[#args + 1] = "--"
  args[#args + 1] = dir .. "/script.lua"
  args[#args + 1] = "one"
  args[#args + 1] = "two words"
  return finish(start(dir, args))
end

-- The directory of the fleet, which the script prints.
local where = [[print("home " .. require "sshlua".host "web1":read "pwd") io.stdout:flush()]]
local function fleet_dir(out) return assert(out:match "home (%S+)/web1/home\n", out) end

local function assert_gone(out) assert.is_false(exists(fleet_dir(out))) end

describe("sshlua demo", function()
  it("runs a script on five hosts and leaves nothing", body(function()
    local code, out, err = demo(where .. [[
      local ssh = require "sshlua"
      print(arg[0]:match "[^/]*$", arg[1], select("#", ...), ...)
      print(#ssh.hosts "web[1-5]":run "echo $HOME")
    ]])
    assert.equal(0, code, err)
    assert.truthy(out:find("script.lua\tone\t2\tone\ttwo words\n5\n", 1, true), out)
    assert.truthy(err:find "5 throwaway hosts up", err)
    assert.truthy(err:find "no process, no file is left", err)
    assert_gone(out)
  end))

  it("ends with the script's error", body(function()
    local code, out, err = demo(where .. " error 'boom'", "--hosts", "1")
    assert.equal(1, code)
    assert.truthy(err:find "script.lua:1: boom", err)
    assert_gone(out)
  end))

  it("ends with the script's exit code, wherever it calls os.exit", body(function()
    for code, text in pairs {
      [0] = "os.exit()", [1] = "os.exit(false)", [3] = "pcall(os.exit, 3)",
      [4] = "require 'sshlua'.all(function() os.exit(4) end, function() require 'sshlua'.sleep(50) end)",
    } do
      local got, out = demo(where .. text, "--hosts=1")
      assert.equal(code, got)
      assert_gone(out)
    end
  end))

  it("leaves it to the guardian when os.exit cannot wait", body(function()
    local code, out = demo(where .. "coroutine.wrap(function() os.exit(5) end)()", "--hosts=1")
    assert.equal(5, code)
    assert.truthy(eventually(function() return not exists(fleet_dir(out)) end))
  end))

  it("cleans up after ^C, SIGTERM and SIGHUP", body(function()
    for signal, code in pairs { INT = 130, TERM = 143, HUP = 129 } do
      local dir = make_home(where .. "require 'sshlua'.host 'web1':run 'echo > here; sleep 100'")
      local proc = start(dir, { "--hosts", "2", dir .. "/script.lua" })
      local out = await(proc:stdout().read, proc:stdout(), 1000)
      assert.truthy(eventually(function() return exists(fleet_dir(out) .. "/web1/home/here") end))
      proc:kill(signal)
      local got, _, err = finish(proc)
      assert.equal(code, got, err)
      assert_gone(out)
    end
  end))

  it("cleans up when it is killed", body(function()
    local dir = make_home(where .. "require 'sshlua'.host 'web1':run 'echo $$ > here; sleep 100'")
    local proc = start(dir, { "--hosts", "2", dir .. "/script.lua" })
    local out = await(proc:stdout().read, proc:stdout(), 1000)
    local path = fleet_dir(out) .. "/web1/home/here"
    local pid = tonumber(eventually(function()
      local f = io.open(path)
      local text = f and f:read "*l"
      if f then f:close() end
      return text
    end))
    proc:kill "KILL"
    finish(proc)
    assert.truthy(eventually(function() return not exists(fleet_dir(out)) end))
    assert.is_nil(processes.list()[pid])
  end))

  it("knows no other hosts' keys and none of the user's", body(function()
    local code, out, err = demo(where .. [[
      local ssh = require "sshlua"
      local o = require "sshlua.settings".hosts.web1
      print(ssh.try(ssh.connect, "other", { hostname = o.hostname, port = o.port, user = o.user, batch = true }) ~= nil)
      print(ssh.try(ssh.connect, "127.0.0.1", { port = 1, tries = 1 }))
    ]], "--hosts", "1")
    assert.equal(0, code, err)
    assert.truthy(out:find "true\nnil\t", out)
    assert_gone(out)
  end))

  it("says what is wrong in one line, before it starts anything", body(function()
    local dir = make_home "x ="
    for text, args in pairs {
      ["no such file"] = { "/nonexistent.lua" }, ["script.lua:1:"] = { dir .. "/script.lua" },
      ["number from 1 to 100"] = { "--hosts", "0", "x" }, ["unknown option %-%-x"] = { "--x" }, ["which script"] = {},
    } do
      local code, out, err = finish(start(dir, args))
      assert.is_true(code == 2 or (text == "script.lua:1:" and code == 1), err)
      assert.equal("", out)
      assert.truthy(err:lower():find(text), err)
      assert.equal(1, select(2, err:gsub("\n", "")))
    end
  end))
end)
