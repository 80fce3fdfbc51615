-- Processes as streams: into each other, up to a mark, merged; subsystems.
local core = require "sshlua.core"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local stream = require "sshlua.stream"
local task = require "sshlua.task"

local function absolute(path)
  local here = debug.getinfo(1, "S").source:match "^@(.*)spec/integration/[^/]*$"
  return task.await(core.fs_realpath, here .. path)
end

local function start()
  local play = absolute "spec/support/netconf.sh"
  return require("sshlua.testbed").start {
    hosts = { "web1", "web2", "old" },
    per_host = {
      web1 = { ("Subsystem netconf sh %s"):format(play) }, old = { ("Subsystem netconf sh %s 10"):format(play) },
    },
  }
end

local function reader(pieces)
  local i = 0
  return stream.reader(function()
    i = i + 1
    return pieces[i]
  end)
end

local function bytes_of(text)
  local pieces = {}
  for c in text:gmatch "." do pieces[#pieces + 1] = c end
  return pieces
end

describe("a reader", function()
  it("gives what stands in front of a text, however it is cut", run.body(function()
    local text = "first]]>]]>second]]]>]]>]]>]]>last"
    for _, pieces in ipairs { { text }, bytes_of(text), { text:sub(1, 7), text:sub(8, 9), text:sub(10) } } do
      local r = reader(pieces)
      assert.same({ "first", "]]>]]>" }, { r:read_until "]]>]]>" })
      assert.same({ "second]", "]]>]]>" }, { r:read_until "]]>]]>" })
      assert.same({ "", "]]>]]>" }, { r:read_until "]]>]]>" })
      assert.same({ "last" }, { r:read_until "]]>]]>" })
      assert.is_nil((r:read_until "]]>]]>"))
    end
  end))

  it("looks for the text behind what was read already", run.body(function()
    local r = reader { "ab|cd", "|ef" }
    assert.equal("a", r:read(1))
    assert.equal("b", (r:read_until "|"))
    assert.equal("cd", (r:read_until "|"))
    assert.equal("ef", r:read_all())
  end))

  it("does not go on for ever without the text, and refuses nonsense", run.body(function()
    local r = stream.reader(function() return ("x"):rep(1000) end)
    run.fails("limit", r.read_until, r, "\0", 100000)
    run.fails("usage", r.read_until, r, "")
    run.fails("usage", r.read_until, r, "a", "b")
    run.fails("usage", r.pipe, r, "no writer")
    run.fails("usage", r.pipe, r, io.stdout, { shut = true })
  end))

  it("is linear in the number of pieces", run.body(function()
    local pieces = {}
    for i = 1, 200000 do pieces[i] = "abc;" end
    local before = os.clock()
    assert.equal(799999, #(reader(pieces):read_until ";\n" or "") - 1)
    local r = reader { ("abc;"):rep(200000) }
    local n = 0
    while r:read_until ";" do n = n + 1 end
    assert.equal(200000, n)
    assert.is_true(os.clock() - before < 10)
  end))

  it("does not cut characters of UTF-8 in lines", run.body(function()
    local r = reader(bytes_of "grün\n日本\n€")
    assert.same({ "grün", "日本", "€" }, { r:read_line(), r:read_line(), r:read_line() })
  end))
end)

describe("a process", function()
  local fleet, set_up, tear_down = run.shared(start, function(f) f:stop() end)
  setup(set_up)
  teardown(tear_down)

  it("flows into one on another host, in the speed of the slower one", run.body(function()
    local a, b = servers.connect(fleet(), "web1"), servers.connect(fleet(), "web2")
    local p, q = a:spawn "head -c 30000000 /dev/zero; echo end", b:spawn "sleep 0.5; wc -c; echo done"
    local most = 0
    local bytes = ssh.scope(function(s)
      s:spawn(function()
        for _ = 1, 20 do
          ssh.sleep(0.02)
          most = math.max(most, collectgarbage "count")
        end
      end)
      return p.stdout:pipe(q.stdin)
    end)
    assert.equal(30000004, bytes)
    assert.equal("30000004\ndone\n", q:wait().stdout)
    assert.equal(0, p:wait().code)
    assert.is_true(most < 100000, "KiB of Lua memory: " .. most)
  end, 60))

  it("is heard at once when it stops in the middle of a stream and waits for us", run.body(function()
    local p = servers.connect(fleet(), "web1"):spawn [[for i in 1 2 3; do
      head -c 60000000 /dev/zero; printf %s "$i|"; read answer; printf %s "$answer"; done]]
    for i = 1, 3 do
      local zeros = p.stdout:read_until("|", 1e8)
      assert.equal(60000000 + 1 + (i > 1 and 6 or 0), #zeros)
      assert.equal(tostring(i), zeros:sub(-1))
      p.stdin:write "answer\n"
    end
    assert.equal("answer", p.stdout:read_all())
    assert.equal(0, p:wait().code)
  end, 30))

  it("takes a file, and what it says goes to one; more may follow", run.body(function()
    local s = servers.connect(fleet(), "web1")
    local from, to = program.file("from", ("binary\0\255\n"):rep(20000)), program.directory() .. "/to"
    local p = s:spawn "cat"
    local f = assert(io.open(to, "wb"))
    ssh.all(function() p.stdin:feed_file(from) end, function() p.stdout:pipe(f) end)
    f:close()
    assert.equal(servers.read_file(from), servers.read_file(to))
    p = s:spawn "cat"
    assert.equal(3, p.stdin:feed(reader { "ab", "c" }, { close = false }))
    p.stdin:feed(assert(io.open(from, "rb")), { close = false })
    p.stdin:write "."
    assert.equal("abc" .. servers.read_file(from) .. ".", p:wait().stdout)
    run.fails("io", p.stdin.feed_file, p.stdin, "/nonexistent")
    program.remove_directory()
  end))

  it("does not end the input of another when its own reading fails", run.body(function()
    local s = servers.connect(fleet(), "web1")
    local q = s:spawn "cat; echo whole"
    local broken = stream.reader(function() error("broken", 0) end)
    assert.equal("broken", select(2, pcall(broken.pipe, broken, q.stdin)))
    assert.is_nil(q.stdin.closed)
    q:kill()
  end))

  it("says EPIPE when the other one takes no more", run.body(function()
    local s = servers.connect(fleet(), "web1")
    local p, q = s:spawn "yes", s:spawn "head -n 1"
    assert.equal("EPIPE", run.fails("channel", p.stdout.pipe, p.stdout, q.stdin).name)
    p:close()
    q:close()
  end))

  it("has both outputs in the order of arrival when they are merged", run.body(function()
    local s = servers.connect(fleet(), "web1")
    local p = s:spawn("for i in 1 2 3; do echo out$i; sleep 0.1; echo err$i >&2; sleep 0.1; done", { merge = true })
    local lines = {}
    for line in p.stdout:lines() do lines[#lines + 1] = line end
    assert.same({ "out1", "err1", "out2", "err2", "out3", "err3" }, lines)
    assert.is_nil(p.stderr:read())
    assert.equal(0, p:wait().code)
  end))

  it("has a terminal whose size changes", run.body(function()
    local s = servers.connect(fleet(), "web1")
    local p = s:spawn("stty size; read x; stty size", { pty = { cols = 100, rows = 30 } })
    assert.equal("30 100\r", p.stdout:read_line())
    p:resize(120, 40)
    p.stdin:write "\n"
    assert.truthy(p.stdout:read_all():find "40 120")
  end))

  it("may be a subsystem, with messages framed by marks or by chunks", run.body(function()
    local netconf = dofile(absolute "examples/netconf.lua")
    for name, chunked in pairs { web1 = true, old = false } do
      local nc = netconf.open(servers.connect(fleet(), name), { timeout = 10 })
      assert.equal(chunked, nc.chunked)
      for i = 1, 3 do
        nc.process.stdin:write "\n" -- the played one reads lines
        assert.equal(('<rpc-reply message-id="%d"><data>grün</data></rpc-reply>'):format(i), nc:rpc "<get/>\n")
      end
      assert.equal("netconf: no such thing", select(2, pcall(nc.rpc, nc, "<wrong/>\n")))
      nc.process:close()
    end
  end))

  it("says that there is no such subsystem", run.body(function()
    local s = servers.connect(fleet(), "web2")
    local err = run.fails("channel", s.subsystem, s, "netconf")
    assert.truthy(err.message:find("'netconf'", 1, true))
    run.fails("usage", s.subsystem, s, "a b")
    assert.equal("still here\n", s:exec("echo still here").stdout)
  end))
end)
