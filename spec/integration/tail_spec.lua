-- Following files: rotation, truncation, lost connections, many hosts.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"

describe("a tail", function()
  local fleet, set_up, tear_down = servers.shared { hosts = 4 }
  setup(set_up)
  teardown(tear_down)

  local directory

  -- A file of the present spec.
  local function file(name, text)
    if not directory then
      directory = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-tail.XXXXXX"))
      run.defer(function()
        core.fs_rmtree_sync(directory)
        directory = nil
      end)
    end
    local path = directory .. "/" .. name
    if text then servers.write_file(path, text) end
    return path
  end

  local function append(path, text)
    local f = assert(io.open(path, "ab"))
    f:write(text)
    f:close()
  end

  local function follow(what, path, opts)
    opts = opts or {}
    opts.interval = opts.interval or 0.1
    local tail = what:tail(path, opts)
    run.defer(tail.close, tail)
    return tail
  end

  local function next_line(tail)
    local event = ssh.timeout(15, tail.next, tail)
    return event and event.line
  end

  local function processes_with(path)
    local pipe = io.popen("ps ax -o args")
    local text = pipe:read "*a"
    pipe:close()
    local _, n = text:gsub(path:gsub("%p", "%%%0"), "")
    return n
  end

  -- Until the follower has begun: what is written before that is not new.
  local function begun(path) assert(run.eventually(function() return processes_with(path) > 0 end)) ssh.sleep(0.5) end

  it("begins with the last lines, if they are wanted, and gives events", run.body(function()
    local path = file("a", "1\n2\n3\n")
    local h = servers.host(fleet())
    local tail = follow(h, path, { lines = 2 })
    local event = tail:next()
    assert.equal("2", event.line)
    assert.equal("web1", event.host)
    assert.equal("stdout", event.stream)
    assert.is_true(math.abs(event.at - os.time()) < 5)
    assert.equal("3", next_line(tail))
    append(path, "grün\n")
    assert.equal("grün", next_line(tail))
  end))

  it("waits for a file that is not there yet, gives all of it, and follows what takes its name", run.body(function()
    local path = file "b"
    local tail = follow(servers.host(fleet()), path)
    begun(path)
    servers.write_file(path, "one\nrest")
    assert.equal("one", next_line(tail))
    ssh.sleep(0.3)
    os.rename(path, path .. ".1")
    append(path .. ".1", " of it")
    ssh.sleep(0.3)
    servers.write_file(path, "two\n")
    assert.equal("rest of it", next_line(tail))
    assert.equal("two", next_line(tail))
    servers.write_file(path, "")
    ssh.sleep(0.4)
    append(path, "three\n")
    assert.equal("three", next_line(tail))
  end))

  it("goes on where it was when the connection is lost", run.body(function()
    local path = file("c", "old\n")
    local lost = {}
    local h = servers.host(fleet(), "web2")
    local tail = follow(h, path, { on_error = function(err, host, again)
      lost[#lost + 1] = err.kind .. " " .. host .. " " .. tostring(again)
    end })
    begun(path)
    append(path, "1\n")
    assert.equal("1", next_line(tail))
    for i = 2, 3 do
      fleet():kill("web2", "KILL")
      append(path, i .. "\n" .. i .. "b\n")
      assert.equal(tostring(i), next_line(tail))
      assert.equal(i .. "b", next_line(tail))
    end
    assert.same({ "connection_lost web2 true", "connection_lost web2 true" }, lost)
  end))

  it("gives the whole new file when it was exchanged meanwhile", run.body(function()
    local path = file("d", "old\n")
    local h = servers.host(fleet(), "web2")
    local tail = follow(h, path)
    begun(path)
    append(path, "1\n")
    assert.equal("1", next_line(tail))
    fleet():refuse("web2")
    fleet():kill("web2", "KILL")
    os.rename(path, path .. ".1")
    servers.write_file(path, "new 1\nnew 2\n")
    ssh.sleep(0.3)
    fleet():refuse("web2", false)
    assert.equal("new 1", next_line(tail))
    assert.equal("new 2", next_line(tail))
  end, 60))

  it("leaves nothing running on the host", run.body(function()
    local path = file("e", "")
    local h = servers.host(fleet())
    local tail = follow(h, path)
    begun(path)
    tail:close()
    tail:close()
    assert.is_nil(tail:next())
    assert.truthy(run.eventually(function() return processes_with(path) == 0 end))
  end))

  it("ends with the loop around it", run.body(function()
    if _VERSION == "Lua 5.1" then run.skip "Lua 5.4 only" end
    local path = file("f", "x\n")
    local h = servers.host(fleet())
    for event in h:tail(path, { lines = 1, interval = 0.1 }) do
      if event.line == "x" then break end
    end
    assert.truthy(run.eventually(function() return processes_with(path) == 0 end))
  end))

  it("is cancelled with its task", run.body(function()
    local path = file("g", "")
    local h = servers.host(fleet())
    local tail = follow(h, path)
    run.fails("timeout", ssh.timeout, 0.5, tail.next, tail)
    assert.is_nil(tail:next())
  end))

  it("says what is wrong with a file", run.body(function()
    local h = servers.host(fleet())
    local path = file("h", "x\n")
    run.fails("usage", h.tail, h, "")
    run.fails("usage", h.tail, h, path, { lines = 1.5 })
    run.fails("usage", h.tail, h, path, { line = 1 })
    run.fails("usage", h.tail, h, path, { interval = 0 })
  end))

  it("gives up on what cannot get better, and raises when nobody is left", run.body(function()
    local h = servers.host(fleet(), "web3", { fingerprints = { "SHA256:" .. ("A"):rep(43) } })
    local seen
    local tail = h:tail(file("i", ""), { on_error = function(err, _, again) seen = err.kind .. tostring(again) end })
    run.fails("hostkey", tail.next, tail)
    assert.equal("hostkeyfalse", seen)
    assert.is_nil(tail:next())
  end))

  it("cuts very long lines, between characters", run.body(function()
    local path = file("j", "")
    local tail = follow(servers.host(fleet()), path)
    begun(path)
    append(path, "x" .. ("ü"):rep(1100000) .. "\nend\n")
    local total = 0
    while true do
      local line = next_line(tail)
      if line == "end" then break end
      assert.truthy(line:find "^[%z\1-\127\194-\244]")
      total = total + #line
    end
    assert.equal(2200001, total)
  end))

  it("merges the lines of a fleet, loses none, and keeps memory flat", run.body(function()
    local hosts, count = {}, 5000
    for i = 1, 4 do hosts[i] = "web" .. i end
    for _, name in ipairs(hosts) do require("sshlua.settings").hosts[name] = servers.options(fleet(), name) end
    run.defer(function()
      for _, name in ipairs(hosts) do require("sshlua.settings").hosts[name] = nil end
    end)
    local all = ssh.hosts(hosts)
    run.defer(all.close, all)
    local path = file("k", "")
    local tail = follow(all, path)
    begun(path)
    assert(run.eventually(function() return processes_with(path) >= 4 end))
    ssh.sleep(0.5)
    local seen, n = {}, 0
    ssh.scope(function(s)
      s:spawn(function()
        for i = 1, count do
          append(path, "line " .. i .. "\n")
          if i % 100 == 0 then ssh.sleep(0.02) end
        end
      end)
      ssh.timeout(30, function()
        while n < 4 * count do
          local event = tail:next()
          seen[event.host] = (seen[event.host] or 0) + 1
          assert.equal("line " .. seen[event.host], event.line)
          n = n + 1
        end
      end)
    end)
    for _, name in ipairs(hosts) do assert.equal(count, seen[name]) end
  end, 60))
end)
