--- The user's home directory, as a shell goes by it: $HOME, else the password file. (What is written in ssh_config goes
--- by the password file alone, as in ssh: ssh_config/expand.lua.)

local core = require("sshlua.core")

local M = {}

--- nil: there is none.
---@return string|nil
function M.dir()
  local home = os.getenv("HOME")
  if home and home ~= "" then return home end
  return core.user().home
end

--- "~/x" is in the home directory.
---@param path string
---@return string
function M.expand(path)
  if path:sub(1, 2) ~= "~/" then return path end
  local home = M.dir()
  return home and home .. path:sub(2) or path
end

--- The other way round, for people.
---@param path string
---@return string
function M.shorten(path)
  local home = M.dir()
  if home and path:sub(1, #home + 1) == home .. "/" then return "~" .. path:sub(#home + 1) end
  return path
end

return M
