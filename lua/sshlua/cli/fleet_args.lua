--- The command line of what works on many hosts: which hosts, how many at once, ssh's own letters, what is printed. One
--- table that is parsed by and that the help is made of; a command says which of them it takes, and may have a table of
--- its own beside it. Connects nothing.

local errors = require("sshlua.errors")
local options = require("sshlua.cli.fleet_options")

local M = {}

local misuse = options.misuse
local suggestion = require("sshlua.options").long_suggestion

local function shown(text) return errors.excerpt(text, 60) end

--- Is it of one of the groups, or named itself?
local function is_wanted(option, wanted)
  local function has(word) return wanted:find(" " .. word .. " ", 1, true) end
  if has(option.group) then return true end
  for _, name in ipairs(option.names) do
    if has(name) then return true end
  end
  return false
end

--- What a command takes: of its own options first, then of those that all share.
local function each_option(groups, own, fn)
  local wanted = " " .. groups .. " help "
  for _, list in ipairs({ own or {}, options.list }) do
    for _, option in ipairs(list) do
      if is_wanted(option, wanted) then fn(option) end
    end
  end
end

local function options_of(groups, own)
  local by_name = {}
  each_option(groups, own, function(option)
    for _, name in ipairs(option.names) do by_name[name] = option end
  end)
  return by_name
end

--- Help lines of these groups.
---@param groups string names of groups and of single options, with blanks
---@param own? sshlua.cli.FleetOption[] options of the command itself
---@return string
function M.help(groups, own)
  local lines = {}
  each_option(groups, own, function(option)
    local left = table.concat(option.names, ", ")
    if option.arg then left = left .. (option.optional and "[=" .. option.arg .. "]" or " " .. option.arg) end
    lines[#lines + 1] = ("  %-26s %s\n"):format(left, option.text)
  end)
  return table.concat(lines)
end

--- Parsing ------------------------------------------------------------------------------------------------------------

local function value_of(option, name, text)
  if option.value ~= nil then return option.value end
  if not option.kind then return text end
  local read = type(option.kind) == "function" and option.kind or options.values[option.kind]
  return read(text, name)
end

local function store(o, option, name, text)
  local value = value_of(option, name, text)
  if option.take then return option.take(o, value) end
  local to = o
  if option.into then
    o[option.into] = o[option.into] or {}
    to = o[option.into]
  end
  if option.list then
    to[option.field] = to[option.field] or {}
    table.insert(to[option.field], value)
  else
    to[option.field] = value == nil and true or value
  end
end

--- `line`: by_name, command, elsewhere.
local function find(line, name)
  local command, by_name = line.command, line.by_name
  if by_name[name] then return by_name[name] end
  local known = line.elsewhere and line.elsewhere[name]
  local meant = known and ": " .. known or suggestion(name, by_name)
  misuse("%s: unknown option %s%s (see sshlua %s --help)", command, shown(name), meant, command)
end

local function take_long(o, line, args, i)
  local name, text = args[i]:match("^(%-%-[^=]*)=(.*)$")
  local option, command = find(line, name or args[i]), line.command
  name = name or args[i]
  if text and not option.arg then misuse("%s: option %s takes no argument", command, name) end
  if option.arg and not text and not option.optional then
    i = i + 1
    text = args[i] or misuse("%s: option %s needs %s", command, name, option.arg)
  end
  store(o, option, name, text)
  return i + 1
end

local function take_letters(o, line, args, i)
  local word, at, command = args[i], 2, line.command
  while at <= #word do
    local name = "-" .. word:sub(at, at)
    local option, text = find(line, name), nil
    if option.arg then
      text = word:sub(at + 1)
      at = #word
      if text == "" then
        i = i + 1
        text = args[i] or misuse("%s: option %s needs %s", command, name, option.arg)
      end
    end
    store(o, option, name, text)
    at = at + 1
  end
  return i + 1
end

---@class sshlua.cli.ParseMore
---@field own? sshlua.cli.FleetOption[] options of the command itself
---@field elsewhere? table<string, string> options of other programs that people know, and what they are here
---@field anywhere? boolean options may stand behind words, too

--- Options up to the first word that is none, or "--"; what follows is in `rest`. With `anywhere` options up to "--",
--- and the words between them are in `rest`, too.
---@param args string[]
---@param groups string names of groups and of single options, with blanks
---@param command string for messages
---@param more? sshlua.cli.ParseMore
---@return table
function M.parse(args, groups, command, more)
  more = more or {}
  local o, i = { rest = {} }, 1
  local line = { by_name = options_of(groups, more.own), command = command, elsewhere = more.elsewhere }
  local function add(word) o.rest[#o.rest + 1] = word end
  while args[i] and args[i] ~= "--" do
    if args[i]:find("^%-.") then
      local take = args[i]:sub(1, 2) == "--" and take_long or take_letters
      i = take(o, line, args, i)
    elseif more.anywhere then
      add(args[i])
      i = i + 1
    else
      break
    end
  end
  if args[i] == "--" then i = i + 1 end
  for at = i, #args do add(args[at]) end
  return o
end

return M
