-- What is left of a private key in the memory of a program that goes on: looked for from outside, as a thief would.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body = run.body
local fleet, start_fleet, stop_fleet = servers.shared {}

local PAGE, PIECE = 4096, 512 -- bytes; pages that are read at once

-- Is there anything in a piece? Much of what is mapped was never touched (proc(5), pagemap: present, or swapped out).
local function is_used(pages, from, count)
  pages:seek("set", from / PAGE * 8)
  local flags = pages:read(count * 8) or ""
  for i = 8, #flags, 8 do
    if flags:byte(i) >= 64 then return true end
  end
  return false
end

local function count(bytes, needle)
  local times, at = 0, bytes:find(needle, 1, true)
  while at do
    times = times + 1
    at = bytes:find(needle, at + 1, true)
  end
  return times
end

-- How often the needle is in the writable memory of a process. Pages that cannot be read hold nothing for anybody.
local function found(pid, needle)
  local memory = assert(io.open(("/proc/%d/mem"):format(pid), "rb"))
  local pages = assert(io.open(("/proc/%d/pagemap"):format(pid), "rb"))
  local times = 0
  for line in io.lines(("/proc/%d/maps"):format(pid)) do
    local from, to = line:match "^(%x+)%-(%x+) rw"
    from, to = tonumber(from or "0", 16), tonumber(to or "0", 16)
    local before = "" -- the end of the piece before
    for at = from, (to - from < 2 ^ 32 and to or from) - 1, PIECE * PAGE do -- the sanitizers' own regions have no end
      local size = math.min(PIECE * PAGE, to - at)
      local bytes = ""
      if is_used(pages, at, size / PAGE) then
        memory:seek("set", at)
        bytes = memory:read(size) or ""
      end
      times = times + count(before .. bytes, needle)
      before = bytes:sub(-#needle + 1)
    end
  end
  memory:close()
  pages:close()
  return times
end

describe("a private key's text #long", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("is nowhere in memory once it has been read", body(function()
    if not os.getenv "SSHLUA" or not core.fs_stat_sync "/proc/self/mem" then run.skip "needs SSHLUA and /proc" end
    local path, line = testbed.make_key(fleet().dir .. "/secret-key")
    local file = assert(io.open(fleet().dir .. "/authorized_keys", "a"))
    file:write(line, "\n")
    file:close()
    local host = fleet():host()
    local script = servers.write_file(fleet().dir .. "/hold.lua", ([[
      local ssh = require "sshlua"
      local s = ssh.connect("web1", { hostname = %q, port = %d, user = %q, identity = %q, agent = false,
        insecure_accept_any_host_key = true, ssh_config = false })
      kept = "marker-in" .. "-memory"
      io.stdout:setvbuf "no"
      print(s:exec "echo in")
      io.read()
    ]]):format(host.address, host.port, host.user, path))
    local child = assert(core.spawn { args = { os.getenv "SSHLUA", script }, stdin = "pipe", stdout = "pipe", stderr = "inherit" })
    local out, said = child:stdout(), ""
    run.defer(function()
      child:kill "KILL"
      task.await(child.wait, child)
      out:close()
      child:stdin():close()
    end)
    while not said:find "in" do said = said .. assert(task.await(out.read, out, 100), "it ended early") end
    -- A line of the private half, as the file has it.
    local secret = servers.read_file(path):match "\n[%w+/]+\n([%w+/]+)\n[%w+/]+=*\n"
    assert.is_true(#secret > 60)
    assert.is_true(found(child:pid(), "marker-in-memory") > 0, "the search works")
    assert.equal(0, found(child:pid(), secret))
  end))
end)
