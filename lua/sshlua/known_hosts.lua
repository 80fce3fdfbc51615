--- What is known of host keys, and from where: known_hosts files, a lock file, the output of KnownHostsCommand. Reads,
--- remembers and learns; judges nothing.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local here = require("sshlua.here")
local home = require("sshlua.home")
local lazy = require("sshlua.lazy")
local known_hosts_command = lazy("sshlua.known_hosts_command")
local log = require("sshlua.log")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")

local M = {}

local COMMAND_SECONDS = 15

local function default_files()
  return { "~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2" }
end

local function named_files(opts)
  return opts.known_hosts ~= nil and options.list(opts.known_hosts) or default_files()
end

--- As people switch it off.
local function is_none(path) return path == "none" or path == "/dev/null" end

--- The files that count for a connection. A lock file stands alone.
---@param opts table connect options
---@return string[]
function M.files(opts)
  if opts.host_key_lock then return { home.expand(opts.host_key_lock) } end
  local out = {}
  for _, path in ipairs(named_files(opts)) do
    if not is_none(path) then out[#out + 1] = home.expand(path) end
  end
  return out
end

--- Where a new key is written: to the first file that was named. When that is none, to no other: the next one may be
--- the system's.
---@param opts table connect options
---@return string|nil
function M.file_for_new(opts)
  local first = named_files(opts)[1]
  if opts.host_key_lock or opts.known_hosts_read_only or not first or is_none(first) then return nil end
  return home.expand(first)
end

local function hostkey_error(err, host)
  errors.raise(errors.from(err, { kind = "hostkey", host = host, phase = "hostkey" }))
end

local function warn(set, host)
  for _, w in ipairs(set:warnings()) do
    log.emit(1, host, "known_hosts.bad_line", { file = w.file, line = w.line, reason = w.message })
  end
end

local function read(files, host)
  local set = core.known_hosts()
  for _, path in ipairs(files) do
    local ok, err = set:add_file(path)
    if ok == nil then hostkey_error(err, host) end
  end
  if log.wants(1) then warn(set, host) end
  return set
end

local cache = {} -- file names joined -> set

--- The parsed files, read again only when one has changed.
---@param files string[]
---@param host? string for errors and events
---@return sshlua.core.KnownHosts
function M.load(files, host)
  local key = table.concat(files, "\0")
  local set = cache[key]
  if set and not set:stale() then return set end
  set = read(files, host)
  cache[key] = set
  return set
end

local function check_lock(target)
  local path = target.opts.host_key_lock and home.expand(target.opts.host_key_lock)
  if not path or core.fs_stat_sync(path) then return end
  errors.raise({
    kind = "hostkey", host = target.name, phase = "hostkey",
    message = ("the lock file of host keys %s cannot be read"):format(path),
    hint = ("make it and look at it: sshlua keys lock -o %s %s"):format(path, target.name),
  })
end

local function command_failed(target, why)
  errors.raise({
    kind = "hostkey", host = target.name, phase = "hostkey", message = "known_hosts_command: " .. why,
    hint = "run it by hand; it must print known_hosts lines and exit with 0",
  })
end

local function run_command(target, invocation, name, blob)
  local argv, why = known_hosts_command.argv(target, invocation, name, blob)
  if not argv then command_failed(target, why) end
  local ok, result = pcall(here.run, here, argv, { timeout = COMMAND_SECONDS, check = false, safe = true })
  if not ok then
    if errors.is(result, "cancelled") then error(result, 0) end
    command_failed(target, errors.is(result) and result.message or tostring(result))
  end
  if not result.ok or result.truncated then
    local said = errors.excerpt(result.stderr:match("[^\n]+") or "", 200)
    command_failed(target, ("%s: %s%s"):format(argv[1], result.truncated and "printed too much" or result:problem(),
      said ~= "" and ": " .. said or ""))
  end
  return result.stdout
end

--- Is there a KnownHostsCommand that counts?
function M.has_command(opts)
  local command = opts.known_hosts_command
  return command ~= nil and command ~= false and command ~= "none" and opts.host_key_lock == nil
end

--- Everything that is known for a connection, for questions about `name`. `invocation` is what KnownHostsCommand is
--- told: ORDER before the key exchange, HOSTNAME or ADDRESS after it.
---@param target table
---@param invocation "ORDER"|"HOSTNAME"|"ADDRESS"
---@param name string as it stands in files, "[host]:port" too
---@param blob? string the server's key
---@return sshlua.core.KnownHosts
function M.set_for(target, invocation, name, blob)
  check_lock(target)
  local files = M.files(target.opts)
  if not M.has_command(target.opts) then return M.load(files, target.name) end
  local text = run_command(target, invocation, name, blob)
  local set = read(files, target.name)
  local ok, err = set:add_text(text, "KnownHostsCommand-" .. invocation)
  if not ok then hostkey_error(err, target.name) end
  if log.wants(1) then warn(set, target.name) end
  return set
end

--- What a host is called in known_hosts, and at which port.
function M.lookup_name(target)
  local alias = target.opts.host_key_alias
  return (alias or target.hostname):lower(), alias and 22 or target.port
end

--- "[name]:port" where the port is not 22.
function M.shown_name(name, port)
  return port == 22 and name or ("[%s]:%d"):format(name, port)
end

local told = {} -- paths that cannot be written: told once

--- Writes a key down. Another process may hold the lock; ours must not block the loop for it. What cannot be written
--- is said, and the connection goes on, as in ssh: the next one will ask again.
function M.learn(target, name, port, blob)
  local path = M.file_for_new(target.opts)
  if not path then return end
  local hashed = target.opts.hash_known_hosts or false
  local ok, err
  for try = 1, 100 do
    -- What has been read takes the line in: else the next host would have all files read again.
    local set = cache[table.concat(M.files(target.opts), "\0")]
    if set then
      ok, err = set:learn(path, name, port, blob, hashed, 0)
    else
      ok, err = core.known_hosts_learn(path, name, port, blob, hashed, 0)
    end
    if ok or err.kind ~= "timeout" or try == 100 then break end
    scope.sleep(0.02 + math.random() * 0.08)
  end
  if ok then return end
  if err.kind == "hostkey" then hostkey_error(err, target.name) end
  log.emit(1, target.name, "known_hosts.not_written", { reason = err.message })
  if not told[path] then
    told[path] = true
    io.stderr:write(("sshlua: %s: its key is not remembered: %s\n"):format(core.clean(target.name),
      core.clean(err.message)))
  end
end

return M
