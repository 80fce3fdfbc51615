--- `sshlua hosts [OPTION...] EXPR...`: host expressions and inventories, expanded, folded, counted or checked.

local connection = require("sshlua.inventory.connection")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local fleet_args = require("sshlua.cli.fleet_args")
local hostset = require("sshlua.hostset")
local inventory = require("sshlua.inventory")
local sources = require("sshlua.inventory.sources")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = { summary = "expand or fold host expressions, list inventories" }

---@type sshlua.cli.FleetOption[]
local OPTIONS = {
  { group = "own", names = { "-x" }, field = "exclude", list = true, arg = "EXPR", text = "take these away" },
  {
    group = "own", names = { "--fold" }, field = "fold",
    text = "one line: the shortest expression for the same hosts",
  },
  { group = "own", names = { "--count" }, field = "count", text = "how many there are" },
  {
    group = "own", names = { "--json" }, field = "json",
    text = "JSON, one object to a line; with an inventory also groups and variables",
  },
  {
    group = "own", names = { "--inventory" }, field = "inventory", list = true, arg = "FILE",
    text = "look names up in FILE: INI, YAML, JSON, Lua, a program, groups.conf, a directory",
  },
  {
    group = "own", names = { "--check" }, field = "check",
    text = "with an inventory: are the connection settings ones that work here? Exit status 1 if not",
  },
  {
    group = "own", names = { "--max" }, field = "limit", arg = "N", kind = "count",
    text = "how many hosts may be named; default 2000000",
  },
}

M.help = [[
usage: sshlua hosts [-x EXPR] [--fold | --count] [--json] [--inventory FILE] [--max N] [EXPR...]

Prints the hosts that the expressions name, one to a line: "web[01-20]", "app@db[1-3]:2222", "@group", "^file";
"," and several EXPR join, "!" takes away, "&" keeps what is in both, "^" what is in one of both. "-" reads names from
standard input. With an inventory EXPR is as for inv:select ("web:&prod:!web13"); without EXPR it is all of it.
]] .. fleet_args.help("own", OPTIONS)

local function parse(args)
  local o = fleet_args.parse(args, "own", "hosts", { own = OPTIONS, anywhere = true })
  for i, word in ipairs(o.rest) do
    if word == "-" then o.rest[i] = "^-" end
  end
  o.words = o.rest
  return o
end

-- ---- printing

local BATCH = 1000
local nobody_reads = {}

--- Lines, many at a time; whoever stops reading stops us.
local function printer()
  local lines, n = {}, 0
  local function flush()
    if n == 0 then return end
    lines[n + 1] = ""
    if not io.stdout:write(table.concat(lines, "\n", 1, n + 1)) then error(nobody_reads, 0) end
    n = 0
  end
  return function(line)
    n = n + 1
    lines[n] = line
    if n == BATCH then flush() end
  end, flush
end

local function json(value)
  local text, err = core.json_encode(value)
  if not text then errors.raise(errors.from(err, { op = "hosts" })) end
  return text
end

local function as_json(inv)
  return function(name, user, port)
    local known = inv and inv.model.hosts[name]
    return json({
      host = name, user = user, port = port, groups = known and setmetatable(inv:groups(name), core.json_array) or nil,
      vars = known and setmetatable(inv:vars(name), core.json_object) or nil,
    })
  end
end

local function plain(name, user, port)
  if not user and not port then return name end
  return hostset.format({ name = name, user = user, port = port })
end

local function print_hosts(o, each, inv)
  local print_line, flush = printer()
  local text_of = o.json and as_json(inv) or plain
  each(function(...) print_line(text_of(...)) end)
  flush()
end

local function print_fold(o, each)
  local names = {}
  each(function(...) names[#names + 1] = plain(...) end)
  local text = hostset.fold(names)
  if o.json then text = json({ hosts = text, count = #names }) end
  if #names > 0 or o.json then io.stdout:write(text, "\n") end
end

local function print_count(o, n) io.stdout:write(o.json and json({ count = n }) or ("%d"):format(n), "\n") end

--- Are the settings of each host ones that we can connect with? What is not goes to standard error.
local function check(each, inv)
  local bad, seen = 0, {}
  local function say(text)
    if not seen[text] then io.stderr:write("sshlua: ", text, "\n") end
    seen[text] = true
  end
  each(function(name)
    local known = inv.model.hosts[name]
    local ok, result, _, notices = pcall(connection.of, inv.model, known)
    if not ok and not errors.is(result) then error(result, 0) end
    if not ok then
      bad = bad + 1
      say(result.message)
    end
    for _, text in ipairs(ok and notices or {}) do say(text) end
  end)
  return bad == 0 and 0 or 1
end

-- ---- the hosts

local function from_inventory(o)
  local inv = inventory.open(o.inventory)
  local words = o.words[1] and o.words or { "all" }
  local options = { limit = o.limit, exclude = o.exclude }
  local list = inv:expand(#words == 1 and words[1] or words, options)
  return inv, #list, function(visit)
    for _, h in ipairs(list) do visit(h.name, h.user, h.port) end
  end
end

local function from_words(o)
  if #o.words == 0 then misuse("hosts: which hosts? (an expression, or --inventory FILE; see sshlua hosts --help)") end
  local options = { limit = o.limit, exclude = o.exclude, sources = sources.default() }
  local n = o.count and hostset.count(o.words, options) or nil
  return n, function(visit) hostset.each(o.words, options, visit) end
end

function M.run(args)
  local o = parse(args)
  if o.help then
    io.stdout:write(M.help)
    return 0
  end
  local inv, n, each
  if o.inventory then
    inv, n, each = from_inventory(o)
  else
    n, each = from_words(o)
  end
  if o.check then
    if not inv then misuse("hosts: --check is about an inventory") end
    return check(each, inv)
  end
  local ok, err = pcall(function()
    if o.count then return print_count(o, n) end
    if o.fold then return print_fold(o, each) end
    return print_hosts(o, each, inv)
  end)
  if ok then return 0 end
  if err == nobody_reads then return 141 end
  error(err, 0)
end

return M
