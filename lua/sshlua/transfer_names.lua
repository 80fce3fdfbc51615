--- Names and modes of transfers: temporary names, where a copy goes, patterns. Pure.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local wildcard = require("sshlua.wildcard")

local M = {}

local counter = 0
local SHOWN_MAX = 200 -- bytes of a name that a temporary one keeps: file systems have 255

local function beside(path, suffix)
  local name = path:match("[^/]*$")
  return ("%s.%s.sshlua-%s"):format(path:sub(1, #path - #name), name:sub(1, SHOWN_MAX), suffix)
end

--- A name beside the path that nobody has: whether that is so, the one who opens says (wx).
function M.temporary(path)
  counter = counter + 1
  return beside(path, ("%x%04x%x"):format(core.getpid(), math.random(0, 65535), counter))
end

--- The name of an unfinished copy that is to be resumed: the same each time, and nobody else's. Long names are cut, so
--- they need something that tells them apart.
function M.part(path)
  local name = path:match("[^/]*$")
  if #name <= SHOWN_MAX then return beside(path, "part") end
  local hasher = core.hasher("sha256")
  hasher:update(name)
  return beside(path, hasher:digest():sub(1, 16) .. "-part")
end

--- Is it a name of ours, left by a transfer that was killed?
function M.is_temporary(name)
  return name:find("^%..+%.sshlua%-[%x]+$") ~= nil or name:find("^%..+%.sshlua%-[%x-]*part$") ~= nil
end

--- The last component, without slashes.
function M.base(path) return path:match("([^/]+)/*$") or "" end

local function is_dots(name) return name == "." or name == ".." end

--- Where a copy of `from` goes: a slash at the end of `to` puts it into that directory, unless `from` has one, too,
--- and so means what is in it. "." and ".." at an end are directories, and no names that a copy could have.
function M.target(from, to)
  if is_dots(to:match("[^/]*$")) then to = to .. "/" end
  if to:sub(-1) ~= "/" then return to end
  if from:sub(-1) == "/" or is_dots(M.base(from)) then return #to > 1 and (to:gsub("/+$", "")) or to end
  return to .. M.base(from)
end

function M.join(directory, name)
  if directory == "" then return name end
  return directory:sub(-1) == "/" and directory .. name or directory .. "/" .. name
end

--- What is there ------------------------------------------------------------------------------------------------------

local kinds = { char = "character device", block = "block device", fifo = "FIFO", link = "symbolic link" }

--- A type of entries in words.
function M.kind(type) return kinds[type] or tostring(type) end

--- Raises when a file must not take the place of what `path` leads to: a directory, a device, a FIFO. `st`: nil when it
--- leads to nothing. Renaming would put the copy in its place, and nobody who says /dev/null means that.
---@param error_kind "io"|"sftp"
function M.check_replaceable(path, st, error_kind)
  if not st or st.type == "file" or st.type == "unknown" then return end
  local shown = errors.excerpt(path)
  if st.type == "directory" then
    errors.raise({ kind = error_kind, name = "EISDIR", path = path, message = shown .. " is a directory",
      hint = "a slash at its end puts the file into it" })
  end
  errors.raise({ kind = error_kind, name = "EEXIST", path = path,
    message = ("%s is a %s, and a copy would take its place"):format(shown, M.kind(st.type)),
    hint = "name a file, or remove it first" })
end

--- Modes ------------------------------------------------------------------------------------------------------------

--- Octal digits, or a number, as a number; nil for nil.
function M.octal(mode, name, level)
  if mode == nil then return nil end
  local text = type(mode) == "number" and mode % 1 == 0 and ("%o"):format(mode) or tostring(mode)
  if not text:find("^[0-7]?[0-7][0-7][0-7]$") then
    errors.usage(level + 1, "option '%s': octal digits expected, got %s", name, tostring(mode))
  end
  return tonumber(text, 8)
end

--- The mode of a copy: what the script says, else the original's, without setuid, setgid and sticky unless asked.
function M.mode(opts, mode)
  if opts.mode then return opts.mode end
  if not mode then return nil end
  return opts.setuid and mode or mode % 512
end

--- A time as SFTP can say it: 32 bits of seconds, 1970 to 2106.
function M.wire_time(time)
  return math.max(0, math.min(4294967295, math.floor(time)))
end

--- Does an entry that is there lack the mode that a copy would give it? Bits that a copy leaves out do not count.
function M.lacks_mode(opts, mode, there)
  if not mode or not there then return false end
  if opts.mode or opts.setuid then return mode % 4096 ~= there % 4096 end
  return mode % 512 ~= there % 512
end

--- mode without the bits of the mask.
function M.masked(mode, mask)
  local out, bit = 0, 1
  for _ = 1, 9 do
    if mode % 2 == 1 and mask % 2 == 0 then out = out + bit end
    mode, mask, bit = math.floor(mode / 2), math.floor(mask / 2), bit * 2
  end
  return out + mode * bit
end

--- Links ------------------------------------------------------------------------------------------------------------

--- Does a link at rel (a path below the top) that points to target stay below the top? ".." in front only: behind a
--- name it may go up from wherever that name leads.
function M.stays_inside(rel, target)
  if target == "" or target:sub(1, 1) == "/" then return false end
  local depth, named = select(2, rel:gsub("/", "/")), false
  for part in target:gmatch("[^/]+") do
    if part == ".." then
      depth = depth - 1
      if named or depth < 0 then return false end
    elseif part ~= "." then
      named = true
    end
  end
  return true
end

--- Patterns ---------------------------------------------------------------------------------------------------------

local compiled = setmetatable({}, { __mode = "k" }) -- a list of patterns -> what they match

local function compile(patterns)
  local list = {}
  for i, pattern in ipairs(patterns) do
    local plain = pattern:gsub("/+$", "")
    list[i] = {
      only_directories = plain ~= pattern, is_path = plain:find("/", 1, true) ~= nil,
      matches = wildcard.glob((plain:gsub("^/", ""))),
    }
  end
  compiled[patterns] = list
  return list
end

--- Is an entry excluded? Patterns with a slash are for the path below the top, others for the name alone; a slash at
--- the end means directories only.
function M.excluded(patterns, rel, name, is_directory)
  for _, p in ipairs(patterns and (compiled[patterns] or compile(patterns)) or {}) do
    if (is_directory or not p.only_directories) and p.matches(p.is_path and rel or name) then return true end
  end
  return false
end

return M
