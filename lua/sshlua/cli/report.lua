--- Errors nobody caught, as people read them, and the exit code they make. A script's frames are shown, ours and C's
--- are not: they are no news to whoever wrote the script.

local core = require("sshlua.core")
local errors = require("sshlua.errors")

local M = {}

--- Plain messages -----------------------------------------------------------------------------------------------------

local stop_mt = { __name = "sshlua.Stop", __tostring = function(self) return self.message end }

--- Raises what ends the program with one line and this exit code.
---@param code integer
---@param fmt string
function M.stop(code, fmt, ...)
  error(setmetatable({ code = code, message = fmt:format(...) }, stop_mt), 0)
end

local function is_stop(err) return getmetatable(err) == stop_mt end

--- Frames -------------------------------------------------------------------------------------------------------------

local function describe_function(info)
  if info.what == "main" then return "in main chunk" end
  if info.name then
    return ("in %s '%s'"):format(info.namewhat == "" and "function" or info.namewhat, info.name)
  end
  return ("in function <%s:%d>"):format(info.short_src, info.linedefined)
end

local MANY = 30

--- The script's own frames of this thread, innermost first: { where = "x.lua:3", what = "in main chunk" }.
---@param program table
---@param level integer 1: the function that calls this one
function M.frames(program, level)
  local list = {}
  while #list < MANY do
    level = level + 1
    local info = debug.getinfo(level, "Sln")
    if not info then break end
    if info.what ~= "C" and info.currentline > 0 and not program.internal(info.source) then
      list[#list + 1] = { where = ("%s:%d"):format(info.short_src, info.currentline), what = describe_function(info) }
    end
  end
  return list
end

--- Text ---------------------------------------------------------------------------------------------------------------

--- What a script or its messages say, made safe to show.
local function shown(text) return core.clean(core.mask(text), { newline = true, tab = true }) end

local function text_of(err)
  if errors.is(err) then return err:describe() end
  if type(err) == "string" or type(err) == "number" then return shown(tostring(err)) end
  local meta = getmetatable(err)
  if type(meta) == "table" and rawget(meta, "__tostring") then
    local ok, text = pcall(tostring, err)
    if ok and type(text) == "string" then return shown(text) end
  end
  return ("(error object is a %s value)"):format(type(err))
end

--- The first line of a traceback that is the script's: all there is of a task that ended long ago.
local function line_in(program, traceback)
  for source, line in traceback:gmatch("\n%s*([^\n]-):(%d+): in ") do
    if not program.internal("@" .. source) then return source .. ":" .. line end
  end
end

--- The line where it was raised, unless the text says so itself.
local function position(program, err, frames, text)
  local where = errors.is(err) and rawget(err, "at") or frames[1] and frames[1].where
  if not where and errors.is(err) and type(err.traceback) == "string" then where = line_in(program, err.traceback) end
  if type(where) ~= "string" or text:sub(1, #where + 1) == where .. ":" then return "" end
  if errors.is(err, "usage") and text:find("^[^\n]-:%d+: ") then return "" end -- the caller's line
  if type(err) == "string" and text:find("^[^\n]-:%d+: ") then return "" end
  return where .. ": "
end

local function traceback(err, frames)
  if #frames < 2 or errors.is(err) then return "" end
  local lines = { "stack traceback:" }
  for _, frame in ipairs(frames) do lines[#lines + 1] = ("\t%s: %s"):format(frame.where, frame.what) end
  return "\n" .. table.concat(lines, "\n")
end

--- Several lines for people, without a newline at the end.
---@param program table
---@param err any
---@param frames table[] where it was raised, may be empty
---@return string
function M.text(program, err, frames)
  if is_stop(err) then return err.message end
  local text = text_of(err)
  return position(program, err, frames, text) .. text .. traceback(err, frames)
end

--- Exit codes ---------------------------------------------------------------------------------------------------------

local no_way_in = { resolve = true, connect = true, handshake = true, hostkey = true, auth = true }
local on_the_way = { resolve = true, connect = true, greeting = true, handshake = true, hostkey = true, auth = true }

--- Could the host not be reached, logged in to, or trusted?
function M.unreachable(err)
  if not errors.is(err) then return false end
  return no_way_in[err.kind] or ((err.kind == "timeout" or err.kind == "connection_lost") and on_the_way[err.phase])
end

local function fleet_code(err)
  local results = err.results or err.result
  if type(results) ~= "table" then return M.unreachable(err.cause) and 4 or 3 end
  for _, r in ipairs(results) do
    if type(r) == "table" and M.unreachable(r.err) then return 4 end
  end
  return 3
end

--- The exit code of an error nobody caught.
---@param err any
---@param command boolean raised by a subcommand: misuse is the user's then
---@return integer
function M.code(err, command)
  if is_stop(err) then return err.code end
  if errors.is(err, "fleet") then return fleet_code(err) end
  if command and errors.is(err, "usage") then return 2 end
  return 1
end

return M
