--- The lines of earlier interactive sessions: $XDG_STATE_HOME/sshlua/NAME, one line each, for its owner's eyes only.
--- Every line is appended as it is entered, so that sessions side by side keep each other's. A line that starts with a
--- space is not kept. Without a home there is no history, and no complaint.

local core = require("sshlua.core")
local home = require("sshlua.home")

local M = {}

local KEPT, LONGEST = 1000, 2000
local PRIVATE_DIRECTORY, PRIVATE_FILE = 448, 384 -- 0700, 0600

local History = {}
local history_mt = { __index = History }

local function state_home()
  local state = os.getenv("XDG_STATE_HOME")
  if state and state:sub(1, 1) == "/" then return state end
  local own = home.dir()
  return own and own:sub(1, 1) == "/" and own .. "/.local/state" or nil
end

local function make_directories(path)
  for at in path:gmatch("()/") do
    if at > 1 then core.fs_mkdir_sync(path:sub(1, at - 1), PRIVATE_DIRECTORY) end
  end
  core.fs_mkdir_sync(path, PRIVATE_DIRECTORY)
end

local function read_lines(path)
  local lines = {}
  local file = io.open(path, "r")
  if not file then return lines end
  for line in file:lines() do
    if #line <= LONGEST and not line:find("%c") then lines[#lines + 1] = line end
  end
  file:close()
  return lines
end

--- The last KEPT lines; a file that has grown to twice as many is replaced by one with those.
local function trim(path, lines)
  if #lines <= KEPT then return lines end
  local kept = { (table.unpack or unpack)(lines, #lines - KEPT + 1) } -- luacheck: ignore 143
  if #lines > 2 * KEPT then
    local new = ("%s.%d"):format(path, core.getpid())
    if core.fs_write_sync(new, table.concat(kept, "\n") .. "\n", PRIVATE_FILE) then os.rename(new, path) end
  end
  return kept
end

--- .lines is what is known already, oldest first.
---@param name string of the file
function M.open(name)
  local self = setmetatable({ lines = {} }, history_mt)
  local own = state_home()
  if not own then return self end
  local directory = own .. "/sshlua"
  local path = directory .. "/" .. name
  make_directories(directory)
  if not core.fs_stat_sync(path) and not core.fs_write_sync(path, "", PRIVATE_FILE) then return self end
  self.path = path
  self.lines = trim(path, read_lines(path))
  self.last = self.lines[#self.lines]
  return self
end

---@param line string
function History:add(line)
  if not self.path or line == self.last or line:find("^%s") or #line > LONGEST or line:find("%c") then return end
  self.last = line
  local file = io.open(self.path, "a")
  if not file then return end
  file:write(line, "\n")
  file:close()
end

return M
