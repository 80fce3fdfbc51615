-- Where a local file lies makes no difference: in memory (tmpfs), in the system's cache, on a disk, or a part of it.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"

local fleet, start_fleet, stop_fleet = servers.shared {}
local MIB = 1024 * 1024

local function at(name) return files.directory() .. "/" .. name end

-- A file of no whole number of blocks, of which no two blocks are alike.
local function make(name, bytes)
  local piece = {}
  for i = 1, 4096 do piece[i] = ("%07d %s\n"):format(i, ("x"):rep(i % 50)) end
  local text = table.concat(piece)
  local parts, n = {}, 0
  while n < bytes do
    parts[#parts + 1] = #parts .. text
    n = n + #parts[#parts]
  end
  return files.write(name, table.concat(parts):sub(1, bytes))
end

-- Nothing of the file, or only its first bytes, is in the system's cache afterwards.
local function forget(path, except)
  assert(os.execute(("dd of='%s' oflag=nocache conv=notrunc,fdatasync count=0 status=none"):format(path)))
  if except > 0 then assert(os.execute(("head -c %d '%s' > /dev/null"):format(except, path))) end
end

local function is_same(a, b) return files.read(a) == files.read(b) end

describe("a local file", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  local function travels(where, in_memory, cached)
    it(where .. " goes up and comes down as it is", run.body(function()
      if in_memory and not core.fs_stat_sync "/dev/shm" then run.skip "no /dev/shm" end
      files.directory(in_memory)
      local h = servers.host(fleet())
      local path = make("f", 9 * MIB + 12345)
      if cached then forget(path, cached) end
      h:put(path, at "up")
      assert.is_true(is_same(path, at "up"))
      if cached then forget(at "up", cached) end
      h:get(at "up", at "down")
      assert.is_true(is_same(path, at "down"))
      assert.equal("down f up", files.names(files.directory()))
    end, 60))
  end
  travels("in memory", true)
  travels("in the cache", false)
  travels("on the disk", false, 0)
  travels("half in the cache", false, 4 * MIB + 5000)

  it("in memory with holes keeps them, and others have their turn meanwhile", run.body(function()
    if not core.fs_stat_sync "/dev/shm" then run.skip "no /dev/shm" end
    files.directory(true)
    local h = servers.host(fleet())
    local path = files.write("f", "begin")
    assert(os.execute(("truncate -s 600M '%s' && printf end >> '%s'"):format(path, path)))
    local turns = 0
    task.scope(function(scope)
      scope:spawn(function()
        while true do
          task.sleep(0.001)
          turns = turns + 1
        end
      end)
      h:put(path, at "up")
      scope:cancel()
    end)
    assert.is_true(turns > 20, "the loop turned " .. turns .. " times")
    assert.equal(600 * MIB + 3, core.fs_stat_sync(at "up").size)
    local pipe = assert(io.popen(("cmp '%s' '%s' && du -k '%s'"):format(path, at "up", at "up")))
    local said = pipe:read "*a"
    pipe:close()
    assert.is_true(tonumber(said:match "^%d+") < 2048, said)
  end, 60))
end)
