--- Events: what happens on the way to a host and back, with times. Never payload; secrets are masked.
--- Levels: 1 what a person wants to know (-v), 2 each step (-vv), 3 also libssh2's own trace (-vvv).

local clean = require("sshlua.core").clean
local core = require("sshlua.core")

local M = {
  level = 0,
  ---@type string|nil the file of set_file
  path = nil,
}

---@class sshlua.LogEvent and more fields, by what happened
---@field at number seconds since the library was loaded
---@field host? string
---@field what string "connected", "kex", "hostkey", "auth.ok", "exec", "failed", ...
---@field level integer 1 or 2

local start = core.now()
local sinks = {}
local file

local function value_text(value)
  if type(value) == "number" and value % 1 ~= 0 then return ("%.4f"):format(value) end
  return clean(tostring(value))
end

local function to_text(event)
  local parts = { ("%8.3f"):format(event.at), event.host or "-", event.what }
  local names = {}
  for name in pairs(event) do
    if name ~= "at" and name ~= "host" and name ~= "what" and name ~= "level" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do parts[#parts + 1] = name .. "=" .. value_text(event[name]) end
  return table.concat(parts, " ")
end

local function write(event)
  (file or io.stderr):write("sshlua: ", to_text(event), "\n")
end

--- Events of this level and below are printed.
function M.set_level(level) M.level = level end

--- Prints events there instead of on standard error; the file is made readable by its owner only.
---@return boolean|nil ok, string|nil message
function M.set_file(path)
  local f, message = io.open(path, "a")
  if not f then return nil, message end
  core.fs_chmod_sync(path, 384) -- 0600
  f:setvbuf("line")
  file, M.path = f, path
  return true
end

--- Calls fn(event) for every event of level 1 and 2; event = {at=, host=, what=, level=, ...}. Returns a function that
--- ends it.
---@param fn fun(event: sshlua.LogEvent)
---@return fun() stop
function M.listen(fn)
  sinks[#sinks + 1] = fn
  return function()
    for i, sink in ipairs(sinks) do
      if sink == fn then return table.remove(sinks, i) end
    end
  end
end

local host_levels, highest = {}, 0 -- LogLevel of single hosts

--- Events of one host are printed up to this level, whatever holds for the others.
---@param host string
---@param level integer|nil
function M.set_host_level(host, level)
  if not level and not host_levels[host] then return end
  host_levels[host] = level
  highest = math.max(highest, level or 0)
end

--- What is printed of a host.
function M.level_of(host) return math.max(M.level, host_levels[host] or 0) end

--- True when somebody would hear an event of this level: spares making it.
function M.wants(level) return level <= M.level or level <= highest or #sinks > 0 end

--- fields is made into the event; call it only when M.wants(level).
function M.emit(level, host, what, fields)
  local event = fields or {}
  for name, value in pairs(event) do
    if type(value) == "string" then event[name] = core.mask(value) end
  end
  event.at, event.host, event.what, event.level = core.now() - start, host, what, level
  if level <= M.level or level <= (host_levels[host] or 0) then write(event) end
  for _, sink in ipairs(sinks) do
    local ok, err = pcall(sink, event)
    if not ok then io.stderr:write("sshlua: ssh.log function failed: ", tostring(err), "\n") end
  end
end

return M
