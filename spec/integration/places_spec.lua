-- Who waits for a channel while others hold all that the server allows, and for how long.
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body, fails, defer = run.body, run.fails, run.defer
local fleet, start_fleet, stop_fleet = servers.shared { sshd_config = { "MaxSessions 2" } }

local function connect(opts) return servers.connect(fleet(), nil, opts) end

describe("a command that finds all channels taken", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("by processes is told so when none has come free in time, and runs once one has", body(function()
    local held = {}
    defer(ssh.log(function(event) if event.what == "places.held" then held[#held + 1] = event.places end end))
    local s = connect { timeouts = { place = 0.4 } }
    local a, b = s:spawn "cat", s:spawn "cat"
    for _ = 1, 2 do -- the limit is learnt, and then known
      local e = fails("timeout", s.exec, s, "echo in")
      assert.equal("channel", e.phase)
      assert.equal("web1", e.host)
      assert.truthy(e.message:find("hold all 2 of the server's MaxSessions", 1, true), e.message)
      assert.truthy(e.hint:find("place", 1, true), e.hint)
    end
    assert.same({ 2 }, held)
    a:close()
    assert.equal("in", tostring(s:exec "echo in"))
    b.stdin:write "x"
    assert.equal("x", b:wait().stdout)
  end))

  it("by a shell, SFTP and what max_sessions says is told so, too", body(function()
    local s = connect { timeouts = { place = 0.3 }, max_sessions = 1 }
    local sftp = s:sftp()
    local e = fails("timeout", s.exec, s, "true")
    assert.truthy(e.message:find("hold all 1 of the option max_sessions", 1, true), e.message)
    sftp:close()
    local t = s:shell { timeout = 10 }
    fails("timeout", s.exec, s, "true")
    t:close()
    s:exec "true"
  end))

  it("by runs waits for their end, however long", body(function()
    local s = connect { timeouts = { place = 0.1 } }
    task.each({ 1, 2, 3, 4 }, function(i) assert.equal(tostring(i), tostring(s:exec("sleep 0.4; echo " .. i))) end)
  end))

  it("beside a process has its turn, whatever a dying channel made us believe of the limit", body(function()
    local s = connect { timeouts = { place = 20 } }
    local p = s:spawn "cat"
    for i = 1, 20 do assert.equal(tostring(i), tostring(s:exec("echo " .. i))) end
    s.places.limit = 1 -- as if a refusal had taught it
    assert.equal("in", tostring(s:exec "echo in"))
    p:close()
  end))

  it("by processes whose end others wait for waits, too", body(function()
    local s = connect { timeouts = { place = 0.1 } }
    local a, b = s:spawn "sleep 0.6", s:spawn "sleep 0.6"
    task.all(function() a:wait() end, function() b:wait() end, function()
      assert.equal("in", tostring(s:exec "echo in"))
    end)
    -- Who stops waiting for a process leaves it as it was.
    local c, d = s:spawn "sleep 4", s:spawn "sleep 4"
    fails("timeout", task.timeout, 0.1, c.wait, c)
    fails("timeout", s.exec, s, "true")
    c:close()
    d:close()
  end))

  it("is told of a connection that is lost meanwhile", body(function()
    local own = servers.fleet { sshd_config = { "MaxSessions 1" } }
    local s = servers.connect(own)
    local p = s:spawn "cat"
    task.all(function() fails("connection_lost", s.exec, s, "true") end, function()
      run.eventually(function() return s.places.waiting == 1 end)
      own:kill("web1", "KILL")
    end)
    p:close()
  end))

  it("waits only as long as its own timeout says, and leaves the line", body(function()
    local s = connect {}
    local a, b = s:spawn "cat", s:spawn "cat"
    local e = fails("timeout", s.exec, s, "true", { timeout = 0.3 })
    assert.equal("command", e.phase)
    assert.equal(0, s.places.waiting)
    a:close()
    b:close()
    assert.equal(0, s.places.kept_count)
    assert.equal(0, s.places.taken)
  end))
end)
