--- A run as one HTML file that needs nothing else (--report FILE.html): outcomes, folded outputs, a waterfall of the
--- times. Everything that a host said is escaped; no script runs, nothing is loaded. Pure.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local spans_of = require("sshlua.report.spans")
local style = require("sshlua.report.style")

local M = {}

local OUTPUT_MAX = 256 * 1024 -- of one group's output
local ROWS_MAX, BARS_MAX = 5000, 400

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local function escape(text) return (tostring(text):gsub("[&<>\"']", entities)) end

--- Text of others: visible characters, masked, escaped.
local function shown(text, max)
  if #text > max then text = text:sub(1, max) .. "\n... and " .. #text - max .. " bytes more" end
  return escape(core.clean(core.mask(text), { newline = true, tab = true }))
end

local function line(text, max) return escape(errors.excerpt(text, max or 300)) end

local function seconds_text(n)
  if not n then return "" end
  return n < 10 and ("%.3f s"):format(n) or ("%.1f s"):format(n)
end

--- Outcomes ---------------------------------------------------------------------------------------------------------

local function class_of(status, changed)
  return status == "ok" and (changed and "warn" or "ok") or status == "skipped" and "soft" or "bad"
end

local function count(results)
  local by, order = {}, {}
  for _, r in ipairs(results) do
    local status = r:status()
    if not by[status] then order[#order + 1] = status end
    by[status] = (by[status] or 0) + 1
  end
  table.sort(order, function(a, b)
    if (a == "ok") ~= (b == "ok") then return a == "ok" end
    return by[a] > by[b] or by[a] == by[b] and a < b
  end)
  local parts = {}
  for i, status in ipairs(order) do
    parts[i] = ('<span class="%s">%d %s</span>'):format(class_of(status), by[status], line(status, 40))
  end
  return #parts > 0 and table.concat(parts, ", ") or "no hosts"
end

--- What went wrong stands first, then what took longest.
local function sorted(results)
  local list = {}
  for i, r in ipairs(results) do list[i] = { r = r, i = i, bad = not r.ok and r:status() ~= "skipped" } end
  table.sort(list, function(a, b)
    if a.bad ~= b.bad then return a.bad end
    local x, y = a.r.duration or 0, b.r.duration or 0
    if x ~= y then return x > y end
    return a.i < b.i
  end)
  return list
end

local function outcome_table(add, results)
  add('<h2>Outcomes</h2><div class="scroll tall"><table><tr><th>Host<th>Outcome<th class="n">Code<th class="n">Time'
    .. '<th class="n">Output<th>What</tr>')
  for i, item in ipairs(sorted(results)) do
    if i > ROWS_MAX then
      add(('<tr><td colspan="6" class="soft">and %d more</tr>'):format(#results - ROWS_MAX))
      break
    end
    local r, status = item.r, item.r:status()
    local what = r:problem() or (r.changed and "changed" or r.reason) or ""
    local word = r.changed and status == "ok" and "changed" or line(status, 40)
    add(('<tr><td>%s<td class="%s">%s<td class="n">%s<td class="n">%s<td class="n">%s'
      .. '<td class="wide"><div>%s</div></tr>'):format(
      line(r.host or "?", 255), class_of(status, r.changed), word,
      r.code and ("%d"):format(r.code) or "", seconds_text(r.duration),
      ("%d B"):format(r.bytes or #r.stdout + #r.stderr), line(what)))
  end
  add("</table></div>")
end

--- Outputs ----------------------------------------------------------------------------------------------------------

--- Groups of results with the same outputs and code, the largest first.
local function fold(results)
  local groups, by = {}, {}
  for _, r in ipairs(results) do
    local key = ("%s\0%s\0%s"):format(r.stdout, r.stderr, tostring(r.code))
    local group = by[key]
    if not group then
      group = { r = r, hosts = {}, place = #groups + 1 }
      groups[#groups + 1], by[key] = group, group
    end
    group.hosts[#group.hosts + 1] = r.host or "?"
  end
  table.sort(groups, function(a, b)
    if #a.hosts ~= #b.hosts then return #a.hosts > #b.hosts end
    return a.place < b.place
  end)
  return groups
end

local function names_of(hosts)
  local ok, text = pcall(function() return require("sshlua.hostset").fold(hosts) end)
  return ok and type(text) == "string" and text or table.concat(hosts, ",")
end

local function outputs(add, results)
  add("<h2>Outputs</h2>")
  for i, group in ipairs(fold(results)) do
    if i > ROWS_MAX then break end
    local r = group.r
    local empty = r.stdout == "" and r.stderr == ""
    add(('<details%s><summary>%s <span class="soft">%d host%s%s%s</span></summary>'):format(
      i == 1 and not empty and " open" or "", line(names_of(group.hosts), 500), #group.hosts,
      #group.hosts == 1 and "" or "s",
      r.code and r.code ~= 0 and (", code %d"):format(r.code) or "", empty and ", no output" or ""))
    if r.stdout ~= "" then add("<pre>" .. shown(r.stdout, OUTPUT_MAX) .. "</pre>") end
    if r.stderr ~= "" then add('<pre class="warn">' .. shown(r.stderr, OUTPUT_MAX) .. "</pre>") end
    add("</details>")
  end
end

--- Waterfall --------------------------------------------------------------------------------------------------------

local colours = {
  queue = "queue", dns = "dns", resolve = "dns", tcp = "tcp", connect = "tcp", connected = "tcp", greeting = "tcp",
  kex = "kex", handshake = "kex", hostkey = "kex", auth = "auth", ["auth.ok"] = "auth", transfer = "transfer",
}
local LEFT, WIDTH, ROW = 160, 800, 18

--- A step of 1, 2 or 5 so that there are about eight.
local function step_of(total)
  local step = 10 ^ math.floor(math.log(total / 8) / math.log(10))
  for _, factor in ipairs({ 1, 2, 5, 10 }) do
    if total / (step * factor) <= 8 then return step * factor end
  end
  return step * 10
end

local function lanes_of(spans)
  local lanes, by, total = {}, {}, 0
  for _, span in ipairs(spans) do
    total = math.max(total, span.at + span.seconds)
    local lane = by[span.host]
    if not lane and #lanes < BARS_MAX then
      lane = { host = span.host }
      lanes[#lanes + 1], by[span.host] = lane, lane
    end
    if lane and span.seconds > 0 then lane[#lane + 1] = span end
    if lane and not span.ok then lane.bad = true end
  end
  return lanes, total
end

local function bar(lane, span, y, total)
  local colour = not span.ok and "bad" or colours[span.name] or "exec"
  return ('<rect x="%.2f" y="%d" width="%.2f" height="%d" rx="1.5" fill="var(--%s)"><title>%s: %s, %s%s</title></rect>')
    :format(LEFT + span.at / total * WIDTH, y, math.max(span.seconds / total * WIDTH, 0.75), ROW - 5, colour,
      line(lane.host, 255), line(span.name, 60), seconds_text(span.seconds),
      span.note and ": " .. line(span.note, 200) or "")
end

local function waterfall(add, spans)
  local lanes, total = lanes_of(spans)
  if #lanes == 0 or total <= 0 then return end
  local height = #lanes * ROW + 24
  add('<h2>Times</h2><p class="key">')
  for _, name in ipairs({ "queue", "dns", "tcp", "kex", "auth", "exec", "transfer", "failed" }) do
    local colour = name == "failed" and "bad" or name
    add(('<span><i style="background:var(--%s)"></i>%s</span>'):format(colour, name))
  end
  add(('</p><div class="scroll"><svg viewBox="0 0 %d %d" width="100%%" role="img" '
    .. 'aria-label="what took how long on each host">'):format(LEFT + WIDTH + 40, height))
  local step = step_of(total)
  for i = 0, math.floor(total / step) do
    local x = LEFT + i * step / total * WIDTH
    add(('<line class="grid" x1="%.1f" x2="%.1f" y1="18" y2="%d"/><text class="axis" x="%.1f" y="12">%g s</text>')
      :format(x, x, height, x, i * step))
  end
  for i, lane in ipairs(lanes) do
    local y = 22 + (i - 1) * ROW
    add(('<text x="%d" y="%d" text-anchor="end"%s>%s</text>'):format(LEFT - 6, y + 11,
      lane.bad and ' class="bad"' or "", line(lane.host, 24)))
    for _, span in ipairs(lane) do add(bar(lane, span, y, total)) end
  end
  add("</svg></div>")
end

---@class sshlua.ReportAbout
---@field title? string what was done
---@field when? string date and time, for people
---@field seconds? number wall time of the whole
---@field spans? sshlua.Span[] default: from the results' timing

--- The page.
---@param results sshlua.Result[]
---@param about? sshlua.ReportAbout
---@return string HTML
function M.render(results, about)
  about = about or {}
  local out = {}
  local function add(text) out[#out + 1] = text end
  local title = line(about.title or "sshlua", 200)
  add('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">')
  add('<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">')
  add('<meta name="viewport" content="width=device-width,initial-scale=1"><title>' .. title .. "</title><style>")
  add(style)
  add("</style></head><body><h1>" .. title .. "</h1><p>" .. count(results) .. "</p>")
  local facts = {}
  if about.when then facts[#facts + 1] = line(about.when, 60) end
  facts[#facts + 1] = ("%d host%s"):format(#results, #results == 1 and "" or "s")
  if about.seconds then facts[#facts + 1] = seconds_text(about.seconds) end
  add('<p class="soft">' .. table.concat(facts, ", ") .. "</p>")
  outcome_table(add, results)
  waterfall(add, about.spans or spans_of.of_results(results))
  outputs(add, results)
  add("</body></html>\n")
  return table.concat(out, "\n")
end

return M
