--- What `sshlua ssh` does once it is logged in, by the rules of ssh(1): a command, a shell, a subsystem, nothing; with
--- a terminal or without, and which key escapes. Out of effective settings. Pure.

local M = {}

---@class sshlua.client.Plan
---@field what "exec"|"shell"|"subsystem"|"none"
---@field text? string the command, or the subsystem's name
---@field pty boolean the command gets a terminal
---@field refused_pty? boolean one was asked for, and there is none here
---@field escape? string the key; nil: none
---@field no_input boolean standard input is /dev/null
---@field background boolean
---@field escape_commands boolean ~C may be used
---@field level integer how much is said: 0 nothing, 1 what is fatal, 2 errors, 3 the usual

local levels = { SILENT = 0, FATAL = 1, ERROR = 2 }

local function text_of(values, command)
  local remote = values.remotecommand
  if remote and remote:lower() ~= "none" then return command or remote end
  return command
end

local function what_of(values, text)
  if values.sessiontype == "none" then return "none" end
  if values.sessiontype == "subsystem" then return "subsystem" end
  return text and "exec" or "shell"
end

--- ssh's rules: asked for, or nothing else to do; but not without a terminal here, unless asked twice.
local function wants_pty(request, command, has_terminal)
  local wanted = request == "true" or request == "force"
  if not command then wanted = request ~= "false" end
  if request == "false" or not wanted then return false, false end
  if not has_terminal and request ~= "force" then return false, true end
  return true, false
end

--- How much is said, by LogLevel.
---@param loglevel string|nil
---@return integer
function M.level(loglevel) return levels[loglevel or "INFO"] or 3 end

---@param values table<string, any> effective settings
---@param command string|nil of the command line
---@param has_terminal boolean standard input is one
---@return sshlua.client.Plan
function M.new(values, command, has_terminal)
  local text = text_of(values, command)
  local what = what_of(values, text)
  local no_input = values.stdinnull == true
  local pty, refused = wants_pty(values.requesttty, text, has_terminal and not no_input)
  if what == "none" then pty, refused = false, false end
  local escape = values.escapechar
  return {
    what = what, text = text, pty = pty, refused_pty = refused, no_input = no_input,
    background = values.forkafterauthentication == true,
    escape = pty and type(escape) == "number" and string.char(escape % 256) or nil,
    escape_commands = values.enableescapecommandline == true, level = M.level(values.loglevel),
  }
end

return M
