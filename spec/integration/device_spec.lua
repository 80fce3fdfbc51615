-- Devices by their profiles, against devices that are played behind a real sshd.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local function script_path()
  local here = debug.getinfo(1, "S").source:match "^@(.*)integration/[^/]*$"
  return here .. "support/fake_device.lua"
end

local played = {
  { "ios", "ios unprivileged enable=s3cret" }, { "nxos", "nxos" }, { "eos", "eos unprivileged" }, { "junos", "junos" },
  { "routeros", "routeros" }, { "root", "junos login" }, { "stubborn", "ios unprivileged stubborn enable=other" },
  { "stubborn2", "ios unprivileged stubborn enable=s3cret" }, { "noarchive", "ios noarchive" },
  { "locked", "junos locked" }, { "taken", "routeros taken" }, { "paged", "nxos paged" }, { "closes", "nxos closes=vlan" },
}
local profile_of = {
  ios = "cisco_ios", nxos = "cisco_nxos", eos = "arista_eos", junos = "juniper_junos", root = "juniper_junos",
  stubborn = "cisco_ios", stubborn2 = "cisco_ios", noarchive = "cisco_ios", locked = "juniper_junos",
  paged = "cisco_nxos", closes = "cisco_nxos",
}
local routeros = { base = "mikrotik_routeros", login_suffix = false } -- sshd has no user admin+c
profile_of.routeros, profile_of.taken = routeros, routeros

local root -- of the devices' directories

local function start()
  local path = task.await(core.fs_realpath, script_path())
  root = task.await(core.fs_mkdtemp, (os.getenv "TMPDIR" or "/tmp") .. "/sshlua-devices-XXXXXX")
  local per_host, names = {}, { "unix" }
  for i, entry in ipairs(played) do
    local name, words = entry[1], entry[2]
    names[i + 1] = name
    task.await(core.fs_mkdir, root .. "/" .. name, 448)
    per_host[name] = { ("ForceCommand lua5.4 '%s' %s"):format(path, (words:gsub("^%w+", "%0 '" .. root .. "/" .. name .. "'"))) }
  end
  return require("sshlua.testbed").start { hosts = names, per_host = per_host, sshd_config = { "PrintMotd no" } }
end

local function running(name)
  return (servers.read_file(root .. "/" .. name .. "/running") or ""):gsub("\n", ";")
end

