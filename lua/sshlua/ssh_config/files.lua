--- Configuration files: read, checked for who may write them, taken apart into lines whose values have been read. What
--- a line means for a host is not known here. Parsed once, again when the file has changed.

local core = require("sshlua.core")
local keywords = require("sshlua.ssh_config.keywords")
local words = require("sshlua.ssh_config.words")

local M = {}

local SIZE_MAX = 4 * 1024 * 1024

---@class sshlua.ConfigLine
---@field line integer
---@field word string the keyword as found, in lower case
---@field def? sshlua.Keyword nil: unknown
---@field value? any
---@field args? string[] of Host and Include
---@field raw? string what follows the keyword
---@field problem? string
---@field fatal? boolean

local function cursor(list)
  local at = 0
  return {
    next = function()
      at = at + 1
      return list[at]
    end,
    left = function() return #list - math.min(at, #list) end,
    skip = function() at = #list end,
  }
end

local structure = { host = true, match = true, include = true, nothing = true }

local function read_value(item, list)
  local def = item.def
  if structure[def.kind] then
    item.args = list
    return
  end
  local args = cursor(list)
  local value, problem, fatal = keywords.kinds[def.kind].read(args, def, item.raw)
  if value == nil then
    item.problem, item.fatal = problem, fatal ~= nil
  elseif args.left() > 0 then
    item.problem = "too many arguments"
  else
    item.value = value
  end
end

--- One line taken apart; nil when there is nothing in it.
---@return sshlua.ConfigLine|nil
function M.line(text, number)
  local word, raw = words.keyword(text)
  if not word then return nil end
  local item = { line = number, word = word, def = keywords.by_name[word], raw = raw }
  if not raw then
    item.problem, item.bare = "an argument is missing", true
    return item
  end
  local list = words.arguments(raw)
  if not list then
    item.problem, item.bare = "a quote is not closed", true
  elseif item.def then
    read_value(item, list)
  end
  return item
end

function M.parse(text)
  local items, number = {}, 0
  for line in text:gmatch("([^\n]*)\n?") do
    number = number + 1
    local item = M.line(line, number)
    if item then items[#items + 1] = item end
  end
  return items
end

--- Who may write it ---------------------------------------------------------------------------------------------------

local function each_entry(path, fn)
  local file = io.open(path, "r")
  for line in (file and file:lines() or function() end) do
    local fields = {}
    for field in (line .. ":"):gmatch("([^:]*):") do fields[#fields + 1] = field end
    fn(fields)
  end
  if file then file:close() end
end

--- Is the user alone in that group? Debian's OpenSSH lets such a group write.
local function is_private_group(gid, owner)
  local members, others, owner_name, mine = 0, false, nil, core.user().uid
  each_entry("/etc/passwd", function(f)
    if tonumber(f[3]) == owner then owner_name = owner_name or f[1] end
    if tonumber(f[4]) == gid then
      members = members + 1
      others = others or tonumber(f[3]) ~= mine
    end
  end)
  each_entry("/etc/group", function(f)
    if tonumber(f[3]) ~= gid then return end
    for name in (f[4] or ""):gmatch("[^,]+") do
      members = members + 1
      others = others or name ~= owner_name
    end
  end)
  return members > 0 and not others
end

--- nil when nobody else may write the file, or why it is not trusted.
function M.distrust(stat)
  if stat.uid ~= 0 and stat.uid ~= core.user().uid then
    return ("it belongs to user %d"):format(stat.uid), "chown it to the user who runs this"
  end
  local group, world = math.floor(stat.mode / 16) % 2 == 1, math.floor(stat.mode / 2) % 2 == 1
  if world or (group and not is_private_group(stat.gid, stat.uid)) then
    return ("others may write it (mode %04o)"):format(stat.mode), "chmod go-w it"
  end
end

--- Reading ------------------------------------------------------------------------------------------------------------

local cache = {} -- path -> { stamp=, items= }

--- The lines of a file.
---@param path string
---@return sshlua.ConfigLine[]|nil items nil: it cannot be opened
---@return string|sshlua.core.Stat message or what the file is
function M.load(path)
  local stat, err = core.fs_stat_sync(path)
  if not stat then return nil, err.message, err.name end
  local stamp = ("%s:%s:%s:%s:%s"):format(stat.mtime, stat.size, stat.ino, stat.dev, stat.mode)
  local known = cache[path]
  if known and known.stamp == stamp then return known.items, stat end
  local file, message = io.open(path, "rb")
  if not file then return nil, message, "EACCES" end
  local text = file:read(SIZE_MAX + 1) or "" -- a directory reads as nothing
  file:close()
  if #text > SIZE_MAX then return nil, path .. ": larger than 4 MiB: not a configuration", "EFBIG" end
  local items = M.parse(text)
  if stat.mtime ~= nil and stat.type == "file" then cache[path] = { stamp = stamp, items = items } end
  return items, stat
end

return M
