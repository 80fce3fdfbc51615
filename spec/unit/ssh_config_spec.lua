-- The reading of ssh_config without a server: what the generated cases of ssh_config_diff_spec cannot ask, because the
-- installed ssh is older, or because it needs another machine; robustness; the table; the command line.
local cidr = require "sshlua.ssh_config.cidr"
local core = require "sshlua.core"
local files = require "spec.support.files"
local keywords = require "sshlua.ssh_config.keywords"
local pattern = require "sshlua.ssh_config.pattern"
local printer = require "sshlua.ssh_config.printer"
local program = require "spec.support.program"
local resolver = require "sshlua.ssh_config.resolver"
local run = require "spec.support.run"
local table_of = require "sshlua.ssh_config.table"

local directory

local function write(name, text, mode)
  local path = directory .. "/" .. name
  assert(core.fs_write_sync(path, text, mode or 384))
  return path
end

local function resolve(text, host, opts)
  local all = { file = write("config", text) }
  for k, v in pairs(opts or {}) do all[k] = v end
  return resolver.resolve(host or "web1", all)
end

local function port(text, host, opts) return resolve(text, host, opts).values.port end

local function wrong(text, what, host)
  local err = run.fails("config", resolve, text, host)
  assert.truthy(err.message:find(what, 1, true), err.message)
  return err
end

local read = files.read

