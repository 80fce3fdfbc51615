--- `sshlua keys ...`: host keys, in known_hosts files and in lock files. Knows the words of the command line; what they
--- do is in cli/keys_files.lua and cli/keys_lock.lua.

local errors = require("sshlua.errors")
local hostset = require("sshlua.hostset")

local M = { summary = "scan, find, add, remove, hash, audit host keys; lock and verify them" }

M.help = [[
usage: sshlua keys scan [-p PORT] [-t TYPES] [-H] HOSTS...
       sshlua keys find [-p PORT] [-f FILE]... [--alias NAME] --key "TYPE BASE64" HOST
       sshlua keys add [-p PORT] [-f FILE] [-H] [--key "TYPE BASE64" | --fingerprint SHA256:...] HOST
       sshlua keys remove [-p PORT] [-f FILE]... HOST
       sshlua keys hash [-f FILE]
       sshlua keys audit [-f FILE]...
       sshlua keys lock [-p PORT] [-o FILE] [-f FILE]... [--force] HOSTS...
       sshlua keys verify [-o FILE] [HOSTS...]

  scan     prints the keys that servers show, as known_hosts lines; nothing is trusted by it
  find     prints match, changed, revoked or unknown, and file:line; exits with 0 for match
  add      writes a key down: the one given, the one with that fingerprint, or after asking
  remove   takes a host out of known_hosts (the old file is kept as FILE.old)
  hash     hashes the names in known_hosts (the same)
  audit    prints what is wrong with files; exits with 1 when something is
  lock     writes a lock file of host keys, to be reviewed and committed; hosts that are in it already and are not
           named are kept. A key that differs from known_hosts is refused without --force
  verify   asks the servers again and compares; exits with 1 when one differs

HOSTS are host expressions: web[01-20], [::1]:2222, user@name.
  -p PORT             for hosts without a port
  -f FILE             known_hosts file; default: as for connections
  -o FILE             lock file; default: sshlua.hostkeys
  -t TYPES            of ed25519,ecdsa,rsa
  -H                  hash names
  --alias NAME        the name under which the key is looked up
  --key KEY           "TYPE BASE64"
  --fingerprint HASH  SHA256:...; only a key that has it is added
  --force             lock keys that differ from known_hosts, too
]]

local commands = {
  scan = "sshlua.cli.keys_lock", lock = "sshlua.cli.keys_lock", verify = "sshlua.cli.keys_lock",
  find = "sshlua.cli.keys_files", add = "sshlua.cli.keys_files", remove = "sshlua.cli.keys_files",
  hash = "sshlua.cli.keys_files", audit = "sshlua.cli.keys_files",
}

--- Option -> its field, and whether it takes a word.
local flags = {
  ["-p"] = { "port", true }, ["-f"] = { "files", true }, ["-o"] = { "lock", true }, ["-t"] = { "types", true },
  ["-H"] = { "hashed" }, ["--alias"] = { "alias", true }, ["--key"] = { "key", true },
  ["--fingerprint"] = { "fingerprint", true }, ["--force"] = { "force" }, ["--help"] = { "help" }, ["-h"] = { "help" },
}

local allowed = {
  scan = "port types hashed", find = "port files alias key", add = "port files hashed key fingerprint",
  remove = "port files", hash = "files", audit = "files", lock = "port lock files force", verify = "lock port",
}

local function misuse(fmt, ...) errors.raise({ kind = "usage", message = "keys: " .. fmt:format(...) }) end

M.misuse = misuse

local function take(o, word, args, i)
  local name, value = word:match("^(%-%-[^=]+)=(.*)$")
  local flag = flags[name or word]
  if not flag then misuse("unknown option %s (see sshlua keys --help)", word) end
  if value and not flag[2] then misuse("option %s takes no argument", name) end
  if flag[2] and not value then
    i = i + 1
    value = args[i]
    if not value then misuse("option %s needs an argument", word) end
  end
  if flag[1] == "files" then
    o.files = o.files or {}
    table.insert(o.files, value)
  else
    o[flag[1]] = value or true
  end
  o.given[flag[1]] = name or word
  return i
end

local function parse(args)
  local o, i = { hosts = {}, given = {} }, 1
  while args[i] do
    local word = args[i]
    if word == "--" then
      for j = i + 1, #args do o.hosts[#o.hosts + 1] = args[j] end
      break
    end
    if word:sub(1, 1) == "-" and word ~= "-" then i = take(o, word, args, i) else o.hosts[#o.hosts + 1] = word end
    i = i + 1
  end
  return o
end

local function check(o, command)
  for field, word in pairs(o.given) do
    if field ~= "help" and not (" " .. allowed[command] .. " "):find(" " .. field .. " ", 1, true) then
      misuse("%s: option %s is for another command (see sshlua keys --help)", command, word)
    end
  end
  if o.port then
    local port = tonumber(o.port:match("^%d+$"))
    if not port or port < 1 or port > 65535 then misuse("not a port: %s", o.port) end
    o.port = port
  end
  for name in (o.types or ""):gmatch("[^,]+") do
    if name ~= "ed25519" and name ~= "ecdsa" and name ~= "rsa" then misuse("-t: ed25519, ecdsa or rsa expected") end
  end
end

--- Host expressions -> "user@name:port" texts.
function M.targets(o)
  local out = {}
  for _, expression in ipairs(o.hosts) do
    for _, h in ipairs(hostset.expand(expression, { level = 2 })) do
      local name = h.name:find(":", 1, true) and ("[%s]"):format(h.name) or h.name
      local port = h.port or o.port
      out[#out + 1] = (h.user and h.user .. "@" or "") .. name .. (port and (":%d"):format(port) or "")
    end
  end
  return out
end

---@param args string[]
function M.run(args)
  local o = parse(args)
  if o.help then
    io.stdout:write(M.help)
    return 0
  end
  local command = table.remove(o.hosts, 1)
  if not command then misuse("which command? (see sshlua keys --help)") end
  if not commands[command] then misuse("unknown command '%s' (see sshlua keys --help)", command) end
  check(o, command)
  return require(commands[command])[command](o)
end

return M
