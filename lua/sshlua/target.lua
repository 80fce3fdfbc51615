--- Who and where: a name and options made into what an open and the connection pool go by. ssh_config is read when it
--- is needed first; the options of a connection are here.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local hostkeys = require("sshlua.hostkeys")
local log = require("sshlua.log")
local options = require("sshlua.options")
local preferences = require("sshlua.preferences")
local lazy = require("sshlua.lazy")
local profiles = lazy("sshlua.profiles")
local proxy = lazy("sshlua.proxy")
local route = require("sshlua.route")
local settings = require("sshlua.settings")

local M = {}

--- Seconds per phase. `timeouts = { connect = 3 }` changes one; none can be switched off.
M.phase_limits = {
  resolve = 10, connect = 10, greeting = 10, handshake = 15, hostkey = 300, auth = 30, channel = 10,
  sftp = 120, -- how long an SFTP server may be silent while answers are owed
  place = 300, -- how long one waits for a channel while processes and shells hold all that there may be
}

--- What ssh.connect and ssh.host take. Lists may be strings with commas.
---@class sshlua.ConnectOptions
---@field user? string default: the local user
---@field port? integer default 22
---@field hostname? string where to connect, if not to the name
---@field family? 4|6
---@field bind? string numeric source address
---@field via? string|sshlua.Host|(string|sshlua.Host)[]|false through these hosts, the nearest first; false: directly
---@field proxy_jump? string the same as ssh_config says it: "a,b", "none"
---@field proxy_command? string a shell command that carries the connection; %h, %n, %p, %r
---@field max_startups? integer connections being made at once to one address; default 6
---@field max_opens? integer connections being made at once through this host; default 32
---@field timeout? number seconds for connecting, all in all
---@field timeouts? table<string, number> seconds by phase: resolve, connect, greeting, handshake, hostkey, ...
---@field tries? integer attempts, when a retry may help; default 3
---@field server_alive_interval? number seconds, default 15; 0: off
---@field server_alive_count_max? integer default 3
---@field identity? string|string[]|false private key files; false: none
---@field identity_data? string|sshlua.Secret a private key as text
---@field certificate? string|string[] files
---@field passphrase? string|sshlua.Secret|fun(key: string, try: integer): string?
---@field agent? boolean|string false: none; a string: its socket; default $SSH_AUTH_SOCK
---@field identities_only? boolean of the agent, only the keys that are in identity
---@field password? string|sshlua.Secret|fun(prompt: string, try: integer): string?
---@field change_password? fun(text: string): string? a new password, when the server insists
---@field keyboard_interactive? table|fun(prompts: sshlua.core.Prompts, try: integer): string[]?
---@field methods? string|string[] default publickey, keyboard-interactive, password
---@field batch? boolean never ask on the terminal
---@field banner? fun(text: string)
---@field known_hosts? string|string[] files; the first is written to; "none": no file
---@field strict_host_key_checking? "yes"|"ask"|"accept-new"|"no"|"off" what happens to unknown keys
---@field hash_known_hosts? boolean new lines are hashed
---@field host_key_alias? string the name to look up in known_hosts
---@field host_key_lock? string lock file of host keys: only what is in it passes, nothing is learnt
---@field known_hosts_command? string|string[]|false prints known_hosts lines; absolute path, tokens as in ssh_config(5)
---@field revoked_host_keys? string|string[]|false files: public keys, or revocation lists of ssh-keygen -k
---@field ca_signature_algorithms? string|string[] how authorities may sign host certificates; default: no SHA-1
---@field check_host_ip? boolean the address must not be known with another key
---@field visual_host_key? boolean show random art
---@field fingerprint_hash? "sha256"|"md5" of what is shown
---@field update_host_keys? boolean|string not supported: said in an event
---@field no_host_authentication_for_localhost? boolean no check on loopback addresses
---@field fingerprints? string|string[] accepted in place of known_hosts, "SHA256:..."
---@field verify_host_key? fun(key: table): boolean true accepts, in place of known_hosts and fingerprints
---@field insecure_accept_any_host_key? boolean
---@field kex? string|string[] best first
---@field ciphers? string|string[]
---@field macs? string|string[]
---@field host_key_algorithms? string|string[]
---@field legacy? boolean old algorithms, too, for this host
---@field profile? string|sshlua.Profile what kind of device it is: see docs/devices.md
---@field compression? boolean
---@field max_sessions? integer channels at once; default: learnt from refusals
---@field window? integer bytes the server may send ahead on a channel; default 2 MiB
---@field max_write_buffer? integer bytes that may wait in the stdin of a process; default 16 MiB
---@field env? table<string, string> for every command
---@field ssh_config? boolean|string false: none of OpenSSH's files is read; a string: this one instead
---@field ssh_options? string[] "Keyword=value" as ssh -o

