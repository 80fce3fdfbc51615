-- Many files that grow fast, followed at once: no line is lost, and memory does not grow with them.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local fleet, start, stop = servers.shared {
  hosts = { "web1", "web2", "web3", "web4", "web5" }, sshd_config = { "MaxSessions 100", "MaxStartups 100" },
}

local WRITER = [[
local dir, files, lines, seconds = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local out = {}
for i = 1, files do out[i] = assert(io.open(dir .. "/" .. i, "a")) end
for second = 0, seconds - 1 do
  for tenth = 0, 9 do
    for i = 1, files do
      for n = 1, lines / 10 do
        out[i]:write(("%d %d some more text as a log has it\n"):format(i, second * lines + tenth * lines / 10 + n))
      end
      out[i]:flush()
    end
    os.execute "sleep 0.1"
  end
end]]

local function resident()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmRSS:%s+(%d+)"
    if kib then return tonumber(kib) end
  end
end

-- Follows so many files until all has come; returns the highest memory of the first and of the second half.
local function follow(files, lines, seconds)
  local dir = task.await(core.fs_mkdtemp, (os.getenv "TMPDIR" or "/tmp") .. "/sshlua-tail-XXXXXX")
  run.defer(core.fs_rmtree_sync, dir)
  local hosts, seen, all = {}, {}, files * lines * seconds
  for i = 1, files do
    servers.write_file(dir .. "/" .. i, "")
    hosts[i] = servers.host(fleet(), "web" .. (i - 1) % 5 + 1)
    seen[i] = 0
  end
  servers.write_file(dir .. "/writer.lua", WRITER)
  local following = {}
  local total, half, first, second = 0, math.floor(all / 2), 0, 0
  ssh.scope(function(s)
    for i, h in ipairs(hosts) do
      s:spawn(function()
        local t = h:tail(dir .. "/" .. i, { interval = 2, lines = 1000000 })
        following[i] = t
        for ev in t do
          local file, n = ev.line:match "^(%d+) (%d+) some more text as a log has it$"
          assert(tonumber(file) == i and tonumber(n) == seen[i] + 1, ev.line)
          seen[i] = seen[i] + 1
          total = total + 1
          if total % 10000 == 0 then
            if total <= half then first = math.max(first, resident()) else second = math.max(second, resident()) end
          end
          if seen[i] == lines * seconds then break end
        end
        t:close()
      end)
    end
    s:spawn(function()
      while true do
        ssh.sleep(0.1)
        local n = 0
        for _ in pairs(following) do n = n + 1 end
        if n == files then break end
      end
      ssh.here:run({ "lua5.4", dir .. "/writer.lua", dir, tostring(files), tostring(lines), tostring(seconds) })
    end)
  end)
  assert.equal(all, total)
  return first, second
end

describe("following many files", function()
  setup(start)
  teardown(stop)

  it("loses no line and keeps its memory", run.body(function() follow(5, 1000, 1) end, 60))

  it("loses no line of 100 files at 1,000 lines a second #long", run.body(function()
    local first, second = follow(100, 1000, 10)
    print(("# RSS: %d KiB in the first half, %d in the second"):format(first, second))
    assert.is_true(second < first * 1.3 + 4096)
  end, 280))
end)
