--- The truth about every keyword of ssh_config(5): its kind of value, its default, and what this client does with it.
--- Resolving, `sshlua -G`, `sshlua explain` and docs/ssh_config.md all go by this table. The order is `ssh -G`'s.
---
--- Status: "applied"; "ignored": it changes nothing here, `why`; "later": waits for a part of this program that is not
--- there yet; "unsupported": an error when it is on (`refuse`). The last three are said with -v where a file sets them.

local algorithms = require("sshlua.ssh_config.algorithms")
local special = require("sshlua.ssh_config.kinds_special")

local M = {}

local function truth(more)
  local choices = { yes = "true", ["true"] = "true", no = "false", ["false"] = "false" }
  for word, value in pairs(more) do choices[word] = value end
  return choices
end

local function upper(words)
  local choices = {}
  for word in words:gmatch("%S+") do choices[word:lower()] = word end
  return choices
end

local levels = upper("SILENT FATAL ERROR INFO VERBOSE DEBUG DEBUG2 DEBUG3")
levels.debug1, levels.quiet = "DEBUG", "SILENT" -- as Debian's OpenSSH prints it
local facilities = upper("DAEMON USER AUTH AUTHPRIV LOCAL0 LOCAL1 LOCAL2 LOCAL3 LOCAL4 LOCAL5 LOCAL6 LOCAL7")
local hashes = upper("MD5 SHA1 SHA256 SHA384 SHA512")
local identity_files = {
  "~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519", "~/.ssh/id_ed25519_sk",
  "~/.ssh/id_xmss", "~/.ssh/id_dsa",
}

--- When an unsupported keyword is an error.
local is_true = function(value) return value == true end
local is_on = function(value) return value ~= "false" end
local no_agent = function(value, has_agent) return value:lower() ~= "none" and not has_agent end
local always = function(value) return value:lower() ~= "none" end

--- The spec that proves that a keyword is applied, where it is not spec/integration/ssh_config_spec.lua.
local unit = "spec/unit/ssh_config_spec.lua"
local canonical = "spec/integration/ssh_config_canonical_spec.lua"
local client = "spec/integration/ssh_client_spec.lua"
local proofs = {
  addkeystoagent = "spec/integration/add_keys_spec.lua", localcommand = "spec/integration/local_command_spec.lua",
  permitlocalcommand = "spec/integration/local_command_spec.lua",
  checkhostip = "spec/integration/trust_spec.lua", fingerprinthash = "spec/integration/trust_spec.lua",
  visualhostkey = "spec/integration/trust_spec.lua",
  sessiontype = client, stdinnull = client, forkafterauthentication = client, remotecommand = client,
  escapechar = client,
  casignaturealgorithms = "spec/integration/host_certificate_spec.lua",
  canonicaldomains = canonical, canonicalizefallbacklocal = canonical, canonicalizehostname = canonical,
  canonicalizemaxdots = canonical, canonicalizepermittedcnames = canonical,
  ignoreunknown = unit, tag = unit, host = unit, match = unit, include = unit,
}

---@class sshlua.Keyword
---@field name string in lower case
---@field title string as the manual writes it
---@field kind string see kinds.lua
---@field status "applied"|"ignored"|"later"|"unsupported"|"structure"|"accepted"
---@field why? string
---@field proof? string the spec that proves that it is applied
---@field default? any as the kind reads it
---@field refuse? fun(value: any, has_agent: boolean): boolean unsupported: is it an error?
---@field new? boolean younger than OpenSSH 9.2: printed by -G only where it is set
---@field always? boolean set from sections for other hosts, too

local CLIENT = "by sshlua ssh; scripts say what they run"

