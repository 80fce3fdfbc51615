--- What one can prove oneself with by public key: files, keys from memory, the agent's keys, certificates; in OpenSSH's
--- order. Files are read and parsed once per process, passphrases asked once.

local lazy = require("sshlua.lazy")
local agent = lazy("sshlua.agent")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local home = require("sshlua.home")
local options = require("sshlua.options")
local secret = require("sshlua.secret")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

local M = {}

local default_files = { "~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa" }

---@class sshlua.Identity
---@field label string for messages: a path, "agent: comment", "key from memory"
---@field blob string public key
---@field certificates? string[] in the order of their files
---@field key? fun(): userdata the parsed private key; may ask for a passphrase; nil: the agent signs
---@field ready? userdata the key, when signing with it is quick
---@field agent? string the agent's socket
---@field path? string the private key's file
---@field public_only? boolean the private half is in no file: for an agent to have

local function read_file(path)
  local f, message = io.open(path, "rb")
  if not f then return nil, message end
  local text = f:read(1048577)
  f:close()
  if text and #text > 1048576 then return nil, path .. ": larger than 1 MiB: not a key" end
  return text or ""
end

--- A private key's text never becomes a Lua string, which nobody could wipe.
local function read_key(path)
  local text, err = core.secret_text("key file", path)
  return text, err and err.message
end

