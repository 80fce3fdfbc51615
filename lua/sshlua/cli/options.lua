--- The program's own options, lua(1)'s alphabet: one table that is parsed by and that the help is made of. What follows
--- the first operand belongs to the script or the command.

local suggestion = require("sshlua.options").long_suggestion

local M = {}

---@class sshlua.cli.Option
---@field short? string
---@field long? string
---@field arg? string name of its argument
---@field text string for the help
---@field lua? boolean about Lua code: makes no sense with a command
---@field take fun(o: table, value: string?, at: integer): string? a message when it cannot be

---@type sshlua.cli.Option[]
M.list = {
  {
    short = "e", arg = "CODE", lua = true, text = "run CODE",
    take = function(o, value) table.insert(o.actions, { what = "code", value = value }) end,
  },
  {
    short = "l", arg = "MOD", lua = true, text = "require MOD into a global of that name; NAME=MOD: into NAME",
    take = function(o, value) table.insert(o.actions, { what = "module", value = value }) end,
  },
  {
    short = "i", lua = true, text = "go interactive, after the script if there is one",
    take = function(o) o.interactive = true end,
  },
  {
    short = "v",
    text = "print what happens on the way to hosts; -vv: each step, -vvv: libssh2's trace too",
    take = function(o) o.verbosity = o.verbosity + 1 end,
  },
  {
    short = "E", arg = "FILE", text = "append that to FILE instead of standard error",
    take = function(o, value) o.events = value end,
  },
  {
    long = "check", lua = true,
    text = "change nothing: verbs say what they would change; exit status 5 when something would",
    take = function(o) o.check = true end,
  },
  {
    long = "diff", lua = true, text = "print what changes, or with --check would, as diff -u does",
    take = function(o) o.diff = true end,
  },
  {
    long = "journal", arg = "FILE", lua = true, text = "write each step of each host to FILE, before and after",
    take = function(o, value) o.journal = value end,
  },
  {
    long = "resume", arg = "FILE", lua = true, text = "go on where the journal FILE ended",
    take = function(o, value) o.resume = value end,
  },
  {
    long = "only", arg = "WHICH", lua = true, text = "with --resume: only hosts that were failed, ok or unreachable",
    take = function(o, value) o.only = value end,
  },
  {
    long = "unknown", arg = "WHAT", lua = true,
    text = "with --resume: steps that were begun and not finished: stop, again, done",
    take = function(o, value) o.unknown = value end,
  },
  {
    long = "cassette", arg = "FILE", lua = true, text = "play hosts from FILE; when it is missing, record them",
    take = function(o, value) o.cassette = value end,
  },
  {
    long = "lua-path", arg = "DIR", text = "take sshlua's own Lua files from DIR (only as the first option)",
    take = function(_, _, at) return at ~= 1 and "option --lua-path must come first" or nil end,
  },
  {
    long = "version", text = "print versions, and what is on or off, and exit",
    take = function(o) o.version = true end,
  },
  { short = "h", long = "help", text = "print this text and exit", take = function(o) o.help = true end },
}

local by_name = {}
for _, option in ipairs(M.list) do
  if option.short then by_name["-" .. option.short] = option end
  if option.long then by_name["--" .. option.long] = option end
end

local function find(name)
  local option = by_name[name]
  if not option then
    local meant = suggestion(name, by_name)
    return nil, ("unknown option %s%s (see sshlua --help)"):format(name, meant)
  end
  return option
end

--- Takes one option that starts at argv[i], as text after its name (nil: none). Returns the index after it.
local function take(o, option, name, value, argv, i, at)
  if option.arg and value == nil then
    i = i + 1
    value = argv[i]
    if value == nil then return nil, ("option %s needs %s (see sshlua --help)"):format(name, option.arg) end
  elseif not option.arg and value ~= nil then
    return nil, ("option %s takes no argument"):format(name)
  end
  if option.lua then o.lua_option = name end
  local message = option.take(o, value, at)
  if message then return nil, message end
  return i + 1
end

local function take_long(o, argv, i)
  local name, value = argv[i]:match("^(%-%-[^=]*)=?(.*)$")
  if not argv[i]:find("=", 1, true) then value = nil end
  local option, message = find(name)
  if not option then return nil, message end
  return take(o, option, name, value, argv, i, i)
end

--- "-vvi", "-eCODE", "-e CODE"
local function take_short(o, argv, i)
  local letters = argv[i]
  for at = 2, #letters do
    local name = "-" .. letters:sub(at, at)
    local option, message = find(name)
    if not option then return nil, message end
    local rest = letters:sub(at + 1)
    if option.arg then return take(o, option, name, rest ~= "" and rest or nil, argv, i, i) end
    local good
    good, message = take(o, option, name, nil, argv, i, i)
    if not good then return nil, message end
  end
  return i + 1
end

--- Options up to the first operand. Fields: actions (in order), interactive, verbosity, events, help, version, operand
--- (its index in argv, or nil), after_dashes, lua_option (one that was there).
---@param argv string[] argv[0] is the program
---@return table|nil options, string|nil message
function M.parse(argv)
  local o = { actions = {}, verbosity = 0 }
  local i = 1
  while argv[i] do
    local word = argv[i]
    if word == "--" then
      o.after_dashes = true
      i = i + 1
      break
    end
    if word == "-" or word:sub(1, 1) ~= "-" then break end
    local parse = word:sub(1, 2) == "--" and take_long or take_short
    local after, message = parse(o, argv, i)
    if not after then return nil, message end
    i = after
  end
  o.operand = argv[i] and i or nil
  return o
end

return M
