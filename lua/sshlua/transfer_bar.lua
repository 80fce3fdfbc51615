--- Progress of transfers on the terminal: one line on standard error, written over. Nothing when there is no terminal.

local core = require("sshlua.core")
local errors = require("sshlua.errors")

local M = {}

local function size(n)
  for _, unit in ipairs({ "B", "KiB", "MiB", "GiB", "TiB" }) do
    if n < 1024 or unit == "TiB" then return (unit == "B" and "%d %s" or "%.1f %s"):format(n, unit) end
    n = n / 1024
  end
end

local function span(seconds)
  if not seconds or seconds > 359999 then return "--:--" end
  return ("%02d:%02d"):format(math.floor(seconds / 60), math.floor(seconds % 60))
end

local columns = function() return select(2, core.tty_size(2)) or 80 end

--- The line for an event.
---@param event sshlua.TransferProgress
---@param width integer
---@return string
function M.line(event, width)
  local part = event.total > 0 and event.bytes / event.total or 0
  local text = ("%s %3d%% %s/%s %s/s %s "):format(errors.excerpt(event.host, 30), math.floor(part * 100),
    size(event.bytes), size(event.total), size(event.rate), span(event.ended and 0 or event.eta))
  local room = width - #text - 1
  if event.file and room > 8 then text = text .. errors.excerpt(event.file, room) end
  return text:sub(1, width - 1)
end

local hosts = {} -- those under way: a line for the one that began first
local function first() return hosts[1] end

--- A function for events of a job; nil when nobody sees them.
function M.of(job)
  if not core.isatty(2) or os.getenv("TERM") == "dumb" then return nil end
  hosts[#hosts + 1] = job
  return function(event)
    if first() == job then
      local text = M.line(event, columns())
      io.stderr:write("\r", text, (" "):rep(math.max(columns() - 1 - #text, 0)), event.ended and "\n" or "")
      io.stderr:flush()
    end
    if event.ended then
      for i, other in ipairs(hosts) do
        if other == job then table.remove(hosts, i) break end
      end
    end
  end
end

return M
