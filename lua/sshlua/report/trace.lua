--- A run as Chrome trace events (--trace FILE.json): opens in Perfetto and chrome://tracing. One line per host. Pure.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local json = require("sshlua.json")

local M = {}

local function micro(seconds) return math.floor(seconds * 1e6 + 0.5) end

local function order(spans)
  local list, seen = {}, {}
  for _, span in ipairs(spans) do
    if not seen[span.host] then
      list[#list + 1] = span.host
      seen[span.host] = #list
    end
  end
  return list, seen
end

--- The text of a trace. Spans without a length are moments.
---@param spans sshlua.Span[]
---@param about? { title?: string }
---@return string JSON
function M.render(spans, about)
  local hosts, thread = order(spans)
  local events = json.array({})
  local function add(event)
    event.pid = 1
    events[#events + 1] = event
  end
  add({ ph = "M", name = "process_name", tid = 0, args = { name = core.clean(about and about.title or "sshlua") } })
  for i, name in ipairs(hosts) do
    add({ ph = "M", name = "thread_name", tid = i, args = { name = core.clean(name) } })
    add({ ph = "M", name = "thread_sort_index", tid = i, args = { sort_index = i } })
  end
  for _, span in ipairs(spans) do
    local moment = span.seconds == 0
    add({
      ph = moment and "i" or "X", s = moment and "t" or nil, cat = span.ok and "ok" or "failed",
      name = errors.excerpt(span.name, 80), tid = thread[span.host], ts = micro(span.at),
      dur = not moment and micro(span.seconds) or nil,
      args = json.object({ ok = span.ok, note = span.note and errors.excerpt(span.note, 300) or nil }),
    })
  end
  return json.encode({ displayTimeUnit = "ms", traceEvents = events }) .. "\n"
end

return M
