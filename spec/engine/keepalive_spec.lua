-- Keepalives: a server that does not answer is lost in time, one that is slow is not, and probes cost nothing.

local core = require("sshlua.core")
local engine = require("spec.support.engine")
local task = require("sshlua.task")
local testbed = require("sshlua.testbed")

local await = task.await

local INTERVAL, COUNT = 0.4, 3
local LIMIT = INTERVAL * COUNT + 1

-- Reads until the connection is lost; the error, and how long after the last bytes it came.
local function wait_for_loss(ch)
  while true do
    local started = core.now()
    local ok, err = pcall(await, ch.read, ch, 0)
    if not ok then return err, core.now() - started end
  end
end

local function assert_lost(err, took)
  assert.equal("connection_lost", err.kind)
  assert.equal("ETIMEDOUT", err.name)
  assert.truthy(err.message:find("did not answer 3 keepalive messages", 1, true))
  assert(took <= LIMIT, ("it took %.2f s"):format(took))
end

describe("Keepalives", function()
  local fleet, up, down = engine.fleet({
    hosts = { "plain", "rekey" }, sshd_config = { "LogLevel ERROR" }, per_host = { rekey = { "RekeyLimit 2K" } },
  })
  setup(up)
  teardown(down)

  local function relayed(host, faults)
    local h = fleet():host(host)
    faults.to = { h.address, h.port }
    local relay = testbed.relay(faults)
    return relay, { relay.address, relay.port }
  end

  it("notice a server that is stopped within interval times count", function()
    engine.within(30, function()
      local session = engine.connect(fleet())
      local ch = engine.start(session, "cat")
      session:keepalive(INTERVAL, COUNT)
      fleet():kill("plain", "STOP")
      local err, took = wait_for_loss(ch)
      fleet():kill("plain", "CONT")
      assert_lost(err, took)
      assert(took >= INTERVAL * COUNT - 0.3, "too early")
      assert.is_false(session:is_alive())
      session:close()
    end)
  end)

  it("end everything that waits: opens, execs, writes, reads and the end of commands", function()
    engine.within(30, function()
      local session = engine.connect(fleet())
      local ch, other = engine.start(session, "cat"), engine.start(session, "exec sleep 100")
      local idle = engine.open(session)
      session:keepalive(INTERVAL, COUNT)
      fleet():kill("plain", "STOP")
      local third, fourth = session:open_channel(), session:open_channel()
      local kinds, started = {}, core.now()
      local function ends(start, ...)
        local args = task.pack(...)
        return function()
          local ok, err = pcall(await, start, (table.unpack or unpack)(args, 1, args.n))
          kinds[#kinds + 1] = ok and "ok" or err.kind
        end
      end
      task.all(
        ends(ch.read, ch, 0), ends(ch.read, ch, 1), ends(ch.write, ch, ("x"):rep(8000000)), ends(other.read_any, other),
        ends(third.opened, third), ends(fourth.exec, fourth, "true"), ends(idle.exec, idle, "true")
      )
      fleet():kill("plain", "CONT")
      assert.equal(7, #kinds)
      for _, kind in ipairs(kinds) do assert.equal("connection_lost", kind) end
      assert(core.now() - started <= LIMIT)
      session:close()
    end)
  end)

  it("notice silence in the middle of a key exchange", function()
    engine.within(30, function()
      local relay, address = relayed("rekey", {})
      local session = engine.connect(fleet(), { host = "rekey", at = address })
      local ch = engine.start(session, "cat /dev/zero")
      session:keepalive(INTERVAL, COUNT)
      for _ = 1, 5 do await(ch.read, ch, 0) end
      local _, sent = session:traffic()
      relay:set("up", { freeze_after = sent + 100 }) -- the server begins the next key exchange, and waits for our half
      assert_lost(wait_for_loss(ch))
      session:close()
      relay:stop()
    end)
  end)

  it("do not mistake a slow server for a dead one", function()
    engine.within(30, function()
      local relay, address = relayed("plain", { up = { delay = 0.3 }, down = { delay = 0.3 } })
      local session = engine.connect(fleet(), { at = address })
      session:keepalive(0.3, 3)
      task.sleep(3)
      assert.is_true(session:is_alive())
      session:close()
      relay:stop()
    end)
  end)

  it("do not blame the server for a script that was busy", function()
    engine.within(60, function()
      local session = engine.connect(fleet())
      local out = engine.exec(session, "echo here")
      session:keepalive(2, 1) -- a probe after one second, lost after two
      local pids = table.concat(fleet():pids("plain"), " ")
      os.execute("kill -STOP " .. pids)
      -- Not a timer: from an I/O callback the loop goes on with its timers before it looks at sockets.
      local nap = assert(core.spawn({ args = { "sleep", "1.3" } }))
      await(nap.wait, nap)
      os.execute("kill -CONT " .. pids .. "; sleep 1.5")
      task.sleep(0.2) -- the answer was there when the time was over
      assert.is_true(session:is_alive())
      out = out .. engine.exec(session, "echo here")
      assert.equal("here\nhere\n", out)
      engine.leave(session)
    end)
  end)

  it("are not sent while there is traffic, nor before authentication", function()
    engine.within(30, function()
      local host = fleet():host("plain")
      local socket = await(core.tcp_connect, host.address, host.port, nil)
      local session = assert(core.session(socket, engine.algorithms))
      session:keepalive(0.02, 1)
      await(session.greeting, session)
      task.sleep(0.2)
      await(session.handshake, session)
      task.sleep(0.2)
      local key = engine.key_of(fleet())
      assert.equal("ok", (await(session.auth_publickey, session, host.user, key:blob(), key)))
      session:keepalive(60, 3)
      engine.leave(session)
    end)
  end)

  it("are counted: hundreds of them are all answered, and cost no memory", function()
    engine.within(60, function()
      local session = engine.connect(fleet())
      session:keepalive(0.005, 900)
      task.sleep(0.5)
      collectgarbage()
      local before, rss, received = engine.resources(), engine.rss(), (session:traffic())
      task.sleep(engine.long and 30 or 2)
      local answers = (session:traffic()) - received
      assert(answers > 36 * 50, ("%d bytes of answers"):format(answers))
      engine.no_growth(before, "keepalives")
      if not os.getenv("ASAN_OPTIONS") then assert(engine.rss() - rss < 256) end
      local out = engine.exec(session, "echo here")
      assert.equal("here\n", out)
      engine.leave(session)
    end)
  end)

  it("stop when they are switched off", function()
    engine.within(30, function()
      local session = engine.connect(fleet())
      session:keepalive(0.005, 900)
      task.sleep(0.1)
      session:keepalive(0, 0)
      task.sleep(0.1)
      local received = (session:traffic())
      task.sleep(0.2)
      assert.equal(received, (session:traffic()))
      engine.leave(session)
    end)
  end)
end)
