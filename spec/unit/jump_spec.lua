-- What ProxyJump and ProxyCommand say, and which way is chosen; without a server.
local errors = require "sshlua.errors"
local jump = require "sshlua.ssh_config.jump"
local proxy = require "sshlua.proxy"
local route = require "sshlua.route"
local settings = require "sshlua.settings"
local connect = require "sshlua.connect"
local ssh = require "sshlua"

local function fails(kind, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(err, kind), tostring(err))
  return err
end

-- settings.hosts for the present spec.
local function with_hosts(hosts, fn)
  local before = settings.hosts
  settings.hosts = hosts
  local ok, err = pcall(fn)
  settings.hosts = before
  if not ok then error(err, 0) end
end

-- "c < b < a": the names from a target to the nearest host on its way.
local function way(target)
  local names, r = { target.name }, route.of(target, connect.target)
  while r.hop do
    names[#names + 1] = r.hop.name
    r = r.hop.route
  end
  return table.concat(names, " < ")
end

describe("ProxyJump", function()
  it("is a list of hosts, the nearest first", function()
    assert.same({ "a" }, jump.hops "a")
    assert.same({ "me@a:2222", "b", "[::1]:22" }, jump.hops "me@a:2222, b ,[::1]:22")
    assert.same({}, jump.hops "none")
    assert.same({}, jump.hops "NONE")
  end)

  it("may have ssh:// addresses", function()
    assert.same({ "me@a:2222", "b:22", "c" }, jump.hops "ssh://me@a:2222,ssh://b:22/,ssh://c")
    for _, hop in ipairs { "ssh://a%2cb@c:23", "ssh://a%23%20@c" } do -- a user that a list would take apart
      assert.same(jump.hops(hop), jump.hops(jump.option(jump.chain(hop))))
    end
    assert.same({ "me,x@a" }, jump.hops "ssh://me%2cx@a")
  end)

  it("of a configuration ends at its first blank, as ssh has it", function()
    for text, shown in pairs { ["a b,c"] = "a", ["u@a,b:22 c:33 # d"] = "u@a,b:22", ["ssh://a\tb"] = "a", ["a#b"] = "a" } do
      assert.equal(shown, jump.text(jump.chain(text)))
    end
    assert.is_nil(jump.chain "[a b]:22")
    assert.is_nil(jump.chain "# a")
  end)

  it("that makes no sense is an error that quotes it", function()
    for _, text in ipairs { "", ",a", "a,,b", "a,none", "ssh://a/path", "a b", "ssh://", "a\nb", "ssh://a%0ab" } do
      local err = fails("config", jump.hops, text)
      assert.truthy(err.message:find("ProxyJump '", 1, true), err.message)
      assert.is_nil(err.message:find "[%c]")
    end
  end)
end)

describe("the tokens of a script's proxy command", function()
  local values = { h = "10.0.0.7", n = "web", p = "2222", r = "me" }

  it("are put in", function()
    assert.equal("nc 10.0.0.7 2222 # me@web 100%", proxy.expand("nc %h %p # %r@%n 100%%", values))
  end)

  it("must be safe in a shell command", function()
    for _, bad in ipairs { "-oProxyCommand=x", "a;b", "a b", "$(id)", "`id`", "a|b", "a\nb", "'", "a&b" } do
      local err = fails("config", proxy.expand, "nc %h", { h = bad })
      assert.truthy(err.message:find("not safe", 1, true), err.message)
    end
  end)

  it("must be known", function() fails("config", proxy.expand, "nc %z", values) end)
end)

describe("the way to a host", function()
  it("is direct, through a name, a list, a host object", function()
    local function of(opts) return way(connect.target("t", opts)) end
    assert.equal("t", of {})
    assert.equal("t", of { via = false })
    assert.equal("t < b", of { via = "b" })
    assert.equal("t < b < a", of { via = "a,b" })
    assert.equal("t < b < a", of { via = { "a", "b" } })
    assert.equal("t < b < a", of { proxy_jump = "a,b" })
    assert.equal("t < b < a", of { via = ssh.host("b", { via = "a" }) })
    assert.equal("t < c < b < a", of { via = { ssh.host("b", { via = "a" }), "c" } })
    assert.equal("t", of { proxy_jump = "none" })
  end)

  it("follows each jump host's own settings", function()
    with_hosts({ t = { proxy_jump = "b" }, b = { proxy_jump = "a", user = "bob", port = 2200 }, a = { user = "al" } },
      function()
        local target = connect.target "t"
        assert.equal("t < b < a", way(target))
        assert.equal("bob", target.route.hop.user)
        assert.equal(2200, target.route.hop.port)
        assert.equal("al", target.route.hop.route.hop.user)
        assert.equal("t", way(connect.target("t", { via = false })))
      end)
  end)

  it("in a list leaves only the first host its own way, as ssh does", function()
    with_hosts({ c = { proxy_jump = "x" }, b = { proxy_jump = "y" }, a = { proxy_jump = "z" } }, function()
      assert.equal("t < c < b < a < z", way(connect.target("t", { via = "a,b,c" })))
    end)
  end)

  it("is what stands nearest to the script", function()
    with_hosts({ t = { proxy_command = "nc" } }, function()
      assert.equal("nc", route.of(connect.target "t", connect.target).command)
      assert.equal("t < b", way(connect.target("t", { via = "b" })))
      assert.same({}, route.of(connect.target("t", { via = false }), connect.target))
      assert.equal("nc t 22", route.of(connect.target("t", { proxy_command = "nc %h %p" }), connect.target).command)
      assert.same({}, route.of(connect.target("t", { proxy_command = "none" }), connect.target))
    end)
  end)

  it("that goes in a circle is an error that shows it", function()
    with_hosts({ a = { proxy_jump = "b" }, b = { proxy_jump = "c" }, c = { proxy_jump = "a" } }, function()
      local err = fails("config", way, connect.target "a")
      assert.equal("the way goes in a circle: a through b through c through a", err.message)
      assert.equal("a", err.host)
      assert.truthy(err.hint:find "ProxyJump none")
    end)
    with_hosts({ a = { proxy_jump = "a" } }, function() fails("config", way, connect.target "a") end)
    fails("config", way, connect.target("a", { via = "x,a" }))
  end)

  it("has a limit", function()
    local hosts = {}
    for i = 1, 60 do hosts["h" .. i] = { proxy_jump = "h" .. i + 1 } end
    with_hosts(hosts, function()
      local err = fails("config", way, connect.target "h1")
      assert.truthy(err.message:find "more than 32", err.message)
      assert.equal(21, select(2, way(connect.target "h41"):gsub("<", "")) + 1)
    end)
  end)

  it("that makes no sense is refused at the script's line, or names the setting", function()
    fails("usage", ssh.host, "t", { via = 3 })
    fails("usage", ssh.host, "t", { via = { 3 } })
    fails("usage", ssh.host, "t", { via = "b", proxy_command = "nc" })
    fails("usage", ssh.host, "t", { max_opens = 0 })
    with_hosts({ t = { proxy_jump = "-oProxyCommand=x" } }, function()
      local err = fails("config", way, connect.target "t")
      assert.truthy(err.message:find("jump host '-oProxyCommand=x'", 1, true), err.message)
    end)
    with_hosts({ t = { proxy_jump = "b:99999" } }, function() fails("config", way, connect.target "t") end)
  end)
end)
