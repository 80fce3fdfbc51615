--- What the commands for many hosts can be told: the table that cli/fleet_args.lua parses by and makes the help of.
--- ssh's letters are settings of the whole process: they win over the environment, inventories and files.

local errors = require("sshlua.errors")
local executor = require("sshlua.executor")
local lazy = require("sshlua.lazy")
local settings = require("sshlua.settings")

local M = {}

function M.misuse(fmt, ...) errors.raise({ kind = "usage", message = fmt:format(...) }) end

local misuse = M.misuse

local function shown(text) return errors.excerpt(text, 60) end

--- Kinds of values ----------------------------------------------------------------------------------------------------

local values = {}
M.values = values

function values.text(text) return text end

function values.name(text, name)
  if text == "" then misuse("%s: a name expected", name) end
  return text
end

function values.count(text, name)
  local n = text:find("^%d+$") and #text < 10 and tonumber(text)
  if not n or n < 1 then misuse("%s: a number of at least 1 expected, got \"%s\"", name, shown(text)) end
  return n
end

function values.seconds(text, name)
  local n = text:find("^[%d.]+$") and tonumber(text)
  if not n then misuse("%s: seconds expected, got \"%s\"", name, shown(text)) end
  return n
end

--- A limit of nothing lets nothing through; whoever says 0 means something else.
function values.limit(text, name)
  local n = values.seconds(text, name)
  if n == 0 then misuse("%s: more than 0 seconds expected; without it there is no limit", name) end
  return n
end

function values.share(text, name)
  local n = executor.share(text, 100)
  if not n then misuse("%s: a count or a share (\"10%%\") expected, got \"%s\"", name, shown(text)) end
  return text:find("%%$") and text or n
end

