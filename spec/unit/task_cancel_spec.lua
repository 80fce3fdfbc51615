-- Cancelling, shields and time. The numbers are those of docs/concurrency.md.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local run = require "spec.support.run"
local support = require "spec.support.tasks"
local task = require "sshlua.task"

local body, fails, failure, contains, here = run.body, run.fails, support.failure, support.contains, support.here

-- A chain of n waits of different sorts; notes how far it came.
local function waits(n, note)
  local event = task.event()
  event:set()
  for i = 1, n do
    note(i)
    if i % 4 == 0 then
      task.scope(function(s) s:spawn(task.sleep, 0) end)
    elseif i % 4 == 1 then
      task.sleep(0)
    elseif i % 4 == 2 then
      event:wait()
      task.sleep(0)
    else
      task.timeout(5, task.sleep, 0)
    end
  end
end

describe("cancelling", function()
  it("ends everything in the scope, its function included; the scope returns nothing (10)", body(function()
    local seen = {}
    local r = task.pack(task.scope(function(s)
      for i = 1, 3 do
        s:spawn(function()
          local ok, err = pcall(task.sleep, 10)
          seen[i] = not ok and err.kind
          error(err, 0)
        end)
      end
      task.sleep(0.001)
      s:cancel()
      task.sleep(10)
      return "not reached"
    end))
    assert.same({ n = 0 }, r)
    assert.same({ "cancelled", "cancelled", "cancelled" }, seen)
  end))

  it("works at every wait of a chain: all that was started has ended", body(function()
    local total = 40
    for stop_at = 1, total do
      local reached = 0
      task.scope(function(s)
        s:spawn(waits, total, function(i)
          reached = i
          if i == stop_at then s:cancel() end
        end)
      end)
      assert.equal(stop_at, reached)
    end
  end))

  it("works after every number of turns", body(function()
    for turns = 0, 60 do
      local cleaned = false
      task.scope(function(s)
        s:spawn(function()
          task.scope(function(inner)
            inner:defer(function()
              task.sleep(0)
              cleaned = true
            end)
            inner:spawn(waits, 20, function() end)
            waits(20, function() end)
            task.sleep(10)
          end)
        end)
        for _ = 1, turns do task.sleep(0) end
        s:cancel()
      end)
      assert.is_true(cleaned)
    end
  end))

  it("interrupts an operation at once (11)", body(function()
    local before = core.now()
    task.scope(function(s)
      s:spawn(task.sleep, 100)
      task.sleep(0)
      s:cancel()
    end)
    assert.is_true(core.now() - before < 10)
  end))

  it("passes on what a verb adds to it (11)", body(function()
    local function verb()
      local ok, err = pcall(task.sleep, 10)
      assert(not ok)
      error(errors.new({ kind = "cancelled", message = err.message, cancelled_by = err.cancelled_by, result = "so far" }), 0)
    end
    local e = fails("timeout", task.timeout, 0.001, function() task.scope(verb) end)
    assert.equal("so far", e.result)
    task.scope(function(s)
      s:spawn(verb)
      task.sleep(0)
      s:cancel()
    end)
  end))

  it("gives every task an error of its own, so that a host's name on one is not on all", body(function()
    local seen = {}
    task.scope(function(s)
      for i = 1, 2 do
        s:spawn(function()
          local _, err = pcall(task.sleep, 10)
          seen[i] = errors.wrap(err, { host = "web" .. i })
        end)
      end
      task.sleep(0)
      s:cancel()
    end)
    assert.equal("web1", seen[1].host)
    assert.equal("web2", seen[2].host)
  end))

  it("is level-triggered: pcall does not end it, nothing new is started (12)", body(function()
    local started = 0
    task.scope(function(s)
      s:cancel()
      for _ = 1, 10 do
        local e = failure(task.await, function() started = started + 1 end)
        assert.is_true(errors.is(e, "cancelled"))
      end
      assert.is_false(pcall(task.scope, function() end))
      assert.is_false(pcall(task.checkpoint))
    end)
    assert.equal(0, started)
    task.sleep(0) -- outside, all is well
  end))

  it("does not let a loop that catches it stop the others (12)", body(function()
    local turns = 0
    task.scope(function(outer)
      outer:spawn(function()
        task.scope(function(s)
          s:cancel()
          for _ = 1, 1000 do pcall(task.sleep, 1) end
        end)
      end)
      for _ = 1, 5 do
        task.sleep(0)
        turns = turns + 1
      end
    end)
    assert.equal(5, turns)
  end))

  it("delivers a result that was on its way first (13)", body(function()
    local got, after
    task.scope(function(outer)
      local event = task.event()
      local inner
      outer:spawn(function()
        task.scope(function(s)
          inner = s
          got = event:wait()
          after = failure(task.sleep, 0)
        end)
      end)
      task.sleep(0)
      event:set("value")
      inner:cancel()
    end)
    assert.equal("value", got)
    assert.is_true(errors.is(after, "cancelled"))
  end))

  it("lets a task spawned later run to its first wait (14)", body(function()
    local reached, passed = false, false
    task.scope(function(s)
      s:cancel()
      s:spawn(function()
        reached = true
        task.sleep(0)
        passed = true
      end)
    end)
    assert.is_true(reached)
    assert.is_false(passed)
  end))

  it("twice is once, and the first reason stays (15)", body(function()
    local e
    local failed = failure(task.scope, function(s)
      s:spawn(function()
        e = failure(task.sleep, 10)
        s:cancel()
        local again = failure(task.sleep, 10)
        assert.equal(e.cancelled_by, again.cancelled_by)
      end)
      s:spawn(function() error("reason", 0) end)
    end)
    assert.equal("reason", failed)
    assert.equal("reason", e.cause)
    task.scope(function(s)
      s:cancel()
      s:cancel()
    end)
  end))

  it("of an outer scope ends the inner ones, and goes on from there", body(function()
    local trail = {}
    task.scope(function(outer)
      outer:spawn(function()
        task.scope(function(inner)
          inner:spawn(function()
            pcall(task.sleep, 10)
            trail[#trail + 1] = "grandchild"
          end)
          pcall(task.sleep, 10)
          trail[#trail + 1] = "child"
        end)
        trail[#trail + 1] = "not reached"
      end)
      task.sleep(0)
      outer:cancel()
    end)
    table.sort(trail)
    assert.same({ "child", "grandchild" }, trail)
  end))

  it("of an inner scope leaves the outer one alone", body(function()
    task.scope(function()
      task.scope(function(inner) inner:cancel() end)
      task.sleep(0)
    end)
  end))

  it("does not reach a task that has left the scope meanwhile", body(function()
    -- The first task's clean-up lets the second one out of the scope while the scope is being cancelled.
    for _ = 1, 20 do
      local out = {}
      task.scope(function(s)
        local go = task.event()
        for i = 1, 2 do
          s:spawn(function()
            pcall(task.timeout, 0.002, function()
              pcall(go.wait, go)
              go:set()
            end)
            task.sleep(0.003)
            out[i] = true
          end)
        end
      end)
      assert.same({ true, true }, out)
    end
  end))
end)

describe("a shield", function()
  it("keeps cancelling out until it ends (16)", body(function()
    local passed, after
    task.scope(function(s)
      s:spawn(function()
        task.shield(function()
          task.sleep(0.005)
          task.scope(function(inner) inner:spawn(task.sleep, 0.001) end)
          passed = true
        end)
        after = failure(task.sleep, 0)
      end)
      task.sleep(0.001)
      s:cancel()
    end)
    assert.is_true(passed)
    assert.is_true(errors.is(after, "cancelled"))
  end))

  it("returns and raises as its function does", body(function()
    assert.same({ n = 2, nil, 2 }, task.pack(task.shield(function() return nil, 2 end)))
    assert.equal("x", failure(task.shield, function() error("x", 0) end))
    contains(fails("usage", function() task.shield() end).message, here())
  end))

  it("does not keep timeouts inside from working (16)", body(function()
    task.scope(function(s)
      s:cancel()
      fails("timeout", task.shield, task.timeout, 0.001, task.sleep, 10)
    end)
  end))
end)

describe("sleep and timeout", function()
  it("sleep takes at least as long as it says", body(function()
    local before = core.now()
    task.sleep(0.02)
    assert.is_true(core.now() - before >= 0.0199)
  end))

  it("sleep(0) lets everything that is ready have its turn (17)", body(function()
    local order = {}
    task.scope(function(s)
      for i = 1, 3 do
        s:spawn(function()
          for _ = 1, 2 do
            order[#order + 1] = i
            task.sleep(0)
          end
        end)
      end
    end)
    assert.same({ 1, 2, 3, 1, 2, 3 }, order)
  end))

  it("math.huge sleeps for ever, and is no limit (17, 18)", body(function()
    fails("timeout", task.timeout, 0.005, task.sleep, math.huge)
    assert.equal(1, task.timeout(math.huge, function() return 1 end))
    assert.equal(1, task.timeout(nil, function() return 1 end))
    assert.equal(1, task.timeout(1e300, function() return 1 end))
  end))

  it("timeout raises when all has ended (18)", body(function()
    local cleaned
    local e = fails("timeout", task.timeout, 0.002, function()
      task.scope(function(s)
        s:defer(function()
          task.sleep(0.005)
          cleaned = true
        end)
        s:spawn(task.sleep, 10)
      end)
    end)
    assert.is_true(cleaned)
    assert.equal("timed out after 0.002 s", e.message)
  end))

  it("timeout returns what its function returns, given its arguments (18)", body(function()
    assert.same({ n = 3, 1, nil, nil }, task.pack(task.timeout(1, function(...) return ... end, 1, nil, nil)))
  end))

  it("what ends although its time is up has succeeded (18)", body(function()
    assert.equal("done", task.timeout(0.001, function()
      task.shield(task.sleep, 0.01)
      return "done"
    end))
  end))

  it("timeout 0 lets its function run to the first wait (18)", body(function()
    assert.equal(7, task.timeout(0, function() return 7 end))
    local reached
    fails("timeout", task.timeout, 0, function()
      reached = true
      task.sleep(1)
    end)
    assert.is_true(reached)
  end))

  it("the one that expires is the one that raises (19)", body(function()
    local e = fails("timeout", task.timeout, 0.002, function() task.timeout(10, task.sleep, 20) end)
    assert.equal("timed out after 0.002 s", e.message)
    local inner
    task.timeout(10, function() inner = failure(task.timeout, 0.002, task.sleep, 20) end)
    assert.equal("timed out after 0.002 s", inner.message)
  end))

  it("both at once end in one error", body(function()
    fails("timeout", task.timeout, 0.002, function() task.timeout(0.002, task.sleep, 20) end)
  end))

  it("an error of the function passes unchanged (19)", body(function()
    assert.equal("mine", failure(task.timeout, 1, function() error("mine", 0) end))
    local e = fails("timeout", task.timeout, 1, function() errors.raise({ kind = "timeout", message = "theirs" }) end)
    assert.equal("theirs", e.message)
  end))

  it("an outer cancellation is not taken for a timeout", body(function()
    local e
    task.scope(function(s)
      s:spawn(function() e = failure(task.timeout, 5, task.sleep, 10) end)
      task.sleep(0)
      s:cancel()
    end)
    assert.is_true(errors.is(e, "cancelled"))
  end))

  it("refuses negative, NaN and what is no number, at the caller's line (20)", body(function()
    local nan = 0 / 0
    for _, bad in ipairs({ -1, nan, -math.huge, "1", {}, true }) do
      local e = fails("usage", function() task.sleep(bad) end)
      contains(e.message, here(-1) .. ": seconds expected, got ")
      if type(bad) ~= "table" then
        e = fails("usage", function() task.timeout(bad, print) end)
        contains(e.message, here(-1) .. ": seconds expected, got ")
      end
    end
    contains(fails("usage", function() task.sleep() end).message, here() .. ": seconds expected, got nil")
    contains(fails("usage", function() task.timeout(5) end).message, here() .. ": function expected, got nil")
  end))
end)
