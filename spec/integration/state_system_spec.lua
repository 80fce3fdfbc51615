-- State verbs that are about the whole system. Users are made with the real useradd, usermod and userdel, and packages
-- with the real apt and dpkg from an archive of the spec, but /etc, /var, /usr and /home are overlays whose upper halves are
-- the spec's. No systemd runs where specs run: systemctl is a script of ours, which keeps its state in files; scripts in
-- /etc/init.d and update-rc.d are real. Nothing is rebooted: the command takes the host's connections away and gives it
-- another boot id, and that of the kernel is not touched.
local core = require "sshlua.core"
local jail = require "spec.support.jail"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local system = require "spec.support.system"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local agree, fails = system.agree, run.fails

-- Each spec is many commands: a machine with much else to do needs its time.
local function body(fn) return run.body(fn, 240) end

local reason = jail.missing(true)
local ROOTS = { "/etc", "/var", "/usr", "/home" }
local get, set_up, tear_down = run.shared(function()
  return reason and {} or jail.start { system = { roots = ROOTS }, units = {}, moon = {} }
end, function(j)
  if j.fleet then jail.stop(j) end
end)

local function host(name)
  if reason then run.skip(reason) end
  return servers.host(get().fleet, name or "system")
end

local function words(r) return { changed = r.changed, diff = r.diff, before = r.before, after = r.after } end

describe("account", function()
  setup(set_up)
  teardown(tear_down)

  it("makes, changes and removes users; a dry run says so before", body(function()
    local h = host()
    local r = agree(h, "account", "sshlua-probe", "present", { groups = { "daemon", "bin" }, comment = "A 'b' $(c)" })
    assert.equal("absent", r.before.state)
    assert.same({ "bin", "daemon" }, r.after.groups)
    assert.equal("A 'b' $(c)", r.after.comment)
    assert.is_number(r.after.uid)
    assert.equal("/home/sshlua-probe", h:read "getent passwd sshlua-probe | cut -d: -f6; test -d /home/sshlua-probe")
    r = agree(h, "account", "sshlua-probe", "present", { groups = "games", shell = "/bin/sh", uid = 4711 })
    assert.same({ "bin", "daemon", "games" }, r.after.groups)
    r = agree(h, "account", "sshlua-probe", "present", { groups = "games", only_groups = true, home = "/home/other dir" })
    assert.same({ "games" }, r.after.groups)
    agree(h, "account", "sshlua-probe", "absent", { remove_home = true })
    assert.matches("no group", fails("exit", h.account, h, "x", "present", { groups = "nonesuch" }).message)
    assert.is_nil((servers.read_file "/etc/passwd"):find("sshlua-probe", 1, true), "this machine was changed")
  end))
end)

describe("account, beside somebody else who changes users,", function()
  setup(set_up)
  teardown(tear_down)

  it("waits for its turn", body(function()
    local h = host()
    h:run "sleep 3 >/dev/null 2>&1 & printf %s $! >/etc/shadow.lock"
    assert.is_true(h:account("sshlua-late", "present", { make_home = false }).changed)
    h:account("sshlua-late", "absent")
  end))
end)

