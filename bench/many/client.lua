-- Runs `true` on so many hosts of the light server through the executor; says what it took.
-- usage: client.lua COUNT PARALLEL PORT KEY "HOST KEY"
local ssh = require "sshlua"

local count, parallel, port, key, host_key = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]), arg[4], arg[5]

local known = key .. ".known_hosts"
local file = assert(io.open(known, "w"))
file:write(("*,[127.*]:%d %s\n"):format(port, host_key))
file:close()

local names = {}
for i = 0, count - 1 do names[i + 1] = ("127.%d.%d.%d"):format(1 + i // 62500, i // 250 % 250, i % 250 + 1) end

local function peak()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmHWM:%s+(%d+)"
    if kib then return tonumber(kib) end
  end
end

local cpu, began = os.clock(), ssh.now()
local results = ssh.hosts(names, {
  user = "bench", port = port, identity = key, agent = false, known_hosts = known, ssh_config = false,
}):run("true", { parallel = parallel, check = false })
local ok = #results:ok()
if ok ~= count then
  io.stderr:write(tostring(results), "\n")
  os.exit(1)
end
print(("%d %.3f %.3f %d"):format(count, ssh.now() - began, os.clock() - cpu, peak()))
