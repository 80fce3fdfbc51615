--- sshlua help [COMMAND]

local commands = require("sshlua.cli.commands")
local usage = require("sshlua.cli.usage")

local M = { summary = "this text; help COMMAND: about a command" }

---@param args string[]
---@param program table
function M.run(args, program)
  local name = args[1]
  if name == "--complete" then
    local lines = require("sshlua.cli.completion").lines(program, { (table.unpack or unpack)(args, 2) })
    io.stdout:write(table.concat(lines, "\n"), lines[1] and "\n" or "")
    return 0
  end
  if not name or name == "help" or name == "--help" or name == "-h" then
    io.stdout:write(usage.text(program))
    return 0
  end
  local module = commands.find(program, name)
  if not module then
    io.stderr:write(("sshlua: help: no command '%s' (see sshlua --help)\n"):format(name))
    return 2
  end
  local command = require(module)
  io.stdout:write(command.help or ("sshlua %s: %s\n"):format(name, command.summary))
  return 0
end

return M