describe("a dry run", function()
  setup(set_up)
  teardown(tear_down)

  it("goes on as if its earlier steps had been done", body(function()
    local h = host()
    local function all(view)
      local out = {}
      local function add(r) out[#out + 1] = { r.changed, r.diff } end
      add(view:account("sshlua-shop", "present", { home = "/home/shop", make_home = false, shell = "/bin/sh" }))
      add(view:account("sshlua-other", "present", { groups = "sshlua-shop", shell = "/bin/sh" }))
      add(view:dir("/home/shop/a/b", { owner = "sshlua-shop", mode = "700" }))
      add(view:file("/home/shop/a/b/conf", { content = "x\n", owner = "sshlua-shop", group = "sshlua-shop" }))
      add(view:file("/home/shop/a/list", { content = "x\n" }))
      add(view:link("/home/shop/a/b/link", "conf"))
      add(view:line("/home/shop/a/lines", "one", { create = true }))
      return out
    end
    local dry = h:with { dry_run = true }
    local said = all(dry)
    assert.matches("is missing", fails("exit", dry.file, dry, "/home/shop/other/x", {}).message)
    assert.matches("no user", fails("exit", dry.file, dry, "/etc/motd", { owner = "sshlua-third" }).message)
    local done = all(h)
    assert.same(said, done)
    for _, r in ipairs(all(h)) do assert.is_false(r[1]) end
    h:account("sshlua-other", "absent")
    h:account("sshlua-shop", "absent")
    assert.matches("no user", fails("exit", dry.file, dry, "/etc/motd", { owner = "sshlua-shop" }).message)
  end))
end)

describe("package", function()
  setup(set_up)
  teardown(tear_down)

  it("installs, upgrades and removes by apt; a dry run says which versions", body(function()
    local h = host()
    if not os.execute "command -v apt-get dpkg-deb >/dev/null" then run.skip "there is no apt" end
    system.archive(h, "1.0-1")
    local err = fails("exit", h.package, h, "sshlua-probe", "present", { dry_run = true })
    assert.matches("sshlua%-probe", err.message)
    h:run { "apt-get", "-q", "update" }
    local r = agree(h, "package", "sshlua-probe", "present")
    assert.same({ ["sshlua-probe"] = "absent" }, r.before)
    assert.same({ ["sshlua-probe"] = "1.0-1" }, r.after)
    system.archive(h, "2.0-1")
    assert.is_false(h:package("sshlua-probe", "latest").changed)
    assert.is_false(h:package({ "sshlua-probe", "dpkg" }, "present", { update_cache = true }).changed)
    r = agree(h, "package", "sshlua-probe", "latest")
    assert.same({ ["sshlua-probe"] = "2.0-1" }, r.after)
    assert.equal("2.0-1", h:read "cat /usr/share/sshlua-probe/version")
    agree(h, "package", { "sshlua-probe", "sshlua-nonesuch" }, "absent")
    assert.matches("cannot be removed", fails("exit", h.package, h, "dpkg", "absent", { dry_run = true }).message)
    assert.is_nil(core.fs_stat_sync "/usr/share/sshlua-probe", "this machine was changed")
  end))
end)

describe("service", function()
  setup(set_up)
  teardown(tear_down)

  it("starts, stops and enables what systemd has", body(function()
    local h, dir = system.units(host "units", get().dirs.units)
    local r = agree(h, "service", "shop", "started", { enabled = true })
    assert.same({ active = "inactive", enabled = "disabled" }, r.before)
    assert.equal("active", r.after.active)
    agree(h, "service", "shop", nil, { enabled = false })
    agree(h, "service", "shop", "stopped")
    assert.equal("restart", h:service("shop", "restarted").after.action)
    for _, word in ipairs { "restarted", "reloaded" } do -- each time
      assert.is_true(h:service("shop", word, { dry_run = true }).changed)
      assert.is_true(h:service("shop", word).changed)
    end
    servers.write_file(dir .. "/broken", "")
    h:service("shop", "stopped")
    assert.matches("it cannot start: Job for shop failed", fails("exit", h.service, h, "shop", "started").message)
    assert.matches("no such service", fails("exit", h.service, h, "other", "started").message)
  end))

  it("knows scripts of /etc/init.d", body(function()
    local h = host()
    h:run([[
cat >/etc/init.d/probe <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          probe
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: a service for a spec
### END INIT INFO
case $1 in
start | restart) >/var/local/probe-runs ;;
stop) rm -f /var/local/probe-runs ;;
status) test -e /var/local/probe-runs || exit 3 ;;
esac
END
chmod 755 /etc/init.d/probe]])
    agree(h, "service", "probe", "started")
    agree(h, "service", "probe", "stopped")
    if os.execute "command -v update-rc.d >/dev/null" then
      local r = agree(h, "service", "probe", "started", { enabled = true })
      assert.same({ active = "active", enabled = "enabled" }, r.after)
      agree(h, "service", "probe", nil, { enabled = false })
    end
    assert.is_nil(core.fs_stat_sync "/etc/init.d/probe", "this machine was changed")
  end))
end)

describe("reboot", function()
  setup(set_up)
  teardown(tear_down)

  it("waits until the host is back with another boot id", body(function()
    local h, dir, fleet = host "moon", get().dirs.moon, get().fleet
    servers.write_file(dir .. "/boot_id", "00000000-0000-4000-8000-000000000001\n")
    local r = h:reboot { dry_run = true }
    assert.is_true(r.changed)
    assert.is_true(h:session():is_alive())
    task.scope(function(s)
      s:spawn(function()
        assert(run.eventually(function() return core.fs_stat_sync(dir .. "/rebooted") end))
        fleet:refuse "moon"
        servers.write_file(dir .. "/boot_id", "00000000-0000-4000-8000-000000000002\n")
        fleet:kill("moon", "KILL")
        task.sleep(0.3)
        fleet:refuse("moon", false)
      end)
      r = h:reboot { command = ("touch '%s/rebooted'"):format(dir), timeout = 25 }
    end)
    assert.same({ boot_id = "00000000-0000-4000-8000-000000000001" }, r.before)
    assert.same({ boot_id = "00000000-0000-4000-8000-000000000002" }, r.after)
    assert.equal("moon", h:wait_up().host)
    local err = fails("timeout", h.reboot, h, { command = "true", timeout = 2.5 })
    assert.matches("not back with another boot id within 2.5 s", err.message)
    fleet:refuse "moon"
    h:close()
    err = fails("timeout", h.wait_up, h, { timeout = 0.5 })
    assert.matches("wait_up: it was not up within 0.5 s", err.message)
    fleet:refuse("moon", false)
  end))
end)

