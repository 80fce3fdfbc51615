-- Configurations for OpenSSH's client by chance, the same for the same seed: what people write, what they write wrong,
-- and what only a grammar thinks of.
local mutator = require "spec.support.mutator"

local M = {}

local function words(text)
  local list = {}
  for w in text:gmatch "%S+" do list[#list + 1] = w end
  return list
end

M.hosts = {
  "web1", "Web1", "db.example.com", "10.0.0.1", "127.1", "::1", "a.b.c", "x", "web-2.internal", "fe80::1%lo", "0x7f.1",
}
local patterns = words "* web* web? !web1 *.example.com 10.* x !x a.b.c *.* db.* Web1 ?? *1 nothing :: 0x7f.* !* 127.0.0.1"
local users = words "bob alice root deploy"
local numbers_ok = words "0 1 2 3 10 22 2222 65535"
local times = words "0 5 10s 1m 1h30m 2d 1w 90"
local paths = words "/tmp/a ~/b ~/.ssh/id_x /etc/passwd none ~root/k %d/k ${HOME}/k"
local domains = words "example.com a.b Corp.Example none x."

local function list_of(names, prefixes)
  return function(r)
    local out = {}
    for _ = 1, r(3) do out[#out + 1] = names[r(#names)] end
    return prefixes[r(#prefixes)] .. table.concat(out, ",")
  end
end

local function one_of(list) return function(r) return list[r(#list)] end end
local function some_of(list, most)
  return function(r)
    local out = {}
    for _ = 1, r(most) do out[#out + 1] = list[r(#list)] end
    return table.concat(out, " ")
  end
end

local yes = one_of(words "yes no yes no true false Yes NO")
local prefixes = { "", "", "+", "-", "^" }
local key_algorithms = list_of(words "ssh-ed25519 rsa-sha2-512 ssh-rsa ecdsa-sha2-* *cert* ssh-dss rsa-sha2-256 *", prefixes)
local forward_from = words "8080 127.0.0.1:81 [::1]:90 *:99 :77 /tmp/s.sock localhost:ssh 0 70000 %d/s ${HOME}/s"
local forward_to = words "a:80 [::2]:90 /tmp/t.sock host:http 1 b:0 %h/x"

-- keyword -> a value by chance
local values = {
  User = one_of(users), Port = one_of(words "22 2222 ssh 1 65535 +7"), AddressFamily = one_of(words "any inet inet6 INET"),
  HostName = one_of(words "%h real.example.com %h.example.com 10.9.8.7 %% 127.1 Upper.Case ::1"), BatchMode = yes,
  CanonicalizeFallbackLocal = yes, CheckHostIP = yes, Compression = one_of(words "yes no YES"),
  ControlMaster = one_of(words "yes no auto ask autoask true"), EnableSSHKeysign = yes, ExitOnForwardFailure = yes,
  ClearAllForwardings = one_of(words "no no no yes"), FingerprintHash = one_of(words "md5 sha256 SHA512"), ForwardX11 = yes,
  ForwardX11Trusted = yes, GatewayPorts = yes, GSSAPIAuthentication = yes, GSSAPIDelegateCredentials = yes,
  GSSAPIKeyExchange = yes, GSSAPITrustDns = yes, GSSAPIServerIdentity = one_of(users), HashKnownHosts = yes,
  GSSAPIKexAlgorithms = list_of(words "gss-gex-sha1- gss-group14-sha256-", { "" }),
  HostbasedAuthentication = yes, IdentitiesOnly = yes, KbdInteractiveAuthentication = yes,
  ChallengeResponseAuthentication = yes, NoHostAuthenticationForLocalhost = yes, PasswordAuthentication = yes,
  PermitLocalCommand = yes, ProxyUseFdpass = yes, PubkeyAuthentication = one_of(words "yes no unbound host-bound"),
  RequestTTY = one_of(words "yes no force auto"), SessionType = one_of(words "none subsystem default"), StdinNull = yes,
  StreamLocalBindUnlink = yes, StrictHostKeyChecking = one_of(words "yes no ask off accept-new"), TCPKeepAlive = yes,
  KeepAlive = yes, Tunnel = one_of(words "yes no ethernet point-to-point"), VerifyHostKeyDNS = one_of(words "yes no ask"),
  VisualHostKey = yes, UpdateHostKeys = one_of(words "yes no ask"), EnableEscapeCommandline = yes,
  CanonicalizeMaxDots = one_of(numbers_ok), ConnectionAttempts = one_of(words "1 2 5 9"), ForwardX11Timeout = one_of(times),
  NumberOfPasswordPrompts = one_of(numbers_ok), ServerAliveCountMax = one_of(numbers_ok),
  ServerAliveInterval = one_of(times), ProtocolKeepAlives = one_of(times), RequiredRSASize = one_of(words "1024 2048"),
  BindAddress = one_of(words "127.0.0.1 ::1"), BindInterface = one_of(words "lo eth0"), ControlPath = one_of(paths),
  Ciphers = list_of(words "aes128-ctr aes256-gcm@openssh.com 3des-cbc chacha20-poly1305@openssh.com", prefixes),
  MACs = list_of(words "hmac-sha1 hmac-sha2-256 hmac-md5 umac-64@openssh.com", prefixes),
  KexAlgorithms = list_of(words "curve25519-sha256 ecdh-sha2-nistp256 diffie-hellman-group1-sha1", prefixes),
  HostKeyAlgorithms = key_algorithms, PubkeyAcceptedAlgorithms = key_algorithms, PubkeyAcceptedKeyTypes = key_algorithms,
  HostbasedAcceptedAlgorithms = key_algorithms, CASignatureAlgorithms = key_algorithms,
  HostKeyAlias = one_of(words "Alias other"), IdentityAgent = one_of(words "none SSH_AUTH_SOCK $SOCK ${HOME}/s ~/s %d/%u"),
  IgnoreUnknown = one_of(words "foo* bar,unknown* *"), KbdInteractiveDevices = one_of(words "pam bsdauth,pam"),
  LocalCommand = one_of { "echo %h 'a b'", "none", "= x" }, RemoteCommand = one_of { "none", "echo %h %n", 'tmux "new" -A' },
  KnownHostsCommand = one_of { "/bin/echo %H", "none" }, LogLevel = one_of(words "QUIET INFO VERBOSE DEBUG1 debug2 DEBUG3 error"),
  PKCS11Provider = one_of(paths), SecurityKeyProvider = one_of(words "internal none /x"),
  PreferredAuthentications = one_of(words "publickey password,publickey"), RevokedHostKeys = one_of(paths),
  XAuthLocation = one_of(words "/usr/bin/xauth /x"), DynamicForward = one_of(forward_from),
  LocalForward = function(r) return forward_from[r(#forward_from)] .. " " .. forward_to[r(#forward_to)] end,
  RemoteForward = function(r) return forward_from[r(#forward_from)] .. (r(3) > 1 and " " .. forward_to[r(#forward_to)] or "") end,
  IdentityFile = one_of(paths), CanonicalDomains = some_of(domains, 2), CertificateFile = one_of(paths),
  GlobalKnownHostsFile = some_of(words "/etc/k1 /etc/k2 none", 2), UserKnownHostsFile = some_of(paths, 2),
  SendEnv = some_of(words "LANG LC_* -LC_* A B* -B* -*", 3), SetEnv = some_of(words 'A=1 B=2 A=3 C="x y" D=', 3),
  LogVerbose = some_of(words "none kex.c:*:1000 *:f():*", 2), PermitRemoteOpen = some_of(words "any none a:1 [::1]:2 *:* b:http", 2),
  AddKeysToAgent = one_of { "yes", "no", "ask", "confirm", "confirm 5m", "1h", "0" },
  ForwardAgent = one_of(words "yes no $SOCK /etc/passwd ${HOME}"), ConnectTimeout = one_of(words "none 0 10 1m"),
  TunnelDevice = one_of(words "any 0 any:any 3:4 1:any"), CanonicalizePermittedCNAMEs = one_of { "none", "*.a:*.B,c", "*.x:*.y b:c" },
  ControlPersist = one_of(words "yes no 0 10 1h"), EscapeChar = one_of(words "~ none ^A ^] x \\ %"),
  IPQoS = one_of { "af21", "lowdelay cs1", "0x10", "none 255", "8 le", "ef EF" },
  RekeyLimit = one_of { "default none", "1G 1h", "512K", "1.5M", "100 10", "default 5m", "0" }, StreamLocalBindMask = one_of(words "0177 0 777 0022 7x"),
  SyslogFacility = one_of(words "USER auth LOCAL7 daemon"), ProxyCommand = one_of { "nc %h %p", "none", 'ssh -W "%h:%p" b', "=x y" },
  ProxyJump = one_of { "none", "bob@jump:2222", "a,b,c", "ssh://x@y:1", "[::1]:22", "a # c,d", "10.1.1.1" },
  Protocol = one_of { "2", "1,2 x" }, UseRoaming = yes, RSAAuthentication = yes, CompressionLevel = one_of(numbers_ok),
  IdentityFile2 = one_of(paths), SmartcardDevice = one_of(paths), HostbasedKeyTypes = key_algorithms,
}
local keywords = {}
for name in pairs(values) do keywords[#keywords + 1] = name end
table.sort(keywords)

-- Values that are wrong for nearly every keyword.
local wrong = { "maybe", "-1", "99999999999", '"unclosed', "a b c", "1x", "!", "", "'q", "a,,b", "%z", "[::1", "\\", "none none", "${NO_SUCH_VARIABLE_X}" }

local function any_case(r, word)
  local how = r(6)
  if how == 1 then return word:lower() end
  if how == 2 then return word:upper() end
  return word
end

local separators = { " ", " ", " ", " ", "=", " = ", "\t", "  ", "= ", " =" }

local function setting(r, mistakes)
  local name = keywords[r(#keywords)]
  local value = values[name](r)
  if r(100) <= mistakes then value = wrong[r(#wrong)] end
  if r(100) <= mistakes then name = ({ "Foo", "Unknown1", "bar", "foobar" })[r(4)] end
  if r(12) == 1 and not value:find('["\\]') and not value:find " " then value = '"' .. value .. '"' end
  local line = any_case(r, name) .. separators[r(#separators)] .. value
  if r(15) == 1 then line = line .. " # a comment" end
  if r(20) == 1 then line = line .. "  \t" end
  if r(25) == 1 then line = line .. "\r" end
  return ({ "", "  ", "\t" })[r(3)] .. line
end

local function host_line(r)
  local out = {}
  for _ = 1, r(3) do out[#out + 1] = patterns[r(#patterns)] end
  return any_case(r, "Host") .. separators[r(#separators)] .. table.concat(out, " ")
end

local criteria = {
  function() return "all" end, function() return "final" end, function() return "canonical" end, function() return "!final" end,
  function(r) return "host " .. patterns[r(#patterns)] .. "," .. patterns[r(#patterns)] end,
  function(r) return "originalhost " .. patterns[r(#patterns)] end, function(r) return "user " .. users[r(#users)] .. ",b*" end,
  function(r) return "localuser " .. users[r(#users)] end, function(r) return "!host " .. patterns[r(#patterns)] end,
  function(r) return ({ "exec true", "exec false", '!exec "test %h = web1"', 'exec "test %p = 22"', '!exec "exit 3"',
    'exec "test %n%r%u%L%l%i%d%k != x"', "exec=true" })[r(7)] end,
}

local function match_line(r, mistakes)
  local out = {}
  for i = 1, r(3) do out[i] = criteria[r(#criteria)](r) end
  if r(100) <= mistakes then out[#out + 1] = ({ "nonsense", "host", "user", "all", "exec %z" })[r(5)] end
  return "Match " .. table.concat(out, r(4) == 1 and "  " or " ")
end

-- One configuration: { text, includes = { name -> text }, host, arguments }.
function M.config(seed, directory)
  local r = mutator.random(seed * 7919 + 17)
  local mistakes = r(6) == 1 and 12 or 0
  local case = { includes = {}, host = M.hosts[r(#M.hosts)], arguments = {}, seed = seed }
  local function body(depth)
    local lines = {}
    for _ = 1, r(14) do
      local how = r(24)
      if how <= 4 then
        lines[#lines + 1] = host_line(r)
      elseif how <= 6 then
        lines[#lines + 1] = match_line(r, mistakes)
      elseif how == 7 then
        lines[#lines + 1] = ({ "", "# comment", "   ", "#", "\t#x y" })[r(5)]
      elseif how == 8 and depth < 3 then
        local name = ("inc%d-%d.conf"):format(seed, #case.includes + 1)
        case.includes[#case.includes + 1] = name
        case.includes[name] = body(depth + 1)
        lines[#lines + 1] = ("Include %s/%s"):format(directory, ({ name, name, "nothing*.conf", name .. " " .. directory .. "/none-*" })[r(4)])
      else
        lines[#lines + 1] = setting(r, mistakes)
      end
    end
    return table.concat(lines, "\n") .. (r(5) > 1 and "\n" or "")
  end
  case.text = body(0)
  if r(4) == 1 then case.options = { keywords[r(#keywords)] } end
  if case.options then
    local name = case.options[1]
    case.options = { name .. "=" .. values[name](r) }
  end
  if r(6) == 1 then case.user = users[r(#users)] end
  if r(6) == 1 then case.port = tonumber(numbers_ok[r(6) + 2]) end
  return case
end

-- One line.
function M.line(r) return setting(r, 10) end

return M
