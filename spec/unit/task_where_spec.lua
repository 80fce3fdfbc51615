-- Where one cannot wait, and what strays. The numbers are those of docs/concurrency.md.
-- luacheck: read globals coroutine
local core = require "sshlua.core"
local run = require "spec.support.run"
local support = require "spec.support.tasks"
local task = require "sshlua.task"

local body, fails, failure, contains, here = run.body, run.fails, support.failure, support.contains, support.here

describe("waiting where Lua cannot suspend", function()
  it("in a sort comparator or a gsub callback is refused with the script's line, nothing is started (33)", body(function()
    local ops = core.stats().ops
    local e = fails("usage", table.sort, { 3, 2, 1 }, function(a, b)
      task.sleep(10)
      return a < b
    end)
    contains(e.message, here(-3) .. ": cannot wait here: inside a sort comparator, a gsub callback")
    e = fails("usage", string.gsub, "abc", "%w", function()
      task.timeout(1, task.sleep, 10)
    end)
    contains(e.message, here(-2) .. ": cannot wait here: inside a sort comparator, a gsub callback")
    fails("usage", string.gsub, "abc", "%w", function() task.scope(function() end) end)
    fails("usage", string.gsub, "abc", "%w", function() task.queue():get() end)
    task.sleep(0) -- what timers there were are gone
    assert.equal(ops, core.stats().ops)
  end))

  it("what need not wait works there", body(function()
    local q = task.queue()
    assert.equal("abc", (string.gsub("abc", "%w", function(c) q:put(c) end)))
    assert.equal(3, q:size())
    assert.equal(1, task.timeout(1, function() return 1 end))
  end))

  it("inside a coroutine of the script's own is refused (34)", body(function()
    local function tries(fn)
      return coroutine.wrap(function() return failure(fn) end)()
    end
    for _, fn in ipairs({
      function() task.sleep(0) end, function() task.scope(print) end, function() task.timeout(1, print) end,
      function() task.shield(print) end, function() task.queue():get() end,
    }) do
      local e = tries(fn)
      contains(e.message, "task_where_spec.lua:")
      contains(e.message, "cannot wait here: inside a coroutine that is not a task")
    end
  end))

  it("generators are fine as long as they do not wait (34)", body(function()
    local sum = 0
    for n in coroutine.wrap(function()
      for i = 1, 4 do coroutine.yield(i) end
    end) do
      task.sleep(0)
      sum = sum + n
    end
    assert.equal(10, sum)
  end))

  it("pcall, xpcall, metamethods, iterators and load are fine (33)", body(function()
    local loader = loadstring or load -- luacheck: ignore 113
    local object = setmetatable({}, {
      __index = function(_, k)
        task.sleep(0)
        return k
      end,
      __call = function() task.sleep(0) end,
      __concat = function() task.sleep(0) return "joined" end,
    })
    assert.equal("field", object.field)
    object()
    assert.equal("joined", object .. "x")
    assert.is_true((xpcall(pcall, print, task.sleep, 0)))
    for _ in function(_, i)
      task.sleep(0)
      if not i then return 1 end
    end do end -- luacheck: ignore 542
    _G.task_for_load = task
    loader("task_for_load.sleep(0)")()
    _G.task_for_load = nil
  end))

  it("outside of tasks is refused with the script's line (36)", body(function()
    local e
    core.timer(0, function() e = failure(function() task.sleep(1) end) end)
    task.sleep(0.002)
    contains(e.message, here(-2) .. ": not inside a task: wrap the call in ssh.run(function() ... end)")
  end))
end)

