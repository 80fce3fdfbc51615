local text_core = require "spec.support.text_core"
local errors = require "sshlua.errors"
local Result = require("sshlua.result").Result
local Results = require "sshlua.results"

local function catch(fn, ...)
  local good, e = pcall(fn, ...)
  assert.is_false(good)
  return e
end

local function collect(...)
  local list = {}
  for v in ... do list[#list + 1] = v end
  return list
end

local function done(host, stdout, fields)
  local r = { host = host, code = 0, stdout = stdout, cmd = "cmd" }
  for k, v in pairs(fields or {}) do r[k] = v end
  return Result.new(r)
end

local function failed(host, kind)
  return Result.new { host = host, err = errors.new { kind = kind, message = "it failed", host = host } }
end

describe("a Result", function()
  it("is ok when the code is 0 and nothing else went wrong", function()
    assert.is_true(Result.new({ code = 0 }).ok)
    assert.is_false(Result.new({ code = 1 }).ok)
    assert.is_false(Result.new({}).ok)
    assert.is_false(Result.new({ signal = "KILL" }).ok)
    assert.is_false(Result.new({ ok = true }).ok)
    assert.is_false(Result.new({ code = 0, err = errors.new { kind = "io", message = "sink full" } }).ok)
  end)

  it("keeps no status apart from status 0", function()
    assert.is_nil(Result.new({ stdout = "x" }).code)
  end)

  it("prints as stdout without the last newline", function()
    assert.equal("a\nb", tostring(done("h", "a\nb\n")))
    assert.equal("a\n", tostring(done("h", "a\n\n")))
    assert.equal("", tostring(done("h", "")))
    assert.equal("", tostring(Result.new {}))
    assert.equal("raw\27", tostring(done("h", "raw\27\n")))
  end)

  it("gives its lines one by one", function()
    assert.same({ "a", "", "b" }, collect(done("h", "a\n\nb\n"):lines()))
    assert.same({ "a", "b" }, collect(done("h", "a\nb"):lines()))
    assert.same({}, collect(done("h", ""):lines()))
    assert.same({ "" }, collect(done("h", "\n"):lines()))
    assert.same({ "a\r", "\0" }, collect(done("h", "a\r\n\0\n"):lines()))
  end)

  it("gives its lines as named fields", function()
    assert.same({ os = "debian 12", kernel = "6.1" }, done("h", "debian 12\n6.1\nmore\n"):fields("os", "kernel"))
    assert.same({ os = "debian" }, done("h", "debian\n"):fields("os", "kernel"))
    assert.same({}, done("h", "debian\n"):fields())
    assert.matches("fields: name 2: string expected, got number", catch(function() done("h", ""):fields("a", 2) end).message, 1, true)
  end)

  it("reads its output as JSON or says whose output is none", function()
    if not text_core.json then return end
    assert.same({ a = { 1 } }, done("h", '{"a":[1]}\n'):json())
    local r = done("web01", "oops\n", { cmd = { "lsblk", "--json", "a b" } })
    local e = catch(r.json, r)
    assert.equal("web01: protocol: output of 'lsblk --json 'a b'' is not JSON: line 1, column 4: invalid token near 'oops'", tostring(e))
    assert.equal(r, e.result)
    assert.equal(1, e.line)
  end)

  it("passes its check when ok", function()
    local r = done("h", "x")
    assert.equal(r, r:check())
  end)

  it("raises exit with the command and the last line of stderr", function()
    local r = Result.new { host = "web01", code = 2, cmd = "make", stderr = "cc: error\nno rule to make target 'all'\n\n  \n" }
    local e = catch(r.check, r)
    assert.is_true(errors.is(e, "exit"))
    assert.equal("web01: exit: 'make' exited with 2: no rule to make target 'all'", tostring(e))
    assert.equal(2, e.code)
    assert.equal(r, e.result)
    assert.equal("web01", e.host)
    assert.is_false(e.retryable)
  end)

  it("raises exit when no status came, and signal when one ended it", function()
    local r = Result.new { host = "web01", cmd = "make" }
    local e = catch(r.check, r)
    assert.equal("web01: exit: 'make' ended without an exit status", tostring(e))
    assert.is_nil(e.code)
    r = Result.new { host = "web01", cmd = { "sleep", "1 h" }, signal = "TERM", stderr = "x\r\n" }
    e = catch(r.check, r)
    assert.equal("web01: signal: 'sleep '1 h'' was ended by signal TERM: x", tostring(e))
    assert.equal("TERM", e.signal)
  end)

  it("raises the error that ended it, completed", function()
    local err = errors.new { kind = "timeout", message = "no answer in 20 s" }
    local r = Result.new { host = "web01", err = err }
    assert.equal(err, catch(r.check, r))
    assert.equal("web01: timeout: no answer in 20 s", tostring(err))
    assert.equal(r, err.result)
    r = Result.new { host = "web01", err = "script.lua:3: oops" }
    assert.equal("script.lua:3: oops", catch(r.check, r))
    r = Result.new { host = "web01", err = false }
    assert.equal(false, catch(r.check, r))
  end)

  it("shows a server's words cleaned and cut", function()
    local r = Result.new { host = "h", code = 1, cmd = "x\27[2J", stderr = "ok\n\27]0;owned\7" .. ("y"):rep(100000) }
    local message = catch(r.check, r).message
    assert.equal("'x\\x1b[2J' exited with 1: \\x1b]0;owned\\x07" .. ("y"):rep(181) .. "...", message)
    r = Result.new { host = "h", code = 1, cmd = ("c"):rep(500), stderr = "10%\r20%\rfailed" }
    message = catch(r.check, r).message
    assert.equal("'" .. ("c"):rep(77) .. "...' exited with 1: failed", message)
    assert.equal("the command exited with 1", catch(function() Result.new({ code = 1, cmd = {} }):check() end).message)
  end)

  it("takes hostile stderr without delay", function()
    local from = os.clock()
    for _, text in ipairs { (" "):rep(2000000), ("\n"):rep(2000000), ("x "):rep(1000000), ("x\n"):rep(1000000), ("\r"):rep(2000000),
      (" x"):rep(1000000) .. ("\n"):rep(60000), ("x"):rep(30000) .. "\n" .. ("y"):rep(30000) } do
      assert.is_true(#catch(function() Result.new({ code = 1, stderr = text }):check() end).message < 300)
    end
    assert.is_true(os.clock() - from < 5)
  end)

  it("refuses to be made of anything but a table", function()
    assert.matches("Result.new: table expected, got nil", catch(Result.new).message, 1, true)
  end)

  it("is known also when the module was loaded twice", function()
    assert.is_true(Result.is(done("h", "")))
    assert.is_false(Result.is {})
    assert.is_false(Result.is "x")
  end)
end)

describe("Results", function()
  local function fleet()
    return Results.new {
      done("web01", "a\n"), done("web02", "b\n"), done("web03", "a\n"), failed("node113", "timeout"), failed("node340", "timeout"),
      failed("node017", "auth"), Result.new { host = "db", code = 3, cmd = "cmd", stdout = "part\n", stderr = "broken\n" },
    }
  end

  it("are a list and a map by name", function()
    local rs = fleet()
    assert.equal(7, #rs)
    assert.equal("web02", rs[2].host)
    assert.equal(rs[1], rs.web01)
    assert.equal(rs[7], rs:get "db")
    assert.is_nil(rs.web99)
    assert.is_nil(rs:get "web99")
    local n = 0
    for k in pairs(rs) do
      assert.equal("number", type(k))
      n = n + 1
    end
    assert.equal(7, n)
    assert.same({ "web01", "web02", "web03", "node113", "node340", "node017", "db" }, rs:names())
  end)

  it("let methods win over names, and get() find them all the same", function()
    local rs = Results.new { done("ok", "x"), done("get", "y"), done("__index", "z") }
    assert.equal("function", type(rs.ok))
    assert.equal("x", tostring(rs:get "ok"))
    assert.equal("y", tostring(rs:get "get"))
    assert.equal("z", tostring(rs:get "__index"))
  end)

  it("key equal names by port, and still equal ones by number", function()
    local rs = Results.new { done("a", "1"), done("a", "2", { port = 2222 }), done("b", "3", { port = 7 }), done("a", "4"),
      done("::1", "5"), done("::1", "6", { port = 23 }) }
    assert.same({ "a:22", "a:2222", "b", "a:22#2", "[::1]:22", "[::1]:23" }, rs:names())
    assert.is_nil(rs.a)
    assert.equal("2", tostring(rs["a:2222"]))
    assert.equal("4", tostring(rs:get "a:22#2"))
    assert.equal("3", tostring(rs.b))
    assert.same({ "a:22" }, Results.new({ done("a", "1"), done("a", "2", { port = 23, code = 1 }) }):ok():names())
  end)

  it("print as one line, most frequent trouble first", function()
    assert.equal("3 ok, 2 timeout (node[113,340]), 1 auth (node017), 1 exit (db)", tostring(fleet()))
    assert.equal("0 ok", tostring(Results.new {}))
    assert.equal("2 ok", tostring(fleet():ok():check() and Results.new { done("a"), done("b") }))
    local list = {}
    for i = 1, 500 do list[i] = i > 497 and failed("node" .. i, i == 500 and "auth" or "timeout") or done("node" .. i, "") end
    assert.equal("497 ok, 2 timeout (node[498-499]), 1 auth (node500)", tostring(Results.new(list)))
  end)

  it("name a script's own errors, signals and skipped hosts", function()
    local rs = Results.new { Result.new { host = "a", err = "oops" }, Result.new { host = "b", signal = "KILL" },
      Result.new { host = "c", skipped = true }, Result.new { code = 1 } }
    assert.equal("0 ok, 1 error (a), 1 exit (?), 1 signal (b), 1 skipped (c)", tostring(rs))
    assert.equal(3, #rs:failed())
    assert.equal(0, #rs:ok())
  end)

  it("keep the line short when names do not fold", function()
    local list = {}
    for i = 1, 3000 do list[i] = failed("h" .. string.rep(string.char(97 + i % 26), i % 50 + 1) .. math.floor(i / 26) .. "x", "connect") end
    local text = tostring(Results.new(list))
    assert.is_true(#text < 700)
    assert.matches("^0 ok, 3000 connect %(.*, %d+ more%)$", text)
  end)

  it("split into ok and failed ones that keep their order and names", function()
    local rs = fleet()
    assert.same({ "web01", "web02", "web03" }, rs:ok():names())
    assert.same({ "node113", "node340", "node017", "db" }, rs:failed():names())
    assert.equal(rs.db, rs:failed().db)
    assert.is_nil(rs:failed().web01)
    assert.equal(2, #rs:failed():failed():get("db").stdout:sub(1, 2))
  end)

  it("raise one error of kind fleet, which carries them", function()
    local rs = fleet()
    local e = catch(rs.check, rs)
    assert.is_true(errors.is(e, "fleet"))
    assert.equal("fleet: 3 ok, 2 timeout (node[113,340]), 1 auth (node017), 1 exit (db)", tostring(e))
    assert.equal(rs, e.results)
    assert.equal(rs[4].err, e.cause)
    local good = rs:ok()
    assert.equal(good, good:check())
  end)

  it("group equal results under folded names", function()
    local groups = fleet():group()
    assert.equal(5, #groups)
    assert.equal("web[01,03]", groups[1].hosts)
    assert.same({ "web01", "web03" }, groups[1].names)
    assert.equal(2, groups[1].count)
    assert.equal("a\n", groups[1].stdout)
    assert.equal("node[113,340]", groups[2].hosts)
    assert.equal("timeout", groups[2].status)
    assert.equal("web02", groups[3].hosts)
    local rule = ("-"):rep(15)
    assert.equal(rule .. "\nweb[01,03] (2)\n" .. rule .. "\na", tostring(groups[1]))
    assert.matches("web[01,03] (2)", tostring(groups), 1, true)
    assert.matches("db (1): 'cmd' exited with 3: broken\n" .. rule .. "\npart\nbroken", tostring(groups), 1, true)
    assert.matches("a\\x1b[m\n\tb\n", tostring(Results.new({ done("h", "a\27[m\n\tb", { stderr = "\n" }) }):group()[1]) .. "\n", 1, true)
  end)

  it("tell results apart by code and stderr too", function()
    local rs = Results.new { done("a", "x"), done("b", "x", { stderr = "y" }), done("c", "x", { code = 1 }), done("d", "x", { code = 2 }) }
    assert.equal(4, #rs:group())
  end)

  it("show what differs between two hosts", function()
    local rs = fleet()
    assert.equal("", rs:diff("web01", "web03"))
    assert.equal("--- web01\n+++ web02\n@@ -1 +1 @@\n-a\n+b\n", rs:diff("web01", "web02"))
    assert.matches('diff: no result of host "web99"', catch(function() rs:diff("web01", "web99") end).message, 1, true)
    assert.matches("diff: no result of host", catch(function() rs:diff("web01") end).message, 1, true)
  end)

  it("become rows with a field per line, host, ok and error added", function()
    local rs = Results.new { done("a", "debian\n6.1\n"), failed("b", "timeout"), Result.new { host = "c", code = 1, cmd = "x", stdout = "arch\n" } }
    assert.same({
      { host = "a", ok = true, os = "debian", kernel = "6.1" },
      { host = "b", ok = false, error = "timeout: it failed" },
      { host = "c", ok = false, os = "arch", error = "'x' exited with 1" },
    }, rs:rows("os", "kernel"))
    assert.same({ host = "a", ok = true, status = "ok", code = 0, stdout = "debian\n6.1\n", stderr = "" }, rs:rows()[1])
    assert.same({ host = "a", ok = true, os = "debian" }, rs:rows("host", "os")[1]) -- host is no field of the output
    assert.same({ host = "a", ok = true }, rs:rows("host")[1])
    assert.matches("^host  os", rs:table("host", "os"))
    assert.matches("^host,ok,error,os\n", rs:csv("host", "os"))
    assert.matches('rows: field "x" is there already', catch(function() rs:rows("x", "x") end).message, 1, true)
    assert.matches("rows: field 1: string expected, got number", catch(function() rs:rows(1) end).message, 1, true)
  end)

  it("become JSON", function()
    if not text_core.json then return end
    local rs = Results.new { done("a", "debian\n\27\n"), failed("b", "timeout") }
    assert.equal('[{"host":"a","ok":true,"os":"debian","x":"\\u001b"},{"error":"timeout: it failed","host":"b","ok":false}]', rs:json("os", "x"))
    assert.equal('[{"code":0,"host":"a","ok":true,"status":"ok","stderr":"","stdout":"x"}]', Results.new({ done("a", "x") }):json())
    assert.equal("[]", Results.new({}):json())
  end)

  it("become CSV", function()
    local rs = Results.new { done("a", 'say "hi", you\n 6.1\n'), failed("b", "timeout") }
    assert.equal('host,ok,error,os,kernel\na,true,,"say ""hi"", you"," 6.1"\nb,false,timeout: it failed,,\n', rs:csv("os", "kernel"))
    assert.equal('host,ok,error,status,code,signal,duration,stdout,stderr\na,true,,ok,0,,,"x\n",\n', Results.new({ done("a", "x\n") }):csv())
  end)

  it("become a table for people, cleaned and cut", function()
    local rs = Results.new { done("a", "debian\n6.1\n"), done("longer", "a\27[m\n" .. ("x"):rep(100)), done("c", "é\n1\n") }
    local cell = text_core.real and "é" or "\\xc3\\xa9"
    local blank = text_core.real and "" or " "
    assert.equal("host    os       " .. blank .. "kernel\na       debian   " .. blank .. "6.1\nlonger  a\\x1b[m  " .. blank ..
      ("x"):rep(57) .. "...\nc       " .. cell .. (text_core.real and "        " or "  ") .. "1", rs:table("os", "kernel"))
    assert.equal("host  status   stdout  error\na     ok       x\nb     timeout          timeout: it failed",
      Results.new({ done("a", "x\ny\n"), failed("b", "timeout") }):table())
    assert.equal("host  status  stdout", Results.new({}):table())
  end)

  it("refuse what is no Result", function()
    assert.matches("Results.new: item 2: Result expected, got table", catch(Results.new, { done("a", ""), {} }).message, 1, true)
    assert.matches("Results.new: item 1: host: string expected, got table", catch(Results.new, { Result.new { host = {} } }).message, 1, true)
  end)
end)