describe("a device", function()
  local fleet, set_up, tear_down = run.shared(start, function(f)
    f:stop()
    core.fs_rmtree_sync(root)
  end)
  setup(set_up)
  teardown(tear_down)
  before_each(function()
    for _, entry in ipairs(played) do
      os.remove(root .. "/" .. entry[1] .. "/pending")
      os.remove(root .. "/" .. entry[1] .. "/running")
      os.remove(root .. "/" .. entry[1] .. "/clock")
    end
  end)

  local function open(name, opts)
    local h = servers.host(fleet(), name, { profile = profile_of[name] })
    opts = opts or {}
    opts.timeout, opts.settle = opts.timeout or 10, opts.settle or 0.02
    if name == "ios" and opts.enable == nil then opts.enable = core.secret("enable password", "s3cret") end
    if name == "eos" then opts.enable = true end
    local d = h:device(opts)
    run.defer(d.close, d)
    return d
  end

  local lines_of = {
    ios = { "vlan 10", "name ten" }, nxos = { "vlan 10", "name ten" }, eos = { "vlan 10", "name ten" },
    junos = { "set vlans ten vlan-id 10", "set vlans ten l3 x" }, routeros = { "/vlan add 10", "/vlan name ten" },
  }
  local wrong_of = { junos = "set vlans x vlan-id 9999", routeros = "/vlan add 9999" }
  local all_or_nothing = { eos = true, junos = true }

  for _, kind in ipairs { "ios", "nxos", "eos", "junos", "routeros" } do
    describe(kind, function()
      local lines, applied = lines_of[kind], table.concat(lines_of[kind], ";") .. ";"

      it("gives what it says without pages", run.body(function()
        local d = open(kind)
        local out = d:cmd "show long"
        assert.equal("  " .. kind .. " line 1", out:match "^[^\n]*")
        assert.equal("  " .. kind .. " line 65", out:match "[^\n]*$")
        assert.equal(64, select(2, out:gsub("\n", "")))
      end))

      it("is configured", run.body(function()
        local d = open(kind)
        local result = d:configure(lines)
        assert.equal(applied, running(kind))
        if all_or_nothing[kind] then assert.truthy(result.diff:find("+" .. lines[1], 1, true)) end
        assert.truthy(d:cmd("show running-config"):find(lines[2], 1, true))
        d:save()
      end))

      it("names the line that it refuses", run.body(function()
        local d = open(kind)
        local wrong = wrong_of[kind] or "vlan 9999"
        local err = run.fails("device", d.configure, d, { lines[1], wrong, lines[2] })
        assert.equal("INVALID", err.name)
        assert.equal(wrong, err.line)
        assert.equal(2, err.index)
        assert.equal(kind, err.host)
        assert.truthy(err.message:find("line 2 of 3: '" .. wrong .. "': ", 1, true))
        assert.equal(all_or_nothing[kind] and "" or lines[1] .. ";", running(kind))
        assert.truthy(err.hint:find(all_or_nothing[kind] and "nothing was changed" or "lines before it"))
        d:configure(lines) -- it is where it was
        assert.equal(applied, running(kind))
      end))

      it("names a command that it does not know", run.body(function()
        local d = open(kind)
        local err = run.fails("device", d.cmd, d, "shew 9999")
        assert.equal("INVALID", err.name)
        assert.equal("shew 9999", err.line)
        assert.truthy(err.result.stdout ~= "")
        assert.truthy(d:cmd("shew 9999", { check = false }) ~= "")
      end))
    end)
  end

  local confirms = { ios = 600, nxos = 600, eos = 600, junos = 600, routeros = true }

  local kinds = { "ios", "nxos", "eos", "junos", "routeros" }
  local function all_of(kind) return table.concat(lines_of[kind], ";") .. ";" end

  it("keeps changes that are confirmed", run.body(function()
    ssh.each(kinds, function(kind)
      local d = open(kind)
      d:configure(lines_of[kind], { confirm = confirms[kind] })
      assert.equal(all_of(kind), running(kind))
      d:confirm()
      run.fails("usage", d.confirm, d)
      d:close()
      servers.write_file(root .. "/" .. kind .. "/clock", "601")
      open(kind):cmd "show running-config"
      assert.equal(all_of(kind), running(kind))
    end)
  end))

  it("takes changes back that nobody confirms", run.body(function()
    ssh.each(kinds, function(kind)
      local d = open(kind)
      d:configure(lines_of[kind], { confirm = kind ~= "routeros" and 600 or true })
      assert.equal(all_of(kind), running(kind))
      if kind ~= "nxos" then d:close() end
      servers.write_file(root .. "/" .. kind .. "/clock", "601")
      d = kind == "nxos" and d or open(kind)
      d:cmd "show running-config"
      assert.equal("", running(kind))
    end)
  end))

  it("is asked by a function whether changes are kept", run.body(function()
    ssh.each(kinds, function(kind)
      local d, lines, seen = open(kind), lines_of[kind], nil
      d:configure(lines, { confirm = confirms[kind], verify = function(device)
        seen = device:cmd "show running-config"
      end })
      assert.truthy(seen:find(lines[2], 1, true))
      assert.falsy(d.pending)
      assert.equal(all_of(kind), running(kind))
      local ok, err = pcall(d.configure, d, { lines[1] .. "2" }, { confirm = confirms[kind], verify = function()
        error("no way", 0)
      end })
      assert.falsy(ok)
      assert.equal("no way", err)
      if kind ~= "nxos" then
        assert.is_true(run.eventually(function() return not running(kind):find(lines[1] .. "2", 1, true) end))
      end
      assert.truthy(running(kind):find(lines[2], 1, true))
    end)
  end))

  it("is taken back at once by rollback", run.body(function()
    for _, kind in ipairs { "ios", "eos", "junos", "routeros" } do
      local d = open(kind)
      d:configure(lines_of[kind], { confirm = confirms[kind] })
      run.fails("usage", d.configure, d, lines_of[kind])
      d:rollback()
      assert.is_true(run.eventually(function() return running(kind) == "" end))
    end
    local d = open "nxos"
    d:configure(lines_of.nxos, { confirm = 600 })
    assert.truthy(run.fails("usage", d.rollback, d).message:find "when their time is up")
  end))

  it("takes back what a wrong line leaves behind when the change is to be confirmed", run.body(function()
    for _, kind in ipairs { "ios", "nxos", "eos", "junos", "routeros" } do
      local d = open(kind)
      local err = run.fails("device", d.configure, d, { lines_of[kind][1], wrong_of[kind] or "vlan 9999" },
        { confirm = confirms[kind] })
      assert.truthy(err.hint:find "nothing was changed")
      assert.is_true(run.eventually(function() return running(kind) == "" end))
    end
  end))

  it("shows what would change, and changes nothing", run.body(function()
    for _, kind in ipairs { "eos", "junos" } do
      local d = open(kind)
      local result = d:configure(lines_of[kind], { dry_run = true })
      assert.truthy(result.diff:find("+" .. lines_of[kind][1], 1, true))
      assert.equal("", running(kind))
    end
    local d = open "ios"
    run.fails("usage", d.configure, d, { "vlan 10" }, { dry_run = true })
    run.fails("usage", d.configure, d, { "vlan 10" }, { confirm = 100000 })
    run.fails("usage", d.configure, d, {})
    run.fails("usage", d.configure, d, { "vlan 10" }, { confrim = 60 })
    run.fails("usage", open("routeros").configure, open "routeros", { "/x" }, { confirm = 60 })
  end))

  it("says why a commit was refused", run.body(function()
    local d = open "junos"
    local err = run.fails("device", d.configure, d, { "set vlans x vlan-id 4000" })
    assert.equal("COMMIT", err.name)
    assert.equal("", running "junos")
    d = open "nxos"
    err = run.fails("device", d.configure, d, { "vlan 4000" }, { confirm = 60 })
    assert.equal("COMMIT", err.name)
    assert.equal("", running "nxos")
  end))

  it("says that somebody else has the configuration, or that there is no archive", run.body(function()
    local d = open "locked"
    assert.equal("LOCKED", run.fails("device", d.configure, d, { "set x" }).name)
    d = open "taken"
    assert.equal("REFUSED", run.fails("device", d.configure, d, { "/x" }, { confirm = true }).name)
    assert.equal("", d:cmd "")
    d = open "noarchive"
    assert.equal("REFUSED", run.fails("device", d.configure, d, { "vlan 10" }, { confirm = 60 }).name)
    assert.equal("", running "noarchive")
  end))

  it("is reached through the Unix shell that root gets on Junos", run.body(function()
    local d = open "root"
    assert.truthy(d:cmd("show long"):find "line 65$")
  end))

  it("pages where that cannot be switched off", run.body(function()
    assert.equal(64, select(2, open("paged"):cmd("show long"):gsub("\n", "")))
  end))

  it("that closes in the middle is an error with what came", run.body(function()
    local d = open "closes"
    local err = run.fails("channel", d.configure, d, { "vlan" })
    assert.equal("EOF", err.name)
    assert.equal("configure", err.op)
    assert.truthy(err.result.stdout:find "the beginning of")
  end))

  describe("that wants a password for enable", function()
    it("takes it once, and names one that is wrong", run.body(function()
      local wrong = core.secret("enable", "s3cret7")
      local err = run.fails("auth", open, "stubborn", { enable = wrong })
      assert.equal("WRONG_PASSWORD", err.name)
      assert.equal("enable", err.op)
      assert.falsy(err:describe():find("s3cret7", 1, true))
      -- It was wrong on one host: no other one hears it.
      err = run.fails("auth", open, "stubborn2", { enable = wrong })
      assert.truthy(err.message:find "not tried")
    end))

    it("gets it from a function that may wait", run.body(function()
      local d = open("ios", { enable = function(host)
        ssh.sleep(0.01)
        return host == "ios" and "s3cret"
      end })
      assert.equal("sw1#", d.shell.line)
    end))

    it("stays as it is without", run.body(function()
      local d = open("ios", { enable = false })
      assert.equal("sw1>", d.shell.line)
      assert.equal("INVALID", run.fails("device", d.configure, d, { "vlan 10" }).name)
    end))
  end)

  it("hides secrets in lines, and finds its echo nevertheless", run.body(function()
    local d = open "nxos"
    local secret = core.secret("snmp", "pali sade9999")
    local err = run.fails("device", d.configure, d, { { "snmp-server community ", secret } })
    assert.falsy(err:describe():find("sade", 1, true))
    assert.equal("snmp-server community ********", err.line)
    assert.falsy(err.result.stdout:find("sade", 1, true))
  end))

  it("may have a profile of the script's own", run.body(function()
    local own = {
      prompt = "^%[admin@MikroTik%] [^\n]*>%s?$", newline = "\r", pager = { ["%-%- %[Q quit|[^\n]*"] = "d" },
      errors = { { "^expected end[^\n]*", "TOO_MUCH" } },
    }
    local h = servers.host(fleet(), "routeros")
    local d = h:device { profile = own, timeout = 10 }
    run.defer(d.close, d)
    assert.equal("TOO_MUCH", run.fails("device", d.cmd, d, "x9999").name)
    run.fails("usage", d.configure, d, { "x" })
    run.fails("usage", d.enable, d)
    local t = h:shell { profile = own, timeout = 10 }
    run.defer(t.close, t)
    assert.truthy(t:cmd("show long"):find "line 65$")
    run.fails("usage", h.device, h, {})
    run.fails("usage", h.device, h, { profile = "cisco" })
    run.fails("usage", h.device, h, { profile = { promt = "x" } })
    run.fails("usage", h.device, h, { profile = { enable = { command = "x" } } })
    run.fails("usage", h.device, h, { profile = { errors = { "x" } } })
  end))

  it("may be a Unix host: exit statuses are errors", run.body(function()
    local h = servers.host(fleet(), "unix", { profile = "linux" })
    local d = h:device { command = "sh -i", timeout = 10 }
    run.defer(d.close, d)
    assert.equal("hello", d:cmd "echo hello")
    local err = run.fails("exit", d.cmd, d, "ls /nowhere/at/all")
    assert.equal(2, err.code)
    assert.truthy(err.result.stdout:find "nowhere")
    d:configure { "cd /tmp", "X=5" }
    assert.equal("/tmp 5", d:cmd "echo $PWD $X")
  end))

  local function talk_at_once(dialogues, commands)
    local path = task.await(core.fs_realpath, script_path())
    local sessions = {}
    for i = 1, math.ceil(dialogues / 10) do sessions[i] = servers.connect(fleet(), "unix") end
    local numbers = {}
    for i = 1, dialogues do numbers[i] = i end
    ssh.each(numbers, function(i)
      local t = sessions[math.ceil(i / 10)]:shell {
        profile = "cisco_nxos", command = ("lua5.4 '%s' nxos /nowhere tag=sw%d"):format(path, i), timeout = 60,
      }
      for _ = 1, commands do
        local out = t:cmd "show long"
        assert.equal(64, select(2, out:gsub("  sw" .. i .. " line %d+\n", "")))
        assert.truthy(out:find(("  sw%d line 65$"):format(i)))
        assert.equal(64, select(2, out:gsub("\n", "")))
      end
      t:close()
    end)
  end

  it("is talked to beside many others, with pages, and none is mixed up", run.body(function()
    talk_at_once(20, 4)
  end, 60))

  it("is talked to beside 199 others, 50 commands each #long", run.body(function()
    talk_at_once(200, 50)
  end, 280))

  it("gets old algorithms, and no other host does", run.body(function()
    local old = servers.fleet { hosts = { "old", "old2" }, sshd_config = {
      "KexAlgorithms diffie-hellman-group14-sha1", "Ciphers aes128-cbc", "MACs hmac-sha1",
    } }
    local opts = servers.options(old, "old")
    local err = run.fails("handshake", ssh.connect, "old", opts)
    assert.truthy(err.hint:find "profile")
    opts.profile = "cisco_ios"
    local s = ssh.connect("old", opts)
    run.defer(s.close, s)
    assert.equal("diffie-hellman-group14-sha1", s.core:algorithms().kex)
    opts.profile = "arista_eos" -- no CBC there
    run.fails("handshake", ssh.connect, "old", opts)
    local h = servers.host(old, "old2")
    local d = h:device { profile = { base = "cisco_ios", prompt = "[#$] $", prepare = {} }, command = "sh -i" }
    assert.equal("5", d:cmd "echo 5")
    d:close()
    d.shell.session:close()
  end))

  it("logs in to RouterOS with options behind the name", function()
    local target = require "sshlua.target"
    local t = target.prepare(target.new("admin@r1", { profile = "mikrotik_routeros", ssh_config = false }))
    assert.equal("admin+cet512w8192h", t.user)
    t = target.prepare(target.new("admin+c@r1", { profile = "mikrotik_routeros", ssh_config = false }))
    assert.equal("admin+c", t.user)
    t = target.prepare(target.new("admin@r1", { profile = routeros, ssh_config = false }))
    assert.equal("admin", t.user)
  end)
end)
