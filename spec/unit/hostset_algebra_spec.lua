-- Operators, groups and files of host expressions, and what they cost.
require "spec.support.text_core"
local errors = require "sshlua.errors"
local hostset = require "sshlua.hostset"

local function expand(expression, options)
  local names = {}
  for i, host in ipairs(hostset.expand(expression, options)) do names[i] = hostset.format(host) end
  return table.concat(names, " ")
end

local function fails(expression, text, kind, options)
  local good, e = pcall(hostset.expand, expression, options)
  assert.is_false(good, "accepted")
  assert.is_true(errors.is(e), tostring(e))
  assert.equal(kind or "usage", e.kind)
  assert.equal(text, e.message)
end

describe("the operators of host expressions", function()
  it("take away, intersect and keep what is in one of both", function()
    assert.equal("n1 n3", expand "n[1-3]!n2")
    assert.equal("n3 n4 n5", expand "n[1-5]&n[3-9]")
    assert.equal("n1 n4 n5", expand "n[1-3]^n[2-5]")
    assert.equal("", expand "n[1-3]!n[1-9]")
  end)

  it("apply from left to right with equal rank", function()
    assert.equal("b c", expand "a,b&b,c")
    assert.equal("c1 c2", expand "a&b,c[1-3]&c[1-2]")
    assert.equal("n2 n3 n4 n5", expand "n[1-4]!n2,n2^n1,n5")
    assert.equal("a", expand "a,b!b,a")
  end)

  it("mean the same behind a comma, and stand among blanks", function()
    assert.equal("n1 n3", expand "n[1-3],!n2")
    assert.equal("n2", expand "n[1-3],&n2")
    assert.equal("n1 n3", expand "n[1-3] , ! n2")
    assert.equal("a", expand " a ! b ")
  end)

  it("tell hosts apart by user and port, too", function()
    assert.equal("a u@a", expand "a,u@a,a:22!a:22")
    assert.equal("u@a:22", expand "u@a:22,a!a")
  end)

  it("keep each host where it first stands", function()
    assert.equal("b a", expand "b,a,b")
    assert.equal("a b", expand "a,b!a,a")
  end)

  it("need two sides", function()
    fails("!a", "column 1: nothing stands before the operator !")
    fails("&a", "column 1: nothing stands before the operator &")
    fails("a!", "column 3: a host is missing after the operator !")
    fails("a!!b", "column 3: a host is missing after the operator !")
    fails("a,!,b", "column 4: a host is missing after the operator !")
    fails("a,,b", "column 3: a host is missing at the comma")
    fails("a^", "column 3: a host is missing after the operator ^")
  end)

  it("may begin a further word of a command line", function()
    assert.equal("n1 n3 x", expand { "n[1-3]", "!n2", "x" })
    fails({ "n1", "x[" }, '"x[": column 2: unclosed bracket in "x["')
    assert.equal("n1", expand("n[1-3]", { exclude = "n[2-3]" }))
    assert.equal("n1 n2", expand("n[1-3]", { exclude = "n[2-3]!n2" }))
  end)

  -- Random expressions against tables that do nothing clever.
  it("are right for any expression", function()
    local seed = os.time()
    math.randomseed(seed)
    local pool = { "a", "b1", "n[1-6]", "n[2-9/2]", "n[1,3,3-4]", "n[01-03]", "r[1-2]n[1-3]", "a[1,11][1,11]", "a111", "n3", "u@n3",
      "n[5-8]:22", "n6:22", "n[1-20000]", "n[19990-20010]" }
    local function names_of(word)
      local list = {}
      for i, host in ipairs(hostset.expand(word)) do list[i] = hostset.format(host) end
      return list
    end
    for round = 1, 150 do
      local parts, order, there = {}, {}, {}
      for i = 1, math.random(9) do
        local op = i == 1 and "," or ({ ",", ",", "!", "&", "^" })[math.random(5)]
        local word = pool[math.random(round % 10 == 0 and #pool or #pool - 2)]
        if i > 1 then parts[#parts + 1] = op end
        parts[#parts + 1] = word
        local names, set = names_of(word), {}
        for _, name in ipairs(names) do
          set[name] = true
          if op == "," or op == "^" then order[#order + 1] = name end
        end
        if op == "&" then
          for name in pairs(there) do there[name] = set[name] end
        else
          for name in pairs(set) do
            if op == "," then there[name] = true end
            if op == "!" then there[name] = nil end
            if op == "^" then there[name] = not there[name] or nil end
          end
        end
      end
      local want, seen = {}, {}
      for _, name in ipairs(order) do
        if there[name] and not seen[name] then want[#want + 1] = name end
        seen[name] = true
      end
      local text = table.concat(parts)
      assert.equal(table.concat(want, " "), expand(text), ("seed %d round %d: %s"):format(seed, round, text))
      assert.equal(#want, hostset.count(text))
    end
  end)
end)

describe("groups in host expressions", function()
  local definitions = {
    db = "db[1-3],@x", x = "x1!x2,x3", r1 = "p", r2 = "q", bad = "a[", empty = "", loop = "@loop2", loop2 = "a,@loop",
    list = { "l1", "l[2-3]" }, all = "everything", file = "^hosts",
  }
  local other = { db = "o1,@rest", rest = "o2" }
  local sources = {
    group = function(source, name)
      if source == "other" then return other[name], "other.yaml:1", "other" end
      return definitions[name == "*" and "all" or name], "groups:3"
    end,
  }
  local function e(text) return expand(text, { sources = sources }) end

  it("are sets like any other", function()
    assert.equal("db1 db2 db3 x1 x3", e "@db")
    assert.equal("db1 db3 x1 x3", e "@db!db2")
    assert.equal("db1 db2 db3", e "@db!@x")
    assert.equal("db1 db2 db3", e "@db^@x")
    assert.equal("", e "@db,@db!@db")
    assert.equal("l1 l2 l3", e "@list")
    assert.equal("", e "@empty")
    assert.equal("everything", e "@*")
  end)

  it("may have ranges in their names, and a source", function()
    assert.equal("p q", e "@r[1-2]")
    assert.equal("o1 o2", e "@other:db")
  end)

  it("are refused with the place of what is wrong", function()
    local function bad(text, message) fails(text, message, nil, { sources = sources }) end
    bad("a,@nope", "column 3: no group @nope in groups:3")
    bad("@bad", 'groups:3: group @bad: column 2: unclosed bracket in "a["')
    bad("@loop", "groups:3: group @loop2: column 3: the group @loop contains itself")
    bad("@", "column 2: the name of a group is missing")
    bad("@file", "groups:3: group @file: column 1: a file or group cannot ask for another file (hosts)")
    fails("@web", "column 1: no groups are known here (@web)")
    fails("u@@g", 'column 2: "@" cannot be part of a user name')
  end)

  it("cannot be used to burn memory", function()
    local bomb = { group = function(_, name)
      local n = tonumber(name:sub(2))
      return n == 0 and "a[1-10]" or ("@g%d"):format(n - 1):rep(10, ","), "bomb"
    end }
    local quick, problem = pcall(hostset.expand, "@g20", { sources = bomb })
    assert.is_false(quick)
    assert.matches("^bomb: group @g%d: column %d+: more hosts than the limit of 2000000$", problem.message)
    local chain = { group = function(_, name) return "@c" .. tonumber(name:sub(2)) + 1, "chain" end }
    local good, err = pcall(hostset.expand, "@c1", { sources = chain })
    assert.is_false(good)
    assert.equal("limit", err.kind)
    assert.is_false(pcall(hostset.expand, "@g[1-999999]", { sources = sources }))
  end)
end)

describe("files in host expressions", function()
  local path
  local function with(text)
    path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
    return "^" .. path
  end
  after_each(function() os.remove(path) end)

  it("hold words, one or more to a line", function()
    local file = with "# servers\nweb[1-2] db1\n\n  app@x:22 # old\nweb2\r\n"
    assert.equal("web1 web2 db1 app@x:22", expand(file))
    assert.equal("web1 db1 app@x:22", expand(file .. "!web2"))
    assert.equal("a web1 web2 db1 app@x:22", expand("a," .. file))
    assert.equal("a web2", expand("a,web1,db1,app@x:22^" .. file))
  end)

  it("are refused with file, line and column", function()
    fails(with "a\nb\nweb[3-1]\n", path .. ':3: column 5: reversed range "3-1"')
    fails(with "^other\n", path .. ":1: column 1: a file or group cannot ask for another file (other)")
    fails("^", "column 1: the name of a file is missing after ^")
    local good, err = pcall(hostset.expand, "^/no/such/file")
    assert.is_false(good)
    assert.equal("io", err.kind)
    assert.matches("/no/such/file", err.message, 1, true)
  end)
end)

describe("a million hosts", function()
  local function stream(expression)
    collectgarbage()
    collectgarbage()
    local before, n, most = collectgarbage "count", 0, 0
    local from = os.clock()
    hostset.each(expression, nil, function()
      n = n + 1
      if n % 100000 == 0 then most = math.max(most, collectgarbage "count") end
    end)
    return n, os.clock() - from, (most - before) / 1024
  end

  it("pass without being remembered", function()
    for _, case in ipairs {
      { "n[1-1000000]", 1000000 }, { "r[001-200]n[1-500].dc1", 100000 }, { "n[1-100000]!n[5-10],m7", 99995 },
      { "n[1-100000]&n[50001-150000]", 50000 }, { "n[1-60000],n[40001-100000]", 100000 },
    } do
      local n, seconds, mebibytes = stream(case[1])
      assert.equal(case[2], n, case[1])
      assert.is_true(seconds < 20, ("%s took %.1f s of CPU"):format(case[1], seconds)) -- a second on a quiet machine
      assert.is_true(mebibytes < 200, ("%s held %.0f MiB"):format(case[1], mebibytes)) -- LuaJIT's collector is lazy
    end
  end)

  it("are counted without being named", function()
    local from = os.clock()
    assert.equal(1999999, hostset.count("n[1-1999999]"))
    assert.is_true(os.clock() - from < 0.5)
    fails("n[1-1000000]!n[1-1000001]", "column 15: \"n[1-1000001]\" names 2000001 hosts; the limit is 2000000", "limit")
  end)

  it("do not make many words slow", function()
    local words = {}
    for i = 1, 10000 do words[i] = "n" .. i end
    local all = table.concat(words, ",")
    local from = os.clock()
    assert.equal(10000, hostset.count(all))
    assert.equal(0, hostset.count(all .. "!" .. table.concat(words, "!")))
    assert.equal(1, hostset.count(all .. ("&n[1-9]"):rep(2000) .. "&n3"))
    assert.is_true(os.clock() - from < 20)
  end)
end)

describe("the grammar of inventories", function()
  local known = { web = { "web1", "web2", "web13" }, prod = { "web1", "web13", "db1" }, web1 = { "web1" }, web13 = { "web13" } }
  local sources = { strict = true, names = function(name) return known[name] end }
  local function select_(text) return expand(text, { select = true, sources = sources }) end

  it("has : for , and groups before hosts", function()
    assert.equal("web1", select_ "web:&prod:!web13")
    assert.equal("web1 web2 web13 db1", select_ "web:prod")
    assert.equal("u@web1 u@web2 u@web13", select_ "u@web")
  end)

  it("refuses what the inventory does not know, and ports", function()
    local function bad(text, message) fails(text, message, nil, { select = true, sources = sources }) end
    bad("web:nosuch", 'column 5: no group and no host "nosuch" in the inventory')
    bad("web1:2222", 'column 6: no group and no host "2222" in the inventory')
    bad("we*", 'column 1: nothing in the inventory matches "we*"')
    bad("web::prod", "column 5: a host is missing at the comma")
    bad(":web", "column 1: a host is missing at the comma")
  end)
end)