describe("ssh_config", function()
  setup(function() directory = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-config.XXXXXX")) end)
  teardown(function() core.fs_rmtree_sync(directory) end)

  it("matches patterns with stars in bounded time", function()
    assert.truthy(pattern.match("web1.example.com", "*.ex*.c?m"))
    assert.falsy(pattern.match("web1", "web"))
    assert.falsy(pattern.match(("a"):rep(2000), ("*a"):rep(200) .. "b"))
    assert.equal("no", pattern.list("a", "*,!a"))
    assert.is_nil(pattern.list("a", "!b"))
  end)

  it("knows which addresses lie in a network", function()
    assert.truthy(cidr.match("10.0.0.0/8,fd00::/16", { "10.9.9.9" }))
    assert.truthy(cidr.match("10.0.0.0/8,fd00::/16", { "fd00::1" }))
    assert.truthy(cidr.match("192.0.2.128/25", { "192.0.2.200" }))
    assert.falsy(cidr.match("192.0.2.128/25", { "192.0.2.100", "fd00::1" }))
    for _, bad in ipairs { "10.0.0.1/8", "x/8", "10.0.0.0/33", "", "10.0.0.0/x" } do assert.is_nil(cidr.match(bad, {})) end
  end)

  it("understands Match tagged and Tag, localnetwork, command and sessiontype", run.body(function()
    assert.equal(1, port "Tag a\nMatch tagged a,b\nPort 1\n")
    assert.equal(22, port "Tag c\nMatch tagged a,b\nPort 1\n")
    assert.equal(2, port 'Match tagged ""\nPort 2\n')
    assert.equal(3, port "Match localnetwork 127.0.0.0/8\nPort 3\n")
    assert.equal(22, port "Match localnetwork 203.0.113.0/24\nPort 3\n")
    assert.equal(3, port "Match !localnetwork 203.0.113.0/24\nPort 3\n")
    wrong("Match localnetwork nonsense\n", "not a network")
    assert.equal(4, port("Match command up*\nPort 4\n", "web1", { command = "uptime" }))
    assert.equal(5, port("Match sessiontype exec\nPort 5\n", "web1", { command = "uptime" }))
    assert.equal(6, port "Match sessiontype shell\nPort 6\n")
    assert.truthy(table.concat(printer.lines(resolve "Tag x\n"), "\n"):find "\ntag x")
    wrong("Match version *\n", "unknown criterion")
  end))

  it("goes by Host, negation and the first value", run.body(function()
    local text = "Host web* !web2\nPort 1\nHost web2\nPort 2\nHost *\nPort 3\n"
    assert.same({ 1, 2, 3 }, { port(text, "web1"), port(text, "web2"), port(text, "db") })
    local config = resolve(text, "web2")
    assert.same({ directory .. "/config:4" }, config.origins.port)
  end))

  it("runs Match exec only when what stands before it holds, with tokens, and kills what does not end", run.body(function()
    local mark = directory .. "/mark"
    port(("Match host db exec \"touch %s\"\nPort 1\n"):format(mark))
    assert.is_nil(core.fs_stat_sync(mark))
    assert.equal(7, port(('Match exec "echo %%h %%n %%p %%r > %s"\nPort 7\n'):format(mark), "Web1", { user = "bob", port = nil }))
    assert.equal("Web1 Web1 22 bob\n", read(mark))
    local task = require "sshlua.task"
    local took = run.took(function()
      run.fails("timeout", task.timeout, 0.5, resolve, 'Match exec "sleep 60"\nPort 1\n')
    end)
    assert(took < 10, took)
  end))

  it("includes files by pattern, relative to the home, and not for ever", run.body(function()
    write("a.conf", "Port 11\nHost other\nPort 12\n")
    write("b.conf", "User included\n")
    local config = resolve(("Include %s/?.conf %s/none*\nPort 99\n"):format(directory, directory))
    assert.same({ 11, "included" }, { config.values.port, config.values.user })
    assert.equal(12, port(("Host other\nInclude %s/a.conf\n"):format(directory), "other") + 1)
    local loop = write("loop.conf", "")
    write("loop.conf", "Include " .. loop .. "\n")
    assert.truthy(run.fails("config", resolve, "Include " .. loop .. "\n").message:find "17 levels deep")
    local open = write("open.conf", "Port 1\n")
    assert(core.fs_chmod_sync(open, 438))
    wrong("Include " .. open .. "\n", "others may write it")
  end))

  it("lets the first of ProxyJump and ProxyCommand win, but not ProxyJump none", run.body(function()
    assert.equal("nc", resolve "ProxyJump none\nProxyCommand nc\n".values.proxycommand)
    assert.is_nil(resolve "ProxyJump a\nProxyCommand nc\n".values.proxycommand)
    assert.is_nil(resolve "ProxyCommand nc\nProxyJump a\n".values.proxyjump)
  end))

  it("obeys IgnoreUnknown from where it stands", run.body(function()
    assert.equal(9, port "IgnoreUnknown my*\nMyOption x\nPort 9\n")
    assert.equal(2, #wrong("MyOption x\nIgnoreUnknown my*\nMyOption y\nOther z\n", "config:1: myoption: unknown keyword").problems)
  end))

  it("names the line of every kind of mistake", run.body(function()
    for _, line in ipairs { "Port x", "Port 0", "User", "User a b", "BatchMode perhaps", "ConnectTimeout soon", "Ciphers rot13",
      "User \"open", "LocalForward 80", "SetEnv A", "IPQoS gold", "EscapeChar long", "Match", "Match all host x", "ProxyJump :",
      "IdentityAgent ${NOT_SET_ANYWHERE}", "AddKeysToAgent sometimes", "CanonicalDomains -x", "StrictHostKeyChecking ?" } do
      local err = wrong("# first\n" .. line .. "\n", "config:2: ")
      assert.equal(2, err.problems[1].line)
    end
  end))

  -- As root in a name space of its own, with its own /etc/hosts; both programs see the same.
  local function canonical(hosts, config, host)
    local path = write("canonical", config)
    local script = ([[mount --bind %s /etc/hosts && mount --bind %s /etc/resolv.conf && mount --bind %s /etc/nsswitch.conf || exit 77
      ssh -F %s -G %s 2>/dev/null; echo "== $?"; SSHLUA_SSH_CONFIG=none "$0" -G -F %s %s 2>/dev/null; echo "== $?"]]):format(write("hosts", hosts),
      write("resolv", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), write("nsswitch", "hosts: files\n"), path, host, path, host)
    local r = program.run({}, { shell = ("exec unshare -m sh -c '%s' \"$0\""):format(script) })
    if r.code ~= 0 or not r.out:find "==" then run.skip "no name space for mounts here" end
    local theirs, code, ours, our_code = r.out:match "^(.-)== (%d+)\n(.-)== (%d+)\n$"
    assert.equal(code == "0", our_code == "0", r.err)
    if code == "0" then assert.equal(theirs, ours) end
    return theirs:match "\nhostname (%S+)", theirs:match "\nport (%d+)"
  end

  -- CanonicalizeHostname, CanonicalDomains, CanonicalizeMaxDots, CanonicalizeFallbackLocal, CanonicalizePermittedCNAMEs
  it("canonicalizes as ssh does", run.body(function()
    local hosts = "127.0.0.5 real.example.com web1.example.com. web1.example.com\n127.0.0.6 plain.example.com. plain.example.com\n127.0.0.7 a.b\n"
    local base = "CanonicalizeHostname yes\nCanonicalDomains other.example example.com\n"
    assert.same({ "plain.example.com", "7" }, { canonical(hosts, base .. "Match canonical host plain.example.com\nPort 7\n", "plain") })
    assert.equal("real.example.com", (canonical(hosts, base .. "CanonicalizePermittedCNAMEs *.example.com:*.example.com\n", "web1")))
    assert.equal("web1.example.com", (canonical(hosts, base .. "CanonicalizePermittedCNAMEs *.x:*.example.com\n", "web1")))
    assert.equal("a.b", (canonical(hosts, base .. "CanonicalizeMaxDots 0\n", "a.b")))
    assert.equal("missing", (canonical(hosts, base, "missing")))
    assert.is_nil(canonical(hosts, base .. "CanonicalizeFallbackLocal no\n", "missing"))
    assert.equal("web1", (canonical(hosts, base .. "ProxyJump x\n", "web1")))
    assert.equal("web1.example.com", (canonical(hosts, base:gsub("yes", "always") .. "ProxyJump x\n", "web1")))
  end, 60))

  it("prints -G and config, explains, and needs a host", run.body(function()
    local path = write("config", "Host x\n  Port 33\n  GSSAPIAuthentication yes\n  Ciphers aes128-ctr,3des-cbc\n")
    local g = program.run { "-G", "-F", path, "me@x" }
    local c = program.run { "config", "-F", path, "-l", "me", "x" }
    assert.equal(g.out, c.out)
    assert.truthy(g.out:find "^host x\nuser me\nhostname x\nport 33\n")
    local e = program.run { "explain", "-F", path, "x" }
    assert.truthy(e.out:find("Port 33\n    " .. path .. ":2: applied", 1, true), e.out .. e.err)
    assert.truthy(e.out:find("GSSAPIAuthentication yes\n    " .. path .. ":3: ignored: there is no GSSAPI", 1, true))
    assert.truthy(e.out:find("Ciphers: aes128-ctr,3des-cbc\n", 1, true))
    assert.truthy(e.out:find "defaults:.-Compression no\n    default: applied")
    for _, args in ipairs { { "-G" }, { "-G", "-p" }, { "-G", "-Z", "x" }, { "explain" } } do
      local r = program.run(args)
      assert.equal(2, r.code, r.err)
      assert.truthy(r.err:find "^sshlua: ")
    end
    local bad = program.run { "-G", "-o", "Nonsense=1", "x" }
    assert.equal(1, bad.code)
    assert.truthy(bad.err:find "nonsense: unknown keyword")
  end))

  it("is not loaded by what does not connect", run.body(function()
    local r = program.lua [[
      require "sshlua"
      for name in pairs(package.loaded) do if name:find "ssh_config" then print(name) end end
    ]]
    assert.equal("", r.out .. r.err)
  end))

  it("has every keyword in docs/ssh_config.md, and the specs it names speak of them", function()
    local text = assert(read "docs/ssh_config.md")
    assert.truthy(text:find(table_of.markdown(), 1, true), "docs/ssh_config.md is old: tools/ssh-config-table build-release/sshlua")
    local specs = {}
    for _, def in pairs(keywords.by_name) do
      if def.proof then
        specs[def.proof] = specs[def.proof] or assert(read(def.proof), def.proof):gsub("_", ""):lower()
        assert.truthy(specs[def.proof]:find(def.name, 1, true), def.proof .. " does not speak of " .. def.title)
      end
    end
  end)

  it("knows every keyword of the installed manual", function()
    local pipe = io.popen "man ssh_config 2>/dev/null | col -b"
    local text = pipe:read "*a"
    pipe:close()
    local count = 0
    for title in text:gmatch "\n     (%u%w+)[ \n]" do
      if title:find "%l" and not ({ Note = 1, The = 1, Since = 1, For = 1, If = 1, Arguments = 1 })[title] then
        count = count + (keywords.by_name[title:lower()] and 1 or 0)
      end
    end
    assert(text == "" or count > 80, count)
  end)
end)
