-- Many hosts: the same credentials refused everywhere, and a thousand hosts of which some are slow, refuse, have another
-- key or hang (long).
local core = require "sshlua.core"
local json = require "sshlua.json"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local site = require "sshlua.testbed.site"
local ssh = require "sshlua"

local body = run.body

describe("a key that the first hosts refuse", function()
  local fleet, start_fleet, stop_fleet = servers.shared { hosts = 1 }
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)

  local function hosts(n, more)
    local opts = servers.options(fleet(), "web1", more)
    local list = {}
    for i = 1, n do list[i] = ssh.host("n" .. i, opts) end
    return require("sshlua.hosts").of(list)
  end

  local function wrong_key()
    local path = program.directory() .. "/wrong"
    if not core.fs_stat_sync(path) then site.make_key(path) end
    return { identity = path, host_key_alias = fleet():host().address, max_startups = 50, known_hosts = "none",
      insecure_accept_any_host_key = true }
  end

  it("is not tried on the others", body(function()
    local before = fleet():connections "web1"
    local rs = hosts(30, wrong_key()):run("true", { check = false, max_refused = 4, parallel = 8 })
    local tried, not_tried = 0, 0
    for _, r in ipairs(rs) do
      if r:status() == "auth" and not r.err.not_tried then tried = tried + 1 else not_tried = not_tried + 1 end
    end
    assert.equal(4, tried, tostring(rs))
    assert.equal(26, not_tried)
    assert.is_true(fleet():connections "web1" - before <= 12)
    local refused = select(2, fleet():log "web1":gsub("Connection closed by authenticating user", ""))
    assert.is_true(refused <= 12, refused)
    assert.truthy(rs[30].reason:find "first 4 hosts refused")
  end))

  it("is tried on all when max_refused is false, and when one has accepted it", body(function()
    local rs = hosts(12, wrong_key()):run("true", { check = false, max_refused = false })
    assert.equal(12, #rs:failed())
    for _, r in ipairs(rs) do assert.equal("auth", r:status()) end
    local web = hosts(12, { host_key_alias = fleet():host().address, max_startups = 50, known_hosts = "none",
      insecure_accept_any_host_key = true })
    run.defer(web.close, web)
    assert.equal("12 ok", tostring(web:run("true", { check = false, max_refused = 1 })))
  end))
end)