function values.batch(text, name)
  local sizes = {}
  for size in (text .. ","):gmatch("(.-),") do sizes[#sizes + 1] = values.share(size, name) end
  return sizes
end

function values.port(text, name)
  local n = text:find("^%d+$") and #text < 6 and tonumber(text)
  if not n or n < 1 or n > 65535 then misuse("%s: a port expected, got \"%s\"", name, shown(text)) end
  return n
end

--- Of what reads a value: the words that it takes.
---@type table<function, string[]>
M.words = {}

local function one_of(...)
  local words = { ... }
  local function read(text, name)
    for _, word in ipairs(words) do
      if text == word then return text end
    end
    misuse("%s: %s expected, got \"%s\"", name, table.concat(words, ", "), shown(text))
  end
  M.words[read] = words
  return read
end

M.one_of = one_of

values.on_fail = one_of("stop", "skip", "continue")
values.order = one_of("given", "sorted", "reverse", "shuffle")
values.exit = one_of("main", "all", "any", "largest")
values.only = one_of("failed", "ok", "unreachable")
values.unknown = one_of("stop", "again", "done")

--- The options --------------------------------------------------------------------------------------------------------

local function set(field, value)
  return function(_, text)
    if value == nil then settings.defaults[field] = text else settings.defaults[field] = value end
  end
end

local function add(field)
  return function(_, text)
    local list = settings.defaults[field] or {}
    list[#list + 1] = text
    settings.defaults[field] = list
  end
end

--- What is wrong with it is said once, and not by each host.
local function check_ssh_option(o, text)
  o.ssh_state = o.ssh_state or { values = {}, origins = {}, host = "", original = "" }
  local ok, err = pcall(lazy.load("sshlua.ssh_config.reader").option, o.ssh_state, text, "-o")
  if not ok and errors.is(err, "config") then misuse("%s", err.message) end
end

local function add_ssh_option(o, text)
  if not text:find("^%s*%a%w*[%s=]") then misuse("-o: KEYWORD=VALUE expected, got \"%s\"", shown(text)) end
  local batch = text:lower():match("^%s*batchmode[%s=]+\"?(%a+)")
  if batch and o.batch_mode == nil then -- the first one counts, as everywhere in ssh's settings
    o.batch_mode = batch == "yes" or batch == "true"
    o.one_interrupt = o.batch_mode or nil
    settings.defaults.batch = o.batch_mode or nil -- who is asked here for passwords of sudo and such goes by that
  end
  check_ssh_option(o, text)
  add("ssh_options")(o, text)
end

--- Once, and not by each host.
local function take_ssh_config(o, text)
  local file, problem
  if text:lower() ~= "none" then file, problem = io.open(text) end
  if problem then misuse("-F: cannot open %s", problem) end
  if file then file:close() end
  set("ssh_config")(o, text)
end

---@class sshlua.cli.FleetOption
---@field names string[]
---@field group string which of M.parse's groups
---@field field? string where its value goes; with `list` it is appended
---@field into? string the table in which that field is; default: the one of all options
---@field value? any what an option without an argument means; default true
---@field arg? string name of its argument
---@field kind? string|fun(text: string, name: string): any of values, or what reads it
---@field optional? boolean --name or --name=VALUE
---@field take? fun(o: table, value: string|nil)
---@field text string for the help

---@type sshlua.cli.FleetOption[]
M.list = {
  {
    group = "hosts", names = { "-w" }, field = "hosts", list = true, arg = "HOSTS",
    text = "host expression: web[01-20],@db!db3; may be repeated",
  },
  { group = "hosts", names = { "-x" }, field = "exclude", list = true, arg = "HOSTS", text = "take these away" },
  { group = "hosts", names = { "-g" }, field = "groups", list = true, arg = "GROUP", text = "a group: -w @GROUP" },
  {
    group = "hosts", names = { "--inventory" }, field = "inventory", list = true, arg = "FILE",
    text = "look hosts and groups up there; they keep their settings",
  },
  {
    group = "hosts", names = { "--limit" }, field = "globs", list = true, arg = "GLOB",
    text = "of those only hosts whose name matches",
  },
  { group = "hosts", names = { "--pick" }, field = "pick", arg = "N", kind = "count", text = "of those N at random" },

  {
    group = "pace", names = { "--parallel", "-f" }, field = "parallel", arg = "N", kind = "count",
    text = "hosts at once; default 64",
  },
  {
    group = "pace", names = { "--ramp" }, field = "ramp", arg = "SECONDS", kind = "seconds",
    text = "in which the first of them start",
  },
  {
    group = "pace", names = { "--timeout", "-u" }, field = "timeout", arg = "SECONDS", kind = "limit",
    text = "for each host, connecting included",
  },
  {
    group = "pace", names = { "--connect-timeout" }, arg = "SECONDS", kind = "limit",
    text = "for connecting alone",
    take = set("timeout"),
  },
  {
    group = "pace", names = { "--idle-timeout" }, field = "idle", arg = "SECONDS", kind = "limit",
    text = "without output; of a copy without a byte, there 120 by default",
  },
  {
    group = "pace", names = { "--batch" }, field = "batch", arg = "SIZES", kind = "batch",
    text = "so many hosts at a time: 5, 25%, or 1,5,100%",
  },
  {
    group = "pace", names = { "--max-failed" }, field = "max_failed", arg = "N", kind = "share",
    text = "so many, or 10%, may fail; then no other starts (with --batch: 0)",
  },
  {
    group = "pace", names = { "--on-fail" }, field = "on_fail", arg = "WHAT", kind = "on_fail",
    text = "with --batch, when more fail: stop, skip the batch's rest, continue",
  },
  {
    group = "pace", names = { "--pause" }, field = "pause", arg = "SECONDS", kind = "seconds",
    text = "between batches",
  },
  {
    group = "pace", names = { "--order" }, field = "order", arg = "HOW", kind = "order",
    text = "of batches: given, sorted, reverse, shuffle",
  },
  {
    group = "pace", names = { "--fail-fast", "-k" }, field = "fail_fast",
    text = "the first failure stops everybody",
  },
  {
    group = "pace", names = { "--max-refused" }, field = "max_refused", arg = "N", kind = "count",
    text = "so many hosts may refuse the same key or password; default 10",
  },

  {
    group = "command", names = { "--sudo" }, field = "sudo", optional = true, arg = "USER",
    text = "as root, or --sudo=USER",
  },
  { group = "command", names = { "--ask-sudo" }, field = "ask_sudo", text = "ask for sudo's password now; --sudo" },
  { group = "command", names = { "--cwd" }, field = "cwd", arg = "DIR", text = "run there" },
  { group = "command", names = { "-n" }, field = "no_stdin", text = "standard input is not copied to the hosts" },

  {
    group = "print", names = { "--board" }, field = "board",
    text = "on a terminal: a live line for each host; ? there has the keys",
  },
  { group = "print", names = { "--no-board" }, field = "board", value = false, text = "lines, as without --board" },
  { group = "print", names = { "-b" }, field = "fold", text = "fold hosts with the same output and exit code" },
  {
    group = "print", names = { "-L" }, field = "live_fold",
    text = "the same line by line, as soon as all hosts have come so far",
  },
  {
    group = "print", names = { "--diff" }, field = "diff",
    text = "the largest group, and how the others differ from it",
  },
  { group = "print", names = { "-N" }, field = "bare", text = "no host names in front of lines" },
  { group = "print", names = { "--json" }, field = "json", text = "JSON Lines (docs/fleets.md)" },
  {
    group = "print", names = { "--outdir" }, field = "outdir", arg = "DIR",
    text = "outputs to DIR/HOST.out and .err; ok.hosts, failed.hosts",
  },
  {
    group = "print", names = { "--report" }, field = "report", arg = "FILE",
    text = "an HTML page of outcomes, outputs and times",
  },
  {
    group = "print", names = { "--trace" }, field = "trace", arg = "FILE",
    text = "times as Chrome trace events, for Perfetto",
  },
  { group = "print", names = { "-q" }, field = "quiet", text = "only the hosts' own output" },
  {
    group = "print", names = { "-v" }, field = "verbosity",
    text = "what happens on the way; -v -v: each step",
    take = function(o) o.verbosity = (o.verbosity or 0) + 1 end,
  },

  {
    group = "record", names = { "--record" }, field = "record", arg = "DIR",
    text = "each host's output to a new asciicast file in it",
  },
  {
    group = "record", names = { "--record-input" }, field = "record_input",
    text = "there also what the hosts are sent on standard input",
  },

  {
    group = "exit", names = { "-S" }, field = "exit",
    text = "exit with the largest remote code",
    take = function(o) o.exit = "largest" end,
  },
  {
    group = "exit", names = { "--exit" }, field = "exit", arg = "HOW", kind = "exit",
    text = "main (the first host's code), all, any, largest",
  },

  { group = "ssh", names = { "-l" }, arg = "USER", kind = "name", text = "log in as", take = set("user") },
  { group = "ssh", names = { "-p" }, arg = "PORT", kind = "port", text = "connect to this port", take = set("port") },
  { group = "ssh", names = { "-i" }, arg = "FILE", text = "private key", take = add("identity") },
  { group = "ssh", names = { "-J" }, arg = "HOSTS", text = "by way of these hosts", take = set("proxy_jump") },
  { group = "ssh", names = { "-F" }, arg = "FILE", text = "in place of ~/.ssh/config", take = take_ssh_config },
  { group = "ssh", names = { "-o" }, arg = "KEYWORD=VALUE", text = "as in ssh_config", take = add_ssh_option },
  { group = "ssh", names = { "-C" }, text = "compression", take = set("compression", true) },
  { group = "ssh", names = { "-4" }, text = "IPv4 only", take = set("family", 4) },
  { group = "ssh", names = { "-6" }, text = "IPv6 only", take = set("family", 6) },
  {
    group = "ssh", names = { "-A" },
    text = "not supported: agents are not forwarded",
    take = function() misuse("-A: forwarding of the agent is not part of this version") end,
  },

  {
    group = "journal", names = { "--journal" }, field = "journal", arg = "FILE",
    text = "write down each step before and after",
  },
  {
    group = "journal", names = { "--resume" }, field = "resume", arg = "FILE",
    text = "go on after the last good step of each host of that journal",
  },
  {
    group = "journal", names = { "--only" }, field = "only", arg = "WHICH", kind = "only",
    text = "of that journal's hosts the failed, ok or unreachable ones",
  },
  {
    group = "journal", names = { "--unknown" }, field = "unknown", arg = "WHAT", kind = "unknown",
    text = "steps that were begun and not finished: stop (default), again, done",
  },
  { group = "journal", names = { "--safe" }, field = "safe", text = "the command may run twice" },
  { group = "help", names = { "-h", "--help" }, field = "help", text = "print this text" },
}

return M