local function key_error(label, err)
  local e = errors.from(err)
  if e.message:sub(1, #label) ~= label then e.message = label .. ": " .. e.message end
  return e
end

--- OpenSSH's rule: a private key that others can read is no longer private.
local function check_mode(path)
  local stat = core.fs_stat_sync(path)
  if stat and stat.uid == core.user().uid and stat.mode % 64 ~= 0 then
    errors.raise({
      kind = "auth", name = "BAD_PERMISSIONS",
      message = ("%s: permissions %04o are too open"):format(path, stat.mode % 4096),
      hint = ("chmod 600 %s"):format(path),
    })
  end
end

local function ask_passphrase(label)
  return secret.ask(("Enter passphrase for key '%s': "):format(label), "passphrase")
end

--- Parses an encrypted key with the passphrase that is given (string or function) or asked on the terminal, three
--- times at most; `refusal` is raised when there is none.
local function unlock(text, label, opts, refusal)
  for try = 1, 3 do
    local passphrase = opts.passphrase
    if type(passphrase) == "function" then passphrase = passphrase(label, try) end
    local may_ask = not opts.batch and (core.isatty(2) or opts.person or secret.has_program())
    if passphrase == nil and may_ask then passphrase = ask_passphrase(label) end
    if not passphrase then break end
    local ok, key = pcall(task.await, core.key_parse, text, passphrase)
    if ok then return key end
    if not (errors.is(key) and key.name == "WRONG_PASSPHRASE") then error(key, 0) end
    refusal = key
    if opts.passphrase ~= nil and type(opts.passphrase) ~= "function" then break end
  end
  error(refusal, 0)
end

--- Calls make() once for all tasks that ask for it at the same time or later. A failure is remembered, too.
local function once(make)
  local state
  return function(...)
    if not state then
      state = { done = sync.event() }
      state.ok, state.value = pcall(make, ...)
      state.done:set()
      if errors.is(state.value, "cancelled") or errors.is(state.value, "timeout") then
        local value = state.value
        state = nil -- the next one tries again
        error(value, 0)
      end
    else
      state.done:wait()
    end
    if not state.ok then error(state.value, 0) end
    return state.value
  end
end

local files = {} -- path -> {stamp=, identity=}

local function public_half(path, text, load)
  local blob = core.key_peek(text)
  if blob then return blob end
  local pub = path and read_file(path .. ".pub")
  blob = pub and core.public_key_parse(pub)
  return blob or load():blob()
end

--- A private key's text as an identity. An open key is parsed now; an encrypted one when the server wants its
--- signature.
local function from_text(text, label, path, opts)
  local ok, key = pcall(task.await, core.key_parse, text, nil)
  if ok then
    if core.is_secret(text) and path then text:wipe() end -- one of the script's is the script's
    local ready = not key:is_slow() and key or nil
    return { label = label, blob = key:blob(), key = function() return key end, ready = ready }
  end
  if not (errors.is(key) and key.name == "NEED_PASSPHRASE") then error(key_error(label, key), 0) end
  local load = once(function()
    local good, unlocked = pcall(unlock, text, label, opts, key)
    if not good then error(errors.is(unlocked) and key_error(label, unlocked) or unlocked, 0) end
    return unlocked
  end)
  return { label = label, key = load, blob = public_half(path, text, load) }
end

local function contains(list, value)
  for _, v in ipairs(list) do
    if v == value then return true end
  end
  return false
end

--- Adds the certificates that are made for the key. `strict`: there must be one.
local function with_certificates(identity, paths, strict)
  local certificates, found, failure = identity.certificates or {}, false, nil
  for _, path in ipairs(paths) do
    local text, message = read_file(path)
    local blob, err
    if text then blob, err = core.certificate_parse(text, identity.blob) end
    if blob then
      found = true
      if not contains(certificates, blob) then certificates[#certificates + 1] = blob end
    else
      failure = failure or (text and key_error(path, err) or errors.new({ kind = "auth", message = message }))
    end
  end
  if strict and not found then error(failure, 0) end
  identity.certificates = certificates[1] and certificates
  return identity
end

--- The files that certificates are looked for in. Those of ssh_config need not be there, as in ssh.
local function certificates_of(opts, path)
  if opts.certificate == nil then return { path .. "-cert.pub" }, false end
  local out = {}
  for i, file in ipairs(options.list(opts.certificate)) do out[i] = home.expand(file) end
  return out, not opts.certificate_may_miss
end

--- What tells one state of a file from another, added to `stamp`.
local function add_stamp(stamp, path)
  local stat, n = core.fs_stat_sync(path) or {}, #stamp
  stamp[n + 1], stamp[n + 2] = path, stat.mtime or false
  stamp[n + 3], stamp[n + 4], stamp[n + 5] = stat.size or false, stat.ino or false, stat.mode or false
end

local function same(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return false end
  end
  return true
end

--- A public key where a private one is named: it says which of the agent's keys is meant.
local function from_public(text, path)
  local blob = text and core.public_key_parse(text)
  if not blob then return nil end
  local function no_key()
    errors.raise({ kind = "auth", message = "only the public half is there, and the agent does not have the key" })
  end
  return { label = path, blob = blob, key = no_key, public_only = true }
end

local function load_file(path, opts, explicit)
  local certificates, strict = certificates_of(opts, path)
  -- What was learnt, a failure too, holds for the same files and the same passphrase only.
  local stamp = { strict, explicit, opts.batch or false, opts.passphrase or false }
  add_stamp(stamp, path)
  add_stamp(stamp, path .. ".pub")
  for _, file in ipairs(certificates) do add_stamp(stamp, file) end
  local known = files[path]
  if known and same(known.stamp, stamp) then return known.identity() end
  local identity = once(function()
    local text, message = read_key(path)
    local self = explicit and from_public(text or read_file(path .. ".pub"), path)
    if not self and not text then
      if explicit then errors.raise({ kind = "auth", name = "ENOENT", message = message }) end
      return false
    end
    if not self then
      check_mode(path)
      self = from_text(text, path, path, opts)
      self.path = path
      with_certificates(self, { path .. ".pub" }, false) -- as in ssh, which shows what is in there
    end
    return with_certificates(self, certificates, strict)
  end)
  files[path] = { stamp = stamp, identity = identity }
  return identity()
end

local function from_memory(text, opts) return from_text(text, "key from memory", nil, opts) end

--- The agent's socket; nil: there is none.
---@return string|nil
function M.agent_path(opts)
  if opts.agent == false then return nil end
  if type(opts.agent) == "string" then return home.expand(opts.agent) end
  return os.getenv("SSH_AUTH_SOCK")
end

local function agent_keys(path)
  local out = {}
  for _, id in ipairs(agent.identities(path)) do
    out[#out + 1] = {
      label = "agent: " .. (id.comment ~= "" and id.comment or id.type), blob = id.blob, agent = path,
    }
  end
  return out
end

--- Those with certificates come first, as in ssh: who names a certificate means it.
local function certified_first(order)
  local out, rest = {}, {}
  for _, id in ipairs(order) do table.insert(id.certificates and out or rest, id) end
  for _, id in ipairs(rest) do out[#out + 1] = id end
  return out
end

--- The keys to try, in order: configured ones that the agent has; those that were named, in files; the agent's others;
--- the usual files. ssh tries what is named after all of the agent's keys: with many in it, a server's MaxAuthTries is
--- used up before. What cannot be used is told to `note(label, reason)` and left out.
---@return sshlua.Identity[]
function M.collect(opts, note)
  local own, explicit = {}, opts.identity ~= nil
  local function try(label, fn, ...)
    local ok, identity = pcall(fn, ...)
    if ok and identity then own[#own + 1] = identity end
    if not ok then
      if not errors.is(identity, "auth") and not errors.is(identity, "io") then error(identity, 0) end
      note(label, identity)
    end
  end
  for _, text in ipairs(options.list(opts.identity_data and { opts.identity_data })) do
    try("key from memory", from_memory, text, opts)
  end
  for _, path in ipairs(explicit and options.list(opts.identity) or default_files) do
    path = home.expand(path)
    try(path, load_file, path, opts, explicit)
  end

  local socket, from_agent = M.agent_path(opts), {}
  if socket then
    local ok, keys = pcall(agent_keys, socket)
    if ok then
      from_agent = keys
      if not keys[1] then note("agent", "has no keys, or is locked (ssh-add -X)") end
    elseif errors.is(keys, "cancelled") then
      error(keys, 0)
    else
      note("agent", keys)
    end
  end

  local order, in_agent, configured = {}, {}, {}
  for _, id in ipairs(own) do configured[id.blob] = id end
  for _, id in ipairs(from_agent) do
    in_agent[id.blob] = true
    if configured[id.blob] then
      id.certificates = configured[id.blob].certificates
    elseif opts.certificate ~= nil then
      with_certificates(id, certificates_of(opts, ""), false)
    end
    if configured[id.blob] then
      order[#order + 1] = id
    end
  end
  local function add_files()
    for _, id in ipairs(own) do
      if id.public_only and not in_agent[id.blob] then
        note(id.label, "only the public half is there, and the agent does not have the key")
      elseif not in_agent[id.blob] then
        order[#order + 1] = id
      end
    end
  end
  local named = explicit or opts.identity_data ~= nil
  if named then add_files() end
  if not opts.identities_only then
    for _, id in ipairs(from_agent) do
      if not configured[id.blob] then order[#order + 1] = id end
    end
  end
  if not named then add_files() end
  return opts.certificate ~= nil and certified_first(order) or order
end

return M
