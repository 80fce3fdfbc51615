--- From a name to an authenticated session: resolve, connect, greeting, key exchange, host key, authentication; each
--- phase with a deadline of its own, all of them with one together; what a retry may cure is tried again.

local add_keys = require("sshlua.add_keys")
local algorithm_lists = require("sshlua.algorithm_lists")
local auth = require("sshlua.auth")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local eyeballs = require("sshlua.eyeballs")
local hostkeys = require("sshlua.hostkeys")
local local_command = require("sshlua.local_command")
local log = require("sshlua.log")
local options = require("sshlua.options")
local pace = require("sshlua.pace")
local pool = require("sshlua.pool")
local lazy = require("sshlua.lazy")
local proxy = lazy("sshlua.proxy")
local rsa_size = lazy("sshlua.rsa_size")
local scope = require("sshlua.task.scope")
local session = require("sshlua.session")
local target_of = require("sshlua.target")
local task = require("sshlua.task.core")
local tunnel = lazy("sshlua.tunnel")

local M = { options = target_of.options, target = target_of.new, with_profile = target_of.with_profile }

local await = task.await
local legacy_of = algorithm_lists.legacy_of

--- Phases -----------------------------------------------------------------------------------------------------------

local function limit_of(target, phase)
  return target.opts.timeouts and target.opts.timeouts[phase] or target_of.phase_limits[phase]
end

local timing_names = {
  resolve = "dns", connect = "tcp", greeting = "kex", handshake = "kex", hostkey = "kex", auth = "auth",
}

--- Results tell how long the parts of connecting took.
local function note_time(target, name, seconds)
  local field = timing_names[name]
  if field then target.timing[field] = (target.timing[field] or 0) + seconds end
end

--- Runs fn(...) as a phase: its deadline, its name in every error, an event when it is over.
local function phase(target, name, fn, ...)
  target.phase = name
  local before, limit = core.now(), limit_of(target, name)
  local r = task.pack(pcall(scope.deadline, {
    seconds = limit, phase = name, host = target.name,
    message = function() return ("no answer within %g s (%s)"):format(limit, name) end,
  }, fn, ...))
  note_time(target, name, core.now() - before)
  if log.wants(2) then
    log.emit(2, target.name, name, { seconds = core.now() - before, ok = r[1] })
  end
  if not r[1] then error(errors.wrap(r[2], { host = target.name, phase = name }), 0) end
  return (table.unpack or unpack)(r, 2, r.n) -- luacheck: ignore 143
end

local tidy = {} -- a list of names as one word, as it was given -> without blanks

local function join(list, more)
  local given = list
  list = type(given) == "string" and tidy[given] or table.concat(options.list(given), ",")
  if type(given) == "string" then tidy[given] = list end
  return more and list .. "," .. more or list
end

