--- The text of --help.

local commands = require("sshlua.cli.commands")
local options = require("sshlua.cli.options")

local M = {}

local HEAD = [==[
sshlua - scriptable SSH automation

usage: sshlua [OPTION...] [SCRIPT [ARGUMENT...]]
       sshlua [OPTION...] COMMAND [ARGUMENT...]
       sshlua -G [SSH'S OPTIONS] [USER@]HOST
       sshlua -W HOST:PORT [SSH'S OPTIONS] [USER@]HOST

Runs SCRIPT, a Lua 5.4 file ("-" is standard input), as a task: what waits in it (connecting,
commands, timers, require of a module that waits) suspends only the task. A script says
local ssh = require "sshlua"; its arguments are in ... and in the table arg. Without SCRIPT,
-e or COMMAND a terminal gets the interactive mode (-i); otherwise the script is read from
standard input. A command wins over a file of the same name: a script called run is
sshlua ./run, or sshlua -- run. -G prints a host's settings as ssh -G does; -W passes standard
input and output on, as ssh -W does.

options:
]==]

local TAIL = [==[
  --                 ends options; what follows is a script

commands:
%s
exit status:
  0    all went well
  1    the script failed: its error is on standard error, with the file and line
  2    usage: an unknown option, no such script
  3    an uncaught fleet error: some command failed
  4    an uncaught fleet error: some host unreachable, unauthenticated or untrusted
  5    --check found something that would change
  129  hangup
  130  ^C
  141  nobody reads the output any more (sshlua ... | head); said without a word
  143  terminated
A script's os.exit(CODE) leaves with CODE at once: no clean-up runs. ^C, hangup, SIGTERM and
a closed output cancel the script, and its clean-ups run; a second ^C or SIGTERM leaves at once.

environment:
  LUA_PATH, LUA_CPATH, LUA_INIT (and those with _5_4) as in lua(1); LUA_INIT is not for commands
  SSHLUA_SSH_CONFIG  in place of ~/.ssh/config and /etc/ssh/ssh_config: a file, or none
  XDG_STATE_HOME     where sshlua/history of the interactive mode is; default ~/.local/state
]==]

local function option_lines()
  local lines = {}
  for _, option in ipairs(options.list) do
    local names = {}
    if option.short then names[#names + 1] = "-" .. option.short end
    if option.long then names[#names + 1] = "--" .. option.long end
    local left = table.concat(names, ", ") .. (option.arg and " " .. option.arg or "")
    lines[#lines + 1] = ("  %-18s %s\n"):format(left, option.text)
  end
  return table.concat(lines)
end

---@param program table
function M.text(program) return HEAD .. option_lines() .. TAIL:format(commands.lines(program)) end

return M
