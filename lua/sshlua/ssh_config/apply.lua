--- What the settings of ssh_config mean for a connection of ours: connect options. A setting that is refused is an
--- error with its file and line; one that changes nothing is said with -v.

local algorithm_lists = require("sshlua.algorithm_lists")
local algorithms = require("sshlua.ssh_config.algorithms")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local expand = require("sshlua.ssh_config.expand")
local jump = require("sshlua.ssh_config.jump")
local keywords = require("sshlua.ssh_config.keywords")
local lazy = require("sshlua.lazy")
local log = require("sshlua.log")
local options = require("sshlua.options")
local pattern = require("sshlua.ssh_config.pattern")

local M = {}

local function origin_of(config, name)
  local list = config.origins[name]
  return list and list[1]
end

local function fail(config, name, message, hint)
  errors.raise({
    kind = "config", host = config.host, hint = hint,
    message = ("%s: %s: %s"):format(origin_of(config, name) or "default", keywords.by_name[name].title, message),
  })
end

--- The value if somebody has set it.
local function set_value(config, name)
  if config.origins[name] then return config.values[name] end
end

--- Identities ---------------------------------------------------------------------------------------------------------

local function path_of(config, name, text)
  local path, message = expand.tilde(text)
  if path then path, message = expand.both(path, config.tokens) end
  if not path then fail(config, name, message) end
  return path
end