describe("a stray", function()
  it("coroutine.yield raises right there, and the task cleans up (35)", body(function()
    local cleaned, child
    local e = fails("usage", task.scope, function(s)
      s:spawn(function()
        task.scope(function(inner)
          inner:defer(function()
            task.sleep(0)
            cleaned = true
          end)
          inner:spawn(function() child = failure(task.sleep, 10) end)
          task.sleep(0)
          coroutine.yield("stray")
          error("not reached")
        end)
      end)
    end)
    contains(e.message, here(-5) .. ": coroutine.yield in a task: ")
    assert.is_true(cleaned)
    assert.is_true(require("sshlua.errors").is(child, "cancelled"))
  end))

  it("yield is caught each time, leaves no hook, and spoils no hook that was there (35)", body(function()
    local hits = 0
    for _ = 1, 5 do
      local e = fails("usage", function()
        coroutine.yield()
        hits = hits + 1
      end)
      contains(e.message, "coroutine.yield in a task")
    end
    assert.equal(0, hits)
    assert.is_nil((debug.gethook()))
    local function mine() end
    debug.sethook(mine, "", 1000000)
    fails("usage", function()
      coroutine.yield()
      hits = hits + 1
    end)
    local hook, _, count = debug.gethook()
    debug.sethook()
    assert.equal(mine, hook)
    assert.equal(1000000, count)
  end))

  it("coroutine.resume of a waiting task does nothing but make it fail (35)", body(function()
    local co, resumed
    local e = fails("usage", task.scope, function(s)
      s:spawn(function()
        co = coroutine.running()
        task.sleep(10)
        error("not reached")
      end)
      task.sleep(0)
      local _
      _, resumed = coroutine.resume(co, "x")
      task.sleep(10)
    end)
    contains(e.message, "coroutine.resume of a task")
    contains(tostring(resumed), "cannot be resumed by hand")
  end))

  it("resume from a callback, too (35)", body(function()
    local e = fails("usage", task.scope, function()
      local co = coroutine.running()
      core.timer(0, function() coroutine.resume(co) end)
      task.sleep(10)
    end)
    contains(e.message, "coroutine.resume of a task")
  end))
end)

describe("an operation", function()
  it("may end before its start returns", body(function()
    assert.same({ n = 5, 1, nil, 3, nil, 5 }, task.pack(task.await(function(done) done(nil, 1, nil, 3, nil, 5) end)))
    assert.equal("e", failure(task.await, function(done) done("e") end))
  end))

  it("has any number of arguments and results", body(function()
    for n = 0, 6 do
      local args = {}
      for i = 1, n do args[i] = i end
      local r = task.pack(task.await(function(...)
        local given = task.pack(...)
        assert.equal(n + 1, given.n)
        local done = given[n + 1]
        core.timer(0, function() done(nil, (table.unpack or unpack)(given, 1, n)) end)
      end, (table.unpack or unpack)(args, 1, n)))
      assert.equal(n, r.n)
      assert.same(args, { (table.unpack or unpack)(r, 1, n) })
    end
  end))

  it("that reports twice is heard once", body(function()
    local kept
    task.await(function(done)
      kept = done
      core.timer(0, function()
        done()
        done()
      end)
    end)
    kept()
    task.sleep(0)
    kept(nil, "late")
    task.scope(function(s)
      s:spawn(function()
        task.sleep(0)
        kept()
      end)
      task.sleep(0.005)
    end)
  end))

  it("whose start raises leaves the task well", body(function()
    assert.equal("no start", failure(task.await, function() error("no start", 0) end))
    task.sleep(0)
  end))

  it("that is cancelled is told so, once, and not heard any more", body(function()
    local told, kept = 0, nil
    fails("timeout", task.timeout, 0.001, task.await, function(done)
      kept = done
      return { cancel = function() told = told + 1 end }
    end)
    kept(nil, "late")
    task.sleep(0)
    assert.equal(1, told)
  end))

  it("of the core that fails raises an Error", body(function()
    local e = failure(task.await, function(done) done({ kind = "io", name = "EIO", code = 5, message = "input" }) end)
    assert.equal("io: input", tostring(e))
    assert.equal("EIO", e.name)
  end))
end)