describe("a thousand hosts #long", function()
  local SLOW, LIMIT, PARALLEL = 2, 10, 100 -- seconds, seconds, hosts

  -- A rack hangs, the 101st to the 120th, and among the last 200 none is slow. Whoever does not know beforehand which
  -- hosts take long ends so much later than the last of them began, however the others are packed: an order in which they
  -- do not come last leaves a schedule to be compared with.
  local function is_slow(i) return i <= 800 and i * 5 % 8 < 5 end
  local SLOW_HERE = "[ $n -le 800 ] && [ $((n * 5 % 8)) -lt 5 ]"

  local function kind_of(i)
    local n = i % 100
    if i > 100 and i <= 120 then return "hang" end
    if n < 5 then return "refuse" elseif n < 10 then return "changed" end
    return is_slow(i) and "slow" or "plain"
  end

  -- Half of the changed ones' keys belong to their neighbour in known_hosts.
  local function write_known_hosts(fleet, path)
    local lines = {}
    for i, h in ipairs(fleet.hosts) do
      local key = kind_of(i) == "changed" and fleet.hosts[i % #fleet.hosts + 1].host_key_line or h.host_key_line
      lines[i] = ("[%s]:%d %s\n"):format(h.address, h.port, key)
    end
    servers.write_file(path, table.concat(lines))
  end

  local function peak_of(pid)
    local status = servers.read_file(("/proc/%d/status"):format(pid)) or ""
    return tonumber(status:match "VmHWM:%s+(%d+)")
  end

  -- Ticks that the processors were busy, and all ticks.
  local function processors()
    local busy, all, n = 0, 0, 0
    for ticks in (servers.read_file "/proc/stat" or ""):match("^cpu +([^\n]*)"):gmatch "%d+" do
      n = n + 1
      if n <= 8 then all = all + tonumber(ticks) end
      if n ~= 4 and n ~= 5 and n <= 8 then busy = busy + tonumber(ticks) end
    end
    return busy, all
  end

  -- Ticks of a process, and of the children that it has waited for.
  local function used(pid)
    local fields = {}
    local stat = servers.read_file(("/proc/%s/stat"):format(pid)) or ""
    for field in stat:gsub("^.*%) ", ""):gmatch "%S+" do fields[#fields + 1] = tonumber(field) or 0 end
    return (fields[12] or 0) + (fields[13] or 0), (fields[14] or 0) + (fields[15] or 0)
  end

  local function call(fleet, hosts, known, command, limit)
    local child = program.start({ "run", "--json", "--parallel", tostring(PARALLEL), "--timeout", tostring(limit), "-w",
      "^" .. hosts, "-p", tostring(fleet:host().port), "-l", fleet:host().user, "-i", fleet.identity, "-o",
      "UserKnownHostsFile=" .. known, "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "--", command })
    local peak
    local ticks = 0
    local began = ssh.now()
    local r = child:finish(function()
      while not child.seen:find('"type":"summary"', 1, true) do
        peak = peak_of(child.proc:pid()) or peak
        ticks = math.max(ticks, (used(child.proc:pid())))
        ssh.sleep(0.05)
      end
    end)
    local by_host = {}
    for line in r.out:gmatch "[^\n]+" do
      local object = json.decode(line)
      if object.host then by_host[object.host] = object end
    end
    return by_host, ssh.now() - began, peak, r, ticks
  end

  it("each have the right outcome in one pass, in the time that they need", body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    local n = tonumber(os.getenv "SSHLUA_FLEET" or 1000)
    local fleet = servers.fleet { hosts = n }
    local hosts, known, names = program.directory() .. "/hosts", program.directory() .. "/known", {}
    for i, h in ipairs(fleet.hosts) do names[i] = h.address .. "\n" end
    servers.write_file(hosts, table.concat(names))
    local alone, plain = call(fleet, hosts, fleet.known_hosts, "true", 120) -- what sshd itself needs
    local slowest = 0
    for _, one in pairs(alone) do slowest = math.max(slowest, one.timing.connect + one.timing.exec) end
    local limit = math.max(LIMIT, 3 * slowest + SLOW) -- a machine that is busy otherwise
    write_known_hosts(fleet, known)
    local planned = 0
    for i, h in ipairs(fleet.hosts) do
      local kind = kind_of(i)
      if kind == "refuse" then h.acceptor:close() end
      fleet:pause(h.name, kind == "hang")
      planned = planned + (kind == "slow" and SLOW or kind == "hang" and limit or 0)
    end
    -- 127.0.a.b is host a * 256 + b - 1
    local command = 'set -- $SSH_CONNECTION; IFS=.; set -- $3; n=$(($3 * 256 + $4 - 1)); ' .. SLOW_HERE
      .. " && sleep " .. SLOW .. "; echo $n"
    -- sshd's own floor: what it and its listener (this process and its children, without the client) have worked, on
    -- the processors that nobody else had. The client's work is none of it.
    local busy_before, all_before = processors()
    local own_before, children_before = used "self"
    local by_host, wall, peak, r, client = call(fleet, hosts, known, command, limit)
    local busy, all = processors()
    local own, children = used "self"
    local served = own - own_before + children - children_before - client
    local others = math.max(0, busy - busy_before - served - client)
    local floor_of_sshd = wall * served / math.max(1, all - all_before - others)
    local expected = { refuse = "connect", changed = "hostkey", hang = "timeout", slow = "ok", plain = "ok" }
    for i, h in ipairs(fleet.hosts) do
      local got = by_host[h.address]
      assert.equal(expected[kind_of(i)], got and got.status, h.address .. " " .. kind_of(i) .. " " .. (got and got.error and got.error.message or ""))
      if got.ok then assert.equal(i .. "\n", got.stdout) end
    end
    assert.equal(4, r.code)
    local floor = math.max(planned / PARALLEL, limit, floor_of_sshd)
    print(("# %d hosts: %.2f s wall; planned %.2f s, longest %.1f s, sshd's floor %.2f s; "
      .. "ticks: sshd %d, client %d, others %d of %d; `true` everywhere took %.2f s; %.1f MiB"):format(
      n, wall, planned / PARALLEL, limit, floor_of_sshd, served, client, others, all - all_before, plain, peak / 1024))
    assert.is_true(peak <= 150 * 1024)
    assert.is_true(wall <= 1.2 * floor, wall)
  end, 300))
end)
