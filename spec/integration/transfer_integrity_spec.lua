-- Random trees go up and come down identical, also when the connection is cut at a random point and the copy is resumed.
-- SSHLUA_LONG (./test --long): 20 trees of 2,000 entries.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local tree = require "spec.support.wild_tree"

local fleet, start_fleet, stop_fleet = servers.shared {}

local function at(name) return files.directory() .. "/" .. name end

local exact = { links = "copy", times = true, skip = "time", resume = true, unsafe_links = true }

local function equal(from, to, seed)
  local difference = tree.difference(tree.picture(at(from)), tree.picture(at(to)))
  if difference then error(("seed %d: %s is not %s:\n%s"):format(seed, to, from, difference), 0) end
end

local function there_and_back(entries, seed)
  local h = servers.host(fleet())
  tree.make(at "src", entries, seed)
  h:put(at "src", at "up", exact)
  equal("src", "up", seed)
  h:get(at "up", at "down", exact)
  equal("src", "down", seed)
  assert.is_false(h:sync(at "src/", at "up", { delete = true }).changed)
end

-- The same, each way over a connection that ends somewhere, and then over one that does not.
local function through_cuts(entries, seed)
  tree.make(at "src", entries, seed)
  local relay, opts = servers.relay(fleet(), nil, {})
  local h = ssh.host(fleet():host().name, opts)
  run.defer(h.close, h)
  local lost = 0
  local function cut_once(direction, from, to)
    local plain = #relay.passed
    local verb = direction == "up" and h.put or h.get
    relay[direction].cut_after = 6000 + math.random(0, entries * 3000)
    local _, err = ssh.try(verb, h, at(from), at(to), exact)
    relay[direction].cut_after = nil
    if err then
      assert.equal("connection_lost", err.kind, tostring(err))
      lost = lost + 1
    end
    h:close()
    assert(#relay.passed > plain)
    verb(h, at(from), at(to), exact)
    h:close()
  end
  cut_once("up", "src", "up")
  equal("src", "up", seed)
  cut_once("down", "up", "down")
  equal("src", "down", seed)
  return lost
end

local function seed_of(i) return os.time() % 1000000 * 100 + i end

describe("a tree of everything that a file system allows", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("goes up and comes down identical", run.body(function() there_and_back(250, seed_of(0)) end, 120))

  it("does so through lost connections", run.body(function() through_cuts(250, seed_of(1)) end, 120))

  it("of 2,000 entries does so 20 times of 20 #long", run.body(function()
    for i = 1, 20 do
      there_and_back(2000, seed_of(i))
      files.remove()
    end
  end, 3600))

  it("of 2,000 entries does so through lost connections 20 times of 20 #long", run.body(function()
    local lost, before = 0, core.now()
    for i = 1, 20 do
      lost = lost + through_cuts(2000, seed_of(20 + i))
      files.remove()
    end
    print(("# 20 trees, %d of 40 copies were cut, %.0f s"):format(lost, core.now() - before))
    assert(lost >= 20, "hardly a connection was cut: " .. lost)
  end, 3600))
end)
