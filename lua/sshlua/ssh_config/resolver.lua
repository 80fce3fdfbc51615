--- From a host name to its effective settings: command line, the user's file, the system's file, canonicalization and
--- the second pass, defaults, tokens. As ssh(1) does it; what we do with a setting is not known here.

local algorithms = require("sshlua.ssh_config.algorithms")
local canonical = require("sshlua.ssh_config.canonical")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local expand = require("sshlua.ssh_config.expand")
local jump = require("sshlua.ssh_config.jump")
local keywords = require("sshlua.ssh_config.keywords")
local options = require("sshlua.options")
local reader = require("sshlua.ssh_config.reader")
local settings = require("sshlua.settings")
local tokens = require("sshlua.ssh_config.tokens")

local M = {}

---@class sshlua.ResolveOptions
---@field file? string in place of both files, as ssh -F; "none": no file
---@field options? string[] "Keyword=value", as ssh -o: they win
---@field user? string
---@field port? integer
---@field hostname? string
---@field command? string what will be run, for Match command

M.options = { file = "string", options = "table", user = "string", port = "port", command = "string", set = "table" }

---@class sshlua.Config the effective settings of a host
---@field host string as given
---@field values table<string, any> by keyword in lower case
---@field origins table<string, string[]> "file:line"; nothing for defaults
---@field written table<string, string> lists of algorithms as they were written

local function fail(state, name, message)
  local origin = state.origins[name]
  errors.raise({ kind = "config", message = ("%s%s: %s"):format(origin and origin[1] .. ": " or "",
    keywords.by_name[name].title, message) })
end

local function read_files(state, opts)
  local sources = reader.sources
  if opts.file then
    if opts.file:lower() == "none" then return end
    local ok, message = reader.file(state, opts.file, { source = sources.user })
    if not ok then errors.raise({ kind = "config", message = "cannot read the configuration: " .. message }) end
    return
  end
  local paths = settings.ssh_config_files or {}
  reader.file(state, paths.user or state.me.home .. "/.ssh/config", { source = sources.user, check = true })
  reader.file(state, paths.system or "/etc/ssh/ssh_config", { source = sources.system })
end

--- The end of it ------------------------------------------------------------------------------------------------------

--- "none" takes these away.
local clear_on_none = {
  "localcommand", "remotecommand", "proxycommand", "controlpath", "revokedhostkeys", "pkcs11provider",
  "securitykeyprovider", "knownhostscommand",
}

--- Settings that nobody has made are looked up, not copied: there are a hundred of them for each host of a fleet.
local with_defaults = { __index = keywords.defaults }

local function defaults_without(name)
  local rest = options.merge(keywords.defaults)
  rest[name] = nil
  return { __index = rest }
end

