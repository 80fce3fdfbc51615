-- Queue, semaphore, event, and several things at once. The numbers are those of docs/concurrency.md.
local errors = require "sshlua.errors"
local run = require "spec.support.run"
local support = require "spec.support.tasks"
local task = require "sshlua.task"

local body, fails, failure, contains, here = run.body, run.fails, support.failure, support.contains, support.here

describe("all", function()
  it("returns the first result of each, in order, nils included (24)", body(function()
    local r = task.pack(task.all(
      function()
        task.sleep(0.004)
        return 1, "second result"
      end,
      function() return nil end,
      function()
        task.sleep(0.001)
        return 3
      end,
      function() end))
    assert.same({ n = 4, 1, nil, 3, nil }, r)
    assert.same({ n = 0 }, task.pack(task.all()))
  end))

  it("the first failure cancels the rest (24)", body(function()
    local seen
    assert.equal("x", failure(task.all, function() seen = failure(task.sleep, 10) end, function() error("x", 0) end))
    assert.is_true(errors.is(seen, "cancelled"))
  end))

  it("refuses what is no function, also between functions, at the caller's line", body(function()
    local e = fails("usage", function() task.all(print, nil, print) end)
    contains(e.message, here(-1) .. ": argument 2: function expected, got nil")
    e = fails("usage", function() task.race(print, 5) end)
    contains(e.message, here(-1) .. ": argument 2: function expected, got number")
    contains(fails("usage", function() task.race() end).message, here() .. ": at least one function")
  end))
end)

describe("race", function()
  it("the first to end decides; the others have ended when it returns (25)", body(function()
    local ended
    local r = task.pack(task.race(
      function()
        pcall(task.sleep, 10)
        task.shield(task.sleep, 0.003)
        ended = true
        return "late"
      end,
      function()
        task.sleep(0.001)
        return "won", nil, 3
      end))
    assert.same({ n = 3, "won", nil, 3 }, r)
    assert.is_true(ended)
  end))

  it("an error decides, too (25)", body(function()
    assert.equal("lost", failure(task.race, function() task.sleep(10) end, function() error("lost", 0) end))
  end))

  it("errors after the decision are dropped", body(function()
    assert.equal(1, task.race(function() return 1 end, function()
      pcall(task.sleep, 10)
      error("too late")
    end))
  end))

  it("that is cancelled from outside raises the cancellation", body(function()
    fails("timeout", task.timeout, 0.002, task.race, function() task.sleep(10) end, function() task.sleep(10) end)
  end))
end)

