--- What is sent for a command: argument vectors quoted, directory and environment in front. Pure.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local options = require("sshlua.options")
local privilege = require("sshlua.privilege")
local quote = require("sshlua.quote")

local M = {}

local is_secret = core.is_secret

--- What verbs that run a command take.
---@class sshlua.CommandOptions
---@field cwd? string directory to run in
---@field env? table<string, string|sshlua.Secret> what the server does not accept is exported in front of the command
---@field stdin? string|sshlua.Secret|fun(): string|nil|table bytes, what returns the next ones, or something with read
---@field pty? boolean|{ term?: string, cols?: integer, rows?: integer }
---@field timeout? number seconds of wall time; raises kind timeout
---@field idle? number seconds of silence; raises kind timeout
---@field check? boolean false: a command that fails gives its Result instead of raising
---@field safe? boolean the command changes nothing
---@field sink? fun(bytes: string, stream: "stdout"|"stderr")|table gets all output as it comes
---@field max_output? integer bytes of each stream that the Result keeps, default 8 MiB
---@field sudo? boolean|string|sshlua.Privilege as root, as that user
---@field su? boolean|string|sshlua.Privilege
---@field doas? boolean|string|sshlua.Privilege
M.options = {
  cwd = "string", env = "table", stdin = "any", pty = "boolean|table", timeout = "seconds", idle = "seconds",
  check = "boolean", safe = "boolean", sink = "any", max_output = "number",
  sudo = privilege.type, su = privilege.type, doas = privilege.type,
}

local function has(value, method)
  local kind = type(value)
  return (kind == "table" or kind == "userdata") and value[method] ~= nil
end

local function check_env(env, level)
  for name, value in pairs(env) do
    if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
      errors.usage(level + 1, "option 'env': not a variable name: %s", errors.excerpt(tostring(name), 60))
    end
    local secret = is_secret(value)
    if not secret and type(value) ~= "string" and type(value) ~= "number" then
      errors.usage(level + 1, "option 'env': string or secret expected for %s, got %s", name, type(value))
    end
    if secret and value:count("\0") > 0 or not secret and tostring(value):find("\0", 1, true) then
      errors.usage(level + 1, "option 'env': NUL byte in %s", name)
    end
  end
end

local pty_options = { term = "string", cols = "count", rows = "count", modes = "string" }

--- Raises usage, `level` callers up, unless option `pty` is a switch or knows its fields.
function M.check_pty(pty, level)
  if type(pty) == "table" then options.check(pty, pty_options, level + 1) end
end

--- Raises usage, `level` callers up, unless the command and the values of its options can be sent. Verbs that call each
--- other check in front, where the caller's line is known.
---@return string text the command's, see text()
function M.check(cmd, opts, level)
  local text = M.text(cmd, level + 1)
  if opts.cwd and opts.cwd:find("\0", 1, true) then
    errors.usage(level + 1, "option 'cwd': NUL byte in a directory name")
  end
  check_env(opts.env or {}, level + 1)
  M.check_pty(opts.pty, level + 1)
  privilege.check(opts, level + 1)
  local stdin, sink = opts.stdin, opts.sink
  if stdin ~= nil and type(stdin) ~= "string" and type(stdin) ~= "function" and not is_secret(stdin)
    and not has(stdin, "read") then
    errors.usage(level + 1, "option 'stdin': string, function or something with read expected, got %s", type(stdin))
  end
  if sink ~= nil and type(sink) ~= "function" and not has(sink, "write") then
    errors.usage(level + 1, "option 'sink': function or something with write expected, got %s", type(sink))
  end
  if opts.max_output and not (opts.max_output >= 0) then
    errors.usage(level + 1, "option 'max_output': bytes expected, got %s", tostring(opts.max_output))
  end
  return text
end

--- A sink as a function, or nil.
---@return nil|fun(bytes: string, stream: string)
function M.sink(sink)
  if sink == nil or type(sink) == "function" then return sink end
  return function(bytes) sink:write(bytes) end
end

--- The next bytes of an input of whatever sort; nil at the end.
---@return fun(): string|sshlua.Secret|nil
function M.pieces(stdin)
  if type(stdin) == "string" or is_secret(stdin) then
    return function()
      local bytes = stdin
      stdin = nil
      return bytes
    end
  end
  if type(stdin) ~= "function" then
    return function()
      local bytes = stdin:read(65536)
      return bytes ~= "" and bytes or nil
    end
  end
  return function()
    local bytes = stdin()
    if bytes ~= nil and type(bytes) ~= "string" and not is_secret(bytes) then
      local message = "option 'stdin': string or nil expected of the function, got " .. type(bytes)
      errors.raise({ kind = "usage", message = message })
    end
    return bytes
  end
end

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