describe("facts and hostkeys", function()
  setup(set_up)
  teardown(tear_down)

  it("come in one command, also in a dry run", body(function()
    local h = host "units"
    h:session()
    local before = get().fleet:connections "units"
    local r = h:facts { dry_run = true }
    local f = r.facts
    assert.equal("Linux", f.system)
    assert.equal(h:read "uname -r", f.kernel)
    assert.equal(tonumber(h:read "getconf _NPROCESSORS_ONLN"), f.cpus)
    assert.equal(h:read ". /etc/os-release; echo $ID", f.os)
    assert.is_true(f.memory > 2 ^ 26 and f.uptime > 0)
    assert.same(f.addresses, r:json().addresses)
    assert.equal(before, get().fleet:connections "units")
    local keys = h:hostkeys { types = "ed25519" }.keys
    assert.equal(1, #keys)
    assert.matches("^SHA256:", keys[1].fingerprint)
  end))
end)

describe("a state verb", function()
  setup(set_up)
  teardown(tear_down)

  it("of a fleet gives Results and raises once", body(function()
    if reason then run.skip(reason) end
    local fleet = testbed.start { hosts = 3 }
    run.defer(fleet.stop, fleet)
    local dir = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-spec.XXXXXX"))
    run.defer(core.fs_rmtree_sync, dir)
    local list = {}
    for i = 1, 3 do list[i] = servers.host(fleet, "web" .. i) end
    local web = require("sshlua.hosts").of(list)
    local path = dir .. "/x"
    local rs = web:file(path, { content = "x", parallel = 1, dry_run = true })
    assert.same({ true, true, true }, { rs[1].changed, rs[2].changed, rs[3].changed })
    rs = web:file(path, { content = "x", parallel = 1 })
    assert.same({ true, false, false }, { rs[1].changed, rs.web2.changed, rs.web3.changed })
    local err = fails("fleet", web.dir, web, path)
    assert.equal(3, #err.result:failed())
    rs = web:dir(path, { check = false })
    assert.equal("exit: dir " .. path .. ": is not a directory", rs[1]:problem())
    assert.equal("web2", web:facts()[2].host)
    assert.is_true(web:with({ dry_run = true }):link(dir .. "/l", "x")[1].changed)
    assert.is_nil(core.fs_stat_sync(dir .. "/l"))
    -- and what else a dry run is
    local h = list[1]:with { dry_run = true }
    local r = h:run { "touch", dir .. "/touched" }
    assert.is_true(r.skipped)
    assert.equal("yes\n", h:run("echo yes", { safe = true }).stdout)
    assert.equal("yes", h:read "echo yes")
    h:put({ data = "x" }, dir .. "/put")
    assert.is_nil(core.fs_stat_sync(dir .. "/put"))
    assert.is_nil(core.fs_stat_sync(dir .. "/touched"))
    local settings = require "sshlua.settings"
    settings.dry_run = true
    run.defer(function() settings.dry_run = nil end)
    assert.is_true(list[1]:link(dir .. "/l", "x").dry_run)
    assert.is_true(list[1]:run("touch " .. dir .. "/touched").skipped)
    assert.is_nil(core.fs_stat_sync(dir .. "/touched"))
    assert.is_true(list[1]:link(dir .. "/l", "x", { dry_run = false }).changed)
  end))

  it("shows no secret, not even on the command line", body(function()
    local h = host "units"
    local dir = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-spec.XXXXXX"))
    run.defer(core.fs_rmtree_sync, dir)
    local secret = core.secret("token", "s3cret-word\n")
    for _, dry in ipairs { true, false } do
      local r = h:file(dir .. "/token", { content = secret, mode = "600", dry_run = dry })
      assert.is_true(r.changed)
      assert.matches("Contents differ", r.diff)
      assert.is_nil((r.diff .. tostring(r.after.content)):find("s3cret", 1, true))
    end
    assert.equal("s3cret-word\n", servers.read_file(dir .. "/token"))
    assert.is_false(h:file(dir .. "/token", { content = secret, mode = "600" }).changed)
    servers.write_file(dir .. "/token", "old s3cret")
    local r = h:file(dir .. "/token", { content = secret })
    assert.is_nil((r.diff .. tostring(r.before.content)):find("s3cret", 1, true))
  end))

  it("says who, what, where and what to do when it is not permitted", body(function()
    local account, why = testbed.user {}
    if not account then run.skip(why) end
    run.defer(account.stop, account)
    local fleet = testbed.start { user = account, pam = true }
    run.defer(fleet.stop, fleet)
    local h = servers.host(fleet)
    local dir = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-spec.XXXXXX"))
    run.defer(core.fs_rmtree_sync, dir)
    core.fs_chmod_sync(dir, 493)
    servers.write_file(dir .. "/f", "x")
    local path = dir .. "/f"
    for _, dry in ipairs { true, false } do
      for _, call in ipairs {
        { "file", path, { content = "y" } }, { "file", path, { mode = "600" } }, { "file", path, { owner = "daemon" } },
        { "file", path, { state = "absent" } }, { "dir", dir .. "/d" }, { "link", dir .. "/l", "x" },
        { "line", path, "y" }, { "account", "sshlua-x" }, { "package", "sshlua-nonesuch", "absent", false },
      } do
        local view = h:with { dry_run = dry }
        if call[4] ~= false then
          local err = fails("exit", view[call[1]], view, call[2], call[3])
          assert.equal("web1", err.host)
          assert.equal(call[1], err.op)
          assert.matches(call[1] .. " ", err.message)
          assert.matches("[Pp]ermi", err.message .. (err.hint or ""))
          assert.matches("sudo", err.hint)
        end
      end
    end
    assert.matches("Permission denied", fails("exit", h.file, h, path, { content = "y" }).message)
    assert.equal("x", servers.read_file(path))
    local ok, no_sudo = account:set_sudoers { "Defaults:NAME timestamp_timeout=0, lecture=never", "NAME ALL=(ALL:ALL) ALL" }
    if not ok then run.skip(no_sudo) end
    local root = h:with { sudo = { password = account.password } }
    assert.same(words(root:file(path, { content = "y\n\n", owner = "daemon", dry_run = true })),
      words(root:file(path, { content = "y\n\n", owner = "daemon" })))
    assert.equal("y\n\n", servers.read_file(path))
    assert.is_false(root:file(path, { content = "y\n\n", owner = "daemon" }).changed)
    assert.is_true(root:line(path, "z").changed)
    assert.equal("y\n\nz\n", servers.read_file(path))
  end))

  it("refuses what cannot be meant, at the line that says it", body(function()
    local h = ssh.host("nowhere.invalid")
    for _, call in ipairs {
      { "file", "" }, { "file", nil }, { "file", "~/x" }, { "file", "/x\0y" }, { "file", "/x", { mode = "rw" } },
      { "file", "/x", { content = {} } }, { "file", "/x", { contents = "y" } }, { "file", "/x", { owner = "-x" } },
      { "file", "/x", { state = "there" } }, { "file", "/x", { state = "absent", content = "x" } },
      { "file", "/x", "content" }, { "dir", "/", { state = "absent", recursive = true } },
      { "dir", "/x", { recursive = true } }, { "dir", "/usr/", { state = "absent", recursive = true } },
      { "dir", "..", { state = "absent", recursive = true } }, { "dir", ".", { state = "absent", recursive = true } },
      { "dir", "/etc/../", { state = "absent", recursive = true } },
      { "link", "/x" }, { "link", "/x", "" }, { "line", "/x" }, { "line", "/x", "a\nb" },
      { "line", "/x", "a", { match = "" } }, { "line", "/x", "a", { after = "a", before = "b" } },
      { "service", "-x", "started" }, { "service", "a b", "started" }, { "service", "x" }, { "service", "x", "runs" },
      { "package", "-x" }, { "package", {} }, { "package", "x", "there" }, { "account", "a:b" }, { "account", "-a" },
      { "account", "a", "present", { shell = "sh" } }, { "account", "a", "present", { comment = "a:b" } },
      { "reboot", { command = "" } }, { "wait_up", { dry_run = true } }, { "facts", 1 },
    } do
      local err = fails("usage", h[call[1]], h, call[2], call[3], call[4])
      assert.is_string(err.message)
    end
    local ok, err = pcall(function() h:file("/x", { mod = "644" }) end)
    assert.is_false(ok)
    assert.matches("state_system_spec.lua:%d+: unknown option 'mod'", err.message)
  end))

  it("refuses what fits into no command line", body(function()
    local h = host "units"
    local err = fails("limit", h.line, h, "/x", ("x"):rep(200000))
    assert.matches("command line", err.message)
  end))
end)
