-- What a fleet costs beside its connections grows with the number of its hosts, not with its square.
local Result = require("sshlua.result").Result
local core = require "sshlua.core"
local fleet_print = require "sshlua.cli.fleet_print"
local run = require "spec.support.run"
local ssh = require "sshlua"

local FEW, MANY = 200, 2000
local TIMES = 30 -- ten times the hosts; the square would be a hundred

local function fleet_of(n)
  local names = {}
  for i = 1, n do names[i] = "node" .. i end
  return ssh.hosts(names, { ssh_config = false })
end

local function result(h) return Result.own({ host = h.name, port = 22, code = 0, stdout = "hi\n" }) end

-- Processor time; the least of three, because others have the machine, too.
local function seconds(n, fn)
  local least = math.huge
  for _ = 1, 3 do
    local fleet = fleet_of(n)
    local before = os.clock()
    fn(fleet)
    least = math.min(least, os.clock() - before)
  end
  return least
end

local function grows_with_hosts(fn)
  return run.body(function()
    local few, many = seconds(FEW, fn), seconds(MANY, fn)
    assert.is_true(many < TIMES * math.max(few, 0.001), ("%.4f s, %.4f s"):format(few, many))
  end)
end

local function live_fold(fleet)
  local printed = 0
  local out = fleet_print.out
  fleet_print.out = function() printed = printed + 1 end -- luacheck: ignore 122
  run.defer(function() fleet_print.out = out end) -- luacheck: ignore 122
  local printer = fleet_print.live_fold({ quiet = true })
  printer.hosts = fleet
  for _ = 1, 2 do
    for _, h in ipairs(fleet) do printer.sink(h)("line\n", "stdout") end
  end
  for _, h in ipairs(fleet) do printer.ended(result(h), h) end
  printer.finish()
  assert.equal(2, printed)
end

describe("what a fleet costs", function()
  it("grows with its hosts in each", grows_with_hosts(function(fleet) fleet:each(result) end))

  it("grows with its hosts in one batch of rolling", grows_with_hosts(function(fleet) fleet:rolling({}, result) end))

  it("grows with its hosts in many batches", grows_with_hosts(function(fleet)
    fleet:rolling({ batch = "2%" }, result)
  end))

  it("grows with its hosts in save", grows_with_hosts(function(fleet)
    fleet:save("/nowhere/{host}", function() error("not this one", 0) end, { check = false })
  end))

  it("grows with its hosts when one host is there many times", grows_with_hosts(function(fleet)
    for i = 1, #fleet do fleet[i] = fleet[1] end
    fleet:each(result)
  end))

  it("grows with its hosts in run -L", grows_with_hosts(live_fold))

  it("grows with the hosts that are learnt", grows_with_hosts(function(fleet)
    local path = os.tmpname()
    run.defer(os.remove, path)
    local set = core.known_hosts()
    assert(set:add_file(path))
    local key = "\0\0\0\11ssh-ed25519\0\0\0\32" .. ("k"):rep(32)
    for i = 1, #fleet / 10 do
      assert.equal("unknown", set:check(fleet[i].name, 22, key))
      assert(set:learn(path, fleet[i].name, 22, key))
      assert.is_false(set:stale())
    end
  end))
end)
