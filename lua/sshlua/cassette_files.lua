--- Files of this machine in the steps of a cassette: the digest of what is sent, the content of what has arrived. Knows
--- which arguments of put, get, sync and template are local.

local bytes = require("sshlua.bytes")
local core = require("sshlua.core")
local entry = require("sshlua.journal_entry")
local errors = require("sshlua.errors")
local json = require("sshlua.json")
local here = require("sshlua.transfer_local")
local names = require("sshlua.transfer_names")
local options = require("sshlua.options")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
M.MAX = 8 * 1024 * 1024 -- bytes of files that one step may bring
local PIECE = 256 * 1024

--- What is sent -------------------------------------------------------------------------------------------------------

local function hash_file(hasher, path)
  local file, problem = io.open(path, "rb")
  if not file then return hasher:update(problem) end
  while true do
    local text = file:read(PIECE)
    if not text then break end
    hasher:update(text)
  end
  file:close()
end

local function hash_any(hasher, path, rel, exclude, depth)
  local ok, st = pcall(await, depth == 0 and core.fs_stat or core.fs_lstat, path)
  local kind = ok and st.type or "absent"
  hasher:update(("\n%s %s "):format(rel, kind))
  if kind == "file" then return hash_file(hasher, path) end
  if kind == "link" then return hasher:update(await(core.fs_readlink, path)) end
  if kind ~= "directory" or depth > 64 then return end
  local list = await(core.fs_readdir, path)
  table.sort(list, function(a, b) return a.name < b.name end)
  for _, one in ipairs(list) do
    local below = rel == "" and one.name or rel .. "/" .. one.name
    if not names.excluded(exclude, below, one.name, one.type == "directory") then
      hash_any(hasher, names.join(path, one.name), below, exclude, depth + 1)
    end
  end
end

local function sources(verb, args)
  local from = args[1]
  if verb == "template" then return { from } end
  if verb ~= "put" and (verb ~= "sync" or entry.option(args, "pull")) then return {} end
  if type(from) == "table" and not getmetatable(from) then return from end
  if type(from) ~= "string" then return {} end
  if from:find("[*?%[]") and not pcall(await, core.fs_stat, from) then
    return require("sshlua.transfer_glob").here(from)
  end
  return { from }
end

--- The digest of the local files that a step sends; nil: it sends none.
---@param verb string
---@param args table packed
---@return string? hexadecimal
function M.content(verb, args)
  local hasher, any = core.hasher("sha256"), false
  local exclude = options.list(entry.option(args, "exclude"))
  for _, path in ipairs(sources(verb, args)) do
    if type(path) == "string" then
      any = true
      hash_any(hasher, path, "", exclude, 0)
    end
  end
  return any and hasher:digest() or nil
end

--- What arrives -------------------------------------------------------------------------------------------------------

local function brings_files(verb, args) return verb == "get" or verb == "sync" and entry.option(args, "pull") end

local function read_all(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function too_much(size)
  errors.raise({ kind = "limit", op = "cassette",
    message = ("%d bytes of files have come: a cassette takes %d per step"):format(size, M.MAX),
    hint = "get less in a run that is recorded, or play it on a throwaway fleet" })
end

--- As entries of JSON: { path, type, mode, mtime, data | target }.
---@param r sshlua.Result
---@return table|nil
function M.collect(verb, args, r)
  if not brings_files(verb, args) or type(r.arrived) ~= "table" then return nil end
  local list, size = json.array({}), 0
  for _, path in ipairs(r.arrived) do
    local ok, st = pcall(await, core.fs_lstat, path)
    if ok then
      local one = { path = path, type = st.type, mode = ("%o"):format(st.mode % 4096),
        mtime = (verb == "sync" or entry.option(args, "times")) and math.floor(st.mtime) or nil }
      if st.type == "file" then
        size = size + st.size
        if size > M.MAX then too_much(size) end
        bytes.put(one, "data", core.mask(read_all(path)))
      elseif st.type == "link" then
        one.target = await(core.fs_readlink, path)
      end
      list[#list + 1] = one
    end
  end
  return list[1] and list or nil
end

local function plain(path)
  path = path:gsub("//+", "/"):gsub("/%.%f[/%z]", "")
  while path:sub(1, 2) == "./" do path = path:sub(3) end
  path = path:gsub("(.)/$", "%1")
  return path == "" and "." or path
end

--- Nothing is written beside what the step was to write.
local function is_below(path, to)
  path, to = "/" .. plain(path) .. "/", "/" .. plain(to) .. "/"
  return not path:find("/../", 1, true) and (to == "/./" or path:sub(1, #to) == to)
end

local makers = {
  directory = function(path) here.make_parents(path) end, -- its mode could be in the way of what comes
  file = function(path, one, mode)
    pcall(await, core.fs_unlink, path)
    core.fs_write_sync(path, bytes.get(one, "data") or "", 384)
    await(core.fs_chmod, path, mode)
    if one.mtime then await(core.fs_utime, path, one.mtime, one.mtime) end
  end,
  link = function(path, one)
    pcall(await, core.fs_unlink, path)
    await(core.fs_symlink, one.target, path)
  end,
}

local function check(one, to)
  local good = type(one) == "table" and type(one.path) == "string" and makers[one.type]
    and (one.type ~= "link" or type(one.target) == "string") and type(one.mode) == "string"
    and tonumber(one.mode, 8) and (one.mtime == nil or type(one.mtime) == "number")
  if good and is_below(one.path, to) then return end
  errors.raise({ kind = "config", op = "cassette",
    message = ("the cassette has no right entry for a file below %s"):format(errors.excerpt(to)) })
end

--- Writes what M.collect has seen, and removes what the Result says was removed.
---@param list table
---@param r sshlua.Result
---@param to string where the step was to write
function M.deliver(list, r, to)
  for _, one in ipairs(list) do
    check(one, to)
    local parent = one.path:match("^(.*[^/])/+[^/]*$")
    if parent then here.make_parents(parent) end
    makers[one.type](one.path, one, tonumber(one.mode, 8) % 4096)
  end
  for _, path in ipairs(type(r.deleted) == "table" and r.deleted or {}) do
    if type(path) == "string" and is_below(path, to) and plain(path) ~= plain(to) then
      if not pcall(await, core.fs_unlink, path) then core.fs_rmtree_sync(path) end
    end
  end
end

return M