describe("each and map", function()
  it("visit every item with its index, in order of starting (26)", body(function()
    local seen = {}
    task.each({ "a", "b", "c" }, function(item, i) seen[#seen + 1] = item .. i end)
    assert.same({ "a1", "b2", "c3" }, seen)
    assert.same({ n = 0 }, task.pack(task.each({}, print)))
  end))

  it("work on as many at once as they are told (26)", body(function()
    for _, parallel in ipairs({ 1, 3, 2.5, 100, math.huge }) do
      local now, most = 0, 0
      local list = {}
      for i = 1, 10 do list[i] = i end
      local r = task.map(list, function(n)
        now = now + 1
        most = math.max(most, now)
        task.sleep(0.001)
        now = now - 1
        return n * n, "dropped"
      end, { parallel = parallel })
      assert.equal(math.min(math.floor(math.min(parallel, 10)), 10), most)
      assert.same({ 1, 4, 9, 16, 25, 36, 49, 64, 81, 100 }, r)
    end
  end))

  it("map keeps the indices of results that are nil (26)", body(function()
    local r = task.map({ 1, 2, 3 }, function(n) return n ~= 2 and n or nil end)
    assert.same({ [1] = 1, [3] = 3 }, r)
  end))

  it("the first failure stops the rest, nothing new is started", body(function()
    local started = 0
    assert.equal("x", failure(task.each, { 1, 2, 3, 4 }, function(i)
      started = started + 1
      task.sleep(0)
      if i == 1 then error("x", 0) end
      task.sleep(10)
    end, { parallel = 2 }))
    assert.equal(2, started)
  end))

  it("refuse misuse at the caller's line", body(function()
    contains(fails("usage", function() task.each(1, print) end).message, here() .. ": list expected")
    contains(fails("usage", function() task.map({}, 1) end).message, here() .. ": function expected")
    contains(fails("usage", function() task.map({}, print, 1) end).message, here() .. ": options table expected")
    contains(fails("usage", function() task.each({}, print, { paralel = 1 }) end).message, "did you mean 'parallel'?")
    for _, bad in ipairs({ 0, -1, 0 / 0, 0.5 }) do
      local e = fails("usage", function() task.each({ 1 }, print, { parallel = bad }) end)
      contains(e.message, here(-1) .. ": option 'parallel'")
    end
  end))
end)

describe("retry", function()
  it("calls until it succeeds, with the attempt and the arguments (27)", body(function()
    local attempts = {}
    local r = task.pack(task.retry({ tries = 5, delay = 0 }, function(attempt, x)
      attempts[#attempts + 1] = attempt
      if attempt < 3 then error("again", 0) end
      return x, nil
    end, "x"))
    assert.same({ n = 2, "x", nil }, r)
    assert.same({ 1, 2, 3 }, attempts)
  end))

  it("raises the last error (27)", body(function()
    assert.equal("no 3", failure(task.retry, { delay = 0 }, function(attempt) error("no " .. attempt, 0) end))
  end))

  it("never tries misuse and cancellation again (27)", body(function()
    local count = 0
    for _, kind in ipairs({ "usage", "cancelled" }) do
      fails(kind, task.retry, { tries = 9, delay = 0 }, function()
        count = count + 1
        errors.raise({ kind = kind, message = "no" })
      end)
    end
    assert.equal(2, count)
    fails("timeout", task.timeout, 0.002, task.retry, { tries = 9, delay = 0 }, task.sleep)
  end))

  it("asks the function, or the error (27)", body(function()
    local count = 0
    local function refused()
      count = count + 1
      errors.raise({ kind = "connect", message = "refused" })
    end
    local function denied()
      count = count + 1
      errors.raise({ kind = "auth", message = "denied" })
    end
    fails("connect", task.retry, { tries = 3, delay = 0, on = "retryable" }, refused)
    assert.equal(3, count)
    fails("auth", task.retry, { tries = 3, delay = 0, on = "retryable" }, denied)
    assert.equal(4, count)
    failure(task.retry, { tries = 3, delay = 0, on = function(err) return err == "yes" end }, function(attempt)
      count = count + 1
      error(attempt == 1 and "yes" or "no", 0)
    end)
    assert.equal(6, count)
  end))

  it("waits longer each time, up to max_delay", body(function()
    local took = run.took(pcall, task.retry,
      { tries = 4, delay = 0.01, max_delay = 0.02, factor = 1000, jitter = 0 }, function() error("x") end)
    assert.is_true(took >= 0.05 and took < 5, took)
  end))

  it("refuses misuse at the caller's line", body(function()
    for _, bad in ipairs({ { tries = 0 }, { tries = 1.5 }, { delay = -1 }, { jitter = 2 }, { factor = 0 },
      { on = "sometimes" }, { trys = 3 }, { max_delay = "1" }, { jitter = 0 / 0 } }) do
      local e = fails("usage", function() task.retry(bad, print) end)
      contains(e.message, here(-1) .. ": ")
    end
    contains(fails("usage", function() task.retry(3, print) end).message, here())
    contains(fails("usage", function() task.retry({}) end).message, here() .. ": function expected, got nil")
  end))
end)

describe("a queue", function()
  it("hands values on in order (28, 29)", body(function()
    local q, got = task.queue(), {}
    task.scope(function(s)
      s:spawn(function()
        for value in q:values() do got[#got + 1] = value end
      end)
      for i = 1, 5 do q:put(i) end
      task.sleep(0)
      q:put(false)
      q:close()
    end)
    assert.same({ 1, 2, 3, 4, 5, false }, got)
  end))

  it("makes put wait while it is full (29)", body(function()
    local q, put = task.queue(2), 0
    task.scope(function(s)
      s:spawn(function()
        for i = 1, 5 do
          q:put(i)
          put = put + 1
        end
      end)
      support.settle()
      assert.equal(2, put)
      assert.equal(1, q:get())
      assert.equal(2, q:size()) -- the one that waited is inside at once
      support.settle()
      assert.equal(3, put)
      for i = 2, 5 do assert.equal(i, q:get()) end
    end)
  end))

  it("of size 0 hands over directly (29)", body(function()
    local q, put = task.queue(0), 0
    task.scope(function(s)
      s:spawn(function()
        for i = 1, 2 do
          q:put(i)
          put = put + 1
        end
      end)
      support.settle()
      assert.equal(0, put)
      assert.equal(1, q:get())
      assert.equal(2, q:get())
    end)
    task.scope(function(s)
      local got
      s:spawn(function() got = q:get() end)
      task.sleep(0)
      q:put("x")
      task.sleep(0)
      assert.equal("x", got)
    end)
  end))

  it("serves getters and putters first come, first served; a newcomer does not overtake (28)", body(function()
    local q, order = task.queue(1), {}
    q:put("full")
    task.scope(function(s)
      for i = 1, 3 do
        s:spawn(function()
          q:put(i)
          order[#order + 1] = "put " .. i
        end)
      end
      task.sleep(0)
      assert.equal("full", q:get())
      s:spawn(function() q:put("newcomer") end)
      for i = 1, 3 do assert.equal(i, q:get()) end
      assert.equal("newcomer", q:get())
      assert.same({ "put 1", "put 2", "put 3" }, order)
    end)
  end))

  it("loses no value to a getter that is cancelled in the same moment (28)", body(function()
    for first = 1, 2 do
      local q, got = task.queue(), {}
      task.scope(function(outer)
        local inner
        outer:spawn(function()
          task.scope(function(s)
            inner = s
            got[#got + 1] = q:get()
          end)
        end)
        task.sleep(0)
        if first == 1 then
          inner:cancel()
          q:put("value")
        else
          q:put("value")
          inner:cancel()
        end
        support.settle()
        if q:size() > 0 then got[#got + 1] = q:get() end
      end)
      assert.same({ "value" }, got)
    end
  end))

  it("wakes the next putter when one that had its turn is cancelled (28)", body(function()
    local q = task.queue(1)
    q:put("full")
    local results = {}
    task.scope(function(outer)
      local inner
      outer:spawn(function()
        task.scope(function(s)
          inner = s
          q:put("first")
          results[#results + 1] = "first was put"
          task.sleep(1)
        end)
      end)
      task.sleep(0)
      outer:spawn(function()
        q:put("second")
        results[#results + 1] = "second was put"
      end)
      task.sleep(0)
      assert.equal("full", q:get())
      inner:cancel() -- the value is in already
      assert.equal("first", q:get())
      assert.equal("second", q:get())
    end)
    assert.same({ "first was put", "second was put" }, results)
  end))

  it("takes nothing from a putter that gave up (28)", body(function()
    local q = task.queue(1)
    q:put(1)
    fails("timeout", task.timeout, 0, q.put, q, 2)
    assert.equal(1, q:get())
    assert.equal(0, q:size())
  end))

  it("closed: puts raise, also waiting ones, and gets return what is left, then nil (29)", body(function()
    local q = task.queue(1)
    task.scope(function(s)
      q:put(1)
      local e
      s:spawn(function() e = failure(q.put, q, 2) end)
      task.sleep(0)
      q:close()
      q:close()
      support.settle()
      assert.is_true(errors.is(e, "closed"))
      fails("closed", q.put, q, 3)
      assert.equal(1, q:get())
      assert.is_nil(q:get())
      assert.is_nil(q:get())
    end)
    local empty = task.queue()
    task.scope(function(s)
      local waiting = s:spawn(function() return empty:get() end)
      task.sleep(0)
      empty:close()
      assert.is_nil((waiting:wait()))
    end)
  end))

  it("refuses nil and sizes that are none", body(function()
    contains(fails("usage", function() task.queue():put(nil) end).message, here() .. ": nil cannot be put")
    for _, bad in ipairs({ -1, 1.5, 0 / 0, "2" }) do fails("usage", task.queue, bad) end
    task.queue(math.huge):put(1)
  end))

  it("keeps nothing of 10,000 getters that gave up", body(function()
    local q = task.queue()
    for _ = 1, 10000 do fails("timeout", task.timeout, 0, q.get, q) end
    assert.equal(q.getters, q.getters.after)
    q:put(1)
    assert.equal(1, q:get())
  end))
end)

describe("a semaphore", function()
  it("lets so many hold it at once, first come, first served (28, 30)", body(function()
    local m, now, most, order = task.semaphore(2), 0, 0, {}
    task.scope(function(s)
      for i = 1, 6 do
        s:spawn(function()
          m:with(function()
            order[#order + 1] = i
            now = now + 1
            most = math.max(most, now)
            task.sleep(0.001)
            now = now - 1
          end)
        end)
      end
    end)
    assert.equal(2, most)
    assert.same({ 1, 2, 3, 4, 5, 6 }, order)
  end))

  it("is handed to the one in line, not to a newcomer (28)", body(function()
    local m, order = task.semaphore(1), {}
    task.scope(function(s)
      m:acquire()
      s:spawn(function()
        m:acquire()
        order[#order + 1] = "in line"
        m:release()
      end)
      task.sleep(0)
      m:release()
      m:acquire() -- must wait now
      order[#order + 1] = "newcomer"
      m:release()
    end)
    assert.same({ "in line", "newcomer" }, order)
  end))

  it("is released by with however its function ends, and returns its results (30)", body(function()
    local m = task.semaphore(1)
    assert.same({ n = 2, nil, 2 }, task.pack(m:with(function() return nil, 2 end)))
    assert.equal("x", failure(m.with, m, function() error("x", 0) end))
    fails("timeout", task.timeout, 0.001, m.with, m, task.sleep, 10)
    assert.equal(5, m:with(function() return 5 end))
    contains(tostring(m), "1 of 1 free")
  end))

  it("is not lost to a waiter that is cancelled in the same moment (28)", body(function()
    for first = 1, 2 do
      local m = task.semaphore(1)
      task.scope(function(outer)
        local inner
        m:acquire()
        outer:spawn(function()
          task.scope(function(s)
            inner = s
            m:with(task.sleep, 0)
          end)
        end)
        task.sleep(0)
        if first == 1 then
          inner:cancel()
          m:release()
        else
          m:release()
          inner:cancel()
        end
        task.timeout(1, m.acquire, m)
        m:release()
      end)
    end
  end))

  it("released too often is misuse (30), and so are sizes that are none", body(function()
    local m = task.semaphore(1)
    contains(fails("usage", function() m:release() end).message, here() .. ": the semaphore was released")
    for _, bad in ipairs({ 0, -1, 1.5, 0 / 0, "2", math.huge }) do
      if bad ~= math.huge then fails("usage", task.semaphore, bad) end
    end
    fails("usage", task.semaphore)
    fails("usage", m.with, m)
  end))
end)

describe("an event", function()
  it("wakes all that wait, with its value, and never makes anybody wait again (31)", body(function()
    local e, got = task.event(), {}
    assert.is_false(e:is_set())
    task.scope(function(s)
      for i = 1, 3 do s:spawn(function() got[i] = e:wait() end) end
      task.sleep(0)
      e:set("v")
      e:set("other")
    end)
    assert.same({ "v", "v", "v" }, got)
    assert.equal("v", e:wait())
    assert.is_true(e:is_set())
  end))
end)

describe("handing over", function()
  it("raises a pending cancellation even when nothing needs to wait (32)", body(function()
    local q, m, e = task.queue(), task.semaphore(1), task.event()
    q:put(1)
    e:set()
    task.scope(function(s)
      s:cancel()
      for _, fn in ipairs({
        function() q:put(2) end, function() q:get() end, function() m:acquire() end, function() e:wait() end,
      }) do
        assert.is_true(errors.is(failure(fn), "cancelled"))
      end
    end)
    assert.equal(1, q:size())
    contains(tostring(m), "1 of 1 free")
  end))

  it("works from a callback outside of tasks when it need not wait (32)", body(function()
    local core = require "sshlua.core"
    local q, e = task.queue(1), task.event()
    local refused
    core.timer(0, function()
      assert(task.current() == nil)
      q:put("from outside")
      refused = failure(q.put, q, "full")
      e:set("set outside")
    end)
    assert.equal("set outside", e:wait())
    assert.equal("from outside", q:get())
    assert.is_true(errors.is(refused, "usage"))
    contains(refused.message, "not inside a task")
  end))
end)
