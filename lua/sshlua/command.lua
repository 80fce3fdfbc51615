--- What is sent for a command: argument vectors quoted, directory and environment in front. Pure.

local errors = require("sshlua.errors")
local quote = require("sshlua.quote")

local M = {}

--- What verbs that run a command take.
---@class sshlua.CommandOptions
---@field cwd? string directory to run in
---@field env? table<string, string> what the server does not accept is exported in front of the command
---@field stdin? string|fun(): string|nil bytes, a function that returns the next ones, or something with read
---@field pty? boolean|{ term?: string, cols?: integer, rows?: integer }
---@field timeout? number seconds of wall time; raises kind timeout
---@field idle? number seconds of silence; raises kind timeout
---@field check? boolean false: a command that fails gives its Result instead of raising
---@field safe? boolean the command changes nothing
---@field sink? fun(bytes: string, stream: "stdout"|"stderr")|table gets all output as it comes
---@field max_output? integer bytes of each stream that the Result keeps, default 8 MiB
M.options = {
  cwd = "string", env = "table", stdin = "any", pty = "boolean|table", timeout = "seconds", idle = "seconds",
  check = "boolean", safe = "boolean", sink = "any", max_output = "number",
}

--- The shell text of a command: a string is shell and sent as is, a table is an argument vector.
---@param cmd string|(string|number)[]
---@return string
function M.text(cmd, level)
  if type(cmd) == "table" then
    local text = quote.argv(cmd, level + 1)
    return text
  end
  if type(cmd) ~= "string" then
    errors.usage(level + 1, "command: string or argument vector expected, got %s", type(cmd))
  end
  if cmd:find("\0", 1, true) then errors.usage(level + 1, "command: NUL byte at %d", (cmd:find("\0", 1, true))) end
  if not cmd:find("%S") then errors.usage(level + 1, "command: empty") end
  return cmd
end

--- Puts the directory and those variables in front that the server did not take.
---@param text string
---@param cwd? string
---@param exported? table<string, string>
function M.wrap(text, cwd, exported)
  local front = exported and next(exported) and quote.env_prefix(exported) or ""
  if cwd then front = front .. "cd -- " .. quote.quote(cwd) .. " || exit; " end
  return front .. text
end

--- A command in messages: short, one line.
function M.label(cmd)
  local ok, text = pcall(M.text, cmd, 1)
  return "'" .. errors.excerpt(ok and text or "?", 60) .. "'"
end

return M
