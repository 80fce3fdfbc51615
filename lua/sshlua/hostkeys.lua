--- Is this the right server? OpenSSH's rules: known_hosts, host certificates, revocations, pinned fingerprints, or the
--- script's own judgement. Only an explicit match passes; everything else refuses, an error inside the check too.

local lazy = require("sshlua.lazy")
local ask = lazy("sshlua.hostkey_ask")
local algorithm_lists = require("sshlua.algorithm_lists")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local known_hosts = require("sshlua.known_hosts")
local log = require("sshlua.log")
local options = require("sshlua.options")
local revoked = lazy("sshlua.revoked")
local scope = require("sshlua.task.scope")
local show = lazy("sshlua.hostkey_show")
local task = require("sshlua.task.core")

local M = {}

local CERT = "-cert-v01@openssh.com"

--- Signature algorithms by the key type that known_hosts names.
local algorithms_of = { ["ssh-rsa"] = { "rsa-sha2-512", "rsa-sha2-256" } }
local default_order = {
  "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
}

--- Connect options that are ours, as options.check wants them.
M.options = {
  known_hosts = "list", strict_host_key_checking = "string", hash_known_hosts = "boolean", host_key_alias = "string",
  host_key_lock = "string", known_hosts_command = "list|false", revoked_host_keys = "list|false",
  ca_signature_algorithms = "list", check_host_ip = "boolean", visual_host_key = "boolean", fingerprint_hash = "string",
  update_host_keys = "boolean|string", no_host_authentication_for_localhost = "boolean",
  fingerprints = "list", verify_host_key = "function", insecure_accept_any_host_key = "boolean",
  host_key_algorithms = "list",
}

local strictness = { yes = true, ask = true, ["accept-new"] = true, no = true, off = true }

--- Raises usage, `level` callers up, for values that are of the right type but mean nothing.
function M.check_options(opts, level)
  local strict, hash = opts.strict_host_key_checking, opts.fingerprint_hash
  if strict and not strictness[strict] then
    errors.usage(level + 1, "option 'strict_host_key_checking': yes, ask, accept-new, no or off expected, got '%s'",
      strict)
  end
  if hash and hash ~= "sha256" and hash ~= "md5" then
    errors.usage(level + 1, "option 'fingerprint_hash': sha256 or md5 expected, got '%s'", hash)
  end
  if opts.ca_signature_algorithms and not options.list(opts.ca_signature_algorithms)[1] then
    errors.usage(level + 1, "option 'ca_signature_algorithms': names of algorithms expected")
  end
end

--- What to ask for ----------------------------------------------------------------------------------------------------

--- Certificates need our own host key methods, see docs/trust.md.
local function reads_certificates() return core.about().packet_hook end

local function decides_by_files(opts)
  return not (opts.verify_host_key or opts.fingerprints or opts.insecure_accept_any_host_key)
end

local said_update -- once is enough

local function say_what_is_ignored(target)
  local update = target.opts.update_host_keys
  if said_update or update == nil or update == false or update == "no" then return end
  said_update = true
  log.emit(1, target.name, "update_host_keys", { reason = "not supported: keys are not learnt after logging in" })
end