local function fill_defaults(v, state)
  if state.stdio_forward then
    if v.exitonforwardfailure == nil then v.exitonforwardfailure = true end
    if v.clearallforwardings == nil then v.clearallforwardings = true end
  end
  if v.clearallforwardings then
    v.localforward, v.remoteforward, v.tunnel = nil, nil, nil
  end
  if v.updatehostkeys == nil then
    local own = v.userknownhostsfile
    local usual = own == nil or (#own == 1 and own[1] == "~/.ssh/known_hosts")
    v.updatehostkeys = (v.verifyhostkeydns or "false") == "false" and usual and "true" or "false"
  end
  if v.serveraliveinterval == nil then v.serveraliveinterval = v.batchmode and 300 or 0 end
  local rest = with_defaults
  for _, name in ipairs(clear_on_none) do
    if v[name] and v[name]:lower() == "none" then
      v[name] = nil
      if keywords.defaults[name] ~= nil then rest = defaults_without(name) end
    end
  end
  setmetatable(v, rest)
  if v.proxyjump and not v.proxyjump.last then v.proxyjump = nil end
  v.user = v.user or state.me.name
  if v.hostkeyalias then v.hostkeyalias = v.hostkeyalias:lower() end
end

local function assemble(state, written)
  local v = state.values
  for _, def in ipairs(keywords.algorithms) do
    local text = v[def.name]
    if type(text) == "string" then
      local list, message = algorithms.openssh(def.list, text)
      if not list then fail(state, def.name, message) end
      v[def.name], written[def.name] = list, text
    end
  end
end

local function check(state)
  local v = state.values
  local hop = v.proxyjump and v.proxyjump.last
  if hop then
    if hop.host == state.host and (hop.port or 22) == v.port and (hop.user or v.user) == v.user then
      fail(state, "proxyjump", "the way leads to itself: " .. hop.host)
    end
    v.proxyusefdpass = false
  end
  if v.proxycommand == "-" and v.proxyusefdpass then fail(state, "proxycommand", "'-' and ProxyUseFdpass") end
  if v.connectionattempts == 0 then fail(state, "connectionattempts", "1 or more expected") end
  local has_work = v.remotecommand or state.command or v.sessiontype == "none"
  if v.forkafterauthentication and state.strict_command and not has_work then
    fail(state, "forkafterauthentication", "there is no command to run in the background")
  end
  if state.command and v.remotecommand and state.strict_command then
    fail(state, "remotecommand", "a command is given, too")
  end
  local quiet = v.loglevel == "SILENT" or v.loglevel == "FATAL" or v.loglevel == "ERROR"
  if v.updatehostkeys == "ask" and (v.controlpersist ~= "no" and v.controlpath or state.command or v.remotecommand
    or v.requesttty == "false" or quiet) then
    v.updatehostkeys = "false"
  end
end

local function path_of(state, name, text, all)
  local path, message = expand.tilde(text, state.me.home)
  if path then path, message = expand.both(path, all) end
  if not path then fail(state, name, message) end
  return path
end

local function expand_hosts_files(state, all)
  local v = state.values
  for _, name in ipairs({ "globalknownhostsfile", "userknownhostsfile" }) do
    local list = {}
    for i, file in ipairs(v[name]) do list[i] = file end
    if list[1] and list[1]:lower() == "none" then list = {} end
    v[name] = list
  end
  for i, file in ipairs(v.userknownhostsfile) do
    v.userknownhostsfile[i] = path_of(state, "userknownhostsfile", file, all)
  end
end

local function expand_forwards(state, all)
  for _, name in ipairs({ "localforward", "remoteforward" }) do
    local list = {}
    for i, f in ipairs(state.values[name] or {}) do
      list[i] = options.merge(f)
      for _, side in ipairs({ "listen_path", "connect_path" }) do
        local text, message = f[side], nil
        if text then text, message = expand.tokens(text, all) end
        if message then fail(state, name, message) end
        list[i][side] = text
      end
    end
    if list[1] then state.values[name] = list end
  end
end

local function expand_all(state, all)
  local v = state.values
  if v.remotecommand then
    local text, message = expand.tokens(v.remotecommand, all)
    if not text then fail(state, "remotecommand", message) end
    v.remotecommand = text
  end
  for _, name in ipairs({ "controlpath", "identityagent" }) do
    if v[name] then v[name] = path_of(state, name, v[name], all) end
  end
  if v.forwardagent.path then
    v.forwardagent = { flag = v.forwardagent.flag, path = path_of(state, "forwardagent", v.forwardagent.path, all) }
    if v.exitonforwardfailure and not core.fs_stat_sync(v.forwardagent.path) then
      fail(state, "forwardagent", v.forwardagent.path .. ": no such socket")
    end
  end
  expand_hosts_files(state, all)
  expand_forwards(state, all)
end

local function replace_host(state)
  local v = state.values
  if not v.hostname then return end
  local host, message = expand.tokens(v.hostname, { h = state.host })
  if not host then fail(state, "hostname", message) end
  state.host, v.hostname = host, host
end

local function two_passes(state, opts)
  local v = state.values
  read_files(state, opts)
  local want_final = state.want_final
  -- Decided now: what the second pass says of these comes too late.
  if v.canonicalizemaxdots == nil then v.canonicalizemaxdots = 1 end
  if v.canonicalizefallbacklocal == nil then v.canonicalizefallbacklocal = true end
  v.canonicalizehostname = v.canonicalizehostname or "false"
  replace_host(state)
  state.host = canonical.host(v, state.host)
  if want_final or v.canonicalizehostname ~= "false" then
    state.final, v.hostname = true, state.host
    read_files(state, opts)
  end
  v.hostname = state.host
end

local function who()
  local user = core.user()
  return { name = user.name or os.getenv("USER") or "root", uid = user.uid, home = expand.home() }
end

--- Values that a command line or a script has set: they are there before any file is read. `steps` are functions of the
--- state, in the order of a command line.
local function preset(state, opts)
  for _, name in ipairs({ "user", "port", "hostname" }) do
    local value = opts[name]
    if name == "hostname" and value then value = value:gsub("%%", "%%%%") end
    if value then state.values[name], state.origins[name] = value, { "option" } end
  end
  for _, text in ipairs(opts.options or {}) do reader.option(state, text) end
  for _, step in ipairs(opts.steps or {}) do step(state) end
end

--- The effective settings of a host. Runs as a task: Match exec and look-ups wait.
---@param host string
---@param opts? sshlua.ResolveOptions
---@return sshlua.Config
function M.resolve(host, opts)
  opts = opts or {}
  local state = {
    values = {}, origins = {}, host = host, original = host, me = who(), final = false, want_final = false,
    command = opts.command, strict_command = opts.strict_command,
  }
  preset(state, opts)
  if state.strict_command and not state.command and state.values.sessiontype == "subsystem" then
    fail(state, "sessiontype", "which subsystem?")
  end
  two_passes(state, opts)
  local written, v = {}, state.values
  fill_defaults(v, state)
  assemble(state, written)
  check(state)
  local all = tokens.of({
    host = state.host, original = host, port = v.port, user = v.user, alias = v.hostkeyalias or host, me = state.me,
    jump = v.proxyjump and jump.text(v.proxyjump),
  })
  expand_all(state, all)
  return { host = host, values = v, origins = state.origins, written = written, tokens = all }
end

return M
