--- `sshlua keys scan|lock|verify`: asking servers for their keys, and holding them to it.

local connect = require("sshlua.connect")
local core = require("sshlua.core")
local edit = require("sshlua.known_hosts_edit")
local errors = require("sshlua.errors")
local home = require("sshlua.home")
local keylock = require("sshlua.keylock")
local keys = require("sshlua.cli.keys")
local keyscan = require("sshlua.keyscan")
local known_hosts = require("sshlua.known_hosts")

local M = {}

local DEFAULT_LOCK = "sshlua.hostkeys"

local function say(fmt, ...) io.stderr:write("keys: ", fmt:format(...), "\n") end

local function targets_of(o, command)
  local targets = keys.targets(o)
  if not targets[1] then keys.misuse("%s: which hosts?", command) end
  return targets
end

local function failed(host) say("%s: %s", core.clean(host.name), host.err.message) end

function M.scan(o)
  local failures = 0
  for _, host in ipairs(keyscan.scan(targets_of(o, "scan"), { types = o.types })) do
    for _, key in ipairs(host.keys) do
      local line, err = core.known_hosts_line(host.hostname, host.port, key.blob, o.hashed or false)
      if not line then errors.raise(errors.from(err)) end
      print(line)
    end
    if host.err then
      failures = failures + 1
      failed(host)
    end
  end
  return failures > 0 and 1 or 0
end

--- lock ---------------------------------------------------------------------------------------------------------------

--- What known_hosts thinks of the keys: how many it has, and those that it has otherwise.
local function judge(host, opts)
  local target = connect.target(("[%s]:%d"):format(host.hostname, host.port), opts)
  local set = known_hosts.load(known_hosts.files(target.opts))
  local matches, conflicts = 0, {}
  for _, key in ipairs(host.keys) do
    local verdict, at = set:check(host.hostname, host.port, key.blob)
    if verdict == "match" then matches = matches + 1 end
    local same_type = verdict == "revoked" or (verdict == "changed" and at.type == key.type)
    if same_type then conflicts[#conflicts + 1] = { key = key, at = at, verdict = verdict } end
  end
  return matches, conflicts
end

local function report_change(name, d)
  if d.what == "same" then return end
  if d.old then say("- %s %s %s", name, d.type, core.fingerprint(d.old)) end
  if d.new then say("+ %s %s %s", name, d.type, core.fingerprint(d.new)) end
end

--- False when known_hosts says otherwise.
local function may_be_locked(host, o)
  local matches, conflicts = judge(host, { known_hosts = o.files })
  for _, c in ipairs(conflicts) do
    say("%s: %s %s is %s by %s:%d", core.clean(host.name), c.key.type, c.key.fingerprint,
      c.verdict == "revoked" and "revoked" or "contradicted", c.at.file, c.at.line)
    if c.verdict == "revoked" then return false end
  end
  if conflicts[1] and not o.force then return false end
  if matches == 0 then
    say("%s: not in known_hosts; compare its fingerprints before you commit", core.clean(host.name))
  end
  return true
end

local function merge(lock, host)
  local by_name = keylock.by_name(lock)
  local fresh = keylock.entries_of(host)
  local name = fresh[1].name
  for _, d in ipairs(keylock.compare(by_name[name] or {}, fresh)) do report_change(name, d) end
  local kept = {}
  for _, entry in ipairs(lock.entries) do
    if entry.name ~= name then kept[#kept + 1] = entry end
  end
  for _, entry in ipairs(fresh) do kept[#kept + 1] = entry end
  lock.entries = kept
end

function M.lock(o)
  local path = home.expand(o.lock or DEFAULT_LOCK)
  local old = core.fs_stat_sync(path) and edit.read(path) or nil
  local lock = old and keylock.read(path, old) or { entries = {}, rest = {} }
  local failures, locked = 0, 0
  for _, host in ipairs(keyscan.scan(targets_of(o, "lock"))) do
    if host.err then failed(host) end
    if not host.err and may_be_locked(host, o) then
      merge(lock, host)
      locked = locked + 1
    else
      failures = failures + 1
    end
  end
  local text = keylock.text(lock)
  if locked > 0 and text ~= old then keylock.write(path, old, text) end
  local _, names = keylock.by_name(lock)
  print(("%s: %d host%s, %d key%s"):format(path, #names, #names == 1 and "" or "s", #lock.entries,
    #lock.entries == 1 and "" or "s"))
  return failures > 0 and 1 or 0
end

--- verify -------------------------------------------------------------------------------------------------------------

local function text_target(name)
  local host, port = name:match("^%[(.-)%]:(%d+)$")
  host = host or name
  return (host:find(":", 1, true) and ("[%s]"):format(host) or host) .. ":" .. (port or "22")
end

local function verify_host(name, locked, host)
  if host.err then
    print(("unreachable %s: %s"):format(name, host.err.message))
    return 1
  end
  local faults = 0
  for _, d in ipairs(keylock.compare(locked, keylock.entries_of(host))) do
    if d.what == "new" then
      print(("new %s %s %s: not locked"):format(name, d.type, core.fingerprint(d.new)))
    elseif d.what ~= "same" then
      faults = faults + 1
      print(("%s %s %s %s%s"):format(d.what, name, d.type, core.fingerprint(d.old),
        d.new and " is now " .. core.fingerprint(d.new) or ": no longer shown"))
    end
  end
  if faults == 0 then print("ok " .. name) end
  return faults
end

local function names_to_verify(o, by_name, names)
  if not o.hosts[1] then return names end
  local out = {}
  for _, text in ipairs(keys.targets(o)) do
    local target = connect.target(text)
    local name = known_hosts.shown_name(known_hosts.lookup_name(target))
    if not by_name[name] then
      print(("missing %s: not in the lock file"):format(name))
      out.faults = (out.faults or 0) + 1
    else
      out[#out + 1] = name
    end
  end
  return out
end

function M.verify(o)
  local path = home.expand(o.lock or DEFAULT_LOCK)
  local lock = keylock.read(path)
  local by_name, all = keylock.by_name(lock)
  local faults = 0
  for _, entry in ipairs(keylock.misleading(lock)) do
    print(("misleading %s:%d: the comment is not the fingerprint of the key"):format(path, entry.line))
    faults = faults + 1
  end
  local names = names_to_verify(o, by_name, all)
  local texts = {}
  for i, name in ipairs(names) do texts[i] = text_target(name) end
  for i, host in ipairs(keyscan.scan(texts)) do faults = faults + verify_host(names[i], by_name[names[i]], host) end
  return faults + (names.faults or 0) > 0 and 1 or 0
end

return M
