-- A hostile wire between client and server: cut, reset, frozen or spoilt at every byte of a whole session, in both
-- directions. Each case ends soon, in an error that says what it is or in a session that is right to the last byte.

local core = require("sshlua.core")
local engine = require("spec.support.engine")
local errors = require("sshlua.errors")
local task = require("sshlua.task")
local testbed = require("sshlua.testbed")

local await = task.await

local SECONDS = 20 -- for what has to end at once; only a machine that is very busy needs them
local STALL = 1.5 -- a wire that says nothing is given up after that long
local POSITIONS = 40 -- of a sweep, in the short run
local AT_ONCE = 8

local pattern = engine.pattern(1)
local TOTAL = 5000

-- Kinds that say what a bad wire can do. What a flipped bit makes of a packet depends on the bit.
local cut_kinds = { connection_lost = true }
local freeze_kinds = { timeout = true }
local flip_kinds = {
  connection_lost = true, timeout = true, protocol = true, handshake = true, hostkey = true, auth = true,
}

-- What a session asks for; each has its own code for a half-done key exchange.
local kinds_of_session = {}
for _, kex in ipairs({
  "curve25519-sha256", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256", "diffie-hellman-group-exchange-sha256",
}) do
  for _, host_key in ipairs({ "ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512" }) do
    for _, cipher in ipairs({ "aes128-gcm@openssh.com", "aes256-ctr" }) do
      kinds_of_session[#kinds_of_session + 1] = {
        kex = kex, host_key = host_key, ciphers = cipher, macs = "hmac-sha2-256-etm@openssh.com",
      }
    end
  end
end

-- A whole session: everything is sent, comes back and is checked.
local function whole_session(fleet, at, session_made, kind)
  local session = engine.connect(fleet, { at = at, made = session_made, session = kind })
  local ch = engine.start(session, "cat; exit 3")
  await(ch.write, ch, pattern:bytes(0, TOTAL))
  await(ch.send_eof, ch)
  local out, err, code = engine.drain(ch)
  assert(out == pattern:bytes(0, TOTAL), "wrong data")
  assert(err == "" and code == 3, "wrong end")
  ch:close()
  await(session.disconnect, session)
end

-- One session through a relay with these faults; returns nil or the error, and how long it took.
local function through(fleet, faults, seconds, kind)
  local host = fleet:host()
  faults.to = { host.address, host.port }
  local relay = testbed.relay(faults)
  local session
  local started = core.now()
  local ok, err = pcall(task.timeout, seconds, whole_session, fleet, { relay.address, relay.port },
    function(made) session = made end, kind)
  local took = core.now() - started
  if session then session:close() end
  local passed = relay.passed[1]
  relay:stop()
  if ok then return nil, took, passed end
  return err, took, passed
end

local function judge(what, err, took, kinds)
  if err == nil then return end
  if not errors.is(err) then error(("%s: %s"):format(what, tostring(err)), 0) end
  if not kinds[err.kind] then error(("%s: ended with %s"):format(what, tostring(err)), 0) end
  if err.message == "" then error(what .. ": an error without words", 0) end
  if err.kind ~= "timeout" and took > SECONDS / 2 then error(("%s: took %.1f s"):format(what, took), 0) end
end

-- The bytes of a clean session, by direction.
local function lengths(fleet, kind)
  local err, _, passed = through(fleet, {}, SECONDS, kind)
  assert(err == nil, tostring(err))
  return passed
end

