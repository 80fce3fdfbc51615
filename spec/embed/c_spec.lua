-- C programs with libsshlua.a, the examples of embedding on a fleet, and the ends of interpreters with work open.
local child = require "spec.support.child"
local run = require "spec.support.run"
local support = require "spec.support.tasks"
local ssh = require "sshlua"
local testbed = require "sshlua.testbed"

local contains = support.contains

-- The build folder this module came from: C programs are linked once, in the turn of the plain build for Lua 5.4.
local build = package.cpath:match "([^;]*)/lua5.4/%?%.so"
local can_link = build and child.preload == "" and child.has "cc" and child.has "pkg-config"
  and io.open(build .. "/libsshlua.a") ~= nil
local c_it = can_link and it or function(name) pending(name .. " (not linked in this turn)") end

local function compile(source)
  local program = os.tmpname()
  local output, status = child.sh(([[
    requires=$(sed -n 's/^Requires: //p' %s/sshlua.pc | tr -d , | sed 's/ >= [0-9.]*//g')
    for lua in lua5.4 lua-5.4 lua54 lua; do pkg-config --exists $lua && break; done
    cc -g -std=gnu11 -Wall -Wextra -Wshadow -Wconversion -Wvla -Werror -o %s %s -Isrc %s/libsshlua.a \
      $(pkg-config --cflags --libs $lua) $(pkg-config --libs $requires) -lm -ldl -pthread]])
    :format(build, program, source, build))
  assert(status == 0, output)
  return program
end

-- fn(target, env) with a host of a fleet that this process serves.
local function on_fleet(fn)
  return run.body(function()
    local fleet = testbed.start({ hosts = 1 })
    run.defer(fleet.stop, fleet)
    local host = fleet.hosts[1]
    fn(("%s@%s:%d"):format(host.user, host.address, host.port),
      { SSHLUA_IDENTITY = fleet.identity, SSHLUA_KNOWN_HOSTS = fleet.known_hosts })
  end, 120)
end

local function local_run(command, env)
  return ssh.here:run(command, { env = env, check = false, timeout = 100 })
end

describe("the examples of embedding", function()
  it("embed_lua runs a command on a host in a plain interpreter", on_fleet(function(target, env)
    local command = child.preload .. child.quote(child.interpreter()) .. " examples/embed_lua.lua " .. target .. " 'echo hi; id -u'"
    local r = local_run(command, env)
    assert.equal(target .. ": hi\n0\n", (r.stdout:gsub("\n%d+\n$", "\n0\n")))
    assert.equal(0, r.code)
    r = local_run(command:gsub("echo hi", "exit 3"), env)
    assert.not_equal(0, r.code)
    contains(r.stderr, "exit")
    r = local_run(command, { SSHLUA_KNOWN_HOSTS = "/dev/null", SSHLUA_IDENTITY = env.SSHLUA_IDENTITY })
    contains(r.stderr, "hostkey")
  end))

  it("embed_lua runs on this machine without a host", function()
    local output, status = child.sh(child.preload .. child.quote(child.interpreter()) .. " examples/embed_lua.lua")
    contains(output, "here: ")
    assert.equal(0, status)
  end)

  c_it("embed_c runs a command on a host from a loop of its own", on_fleet(function(target, env)
    local program = compile("examples/embed_c.c")
    run.defer(os.remove, program)
    local r = local_run({ program, target, "echo from C" }, env)
    assert.equal("from C\n", r.stdout)
    contains(r.stderr, "embed_c: sshlua ")
    assert.equal(0, r.code)
    local rounds = tonumber(r.stderr:match "(%d+) rounds")
    assert(rounds < 500, "it waits instead of spinning: " .. rounds)
    r = local_run({ program, target, "echo so far; exit 4" }, env)
    assert.equal(1, r.code)
    contains(r.stderr, "exit")
    r = local_run({ program })
    assert.equal(0, r.code)
  end))

  c_it("states in eight threads know nothing of each other", on_fleet(function(target, env)
    local program = compile("spec/embed/threads.c")
    run.defer(os.remove, program)
    local r = local_run({ program, "8", "4", target }, env)
    assert.equal("", r.stderr)
    assert.equal("32 states, 0 failed\n", r.stdout)
    assert.equal(0, r.code)
  end))
end)

