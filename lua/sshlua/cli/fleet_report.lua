--- `--report FILE.html` and `--trace FILE.json`: what happened is recorded while a fleet command runs, and written when
--- it is over, also when it was interrupted. The files are readable by their owner alone: outputs are in them.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local lazy = require("sshlua.lazy")

local M = {}

--- Bytes of each output that a Result has to keep for the page.
M.KEEP = 256 * 1024

local function write(path, text)
  local _, err = core.fs_write_sync(path, text, 384)
  if err then errors.raise(errors.from(err, { op = "report", path = path })) end
end

--- Recording begins; nil: nobody wants it. finish(results, about) writes the files.
---@param o table of cli/fleet_args.lua
---@param title string
---@return { finish: fun(rs: sshlua.Results, seconds: number) }|nil
function M.begin(o, title)
  if not o.report and not o.trace then return nil end
  local recorder = lazy.load("sshlua.report.spans").record()
  local at = os.date("!%Y-%m-%dT%H:%M:%SZ")
  return {
    finish = function(rs, seconds)
      recorder:stop()
      local about = { title = title, when = at, seconds = seconds, spans = recorder.spans }
      if o.report then write(o.report, lazy.load("sshlua.report.html").render(rs, about)) end
      if o.trace then write(o.trace, lazy.load("sshlua.report.trace").render(recorder.spans, about)) end
    end,
  }
end

return M
