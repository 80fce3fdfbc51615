-- Many tasks, long runs: time, memory, turns for everybody.
local core = require "sshlua.core"
local run = require "spec.support.run"
local task = require "sshlua.task"

local body, fails = run.body, run.fails

local function kilobytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count")
end

describe("many tasks", function()
  it("100,000 in one scope end, and leave nothing", body(function()
    local ended = 0
    local function round()
      task.scope(function(s)
        for _ = 1, 100000 do
          s:spawn(function()
            task.sleep(0)
            ended = ended + 1
          end)
        end
      end)
    end
    round() -- tables of the state grow, and not at the same pace each time
    round()
    local before = kilobytes()
    round()
    assert.equal(300000, ended)
    assert.is_true(kilobytes() - before < 1024)
  end, 60))

  it("10,000 sleepers wake in the order of their times", body(function()
    local early, overtaken, last = 0, 0, 0
    task.scope(function(s)
      for i = 1, 10000 do
        s:spawn(function()
          local seconds = 1 + (i * 7919 % 100) * 0.005
          local due = core.now() + seconds
          task.sleep(seconds)
          if core.now() < due - 0.001 then early = early + 1 end
          if due < last - 0.05 then overtaken = overtaken + 1 end
          last = due
        end)
      end
    end)
    assert.equal(0, early)
    assert.is_true(overtaken < 100, overtaken) -- a collection may fall between the clock and the timer
  end, 60))

  it("10,000 are cancelled at once", body(function()
    local took = run.took(function()
      fails("timeout", task.timeout, 0.2, task.scope, function(s)
        for _ = 1, 10000 do s:spawn(task.sleep, 100) end
      end)
    end)
    assert.is_true(took < 20)
  end, 60))

  it("memory stays flat over 100,000 waits", body(function()
    for _ = 1, 1000 do task.sleep(0) end
    local before = kilobytes()
    local event, q = task.event(), task.queue(1)
    event:set()
    task.scope(function(s)
      s:spawn(function()
        for i = 1, 30000 do q:put(i) end
        q:close()
      end)
      for _ in q:values() do end -- luacheck: ignore 542
    end)
    for _ = 1, 30000 do task.sleep(0) end
    for _ = 1, 10000 do task.timeout(1, task.sleep, 0) end
    for _ = 1, 10000 do task.scope(function(s) s:spawn(task.sleep, 0) end) end
    for _ = 1, 1000 do fails("timeout", task.timeout, 0, task.sleep, 1) end
    assert.is_true(kilobytes() - before < 256, kilobytes() - before)
  end, 60))

  it("errors by the thousand leave nothing", body(function()
    for _ = 1, 100 do pcall(task.scope, function() error({}) end) end
    local before = kilobytes()
    for _ = 1, 5000 do
      pcall(task.scope, function(s)
        s:spawn(error, {})
        s:spawn(task.sleep, 1)
        task.sleep(1)
      end)
    end
    assert.is_true(kilobytes() - before < 256)
  end, 60))

  it("that feed each other without end do not stop the clock (41)", body(function()
    local rounds = 0
    fails("timeout", task.timeout, 0.05, task.scope, function(s)
      local a, b = task.queue(0), task.queue(0)
      s:spawn(function()
        while true do
          a:put(1)
          b:get()
          rounds = rounds + 1
        end
      end)
      while true do
        a:get()
        b:put(1)
      end
    end)
    assert.is_true(rounds > 100)
  end))

  it("a task of its own for every wait: nothing is dropped by the collector", body(function()
    local got = 0
    task.scope(function(s)
      for _ = 1, 200 do
        s:spawn(function()
          task.await(function(done) core.timer(0.005, done) end)
          got = got + 1
        end)
      end
      task.sleep(0)
      collectgarbage()
      collectgarbage()
    end)
    assert.equal(200, got)
  end))
end)
