--- `sshlua keys find|add|remove|hash|audit`: known_hosts files.

local connect = require("sshlua.connect")
local core = require("sshlua.core")
local edit = require("sshlua.known_hosts_edit")
local errors = require("sshlua.errors")
local keys = require("sshlua.cli.keys")
local keyscan = require("sshlua.keyscan")
local known_hosts = require("sshlua.known_hosts")
local task = require("sshlua.task.core")

local M = {}

local misuse = keys.misuse

local function say(fmt, ...) io.stderr:write("keys: ", fmt:format(...), "\n") end

local function one_target(o, command)
  local targets = keys.targets(o)
  if #targets ~= 1 then misuse("%s: one host expected, got %d", command, #targets) end
  return connect.target(targets[1], { host_key_alias = o.alias, known_hosts = o.files })
end

local function parse_key(text)
  local blob, err = core.public_key_parse(text)
  if not blob then misuse("--key: %s (wanted is \"TYPE BASE64\")", err.message) end
  return blob
end

local function find_certificate(set, target, blob)
  local name, port = known_hosts.lookup_name(target)
  local info, err = core.host_certificate(blob)
  if not info then return "unknown", nil, err.message end
  local verdict, line = set:check_authority(name, port, blob, info.authority)
  if verdict ~= "match" then return verdict, line end
  local good, why = core.host_certificate_check(blob, (target.opts.host_key_alias or target.hostname):lower())
  if good then return "match", line end
  return "unknown", nil, why.message
end

--- What a connection would say, without its answers to unknown keys.
function M.find(o)
  local target = one_target(o, "find")
  if not o.key then misuse("find: --key is missing") end
  local blob = parse_key(o.key)
  local set = known_hosts.set_for(target, "HOSTNAME", "", blob)
  local verdict, line, why
  if (core.key_type(blob) or ""):find("-cert-v01@openssh.com", 1, true) then
    verdict, line, why = find_certificate(set, target, blob)
  else
    local name, port = known_hosts.lookup_name(target)
    verdict, line = set:check(name, port, blob)
    if not verdict then errors.raise(errors.from(line)) end
  end
  print(line and ("%s %s:%d"):format(verdict, line.file, line.line) or verdict)
  if why then say("%s", why) end
  return verdict == "match" and 0 or 1
end

--- add ----------------------------------------------------------------------------------------------------------------

local function scan(target, o)
  local text = ("%s:%d"):format(target.hostname:find(":", 1, true) and ("[%s]"):format(target.hostname)
    or target.hostname, target.port)
  local host = keyscan.scan({ text }, { types = o.types })[1]
  if host.err then error(host.err, 0) end
  return host.keys
end

local function with_fingerprint(list, wanted)
  for _, key in ipairs(list) do
    if key.fingerprint == wanted then return { key.blob } end
  end
  local shown = {}
  for i, key in ipairs(list) do shown[i] = key.type .. " " .. key.fingerprint end
  say("no key of the host has the fingerprint %s; it shows %s", wanted, table.concat(shown, ", "))
  return nil
end

local function after_asking(list, target)
  if not core.isatty(0) then misuse("add: without a terminal give --key or --fingerprint") end
  local lines, blobs = { ("%s shows these keys:"):format(target.name) }, {}
  for i, key in ipairs(list) do
    lines[#lines + 1] = ("  %-20s %s"):format(key.type, key.fingerprint)
    blobs[i] = key.blob
  end
  lines[#lines + 1] = "Are they the host's (yes/no)? "
  local answer = task.await(core.tty_prompt, { prompt = table.concat(lines, "\n"), echo = true })
  return answer == "yes" and blobs or nil
end

function M.add(o)
  local target = one_target(o, "add")
  local path = known_hosts.file_for_new(target.opts)
  if not path then misuse("add: which file? (-f)") end
  local blobs = o.key and { parse_key(o.key) }
  if not blobs then
    local list = scan(target, o)
    blobs = o.fingerprint and with_fingerprint(list, o.fingerprint) or not o.fingerprint and after_asking(list, target)
  end
  if not blobs then return 1 end
  local name, port = known_hosts.lookup_name(target)
  for _, blob in ipairs(blobs) do
    local line, err = core.known_hosts_line(name, port, blob, o.hashed or false)
    if not line then errors.raise(errors.from(err)) end
    local verdict, at = known_hosts.load({ path }):check(name, port, blob)
    if verdict == "revoked" then
      local message = ("%s:%d revokes this key"):format(at.file, at.line)
      errors.raise({ kind = "hostkey", reason = "revoked", message = message })
    end
    local ok, written = true, false
    if verdict ~= "match" then ok, written = core.known_hosts_append(path, line) end
    if not ok then errors.raise(errors.from(written)) end
    print(("%s %s %s %s"):format(written and "added" or "known", known_hosts.shown_name(name, port),
      core.key_type(blob), core.fingerprint(blob)))
  end
  return 0
end

--- The rest -----------------------------------------------------------------------------------------------------------

local function existing(o)
  local files = {}
  for _, path in ipairs(known_hosts.files({ known_hosts = o.files })) do
    if o.files or core.fs_stat_sync(path) then files[#files + 1] = path end
  end
  return files
end

function M.remove(o)
  local target = one_target(o, "remove")
  local name, port = known_hosts.lookup_name(target)
  local total = 0
  for _, path in ipairs(o.files and existing(o) or { existing(o)[1] }) do
    local result = edit.change(path, function(text) return edit.remove(text, path, name, port) end)
    for _, line in ipairs(result.removed) do print(("removed %s:%d"):format(path, line)) end
    for _, line in ipairs(result.kept) do say("%s:%d stays: a pattern or a marker", path, line) end
    total = total + #result.removed
  end
  if total == 0 then say("%s is not there", known_hosts.shown_name(name, port)) end
  return total > 0 and 0 or 1
end

function M.hash(o)
  if o.hosts[1] then misuse("hash: no host expected") end
  for _, path in ipairs(o.files and existing(o) or { existing(o)[1] }) do
    local result = edit.change(path, edit.hash)
    print(("%s: %d lines hashed, %d left as they are"):format(path, result.hashed, result.kept))
  end
  return 0
end

function M.audit(o)
  if o.hosts[1] then misuse("audit: no host expected") end
  local faults = 0
  for _, path in ipairs(existing(o)) do
    for _, fault in ipairs(edit.audit(path)) do
      faults = faults + 1
      print((fault.line > 0 and ("%s:%d"):format(path, fault.line) or path) .. ": " .. fault.text)
    end
  end
  return faults > 0 and 1 or 0
end

return M