describe("an interpreter that ends with work open", function()
  local work = [[
    local ssh = require "sshlua"
    local core = require "sshlua.core"
    ssh.attach(ssh.driver.external())
    ssh.spawn(function() ssh.sleep(100) end)
    ssh.spawn(function() ssh.here:run "sleep 20" end)
    ssh.spawn(function() ssh.here:run("cat", { stdin = ("x"):rep(1e6) }) ssh.sleep(100) end)
    ssh.spawn(function() ssh.scope(function(s) s:defer(ssh.sleep, 1) ssh.event():wait() end) end)
    ssh.spawn(function() ssh.timeout(100, function() ssh.queue():get() end) end)
    local task = require "sshlua.task"
    ssh.spawn(function() task.await(core.tcp_connect, "127.0.0.1", 1, nil) end)
    ssh.spawn(function() task.await(core.resolve, "localhost", 0) end)
    for _ = 1, 10 do core.step() end
  ]]

  local endings = {
    ["the end of the script"] = { "", 0 },
    ["os.exit(7)"] = { "os.exit(7)", 7 },
    ["os.exit(7, true)"] = { "os.exit(7, true)", 7 },
    ["an error"] = { "error 'x'", 1 },
    ["a full collection first"] = { "collectgarbage() collectgarbage()", 0 },
  }
  for name, ending in pairs(endings) do
    it("does so at once and in order: " .. name, function()
      local before = os.time()
      local output, status = child.lua(work .. ending[1])
      assert.equal(ending[2], status, output)
      assert.is_true(os.time() - before < 5)
    end)
  end

  for name, how in pairs({ ["os.exit(7)"] = "os.exit(7)", ["os.exit(7, true)"] = "os.exit(7, true)" }) do
    it("also inside a task: " .. name, function()
      for _, code in ipairs({
        ("require 'sshlua'.run(function() %s end)"):format(how),
        ("local ssh = require 'sshlua' ssh.run(function() ssh.sleep(0.001) %s end)"):format(how),
        ("local ssh = require 'sshlua' ssh.run(function() ssh.scope(function(s) s:spawn(ssh.sleep, 9) "
          .. "s:spawn(function() ssh.here:run 'true' %s end) end) end)"):format(how),
        ("local ssh = require 'sshlua' ssh.run(function() "
          .. "require 'sshlua.core'.timer(0, function() %s end) ssh.sleep(5) end)"):format(how),
      }) do
        local output, status = child.lua(code)
        assert.equal(7, status, output)
        assert.equal("", output)
      end
    end)
  end

  it("after an unfinished run of a coroutine that is collected", function()
    local output, status = child.lua([[
      local ssh = require "sshlua"
      local core = require "sshlua.core"
      for _ = 1, 20 do
        local co = coroutine.create(function() ssh.run(function() core.timer(0.001, core.stop) ssh.sleep(0.002) end) end)
        assert(coroutine.resume(co))
      end
      collectgarbage()
      print "fine"
    ]])
    assert.equal("fine\n", output)
    assert.equal(0, status)
  end)

  it("with the module loaded twice", function()
    local output, status = child.lua([[
      local core = require "sshlua.core"
      package.loaded["sshlua.core"] = nil
      assert(require "sshlua.core" == core)
      for name in pairs(package.loaded) do if name:find "^sshlua" then package.loaded[name] = nil end end
      local one = require "sshlua"
      for name in pairs(package.loaded) do if name:find "^sshlua" then package.loaded[name] = nil end end
      local two = require "sshlua"
      assert(one ~= two)
      one.run(function() one.sleep(0.001) end)
      two.run(function() two.sleep(0.001) end)
      one.run(function() one.all(function() one.here:run "true" end, function() one.sleep(0) end) end)
      print "fine"
    ]])
    assert.equal("fine\n", output)
    assert.equal(0, status)
  end)
end)
