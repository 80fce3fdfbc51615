-- A server that breaks the rules after authentication (spec/support/evil_server.py, which needs AsyncSSH): each thing it
-- does ends in the right result or in a named error, delays no neighbour and fills no memory.

local core = require("sshlua.core")
local engine = require("spec.support.engine")
local task = require("sshlua.task")

local await = task.await

local SECONDS = 40
local FLOOD = engine.long and 10 or 1 -- seconds
local KIB = 8192 -- what a flood of 100 MB and more may cost

local python
for _, path in ipairs({ "/usr/bin/python3", "/usr/local/bin/python3" }) do
  if not python and os.execute(path .. " -W ignore -c 'import asyncssh' 2>/dev/null") then python = path end
end

describe("A server that", function()
  if not python then
    pending("breaks the rules needs Python with asyncssh")
    return
  end

  local proc, port

  setup(function()
    engine.within(SECONDS, function()
      proc = assert(core.spawn({
        args = { python, "spec/support/evil_server.py" }, stdin = "pipe", stdout = "pipe", stderr = "null",
      }))
      local stdout = proc:stdout()
      port = tonumber((await(stdout.read, stdout, 100)))
    end)
  end)

  teardown(function()
    engine.within(SECONDS, function()
      proc:kill("KILL")
      await(proc.wait, proc)
    end)
  end)

  local function connect(algorithms, user)
    local socket = await(core.tcp_connect, "127.0.0.1", port, nil)
    local session = assert(core.session(socket, algorithms or engine.algorithms))
    await(session.greeting, session)
    await(session.handshake, session)
    assert.equal("ok", (await(session.auth_none, session, user or "anybody")))
    return session
  end

  -- What a command of the server does to us: stdout, stderr, code or nil, signal, error of the last read or wait.
  local function ask(command, algorithms)
    local session = connect(algorithms)
    local out, err_out = {}, {}
    local started, ch = pcall(engine.start, session, command)
    local code, signal
    local ok, err = started, ch
    if started then
      ok, err = pcall(function()
        while true do
          local bytes, stream = await(ch.read_any, ch)
          if not bytes then break end
          local list = stream == 0 and out or err_out
          list[#list + 1] = bytes
        end
        code, signal = await(ch.wait_closed, ch)
      end)
    end
    session:close()
    return { out = table.concat(out), err = table.concat(err_out), code = code, signal = signal, error = not ok and err }
  end

  local function answers(what, command, expected)
    it(what, function()
      engine.within(SECONDS, function()
        local got = ask(command)
        assert.same(expected, { out = got.out, err = got.err, code = got.code, signal = got.signal, error = got.error })
      end)
    end)
  end

  answers("sends two statuses and a signal: the first counts", "two_statuses", { out = "x", err = "", code = 3, error = false })
  answers("sends no status: there is none", "no_status", { out = "x", err = "", error = false })
  answers("closes without an end of output", "close_without_eof", { out = "x", err = "", code = 3, error = false })
  answers("exchanges keys again and again", "rekey 5", { out = "", err = "", code = 3, error = false })

  it("sends messages cut short is refused", function()
    engine.within(SECONDS, function()
      local got = ask("short_messages")
      assert.equal("protocol", got.error.kind)
      assert.equal("a packet of channel data is cut short", got.error.message)
    end)
  end)

  it("goes on after the end of its output is not listened to, and the status comes", function()
    engine.within(SECONDS, function()
      local got = ask("data_after_eof")
      assert.equal("a", got.out)
      assert.equal(3, got.code)
    end)
  end)

  -- fn(ch) waits for an answer that cannot come.
  local function unanswered(user, fn)
    engine.within(SECONDS, function()
      local session = connect(nil, user)
      local ok, err = pcall(task.timeout, 10, fn, engine.open(session))
      assert.is_false(ok)
      assert.equal("channel", err.kind)
      assert.equal("the server closed the channel without an answer", err.message)
      session:close()
    end)
  end

  for who, user in pairs({ ["closes in place of an answer to a request"] = "anybody",
    ["closes a channel before it says that it is open"] = "early" }) do
    it(who .. " ends what waits for the answer", function()
      unanswered(user, function(ch) await(ch.exec, ch, "close_unanswered") end)
      unanswered(user, function(ch) await(ch.run, ch, "close_unanswered", 1000) end)
      unanswered(user, function(ch) await(ch.setenv, ch, "close_unanswered", "x") end)
      unanswered(user, function(ch) await(ch.pty, ch, "close_unanswered", 80, 24, "\0") end)
    end)
  end

  it("ends a channel before it says that it is open has nothing to read", function()
    engine.within(SECONDS, function()
      local session = connect(nil, "early")
      local ch = engine.open(session)
      assert.is_nil((task.timeout(10, await, ch.read_any, ch)))
      session:close()
    end)
  end)

  it("disconnects behind its output loses nothing of it", function()
    engine.within(SECONDS, function()
      local got = ask("disconnect")
      assert.equal(("o"):rep(30000), got.out)
      assert.equal(("e"):rep(30000), got.err)
      assert.equal("connection_lost", got.error.kind)
      assert.truthy(got.error.message:find("gone fishing", 1, true))
    end)
  end)

  it("comes with another host key in a later key exchange is refused", function()
    engine.within(SECONDS, function()
      local got = ask("new_host_key")
      assert.equal("hostkey", got.error.kind)
    end)
  end)

  it("sends a packet that is no whole number of blocks is refused, whatever the cipher", function()
    engine.within(SECONDS, function()
      for _, names in ipairs({
        "aes128-gcm@openssh.com hmac-sha2-256", "aes128-ctr hmac-sha2-256", "aes128-cbc hmac-sha2-256",
        "aes128-ctr hmac-sha2-256-etm@openssh.com",
      }) do
        local cipher, mac = names:match("(%S+) (%S+)")
        local got = ask("odd_length", { ciphers = cipher, macs = mac, kex = engine.algorithms.kex })
        assert.equal("protocol", got.error.kind)
        assert.equal("a packet of the server has an impossible length", got.error.message)
      end
    end)
  end)

  it("begins a key exchange twice is refused", function()
    engine.within(SECONDS, function() assert.equal("protocol", ask("kexinit_twice").error.kind) end)
  end)

  -- Ends by itself with status 3, unless the server gives up on what we answer.
  local function flood(what, command)
    it("floods us with " .. what .. " delays nobody and fills no memory", function()
      engine.within(SECONDS * 3 + FLOOD * 3, function()
        ask("rekey 1") -- warm up
        collectgarbage()
        local rss = engine.rss()
        engine.undisturbed(0.050, function()
          local got = ask(command)
          assert(got.code == 3 or got.error.kind == "connection_lost", tostring(got.error))
        end)
        local growth = engine.rss() - rss
        if not os.getenv("ASAN_OPTIONS") then assert(growth < KIB, ("memory grew by %d KiB"):format(growth)) end
      end)
    end)
  end

  for _, pair in ipairs({
    { "messages to ignore", 2 }, { "debug messages", 4 }, { "UNIMPLEMENTED", 3 }, { "messages of no number", 0 },
    { "unknown messages", 15 }, { "NEWKEYS", 21 }, { "key exchange replies", 31 }, { "KEXINIT", 20 },
    { "authentication successes", 52 }, { "banners", 53 }, { "unknown numbers", 200 },
  }) do
    flood(pair[1], ("flood %d %d"):format(pair[2], FLOOD))
  end
  flood("small messages to ignore", ("flood 2 %d 4"):format(FLOOD))
  flood("answers to requests that nobody made", ("flood_channel 99 %d"):format(FLOOD))
  flood("failures of requests that nobody made", ("flood_channel 100 %d"):format(FLOOD))
  for _, kind in ipairs({ 91, 92, 93, 94, 95, 96, 97, 98, 99, 100 }) do
    flood(("message %d about a channel that is not there"):format(kind), ("flood_other_channel %d %d"):format(kind, FLOOD))
  end
  flood("questions, and does not listen to the answers", ("ask_and_ask %d"):format(FLOOD))
end)
