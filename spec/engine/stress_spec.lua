-- One session, a hundred channels that read and write at once, under everything that has ever broken them: a crawling
-- socket, key exchanges in the middle, cancelled writers, openers and readers, channels that are forgotten. Every
-- byte is
-- checked, and every exit status.

local engine = require("spec.support.engine")
local task = require("sshlua.task")

local await = task.await
local unpack = table.unpack or unpack

local CHANNELS = 100
local BYTES = 120000 -- by channel, on average
local SECONDS = 60 -- for one run, on a slow machine and with a sanitizer

-- What a channel of the crowd runs. Both end with 3, and what comes back is what went in, once or on both streams.
local ECHO = "cat; exit 3"
local BOTH = "tee /dev/fd/2; exit 3"

local patterns = {}
local function pattern_of(number)
  patterns[number] = patterns[number] or engine.pattern(number)
  return patterns[number]
end

local function write_all(ch, pattern, total)
  local at = 0
  while at < total do
    local n = math.min(total - at, math.random(10) == 1 and math.random(1, 100) or math.random(1, 70000))
    await(ch.write, ch, pattern:bytes(at, n))
    at = at + n
    if math.random(20) == 1 then task.sleep(0) end
  end
  await(ch.send_eof, ch)
end

local function read_one(ch, stream, pattern, total, what, at)
  at = at or 0
  while true do
    local bytes, from = await(ch.read, ch, stream)
    if not bytes then break end
    assert(from == stream, what .. ": the other stream's bytes")
    pattern:check(at, bytes, what)
    at = at + #bytes
  end
  assert(at == total, ("%s: %d bytes of %d"):format(what, at, total))
end

local function read_both(ch, pattern, total, what)
  local at = { [0] = 0, [1] = 0 }
  while true do
    local bytes, from = await(ch.read_any, ch)
    if not bytes then break end
    pattern:check(at[from], bytes, what)
    at[from] = at[from] + #bytes
  end
  assert(at[0] == total and at[1] == total, ("%s: %d and %d bytes of %d"):format(what, at[0], at[1], total))
end

local function finish(ch, what)
  local code = await(ch.wait_closed, ch)
  assert(code == 3, ("%s: exit status %s"):format(what, tostring(code)))
  ch:close()
end

-- A third each: one stream, two streams read apart, two streams read together.
local function duplex(session, number)
  local what = "channel " .. number
  local pattern, total = pattern_of(number), math.random(1, 2 * BYTES)
  local kind = number % 3
  local ch = engine.start(session, kind == 0 and ECHO or BOTH)
  local readers = { function() read_one(ch, 0, pattern, total, what .. " stdout") end }
  if kind == 1 then readers[2] = function() read_one(ch, 1, pattern, total, what .. " stderr") end end
  if kind == 2 then readers[1] = function() read_both(ch, pattern, total, what) end end
  task.all(function() write_all(ch, pattern, total) end, unpack(readers))
  finish(ch, what)
end

-- Operations that are cancelled at any moment: with callbacks, since a task that is cancelled is over.
local called_after_cancel = 0

-- What came before it was cancelled is given to `took`.
local took_nothing = function() end

local function cancellable(took, start, ...)
  local cancelled, args = false, { ... }
  local function done(_, ...)
    if cancelled then called_after_cancel = called_after_cancel + 1 end
    took(...)
  end
  local n = select("#", ...)
  args[n + 1] = done
  local op = start(unpack(args, 1, n + 1))
  return function()
    cancelled = true
    op:cancel()
  end
end

-- What a cancelled write has sent is a prefix of its bytes.
local function cancelled_writer(session, number)
  local ch = engine.start(session, ECHO)
  local pattern = pattern_of(number)
  local cancel = cancellable(took_nothing, ch.write, ch, pattern:bytes(0, 100000))
  local cancel_next = cancellable(took_nothing, ch.write, ch, pattern:bytes(0, 100))
  task.sleep(math.random() * 0.02)
  cancel()
  cancel_next()
  if number % 2 == 0 then
    await(ch.send_eof, ch)
    local bytes = await(ch.read, ch, 0)
    if bytes then pattern:check(0, bytes:sub(1, 100000), "cancelled writer " .. number) end
  end
  ch:close()
end

local function cancelled_open(session, number)
  local ch = session:open_channel()
  local cancel = cancellable(took_nothing, ch.opened, ch)
  if number % 2 == 0 then task.sleep(math.random() * 0.005) end
  cancel()
  if number % 3 == 0 then ch:close() end -- otherwise the collector does
end

local function cancelled_exec(session, number)
  local ch = number % 5 == 0 and session:open_channel() or engine.open(session)
  local cancel = cancellable(took_nothing, ch.exec, ch, "echo " .. number)
  if number % 2 == 0 then task.sleep(math.random() * 0.005) end
  cancel()
  if number % 3 == 0 then ch:close() end -- otherwise the collector does
end

-- Nobody closes it; it is gone at some collection.
local function forgotten(session, number)
  local ch = engine.start(session, "yes " .. number)
  for _ = 1, 3 do
    local bytes = await(ch.read, ch, 0)
    assert(bytes:find("^%d*\n?" .. number .. "\n"))
  end