--- title, kind, status, and more
local rows = {
  { "User", "text", "applied", why = "for the login; `user` in a script wins" },
  { "HostName", "text", "applied", why = "%%, %h" },
  { "Port", "port", "applied", default = 22 },
  { "AddressFamily", "choice", "applied", default = "any",
    choices = { any = "any", inet = "inet", inet6 = "inet6" },
  },
  { "BatchMode", "flag", "applied", default = false, why = "nothing is asked on the terminal" },
  { "CanonicalizeFallbackLocal", "flag", "applied", default = true },
  { "CanonicalizeHostname", "choice", "applied", default = "false", choices = truth { always = "always" } },
  { "CheckHostIP", "flag", "applied", default = false },
  { "Compression", "choice", "applied", default = "no", choices = { yes = "yes", no = "no" },
    why = "zlib@openssh.com",
  },
  { "ControlMaster", "choice", "ignored", default = "false",
    choices = truth { auto = "auto", ask = "ask", autoask = "autoask" },
    why = "one connection per host is shared inside the program; there is no control socket",
  },
  { "EnableSSHKeysign", "flag", "ignored", default = false,
    why = "there is no host-based authentication in this client",
  },
  { "ClearAllForwardings", "flag", "later", default = false, why = "waits for forwarding" },
  { "ExitOnForwardFailure", "flag", "later", default = false, why = "waits for forwarding" },
  { "FingerprintHash", "choice", "applied", default = "SHA256", choices = hashes,
    why = "md5 or sha256; with others fingerprints stay SHA256",
  },
  { "ForwardX11", "flag", "later", default = false, why = "waits for forwarding" },
  { "ForwardX11Trusted", "flag", "later", default = true, why = "waits for forwarding" },
  { "GatewayPorts", "flag", "later", default = false, why = "waits for forwarding" },
  { "GSSAPIAuthentication", "flag", "ignored", default = false, why = "there is no GSSAPI in this client" },
  { "GSSAPIKeyExchange", "flag", "ignored", default = false, why = "there is no GSSAPI in this client" },
  { "GSSAPIDelegateCredentials", "flag", "ignored", default = false, why = "there is no GSSAPI in this client" },
  { "GSSAPITrustDns", "flag", "ignored", default = false, why = "there is no GSSAPI in this client" },
  { "GSSAPIRenewalForcesRekey", "flag", "ignored", default = false, why = "there is no GSSAPI in this client" },
  { "GSSAPIClientIdentity", "text", "ignored", why = "there is no GSSAPI in this client" },
  { "GSSAPIServerIdentity", "text", "ignored", why = "there is no GSSAPI in this client" },
  { "GSSAPIKexAlgorithms", "algorithms", "ignored", default = algorithms.kinds.gss.default, list = "gss",
    why = "there is no GSSAPI in this client",
  },
  { "HashKnownHosts", "flag", "applied", default = false },
  { "HostbasedAuthentication", "flag", "ignored", default = false,
    why = "there is no host-based authentication in this client",
  },
  { "IdentitiesOnly", "flag", "applied", default = false },
  { "KbdInteractiveAuthentication", "flag", "applied", default = true,
    aliases = { "challengeresponseauthentication", "skeyauthentication", "tisauthentication" },
  },
  { "NoHostAuthenticationForLocalhost", "flag", "applied", default = false },
  { "PasswordAuthentication", "flag", "applied", default = true },
  { "PermitLocalCommand", "flag", "applied", default = false },
  { "ProxyUseFdpass", "flag", "unsupported", default = false, refuse = is_true,
    why = "a proxy cannot pass a descriptor here; use a ProxyCommand that passes the data on",
  },
  { "PubkeyAuthentication", "choice", "applied", default = "true",
    choices = truth { unbound = "unbound", ["host-bound"] = "host-bound" }, aliases = { "dsaauthentication" },
    why = "the two forms with a bound agent are as yes",
  },
  { "RequestTTY", "choice", "applied", default = "auto", choices = truth { force = "force", auto = "auto" },
    why = "in scripts force: commands get a terminal",
  },
  { "SessionType", "choice", "applied", default = "default",
    choices = { none = "none", subsystem = "subsystem", default = "default" }, why = CLIENT,
  },
  { "StdinNull", "flag", "applied", default = false, why = CLIENT },
  { "ForkAfterAuthentication", "flag", "applied", default = false, why = CLIENT },
  { "StreamLocalBindUnlink", "flag", "later", default = false, why = "waits for forwarding" },
  { "StrictHostKeyChecking", "choice", "applied", default = "ask",
    choices = truth { no = "false", off = "false", ask = "ask", ["accept-new"] = "accept-new" },
    why = "a changed key is refused, with no, too",
  },
  { "TCPKeepAlive", "flag", "applied", default = true, aliases = { "keepalive" } },
  { "Tunnel", "choice", "unsupported", default = "false",
    choices = truth {
      ["true"] = "point-to-point", yes = "point-to-point", ethernet = "ethernet", ["point-to-point"] = "point-to-point",
    },
    refuse = is_on, why = "there are no tun devices in this client; use a VPN, or forward ports",
  },
  { "VerifyHostKeyDNS", "choice", "ignored", default = "false", choices = truth { ask = "ask" },
    why = "the resolver cannot tell a signed answer from another",
  },
  { "VisualHostKey", "flag", "applied", default = false },
  { "UpdateHostKeys", "choice", "ignored", choices = truth { ask = "ask" },
    why = "keys that a server announces later are not learnt",
  },
  { "EnableEscapeCommandline", "flag", "later", default = false, why = "waits for forwarding" },
  { "WarnWeakCrypto", "flag", "ignored", new = true,
    why = "the algorithm of the key exchange is in the events (-v)",
  },
  { "CanonicalizeMaxDots", "integer", "applied", default = 1 },
  { "ConnectionAttempts", "integer", "applied", default = 1, why = "only where it is said; 3 otherwise" },
  { "ForwardX11Timeout", "time", "later", default = 1200, why = "waits for forwarding" },
  { "NumberOfPasswordPrompts", "integer", "applied", default = 3 },
  { "ServerAliveCountMax", "integer", "applied", default = 3 },
  { "ServerAliveInterval", "time", "applied", aliases = { "protocolkeepalives", "setuptimeout" },
    why = "only where it is said; 15 otherwise",
  },
  { "RequiredRSASize", "integer", "applied", default = 1024 },
  { "ObscureKeystrokeTiming", "keystrokes", "ignored", new = true, why = "keys are sent when they are typed" },
  { "BindAddress", "text", "applied" },
  { "BindInterface", "text", "applied" },
  { "Ciphers", "algorithms", "applied", default = algorithms.kinds.cipher.default, list = "cipher" },
  { "ControlPath", "text", "ignored",
    why = "one connection per host is shared inside the program; there is no control socket",
  },
  { "HostKeyAlgorithms", "algorithms", "applied", default = algorithms.kinds.key.default, list = "key" },
  { "HostKeyAlias", "text", "applied" },
  { "HostbasedAcceptedAlgorithms", "algorithms", "ignored", default = algorithms.kinds.key.default, list = "key",
    aliases = { "hostbasedkeytypes" }, why = "there is no host-based authentication in this client",
  },
  { "IdentityAgent", "agent", "applied" },
  { "IgnoreUnknown", "text", "applied" },
  { "KbdInteractiveDevices", "text", "ignored", why = "the server chooses" },
  { "KexAlgorithms", "algorithms", "applied", default = algorithms.kinds.kex.default, list = "kex" },
  { "CASignatureAlgorithms", "algorithms", "applied", default = algorithms.kinds.signature.default,
    list = "signature",
  },
  { "LocalCommand", "command", "applied", why = "once for each connection; it has 60 seconds and no input" },
  { "RemoteCommand", "command", "applied", why = CLIENT },
  { "LogLevel", "choice", "applied", default = "INFO", choices = levels,
    why = "VERBOSE and DEBUG as -v, DEBUG2 as -vv, DEBUG3 as -vvv, for this host",
  },
  { "MACs", "algorithms", "applied", default = algorithms.kinds.mac.default, list = "mac" },
  { "PKCS11Provider", "text", "unsupported", aliases = { "smartcarddevice" }, refuse = no_agent,
    why = "keys of a token come through the agent: ssh-add -s; then IdentityAgent or SSH_AUTH_SOCK",
  },
  { "SecurityKeyProvider", "text", "ignored", default = "internal", why = "security keys come through the agent" },
  { "PreferredAuthentications", "text", "applied" },
  { "PubkeyAcceptedAlgorithms", "algorithms", "applied", default = algorithms.kinds.key.default, list = "key",
    aliases = { "pubkeyacceptedkeytypes" },
  },
  { "RevokedHostKeys", "text", "applied" },
  { "XAuthLocation", "text", "later", default = "/usr/bin/xauth", why = "waits for forwarding" },
  { "KnownHostsCommand", "command", "applied" },
  { "Tag", "text", "applied", new = true, why = "for Match tagged" },
  { "VersionAddendum", "text", "ignored", new = true, why = "the banner is ours" },
  { "RefuseConnection", "command", "unsupported", new = true, refuse = always,
    why = "the configuration refuses this connection",
  },
  { "DynamicForward", "forward", "later", dynamic = true, into = "localforward", why = "waits for forwarding" },
  { "LocalForward", "forward", "later", why = "waits for forwarding" },
  { "RemoteForward", "forward", "later", remote = true, why = "waits for forwarding" },
  { "IdentityFile", "files", "applied", default = identity_files, aliases = { "identityfile2" },
    why = "a public key stands for the agent's",
  },
  { "CanonicalDomains", "words", "applied", default = {}, max = 32, check = special.check_domain },
  { "CertificateFile", "files", "applied" },
  { "GlobalKnownHostsFile", "words", "applied",
    default = { "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2" }, max = 32,
  },
  { "UserKnownHostsFile", "words", "applied", default = { "~/.ssh/known_hosts", "~/.ssh/known_hosts2" }, max = 32 },
  { "SendEnv", "env_names", "applied" },
  { "SetEnv", "env_values", "applied" },
  { "LogVerbose", "first_word", "ignored", default = {}, why = "that names places in OpenSSH's own source" },
  { "ChannelTimeout", "words", "ignored", new = true, why = "`idle` and `timeout` of a command do this" },
  { "PermitRemoteOpen", "permit_open", "later", default = { "any" }, why = "waits for forwarding" },
  { "AddKeysToAgent", "add_keys", "applied", default = { mode = "false", seconds = 0 },
    why = "when the key has let us in; ask is answered on the terminal or by SSH_ASKPASS",
  },
  { "ForwardAgent", "agent_or_flag", "later", default = { flag = false }, why = "waits for forwarding" },
  { "ConnectTimeout", "time", "applied", why = "for connecting, greeting and key exchange" },
  { "TunnelDevice", "tunnel_device", "ignored", default = { "any", "any" },
    why = "there are no tun devices in this client",
  },
  { "CanonicalizePermittedCNAMEs", "cnames", "applied", default = {}, shown = "canonicalizePermittedcnames" },
  { "ControlPersist", "persist", "ignored", default = "no",
    why = "one connection per host is shared inside the program; there is no control socket",
  },
  { "EscapeChar", "escape", "applied", default = 126, why = CLIENT },
  { "IPQoS", "ipqos", "applied", default = { 16, 8 },
    why = "only where it is said; the second class, commands have no terminal",
  },
  { "RekeyLimit", "rekey", "ignored", default = { bytes = 0 },
    why = "libssh2 cannot begin a new key exchange; the server may",
  },
  { "StreamLocalBindMask", "mask", "later", default = 127, why = "waits for forwarding" },
  { "SyslogFacility", "choice", "ignored", default = "USER", choices = facilities, always = true,
    why = "nothing is written to syslog",
  },
  { "ProxyCommand", "proxy_command", "applied" },
  { "ProxyJump", "jump", "applied" },
}

