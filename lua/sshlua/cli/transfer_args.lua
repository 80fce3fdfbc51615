--- The command line of put, get and sync: which hosts, how they are connected to, how their files are copied. Knows
--- words; must not know what is done with them.

local errors = require("sshlua.errors")

local M = {}

---@class sshlua.cli.TransferArgs
---@field words string[] what is no option
---@field targets sshlua.TargetOptions
---@field connect sshlua.ConnectOptions
---@field fleet { parallel?: integer, timeout?: number }
---@field transfer sshlua.TransferOptions
---@field verbosity integer

local command = "put"

local function usage(fmt, ...)
  errors.raise({ kind = "usage", message = ("%s: %s (see sshlua help %s)"):format(command, fmt:format(...), command) })
end

--- Values -----------------------------------------------------------------------------------------------------------

local function shown(value) return '"' .. errors.excerpt(value, 40) .. '"' end

local function count(value, name)
  local n = value:find("^%d+$") and #value <= 9 and tonumber(value)
  if not n or n < 1 then usage("%s: a number expected, got %s", name, shown(value)) end
  return n
end

local function seconds(value, name)
  local n = value:find("^%d+%.?%d*$") and tonumber(value)
  if not n then usage("%s: seconds expected, got %s", name, shown(value)) end
  return n
end

local units = { [""] = 1, k = 1024, m = 1024 * 1024, g = 1024 * 1024 * 1024 }

local function bytes(value, name)
  local digits, unit = value:match("^(%d+%.?%d*)([kKmMgG]?)$")
  local n = digits and math.floor(tonumber(digits) * units[unit:lower()])
  if not n or n < 1 or n > 1e15 then usage("%s: bytes expected (500K, 10M), got %s", name, shown(value)) end
  return n
end

local function port(value, name)
  local n = count(value, name)
  if n > 65535 then usage("%s: not a port: %d", name, n) end
  return n
end

local function same(value) return value end
local function yes() return true end

--- Options ----------------------------------------------------------------------------------------------------------

--- name -> { where, key, how the value is read; list: it may come again; flag: it has no value }
local function value(where, key, read) return { where = where, key = key, read = read or same } end
local function list(where, key) return { where = where, key = key, read = same, list = true } end
local function flag(where, key, read) return { where = where, key = key, read = read or yes, flag = true } end

local shared = {
  ["-w"] = list("targets", "hosts"), ["-x"] = list("targets", "exclude"), ["-g"] = list("targets", "groups"),
  ["--inventory"] = list("targets", "inventory"),
  ["--parallel"] = value("fleet", "parallel", count), ["--timeout"] = value("transfer", "timeout", seconds),
  ["-b"] = flag("show", "fold"), ["--json"] = flag("show", "json"), ["-q"] = flag("show", "quiet"),
  ["--diff"] = flag("show", "diff"), ["-v"] = flag("show", "verbosity", function(_, o) return o.verbosity + 1 end),
  ["--batch"] = flag("connect", "batch"), ["--ask-sudo"] = flag("show", "ask_sudo"),
  ["-o"] = list("connect", "ssh_options"), ["-F"] = value("connect", "ssh_config"),
  ["-J"] = value("connect", "proxy_jump"), ["-p"] = value("connect", "port", port), ["-l"] = value("connect", "user"),
  ["-i"] = list("connect", "identity"), ["-C"] = flag("connect", "compression"),
  ["-4"] = flag("connect", "family", function() return 4 end),
  ["-6"] = flag("connect", "family", function() return 6 end),
  ["-A"] = flag("connect", "agent", function() usage("-A: a copy needs no agent on the host") end),
  ["-h"] = flag("show", "help"), ["--help"] = flag("show", "help"),
}

