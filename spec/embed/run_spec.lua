-- ssh.run in a plain interpreter. The numbers are those of docs/concurrency.md.
-- luacheck: read globals coroutine
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local ssh = require "sshlua"
local support = require "spec.support.tasks"
local task = require "sshlua.task"

local failure, contains, here = support.failure, support.contains, support.here

local function fails(kind, fn, ...)
  local e = failure(fn, ...)
  assert(errors.is(e, kind), tostring(e))
  return e
end

describe("ssh.run", function()
  after_each(function()
    core.step() -- handles that were closed last
    assert.equal(0, task.live())
    assert.equal(0, core.stats().ops)
    assert.is_nil(task.cancel_run)
  end)

  it("returns the function's results, given its arguments (37)", function()
    assert.same({ n = 3, 1, nil, 3 }, task.pack(ssh.run(function(...) return ... end, 1, nil, 3)))
    assert.equal(1, ssh.run(function()
      ssh.sleep(0.001)
      return 1
    end))
  end)

  it("raises its error, the very object (37)", function()
    local object = {}
    assert.equal(object, failure(ssh.run, error, object))
    assert.equal("(error object is a nil value)", failure(ssh.run, error, nil))
    contains(fails("usage", function() ssh.run(5) end).message, here() .. ": function expected, got number")
  end)

  it("may be called again and again (37)", function()
    for i = 1, 50 do
      assert.equal(i, ssh.run(function()
        ssh.sleep(0)
        return i
      end))
      fails("timeout", ssh.run, ssh.timeout, 0, ssh.sleep, 1)
    end
  end)

  it("waits for all that was started (37)", function()
    local ended = 0
    ssh.run(function()
      for _ = 1, 3 do
        ssh.spawn(function()
          ssh.sleep(0.002)
          ended = ended + 1
        end)
      end
    end)
    assert.equal(3, ended)
  end)

  it("fails when something it started fails (1)", function()
    local cancelled
    assert.equal("spawned", failure(ssh.run, function()
      ssh.spawn(function() error("spawned", 0) end)
      cancelled = failure(ssh.sleep, 10)
      error(cancelled, 0)
    end))
    assert.is_true(errors.is(cancelled, "cancelled"))
  end)

  it("is a scope inside a task (37)", function()
    local ended
    assert.same({ n = 2, nil, 5 }, task.pack(ssh.run(function()
      ssh.sleep(0)
      local r = task.pack(ssh.run(function(x)
        ssh.sleep(0.001)
        return nil, x
      end, 5))
      assert.equal("inner", failure(ssh.run, function() error("inner", 0) end))
      ended = true
      return (table.unpack or unpack)(r, 1, r.n)
    end)))
    assert.is_true(ended)
    local e = fails("usage", ssh.run, function()
      coroutine.wrap(function() ssh.run(print) end)()
    end)
    contains(e.message, here(-2) .. ": cannot wait here: inside a coroutine that is not a task")
  end)

  it("is refused while the loop runs, and in a second copy of the library (37)", function()
    local seen
    ssh.run(function()
      core.timer(0, function() seen = failure(function() ssh.run(print) end) end)
      ssh.sleep(0.005)
    end)
    contains(seen.message, here(-3) .. ": the loop runs already: use ssh.spawn")
    local saved = {}
    for name in pairs(package.loaded) do
      if name:find("^sshlua") and name ~= "sshlua.core" then
        saved[name], package.loaded[name] = package.loaded[name], nil
      end
    end
    local second = require "sshlua"
    for name, module in pairs(saved) do package.loaded[name] = module end
    assert.not_equal(ssh.run, second.run)
    assert.equal("second", second.run(function()
      second.sleep(0.001)
      return "second"
    end))
    ssh.run(function()
      ssh.sleep(0)
      contains(fails("usage", second.run, print).message, "the loop runs already")
      assert.is_true(second.is_error(failure(ssh.sleep, -1), "usage"))
    end)
  end)

  it("is refused without a loop for spawn, at the caller's line", function()
    contains(fails("usage", function() ssh.spawn(print) end).message, here() .. ": no loop runs")
  end)

  it("works inside a coroutine of the script's own", function()
    assert.equal(5, coroutine.wrap(function()
      return ssh.run(function()
        ssh.sleep(0.001)
        return 5
      end)
    end)())
  end)

  it("ends a deadlock, and says where the tasks stand (39)", function()
    local event, q = ssh.event(), ssh.queue()
    local e = fails("cancelled", ssh.run, function()
      ssh.scope(function(s)
        for _ = 1, 2 do
          s:spawn(function()
            event:wait()
          end)
        end
        q:get()
      end)
    end)
    contains(e.message, "deadlock: every task waits for something that cannot happen any more: ")
    contains(e.message, here(-7) .. " (2 tasks)")
    contains(e.message, here(-5))
  end)

  it("runs clean-ups after a deadlock (39)", function()
    local cleaned
    contains(fails("cancelled", ssh.run, function()
      ssh.scope(function(s)
        s:defer(function()
          ssh.sleep(0.001)
          cleaned = true
        end)
        ssh.event():wait()
      end)
    end).message, "deadlock")
    assert.is_true(cleaned)
  end)

  it("ends a deadlock behind a shield, and of who never learns (39)", function()
    contains(fails("cancelled", ssh.run, function()
      ssh.shield(function() ssh.event():wait() end)
    end).message, "deadlock")
    contains(fails("cancelled", ssh.run, function()
      ssh.shield(function() pcall(ssh.event().wait, ssh.event()) end)
      return 1
    end).message, "deadlock")
  end)

  it("a wait that a timeout can end is no deadlock", function()
    fails("timeout", ssh.run, ssh.timeout, 0.005, function() ssh.event():wait() end)
  end)

  it("does what was asked for at its end, last first, also after a failure", function()
    local order = {}
    pcall(ssh.run, function()
      task.at_run_end(function() order[#order + 1] = 1 end)
      task.at_run_end(function() error("does not matter") end)
      task.at_run_end(function()
        ssh.sleep(0.001)
        order[#order + 1] = 2
      end)
      error("x")
    end)
    assert.same({ 2, 1 }, order)
  end)

  it("can be cancelled from a callback, for ^C: it raises the very reason", function()
    local reason = errors.new({ kind = "cancelled", message = "interrupted" })
    local cleaned
    local e = failure(ssh.run, function()
      core.timer(0.002, function() task.cancel_run(reason) end)
      ssh.scope(function(s)
        s:defer(function()
          ssh.sleep(0.001)
          cleaned = true
        end)
        ssh.sleep(10)
      end)
    end)
    assert.equal(reason, e)
    assert.is_true(cleaned)
  end)
end)

describe("a run whose tasks never learn", function()
  it("is left at last (39)", function()
    local child = require "spec.support.child"
    local output, code = child.lua([[
      local ssh = require "sshlua"
      print(pcall(ssh.run, function()
        local event = ssh.event()
        ssh.shield(function() while true do pcall(event.wait, event) end end)
      end))
      print(pcall(ssh.run, function() ssh.sleep(0.001) return "next run" end))
    ]])
    contains(output, "deadlock")
    contains(output, "true\tnext run")
    assert.equal(0, code)
  end)
end)
