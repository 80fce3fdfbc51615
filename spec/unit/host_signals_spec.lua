-- What ends the program from outside: ^C, signals, and nobody reading its output.
local core = require "sshlua.core"
local program = require "spec.support.program"
local run = require "spec.support.run"
local task = require "sshlua.task"

local function it_ends(name, fn)
  it(name, run.body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    fn()
  end))
end

-- Says "ready", then waits (20 s, or `seconds`) in a scope whose clean-up takes that long.
local function waiting(clean_up, seconds)
  return ([[
    local task = require "sshlua.task"
    task.scope(function(s)
      s:defer(function() task.sleep(%s) print "cleaned" end)
      print "ready"
      task.sleep(%s)
    end)]]):format(clean_up, seconds or 20)
end

-- Starts the code, sends the signals, each after its pause. Returns the result and how long it took after the last one.
local function interrupted(code, signals, opts)
  local last
  local r = program.start({ "-e", code }, opts):finish(function(child)
    child:expect "ready"
    for _, step in ipairs(signals) do
      task.sleep(step[1])
      child:kill(step[2])
      last = core.now()
    end
  end)
  return r, core.now() - last
end

local function check(r, code, out, err)
  assert.equal(err or "", r.err)
  assert.equal(out, r.out)
  assert.is_nil(r.signal)
  assert.equal(code, r.code)
end

describe("the program", function()
  for name, code in pairs { INT = 130, TERM = 143, HUP = 129 } do
    it_ends("cleans up and ends with " .. code .. " on SIG" .. name, function()
      check(interrupted(waiting(0.05), { { 0, name } }), code, "ready\ncleaned\n")
    end)
  end

  it_ends("leaves at once on a second ^C or SIGTERM while it cleans up", function()
    for name, code in pairs { INT = 130, TERM = 143 } do
      local r, took = interrupted(waiting(10), { { 0, "INT" }, { 0.2, name } })
      check(r, code, "ready\n")
      assert.is_true(took < 2)
    end
  end)

  it_ends("takes a second hangup for the echo of the first", function()
    check(interrupted(waiting(0.3), { { 0, "HUP" }, { 0.1, "HUP" } }), 129, "ready\ncleaned\n")
  end)

  it_ends("ends with 130 also when the script catches the cancellation and goes on", function()
    check(interrupted("print 'ready' pcall(require('sshlua.task').sleep, 20) print 'on'", { { 0, "INT" } }), 130, "ready\non\n")
  end)

  it_ends("shows what fails in a clean-up", function()
    check(interrupted([[
      local task = require "sshlua.task"
      task.scope(function(s)
        s:defer(function() error "clean-up failed" end)
        print "ready"
        task.sleep(20)
      end)]], { { 0, "INT" } }), 130, "ready\n", "sshlua: (command line):3: clean-up failed\n")
  end)

  it_ends("interrupts a script that computes and never waits, and cleans up", function()
    local r = interrupted([[
      local task = require "sshlua.task"
      task.scope(function(s)
        s:defer(function() task.sleep(0.01) print "cleaned" end)
        print "ready"
        while true do end
      end)]], { { 0, "INT" } })
    check(r, 130, "ready\ncleaned\n", "sshlua: (command line):5: interrupted\n")
    r = interrupted([[
      print "ready"
      local function hog() while true do end end
      require("sshlua.task").each({ 1, 2 }, hog)]], { { 0, "TERM" } })
    check(r, 143, "ready\n", "sshlua: (command line):2: interrupted\n")
  end)

  -- A timer's function runs between two tasks, as does what decides who is next.
  for where, code in pairs {
    ["in the next task"] = "s:spawn(function() while true do end end)",
    ["there, after another task's turn"] = "s:spawn(function() end) while true do end",
  } do
    it_ends("interrupts what computes when the signal came between two tasks: " .. where, function()
      local r = program.lua(([[
        local core, task = require "sshlua.core", require "sshlua.task"
        task.scope(function(s)
          s:defer(function() task.sleep(0.01) print "cleaned" end)
          core.timer(0, function()
            os.execute "kill -TERM $PPID"
            %s
          end)
          task.sleep(20)
        end)]]):format(code))
      assert.equal(143, r.code)
      assert.matches("%(command line%):6: interrupted\n", r.err)
    end)
  end

  it_ends("at the second ^C when a script catches everything", function()
    check(interrupted("print 'ready' while true do pcall(function() while true do end end) end",
      { { 0, "INT" }, { 1.3, "INT" } }), 130, "ready\n")
  end)

  it_ends("brings io.read back on ^C", function()
    check(interrupted("print 'ready' print(io.read())", { { 0.1, "INT" } }, { stdin = "pipe" }), 130,
      "ready\nnil\tInterrupted system call\t4\n")
  end)

  it_ends("ends its children with their default signals", function()
    local r = program.lua [[
      local core, task = require "sshlua.core", require "sshlua.task"
      local p = core.spawn { args = { "sh", "-c", "kill -INT $$; sleep 5" } }
      print(task.await(p.wait, p))
      print(os.execute "kill -TERM $$")]]
    check(r, 0, "nil\tSIGINT\nnil\tsignal\t15\n")
  end)

  it_ends("leaves a signal ignored that was ignored when it started", function()
    local r = program.start({ "-e", waiting(0, 0.3) }, { shell = 'trap "" HUP; exec "$0" "$@"' })
      :finish(function(child)
        child:expect "ready"
        child:kill "HUP"
      end)
    check(r, 0, "ready\ncleaned\n")
  end)

  it_ends("ends quietly with 141 when nobody reads its output", function()
    local function piped(code, reader)
      return program.start({ "-e", code }, { shell = ('("$0" "$@"; echo $? >&2) | %s'):format(reader) }):finish()
    end
    check(piped("while true do print 'x' end", "head -n 1"), 0, "x\n", "141\n")
    check(piped("while true do io.write('x\\n') end", "head -n 1"), 0, "x\n", "141\n")
    check(piped("io.write 'x' os.execute 'sleep 0.2'", "true"), 0, "", "141\n")
    check(piped([[
      local task = require "sshlua.task"
      task.scope(function(s)
        s:defer(function() task.sleep(0.01) io.stderr:write "cleaned\n" end)
        while true do print "x" task.sleep(0.005) end
      end)]], "head -n 1"), 0, "x\n", "cleaned\n141\n")
  end)

  it_ends("goes on when a child stops reading", function()
    check(program.lua [[
      local core, task = require "sshlua.core", require "sshlua.task"
      local p = core.spawn { args = { "true" }, stdin = "pipe" }
      task.await(p.wait, p)
      local s = p:stdin()
      print((pcall(task.await, s.write, s, ("x"):rep(1000000))))
      print "on"]], 0, "false\non\n")
  end)
end)
