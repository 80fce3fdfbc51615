--- What takes many requests: listing, walking, globbing, whole files, trees. Methods of sshlua.Sftp.
--- Symbolic links are never followed by what goes down a tree.

local errors = require("sshlua.errors")
local options = require("sshlua.options")
local sftp_file = require("sshlua.sftp_file")
local task = require("sshlua.task")
local wildcard = require("sshlua.wildcard")

local M = {}

local READDIRS = 4 -- at once
local ENTRIES_MAX, DEPTH_MAX = 1000000, 64
local FILE_MAX = 256 * 1024 * 1024
local AT_ONCE = 32

---@class sshlua.Sftp
local Sftp = {}
M.methods = Sftp

--- A path of a directory and a name in it.
local function join(directory, name)
  if directory == "" or directory == "." then return name end
  return directory:sub(-1) == "/" and directory .. name or directory .. "/" .. name
end

local function check_path(path, level)
  if type(path) ~= "string" then errors.usage(level + 1, "path expected, got %s", type(path)) end
  if path:find("\0", 1, true) then errors.usage(level + 1, "NUL byte in a path") end
end

--- Listing ----------------------------------------------------------------------------------------------------------

---@class sshlua.SftpEntry: sshlua.SftpStat
---@field name string never "", ".", "..", and never with "/" or NUL

--- Reads a whole directory, several requests at once; what they bring may come in any order.
local function collect(handle, list, done)
  local ops, pending, ended, refused, failure = {}, 0, false, 0, nil
  local function stop(err)
    ended, failure = true, failure or err
  end
  local function ask(slot)
    pending = pending + 1
    ops[slot] = handle:readdir(function(err, entries, bad)
      pending, ops[slot] = pending - 1, nil
      if err or not entries then
        stop(err)
      else
        for i = 1, #entries do list[#list + 1] = entries[i] end
        refused = refused + bad
        if #list > ENTRIES_MAX then
          stop({ kind = "limit", message = ("more than %d entries in a directory"):format(ENTRIES_MAX) })
        end
      end
      if not ended then ask(slot) end
      if pending == 0 then done(failure, refused) end
    end)
  end
  for slot = 1, READDIRS do ask(slot) end
  return {
    cancel = function()
      ended = true
      for _, op in pairs(ops) do op:cancel() end
    end,
  }
end

local function list(self, path)
  local entries = {}
  local handle = self:_await("opendir", path == "" and "." or path, nil, self.core, path == "" and "." or path)
  local ok, refused = pcall(self._await, self, "readdir", path, nil, {
    readdir = function(_, done) return collect(handle, entries, done) end,
  })
  if self:is_alive() then handle:close(function() end) end
  if not ok then error(refused, 0) end
  table.sort(entries, function(a, b) return a.name < b.name end)
  return entries, refused
end

--- The entries of a directory, sorted by name, without "." and "..". Names that cannot be part of a path ("", or with
--- "/" or NUL) are left out; the second result says how many.
---@param path string
---@return sshlua.SftpEntry[] entries, integer refused
function Sftp:list(path)
  check_path(path, 2)
  return list(self, path)
end

--- Servers that list names only are asked for the rest.
local function type_of(self, path, entry)
  if entry.type ~= "unknown" then return entry.type end
  return self:lstat(path).type
end

local walk_options = { depth = "count", on_error = "function" }

