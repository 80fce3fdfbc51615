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

--- Seconds as minutes and seconds.
function M.span(seconds)
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
    size(event.bytes), size(event.total), size(event.rate), M.span(event.ended and 0 or event.eta))
  local room = width - #text - 1
  if event.file and room > 8 then text = text .. errors.excerpt(event.file, room) end
  return text:sub(1, width - 1)
end

--- What several hosts have done, as one event. `live`: the latest events of those under way; `over`: { hosts, bytes,
--- total } of those that have ended.
---@param live sshlua.TransferProgress[]
function M.sum(live, over)
  local all = { bytes = over.bytes, total = over.total, rate = 0, ended = #live == 0,
    host = ("%d of %d hosts"):format(over.hosts, over.hosts + #live) }
  for _, event in ipairs(live) do
    all.bytes, all.total, all.rate = all.bytes + event.bytes, all.total + event.total, all.rate + event.rate
    if event.eta then all.eta = math.max(all.eta or 0, event.eta) end
  end
  return all
end

local live = {} -- of all jobs under way, in the order in which they began
local over = { hosts = 0, bytes = 0, total = 0 }
local drawn

local function draw(event)
  local text = M.line(event, columns())
  io.stderr:write("\r", text, (" "):rep(math.max(columns() - 1 - #text, 0)), event.ended and "\n" or "")
  io.stderr:flush()
  drawn = core.now()
end

local function take_out(event)
  for i, other in ipairs(live) do
    if other.host == event.host then
      table.remove(live, i)
      break
    end
  end
  over.hosts, over.bytes, over.total = over.hosts + 1, over.bytes + event.bytes, over.total + event.total
end

local function put_in(event)
  for i, other in ipairs(live) do
    if other.host == event.host then
      live[i] = event
      return
    end
  end
  live[#live + 1] = event
end

--- A function for events of a job; nil when nobody sees them. One host's line, or the sum of all that are under way.
function M.of(job)
  if not core.isatty(2) or os.getenv("TERM") == "dumb" then return nil end
  live[#live + 1] = { host = job, bytes = 0, total = 0, rate = 0 }
  return function(event)
    local mine = {}
    for k, v in pairs(event) do mine[k] = v end
    mine.host = job
    if event.ended then take_out(mine) else put_in(mine) end
    local alone = #live + over.hosts == 1
    if alone or event.ended and #live == 0 or core.now() - (drawn or 0) >= 0.2 then
      draw(alone and event or M.sum(live, over))
    end
    if #live == 0 then over = { hosts = 0, bytes = 0, total = 0 } end
  end
end

return M
