-- How commands end: exit statuses, signals, nothing at all; all output before it; streams, ends of streams and refusals.

local core = require("sshlua.core")
local engine = require("spec.support.engine")
local task = require("sshlua.task")

local await = task.await

local SECONDS = 40

local function fails(start, ...)
  local ok, err = pcall(await, start, ...)
  assert.is_false(ok)
  return err
end

--- Why the server, or the engine, opens no channel.
local function not_opened(session)
  local ch = session:open_channel()
  local err = fails(ch.opened, ch)
  assert.is_false(ch:is_open())
  assert.has_error(function() ch:exec("true", function() end) end, "attempt to use a channel that was not opened")
  ch:close()
  return err
end

describe("A command", function()
  local fleet, up, down = engine.fleet({
    hosts = { "plain", "few" }, sshd_config = { "LogLevel ERROR" },
    per_host = { plain = { "MaxSessions 200" }, few = { "MaxSessions 2" } },
  })
  setup(up)
  teardown(down)

  -- fn(session) within a time limit; the session must be good afterwards unless fn says otherwise.
  local function with_session(fn, opts)
    engine.within(SECONDS, function()
      local session = engine.connect(fleet(), opts)
      if fn(session) ~= "dead" then
        local out, _, code = engine.exec(session, "echo good; exit 3")
        assert.equal("good\n", out)
        assert.equal(3, code)
        engine.leave(session)
      end
      session:close()
    end)
  end

  it("has its exit status: 0, 1, 3, 127, 255", function()
    with_session(function(session)
      for _, code in ipairs({ 0, 1, 3, 255 }) do
        local _, _, got, signal = engine.exec(session, "exit " .. code)
        assert.equal(code, got)
        assert.is_nil(signal)
      end
      local _, err, got = engine.exec(session, "/nowhere/at/all")
      assert.equal(127, got)
      assert.truthy(err ~= "")
    end)
  end)

  it("that a signal ended has the signal and no status", function()
    with_session(function(session)
      for _, name in ipairs({ "TERM", "KILL", "INT", "HUP", "SEGV", "ABRT", "PIPE", "USR1" }) do
        local _, _, code, signal = engine.exec(session, ("ulimit -c 0; kill -%s $$; sleep 5"):format(name))
        assert.is_nil(code)
        assert.equal(name, signal)
      end
    end)
  end)

  it("has all of 10 MB of output before its status", function()
    with_session(function(session)
      local pattern = engine.pattern(7)
      local text = pattern:bytes(0, 65521)
      local total = 10 * 1000 * 1000
      local command = ("f=$(mktemp); cat >$f; while cat $f; do :; done | head -c %d; rm $f; echo end >&2; exit 3"):format(total)
      local ch = engine.start(session, command)
      await(ch.write, ch, text)
      await(ch.send_eof, ch)
      local at, err = 0, ""
      while true do
        local bytes, stream = await(ch.read_any, ch)
        if not bytes then break end
        if stream == 0 then
          pattern:check(at, bytes, "output")
          at = at + #bytes
        else
          err = err .. bytes
        end
      end
      assert.equal(total, at)
      assert.equal("end\n", err)
      assert.equal(3, (await(ch.wait_closed, ch)))
      ch:close()
    end)
  end)

  it("keeps the order within each stream", function()
    with_session(function(session)
      local out, err, code = engine.exec(session, [[
        i=0; while [ $i -lt 3000 ]; do echo "o$i"; echo "e$i" >&2; i=$((i+1)); done; exit 3]])
      local expected = { {}, {} }
      for i = 0, 2999 do
        expected[1][i + 1] = "o" .. i .. "\n"
        expected[2][i + 1] = "e" .. i .. "\n"
      end
      assert.is_true(out == table.concat(expected[1]))
      assert.is_true(err == table.concat(expected[2]))
      assert.equal(3, code)
    end)
  end)

  it("whose stdout nobody reads yet may fill stderr", function()
    with_session(function(session)
      local ch = engine.start(session, "echo late; head -c 5000000 /dev/zero >&2; exit 3")
      local n = 0
      while true do
        local bytes = await(ch.read, ch, 1)
        if not bytes then break end
        n = n + #bytes
      end
      assert.equal(5000000, n)
      assert.equal("late\n", (await(ch.read, ch, 0)))
      assert.is_nil((await(ch.read, ch, 0)))
      assert.equal(3, (await(ch.wait_closed, ch)))
      ch:close()
    end)
  end)

  it("that fills both streams at once is read by two readers", function()
    with_session(function(session)
      local ch = engine.start(session, "head -c 5000000 /dev/zero & head -c 5000000 /dev/zero >&2; wait; exit 3")
      local n = { [0] = 0, [1] = 0 }
      local function reader(stream)
        return function()
          while true do
            local bytes = await(ch.read, ch, stream)
            if not bytes then return end
            n[stream] = n[stream] + #bytes
          end
        end
      end
      task.all(reader(0), reader(1))
      assert.same({ [0] = 5000000, [1] = 5000000 }, n)
      assert.equal(3, (await(ch.wait_closed, ch)))
      ch:close()
    end)
  end)

  it("stays at its end when it is read again", function()
    with_session(function(session)
      local ch = engine.start(session, "echo x; exit 3")
      assert.equal("x\n", (await(ch.read_any, ch)))
      for _ = 1, 3 do assert.is_nil((await(ch.read_any, ch))) end
      assert.equal(3, (await(ch.wait_closed, ch)))
      for _ = 1, 3 do assert.is_nil((await(ch.read_any, ch))) end
      assert.equal(3, (await(ch.wait_closed, ch)))
      ch:close()
      ch:close()
      assert.has_error(function() ch:read(0, function() end) end)
    end)
  end)

  it("may be asked for its end only after its output: otherwise that is an error, not a hang", function()
    with_session(function(session)
      local ch = engine.start(session, "cat; exit 3")
      assert.equal("usage", fails(ch.wait_closed, ch).kind)
      await(ch.send_eof, ch)
      assert.is_nil((await(ch.read_any, ch)))
      assert.equal(3, (await(ch.wait_closed, ch)))
      ch:close()
    end)
  end)

  it("closes its output and goes on: that is the end of reading, and the status comes later", function()
    with_session(function(session)
      local ch = engine.start(session, "exec >&- 2>&-; sleep 0.3; exit 3")
      local started = core.now()
      assert.is_nil((await(ch.read_any, ch)))
      assert.equal(3, (await(ch.wait_closed, ch)))
      assert(core.now() - started >= 0.2)
      ch:close()
    end)
  end)

  it("has its input in order, with an end", function()
    with_session(function(session)
      local ch = engine.start(session, "sha256sum; exit 3")
      for i = 1, 100 do await(ch.write, ch, ("%d\n"):format(i)) end
      await(ch.write, ch, "")
      await(ch.send_eof, ch)
      local err = fails(ch.write, ch, "more")
      assert.equal("channel", err.kind)
      local out, _, code = engine.drain(ch)
      local expected = engine.exec(session, "seq 1 100 | sha256sum")
      assert.equal(expected, out)
      assert.equal(3, code)
      ch:close()
    end)
  end)

  for name, command in pairs({ ["does not read"] = "exit 3", ["reads a little of"] = "head -c 1 >/dev/null; exit 3" }) do
    it(name .. " 64 MB of input: the write fails, the status comes, nothing hangs", function()
      with_session(function(session)
        local ch = engine.start(session, command)
        local err = fails(ch.write, ch, ("x"):rep(64 * 1024 * 1024))
        assert.equal("channel", err.kind)
        assert.equal("EPIPE", err.name)
        await(ch.send_eof, ch)
        local _, _, code = engine.drain(ch)
        assert.equal(3, code)
        ch:close()
      end)
    end)
  end

  it("that sleeps on its input is ended by closing the channel", function()
    with_session(function(session)
      local ch = engine.start(session, "exec sleep 1000")
      local kind
      ch:write(("x"):rep(16 * 1024 * 1024), function(err) kind = err and err.kind or "ok" end)
      task.sleep(0.2)
      assert.is_nil(kind)
      ch:close()
      task.sleep(0.05)
      assert.equal("closed", kind)
    end)
  end)

  it("cannot be started twice in one channel", function()
    with_session(function(session)
      local ch = engine.start(session, "cat; exit 3")
      assert.equal("usage", fails(ch.exec, ch, "echo again").kind)
      ch:close()
    end)
  end)

  it("beyond MaxSessions is refused by name, and the session stays good", function()
    with_session(function(session)
      local one, two = engine.start(session, "cat; exit 3"), engine.start(session, "cat; exit 3")
      for _ = 1, 3 do
        local err = not_opened(session)
        assert.equal("channel", err.kind)
        assert.truthy(err.message:find("refused to open a channel", 1, true))
      end
      await(one.write, one, "still here")
      assert.equal("still here", (await(one.read, one, 0)))
      for _, ch in ipairs({ one, two }) do
        await(ch.send_eof, ch)
        local _, _, code = engine.drain(ch)
        assert.equal(3, code)
        ch:close()
      end
      task.sleep(0.05) -- the server counts a session until it has seen our close
    end, { host = "few" })
  end)

  it("of which 20 are asked for and 2 allowed: each is refused or right", function()
    with_session(function(session)
      local numbers, right, refused = {}, 0, 0
      for i = 1, 20 do numbers[i] = i end
      task.each(numbers, function(i)
        local ok, out, _, code = pcall(engine.exec, session, ("echo %d; sleep 0.2; exit 3"):format(i))
        if ok then
          assert.equal(i .. "\n", out)
          assert.equal(3, code)
          right = right + 1
        else
          assert.equal("channel", out.kind)
          refused = refused + 1
        end
      end)
      assert.equal(20, right + refused)
      assert(right >= 2 and refused >= 1)
      task.sleep(0.05)
    end, { host = "few" })
  end)

  it("is lost with its sshd, after what it said", function()
    with_session(function(session)
      local ch = engine.start(session, "echo said; cat")
      task.sleep(0.3)
      fleet():kill("plain", "KILL")
      task.sleep(0.1)
      assert.equal("said\n", (await(ch.read_any, ch)))
      assert.equal("connection_lost", fails(ch.read_any, ch).kind)
      assert.equal("connection_lost", fails(ch.wait_closed, ch).kind)
      assert.equal("connection_lost", fails(ch.write, ch, "x").kind)
      assert.equal("connection_lost", not_opened(session).kind)
      ch:close()
      return "dead"
    end)
  end)

  it("that was over when its sshd was killed keeps output and status", function()
    with_session(function(session)
      local ch = engine.start(session, "echo said; echo err >&2; exit 3")
      task.sleep(0.5)
      fleet():kill("plain", "KILL")
      task.sleep(0.1)
      local out, err, code = engine.drain(ch)
      assert.equal("said\n", out)
      assert.equal("err\n", err)
      assert.equal(3, code)
      ch:close()
      return "dead"
    end)
  end)
end)
