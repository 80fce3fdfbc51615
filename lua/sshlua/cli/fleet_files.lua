--- Outputs of many hosts as files: DIR/HOST.out and DIR/HOST.err as the bytes came, and lists of hosts by outcome.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local hostset = require("sshlua.hostset")

local M = {}

--- Not buffered: what could not be written is the host's failure, and would show when nobody can be told any more.
local function open(path)
  local file, problem = io.open(path, "wb")
  if not file then errors.raise({ kind = "io", message = problem, op = "outdir" }) end
  file:setvbuf("no")
  return file
end

local function make_directory(dir)
  local st = core.fs_stat_sync(dir)
  if st and st.type == "directory" then return end
  local ok, err = core.fs_mkdir_sync(dir, 493)
  if not ok then errors.raise(errors.from(err, { op = "outdir", message = dir .. ": " .. err.message })) end
end

--- A file name that cannot leave the directory.
local function safe(name) return (name:gsub("[/%z]", "_"):gsub("^%.", "_")) end

--- Hosts that share a name get files by name:port, and a number when that is not enough.
local function names_for(fleet)
  local count, names, taken, last = {}, {}, {}, {}
  for _, h in ipairs(fleet) do count[h.name] = (count[h.name] or 0) + 1 end
  for _, h in ipairs(fleet) do
    local name = safe(count[h.name] > 1 and ("%s:%d"):format(h.name, h.port) or h.name)
    local base = name
    while taken[name] do
      last[base] = (last[base] or 1) + 1
      name = ("%s#%d"):format(base, last[base])
    end
    taken[name], names[h] = true, name
  end
  return names
end

local suffixes = { stdout = ".out", stderr = ".err" }

--- Puts files around a printer: what comes is written, too.
---@param dir string
---@param fleet sshlua.Fleet
function M.outdir(printer, dir, fleet)
  make_directory(dir)
  local names, open_files = names_for(fleet), {}
  local around = setmetatable({}, { __index = printer })
  around.keep = printer.keep or nil
  function around.sink(h)
    local files, inner = {}, printer.sink and printer.sink(h)
    open_files[h] = files
    return function(bytes, stream)
      local path = ("%s/%s%s"):format(dir, names[h], suffixes[stream])
      files[stream] = files[stream] or open(path)
      local ok, problem = files[stream]:write(bytes)
      if not ok then
        errors.raise({ kind = "io", message = ("cannot write %s: %s"):format(path, problem), op = "outdir" })
      end
      if inner then inner(bytes, stream) end
    end
  end
  function around.ended(r, h)
    for _, file in pairs(open_files[h] or {}) do file:close() end
    open_files[h] = nil
    if printer.ended then printer.ended(r, h) end
  end
  return around
end

--- Who went well is in `prefix`ok.hosts, the others in `prefix`failed.hosts, one to a line: for -w ^failed.hosts.
---@param prefix string
---@param fleet sshlua.Host[]
---@param rs sshlua.Results in the order of the fleet
function M.lists(prefix, fleet, rs)
  local texts = { ok = {}, failed = {} }
  for i, h in ipairs(fleet) do
    local list = rs[i].ok and texts.ok or texts.failed
    local said = h.target.said
    list[#list + 1] = hostset.format({ name = h.name, user = said and said.user, port = said and said.port }) .. "\n"
  end
  for name, list in pairs(texts) do
    local _, err = core.save_file(prefix .. name .. ".hosts", table.concat(list))
    if err then errors.raise(errors.from(err, { op = "lists" })) end
  end
end

return M
