--- The command line of what works on many hosts: which hosts, how many at once, ssh's own letters, what is printed. One
--- table that is parsed by and that the help is made of; a command says which of them it takes. Connects nothing.

local errors = require("sshlua.errors")
local options = require("sshlua.cli.fleet_options")

local M = {}

local misuse = options.misuse

local function shown(text) return errors.excerpt(text, 60) end

local function options_of(groups)
  local by_name = {}
  for _, option in ipairs(options.list) do
    if (" " .. groups .. " help "):find(" " .. option.group .. " ", 1, true) then
      for _, name in ipairs(option.names) do by_name[name] = option end
    end
  end
  return by_name
end

--- Help lines of these groups.
---@param groups string
---@return string
function M.help(groups)
  local lines = {}
  for _, option in ipairs(options.list) do
    if (" " .. groups .. " help "):find(" " .. option.group .. " ", 1, true) then
      local left = table.concat(option.names, ", ")
      if option.arg then left = left .. (option.optional and "[=" .. option.arg .. "]" or " " .. option.arg) end
      lines[#lines + 1] = ("  %-26s %s\n"):format(left, option.text)
    end
  end
  return table.concat(lines)
end

--- Parsing ------------------------------------------------------------------------------------------------------------

local function store(o, option, name, text)
  local value = text
  if option.kind then value = options.values[option.kind](text, name) end
  if option.take then return option.take(o, value) end
  if option.list then
    o[option.field] = o[option.field] or {}
    table.insert(o[option.field], value)
  else
    o[option.field] = value == nil and true or value
  end
end

local function find(by_name, name, command)
  return by_name[name] or misuse("%s: unknown option %s (see sshlua %s --help)", command, shown(name), command)
end

local function take_long(o, by_name, args, i, command)
  local name, text = args[i]:match("^(%-%-[^=]*)=(.*)$")
  local option = find(by_name, name or args[i], command)
  name = name or args[i]
  if text and not option.arg then misuse("%s: option %s takes no argument", command, name) end
  if option.arg and not text and not option.optional then
    i = i + 1
    text = args[i] or misuse("%s: option %s needs %s", command, name, option.arg)
  end
  store(o, option, name, text)
  return i + 1
end

local function take_letters(o, by_name, args, i, command)
  local word, at = args[i], 2
  while at <= #word do
    local name = "-" .. word:sub(at, at)
    local option, text = find(by_name, name, command), nil
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

--- Options up to the first word that is none, or "--"; what follows is in `rest`.
---@param args string[]
---@param groups string names of groups, with blanks
---@param command string for messages
---@return table
function M.parse(args, groups, command)
  local o, i, by_name = { rest = {} }, 1, options_of(groups)
  while args[i] and args[i]:find("^%-.") do
    if args[i] == "--" then
      i = i + 1
      break
    end
    local take = args[i]:sub(1, 2) == "--" and take_long or take_letters
    i = take(o, by_name, args, i, command)
  end
  for at = i, #args do o.rest[#o.rest + 1] = args[at] end
  return o
end

return M
