--- --cassette FILE: the script's hosts are recorded, or played. Its os.exit ends the script, so that the recording is
--- complete and what was not played is told.

local cassette = require("sshlua.cassette")
local report = require("sshlua.cli.report")
local script = require("sshlua.testbed.script")

local M = {}

--- What runs fn(program, o, argv) under o.cassette.
---@param fn fun(program: table, o: table, argv: string[]): integer
---@return fun(program: table, o: table, argv: string[]): integer
function M.around(fn)
  return function(program, o, argv)
    if o.cassette == "" then report.stop(2, "option --cassette: file name expected") end
    return (cassette.with(o.cassette, nil, function()
      local code, ok, result = script.without_exit(fn, program, o, argv)
      if not ok and not code then error(result, 0) end
      return code or result
    end))
  end
end

return M