--- How RSA keys may sign; nil: in every way there is.
local function rsa_signatures(o)
  if legacy_of(o.legacy).rsa_sha1 then return nil end
  if not o.pubkey_algorithms then return "rsa-sha2-512,rsa-sha2-256" end
  local list = {}
  for _, name in ipairs(o.pubkey_algorithms) do
    if name == "rsa-sha2-512" or name == "rsa-sha2-256" or name == "ssh-rsa" then list[#list + 1] = name end
  end
  return list[1] and table.concat(list, ",") or "rsa-sha2-512,rsa-sha2-256"
end

local function algorithms(target)
  local o = target.opts
  local legacy = legacy_of(o.legacy)
  return {
    kex = join(o.kex or algorithm_lists.kex, legacy.kex),
    ciphers = join(o.ciphers or algorithm_lists.ciphers, legacy.ciphers),
    macs = join(o.macs or algorithm_lists.macs, legacy.macs),
    host_key = hostkeys.algorithms(target),
    compression = o.compression and "zlib@openssh.com,none" or "none",
    sign = rsa_signatures(o),
    trace = log.level_of(target.name) >= 3 and (log.path or true) or nil,
  }
end

local offer_names = { kex = "key exchange", host_key = "host key", cipher_in = "cipher", mac_in = "MAC" }

--- Names what the server offers where nothing fits: the usual trouble with old devices.
local function explain_handshake(s, wanted, err)
  if not errors.is(err, "handshake") then return err end
  local offered = s:offered()
  local ours = { kex = wanted.kex, host_key = wanted.host_key, cipher_in = wanted.ciphers, mac_in = wanted.macs }
  for field, name in pairs(offered and offer_names or {}) do
    local common = false
    for algorithm in offered[field]:gmatch("[^,]+") do
      if ("," .. ours[field] .. ","):find("," .. algorithm .. ",", 1, true) then common = true end
    end
    if not common then
      err.message = ("no common %s algorithm; the server offers %s"):format(name, errors.excerpt(offered[field], 300))
      err.hint = "an old server may need the option legacy = true, for this host only; a device its profile"
      break
    end
  end
  return err
end

--- Without strict key exchange (CVE-2023-48795) a man in the middle can cut messages out of ChaCha20-Poly1305 or
--- CBC-EtM.
local function check_terrapin(target, agreed)
  if agreed.strict_kex ~= false or target.opts.ciphers or target.opts.legacy then return end
  if agreed.cipher_in == "chacha20-poly1305@openssh.com" or agreed.cipher_out == "chacha20-poly1305@openssh.com" then
    errors.raise({
      kind = "handshake", message = "the server has only chacha20-poly1305 to offer and no strict key exchange",
      hint = "update the server (CVE-2023-48795), or name the cipher in the option ciphers",
    })
  end
end

--- In its turn, when a fleet is being logged in to with the same credentials.
local function log_in(s, target)
  local function try() return phase(target, "auth", auth.authenticate, s, target) end
  if target.gate then return target.gate:try(target, try) end
  return try()
end

local function handshake(target, carrier, via)
  local listed, wanted = pcall(algorithms, target)
  if not listed then
    carrier:close()
    error(wanted, 0)
  end
  wanted.via = via
  local s, err = core.session(carrier, wanted)
  if not s then
    local e = errors.from(err)
    e.message = e.message:gsub("'host_key'", "'host_key_algorithms'") -- the option's name
    errors.raise(e)
  end
  local ok, failure = pcall(function()
    local function step(fn) -- a quick server's KEXINIT may be refused while the greeting is still being delivered
      local good, why = pcall(await, fn, s)
      if not good then error(explain_handshake(s, wanted, why), 0) end
    end
    phase(target, "greeting", step, s.greeting)
    phase(target, "handshake", step, s.handshake)
    local agreed = s:algorithms()
    check_terrapin(target, agreed)
    if log.wants(1) then
      log.emit(1, target.name, "kex", {
        server = s:server_version(), kex = agreed.kex, host_key = agreed.host_key, cipher = agreed.cipher_in,
        mac = agreed.mac_in, compression = agreed.compression,
      })
    end
    local key = s:host_key()
    if type(key) == "string" and core.key_type(key) == "ssh-rsa" then rsa_size.check_host_key(target, key) end
    phase(target, "hostkey", hostkeys.verify, target, key)
    add_keys.hand_over(target, log_in(s, target))
  end)
  if ok then return s end
  s:close()
  error(failure, 0)
end

local function directly(target)
  local addresses = phase(target, "resolve", await, core.resolve, target.hostname, target.opts.family or 0)
  local socket, address = phase(target, "connect", eyeballs.connect, target, addresses)
  target.address = address
  if log.wants(1) then log.emit(1, target.name, "connected", { address = address, port = target.port }) end
  return handshake(target, socket)
end

local function by_command(target, command)
  local child = proxy.start(target, command)
  if log.wants(1) then log.emit(1, target.name, "connected", { command = child.label }) end
  local ok, s = pcall(handshake, target, child.carrier)
  if ok then return s, child end
  s = child:explain(s)
  child:close()
  error(s, 0)
end

--- The connection that carries this one. What fails there is told in our name, with its kind.
local function session_of_hop(target, hop)
  local ok, below = pcall(M.shared, hop)
  if ok then return below end
  if not errors.is(below) or errors.is(below, "cancelled") or errors.is(below, "usage") then error(below, 0) end
  errors.raise({
    kind = below.kind, name = below.name, code = below.code, phase = below.phase, reason = below.reason,
    hint = below.hint, host = target.name, cause = below, via = hop.name,
    message = ("jump host %s: %s"):format(hop.name, below.message),
  })
end

local function through(target, hop)
  local below = session_of_hop(target, hop)
  return below:_in_turn(function()
    local channel = phase(target, "connect", tunnel.channel, below, target.hostname, target.port)
    if log.wants(1) then log.emit(1, target.name, "connected", { via = hop.name, port = target.port }) end
    local ok, s = pcall(handshake, target, channel, hop.name)
    if ok then return s end
    if errors.is(s) and not below:is_alive() then s.lost_way = hop.name end
    error(s, 0)
  end)
end

local function open_once(target)
  local way = target.route
  target.timing = {}
  local s, child
  if way.hop then
    s = through(target, way.hop)
  elseif way.command then
    s, child = by_command(target, way.command)
  else
    s = directly(target)
  end
  local o = target.opts
  s:keepalive(o.server_alive_interval or 15, o.server_alive_count_max or 3)
  local opened = session.new(s, target, limit_of(target, "channel"), limit_of(target, "place"), child,
    s:server_version())
  opened.opened_at = core.now()
  return opened
end

local function open_with_retries(target)
  local way = target_of.prepare_way(target)
  local address = ("%s %d %s"):format(target.hostname, target.port, way.hop and way.hop.name or way.command or "")
  return pace.connect(address, target.opts, function() return open_once(target) end)
end

--- Raises where there must be no connection. With "connect" it gives the session in place of one by hand; with "close"
--- it says that there is nothing to close. A cassette's.
---@type nil|fun(target: table, verb?: "connect"|"close"): any
M.guard = nil

--- Opens a session to a target made by M.target. Failures that a retry may cure (refused, reset before the greeting)
--- are tried again with back-off; a rejected key or password never is.
---@return sshlua.Session
function M.open(target)
  if M.guard then M.guard(target) end
  target.phase = "wait" -- for its turn; boards show how far it is
  local ok, s = pcall(scope.deadline, {
    seconds = target.opts.timeout, host = target.name, phase = "connect",
    message = function() return ("not connected within %g s"):format(target.opts.timeout) end,
  }, open_with_retries, target)
  target.phase = nil
  if ok then
    local run, why = pcall(local_command.run, target)
    if run then return s end
    s:close()
    error(why, 0)
  end
  if log.wants(1) then log.emit(1, target.name, "failed", { error = tostring(s) }) end
  error(errors.wrap(s, { host = target.name }), 0)
end

--- The one connection to a target that all share who go to it, or through it.
---@return sshlua.Session
function M.shared(target)
  if M.guard then M.guard(target) end
  target_of.prepare_way(target)
  return pool.session(target, M.open)
end

--- Closes it; those who share it lose it, too.
function M.close_shared(target)
  if M.guard and M.guard(target, "close") then return end
  if pcall(target_of.prepare_way, target) then pool.close(target) end
end

return M
