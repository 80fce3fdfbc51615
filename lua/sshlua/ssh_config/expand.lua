--- "~", ${VARIABLES} and %tokens. Pure but for the environment and the password file.

local core = require("sshlua.core")

local M = {}

---@param text string
---@param tokens table<string, string>|nil token -> text; nil: "%" means nothing
---@param environment boolean are ${VARIABLES} taken
---@return string|nil text, string|nil message
local function expand(text, tokens, environment)
  local out, at, missing = {}, 1, nil
  local special = (tokens and "%%" or "") .. (environment and "$" or "")
  special = "[" .. special .. "]"
  while true do
    local stop = text:find(special, at)
    out[#out + 1] = text:sub(at, (stop or 0) - 1)
    if not stop then break end
    local c, follows = text:sub(stop, stop), text:sub(stop + 1, stop + 1)
    at = stop + 2
    if c == "$" and follows ~= "{" then
      out[#out + 1] = c
      at = stop + 1
    elseif c == "$" then
      local close = text:find("}", at, true)
      if not close then return nil, "a variable without its closing }" end
      local name = text:sub(at, close - 1)
      if name == "" then return nil, "a variable without a name" end
      local value = os.getenv(name)
      if not value then missing = missing or name end
      out[#out + 1] = value or ""
      at = close + 1
    elseif follows == "%" then
      out[#out + 1] = "%"
    elseif follows == "" then
      return nil, "a % at the end"
    elseif not tokens[follows] then
      return nil, ("unknown token %%%s"):format(follows)
    else
      out[#out + 1] = tokens[follows]
    end
  end
  if missing then return nil, ("the environment variable %s is not set"):format(missing) end
  return table.concat(out)
end

--- %tokens only.
function M.tokens(text, tokens) return expand(text, tokens, false) end

--- ${VARIABLES} only.
function M.environment(text) return expand(text, nil, true) end

--- Both.
function M.both(text, tokens) return expand(text, tokens, true) end

--- The home directory of a user by name, out of the password file.
local function home_of(user)
  local file = io.open("/etc/passwd", "r")
  if not file then return nil end
  local home
  for line in file:lines() do
    local name, dir = line:match("^([^:]*):[^:]*:[^:]*:[^:]*:[^:]*:([^:]*)")
    if name == user then
      home = dir
      break
    end
  end
  file:close()
  return home
end

--- The home directory that OpenSSH goes by: the password file's, whatever HOME says.
---@return string
function M.home() return core.user().home or os.getenv("HOME") or "/" end

--- "~/x" and "~user/x".
---@param path string
---@param home? string of "~"; default M.home()
---@return string|nil path, string|nil message
function M.tilde(path, home)
  if path:sub(1, 1) ~= "~" then return path end
  local user, rest = path:match("^~([^/]*)/*(.*)$")
  local dir = user == "" and (home or M.home()) or home_of(user)
  if not dir then return nil, ("there is no user %s"):format(user) end
  return dir .. (dir:sub(-1) == "/" and "" or "/") .. rest
end

return M
