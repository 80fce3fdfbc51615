-- Large files to a host that is far away go over several channels, and are whole or not there.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body = run.body
local fleet, start_fleet, stop_fleet = servers.shared {}
local MIB = 1024 * 1024

local function at(name) return files.directory() .. "/" .. name end

-- A host behind a relay that is 15 ms away in each direction.
local function far(of, faults, more)
  faults = faults or {}
  faults.delay = 0.015
  local _, opts = servers.relay(of, nil, { up = faults, down = { delay = 0.015 } }, more)
  local h = ssh.host("far", opts)
  run.defer(h.close, h)
  return h
end

-- No two blocks of it are the same.
local function large(name, size)
  local list = {}
  for i = 1, size / 1024 do list[i] = ("%08d"):format(i):rep(128) end
  return files.write(name, table.concat(list))
end

local function is_same(a, b)
  local one, two = task.await(core.fs_open, a, "r", nil), task.await(core.fs_open, b, "r", nil)
  local from = 0
  repeat
    local x, y = task.await(one.read, one, MIB, from), task.await(two.read, two, MIB, from)
    if x ~= y then return false end
    from = from + MIB
  until not x
  return true
end

-- 16 to 48 MiB and some bytes; every other one with holes.
local function random_file(name, seed)
  math.randomseed(seed)
  local source = assert(io.open("/dev/urandom", "rb"))
  local noise = source:read(MIB)
  source:close()
  local out = assert(io.open(at(name), "wb"))
  local size = 16 * MIB + math.random(0, 32 * MIB)
  local from = 0
  while from < size do
    local n = math.min(math.random(1, MIB), size - from)
    if seed % 2 == 0 or math.random(3) > 1 then
      out:write((noise:sub(math.random(1, MIB / 2)) .. noise):sub(1, n))
    else
      out:seek("cur", n)
    end
    from = from + n
  end
  out:seek("set", size - 1)
  out:write("\0")
  out:close()
  return size
end

-- Both ways; `cut`: each of them once more, over a connection that ends somewhere, and then over one that does not.
local function there_and_back(seed, cut)
  local size = random_file("src", seed)
  local relay, opts = servers.relay(fleet(), nil, { up = { delay = 0.015 }, down = { delay = 0.015 } })
  local h, lost = ssh.host("far", opts), 0
  run.defer(h.close, h)
  local how = { times = true, verify = seed % 3 == 0 and "sha256" or nil, sparse = seed % 5 > 0 }
  local function copy(verb, direction, from, to)
    if cut then
      relay[direction].cut_after = 8000 + math.random(0, size)
      local _, err = ssh.try(verb, h, at(from), at(to), how)
      relay[direction].cut_after = nil
      if err then
        assert.equal("connection_lost", err.kind, tostring(err))
        assert.is_nil(core.fs_stat_sync(at(to)))
        lost = lost + 1
      end
      h:close()
    end
    local r = verb(h, at(from), at(to), how)
    assert.equal(size, r.bytes)
    assert.is_true(is_same(at(from), at(to)), ("seed %d: %s is not %s"):format(seed, to, from))
    assert.equal(core.fs_stat_sync(at(from)).mode, core.fs_stat_sync(at(to)).mode)
  end
  copy(h.put, "up", "src", "up")
  copy(h.get, "down", "up", "down")
  assert.equal("down src up", files.names(files.directory()))
  h:close()
  files.remove()
  return lost
end

describe("a large file to a host far away", function()
  setup(function()
    files.directory(true)
    start_fleet()
  end)
  teardown(stop_fleet)
  after_each(files.remove)

  it("goes over several channels", body(function()
    local h = far(fleet())
    local path, most = large("f", 24 * MIB), 0
    local r = h:put(path, at "to", { progress = function() most = math.max(most, h:session().core:count_open()) end,
      verify = "sha256", mode = 416 })
    assert.equal(24 * MIB, r.bytes)
    assert.is_true(is_same(path, at "to"))
    assert.equal(416, core.fs_stat_sync(at "to").mode)
    assert.is_true(most >= 3, most .. " channels")
    assert.is_true(run.eventually(function() return h:session().core:count_open() == 1 end))
  end))

  it("does without them where the server has no more", body(function()
    local small = servers.fleet { sshd_config = { "MaxSessions 1" } }
    local h = far(small)
    local path = large("f", 17 * MIB)
    h:put(path, at "to")
    assert.is_true(is_same(path, at "to"))
    assert.equal("f to", files.names(files.directory()))
  end))

  it("leaves a channel to others", body(function()
    local h = far(fleet(), nil, { max_sessions = 3 })
    local path, most = large("f", 24 * MIB), 0
    h:put(path, at "to", { progress = function() most = math.max(most, h:session().core:count_open()) end })
    assert.is_true(is_same(path, at "to"))
    assert.equal(2, most)
  end))

  it("is not there when the connection is cut, and the error says what was safe", body(function()
    local h = far(fleet(), { cut_after = 15 * MIB })
    local path = large("f", 24 * MIB)
    local err = run.fails("connection_lost", h.put, h, path, at "to")
    assert.is_true(err.bytes <= 15 * MIB and err.bytes % MIB == 0, tostring(err.bytes))
    assert.is_nil(core.fs_stat_sync(at "to"))
  end))

  it("is not there when it becomes shorter meanwhile, and nothing is left", body(function()
    local h = far(fleet())
    local path = large("f", 24 * MIB)
    local err = run.fails("io", h.put, h, path, at "to", { progress = function(p)
      if p.bytes > 0 then core.fs_write_sync(path, "short", 420) end
    end })
    assert.equal("SHORT", err.name)
    assert.equal("f", files.names(files.directory()))
  end))

  it("goes up and comes down identical 20 times of 20, also when the connection was cut once #long", body(function()
    local lost, first = 0, os.time() % 1000000 * 100
    for i = 1, 20 do
      there_and_back(first + i, false)
      lost = lost + there_and_back(first + 20 + i, true)
    end
    print(("# seeds from %d, %d of 40 copies were cut"):format(first, lost))
    assert(lost >= 20, "hardly a connection was cut: " .. lost)
  end, 3600))
end)
