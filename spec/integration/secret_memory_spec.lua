-- What is left of a private key in the memory of a program that goes on: looked for from outside, as a thief would.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body = run.body
local fleet, start_fleet, stop_fleet = servers.shared {}

-- How often the needle is in the writable memory of a process. Pages that cannot be read hold nothing for anybody.
local function found(pid, needle)
  local memory, times = assert(io.open(("/proc/%d/mem"):format(pid), "rb")), 0
  for line in io.lines(("/proc/%d/maps"):format(pid)) do
    local from, to = line:match "^(%x+)%-(%x+) rw"
    local size = from and tonumber(to, 16) - tonumber(from, 16)
    if size and size < 67108864 then -- the sanitizers' own regions have no end
      memory:seek("set", tonumber(from, 16))
      local bytes = memory:read(size) or ""
      local at = bytes:find(needle, 1, true)
      while at do
        times = times + 1
        at = bytes:find(needle, at + 1, true)
      end
    end
  end
  memory:close()
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