end

local function cancelled_reader(session, number)
  local what = "cancelled reader " .. number
  local ch = engine.start(session, ECHO)
  local pattern = pattern_of(number)
  local got = 0
  local function take(bytes)
    pattern:check(got, bytes, what)
    got = got + #bytes
  end
  for at = 0, 9 do
    local cancel = cancellable(take, ch.read, ch, 0)
    await(ch.write, ch, pattern:bytes(at * 1000, 1000))
    cancel()
  end
  await(ch.send_eof, ch)
  read_one(ch, 0, pattern, 10000, what, got)
  finish(ch, what)
end

-- Each actor of the list, in random order, all at once.
local function crowd(session, actors)
  for i = #actors, 2, -1 do
    local j = math.random(i)
    actors[i], actors[j] = actors[j], actors[i]
  end
  task.each(actors, function(actor) actor[1](session, actor[2]) end)
end

local function actors_of(counts)
  local actors, number = {}, 0
  for _, pair in ipairs(counts) do
    for _ = 1, pair[2] do
      number = number + 1
      actors[#actors + 1] = { pair[1], number }
    end
  end
  return actors
end

local function with_collector(fn, ...)
  task.scope(function(s, ...)
    s:spawn(function()
      while true do
        task.sleep(0.01)
        collectgarbage("step", 200)
      end
    end)
    fn(...)
    s:cancel()
  end, ...)
end

local function run(fleet, opts, counts)
  engine.within(SECONDS, function()
    local session = engine.connect(fleet, opts)
    with_collector(crowd, session, actors_of(counts))
    assert(session:is_alive(), "the session did not survive")
    local out, _, code = engine.exec(session, "echo still here; exit 3")
    assert(out == "still here\n" and code == 3)
    engine.leave(session)
    assert(called_after_cancel == 0, "an operation that was cancelled has called back")
  end)
end

local function runs(name, fleet, opts, counts)
  it(name, function()
    local times = engine.long and 20 or 1
    for i = 1, times do
      local seed = os.time() + i * 1000
      math.randomseed(seed)
      local ok, err = pcall(run, fleet(), opts, counts)
      if not ok then error(("run %d of %d, seed %d: %s"):format(i, times, seed, tostring(err)), 0) end
    end
  end)
end

describe("A session with a hundred busy channels", function()
  local fleet, up, down = engine.fleet({
    hosts = { "plain", "rekey" }, sshd_config = { "MaxSessions 500", "LogLevel INFO" },
    per_host = { rekey = { "RekeyLimit 1M" } },
  })
  setup(up)
  teardown(down)
  local crawling = { tcp = { sndbuf = 8192 } }
  local crawling_rekey = { host = "rekey", tcp = crawling.tcp }

  runs("loses no byte with 50 of them", fleet, nil, { { duplex, 50 } })
  runs("loses no byte", fleet, nil, { { duplex, CHANNELS } })
  runs("loses no byte with a send buffer of 8 KiB", fleet, crawling, { { duplex, CHANNELS } })
  runs("loses no byte while keys are exchanged every megabyte", fleet, { host = "rekey" }, { { duplex, CHANNELS } })
  runs("loses no byte with both", fleet, crawling_rekey, { { duplex, CHANNELS } })
  runs("is not disturbed by writers that are cancelled", fleet, crawling,
    { { duplex, CHANNELS - 5 }, { cancelled_writer, 5 } })
  runs("is not disturbed by anything that is cancelled or forgotten", fleet, crawling_rekey, {
    { duplex, CHANNELS - 40 }, { cancelled_writer, 10 }, { cancelled_open, 10 }, { cancelled_exec, 10 },
    { cancelled_reader, 5 }, { forgotten, 5 },
  })
end)

describe("Opens and execs", function()
  local fleet, up, down = engine.fleet({ sshd_config = { "MaxSessions 500" } })
  setup(up)
  teardown(down)

  it("that are cancelled one after the other leave the next one its own answer", function()
    engine.within(SECONDS, function()
      local session = engine.connect(fleet())
      for i = 1, engine.long and 1000 or 60 do
        cancelled_open(session, i)
        cancelled_exec(session, i)
        if i % 10 == 0 then collectgarbage() end
        local out, _, code = engine.exec(session, ("echo %d; exit 3"):format(i))
        assert.equal(i .. "\n", out)
        assert.equal(3, code)
      end
      engine.leave(session)
    end)
  end)

  it("of which a hundred are under way each get their own answer", function()
    engine.within(SECONDS, function()
      local session = engine.connect(fleet())
      local numbers = {}
      for i = 1, 100 do numbers[i] = i end
      task.each(numbers, function(i)
        local out, err, code = engine.exec(session, ("echo %d; echo e%d >&2; exit %d"):format(i, i, i))
        assert.equal(i .. "\n", out)
        assert.equal("e" .. i .. "\n", err)
        assert.equal(i, code)
      end)
      engine.leave(session)
    end)
  end)
end)
