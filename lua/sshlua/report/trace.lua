--- A run as Chrome trace events (--trace FILE.json): opens in Perfetto and chrome://tracing. One line per host. Pure.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local json = require("sshlua.json")

local M = {}

--- So far off may begin and end of what belongs together be: they are noted one after the other.
local SLACK = 500 -- microseconds

local function micro(seconds) return math.floor(seconds * 1e6 + 0.5) end

--- Lines -----------------------------------------------------------------------------------------------------------

--- Viewers draw what overlaps on one line only when one is inside the other. Makes the span fit the line, or says no.
local function fits(stack, span)
  local from, to = span.from, span.to
  while stack[1] and stack[#stack].to <= from + SLACK and to > stack[#stack].to do
    from = math.max(from, table.remove(stack).to)
  end
  local around = stack[#stack]
  if around and to > around.to + SLACK then return false end
  span.from = from
  span.to = math.max(from, around and math.min(to, around.to) or to)
  stack[#stack + 1] = span
  return true
end

--- The host's spans in their order; each gets the number of its line: 1, and more for what happened at once.
local function place(list)
  table.sort(list, function(a, b)
    if a.from ~= b.from then return a.from < b.from end
    if a.to ~= b.to then return a.to > b.to end
    return a.index < b.index
  end)
  local lines = {}
  for _, span in ipairs(list) do
    local n = 1
    while not fits(lines[n] or {}, span) do n = n + 1 end
    lines[n] = lines[n] or { span }
    span.line = n
  end
  return #lines
end

--- Hosts in the order in which they come, each { name, spans in microseconds }.
local function hosts_of(spans)
  local list, by = {}, {}
  for i, span in ipairs(spans) do
    local host = by[span.host]
    if not host then
      host = { name = span.host }
      list[#list + 1], by[span.host] = host, host
    end
    host[#host + 1] = { from = micro(span.at), to = micro(span.at + span.seconds), span = span, index = i }
  end
  return list
end

--- The text of a trace. Spans without a length are moments.
---@param spans sshlua.Span[]
---@param about? { title?: string }
---@return string JSON
function M.render(spans, about)
  local events, tid = json.array({}), 0
  local function add(event)
    event.pid = 1
    events[#events + 1] = event
  end
  add({ ph = "M", name = "process_name", tid = 0, args = { name = core.clean(about and about.title or "sshlua") } })
  for _, host in ipairs(hosts_of(spans)) do
    for n = 1, math.max(place(host), 1) do
      local name = core.clean(host.name) .. (n > 1 and (" (%d)"):format(n) or "")
      add({ ph = "M", name = "thread_name", tid = tid + n, args = { name = name } })
      add({ ph = "M", name = "thread_sort_index", tid = tid + n, args = { sort_index = tid + n } })
      host.lines = n
    end
    for _, item in ipairs(host) do
      local span, length = item.span, item.to - item.from
      add({
        ph = length > 0 and "X" or "i", s = length == 0 and "t" or nil, cat = span.ok and "ok" or "failed",
        name = errors.excerpt(span.name, 80), tid = tid + item.line, ts = item.from, dur = length > 0 and length or nil,
        args = json.object({ ok = span.ok, note = span.note and errors.excerpt(span.note, 300) or nil }),
      })
    end
    tid = tid + host.lines
  end
  return json.encode({ displayTimeUnit = "ms", traceEvents = events }) .. "\n"
end

return M