--- The same as options.check wants it.
M.options = {
  user = "string", port = "port", hostname = "string", -- hostname: where to connect, if not to the name
  identity = "list|false", identity_data = "string|secret", certificate = "list", passphrase = "string|secret|function",
  identities_only = "boolean", agent = "boolean|string", password = "string|secret|function",
  change_password = "function",
  keyboard_interactive = "function|table", methods = "list", batch = "boolean", banner = "function",
  timeout = "seconds", timeouts = "table", tries = "count",
  server_alive_interval = "seconds", server_alive_count_max = "count",
  compression = "boolean", ciphers = "list", macs = "list", kex = "list",
  legacy = "boolean", bind = "string", family = "number",
  via = "string|table|false", proxy_jump = "string", proxy_command = "string",
  max_startups = "count", max_opens = "count",
  max_sessions = "count", window = "count", max_write_buffer = "count", env = "table",
  ssh_config = "boolean|string", ssh_options = "table", profile = "string|table",
}

for name, kinds in pairs(hostkeys.options) do M.options[name] = kinds end

local function check_values(opts, level)
  hostkeys.check_options(opts, level + 1)
  if opts.user == "" then errors.usage(level + 1, "option 'user': a name expected, got \"\"") end
  for _, name in ipairs({ "kex", "ciphers", "macs", "host_key_algorithms" }) do
    if opts[name] and not options.list(opts[name])[1] then
      errors.usage(level + 1, "option '%s': names of algorithms expected, got none", name)
    end
  end
  if opts.family and opts.family ~= 4 and opts.family ~= 6 then
    errors.usage(level + 1, "option 'family': 4 or 6 expected, got %s", tostring(opts.family))
  end
  if opts.window and (opts.window < 262144 or opts.window > 2 ^ 30) then
    errors.usage(level + 1, "option 'window': 262144 to 1073741824 bytes expected, got %s", tostring(opts.window))
  end
  route.check(opts, level + 1)
  if opts.profile then profiles.find(opts.profile, level + 1) end
  for phase, seconds in pairs(opts.timeouts or {}) do
    if not M.phase_limits[phase] then
      errors.usage(level + 1, "option 'timeouts': unknown phase '%s'", tostring(phase))
    end
    if type(seconds) ~= "number" or not (seconds > 0) then
      errors.usage(level + 1, "option 'timeouts': seconds expected for '%s'", phase)
    end
  end
end

--- Splits "user@host:port", "[::1]:22", "::1".
---@return string host, string|nil user, integer|nil port
function M.parse(text, level)
  if type(text) ~= "string" then errors.usage(level + 1, "host name expected, got %s", type(text)) end
  local user, rest = text:match("^(.-)@([^@]*)$")
  rest = rest or text
  local host, port = rest:match("^%[([^%]]+)%]:?(%d*)$")
  if not host then
    host, port = rest:match("^([^:]*):(%d+)$")
    host = host or rest
  end
  local wrong = not port and (rest:match("^[^:%[]+:([^:]*)$") or rest:match("^%[[^%]]*%]:?(.*)$"))
  if wrong then errors.usage(level + 1, "not a port: %q in %q", errors.excerpt(wrong, 20), errors.excerpt(text, 80)) end
  if host == "" or host:find("[%s%c]") or host:sub(1, 1) == "-" then
    errors.usage(level + 1, "not a host name: %q", errors.excerpt(text, 80))
  end
  if user and (user == "" or user:find("[%c]") or user:sub(1, 1) == "-") then
    errors.usage(level + 1, "not a user name: %q", errors.excerpt(user, 80))
  end
  port = tonumber(port)
  if port and (port < 1 or port > 65535) then errors.usage(level + 1, "not a port: %d", port) end
  return host, user, port
end

--- The way there by the strongest layer that says something about it.
local function choose_way(target, all, found)
  local tokens = { h = target.hostname, n = target.said.name, p = tostring(target.port), r = target.user }
  if found and found.proxy_command and found.proxy_command ~= "-" then
    found.proxy_command = proxy.expand(found.proxy_command, tokens)
  end
  local layers = target.said.layers
  route.choose(all, tokens, layers[1], layers[2], layers[3], layers[4], layers[5], layers[6], found)
end

--- What a kind of device wants to hear behind the user's name, unless the name has something of the kind.
local function add_suffix(target)
  local suffix = target.login_suffix
  if suffix and not target.user:find("+", 1, true) then target.user = target.user .. suffix end
