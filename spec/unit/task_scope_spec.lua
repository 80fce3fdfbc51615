-- Scopes: who owns a task, who waits, what a failure does, clean-up. The numbers are those of docs/concurrency.md.
-- luacheck: read globals coroutine
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local run = require "spec.support.run"
local support = require "spec.support.tasks"
local task = require "sshlua.task"

local body, fails, failure, contains, here = run.body, run.fails, support.failure, support.contains, support.here

describe("a scope", function()
  it("returns what its function returned, nils included (2)", body(function()
    assert.same({ n = 4, 1, nil, 2, nil }, task.pack(task.scope(function(_, a, b) return a, nil, b, nil end, 1, 2)))
    assert.same({ n = 0 }, task.pack(task.scope(function() end)))
  end))

  it("hands its arguments on", body(function()
    assert.equal(3, task.scope(function(_, a, b) return a + b end, 1, 2))
  end))

  it("ends when all its tasks have ended (2)", body(function()
    local ended = 0
    task.scope(function(s)
      for i = 1, 10 do
        s:spawn(function()
          task.sleep(i * 0.001)
          ended = ended + 1
        end)
      end
    end)
    assert.equal(10, ended)
  end))

  it("waits for tasks that its tasks spawn in it (4)", body(function()
    local order = {}
    task.scope(function(s)
      s:spawn(function()
        task.sleep(0.002)
        s:spawn(function()
          task.sleep(0.002)
          order[#order + 1] = "late"
        end)
      end)
    end)
    order[#order + 1] = "over"
    assert.same({ "late", "over" }, order)
  end))

  it("starts a task when its maker waits or ends, and in order (3)", body(function()
    local order = {}
    task.scope(function(s)
      for i = 1, 3 do s:spawn(function() order[#order + 1] = i end) end
      order[#order + 1] = "maker"
      task.sleep(0)
      order[#order + 1] = "again"
    end)
    assert.same({ "maker", 1, 2, 3, "again" }, order)
  end))

  it("refuses spawn and defer when it is over (4)", body(function()
    local kept
    task.scope(function(s) kept = s end)
    local e = fails("usage", function() kept:spawn(print) end)
    contains(e.message, "the scope is over")
    contains(e.message, here(-2))
    fails("usage", function() kept:defer(print) end)
    kept:cancel() -- changes nothing
  end))

  it("refuses what is no function, at the caller's line", body(function()
    contains(fails("usage", function() task.scope(1) end).message, here())
    task.scope(function(s)
      contains(fails("usage", function() s:spawn() end).message, here() .. ": function expected, got nil")
      contains(fails("usage", function() s:defer({}) end).message, here() .. ": function expected, got table")
    end)
  end))

  it("may be deep: tasks that spawn tasks in scopes of their own", body(function()
    local depth = 0
    local function down(n)
      depth = depth + 1
      if n > 1 then task.scope(function(s) s:spawn(down, n - 1) end) end
    end
    down(2000)
    assert.equal(2000, depth)
  end))

  it("survives a recursion that the stack does not: the error is raised and every scope is left", body(function()
    local before = task.current().scope
    local entered = 0
    local function down()
      entered = entered + 1
      task.scope(function(s)
        s:spawn(function() task.sleep(0.001) end)
        if entered > 100000 then return end
        down()
      end)
    end
    local e = failure(down)
    contains(tostring(e), "overflow")
    assert.is_true(entered > 50)
    assert.equal(before, task.current().scope)
    task.sleep(0.01)
  end))

  it("nests 150 deep in one task", body(function()
    local function down(n)
      if n == 0 then return "bottom" end
      return task.scope(function() return down(n - 1) end)
    end
    assert.equal("bottom", down(150))
  end))

  it("says what it is", body(function()
    local s = task.scope(function(s)
      contains(tostring(s), "open")
      local t = s:spawn(function() task.sleep(0.001) end)
      task.sleep(0)
      contains(tostring(t), "task_scope_spec.lua:" .. here(-2):match("%d+$"))
      t:wait()
      contains(tostring(t), "ended")
      return s
    end)
    contains(tostring(s), "over")
  end))
end)

describe("wait", function()
  it("returns the task's results, to any number of tasks, also after its end (5)", body(function()
    task.scope(function(s)
      local t = s:spawn(function(x)
        task.sleep(0.002)
        return x, nil, 3
      end, 1)
      local seen = 0
      for _ = 1, 3 do
        s:spawn(function()
          assert.same({ n = 3, 1, nil, 3 }, task.pack(t:wait()))
          seen = seen + 1
        end)
      end
      assert.same({ n = 3, 1, nil, 3 }, task.pack(t:wait()))
      support.settle()
      assert.equal(3, seen)
      assert.same({ n = 3, 1, nil, 3 }, task.pack(t:wait()))
    end)
  end))

  it("raises the task's error, which still is the scope's failure (7)", body(function()
    local e = failure(task.scope, function(s)
      local t = s:spawn(function() error("boom", 0) end)
      assert.equal("boom", failure(t.wait, t))
    end)
    assert.equal("boom", e)
  end))

  it("can be given up, and leaves nothing at the task", body(function()
    task.scope(function(s)
      local t = s:spawn(function() task.sleep(0.2) end)
      for _ = 1, 20 do fails("timeout", task.timeout, 0, t.wait, t) end
      assert.equal(1, #t.watchers) -- the scope's own
      s:cancel()
    end)
  end))

  it("of a task for itself is refused", body(function()
    local e = fails("usage", task.scope, function(s)
      local t
      t = s:spawn(function() t:wait() end)
    end)
    contains(e.message, "wait for itself")
  end))
end)

describe("a failure", function()
  it("cancels the others and is raised when all have ended (6)", body(function()
    local order = {}
    local e = failure(task.scope, function(s)
      s:spawn(function()
        local ok, err = pcall(task.sleep, 10)
        assert(not ok and errors.is(err, "cancelled"))
        task.shield(task.sleep, 0.005)
        order[#order + 1] = "cleaned"
        error(err, 0)
      end)
      s:spawn(function()
        task.sleep(0.001)
        error("first", 0)
      end)
      task.sleep(10)
    end)
    order[#order + 1] = tostring(e)
    assert.same({ "cleaned", "first" }, order)
  end))

  it("of the function cancels the tasks (6)", body(function()
    local cancelled
    local e = failure(task.scope, function(s)
      s:spawn(function()
        local ok
        ok, cancelled = pcall(task.sleep, 10)
        assert(not ok)
      end)
      task.sleep(0)
      error("mine", 0)
    end)
    assert.equal("mine", e)
    assert.is_true(errors.is(cancelled, "cancelled"))
    assert.equal("mine", cancelled.cause)
  end))

  it("that comes later is dropped (6)", body(function()
    local e = failure(task.scope, function(s)
      s:spawn(function()
        pcall(task.sleep, 10)
        error("second", 0)
      end)
      s:spawn(function() error("first", 0) end)
    end)
    assert.equal("first", e)
  end))

  it("that the task catches is none (7)", body(function()
    task.scope(function(s)
      s:spawn(function() pcall(error, "caught") end)
      task.sleep(0.001)
    end)
  end))

  it("is the very value that was raised (8)", body(function()
    local hostile = setmetatable({}, { __tostring = function() error("no") end, __index = function() error("no") end })
    for _, value in ipairs({ "text", 42, true, false, { kind = 1 }, hostile, print, coroutine.create(print) }) do
      local function raise() error(value, 0) end
      assert.is_true(rawequal(value, failure(task.scope, raise)))
      assert.is_true(rawequal(value, failure(task.scope, function(s) s:spawn(raise) end)))
      assert.is_true(rawequal(value, failure(task.timeout, 5, raise)))
      assert.is_true(rawequal(value, failure(task.shield, raise)))
      assert.is_true(rawequal(value, failure(task.race, raise)))
      assert.is_true(rawequal(value, failure(task.all, raise)))
      assert.is_true(rawequal(value, failure(task.each, { 1 }, raise)))
      assert.is_true(rawequal(value, failure(task.retry, { tries = 1 }, raise)))
    end
  end))

  it("with nil is a failure, too, and gets a text (8)", body(function()
    local function raise() error(nil) end
    for _, fn in ipairs({
      function() task.scope(raise) end,
      function() task.scope(function(s) s:spawn(raise) end) end,
      function() task.scope(function(s) s:defer(raise) end) end,
      function() task.timeout(5, raise) end,
      function() task.shield(raise) end,
      function() task.race(raise) end,
      function() task.all(raise) end,
      function() task.retry({ tries = 1 }, raise) end,
    }) do
      assert.equal("(error object is a nil value)", failure(fn))
    end
  end))

  it("keeps its cause, and the traceback shows where it was raised (8)", body(function()
    local cause = errors.new({ kind = "io", message = "disk" })
    local function deep_in_the_script() errors.raise({ kind = "config", message = "bad", cause = cause }) end
    local e = fails("config", task.scope, function(s)
      s:spawn(function() task.timeout(5, function() task.all(function() deep_in_the_script() end) end) end)
    end)
    assert.equal(cause, e.cause)
    contains(e.traceback, "deep_in_the_script")
  end))

  it("passes through ten scopes", body(function()
    local function down(n)
      if n == 0 then error("bottom", 0) end
      task.scope(function(s) s:spawn(down, n - 1) end)
    end
    assert.equal("bottom", failure(down, 10))
  end))

  it("at the same time as a cancellation from outside is not lost", body(function()
    local e = failure(task.timeout, 0.005, task.scope, function(s)
      s:spawn(function()
        pcall(task.sleep, 10)
        error("while cancelled", 0)
      end)
      task.sleep(10)
    end)
    assert.equal("while cancelled", e)
  end))
end)

describe("defer", function()
  it("runs last deferred first, after all tasks, with its arguments (21)", body(function()
    local order = {}
    local function say(...) order[#order + 1] = table.concat({ ... }, " ") end
    task.scope(function(s)
      s:defer(say, "first", "deferred")
      s:defer(say, "second")
      s:spawn(function()
        task.sleep(0.003)
        say("task")
      end)
    end)
    assert.same({ "task", "second", "first deferred" }, order)
  end))

  it("runs however the scope ends: failure, cancel, timeout (21)", body(function()
    local count = 0
    local function up()
      task.sleep(0.001) -- may wait: it is shielded
      count = count + 1
    end
    failure(task.scope, function(s)
      s:defer(up)
      error("x")
    end)
    task.scope(function(s)
      s:defer(up)
      s:cancel()
      task.sleep(10)
    end)
    fails("timeout", task.timeout, 0.001, task.scope, function(s)
      s:defer(up)
      task.sleep(10)
    end)
    failure(task.scope, function(outer)
      outer:spawn(function()
        task.scope(function(s)
          s:defer(up)
          task.sleep(10)
        end)
      end)
      task.sleep(0.001)
      error("x")
    end)
    assert.equal(4, count)
  end))

  it("that fails does not keep the others from running, and is raised (23)", body(function()
    local ran = {}
    local e = failure(task.scope, function(s)
      s:defer(function() ran[#ran + 1] = "a" end)
      s:defer(function() error("clean-up one", 0) end)
      s:defer(function() error("clean-up two", 0) end)
      s:defer(function() ran[#ran + 1] = "b" end)
    end)
    assert.equal("clean-up two", e)
    assert.same({ "b", "a" }, ran)
  end))

  it("that fails after a failure does not hide it (23)", body(function()
    assert.equal("first", failure(task.scope, function(s)
      s:defer(function() error("clean-up", 0) end)
      error("first", 0)
    end))
  end))

  it("may defer more", body(function()
    local order = {}
    task.scope(function(s)
      s:defer(function()
        order[#order + 1] = "outer"
        s:defer(function() order[#order + 1] = "inner" end)
      end)
    end)
    assert.same({ "outer", "inner" }, order)
  end))

  it("may not spawn in the scope that ends", body(function()
    fails("usage", task.scope, function(s)
      s:defer(function() s:spawn(function() end) end)
    end)
  end))

  it("has five seconds in all; what is left runs to its first wait (22)", body(function()
    local ran = {}
    local before = core.now()
    local e = fails("timeout", task.scope, function(s)
      s:defer(function()
        ran[#ran + 1] = "last"
        pcall(task.sleep, 10)
        ran[#ran + 1] = "did not wait"
      end)
      s:defer(task.sleep, 60)
    end)
    contains(e.message, "clean-up took longer than 5 s")
    assert.same({ "last", "did not wait" }, ran)
    local took = core.now() - before
    assert.is_true(took > 4.9 and took < 7)
  end))
end)
