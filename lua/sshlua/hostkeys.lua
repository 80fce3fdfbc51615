--- Is this the right server? OpenSSH's rules: known_hosts files, pinned fingerprints, or the script's own judgement.
--- Only an explicit match passes; everything else refuses, an error inside the check too.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local log = require("sshlua.log")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

local M = {}

--- Signature algorithms by the key type that known_hosts names.
local algorithms_of = { ["ssh-rsa"] = { "rsa-sha2-512", "rsa-sha2-256" } }
local default_order = {
  "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
}

local function expand_home(path)
  local home = os.getenv("HOME") or core.user().home
  if path:sub(1, 2) == "~/" and home then return home .. path:sub(2) end
  return path
end

local function default_files()
  return { "~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2" }
end

--- Where a new key is written: the first file.
local function files_of(opts)
  local files = opts.known_hosts ~= nil and options.list(opts.known_hosts) or default_files()
  local out = {}
  for _, path in ipairs(files) do
    if path ~= "none" and path ~= "/dev/null" then out[#out + 1] = expand_home(path) end -- as people switch it off
  end
  return out
end

local cache = {} -- file names joined -> set

local function warn(set, host)
  for _, w in ipairs(set:warnings()) do
    log.emit(1, host, "known_hosts.bad_line", { file = w.file, line = w.line, reason = w.message })
  end
end

--- The parsed files, read again only when one has changed.
local function load(files, host)
  local key = table.concat(files, "\0")
  local set = cache[key]
  if set and not set:stale() then return set end
  set = core.known_hosts()
  for _, path in ipairs(files) do
    local ok, err = set:add_file(path)
    if ok == nil then errors.raise(errors.from(err, { kind = "hostkey", host = host, phase = "hostkey" })) end
  end
  if log.wants(1) then warn(set, host) end
  cache[key] = set
  return set
end

--- What a host is called in known_hosts.
local function lookup_name(target)
  return target.opts.host_key_alias or target.hostname, target.opts.host_key_alias and 22 or target.port
end

--- The host key algorithms to offer, those of known keys first, so that a server with several keys shows the known one.
---@return string comma-separated
function M.algorithms(target)
  if target.opts.host_key_algorithms then return table.concat(options.list(target.opts.host_key_algorithms), ",") end
  local order, seen = {}, {}
  local function add(name)
    if not seen[name] then
      seen[name] = true
      order[#order + 1] = name
    end
  end
  local name, port = lookup_name(target)
  local known = load(files_of(target.opts), target.name):types(name, port)
  for _, key_type in ipairs(known) do
    for _, algorithm in ipairs(algorithms_of[key_type] or { key_type }) do add(algorithm) end
  end
  for _, algorithm in ipairs(default_order) do add(algorithm) end
  if target.opts.legacy then add("ssh-rsa") end
  return table.concat(order, ",")
end

local function shown_name(name, port)
  return port == 22 and name or ("[%s]:%d"):format(name, port)
end

local function refuse(target, reason, message, hint)
  errors.raise({
    kind = "hostkey", reason = reason, host = target.name, phase = "hostkey", message = message, hint = hint,
  })
end

local function check_pins(target, fingerprint)
  for _, pin in ipairs(options.list(target.opts.fingerprints)) do
    if pin == fingerprint then return end
  end
  refuse(target, "changed", ("the host key %s is not among the pinned fingerprints"):format(fingerprint),
    "if the server was reinstalled, put its new fingerprint into the option 'fingerprints'")
end

local asking -- one question at a time

local function ask(target, key_type, fingerprint)
  asking = asking or sync.semaphore(1)
  return asking:with(function()
    local answer = task.await(core.tty_prompt, {
      prompt = ("The authenticity of host '%s' can't be established.\n%s key fingerprint is %s.\n"
        .. "Are you sure you want to continue connecting (yes/no/fingerprint)? "):format(
        core.clean(target.name), key_type, fingerprint),
      echo = true,
    })
    return answer == "yes" or answer == fingerprint
  end)
end

local function learn(target, files, name, port, blob)
  if not files[1] then return end
  local hashed = target.opts.hash_known_hosts or false
  local ok, err
  for try = 1, 50 do -- another process may hold the lock; ours must not block the loop for it
    ok, err = core.known_hosts_learn(files[1], name, port, blob, hashed, 0)
    if ok or err.kind ~= "timeout" or try == 50 then break end
    scope.sleep(0.1)
  end
  if ok then return end
  if err.kind == "hostkey" then errors.raise(errors.from(err, { host = target.name, phase = "hostkey" })) end
  -- As in ssh: the connection goes on, the next one will ask again.
  log.emit(1, target.name, "known_hosts.not_written", { reason = err.message })
end

local function unknown(target, files, name, port, blob, fingerprint)
  local strict = target.opts.strict_host_key_checking
  local key_type = core.key_type(blob) or "?"
  if strict == "accept-new" or strict == "no" or strict == "off" then
    return learn(target, files, name, port, blob)
  end
  local interactive = strict == "ask" or (strict == nil and core.isatty(2) and not target.opts.batch)
  if interactive then
    local ok, answer = pcall(scope.shield, ask, target, key_type, fingerprint)
    if ok and answer then return learn(target, files, name, port, blob) end
    if not ok and not errors.is(answer, "io") then error(answer, 0) end
    task.checkpoint()
  end
  refuse(target, "unknown", ("the host key is not known: %s %s"):format(key_type, fingerprint),
    ("check the fingerprint, then accept it with: ssh-keyscan -p %d %s >> %s (or the option "
      .. "strict_host_key_checking = \"accept-new\")"):format(port, name, files[1] or "~/.ssh/known_hosts"))
end

local function check_files(target, blob, fingerprint)
  local files = files_of(target.opts)
  local name, port = lookup_name(target)
  local verdict, info = load(files, target.name):check(name, port, blob)
  if verdict == "match" then return end
  local at = info and ("%s:%d"):format(info.file, info.line) or "known_hosts"
  if verdict == "revoked" then
    refuse(target, "revoked", ("the host key %s is marked as revoked in %s"):format(fingerprint, at),
      "do not connect: the key is known to be stolen or withdrawn; the server needs a new one")
  elseif verdict == "changed" then
    local file = info and info.file or files[1] or "~/.ssh/known_hosts"
    refuse(target, "changed", ("the host key has changed: the server shows %s %s, %s has %s"):format(
      core.key_type(blob) or "?", fingerprint, at, (info and info.fingerprint) or "another key"),
      ("somebody may be listening in; if you know that the key was changed, remove the old one: "
        .. "ssh-keygen -f %s -R '%s'"):format(file, shown_name(name, port)))
  elseif verdict == "unknown" then
    unknown(target, files, name, port, blob, fingerprint)
  else
    refuse(target, "unknown", "the host key could not be checked")
  end
end

--- Raises unless the server's key is right. Runs before anything secret is sent.
---@param target table {name=, hostname=, port=, opts=}
---@param blob string
function M.verify(target, blob)
  if type(blob) ~= "string" or blob == "" then refuse(target, "unknown", "the server showed no host key") end
  local fingerprint = core.fingerprint(blob)
  local opts = target.opts
  if log.wants(1) then
    log.emit(1, target.name, "hostkey", { type = core.key_type(blob), fingerprint = fingerprint })
  end
  if opts.verify_host_key then
    local key = {
      type = core.key_type(blob), fingerprint = fingerprint, blob = blob, host = target.name,
      hostname = target.hostname, port = target.port,
    }
    if opts.verify_host_key(key) ~= true then
      refuse(target, "unknown", ("verify_host_key did not accept %s"):format(fingerprint))
    end
  elseif opts.fingerprints then
    check_pins(target, fingerprint)
  elseif not opts.insecure_accept_any_host_key then
    check_files(target, blob, fingerprint)
  end
end

return M
