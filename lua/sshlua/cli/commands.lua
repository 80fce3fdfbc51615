--- The subcommands: a table from name to module. A module is { summary = "one line", run = function(args) ... end };
--- run is called inside the root task and returns the exit code (nil is 0).

local M = {}

local modules = {
  { "config", "sshlua.cli.config" },
  { "demo", "sshlua.cli.demo" },
  { "dial", "sshlua.cli.dial" },
  { "explain", "sshlua.cli.explain" },
  { "get", "sshlua.cli.get" },
  { "help", "sshlua.cli.help" },
  { "keys", "sshlua.cli.keys" },
  { "hosts", "sshlua.cli.hosts" },
  { "put", "sshlua.cli.put" },
  { "sync", "sshlua.cli.sync" },
  { "rec", "sshlua.cli.rec" },
  { "ping", "sshlua.cli.ping" },
  { "run", "sshlua.cli.run" },
  { "ssh", "sshlua.cli.ssh" },
}

--- The module's name when there is such a command.
---@param program table
---@param name string
---@return string|nil
function M.find(program, name)
  for _, entry in ipairs(modules) do
    if entry[1] == name and program.find(entry[2]) then return entry[2] end
  end
end

--- One line for each: name and summary.
---@param program table
function M.lines(program)
  local lines = {}
  for _, entry in ipairs(modules) do
    if program.find(entry[2]) then
      lines[#lines + 1] = ("  %-18s %s\n"):format(entry[1], require(entry[2]).summary)
    end
  end
  return table.concat(lines)
end

return M
