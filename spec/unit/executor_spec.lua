-- The executor on functions that connect to nobody: how many at once, when it stops, what each host keeps.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local events = require "sshlua.events"
local executor = require "sshlua.executor"
local interrupt = require "sshlua.interrupt"
local run = require "spec.support.run"
local ssh = require "sshlua"

local body, fails = run.body, run.fails

local function fleet(n) return ssh.hosts(("h[1-%d]"):format(n)) end

local function quietly(opts)
  opts = opts or {}
  opts.check = false
  return opts
end

describe("the executor", function()
  it("works on so many hosts at once and starts the next as one ends", body(function()
    local now, most, order = 0, 0, {}
    fleet(20):each(function(h)
      now = now + 1
      most = math.max(most, now)
      order[#order + 1] = h.name
      ssh.sleep(0)
      now = now - 1
    end, { parallel = 7 })
    assert.equal(7, most)
    assert.equal("h1 h2 h3 h4 h5 h6 h7", table.concat(order, " ", 1, 7))
    assert.equal(20, #order)
  end))

  it("has no more hosts at once than there are descriptors for, fewer of those that copy trees", body(function()
    local original = core.max_files
    run.defer(function() core.max_files = original end) -- luacheck: ignore 122
    core.max_files = function() return 104 end -- luacheck: ignore 122
    local list = { executor.at_once(64, "run"), executor.at_once(8, "run"), executor.at_once(64, "put") }
    core.max_files = function() return 4 end -- luacheck: ignore 122
    list[4] = executor.at_once(64, "run")
    core.max_files = function() return math.huge end -- luacheck: ignore 122
    list[5] = executor.at_once(64, "put")
    assert.same({ 40, 8, 2, 1, 64 }, list)
  end))

  it("spreads the first starts over the ramp", body(function()
    local began, latest = ssh.now(), 0
    fleet(4):each(function()
      latest = ssh.now() - began
      ssh.sleep(0.3)
    end, { parallel = 4, ramp = 0.2 })
    assert.is_true(latest >= 0.14, latest)
  end))

  it("keeps every result whatever one host's function does", body(function()
    local rs = fleet(6):each(function(h)
      if h.name == "h2" then error("boom") end
      if h.name == "h3" then error({}) end
      if h.name == "h4" then h:run(nil) end
      if h.name == "h5" then errors.raise { kind = "io", message = "disk" } end
      return h.name
    end, quietly())
    assert.equal("ok error error usage io ok", table.concat({ rs[1]:status(), rs[2]:status(), rs[3]:status(), rs[4]:status(),
      rs[5]:status(), rs[6]:status() }, " "))
    assert.equal("h6", rs.h6.value)
    assert.is_number(rs[1].timing.queue)
  end))

  it("raises misuse that met every host as such, at the script's line", body(function()
    local e = fails("usage", function() fleet(3):each(function(h) h:run(nil) end) end)
    assert.truthy(e.message:find("executor_spec.lua:", 1, true), e.message)
  end))

  it("starts nobody when more have failed than may", body(function()
    local rs = fleet(10):each(function(h)
      if h.name ~= "h1" then error "no" end
    end, quietly { parallel = 1, max_failed = "10%" })
    assert.equal("1 ok, 7 skipped (h[4-10]), 2 error (h[2-3])", tostring(rs))
    assert.truthy(rs.h4.reason:find "2 failed, 1 may")
    assert.equal(2, #rs:failed())
  end))

  it("fail_fast cancels those under way", body(function()
    local took = run.took(function()
      local rs = fleet(4):each(function(h)
        ssh.sleep(h.name == "h2" and 0.01 or 20)
        if h.name == "h2" then error "no" end
      end, quietly { fail_fast = true, parallel = 3 })
      assert.equal("0 ok, 2 cancelled (h[1,3]), 1 error (h2), 1 skipped (h4)", tostring(rs))
    end)
    assert.is_true(took < 10)
  end))

  it("ends a host's function at its time limit, and no other", body(function()
    local rs = fleet(2):each(function(h) ssh.sleep(h.name == "h1" and 20 or 0) end, quietly { timeout = 0.05 })
    assert.equal("1 ok, 1 timeout (h1)", tostring(rs))
    assert.truthy(rs.h1.err.message:find "0.05 s")
  end))

  it("hands cancellation from outside on, and says how far it came", body(function()
    local e = fails("timeout", ssh.timeout, 0.05, function()
      fleet(3):each(function() ssh.sleep(20) end)
    end)
    assert.equal("timeout", e.kind)
    local one = executor.new(fleet(3), { parallel = 2 }, "test")
    fails("timeout", ssh.timeout, 0.05, function()
      one:go(function(h) if h.name ~= "h1" then ssh.sleep(20) end end)
    end)
    assert.equal("ok", one:results()[1]:status())
    assert.equal("cancelled", one:results()[2]:status())
  end))

  it("at the first ^C starts nobody, lets the rest end, and goes on with the cancelling", body(function()
    local old, went_on = interrupt.go_on, false
    interrupt.go_on = function() went_on = true end
    run.defer(function() interrupt.go_on = old end)
    local stderr = io.stderr
    local said = {}
    io.stderr = { -- luacheck: ignore 122
      write = function(_, ...) said[#said + 1] = table.concat { ... } end,
    }
    run.defer(function() io.stderr = stderr end) -- luacheck: ignore 122
    local ended = {}
    fleet(4):each(function(h)
      ssh.sleep(0.01)
      if h.name == "h2" then
        assert.is_true(interrupt.deliver())
        assert.is_false(interrupt.deliver())
      end
      ended[#ended + 1] = h.name
    end, quietly { parallel = 2 })
    assert.is_true(went_on)
    assert.is_true(#ended < 4 and #ended >= 2)
    assert.truthy(table.concat(said):find "still running: h")
    assert.is_false(interrupt.deliver())
  end))

  it("tells events: begin, start, end, finish", body(function()
    local seen = {}
    local stop = events.listen(function(e) seen[#seen + 1] = e.what .. (e.host and " " .. e.host or "") end)
    fleet(2):each(function() end, { parallel = 1 })
    stop()
    fleet(2):each(function() end)
    assert.equal("begin, start h1, end h1, start h2, end h2, finish", table.concat(seen, ", "))
  end))

  it("refuses options that make no sense, by name", body(function()
    local f = fleet(2)
    for _, opts in ipairs { { max_failed = "x" }, { max_failed = -1 }, { max_failed = "101%" }, { paralel = 1 },
      { parallel = 0 }, { max_refused = 0 } } do
      fails("usage", f.each, f, function() end, opts)
    end
    assert.truthy(tostring(fails("usage", f.each, f, function() end, { paralel = 1 })):find "did you mean 'parallel'")
  end))
end)

describe("rolling", function()
  local function sizes(n, opts)
    local list = {}
    opts.before = function(hosts) list[#list + 1] = #hosts end
    fleet(n):rolling(opts, function() end)
    return table.concat(list, " ")
  end

  it("cuts batches by counts, shares and lists, the last for the rest", body(function()
    assert.equal("10", sizes(10, {}))
    assert.equal("4 4 2", sizes(10, { batch = 4 }))
    assert.equal("2 2 2 2 2", sizes(11 - 1, { batch = "25%" }))
    assert.equal("1 5 14", sizes(20, { batch = { 1, 5, "100%" } }))
    assert.equal("1 1 1", sizes(3, { batch = "10%" }))
    assert.equal("1 2 2", sizes(5, { batch = { 1, 2 } }))
  end))

  it("stops when more fail than may, over all batches, and not in the middle of a batch's work", body(function()
    local after = {}
    local rs = fleet(9):rolling({ batch = 3, max_failed = 1, check = false, parallel = 1,
      after = function(results, n) after[n] = tostring(results) end }, function(h)
      if h.name == "h2" or h.name == "h4" then error "no" end
    end)
    assert.equal("2 ok, 5 skipped (h[5-9]), 2 error (h[2,4])", tostring(rs))
    assert.equal("2 ok, 1 error (h2)", after[1])
    assert.is_nil(after[3])
  end))

  it("on_fail: skip leaves the rest of the batch out, continue nothing", body(function()
    local function go(how)
      return tostring(fleet(6):rolling({ batch = 3, on_fail = how, check = false, parallel = 1 }, function(h)
        if h.name == "h1" then error "no" end
      end))
    end
    assert.equal("3 ok, 2 skipped (h[2-3]), 1 error (h1)", go "skip")
    assert.equal("5 ok, 1 error (h1)", go "continue")
    assert.equal("0 ok, 5 skipped (h[2-6]), 1 error (h1)", go "stop")
  end))

  it("raises kind fleet at its end", body(function()
    local f = fleet(3)
    local e = fails("fleet", f.rolling, f, { batch = 1 }, function(h) if h.name == "h2" then error "no" end end)
    assert.equal("1 ok, 1 error (h2), 1 skipped (h3)", tostring(e.result))
  end))

  it("orders and pauses", body(function()
    local seen = {}
    local function go(opts)
      seen = {}
      ssh.hosts { "n10", "n2", "n1" }:rolling(opts, function(h) seen[#seen + 1] = h.name end)
      return table.concat(seen, " ")
    end
    assert.equal("n10 n2 n1", go { batch = 1 })
    assert.equal("n1 n2 n10", go { batch = 1, order = "sorted" })
    assert.equal("n10 n2 n1", go { batch = 1, order = "reverse" })
    assert.equal("n1 n10 n2", go { batch = 1, order = function(a, b) return a.name < b.name end })
    go { batch = 1, order = "shuffle" }
    assert.equal(3, #seen)
    assert.is_true(run.took(go, { batch = 1, pause = 0.05 }) >= 0.09)
  end))

  it("ends with the error of before or after, and starts nobody more", body(function()
    local n = 0
    local ok, err = pcall(function()
      fleet(4):rolling({ batch = 2, before = function(_, number) if number == 2 then error("not now", 0) end end },
        function() n = n + 1 end)
    end)
    assert.is_false(ok)
    assert.equal("not now", err)
    assert.equal(2, n)
  end))

  it("refuses sizes and words that make no sense", body(function()
    local f = fleet(2)
    for _, opts in ipairs { { batch = 0 }, { batch = "0%" }, { batch = {} }, { batch = { "x" } }, { on_fail = "no" },
      { order = "random" }, { batches = 1 } } do
      fails("usage", f.rolling, f, opts, function() end)
    end
  end))
end)
