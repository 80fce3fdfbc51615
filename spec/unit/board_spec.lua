-- The board without a terminal: events become rows, keys become views, both become lines of a screen.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local events = require "sshlua.events"
local model_of = require "sshlua.board.model"
local paint = require "sshlua.board.paint"
local program = require "spec.support.program"
local Result = require("sshlua.result").Result
local run = require "spec.support.run"
local tail = require "sshlua.board.tail"
local ui = require "sshlua.board.ui"

local function hosts(...)
  local list = {}
  for i, name in ipairs { ... } do list[i] = { name = name, target = {} } end
  return list
end

-- A model with a run begun on it, and functions that tell it things.
local function board(list)
  local self = { hosts = list, model = model_of.new(list), at = 100 }
  self.view = ui.new(self.model)
  function self.take(event)
    event.at, event.run = self.at, 1
    self.model:take(event)
  end
  function self.start(i)
    self.take { what = "start", index = i }
    self.take { what = "step", target = list[i].target, verb = "run", state = "start" }
  end
  function self.say(i, bytes, stream)
    self.take { what = "output", target = list[i].target, bytes = bytes, stream = stream or "stdout" }
  end
  function self.finish(i, fields) self.take { what = "end", index = i, result = Result.new(fields) } end
  function self.press(...)
    local answer
    for _, key in ipairs { ... } do answer = self.view:press(key) end
    return answer
  end
  function self.screen(cols, rows, more)
    local f = { cols = cols, rows = rows, now = self.at, title = "sshlua run: make", color = false }
    for k, v in pairs(more or {}) do f[k] = v end
    local lines = paint.frame(f, self.model, self.view)
    assert.equal(rows, #lines)
    for i, line in ipairs(lines) do
      local width = core.width((line:gsub("\27%[[%d;]*m", "")))
      assert.is_true(width <= cols, ("line %d has %d columns of %d"):format(i, width, cols))
      lines[i] = line:gsub(" +$", "")
    end
    return lines
  end
  self.take { what = "begin", op = "run", hosts = list }
  return self
end

local function order(b, ...)
  local names = {}
  for i, row in ipairs(b.model:list(...)) do names[i] = row.name end
  return table.concat(names, " ")
end

describe("the end of an output", function()
  local function last(text, limit)
    local t = tail.new(limit or 4096)
    t:feed(text, "stdout")
    t:finish()
    return t:last(), t.progress, t
  end

  it("has a last line as a terminal would show it, without control characters", function()
    assert.equal("b", (last "a\nb\n\n"))
    assert.equal("30%", (last "start\r10%\r30%"))
    assert.equal("30%", (last "10%\r30%\r")) -- erased later, if at all
    assert.equal("x\\x1b[2Jy", (last "x\27[2Jy\n"))
    assert.equal("a  b", (last "a\tb"))
    assert.equal("", (last "\n \n"))
  end)

  it("keeps so much of it and no more, and whole lines", function()
    local t = tail.new(1000)
    for i = 1, 10000 do t:feed(("line %d\n"):format(i), "stdout") end
    assert.is_true(t.size <= 2000)
    assert.equal("line 10000", t:last())
    local lines = t:lines()
    assert.is_true(t.cut)
    assert.matches("^line %d+$", lines[1])
    assert.is_true(#lines > 80 and #lines < 130, #lines)
  end)

  it("puts the two outputs on lines of their own", function()
    local t = tail.new(1000)
    t:feed("out", "stdout")
    t:feed("err\n", "stderr")
    t:feed("more", "stdout")
    assert.same({ "out", "err", "more" }, t:lines())
  end)

  it("hides secrets also when they come in pieces", function()
    local secret = core.secret("board spec", "hunter22secret")
    local t = tail.new(1000)
    t:feed("it is hunter", "stdout")
    assert.is_nil(t:last():find "hunter")
    t:feed("22secret.\n", "stdout")
    assert.equal("it is ********.", t:last())
    assert.truthy(secret)
  end)

  it("reads progress from percents and from n of m, and from nothing else", function()
    for line, want in pairs {
      ["42%"] = 0.42, ["[ 7%] a 100% b"] = 1, [" 99.5% done"] = 0.995, ["[12/48] CC x.o"] = 0.25, ["step 3 of 4"] = 0.75,
      ["10 / 20 files"] = 0.5, ["0/5"] = 0,
    } do
      assert.is_true(math.abs(want - (tail.progress(line) or -1)) < 1e-9, line)
    end
    for _, line in ipairs {
      "", "150%", "21/11/2026", "/1/2", "v1/2", "7/3", "1.5/2.0", "3/0", "http://a/1/2", "10:1/2", "a_1/2", "%", ".%", "1.2.3%",
    } do
      assert.is_nil(tail.progress(line), line)
    end
    local _, progress = last "[3/4] b\nwarning: x\n"
    assert.equal(0.75, progress)
  end)

  it("looks at hostile lines in no time", function()
    local before = os.clock()
    for _, piece in ipairs { "1", "1/", "1 ", "%", "1%", "1 of ", "\r", "\r1" } do
      local t = tail.new(65536)
      t:feed(piece:rep(math.floor(65536 / #piece)), "stdout")
      t:last()
      t:lines()
    end
    assert.is_true(os.clock() - before < 5)
  end)
end)

describe("a board's rows", function()
  it("show the failed first, then the slowest", function()
    local b = board(hosts("a", "b", "c", "d", "e", "f"))
    assert.equal("a b c d e f", order(b))
    for i = 1, 5 do
      b.at = 100 + i
      b.start(i)
    end
    assert.equal("a b c d e f", order(b))
    b.at = 110
    b.finish(2, { code = 0 }) -- 8 s
    b.finish(1, { code = 0 }) -- 9 s
    b.finish(4, { code = 1 })
    assert.equal("d c e f a b", order(b))
    b.at = 120
    b.finish(3, { code = 0 }) -- 17 s
    assert.equal("d e f c a b", order(b))
    assert.same({ failed = 1, running = 1, queued = 1, ok = 3, skipped = 0 }, b.model.counts)
    assert.equal("c a b", order(b, "ok"))
    assert.equal("e", order(b, nil, "e"))
  end)

  it("say who was not started when it is over", function()
    local list = hosts("a", "b")
    local b = board(list)
    b.start(1)
    b.finish(1, { code = 3 })
    b.take { what = "finish", results = { Result.new { code = 3 }, Result.new { skipped = true, reason = "1 failed, 0 may" } } }
    assert.equal("a b", order(b))
    assert.equal("skipped", b.model.rows[2].state)
    assert.equal("1 failed, 0 may", model_of.line(b.model.rows[2]))
    assert.equal("exit 3", model_of.word(b.model.rows[1]))
  end)

  it("are those of hosts also when several share a name", function()
    local list = hosts("a", "a")
    local b = board(list)
    b.start(2)
    b.say(2, "second\n")
    assert.equal("queued", b.model.rows[1].state)
    assert.equal("second", model_of.line(b.model.rows[2]))
  end)

  it("begin again with the next verb", function()
    local list = hosts("a")
    local b = board(list)
    b.start(1)
    b.finish(1, { err = errors.new { kind = "timeout", message = "not \27 done" } })
    assert.equal("not \\x1b done", model_of.line(b.model.rows[1]))
    b.start(1)
    assert.equal("running", b.model.rows[1].state)
    assert.equal("run", model_of.word(b.model.rows[1]))
    list[1].target.phase = "auth"
    assert.equal("auth", model_of.word(b.model.rows[1]))
  end)
end)

describe("a board's screen", function()
  local function busy(n)
    local names = {}
    for i = 1, n do names[i] = "web" .. i end
    local b = board(hosts((table.unpack or unpack)(names))) -- luacheck: ignore 143
    for i = 1, math.min(n, 6) do b.start(i) end
    b.at = 107
    b.say(1, "[12/48] CC main.o\n")
    b.say(2, "日本語のとても長い一行です、端を越えてどこまでも続きます。まだまだ続くのです。\n")
    b.say(3, "\27]0;owned\7\27[2J\n")
    b.finish(4, { code = 2, stderr = "no\n" })
    b.finish(5, { code = 0, stdout = "fine\n" })
    b.hosts[6].target.phase = "auth"
    b.at = 175
    return b
  end

  it("has a line for each host", function()
    assert.same({
      "sshlua run: make                                                       01:15",
      "7 hosts: 1 failed, 4 running, 1 queued, 1 ok",
      " ! web4 00:07 exit 2",
      " > web1 01:15 run         25% [12/48] CC main.o",
      " > web2 01:15 run             日本語のとても長い一行です、端を越えてどこまで",
      " > web3 01:15 run             \\x1b]0;owned\\x07\\x1b[2J",
      " : web6 01:15 auth",
      " . web7       queued",
      " + web5 00:07 ok              fine",
      "", "",
      "? help  q leave  ^C stop",
    }, busy(7).screen(76, 12))
  end)

  it("has a strip of all when there are more hosts than lines", function()
    assert.same({
      "30 hosts: !1 >4 .24 +1             01:15",
      ">>>!+:........................",
      " ! web4  00:07      exit 2",
      " > web1  01:15  25% [12/48] CC main.o",
      " > web2  01:15      日本語のとても長い一",
      " > web3  01:15      \\x1b]0;owned\\x07\\x1b",
      " : web6  01:15",
      " . web7",
      " . web8",
      "? help  q leave  ^C stop",
    }, busy(30).screen(40, 10))
    local lines = busy(1000).screen(40, 12)
    assert.equal("1000 hosts: !1 >4 .994 +1  (a cell: 9 ho", lines[2])
    assert.equal("!" .. ("."):rep(39), lines[3])
  end)

  it("is right on every size and in every view, with and without colours", function()
    local b = busy(50)
    for _, keys in ipairs { {}, { "j", "j", "m" }, { "s" }, { "q", "enter" }, { "q", "j", "d" }, { "?" }, { "q", "/", "w", "1" } } do
      b.press((table.unpack or unpack)(keys)) -- luacheck: ignore 143
      for _, cols in ipairs { 1, 19, 20, 40, 61, 120 } do
        for _, rows in ipairs { 1, 4, 5, 11, 12, 40 } do
          b.screen(cols, rows)
          b.screen(cols, rows, { color = true })
        end
      end
    end
  end)

  it("draws bars where there is room", function()
    assert.truthy(busy(7).screen(100, 30)[4]:find("run        [==        ]  25% [12/48]", 1, true))
  end)

  it("colours states", function()
    local lines = paint.frame({ cols = 80, rows = 12, now = 1, title = "t", color = true }, busy(7).model, busy(7).view)
    assert.truthy(lines[3]:find("\27[31m!\27[0m", 1, true))
  end)
end)

describe("keys on a board", function()
  local b
  before_each(function()
    b = board(hosts("web1", "web2", "db1"))
    for i = 1, 3 do b.start(i) end
    b.say(1, "a\nb\nc\n")
    b.say(2, "a\nx\nc\n")
  end)

  it("are read as a terminal sends them", function()
    assert.same({ "up", "down", "page up", "home", "enter", "escape", "j", "é", "erase", "unknown", "redraw" },
      ui.keys "\27[A\27OB\27[5~\27[1~\r\27j\195\169\127\27[15;2~\12")
    assert.same({ "escape", "[", "9" }, ui.keys "\27[9")
    assert.equal(3, #ui.keys "\255\255\128")
  end)

  it("show one host, scroll and go back", function()
    b.press("j", "enter")
    assert.same({ "web1: run", "a", "b", "c", "", "q back  ? help" }, b.screen(30, 6))
    assert.same({ "web1: run", "b", "c", "q back  ? help" }, b.screen(30, 4))
    b.press "up"
    assert.same({ "web1: run  (1 below)", "a", "b", "q back  ? help" }, b.screen(30, 4))
    assert.is_nil(b.press "q")
    assert.equal("list", b.view.what)
    assert.equal("leave", b.press "q")
  end)

  it("split the screen and follow the cursor", function()
    b.press("j", "s", "j")
    local lines = b.screen(40, 12)
    assert.equal("web2: run", lines[7])
    assert.same({ "a", "x", "c" }, { lines[8], lines[9], lines[10] })
  end)

  it("compare two hosts", function()
    b.press("j", "d")
    assert.equal("mark another host with m first", b.view.said)
    b.press("m", "j", "d")
    local lines = b.screen(40, 12)
    assert.same({ "web1 and web2", "--- web1", "+++ web2", "@@ -1,3 +1,3 @@", " a", "-b", "+x", " c" },
      { (table.unpack or unpack)(lines, 1, 8) }) -- luacheck: ignore 143
    b.say(1, "\27[31m\n")
    assert.equal("-\\x1b[31m", b.screen(40, 12)[9])
  end)

  it("choose which hosts are shown", function()
    b.press("/", "d", "b", "x", "erase")
    assert.equal("name contains: db_", b.screen(40, 10)[10])
    b.press "enter"
    assert.equal("db1", order(b, b.view.state, b.view.text))
    assert.equal("shown: /db (Esc: all)  ? help  q leave", b.screen(40, 10)[10]:sub(1, 38))
    b.press("escape", "f")
    assert.equal("  no host here", b.screen(40, 10)[2])
    b.press "enter"
    assert.equal("no host here", b.view.said)
    b.press("escape", "escape")
    assert.equal(3, #b.view:list())
  end)

  it("leave the lines where they are when a host goes on to another place", function()
    b.press "j"
    b.screen(40, 5)
    b.at = 120
    b.finish(1, { code = 0 })
    local lines = b.screen(40, 4)
    assert.truthy(lines[2]:find("web2", 1, true) or lines[3]:find("web2", 1, true))
    assert.equal("on web1", lines[4]:sub(1, 7))
    b.press "k"
    assert.equal("db1", b.view.row.name)
  end)
end)

describe("events", function()
  it("reach those who want that kind, and output only those who asked for it", function()
    local all, some = {}, {}
    assert.is_false(events.wants())
    local stop_all = events.listen(function(e) all[#all + 1] = e.what end)
    assert.is_true(events.wants "line")
    assert.is_false(events.wants "output")
    local stop_some = events.listen(function(e) some[#some + 1] = e.what end, { output = true })
    assert.is_true(events.wants "output")
    for _, what in ipairs { "line", "output", "end" } do events.emit { what = what } end
    stop_all()
    assert.is_false(events.wants "line")
    assert.is_true(events.wants())
    events.emit { what = "output" }
    stop_some()
    assert.is_false(events.wants())
    assert.same({ "line", "end" }, all)
    assert.same({ "output", "output" }, some)
  end)
end)

describe("what is printed while a board is there", function()
  local function it_prints(name, code, fn)
    it(name, run.body(function()
      if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
      fn(program.lua('local held = require("sshlua.board.held").hold() ' .. code))
    end))
  end

  it_prints("comes afterwards, in its order, however much it is", [[
    for i = 1, 200000 do io.stdout:write("line ", i, "\n") end
    io.stderr:write("first\n") -- no terminal: at once
    print("last", nil, 3)
    io.write("end\n")
    held:release()
    held:release()
    print "after"
  ]], function(r)
    local lines = {}
    for i = 1, 200000 do lines[i] = "line " .. i .. "\n" end
    assert.is_true(r.out == table.concat(lines) .. "last\tnil\t3\nend\nafter\n")
    assert.equal("first\n", r.err)
  end)

  it_prints("comes also when the script leaves", "print 'x' os.exit(7)", function(r)
    assert.equal("x\n", r.out)
    assert.equal(7, r.code)
  end)
end)
