--- Connections that are shared: one for each identity and way, opened once, lost and opened again, closed at the end of
--- the run. Must not know how a connection is opened.

local errors = require("sshlua.errors")
local route = require("sshlua.route")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task")

local M = {}

--- Options that make a connection another one. Everything else is a matter of verbs.
local identity_fields = {
  "identity", "identity_data", "certificate", "agent", "identities_only", "password", "keyboard_interactive",
  "passphrase", "methods", "known_hosts", "strict_host_key_checking", "host_key_alias", "fingerprints",
  "verify_host_key", "insecure_accept_any_host_key", "compression", "ciphers", "macs", "kex", "host_key_algorithms",
  "legacy", "bind", "family", "max_sessions", "bind_interface", "tos", "pubkey_algorithms", "required_rsa_size",
  "host_key_allowed", "host_key_lock", "known_hosts_command", "revoked_host_keys",
}

local function make_key(target, key_of)
  local parts, opts = { target.user, target.hostname, target.port, target.name }, target.opts
  for i = 1, #identity_fields do
    local field = identity_fields[i]
    local value = opts[field]
    if value ~= nil then
      parts[#parts + 1] = field
      parts[#parts + 1] = type(value) == "table" and table.concat(value, "\1") or tostring(value)
    end
  end
  local way = target.route
  parts[#parts + 1] = way.hop and "\2" .. key_of(way.hop) .. "\3" or way.command or ""
  return table.concat(parts, "\0")
end

--- Kept while the target is in use. A copy of a target is another one: its way or its options may differ.
local function key_of(target)
  if target.pool_key_of ~= target then
    target.pool_key, target.pool_key_of = make_key(target, key_of), target
  end
  return target.pool_key
end

local function forget_key(target) target.pool_key, target.pool_key_of = nil, nil end

local pool = {} -- key -> { session=, opening= event }
local registered = false

--- Closes every pooled connection; those that go through others first.
function M.close_all()
  registered = false
  local levels, deepest = {}, 0
  for _, entry in pairs(pool) do
    if entry.session then
      local depth = route.depth(entry.session.target)
      deepest = math.max(deepest, depth)
      levels[depth] = levels[depth] or {}
      table.insert(levels[depth], entry.session)
    end
  end
  pool = {}
  for depth = deepest, 0, -1 do
    task.each(levels[depth] or {}, function(s) s:close() end, { parallel = 100 })
  end
end

local function open_entry(entry, target, open)
  entry.opening = sync.event()
  local ok, s = pcall(open, target)
  entry.session = ok and s or nil
  local opening = entry.opening
  entry.opening = nil
  opening.failure = not ok and s or nil
  opening:set()
  if not ok then error(s, 0) end
  return s
end

--- The live session of a target, opened if there is none. One task opens, the others wait for it.
---@param target table its route is known
---@param open fun(target: table): sshlua.Session
---@return sshlua.Session
function M.session(target, open)
  local key = key_of(target)
  local entry = pool[key]
  if not entry then
    entry = {}
    pool[key] = entry
    if not registered then
      registered = true
      task.at_run_end(M.close_all)
    end
  end
  while true do
    if entry.session and entry.session:is_alive() then return entry.session end
    if not entry.opening then
      if entry.session then entry.session:abort() end
      return open_entry(entry, target, open)
    end
    local opening = entry.opening
    opening:wait()
    if not entry.session and opening.failure and not errors.is(opening.failure, "cancelled") then
      error(opening.failure, 0)
    end
  end
end

--- The session that a target has or had last; nothing is opened.
---@param target table
---@return sshlua.Session|nil
function M.known(target)
  local entry = target.route and pool[key_of(target)]
  return entry and entry.session or nil
end

--- Closes the connection of a target, if there is one.
---@param target table its route is known
function M.close(target)
  local key = key_of(target)
  local entry = pool[key]
  forget_key(target)
  if entry and entry.session then
    local s = entry.session
    entry.session = nil
    if not entry.opening then pool[key] = nil end
    s:close()
  end
end

return M