end

--- Who and where, with every setting resolved: what an open and the connection pool go by.
---@param text string [user@]name[:port]
---@param opts? table
---@param below? table what an inventory says of the host: weaker than SSHLUA_*, stronger than config.lua.
---   Its `ssh_name` is what ssh_config knows the host by
function M.new(text, opts, level, below)
  level = (level or 1) + 1
  opts = options.check(opts, M.options, level)
  check_values(opts, level)
  local name, user, port = M.parse(text, level)
  local mine, own = preferences.load(M.options), settings.hosts[name]
  local all = options.merge(mine.config, below, mine.environment, settings.defaults, own, opts)
  user, port = user or all.user, port or all.port
  local ssh_name = below and all.hostname == below.hostname and below.ssh_name or nil
  all.ssh_name = nil
  local target = {
    name = name,
    hostname = all.hostname or name,
    user = user or core.user().name or "root",
    port = port or 22,
    opts = all,
    said = {
      name = ssh_name or name, user = user, port = port, hostname = not ssh_name and all.hostname or nil,
      layers = { opts, own or {}, settings.defaults, mine.environment, below or {}, mine.config },
    },
  }
  choose_way(target, all)
  return all.profile and M.with_profile(target, all.profile, level) or target
end

--- The same target as a device of that kind: with its old algorithms, if nothing is said of them.
---@param profile string|sshlua.Profile
function M.with_profile(target, profile, level)
  local p = profiles.find(profile, (level or 1) + 1)
  local changed = options.merge(target, { opts = options.merge(target.opts, { profile = profile }) })
  if changed.opts.legacy == nil then changed.opts.legacy = profiles.legacy(p) end
  changed.login_suffix = p.login_suffix or nil
  if target.prepared then add_suffix(changed) end
  return changed
end

--- OpenSSH's configuration: the option, then SSHLUA_SSH_CONFIG, then the usual files. nil: none.
local function config_file(all)
  local file = all.ssh_config
  if file == nil then file = os.getenv("SSHLUA_SSH_CONFIG") end
  if file == false or (type(file) == "string" and file:lower() == "none") then return nil end
  return file == nil and true or file
end

--- What ssh_config says of a host: connect options, and who and where.
local function by_config(target)
  local file = config_file(target.opts)
  local resolver, said = lazy.load("sshlua.ssh_config.resolver"), target.said
  if not file and not target.opts.ssh_options and not said.steps then
    return {}, { hostname = said.hostname or said.name }
  end
  local config = resolver.resolve(said.name, {
    file = type(file) == "string" and file or (not file and "none") or nil, options = target.opts.ssh_options,
    user = said.user, port = said.port, hostname = said.hostname,
    steps = said.steps, command = said.command, strict_command = said.steps ~= nil, -- of ssh's command line
  })
  return lazy.load("sshlua.ssh_config.apply").options(config), config.values, config
end

--- Reads ssh_config for a target, once: its user, port and host name are final after that. Runs as a task.
---@param target table as M.new makes it
---@return table target
function M.prepare(target)
  if target.prepared then return target end
  local ok, found, values, config = pcall(by_config, target)
  if not ok then error(errors.wrap(found, { host = target.name, phase = "resolve" }), 0) end
  if target.prepared then return target end -- another task was faster
  local all = options.merge(found, target.opts)
  if target.opts.certificate ~= nil then all.certificate_may_miss = nil end
  all.timeouts = options.merge(found.timeouts, target.opts.timeouts)
  target.hostname = values.hostname or target.name
  target.user, target.port = values.user or target.user, values.port or target.port
  choose_way(target, all, found)
  log.set_host_level(target.name, all.verbosity)
  add_suffix(target)
  target.opts, target.prepared = all, true
  target.config = target.said.steps and config -- a client of one host goes by what scripts have no use for
  return target
end

--- Makes targets of names on the way to `owner`. A configuration in place of the usual one holds for them, too, as
--- ssh hands -F on.
local function target_maker(owner)
  local file = owner.opts.ssh_config
  return function(text) return M.prepare(M.new(text, file ~= nil and { ssh_config = file } or nil)) end
end

--- The way to a target, and everybody on it, prepared.
function M.prepare_way(target)
  M.prepare(target)
  local via = target.opts.via
  for _, item in ipairs(type(via) == "table" and (via.target and { via } or via) or {}) do
    if type(item) == "table" then M.prepare_way(item.target) end
  end
  return route.of(target, target_maker(target))
end

return M