-- Positions from 0 to n: all of them in the long run, otherwise a comb whose teeth are elsewhere each time.
local function comb(n)
  local list, stride = {}, engine.long and 1 or math.max(1, math.floor(n / POSITIONS))
  local at = stride > 1 and math.random(0, stride - 1) or 0
  while at <= n do
    list[#list + 1] = at
    at = at + stride
  end
  return list
end

-- In the long run every byte of the usual kind of session; in the short run all kinds in turn.
local function sweep(fleet, direction, kinds, seconds, faults_at)
  local list = comb(lengths(fleet)[direction])
  local ended = {}
  task.each(list, function(at, i)
    local faults = faults_at(at)
    local kind = not engine.long and kinds_of_session[i % #kinds_of_session + 1] or nil
    local what = ("%s at byte %d of %s"):format(direction, at, kind and kind.kex .. " " .. kind.host_key or "a session")
    local err, took = through(fleet, { [direction] = faults }, seconds, kind)
    judge(what, err, took, kinds)
    local outcome = err and err.kind or "right"
    ended[outcome] = (ended[outcome] or 0) + 1
  end, { parallel = AT_ONCE })
  return ended
end

describe("A wire that is", function()
  local fleet, up, down = engine.fleet({
    sshd_config = { "LogLevel ERROR" }, host_keys = { "ed25519", "ecdsa", "rsa" },
  })
  setup(up)
  teardown(down)
  local limit = engine.long and 7200 or 120

  local function no_leak(fn)
    engine.within(limit, function()
      through(fleet(), {}, SECONDS) -- warm up
      local before = engine.resources()
      fn()
      engine.no_growth(before, "sweep")
    end)
  end

  for _, direction in ipairs({ "up", "down" }) do
    for _, how in ipairs({ "fin", "rst" }) do
      it(("cut by %s in direction %s loses the connection at every byte"):format(how, direction), function()
        no_leak(function()
          sweep(fleet(), direction, cut_kinds, SECONDS, function(at) return { cut_after = at, cut = how } end)
        end)
      end)
    end

    it(("frozen in direction %s is a timeout at every byte"):format(direction), function()
      no_leak(function()
        local ended = sweep(fleet(), direction, freeze_kinds, STALL, function(at) return { freeze_after = at } end)
        assert.is_true((ended.timeout or 0) > 1)
      end)
    end)

    it(("spoilt by a bit in direction %s never brings wrong data"):format(direction), function()
      no_leak(function()
        sweep(fleet(), direction, flip_kinds, STALL, function(at)
          return { flip_at = at + 1, flip_bit = math.random(0, 7) }
        end)
      end)
    end)
  end

  it("cut into single bytes carries the session", function()
    engine.within(60, function()
      local err = through(fleet(), { up = { piece = 1 }, down = { piece = 1 } }, 50)
      assert.is_nil(err)
    end)
  end)

  it("slow carries the session", function()
    engine.within(30, function()
      local err = through(fleet(), { up = { delay = 0.1 }, down = { delay = 0.1 } }, 20)
      assert.is_nil(err)
    end)
  end)

  it("frozen for a while carries the session", function()
    engine.within(60, function()
      local n = lengths(fleet())
      for _, part in ipairs({ 0.1, 0.5, 0.9 }) do
        local host = fleet():host()
        local relay = testbed.relay({
          to = { host.address, host.port }, up = { freeze_after = math.floor(n.up * part) },
          down = { freeze_after = math.floor(n.down * part) },
        })
        local timer = core.timer(0.4, function() relay:thaw() end)
        task.timeout(SECONDS, whole_session, fleet(), { relay.address, relay.port })
        timer:cancel()
        relay:stop()
      end
    end)
  end)
end)

-- A server that is a program writing to the socket.
local function spouting(command, fn)
  local listener = assert(core.tcp_listen("127.0.0.1", 0))
  local procs = {}
  listener:accept(function(err, socket)
    if err then return end
    procs[1] = assert(core.spawn({ args = { "/bin/sh", "-c", command }, stdin = "null", stdout = socket, stderr = "null" }))
    socket:close()
  end)
  local ok, err = pcall(fn, { "127.0.0.1", listener:port() })
  listener:close()
  if procs[1] then
    procs[1]:kill("KILL")
    await(procs[1].wait, procs[1])
  end
  if not ok then error(err, 0) end
end

local function packet(kind, body)
  local payload = string.char(kind) .. body
  local padding = 8 - (5 + #payload) % 8
  if padding < 4 then padding = padding + 8 end
  local length = 1 + #payload + padding
  return string.char(math.floor(length / 16777216) % 256, math.floor(length / 65536) % 256,
    math.floor(length / 256) % 256, length % 256, padding) .. payload .. ("\0"):rep(padding)
end

local function greet_and_shake(at, handshake)
  local socket = await(core.tcp_connect, at[1], at[2], nil)
  local session = assert(core.session(socket, engine.algorithms))
  local ok, err = pcall(function()
    await(session.greeting, session)
    if handshake then await(session.handshake, session) end
  end)
  session:close()
  return ok, err
end

describe("A server that talks without end", function()
  local function with_file(text, fn)
    local name = os.tmpname()
    local f = assert(io.open(name, "wb"))
    f:write(text)
    f:close()
    local ok, err = pcall(fn, name)
    os.remove(name)
    if not ok then error(err, 0) end
  end

  local function expect_protocol(command, handshake)
    engine.within(SECONDS, function()
      engine.undisturbed(0.050, function()
        spouting(command, function(at)
          local ok, err = greet_and_shake(at, handshake)
          assert.is_false(ok)
          assert.equal("protocol", err.kind)
        end)
      end)
    end)
  end

  it("in lines before its greeting is refused, and delays nobody", function() expect_protocol("exec yes 'a line'") end)

  it("in one line is refused, and delays nobody", function() expect_protocol("exec tr '\\0' x </dev/zero") end)

  it("in zero bytes is refused, and delays nobody", function() expect_protocol("exec cat /dev/zero") end)

  it("in empty lines is refused, and delays nobody", function() expect_protocol("exec yes ''") end)

  it("in messages to be ignored is refused, and delays nobody", function()
    with_file(packet(2, "\0\0\117\48" .. ("x"):rep(30000)):rep(30), function(name)
      expect_protocol(("printf 'SSH-2.0-flood\\r\\n'; while cat %s; do :; done"):format(name), true)
    end)
  end)

  it("in small messages to be ignored is refused, and delays nobody", function()
    with_file(packet(2, "\0\0\0\0"):rep(40000), function(name)
      expect_protocol(("printf 'SSH-2.0-flood\\r\\n'; while cat %s; do :; done"):format(name), true)
    end)
  end)

  it("in debug messages with a greeting of its own line by line is refused", function()
    with_file(packet(4, "\1\0\0\117\48" .. ("x"):rep(30000) .. "\0\0\0\0"):rep(30), function(name)
      expect_protocol(("printf 'hello\\r\\nSSH-2.0-flood\\r\\n'; while cat %s; do :; done"):format(name), true)
    end)
  end)
end)

describe("A greeting", function()
  local function greet(text)
    local result
    engine.within(SECONDS, function()
      spouting(("printf '%s'; sleep 1"):format(text), function(at)
        local ok, err = greet_and_shake(at)
        result = ok and "ok" or err.kind
      end)
    end)
    return result
  end

  it("may follow lines of text", function() assert.equal("ok", greet("hello\\r\\nyou\\nSSH-2.0-x\\r\\n")) end)
  it("may end without a carriage return", function() assert.equal("ok", greet("SSH-2.0-x\\n")) end)
  it("may be of a server that speaks SSH 1, too", function() assert.equal("ok", greet("SSH-1.99-x\\r\\n")) end)
  it("of SSH 1 is refused", function() assert.equal("protocol", greet("SSH-1.5-x\\r\\n")) end)
  it("of SSH 3 is refused", function() assert.equal("protocol", greet("SSH-3.0-x\\r\\n")) end)
  it("of 256 bytes is refused", function() assert.equal("protocol", greet("SSH-2.0-" .. ("x"):rep(246) .. "\\r\\n")) end)
  it("of 255 bytes is taken", function() assert.equal("ok", greet("SSH-2.0-" .. ("x"):rep(245) .. "\\r\\n")) end)
  it("of a web server is a lost connection or a timeout", function()
    engine.within(SECONDS, function()
      spouting("printf 'HTTP/1.1 400 Bad Request\\r\\n\\r\\n'", function(at)
        local ok, err = greet_and_shake(at)
        assert.is_false(ok)
        assert.equal("connection_lost", err.kind)
      end)
    end)
  end)
end)