--- for path, entry in sftp:walk(top): everything below `top`, a directory before what is in it. Links are not followed.
---@param top string
--- depth: so many levels only; without it more than 64 are an error. on_error: directories that cannot be listed are
--- told to it and left out.
---@param opts? { depth?: integer, on_error?: fun(err: sshlua.Error, path: string) }
---@return fun(): string?, sshlua.SftpEntry?
function Sftp:walk(top, opts)
  check_path(top, 2)
  opts = options.check(opts, walk_options, 2)
  local levels, enter = {}, top
  local function down()
    local path = enter
    enter = nil
    if #levels >= (opts.depth or DEPTH_MAX) then
      if opts.depth then return end
      errors.raise({ kind = "limit", host = self.name, op = "sftp.walk",
        message = ("%s: more than %d levels of directories"):format(errors.excerpt(path), DEPTH_MAX) })
    end
    local ok, entries = pcall(list, self, path)
    if ok then
      levels[#levels + 1] = { path = path, entries = entries, at = 0 }
    elseif opts.on_error and errors.is(entries, "sftp") then
      opts.on_error(entries, path)
    else
      error(entries, 0)
    end
  end
  return function()
    if enter then down() end
    while #levels > 0 do
      local level = levels[#levels]
      level.at = level.at + 1
      local entry = level.entries[level.at]
      if entry then
        local path = join(level.path, entry.name)
        if type_of(self, path, entry) == "directory" then enter = path end
        return path, entry
      end
      levels[#levels] = nil
    end
  end
end

--- Globbing ---------------------------------------------------------------------------------------------------------

local expand -- of the components from `at` on, below `base`

local function expand_pattern(self, base, components, at, found)
  local matches = wildcard.names((components[at]:gsub("\\", "\\\\"))) -- a backslash is a letter here
  local ok, entries = pcall(list, self, base)
  if not ok then
    if errors.is(entries, "sftp") then return end -- not a directory, or not ours to read
    error(entries, 0)
  end
  for _, entry in ipairs(entries) do
    if matches(entry.name) then
      expand(self, join(base, entry.name), components, at + 1, found)
    end
  end
end

function expand(self, base, components, at, found)
  local component = components[at]
  if not component then
    found[#found + 1] = base
  elseif wildcard.is_magic(component) then
    expand_pattern(self, base, components, at, found)
  else
    local path = join(base, component)
    if components[at + 1] then
      expand(self, path, components, at + 1, found)
    else
      local ok, err = pcall(self.lstat, self, path)
      if ok then
        found[#found + 1] = path
      elseif not errors.is(err, "sftp") then
        error(err, 0)
      end
    end
  end
end

--- Paths that match: * and ? and [abc] [a-z] [!a] within one name; a leading dot only where the pattern has one.
--- Sorted; none is an empty list.
---@param pattern string
---@return string[]
function Sftp:glob(pattern)
  check_path(pattern, 2)
  local components, found = {}, {}
  for component in pattern:gmatch("[^/]+") do components[#components + 1] = component end
  expand(self, pattern:sub(1, 1) == "/" and "/" or "", components, 1, found)
  return found
end

--- Whole files ------------------------------------------------------------------------------------------------------

--- fn(file), and the file closed: with an answer when fn was good, without waiting when it was not.
local function with_file(file, fn)
  local r = task.pack(pcall(fn, file))
  if not r[1] then
    file:abandon()
    error(r[2], 0)
  end
  file:close()
  return r[2]
end

--- What is in a file.
---@param path string
---@param opts? { max?: integer } bytes; default 256 MiB, more is an error of kind limit
---@return string
function Sftp:read_file(path, opts)
  check_path(path, 2)
  local max = options.check(opts, { max = "count" }, 2).max or FILE_MAX
  return with_file(sftp_file.open(self, path, "r", nil, 2), function(file)
    local pieces, size = {}, 0
    for bytes in function() return file:read() end do
      size = size + #bytes
      if size > max then
        errors.raise({ kind = "limit", host = self.name, op = "sftp.read_file",
          message = ("%s has more than %d bytes"):format(errors.excerpt(path), max) })
      end
      pieces[#pieces + 1] = bytes
    end
    return table.concat(pieces)
  end)
end

local temporary = 0
math.randomseed(os.time())

--- A name beside the target that nobody has: whether it is so, the server says (wx).
local function temporary_name(path)
  temporary = temporary + 1
  local name = path:match("[^/]*$")
  local directory = path:sub(1, #path - #name)
  return ("%s.%s.sshlua-%x%04x%x"):format(directory, name:sub(1, 200), os.time(), math.random(0, 65535), temporary)
end

local function existing_mode(self, path)
  local st = self:exists(path)
  return st and st.type == "file" and st.mode or nil
end

local function fill(self, temp, path, data, mode, durable)
  -- Nobody else may read it before it has its final mode.
  with_file(sftp_file.open(self, temp, "wx", mode and 384, 2), function(file)
    file:write(data)
    if mode then file:setstat({ mode = mode }) end
    if durable and self.offers["fsync@openssh.com"] then file:sync() end
  end)
  self:rename(temp, path)
end

local write_options = { mode = "number", sync = "boolean" }

--- Writes a file that appears whole under its name or not at all: to a temporary name beside it, synced to disk,
--- renamed. A link at that place is replaced by the file.
--- mode: default that of the file it replaces. sync: default true, where the server offers it.
---@param path string
---@param data string
---@param opts? { mode?: integer, sync?: boolean }
function Sftp:write_file(path, data, opts)
  check_path(path, 2)
  if type(data) ~= "string" then errors.usage(2, "string expected, got %s", type(data)) end
  opts = options.check(opts, write_options, 2)
  local mode = opts.mode or existing_mode(self, path)
  local temp = temporary_name(path)
  local ok, err = pcall(fill, self, temp, path, data, mode, opts.sync ~= false)
  if ok then return end
  if self:is_alive() then self.core:remove(temp, function() end) end
  if errors.is(err) and rawget(err, "path") == temp then
    err.path = path
    err.message = err.message:gsub(temp:gsub("%p", "%%%0"), (errors.excerpt(path):gsub("%%", "%%%%")))
  end
  error(err, 0)
end

--- Trees ------------------------------------------------------------------------------------------------------------

local function make(self, path, attributes) self:_await("mkdir", path, nil, self.core, path, attributes) end

local function is_directory(self, path)
  local ok, st = pcall(self.stat, self, path)
  return ok and st.type == "directory"
end

local function make_parents(self, path, attributes)
  local ok, err = pcall(make, self, path, attributes)
  if ok or is_directory(self, path) then return end
  local parent = path:match("^(.*[^/])/+[^/]+/*$")
  if not errors.is(err, "sftp") or not parent or err.name ~= "SSH_FX_NO_SUCH_FILE" then error(err, 0) end
  make_parents(self, parent, nil)
  ok, err = pcall(make, self, path, attributes)
  if not ok and not is_directory(self, path) then error(err, 0) end
end

--- Makes a directory. With parents = true those above it, too, and one that is there already is fine.
---@param path string
---@param opts? { mode?: integer, parents?: boolean }
function Sftp:mkdir(path, opts)
  check_path(path, 2)
  opts = options.check(opts, { mode = "number", parents = "boolean" }, 2)
  local attributes = opts.mode and { mode = opts.mode } or nil
  if opts.parents then return make_parents(self, path, attributes) end
  make(self, path, attributes)
end

local function unlink(self, path) self:_await("remove", path, nil, self.core, path) end

local function remove_tree(self, path, depth)
  if depth > DEPTH_MAX then
    errors.raise({ kind = "limit", host = self.name, op = "sftp.remove",
      message = ("%s: more than %d levels of directories"):format(errors.excerpt(path), DEPTH_MAX) })
  end
  local entries = list(self, path)
  local directories = {}
  task.each(entries, function(entry)
    local child = join(path, entry.name)
    if type_of(self, child, entry) == "directory" then
      directories[#directories + 1] = child
    else
      unlink(self, child)
    end
  end, { parallel = AT_ONCE })
  for _, child in ipairs(directories) do remove_tree(self, child, depth + 1) end
  self:rmdir(path)
end

--- Removes a file or a link; with recursive = true also a directory and everything in it. Links are removed, what they
--- point to is not touched.
---@param path string
---@param opts? { recursive?: boolean }
function Sftp:remove(path, opts)
  check_path(path, 2)
  opts = options.check(opts, { recursive = "boolean" }, 2)
  if not opts.recursive then return unlink(self, path) end
  local last = path:match("([^/]*)/*$")
  if last == "" or last == "." or last == ".." then
    errors.usage(2, "remove: '%s' is not removed recursively", errors.excerpt(path))
  end
  if self:lstat((path:gsub("/+$", ""))).type ~= "directory" then return unlink(self, path) end
  remove_tree(self, path, 1)
end

M.join = join

return M