--- Our order, of the types that are known only: as ssh does, which is not the order of the file.
local function known_order(types)
  local known, out = {}, {}
  for _, key_type in ipairs(types) do
    for _, algorithm in ipairs(algorithms_of[key_type] or { key_type }) do known[algorithm] = true end
  end
  for _, algorithm in ipairs(default_order) do
    if known[algorithm] then out[#out + 1] = algorithm end
  end
  return out
end

local orders = {} -- what is known of a host -> what to offer, where no option says more

--- The host key algorithms to offer: certificates first where an authority is known that may vouch for the host, or
--- where one may be revoked; then those of known keys, so that a server with several keys shows the known one.
---@return string comma-separated
function M.algorithms(target)
  ask.stir()
  say_what_is_ignored(target)
  local opts = target.opts
  local order, seen = {}, {}
  local allowed = opts.host_key_allowed and "," .. table.concat(opts.host_key_allowed, ",") .. ","
  local function add(name)
    if allowed and not allowed:find("," .. name .. ",", 1, true) then return end
    if not seen[name] and (reads_certificates() or not name:find(CERT, 1, true)) then
      seen[name] = true
      order[#order + 1] = name
    end
  end
  if opts.host_key_algorithms then
    for _, name in ipairs(options.list(opts.host_key_algorithms)) do add(name) end
    return table.concat(order, ",")
  end
  local name, port = known_hosts.lookup_name(target)
  local known = decides_by_files(opts)
    and known_hosts.set_for(target, "ORDER", known_hosts.shown_name(name, port)) or core.known_hosts()
  local types, about = known:types(name, port), nil
  if not opts.host_key_allowed and not opts.legacy and opts.revoked_host_keys == nil then
    about = (known:wants_certificate(name, port) and CERT or "") .. table.concat(types, ",")
    if orders[about] then return orders[about] end
  end
  if known:wants_certificate(name, port) or options.list(opts.revoked_host_keys)[1] then
    for _, algorithm in ipairs(default_order) do add(algorithm .. CERT) end
  end
  for _, algorithm in ipairs(known_order(types)) do add(algorithm) end
  for _, algorithm in ipairs(default_order) do add(algorithm) end
  for _, algorithm in ipairs(opts.host_key_allowed or {}) do
    if not algorithm:find(CERT, 1, true) then add(algorithm) end
  end
  if algorithm_lists.legacy_of(opts.legacy).rsa_sha1 then add("ssh-rsa") end
  local list = table.concat(order, ",")
  if about then orders[about] = list end
  return list
end

--- Refusing -----------------------------------------------------------------------------------------------------------

local function refuse(target, reason, message, hint)
  errors.raise({
    kind = "hostkey", reason = reason, host = target.name, phase = "hostkey", message = message, hint = hint,
  })
end

---@class sshlua.ShownKey what the server has shown
---@field blob string the plain key, the one that a certificate certifies
---@field offered string what came over the wire: the certificate, if it is one
---@field certificate? table fields of core.host_certificate
---@field fingerprint string of the plain key
---@field why_not? string why the certificate does not count
---@field vouched? boolean an authority that we trust has signed, but the certificate is not good

local function shown_key(target, blob)
  if type(blob) ~= "string" or blob == "" then refuse(target, "unknown", "the server showed no host key") end
  local key = { offered = blob, blob = blob }
  if (core.key_type(blob) or ""):find(CERT, 1, true) then
    local info, err = core.host_certificate(blob)
    if not info then refuse(target, "unknown", err.message) end
    key.certificate, key.blob = info, info.plain
  end
  key.fingerprint = show.fingerprint(key.blob, target.opts.fingerprint_hash)
  return key
end

local what_is_revoked = { key = "host key", certificate = "host certificate", authority = "authority of the host key" }

local function refuse_revoked(target, key, what, at)
  refuse(target, "revoked", ("the %s %s is marked as revoked in %s"):format(what, key.fingerprint, at),
    "do not connect: the key is known to be stolen or withdrawn; the server needs a new one")
end

local function check_revocation_lists(target, key)
  local what, path = revoked.find(target, key.offered)
  if what then refuse_revoked(target, key, what_is_revoked[what], path) end
end

local function check_pins(target, key)
  local hashes = { [core.fingerprint(key.blob)] = true, [show.fingerprint(key.blob, "md5")] = true }
  for _, pin in ipairs(options.list(target.opts.fingerprints)) do
    if hashes[pin] then return end
  end
  refuse(target, "changed", ("the host key %s is not among the pinned fingerprints"):format(key.fingerprint),
    "if the server was reinstalled, put its new fingerprint into the option 'fingerprints'")
end

local function refuse_changed(target, key, info, files)
  local name, port = known_hosts.lookup_name(target)
  local file = info and info.file or files[1] or "~/.ssh/known_hosts"
  local old = info and (info.blob and show.fingerprint(info.blob, target.opts.fingerprint_hash)) or "another key"
  local hint = ("somebody may be listening in; if you know that the key was changed, remove the old one: "
    .. "ssh-keygen -f %s -R '%s'"):format(file, known_hosts.shown_name(name, port))
  if target.opts.host_key_lock then
    hint = ("somebody may be listening in; if you know that the key was changed, make the lock file anew and look at "
      .. "the difference: sshlua keys lock -o %s ..."):format(file)
  end
  refuse(target, "changed", ("the host key has changed: the server shows %s %s, %s has %s%s"):format(
    core.key_type(key.blob) or "?", key.fingerprint, info and ("%s:%d"):format(info.file, info.line) or "known_hosts",
    old, key.why_not and "; " .. key.why_not or ""), hint)
end

--- Unknown keys -------------------------------------------------------------------------------------------------------

local function strict_of(opts)
  return opts.host_key_lock and "yes" or opts.strict_host_key_checking
end

local function is_interactive(opts)
  local strict = strict_of(opts)
  return strict == "ask" or (strict == nil and (core.isatty(2) or opts.person) and not opts.batch)
end

local function question(target, key, note)
  local opts = target.opts
  local ok, answer = pcall(scope.shield, ask.ask, {
    name = target.name, blob = key.blob, art = opts.visual_host_key, hash = opts.fingerprint_hash, note = note,
  })
  if ok and answer then return true end
  if not ok and not errors.is(answer, "io") then error(answer, 0) end
  task.checkpoint()
  return false
end

local function refuse_unknown(target, key, files)
  local name, port = known_hosts.lookup_name(target)
  local file = known_hosts.file_for_new(target.opts) or "~/.ssh/known_hosts"
  local scan = ("ssh-keyscan -p %d %s"):format(port, name)
  if target.opts.host_key_alias then -- what keyscan says of the address is kept under the other name
    scan = ("ssh-keyscan -p %d %s | sed 's/^[^ ]*/%s/'"):format(target.port, target.hostname, name)
  end
  local hint = ("check the fingerprint, then accept it with: %s >> %s (or the option "
    .. "strict_host_key_checking = \"accept-new\")"):format(scan, file)
  if target.opts.host_key_lock then
    hint = ("the lock file %s does not have this host; add it: sshlua keys lock -o %s ..."):format(files[1], files[1])
  end
  refuse(target, "unknown", ("the host key is not known: %s %s%s"):format(core.key_type(key.blob) or "?",
    key.fingerprint, key.why_not and "; " .. key.why_not or ""), hint)
end

--- Is the unknown key to be accepted? Returns, or raises.
local function judge_unknown(target, key, files)
  local strict = strict_of(target.opts)
  -- An authority that we trust has an opinion, and it is not this: nobody is asked to overrule it.
  if key.vouched then refuse_unknown(target, key, files) end
  if strict == "accept-new" or strict == "no" or strict == "off" then return end
  if is_interactive(target.opts) and question(target, key) then return end
  refuse_unknown(target, key, files)
end

--- Known hosts --------------------------------------------------------------------------------------------------------

local function at(info) return info and ("%s:%d"):format(info.file, info.line) or "known_hosts" end

--- Does a certificate vouch for the key? Otherwise the plain key is judged as if there were none, as in ssh.
local function certificate_vouches(target, key, set, name, port)
  local info = key.certificate
  local verdict, line = set:check_authority(name, port, key.offered, info.authority)
  if verdict == "revoked" then refuse_revoked(target, key, "host key, or its authority,", at(line)) end
  if verdict == "unknown" then
    key.why_not = ("its certificate is signed by %s, which no @cert-authority line of this host has"):format(
      core.fingerprint(info.authority))
    return false
  end
  if verdict ~= "match" then refuse(target, "unknown", "the host certificate could not be checked") end
  local algorithms = target.opts.ca_signature_algorithms
  local good, err = core.host_certificate_check(key.offered, (target.opts.host_key_alias or target.hostname):lower(),
    algorithms and table.concat(options.list(algorithms), ",") or nil)
  if good then
    log.emit(1, target.name, "hostkey.certificate", { authority = core.fingerprint(info.authority), at = at(line) })
    return true
  end
  key.why_not, key.vouched = err.message, true
  return false
end

local function plain_is_allowed(target, key)
  local list = target.opts.host_key_algorithms
  if not list or not key.certificate then return true end
  local key_type = core.key_type(key.blob)
  for _, name in ipairs(options.list(list)) do
    for _, algorithm in ipairs(algorithms_of[key_type] or { key_type }) do
      if name == algorithm then return true end
    end
  end
  return false
end

--- CheckHostIP: the address that the name leads to has the same key, or none yet. Not for this machine, not for
--- numeric names, not behind a proxy (there is no address then).
local function address_to_check(target)
  local address = target.address
  if not target.opts.check_host_ip or not address or address == target.hostname:lower() then return nil end
  if address:find("^127%.") or address == "::1" or target.opts.host_key_lock then return nil end
  return address
end

local function check_address(target, key, address)
  local shown = known_hosts.shown_name(address, target.port)
  local set = known_hosts.set_for(target, "ADDRESS", shown, key.offered)
  local verdict, line = set:check(address, target.port, key.blob)
  if verdict == "match" or verdict == "unknown" then return verdict end
  if verdict == "revoked" then refuse_revoked(target, key, "host key", at(line)) end
  local message = ("the host key %s differs from the key of the address %s in %s"):format(key.fingerprint, shown,
    at(line))
  local strict = strict_of(target.opts)
  if strict == "no" or strict == "off" then
    log.emit(1, target.name, "hostkey.address", { reason = message })
    return verdict
  end
  if verdict == "changed" and is_interactive(target.opts) and question(target, key, message) then return verdict end
  refuse(target, "changed", message, "the name may lead to another machine now; if you know why, remove the old line")
end

local function check_files(target, key)
  local files = known_hosts.files(target.opts)
  local name, port = known_hosts.lookup_name(target)
  local set = known_hosts.set_for(target, "HOSTNAME", known_hosts.shown_name(name, port), key.offered)
  if key.certificate and certificate_vouches(target, key, set, name, port) then return end
  if not plain_is_allowed(target, key) then
    refuse(target, "unknown", ("%s keys are not among host_key_algorithms%s"):format(core.key_type(key.blob) or "?",
      key.why_not and "; " .. key.why_not or ""))
  end
  local verdict, info = set:check(name, port, key.blob)
  if verdict == "revoked" then refuse_revoked(target, key, "host key", at(info)) end
  if verdict == "changed" then refuse_changed(target, key, info, files) end
  if verdict ~= "match" and verdict ~= "unknown" then
    refuse(target, "unknown", "the host key could not be checked")
  end
  local address = address_to_check(target)
  local by_address = address and check_address(target, key, address)
  if verdict == "unknown" then
    judge_unknown(target, key, files)
    known_hosts.learn(target, name, port, key.blob)
  end
  if by_address == "unknown" then known_hosts.learn(target, address, target.port, key.blob) end
end

--- By the address that was connected to: behind a proxy 127.0.0.1 is somebody else.
local function is_this_machine(target)
  local address = target.address
  return address ~= nil and target.opts.no_host_authentication_for_localhost and not target.opts.host_key_alias
    and (address:find("^127%.") ~= nil or address == "::1")
end

--- The picture, where a person sees it; else it is an event.
local function show_art(target, key)
  local opts = target.opts
  if not opts.visual_host_key then return end
  local art = show.randomart(key.blob, opts.fingerprint_hash)
  local text = ("Host key fingerprint is %s\n%s"):format(key.fingerprint, art)
  if (core.isatty(2) or opts.person) and not opts.batch then
    io.stderr:write(text, "\n")
  else
    log.emit(1, target.name, "hostkey.art", { text = text })
  end
end

local function ask_script(target, key)
  local shown = {
    type = core.key_type(key.blob), fingerprint = key.fingerprint, blob = key.blob, host = target.name,
    hostname = target.hostname, port = target.port, certificate = key.certificate,
  }
  if target.opts.verify_host_key(shown) ~= true then
    refuse(target, "unknown", ("verify_host_key did not accept %s"):format(key.fingerprint))
  end
end

--- Raises unless the server's key is right. Runs before anything secret is sent.
---@param target table {name=, hostname=, port=, address=, opts=}
---@param blob string
function M.verify(target, blob)
  ask.stir()
  local key = shown_key(target, blob)
  local opts = target.opts
  if log.wants(1) then
    log.emit(1, target.name, "hostkey", { type = core.key_type(blob), fingerprint = key.fingerprint })
  end
  check_revocation_lists(target, key)
  if opts.verify_host_key then
    ask_script(target, key)
  elseif opts.fingerprints then
    check_pins(target, key)
  elseif not opts.insecure_accept_any_host_key and not is_this_machine(target) then
    check_files(target, key)
  end
  show_art(target, key)
end

return M
