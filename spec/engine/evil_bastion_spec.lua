-- A bastion that breaks the rules of opening channels (spec/support/evil_server.py): each thing it does ends in bounded
-- time, harms no neighbour and leaves nothing behind.
local core = require "sshlua.core"
local engine = require "spec.support.engine"
local errors = require "sshlua.errors"
local run = require "spec.support.run"
local task = require "sshlua.task"

local await, body, defer = require("sshlua.task.core").await, run.body, run.defer

local python
for _, path in ipairs { "/usr/bin/python3", "/usr/local/bin/python3" } do
  if not python and os.execute(path .. " -W ignore -c 'import asyncssh' 2>/dev/null") then python = path end
end

local function start_server()
  local proc = assert(core.spawn({
    args = { python, "spec/support/evil_server.py" }, stdin = "pipe", stdout = "pipe", stderr = "null",
  }))
  defer(function()
    proc:kill "KILL"
    await(proc.wait, proc)
    proc:stdin():close()
    proc:stdout():close()
  end)
  return tonumber((await(proc:stdout().read, proc:stdout(), 100)))
end

local function connect(port)
  local session = assert(core.session(await(core.tcp_connect, "127.0.0.1", port, nil), engine.algorithms))
  await(session.handshake, session)
  assert.equal("ok", (await(session.auth_none, session, "anybody")))
  return session
end

-- What comes of a session through a channel that was opened so: the channel's error, or the session's.
local function try(outer, how)
  local ok, ch = pcall(task.timeout, 1, await, outer.open_direct, outer, how, 22, nil)
  if not ok then return ch end
  local inner = assert(core.session(ch, { via = "evil" }))
  local good, err = pcall(task.timeout, 1, await, inner.handshake, inner)
  inner:close()
  return not good and err or nil
end

describe("A bastion that", function()
  if not python then
    pending "breaks the rules needs Python with asyncssh"
    return
  end

  local expected = {
    twice = "connection_lost", both = "channel", data_first = "connection_lost", short = "protocol", zero = "timeout",
    huge = "timeout", other_stream = "connection_lost", flood = "protocol", closed = "timeout", long_words = "channel",
    silence = "timeout",
  }

  it("answers an open in every wrong way", body(function()
    local port = start_server()
    local outer = connect(port)
    for how, kind in pairs(expected) do
      local before = core.now()
      local err = try(outer, how)
      assert.is_true(errors.is(err, kind), how .. ": " .. tostring(err))
      assert.is_nil(err.message:find "[%c]")
      assert.is_true(core.now() - before < 5, how)
    end
    -- all at once, and the neighbour's command goes on
    local ch = engine.start(outer, "two_statuses")
    task.each({ "twice", "both", "zero", "silence", "closed", "flood" }, function(how) try(outer, how) end)
    assert.equal("x", (await(ch.read_any, ch)))
    outer:close()
  end, 60))

  it("is left in the middle of it", body(function()
    local port = start_server()
    for how in pairs(expected) do
      local outer = connect(port)
      outer:open_direct(how, 22, nil, function() end)
      task.sleep(math.random(0, 2) * 0.01)
      if math.random(2) == 1 then
        outer:close()
      else
        outer = nil -- luacheck: ignore 311
        collectgarbage()
      end
      collectgarbage()
    end
  end, 60))
end)