--- Keywords that OpenSSH reads and does nothing with; and those that make the structure of a file.
local accepted = {
  protocol = "ignored", cipher = "deprecated", fallbacktorsh = "deprecated", globalknownhostsfile2 = "deprecated",
  rhostsauthentication = "deprecated", userknownhostsfile2 = "deprecated", useroaming = "deprecated",
  usersh = "deprecated", useprivilegedport = "deprecated", afstokenpassing = "unsupported by ssh, too",
  kerberosauthentication = "unsupported by ssh, too", kerberostgtpassing = "unsupported by ssh, too",
  rsaauthentication = "unsupported by ssh, too", rhostsrsaauthentication = "unsupported by ssh, too",
  compressionlevel = "unsupported by ssh, too",
}

---@type sshlua.Keyword[] in the order of `ssh -G`
M.list = {}
---@type table<string, sshlua.Keyword> by every name, aliases too
M.by_name = {}

for _, row in ipairs(rows) do
  local def = row
  def.title, def.kind, def.status = row[1], row[2], row[3]
  def.name = def.title:lower()
  def.proof = def.status == "applied" and (proofs[def.name] or "spec/integration/ssh_config_spec.lua") or nil
  M.list[#M.list + 1] = def
  M.by_name[def.name] = def
  for _, alias in ipairs(def.aliases or {}) do M.by_name[alias] = def end
end
for name, why in pairs(accepted) do
  M.by_name[name] = { name = name, title = name, kind = "nothing", status = "accepted", why = why }
end
for _, title in ipairs({ "Host", "Match", "Include" }) do
  M.by_name[title:lower()] = { name = title:lower(), title = title, kind = title:lower(), status = "structure",
    proof = unit }
end

M.kinds = special

local function those(which)
  local list = {}
  for _, def in ipairs(M.list) do
    if which(def) then list[#list + 1] = def end
  end
  return list
end

--- Parts of the list, made once: every host of a fleet is resolved.
M.algorithms = those(function(def) return def.kind == "algorithms" and def.list ~= "gss" end)
M.unsupported = those(function(def) return def.status == "unsupported" end)
M.without_effect = those(function(def) return def.status == "ignored" or def.status == "later" end)

---@type table<string, any> what a keyword is when nobody has set it
M.defaults = {}
for _, def in ipairs(M.list) do
  if not def.into then M.defaults[def.name] = def.default end
end

return M
