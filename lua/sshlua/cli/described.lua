--- What the help texts say about options, as data: for completions and the manual page. The tables that are parsed by
--- make most of those texts, so nothing is listed twice. Pure.

local fleet_options = require("sshlua.cli.fleet_options")

local M = {}

---@class sshlua.cli.Described
---@field names string[] as on the command line
---@field arg? string name of its argument
---@field optional? boolean --name or --name=ARG
---@field text string

--- The words that an option's argument may be, or nil.
---@param name string
---@return string[]|nil
function M.words(name)
  for _, list in ipairs({ fleet_options.list, require("sshlua.cli.transfer_options").list }) do
    for _, option in ipairs(list) do
      for _, one in ipairs(option.names) do
        if one == name and option.kind then
          return fleet_options.words[option.kind] or fleet_options.words[fleet_options.values[option.kind]]
        end
      end
    end
  end
end

local function described(left, text)
  local option = { names = {}, text = text }
  for name in (" " .. left):gmatch("[ ,](%-%-?[%w?][%w-]*)") do option.names[#option.names + 1] = name end
  local optional = left:match("%[=([^%]]+)%]$")
  option.arg, option.optional = optional or left:match("^%-.*[%w] ([^ ,-][^ ,]*)$"), optional ~= nil or nil
  return option
end

--- Options of the lines "  -x, --long ARG   text" of a help text; lines that go on are joined.
---@param help string
---@return sshlua.cli.Described[]
function M.options(help)
  local list, last, column = {}, nil, 0
  for line in help:gmatch("[^\n]+") do
    local indent, left, gap, text = line:match("^(%s%s+)(%-.-)(%s%s+)(%S.*)$")
    if left then
      last, column = described(left, text), #indent + #left + #gap
      if last.names[1] then list[#list + 1] = last end
    elseif last and line:find("^%s") and #line:match("^%s*") == column then
      last.text = last.text .. " " .. line:match("^%s*(.*)$")
    else
      last = nil
    end
  end
  return list
end

--- Options of the usage lines, "[-x ARG]" and "[-abc]", that are not in `list`: added to it, without a text.
---@param help string
---@param list sshlua.cli.Described[]
function M.add_usage(help, list)
  local known = {}
  for _, option in ipairs(list) do
    for _, name in ipairs(option.names) do known[name] = true end
  end
  local function add(name, arg)
    if known[name] then return end
    known[name] = true
    list[#list + 1] = { names = { name }, arg = arg, text = "" }
  end
  for inside in (help:match("^usage:(.-)\n\n") or ""):gmatch("%[(%-[^%]]*)%]") do
    for part in inside:gmatch("[^|]+") do
      local name, arg = part:match("^%s*(%-%S+)%s*(.-)%s*$")
      if name and name:sub(1, 2) == "--" then
        add(name, arg ~= "" and arg or nil)
      elseif name then
        for letter in name:sub(2):gmatch("%w") do add("-" .. letter, arg ~= "" and arg or nil) end
      end
    end
  end
end

--- The second words of "sshlua COMMAND word" in the usage lines: what a command is told first.
---@param help string
---@param command string
---@return string[]
function M.verbs(help, command)
  local list, seen = {}, {}
  for word in (help:match("^(usage:.-)\n\n") or ""):gmatch("sshlua " .. command .. " (%l+)%f[%s]") do
    if not seen[word] then list[#list + 1] = word end
    seen[word] = true
  end
  return list
end

return M
