-- Reports and traces of runs: what comes out is well formed and says what the Results say, whatever hosts said.
local Result = require("sshlua.result").Result
local html = require "sshlua.report.html"
local json = require "sshlua.json"
local spans = require "sshlua.report.spans"
local trace = require "sshlua.report.trace"
local errors = require "sshlua.errors"

local function results()
  local list = {}
  for i = 1, 20 do
    list[i] = Result.new { host = "web" .. i, code = 0, stdout = i % 5 == 0 and "other\n" or "same\n", duration = i / 10,
      timing = { queue = 0.01, dns = 0.001, tcp = 0.02, kex = 0.03, auth = 0.04, connect = 0.1, exec = i / 10 } }
  end
  list[3] = Result.new { host = "web3", code = 7, stderr = "<script>alert('&')</script>\27[31m\n", duration = 1 }
  list[4] = Result.new { host = "<b>\"web4\"", err = errors.new { kind = "auth", message = "no key <accepted>" } }
  list[5] = Result.new { host = "web5", skipped = true, reason = "2 failed" }
  list[6] = Result.new { host = "web6", code = 0, changed = true, stdout = "--- a\n+++ b\n" }
  return list
end

-- Every element that is to be closed is, in order; returns how often each came.
local function check_tags(text)
  local void = { meta = true, td = true, th = true, line = true, rect = false, ["!DOCTYPE"] = true }
  local open, seen = {}, {}
  for closing, name, rest in text:gsub("<style>.-</style>", ""):gmatch "<(/?)([%w!]+)([^>]*)>" do
    seen[name] = (seen[name] or 0) + 1
    if closing == "/" then
      assert.equal(name, table.remove(open))
    elseif not void[name] and rest:sub(-1) ~= "/" then
      open[#open + 1] = name
    end
  end
  assert.same({}, open)
  return seen
end

describe("the HTML report", function()
  it("is well formed, loads nothing, and shows who failed first", function()
    local text = html.render(results(), { title = "run: uptime & <more>", when = "2026-01-02 03:04", seconds = 2.5 })
    local seen = check_tags(text)
    assert.is_nil(seen.script)
    assert.is_nil(seen.b)
    assert.is_nil(text:find "https?://")
    assert.is_nil(text:find("\27", 1, true))
    assert.matches("run: uptime &amp; &lt;more&gt;", text)
    assert.matches("&lt;script&gt;alert%(&#39;&amp;&#39;%)", text)
    assert.matches('17 ok</span>, <span class="bad">1 ', text)
    assert.matches("prefers%-color%-scheme:dark", text)
    local first = text:match "<table>.-</tr>%s*<tr><td>(.-)<td"
    assert.is_true(first == "web3" or first == "&lt;b&gt;&quot;web4&quot;")
    assert.matches("no key &lt;accepted&gt;", text)
    assert.matches("<td class=\"warn\">changed", text)
    assert.is_true(seen.rect >= 15 * 6)
    assert.matches('<summary>web%[1%-2,7%-9,', text)
  end)

  it("of nothing, and of a thousand hosts with large outputs, stays within bounds", function()
    check_tags(html.render({}))
    local list = {}
    for i = 1, 1000 do list[i] = Result.new { host = "n" .. i, code = 0, stdout = ("x"):rep(2000) .. i % 3, duration = 1 } end
    list[1001] = Result.new { host = "big", code = 0, stdout = ("y\n"):rep(1000000) }
    local text = html.render(list)
    check_tags(text)
    assert.is_true(#text < 1500000)
  end)
end)

describe("a trace", function()
  it("has a line for each host and an event for each span", function()
    local list = spans.of_results(results())
    local data = json.decode(trace.render(list, { title = "run" }))
    local names, by_phase = {}, {}
    for _, e in ipairs(data.traceEvents) do
      if e.ph == "M" and e.name == "thread_name" then names[#names + 1] = e.args.name end
      if e.ph == "X" then
        by_phase[e.name] = (by_phase[e.name] or 0) + 1
        assert.is_true(e.dur > 0 and e.ts >= 0 and e.tid >= 1)
      end
    end
    assert.equal("web1", names[1])
    assert.equal(16, by_phase.queue)
    assert.equal(17, by_phase.exec) -- one of them without timing
    assert.is_nil(by_phase.connect) -- its parts are there
  end)

  it("is made of events, too", function()
    local recorder = spans.record()
    local log = require "sshlua.log"
    log.emit(2, "web1", "auth", { seconds = "0.25", ok = false })
    log.emit(1, "web1", "failed", { error = "web1: auth: <no>" })
    log.emit(2, "web2", "exec", { seconds = "0.5", code = 3 })
    log.emit(1, nil, "inventory", {})
    recorder:stop()
    log.emit(1, "web3", "failed", {})
    assert.equal(3, #recorder.spans)
    assert.same({ "auth", 0.25, false }, { recorder.spans[1].name, recorder.spans[1].seconds, recorder.spans[1].ok })
    assert.equal("exit status 3", recorder.spans[3].note)
    local data = json.decode(trace.render(recorder.spans))
    local words = {}
    for _, e in ipairs(data.traceEvents) do
      if e.ph ~= "M" then words[#words + 1] = table.concat({ e.ph, e.name, e.cat, e.tid }, " ") end
    end
    assert.same({ "X auth failed 1", "i failed failed 1", "X exec failed 2" }, words)
  end)

  it("nests what is inside, and gives what happened at once a line of its own", function()
    local function span(name, from, to) return { host = "web1", name = name, at = from, seconds = to - from, ok = true } end
    local text = trace.render {
      span("resolve", 0, 1), span("connect", 0.99999, 2), -- noted a little late
      span("auth", 2, 3), span("auth.ok", 2.00001, 3.00002),
      span("exec a", 3, 5), span("exec b", 4, 6), span("closed", 6, 6),
    }
    local at, names = {}, {}
    for _, e in ipairs(json.decode(text).traceEvents) do
      if e.name == "thread_name" then names[e.tid] = e.args.name end
      if e.ph ~= "M" then at[e.name] = { e.ts, e.ts + (e.dur or 0), e.tid } end
    end
    assert.same({ "web1", "web1 (2)" }, names)
    assert.same({ 1000000, 2000000, 1 }, at.connect)
    assert.same({ 2000010, 3000000, 1 }, at["auth.ok"])
    assert.same({ 1, 2, 1 }, { at["exec a"][3], at["exec b"][3], at.closed[3] })
  end)
end)
