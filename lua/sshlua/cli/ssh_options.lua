--- ssh(1)'s own command line, for what has its alphabet (`sshlua -G`, `config`, `explain`): options become settings
--- that are there before any file is read. Nothing is connected here.

local algorithms = require("sshlua.ssh_config.algorithms")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local expand = require("sshlua.ssh_config.expand")
local forwards = require("sshlua.ssh_config.forwards")
local jump = require("sshlua.ssh_config.jump")
local keywords = require("sshlua.ssh_config.keywords")
local numbers = require("sshlua.ssh_config.numbers")
local reader = require("sshlua.ssh_config.reader")

local M = {}

local ORIGIN = "command line"

local function usage(fmt, ...) errors.raise({ kind = "usage", message = fmt:format(...) }) end

local function set(state, name, value)
  state.values[name], state.origins[name] = value, { ORIGIN }
end

local function first(state, name, value)
  if state.values[name] == nil then set(state, name, value) end
end

--- A name that a shell could take for something else (a ProxyCommand has it as %r) is none, as in ssh.
local function check_user(name)
  if name:find("^%-") or name:find("[%c'`\";&<>|(){}$]") or name:find("%s%-") or name:find("\\$") then
    usage("not a user name: '%s'", core.clean(name))
  end
  return name
end

local function add_forward(state, name, text, how)
  local f = forwards.parse(text, how == "dynamic", how == "remote")
    or (how == "remote" and forwards.parse(text, true, true))
  if not f then usage("not a forwarding: '%s'", text) end
  if keywords.kinds.forward.store(state.values, name, f, true) then
    state.origins[name] = state.origins[name] or { ORIGIN }
  end
end

local function identity(state, text)
  local path = expand.tilde(text) or text
  if not core.fs_stat_sync(path) then
    io.stderr:write(("sshlua: -i %s: no such file\n"):format(path))
  elseif keywords.kinds.files.store(state.values, "identityfile", path, true, reader.sources.option) then
    state.origins.identityfile = state.origins.identityfile or { ORIGIN }
  end
end

local function jump_chain(state, text)
  if state.values.proxyjump then usage("only one -J (commas separate the hops)") end
  if state.values.proxycommand then usage("-J and ProxyCommand") end
  local chain = jump.chain(text)
  if not chain then usage("-J: not a chain of [user@]host[:port]: '%s'", text) end
  set(state, "proxyjump", chain)
end

local function algorithm_list(letter, kind, name)
  return function(state, text)
    if not algorithms.valid(kind, text) then usage("-%s: unknown algorithm in '%s'", letter, text) end
    set(state, name, text)
  end
end

local function read_kind(name, text)
  local used = false
  local args = {
    next = function()
      if used then return nil end
      used = true
      return text
    end,
    left = function() return used and 0 or 1 end,
  }
  local def = keywords.by_name[name]
  return keywords.kinds[def.kind].read(args, def)
end

local function more_verbose(state)
  local levels = { DEBUG = "DEBUG2", DEBUG2 = "DEBUG3", DEBUG3 = "DEBUG3" }
  set(state, "loglevel", levels[state.values.loglevel] or "DEBUG")
end

local function session_type(value)
  return function(state)
    if state.values.sessiontype and state.values.sessiontype ~= value then usage("-N and -s") end
    set(state, "sessiontype", value)
    if value == "none" then set(state, "requesttty", "false") end
  end
end

local function assign(...)
  local pairs_of = { ... }
  return function(state, text)
    for i = 1, #pairs_of, 2 do
      local value = pairs_of[i + 1]
      if value == "ARG" then value = text end
      set(state, pairs_of[i], value)
    end
  end
end