local function paths_of(config, name)
  local list = set_value(config, name)
  if not list then return nil end
  local out = {}
  for _, text in ipairs(list) do
    if text:lower() ~= "none" then out[#out + 1] = path_of(config, name, text) end
  end
  return out
end

local function agent_of(config)
  local value = set_value(config, "identityagent")
  if not value then return nil end
  if value == "none" then return false end
  if value == "SSH_AUTH_SOCK" then value = "$SSH_AUTH_SOCK" end
  local variable = value:match("^%$(.*)$")
  if variable then return os.getenv(variable) or false end
  return value
end

local function identities(config, out)
  local files = paths_of(config, "identityfile")
  if files then out.identity = files[1] and files or false end
  local certificates = paths_of(config, "certificatefile")
  if certificates and certificates[1] then out.certificate, out.certificate_may_miss = certificates, true end
  out.identities_only = set_value(config, "identitiesonly")
  out.agent = agent_of(config)
  out.add_keys_to_agent = set_value(config, "addkeystoagent")
end

--- Authentication -----------------------------------------------------------------------------------------------------

local our_methods = {
  publickey = "pubkeyauthentication", ["keyboard-interactive"] = "kbdinteractiveauthentication",
  password = "passwordauthentication",
}

local function methods_of(config)
  local preferred = set_value(config, "preferredauthentications")
  local out, ours = {}, false
  for _, name in ipairs(options.list(preferred or "publickey,keyboard-interactive,password")) do
    local switch = our_methods[name]
    if switch then
      ours = true
      local on = config.values[switch]
      if on ~= false and on ~= "false" then out[#out + 1] = name end
    end
  end
  if not ours then
    fail(config, "preferredauthentications", ("this client has none of %s"):format(preferred),
      "publickey, keyboard-interactive and password are what there is")
  end
  return out
end

local function authentication(config, out)
  local said = config.origins.preferredauthentications
  for _, switch in pairs(our_methods) do said = said or config.origins[switch] end
  if said then out.methods = methods_of(config) end
  out.password_prompts = set_value(config, "numberofpasswordprompts")
  if set_value(config, "batchmode") then out.batch = true end
  if config.origins.pubkeyacceptedalgorithms then
    out.pubkey_algorithms = config.values.pubkeyacceptedalgorithms
    local usable = false
    for _, name in ipairs(out.pubkey_algorithms) do
      usable = usable or algorithms.kinds.key.can[name] or name:find("-cert-v01@openssh.com", 1, true) ~= nil
    end
    if not usable then fail(config, "pubkeyacceptedalgorithms", "nothing that this client can do is left") end
  end
  out.required_rsa_size = config.values.requiredrsasize
end

--- Algorithms ---------------------------------------------------------------------------------------------------------

local lists = {
  { "kexalgorithms", "kex", "kex", algorithm_lists.kex }, { "ciphers", "cipher", "ciphers", algorithm_lists.ciphers },
  { "macs", "mac", "macs", algorithm_lists.macs },
}

local function offered_list(config, row)
  local keyword, kind, _, default = row[1], row[2], row[3], options.list(row[4])
  local written = config.written[keyword]
  if not written then return default end
  local list = algorithms.offered(kind, written, default)
  if not list[1] then
    fail(config, keyword, ("nothing that this client can do is left of '%s'"):format(errors.excerpt(written, 100)),
      "it can do " .. table.concat(algorithms.kinds[kind].ours, ", "))
  end
  return list
end

local function host_key_list(config)
  local out = {}
  for _, name in ipairs(config.values.hostkeyalgorithms) do
    local plain = name:gsub("%-cert%-v01@openssh%.com$", "")
    if algorithms.kinds.key.can[plain] then out[#out + 1] = name end
  end
  if not out[1] then
    fail(config, "hostkeyalgorithms", "nothing that this client can do is left",
      "it can do " .. table.concat(algorithms.kinds.key.ours, ", "))
  end
  return out
end

local function handshake(config, out)
  for _, row in ipairs(lists) do
    if config.written[row[1]] then out[row[3]] = offered_list(config, row) end
  end
  local written = config.written.hostkeyalgorithms
  if written then
    -- As in ssh, a list that stands by itself keeps its order; of a changed default, known keys come first.
    local name = written:find("^[-+]") and "host_key_allowed" or "host_key_algorithms"
    out[name] = host_key_list(config)
  end
  if set_value(config, "compression") == "yes" then out.compression = true end
end

--- What is offered on a connection, for people.
---@return string[] lines
function M.offers(config)
  local out = {}
  for _, row in ipairs(lists) do
    out[#out + 1] = ("  %s: %s"):format(keywords.by_name[row[1]].title, table.concat(offered_list(config, row), ","))
  end
  if config.written.hostkeyalgorithms then
    out[#out + 1] = "  HostKeyAlgorithms: " .. table.concat(host_key_list(config), ",")
  end
  return out
end

--- Trust --------------------------------------------------------------------------------------------------------------

--- What cannot be read must not pass for "not revoked".
local function revoked_keys(config, text)
  local path = path_of(config, "revokedhostkeys", text)
  local file, message = io.open(path, "rb")
  if not file then
    fail(config, "revokedhostkeys", "cannot be read: " .. message, "make it readable, or take the line away")
  end
  file:close()
  return { path }
end

local strictness = { ["true"] = "yes", ["false"] = "no", ["accept-new"] = "accept-new" } -- ask: as without

local function trust(config, out)
  local v = config.values
  out.strict_host_key_checking = strictness[v.stricthostkeychecking]
  if config.origins.userknownhostsfile or config.origins.globalknownhostsfile then
    out.known_hosts = {}
    for _, path in ipairs(v.userknownhostsfile) do table.insert(out.known_hosts, path) end
    for _, path in ipairs(v.globalknownhostsfile) do table.insert(out.known_hosts, path) end
    if not out.known_hosts[1] then out.known_hosts = { "none" } end
    out.known_hosts_read_only = v.userknownhostsfile[1] == nil or nil
  end
  out.host_key_alias = set_value(config, "hostkeyalias")
  out.hash_known_hosts = set_value(config, "hashknownhosts")
  out.check_host_ip = set_value(config, "checkhostip")
  out.no_host_authentication_for_localhost = set_value(config, "nohostauthenticationforlocalhost")
  out.visual_host_key = set_value(config, "visualhostkey")
  out.known_hosts_command = set_value(config, "knownhostscommand")
  local revoked = set_value(config, "revokedhostkeys")
  if revoked then out.revoked_host_keys = revoked_keys(config, revoked) end
  if config.origins.casignaturealgorithms then out.ca_signature_algorithms = v.casignaturealgorithms end
  if set_value(config, "fingerprinthash") == "MD5" then out.fingerprint_hash = "md5" end
  local update = set_value(config, "updatehostkeys")
  if update and update ~= "false" then out.update_host_keys = update end
end

--- The way there ------------------------------------------------------------------------------------------------------

local families = { inet = 4, inet6 = 6 }

--- Tokens in ProxyJump. What is none may be the scope of an address: [fe80::1%eth0].
local function jump_chain(config)
  return (jump.option(config.values.proxyjump):gsub("%%([%%hnpr])", function(token)
    if token == "%" then return "%" end
    local value = config.tokens[token]
    if not value:find("[^%w._-]") then return value end
    fail(config, "proxyjump", ("%%%s would be '%s': not a part of a host's name"):format(token,
      errors.excerpt(value, 60)))
  end))
end

local function way(config, out)
  local v = config.values
  out.family = families[v.addressfamily]
  out.bind, out.bind_interface = set_value(config, "bindaddress"), set_value(config, "bindinterface")
  if out.bind then out.bind_interface = nil end
  out.tries = set_value(config, "connectionattempts")
  local seconds = set_value(config, "connecttimeout")
  if seconds and seconds > 0 then
    out.timeouts = { connect = seconds, greeting = seconds, handshake = seconds }
  end
  local qos = set_value(config, "ipqos")
  if qos and qos[2] ~= "none" then out.tos = qos[2] end
  out.tcp_keepalive = v.tcpkeepalive
  out.server_alive_interval = set_value(config, "serveraliveinterval")
  local count = set_value(config, "serveralivecountmax")
  if count == 0 then out.server_alive_interval = 0 else out.server_alive_count_max = count end
  if v.proxyjump then
    out.proxy_jump = jump_chain(config)
  elseif v.proxycommand then
    out.proxy_command = v.proxycommand
  end
end

--- What commands get --------------------------------------------------------------------------------------------------

local function environment(config, out)
  local list, names = {}, config.values.sendenv or {}
  for _, entry in ipairs(names[1] and core.environ() or {}) do
    local name, value = entry:match("^([^=]+)=(.*)$")
    for _, wanted in ipairs(names) do
      if name and pattern.match(name, wanted) then
        list[#list + 1], list[#list + 2] = name, value
        break
      end
    end
  end
  for _, entry in ipairs(config.values.setenv or {}) do
    list[#list + 1], list[#list + 2] = entry:match("^([^=]*)=(.*)$")
  end
  if list[1] then out.sent_environment = list end
  if config.values.requesttty == "force" then out.pty = true end
end

--- What runs here when the connection has been made.
local function local_command(config, out)
  local command = config.values.permitlocalcommand and set_value(config, "localcommand")
  if not command or command:lower() == "none" then return end
  local text, message = expand.tokens(command, options.merge(config.tokens, { T = "NONE" }))
  if not text then fail(config, "localcommand", message) end
  out.local_command = text
end

local verbosity = { VERBOSE = 1, DEBUG = 1, DEBUG2 = 2, DEBUG3 = 3 }

--- Refusing, and saying -----------------------------------------------------------------------------------------------

local function refuse(config, has_agent)
  for _, def in ipairs(keywords.list) do
    local value = def.status == "unsupported" and set_value(config, def.name)
    if value and def.refuse(value, has_agent) then
      local message = def.name == "refuseconnection" and value or def.why
      fail(config, def.name, message, "take the line away, or put it into a section that does not concern this host")
    end
  end
end

local said = {} -- once is enough

local function say(config)
  if not log.wants(1) then return end
  for _, def in ipairs(keywords.list) do
    local does_nothing = def.status == "ignored" or def.status == "later"
    for _, entry in ipairs(does_nothing and lazy.load("sshlua.ssh_config.printer").entries(config, def) or {}) do
      local origin = entry.origin
      if origin and not said[origin .. def.name] then
        said[origin .. def.name] = true
        log.emit(1, config.host, "ssh_config.ignored", { keyword = def.title, from = origin, reason = def.why })
      end
    end
  end
end

--- Connect options out of effective settings. Fields beyond the public ones: tos, tcp_keepalive, bind_interface,
--- password_prompts, pubkey_algorithms, required_rsa_size, host_key_allowed, known_hosts_read_only, sent_environment,
--- pty, verbosity, add_keys_to_agent, local_command.
---@param config sshlua.Config
---@return table options
function M.options(config)
  local out = {}
  identities(config, out)
  refuse(config, out.agent ~= false and (out.agent or os.getenv("SSH_AUTH_SOCK")) ~= nil)
  authentication(config, out)
  handshake(config, out)
  trust(config, out)
  way(config, out)
  environment(config, out)
  local_command(config, out)
  out.verbosity = verbosity[set_value(config, "loglevel") or ""]
  say(config)
  return out
end

return M
