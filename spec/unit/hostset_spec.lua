local text_core = require "spec.support.text_core"
local errors = require "sshlua.errors"
local hostset = require "sshlua.hostset"

local function expand(expression, options)
  local names = {}
  for i, host in ipairs(hostset.expand(expression, options)) do names[i] = hostset.format(host) end
  return table.concat(names, " ")
end

local function fails(expression, text, kind)
  local good, e = pcall(hostset.expand, expression)
  assert.is_false(good, "accepted " .. expression)
  assert.is_true(errors.is(e), tostring(e))
  assert.equal(kind or "usage", e.kind)
  assert.equal(text, e.message)
end

describe("a host expression", function()
  it("is a name, or several between commas", function()
    assert.equal("web01", expand "web01")
    assert.equal("web01 db.example.com 10.0.0.7", expand "web01,db.example.com,10.0.0.7")
    assert.equal("a b", expand "  a ,\n b ")
    assert.equal("a_b-c", expand "a_b-c")
    if text_core.real then assert.equal("é 日本1 日本2", expand "é,日本[1-2]") end
  end)

  it("has ranges, each item with its own padding", function()
    assert.equal("n1 n3 n4 n07", expand "n[1,3-4,07]")
    assert.equal("web01 web02 web03", expand "web[01-03]")
    assert.equal("n08 n09 n10 n11", expand "n[08-11]")
    assert.equal("n098 n099 n100 n101", expand "n[098-101]")
    assert.equal("n8 n9 n10", expand "n[8-10]")
    assert.equal("n01 n02 n03", expand "n[01-3]")
    assert.equal("n0 n1", expand "n[0-1]")
    assert.equal("n00 n01", expand "n[00-01]")
    assert.equal("n5", expand "n[5-5]")
    assert.equal("1.dc 2.dc", expand "[1-2].dc")
    assert.equal("n999999999999999", expand "n[999999999999999]")
  end)

  it("has steps", function()
    assert.equal("n0 n3 n6 n9", expand "n[0-9/3]")
    assert.equal("n1 n3", expand "n[1-4/2]")
    assert.equal("n01 n11 n21", expand "n[01-21/10]")
    assert.equal("n1", expand "n[1-4/100]")
  end)

  it("has several brackets, the last counting fastest", function()
    assert.equal("r1n1 r1n2 r2n1 r2n2", expand "r[1-2]n[1-2]")
    assert.equal("r1n1.x r1n2.x r2n1.x r2n2.x", expand "r[1-2]n[1-2].x")
    assert.equal("a13b5 a14b5 a23b5 a24b5", expand "a[1-2][3-4]b[5]")
  end)

  it("names each host once, in order", function()
    assert.equal("web1 web2 web3", expand "web1,web[1-3],web2")
    assert.equal("a3 a1 a2", expand "a[3,1-3,2]")
    assert.equal("a111 a1111 a11", expand "a[11,1][1,11]")
    assert.equal("web1 web1:22 u@web1 u@web1:22 web01", expand "web1,web1:22,u@web1,u@web1:22,web01,web1:22,u@web1")
  end)

  it("has a user and a port for the whole word", function()
    local hosts = hostset.expand "user@web[01-20],db[1,3-4,07]:2222"
    assert.equal(24, #hosts)
    assert.same({ name = "web01", user = "user" }, hosts[1])
    assert.same({ name = "web20", user = "user" }, hosts[20])
    assert.same({ name = "db07", port = 2222 }, hosts[24])
    assert.same({ { name = "h1", user = "me@corp", port = 22 } }, hostset.expand "me@corp@h[1]:22")
    assert.same({ { name = "h", user = "DOM\\me" } }, hostset.expand "DOM\\me@h")
    assert.same({ { name = "h", port = 65535 } }, hostset.expand "h:65535")
  end)

  it("has IPv6 addresses, in brackets when a port follows", function()
    assert.same({ { name = "::1", port = 22 } }, hostset.expand "[::1]:22")
    assert.same({ { name = "::1" } }, hostset.expand "[::1]")
    assert.same({ { name = "fe80::1%eth0", user = "u", port = 2222 } }, hostset.expand "u@[fe80::1%eth0]:2222")
    assert.equal("::1 2001:db8::7 ::ffff:10.0.0.1 1:2:3:4:5:6:7:8 a", expand "::1,2001:db8::7,::ffff:10.0.0.1,1:2:3:4:5:6:7:8,a")
  end)

  it("is refused with the column of what is wrong", function()
    fails("web[1-3", 'column 4: unclosed bracket in "web[1-3"')
    fails("a,web[1-3,b", 'column 6: unclosed bracket in "web[1-3"')
    fails("web]", 'column 4: closing bracket without an opening one in "web]"')
    fails("web[1]2]", 'column 8: closing bracket without an opening one in "web[1]2]"')
    fails("web[]", 'column 4: empty bracket in "web[]"')
    fails("web[[1-2]]", 'column 5: nested bracket in "web[["')
    fails("web[1,[2]]", 'column 7: nested bracket in "web[1,["')
    fails("web[1,,2]", 'column 7: empty range in "web[1,,2]"')
    fails("web[,1]", 'column 5: empty range in "web[,1]"')
    fails("web[1,]", 'column 7: empty range in "web[1,]"')
    fails("web[3-1]", 'column 5: reversed range "3-1"')
    fails("web[8-011]", 'column 5: different padding at the two ends of "8-011"')
    fails("web[1-2/0]", 'column 5: a step of 0 in "1-2/0"')
    fails("web[7/2]", 'column 5: a step without a range in "7/2"')
    for _, item in ipairs { "1-", "-1", "1--2", "a", "1-b", "1:3", "1-2/", "1 - 2", "0x1", "1.5", "1-2-3", "\255" } do
      local good, e = pcall(hostset.expand, "web[" .. item .. "]")
      assert.is_false(good)
      assert.matches("^column 5: bad range ", e.message)
    end
    fails("a,,b", "column 3: a host is missing at the comma")
    fails(",a", "column 1: a host is missing at the comma")
    fails("a,", "column 3: a host is missing at the comma")
    fails("", "column 1: the host expression is empty")
    fails(" \n", "column 1: the host expression is empty")
    fails("a b", "column 2: a blank inside a host expression; a comma separates hosts")
  end)

  it("refuses bad users, ports and addresses", function()
    for _, port in ipairs { "", "0", "65536", "22x", "-1", "1e3", "[22-23]", "999999999999" } do
      fails("h:" .. port, 'column 3: bad port "' .. port .. '" (1 to 65535)')
    end
    fails("u@", "column 3: a host name is missing")
    fails("u@:22", "column 3: a host name is missing")
    fails(":22", "column 1: a host name is missing")
    fails("u[1-2]@h", "column 7: a user name cannot contain a range")
    fails("-oProxyCommand=x@h", 'column 1: "-" cannot be part of a user name')
    fails("a;b@h", 'column 2: ";" cannot be part of a user name')
    fails("-h", "column 1: a host name cannot start with a dash")
    fails("u@-h", "column 3: a host name cannot start with a dash")
    for _, address in ipairs { "::1::", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::1", "::1.2.3.256",
      "::1.2.3.4:5", "fe80::1%", "fe80::1%a/b", "1:2:3:4:5:6:7:1.2.3.4", ":1:2:3:4:5:6:7", "::" .. ("1:"):rep(5000) } do
      assert.is_false(pcall(hostset.expand, "[" .. address .. "]:22"), address)
      assert.is_false(pcall(hostset.expand, address), address)
    end
  end)

  it("refuses bytes that have no place in a host name", function()
    for _, c in ipairs { ";", "$", "`", "'", '"', "\\", "/", "(", "|", "<", "*", "?", "{", "#", "=" } do
      local good, e = pcall(hostset.expand, "we" .. c .. "b")
      assert.is_false(good)
      assert.matches("^column 3: .*cannot be part of a host name$", e.message)
    end
    fails("a\27b", 'column 2: "\\x1b" cannot be part of a host name')
    fails("a,ssh://u@b:22", "column 3: a URI is not taken here; [user@]host[:port] is the form")
    for _, c in ipairs { "\226\128\174", "\194\155", "\255", "\226\128\139" } do
      assert.matches("column 1: invisible characters or bad UTF-8 in the host name", select(2, pcall(hostset.expand, "a" .. c)).message, 1, true)
      assert.matches("column 1: invisible characters or bad UTF-8 in the user name", select(2, pcall(hostset.expand, c .. "@h")).message, 1, true)
    end
    fails("a\0b", 'column 2: "\\x00" cannot be part of a host name')
  end)

  it("is counted before it is expanded", function()
    fails("n[1-9999999999]", 'column 2: "n[1-9999999999]" names 9999999999 hosts; the limit is 2000000', "limit")
    fails("a[1-2000]b[1-2000]", 'column 11: "a[1-2000]b[1-2000]" names 4000000 hosts; the limit is 2000000', "limit")
    fails("n[1-2000000],m", "column 14: more hosts than the limit of 2000000", "limit")
    fails(("a[1-999999999999999]"):rep(50), 'column 2: "a[1-999999999999999]" names 999999999999999 hosts; the limit is 2000000', "limit")
    local wide = {}
    for i = 1, 10000 do wide[i] = "1-999999999999999" end
    assert.is_false(pcall(hostset.expand, "a[" .. table.concat(wide, ",") .. "]"))
    local good, e = pcall(hostset.expand, "n[1-4]", { limit = 3 })
    assert.is_false(good)
    assert.equal("limit", e.kind)
    assert.equal(3, #hostset.expand("n[1-3]", { limit = 3 }))
  end)

  it("cannot be used to burn time or memory", function()
    local from = os.clock()
    for _, expression in ipairs { ("1"):rep(100000), "a[" .. ("1"):rep(100000) .. "x]", ("a["):rep(50000), ("[1-2]"):rep(50000),
      ("a@"):rep(50000), (":"):rep(50000), (","):rep(50000), ("[::"):rep(50000), "a" .. (" "):rep(50000) .. "b", ("a[1]"):rep(130), ("a[1]"):rep(100000),
      "[" .. ("1:"):rep(50000) .. "]", "x[" .. (","):rep(50000) .. "]", ("!"):rep(50000), ("a,"):rep(20000) .. "]" } do
      assert.is_false(pcall(hostset.expand, expression), expression:sub(1, 20))
    end
    assert.is_true(os.clock() - from < 5)
  end)

  it("limits names and numbers", function()
    fails("n[1-99999999999999999]", 'column 3: a number of more than 15 digits in "1-99999999999999999"')
    fails(("x"):rep(256), "column 1: a host name of 256 bytes; 255 is the most")
    assert.equal(255, #hostset.expand(("x"):rep(255))[1].name)
    fails(("u"):rep(256) .. "@h", "column 1: a user name of 256 bytes; 255 is the most")
  end)

  it("blames the caller's line when asked to", function()
    local good, e = pcall(function() hostset.expand("web[", { level = 1 }) end)
    local line = debug.getinfo(1, "l").currentline - 1
    assert.is_false(good)
    assert.equal("usage", e.kind)
    assert.matches("hostset_spec.lua:" .. line .. ': column 4: unclosed bracket in "web["', e.message, 1, true)
    good, e = pcall(function() hostset.expand(nil) end)
    assert.is_false(good)
    assert.matches("hostset_spec.lua:" .. line + 5 .. ": host expression: string expected, got nil", e.message, 1, true)
  end)
end)

describe("folding", function()
  local fold = hostset.fold

  it("joins names that differ in one number", function()
    assert.equal("web[01-03]", fold { "web01", "web02", "web03" })
    assert.equal("node[113,340]", fold { "node113", "node340" })
    assert.equal("n[1,3-4,07]", fold { "n1", "n3", "n4", "n07" })
    assert.equal("n[8-11]", fold { "n10", "n9", "n11", "n8" })
    assert.equal("n[08-11]", fold { "n10", "n09", "n11", "n08" })
    assert.equal("n[8-11,09]", fold { "n8", "n9", "n10", "n11", "n09" })
    assert.equal("n[098-100]", fold { "n098", "n099", "n100" })
    assert.equal("n[0-1,00]", fold { "n0", "n1", "n00" })
    assert.equal("node[001-002].dc1.example.com", fold { "node001.dc1.example.com", "node002.dc1.example.com" })
  end)

  it("leaves alone what is alone", function()
    assert.equal("node017", fold { "node017" })
    assert.equal("web1,db1,mail", fold { "web1", "db1", "mail" })
    assert.equal("", fold {})
    assert.equal("web1", fold { "web1", "web1" })
  end)

  it("joins in several numbers", function()
    assert.equal("r[1-3]n[1-4]", fold(hostset.expand "r[1-3]n[1-4]"))
    assert.equal("r[1-2]n[1-2,7].dc[1-2]", fold(hostset.expand "r[1-2]n[1-2,7].dc[1-2]"))
    assert.equal("r1n[1-2],r2n1", fold { "r1n1", "r1n2", "r2n1" })
    assert.equal("10.0.0.[1-3],10.0.1.1", fold { "10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.0.3" })
    assert.equal("a[1-2]b[1-3],a3b1", fold(hostset.expand "a[1-3]b1,a[1-2]b[2-3]"))
  end)

  it("keeps patterns in the order they came", function()
    assert.equal("web[1-2],db1,x", fold { "web2", "db1", "web1", "x" })
  end)

  it("folds hosts with users and ports, and leaves addresses whole", function()
    assert.equal("u1@web[1-2]:22,u2@web1:22", fold(hostset.expand "u1@web[1-2]:22,u2@web1:22"))
    assert.equal("web[1-2]:2201,web1:2202", fold { "web1:2201", "web2:2201", "web1:2202" })
    assert.equal("::1,::2,[::1]:22", fold { "::1", "::2", { name = "::1", port = 22 } })
  end)

  it("does not choke on names that are no hosts", function()
    assert.equal("a[1],b c1,n12345678901234567", fold { "a[1]", "b c1", "n12345678901234567" })
    assert.equal("\0001,a\0002", fold { "\0001", "a\0002" })
  end)

  it("counts what each piece stands for", function()
    assert.same({ { text = "web[1-3]", count = 3 }, { text = "db", count = 1 }, { text = "r[1-2]n[1-2]", count = 4 } },
      hostset.fold_parts { "web1", "db", "web2", "web3", "r1n1", "r1n2", "r2n1", "r2n2" })
  end)

  it("is the inverse of expanding, for any set", function()
    local seed = os.time()
    math.randomseed(seed)
    for round = 1, 300 do
      local names, want, n = {}, {}, 0
      for _ = 1, math.random(1, 40) do
        local name = ({ "a%d", "a%02d", "a%03d.x", "r%dn%d", "r%02dn%d", "%d", "a%d-%d-%d", "u7@b%d", "c%d:22" })[math.random(9)]
        local top = ({ 3, 12, 110 })[math.random(3)]
        name = name:gsub("%%0?%d?d", function(d) return d:format(math.random(0, top)) end)
        names[#names + 1] = name
        if not want[name] then n = n + 1 end
        want[name] = true
      end
      local folded = fold(names)
      local hosts, total = hostset.expand(folded), 0
      for _, part in ipairs(hostset.fold_parts(names)) do total = total + part.count end
      local message = ("seed %d round %d: %s"):format(seed, round, folded)
      assert.equal(n, #hosts, message)
      assert.equal(n, total, message)
      for _, host in ipairs(hosts) do assert.is_true(want[hostset.format(host)], message) end
      assert.equal(folded, fold(hosts), message)
    end
  end)

  it("folds fifty thousand names in a moment", function()
    local hosts = hostset.expand "node[00001-25000],r[1-250]n[1-100]"
    local from = os.clock()
    assert.equal("node[00001-25000],r[1-250]n[1-100]", fold(hosts))
    assert.is_true(os.clock() - from < 5)
  end)
end)