--- letter -> what it does; those in `with_argument` take one.
local letters = {
  ["4"] = assign("addressfamily", "inet"), ["6"] = assign("addressfamily", "inet6"),
  n = assign("stdinnull", true), f = assign("forkafterauthentication", true, "stdinnull", true),
  x = assign("forwardx11", false), X = assign("forwardx11", true),
  Y = assign("forwardx11", true, "forwardx11trusted", true), g = assign("gatewayports", true),
  a = function(state) set(state, "forwardagent", { flag = false }) end,
  A = function(state) set(state, "forwardagent", { flag = true }) end,
  k = assign("gssapidelegatecredentials", false),
  K = assign("gssapiauthentication", true, "gssapidelegatecredentials", true),
  i = identity, I = assign("pkcs11provider", "ARG"), J = jump_chain,
  t = function(state) set(state, "requesttty", state.values.requesttty == "true" and "force" or "true") end,
  T = assign("requesttty", "false"), N = session_type("none"), s = session_type("subsystem"),
  v = more_verbose, q = assign("loglevel", "SILENT"), C = assign("compression", "yes"),
  M = function(state) set(state, "controlmaster", state.values.controlmaster == "true" and "ask" or "true") end,
  S = assign("controlpath", "ARG"), b = assign("bindaddress", "ARG"), B = assign("bindinterface", "ARG"),
  c = algorithm_list("c", "cipher", "ciphers"), m = algorithm_list("m", "mac", "macs"),
  l = function(state, text) first(state, "user", check_user(text)) end,
  p = function(state, text)
    if state.values.port then return end
    local port = numbers.port(text)
    if not port or port == 0 then usage("-p: bad port '%s'", text) end
    set(state, "port", port)
  end,
  e = function(state, text)
    local value, message = read_kind("escapechar", text)
    if not value then usage("-e: %s", message) end
    set(state, "escapechar", value)
  end,
  w = function(state, text)
    local value, message = read_kind("tunneldevice", text)
    if not value then usage("-w: %s", message) end
    first(state, "tunnel", "point-to-point")
    set(state, "tunneldevice", value)
  end,
  L = function(state, text) add_forward(state, "localforward", text, "local") end,
  R = function(state, text) add_forward(state, "remoteforward", text, "remote") end,
  D = function(state, text) add_forward(state, "localforward", text, "dynamic") end,
  W = function(state, text)
    if not forwards.parse(text, true, false) then usage("-W: not host:port: '%s'", text) end
    set(state, "requesttty", "false")
    set(state, "sessiontype", "none")
    state.stdio_forward = true
  end,
  o = function(state, text) reader.option(state, text) end,
}
for letter in ("12GVyP"):gmatch(".") do letters[letter] = function() end end
letters.E, letters.F, letters.O, letters.Q = letters.G, letters.G, letters.G, letters.G

local with_argument = "b c e i l m o p B D E F I J L O P Q R S W w"

---@class sshlua.cli.SshArguments
---@field host? string
---@field file? string of -F
---@field steps fun(state: table)[] in order
---@field command? string
---@field help? boolean
---@field letters table<string, string|boolean> those that were given, with their last argument
---@field record? string
---@field record_input? boolean

local function one_option(o, letter, argument)
  local act = letters[letter]
  if letter == "F" then o.file = argument end
  if not o.all and (letter == "Q" or letter == "O") then usage("-%s is not part of this command", letter) end
  o.letters[letter] = argument or true
  o.steps[#o.steps + 1] = function(state) act(state, argument) end
end

--- What ssh has no letter for; the index after it, nil: there is no such option.
local function take_long(o, argv, i)
  local name, text = argv[i]:match("^%-%-([^=]+)=?(.*)$")
  if name == "help" then
    o.help = true
    return #argv + 1
  end
  if not o.all then return nil end
  if name == "record-input" and text == "" then
    o.record_input = true
    return i + 1
  end
  if name ~= "record" then return nil end
  if not argv[i]:find("=", 1, true) then
    i = i + 1
    text = argv[i]
  end
  if not text or text == "" then usage("option --record needs a directory") end
  o.record = text
  return i + 1
end

--- Options from argv[i] on; returns the index of the first operand, and whether "--" ended them.
local function take_options(o, argv, i)
  while argv[i] and argv[i]:find("^%-.") do
    if argv[i] == "--" then return i + 1, true end
    local after = take_long(o, argv, i)
    if o.help then return after, true end
    local at = after and #argv[i] + 1 or 2
    while at <= #argv[i] do
      local letter = argv[i]:sub(at, at)
      if not letters[letter] then usage("unknown option -%s", letter) end
      local argument
      if with_argument:find(letter, 1, true) then
        argument = argv[i]:sub(at + 1)
        at = #argv[i]
        if argument == "" then
          i = i + 1
          argument = argv[i] or usage("option -%s needs an argument", letter)
          at = #argv[i]
        end
      end
      one_option(o, letter, argument)
      at = at + 1
    end
    i = after or i + 1
  end
  return i, false
end

local function take_host(o, text)
  local uri = jump.uri(text)
  if uri == nil then usage("not a destination: '%s'", text) end
  local user, host, port
  if uri then
    user, host, port = uri.user, uri.host, uri.port
  else
    user, host = text:match("^(.*)@([^@]*)$")
    if user == "" then usage("not a destination: '%s'", text) end
    host = host or text
  end
  if host == "" or host:sub(1, 1) == "-" then usage("not a host name: '%s'", host) end
  o.host = host
  o.steps[#o.steps + 1] = function(state)
    if user then first(state, "user", check_user(user)) end
    if port then first(state, "port", port) end
  end
end

--- ssh's arguments: options, [user@]host or a ssh:// URI, options, a command.
---@param argv string[]
---@param all? boolean -Q and -O, too: the caller sees to them
---@return sshlua.cli.SshArguments
function M.parse(argv, all)
  local o = { steps = {}, letters = {}, all = all }
  local i, ended = take_options(o, argv, 1)
  if argv[i] then
    take_host(o, argv[i])
    i = i + 1
    if not ended then i = take_options(o, argv, i) end
  end
  local command = table.concat(argv, " ", i)
  if command ~= "" then o.command = command end
  return o
end

return M
