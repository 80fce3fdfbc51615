--- What the engine's specs share: bounded runs, connections over the raw core API, patterned bytes, leak counts, and
--- Lua programs in processes of their own. Knows core, tasks and the testbed; must not know sshlua's sessions.

local core = require("sshlua.core")
local processes = require("sshlua.testbed.processes")
local task = require("sshlua.task")
local testbed = require("sshlua.testbed")

local M = {}

local await = task.await

M.long = (os.getenv("SSHLUA_LONG") or "") ~= ""

--- Runs fn as a task that has to end in time; what is left running then is an error.
function M.within(seconds, fn, ...)
  if task.current() then return task.timeout(seconds, fn, ...) end -- inside sshlua a task runs already
  return task.run(function(...) return task.timeout(seconds, fn, ...) end, ...)
end

--- A fleet for a whole block of specs: returns a function that gives it, and what setup and teardown have to call.
function M.fleet(opts)
  local fleet
  local function up() fleet = M.within(60, testbed.start, opts) end
  local function down()
    M.within(30, function() assert(fleet:stop(), "a process of the fleet would not die") end)
  end
  return function() return fleet end, up, down
end

--- Connecting -------------------------------------------------------------------------------------------------------

M.algorithms = { ciphers = "aes128-gcm@openssh.com", kex = "curve25519-sha256" }

local keys = setmetatable({}, { __mode = "k" })

local function key_of(fleet)
  local key = keys[fleet]
  if not key then
    local f = assert(io.open(fleet.identity, "rb"))
    key = await(core.key_parse, f:read("a"), nil)
    f:close()
    keys[fleet] = key
  end
  return key
end
M.key_of = key_of

--- An authenticated session to a host of the fleet, without host key check. `at` {ip, port} goes through a relay;
--- `step(name)` is called before each wait.
---@param opts? { host?: string, at?: table, tcp?: table, session?: table, step?: fun(name: string) }
function M.connect(fleet, opts)
  opts = opts or {}
  local host = fleet:host(opts.host)
  local at = opts.at or { host.address, host.port }
  local step = opts.step or function() end
  local key = key_of(fleet)
  step("connect")
  local socket = await(core.tcp_connect, at[1], at[2], opts.tcp)
  local session = assert(core.session(socket, opts.session or M.algorithms))
  if opts.made then opts.made(session) end
  step("greeting")
  await(session.greeting, session)
  step("handshake")
  await(session.handshake, session)
  step("auth")
  local answer = await(session.auth_publickey, session, host.user, key:blob(), key)
  assert(answer == "ok", answer)
  return session
end

--- Says good-bye and closes.
function M.leave(session)
  await(session.disconnect, session)
  session:close()
end

--- Running ----------------------------------------------------------------------------------------------------------

--- A channel that the server has opened.
function M.open(session)
  local ch = session:open_channel()
  await(ch.opened, ch)
  return ch
end

--- Opens a channel and starts a command.
function M.start(session, command)
  local ch = M.open(session)
  await(ch.exec, ch, command)
  return ch
end