local transfers = {
  ["--mode"] = value("transfer", "mode"), ["--dir-mode"] = value("transfer", "dir_mode"),
  ["--times"] = flag("transfer", "times"), ["--links"] = value("transfer", "links"),
  ["--setuid"] = flag("transfer", "setuid"), ["--unsafe-links"] = flag("transfer", "unsafe_links"),
  ["--resume"] = flag("transfer", "resume"), ["--verify"] = flag("transfer", "verify", function() return "sha256" end),
  ["--skip"] = value("transfer", "skip"), ["--exclude"] = list("transfer", "exclude"),
  ["--dry-run"] = flag("transfer", "dry_run"), ["--check"] = flag("show", "check"),
  ["--fsync"] = flag("transfer", "fsync"), ["--no-fsync"] = flag("transfer", "fsync", function() return false end),
  ["--no-sparse"] = flag("transfer", "sparse", function() return false end),
  ["--parents"] = flag("transfer", "parents"), ["--files"] = value("transfer", "files", count),
  ["--limit"] = value("transfer", "limit", bytes), ["--idle"] = value("transfer", "idle", seconds),
  ["--stop"] = flag("transfer", "keep_going", function() return false end),
  ["--no-progress"] = flag("transfer", "progress", function() return false end),
  ["--sudo"] = flag("transfer", "sudo"), ["--sudo-user"] = value("transfer", "sudo"),
}

--- What only one of the verbs has.
local own = {
  put = {},
  get = { ["--flat"] = flag("show", "flat") },
  sync = { ["--delete"] = flag("transfer", "delete"), ["--pull"] = flag("transfer", "pull") },
}

M.own = own

local function take(o, option, name, text)
  local to = option.where == "show" and o or o[option.where]
  local v = option.read(text, option.where == "show" and o or name)
  if not option.list then
    to[option.key] = v
    return
  end
  to[option.key] = to[option.key] or {}
  table.insert(to[option.key], v)
end

local function find(name)
  return shared[name] or transfers[name] or own[command][name]
end

--- "--name=value", "--name value". Returns the index of the next word.
local function take_long(o, argv, i)
  local name, text = argv[i]:match("^(%-%-[^=]+)=(.*)$")
  name = name or argv[i]
  local option = find(name)
  if not option then usage("unknown option %s", errors.excerpt(name, 40)) end
  if option.flag then
    if text then usage("%s takes no value", name) end
  elseif not text then
    i = i + 1
    text = argv[i] or usage("%s needs a value", name)
  end
  take(o, option, name, text)
  return i + 1
end

--- "-qb", "-wHOSTS", "-w HOSTS"
local function take_letters(o, argv, i)
  local word, at = argv[i], 2
  while at <= #word do
    local name = "-" .. word:sub(at, at)
    local option = find(name)
    if not option then usage("unknown option %s", errors.excerpt(name, 40)) end
    local text
    if not option.flag then
      text = word:sub(at + 1)
      at = #word
      if text == "" then
        i = i + 1
        text = argv[i] or usage("%s needs a value", name)
      end
    end
    take(o, option, name, text)
    at = at + 1
  end
  return i + 1
end

--- Options may stand anywhere up to "--".
---@param argv string[]
---@param verb "put"|"get"|"sync"
---@return sshlua.cli.TransferArgs
function M.parse(argv, verb)
  command = verb
  local o = { words = {}, targets = {}, connect = {}, fleet = {}, transfer = { progress = true }, verbosity = 0 }
  local i, only_words = 1, false
  while argv[i] do
    local word = argv[i]
    if only_words or word == "-" or word:sub(1, 1) ~= "-" then
      o.words[#o.words + 1] = word
      i = i + 1
    elseif word == "--" then
      only_words = true
      i = i + 1
    elseif word:sub(1, 2) == "--" then
      i = take_long(o, argv, i)
    else
      i = take_letters(o, argv, i)
    end
  end
  if o.check then o.transfer.dry_run = true end
  if o.json or o.quiet then o.transfer.progress = false end
  return o
end

M.usage = function(...) return usage(...) end

return M