--- All that a channel says until its end: stdout, stderr, code, signal.
function M.drain(ch)
  local parts = { [0] = {}, [1] = {} }
  while true do
    local bytes, stream = await(ch.read_any, ch)
    if not bytes then break end
    local list = parts[stream]
    list[#list + 1] = bytes
  end
  return table.concat(parts[0]), table.concat(parts[1]), await(ch.wait_closed, ch)
end

--- One command to its end: stdout, stderr, code, signal.
function M.exec(session, command)
  local ch = M.start(session, command)
  local out, err, code, signal = M.drain(ch)
  ch:close()
  return out, err, code, signal
end

--- Patterns ---------------------------------------------------------------------------------------------------------

local PERIOD = 65521 -- a prime: no buffer size divides it

---@class sshlua.spec.Pattern bytes that depend on a number and the position
local Pattern = {}
local pattern_mt = { __index = Pattern }

function M.pattern(number)
  local x, bytes = (number * 7919 + 12345) % 2147483647, {}
  for i = 1, PERIOD do
    x = (x * 16807) % 2147483647
    bytes[i] = string.char(x % 256)
  end
  return setmetatable({ block = table.concat(bytes) }, pattern_mt)
end

--- The n bytes from `offset` on, counted from 0.
function Pattern:bytes(offset, n)
  local from, parts = offset % PERIOD, {}
  local left = n
  while left > 0 do
    local part = self.block:sub(from + 1, from + left)
    parts[#parts + 1] = part
    left = left - #part
    from = 0
  end
  return table.concat(parts)
end

--- Raises when `bytes` are not what stands at `offset`.
function Pattern:check(offset, bytes, what)
  if self:bytes(offset, #bytes) ~= bytes then
    error(("%s: wrong bytes somewhere in %d..%d"):format(what, offset, offset + #bytes), 2)
  end
end

--- Delays ---------------------------------------------------------------------------------------------------------------

--- A heart that beats on the loop every 5 ms; `worst()` is the longest delay of a beat in seconds since the last call.
function M.heartbeat()
  local last, worst, op, stopped = core.now(), 0, nil, false
  local function beat()
    local now = core.now()
    worst = math.max(worst, now - last - 0.005)
    last = now
    if not stopped then op = core.timer(0.005, beat) end
  end
  beat()
  return {
    worst = function()
      local w = worst
      worst = 0
      return w
    end,
    stop = function()
      stopped = true
      op:cancel()
    end,
  }
end

--- Runs fn; the longest delay of a neighbour meanwhile must stay below the limit. A busy machine delays us all, so the
--- best of three runs counts.
function M.undisturbed(limit, fn)
  if os.getenv("ASAN_OPTIONS") then limit = limit * 4 end
  local best = math.huge
  for _ = 1, 3 do
    local heart = M.heartbeat()
    fn()
    best = math.min(best, heart.worst())
    heart.stop()
    if best <= limit then return end
  end
  error(("neighbours were delayed by %.0f ms"):format(best * 1000), 2)
end

--- Counting ---------------------------------------------------------------------------------------------------------

local function count_files(dir)
  local entries = await(core.fs_readdir, dir)
  return #entries
end

--- Resident memory in KiB.
function M.rss()
  local f = assert(io.open("/proc/self/status"))
  local text = f:read("a")
  f:close()
  return tonumber(text:match("VmRSS:%s+(%d+)"))
end

--- Handles, operations, objects that own handles, descriptors: inside a task.
function M.resources()
  local stats = core.stats()
  stats.descriptors = count_files("/proc/self/fd")
  return stats
end

--- Lets the collector and close callbacks do their work.
function M.settle()
  for _ = 1, 3 do
    collectgarbage()
    collectgarbage()
    task.sleep(0.05)
  end
end

--- Fails unless the resources come down to what they were; sessions may need a moment to be closed by the loop.
function M.no_growth(before, what)
  local after
  for _ = 1, 50 do
    collectgarbage()
    collectgarbage()
    after = M.resources()
    local grown = false
    for name, n in pairs(before) do grown = grown or after[name] > n end
    if not grown then return end
    task.sleep(0.02)
  end
  for name, n in pairs(before) do
    assert(after[name] <= n, ("%s: %s grew from %d to %d"):format(what or "leak", name, n, after[name]))
  end
end

--- Programs of their own --------------------------------------------------------------------------------------------

--- The Lua that runs us, with the options that let it find our modules.
function M.interpreter()
  local i = 0
  while arg and arg[i - 1] do i = i - 1 end
  return arg and arg[i] or "lua"
end

local function environment()
  local list = {}
  for _, name in ipairs({
    "PATH", "HOME", "TMPDIR", "LUA_PATH", "LUA_CPATH", "LUA_PATH_5_4", "LUA_CPATH_5_4", "SSHLUA_PRELOAD",
    "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS",
  }) do
    if os.getenv(name) then list[#list + 1] = name .. "=" .. os.getenv(name) end
  end
  local preload = os.getenv("SSHLUA_PRELOAD")
  if preload then list[#list + 1] = "LD_PRELOAD=" .. preload end
  return list
end

--- Runs Lua source text as a program with string arguments; returns its stdout, stderr, exit code and signal.
function M.program(source, ...)
  local name = os.tmpname()
  local f = assert(io.open(name, "wb"))
  f:write(source)
  f:close()
  local args = { M.interpreter(), name, ... }
  local proc = assert(core.spawn({
    args = args, env = environment(), stdin = "null", stdout = "pipe", stderr = "pipe",
  }))
  local out, err
  task.all(
    function() out = processes.read_all(proc:stdout()) end,
    function() err = processes.read_all(proc:stderr()) end
  )
  local code, signal = await(proc.wait, proc)
  os.remove(name)
  return out, err, code, signal
end

return M
