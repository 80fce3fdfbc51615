-- service and package on real systems: systemd, OpenRC and sysvinit as process 1, dnf, zypper and pacman with an archive,
-- reached by sshd. tools/systems makes them; SSHLUA_SYSTEMS says where they are.
local booted = require "spec.support.booted"
local run = require "spec.support.run"
local system = require "spec.support.system"
local task = require "sshlua.task"

local agree, fails = system.agree, run.fails

local function on(name, fn)
  describe(name .. " #long", function()
    local reason = booted.missing(name)
    local get, set_up, tear_down = run.shared(function() return reason and {} or booted.start(name) end,
      function(machine) if machine.stop then machine.stop() end end)
    setup(set_up)
    teardown(tear_down)
    fn(function(sentence, body)
      it(sentence, run.body(function()
        if reason then run.skip(reason) end
        body(get().host())
      end, 240))
    end)
  end)
end

-- Fails alike in a dry run and in a run.
local function refused(h, verb, what, state, opts, said)
  for _, dry in ipairs { true, false } do
    local view = h:with { dry_run = dry }
    local err = fails("exit", view[verb], view, what, state, opts)
    assert.matches(said, err.message)
  end
end

-- What changes something each time, and is announced all the same.
local function again(h, what, state)
  local said, done = h:service(what, state, { dry_run = true }), h:service(what, state)
  assert.equal(said.diff, done.diff)
  return done
end

-- Fails in the run alone; the error says why.
local function breaks(h, what, state, said)
  assert.is_true(h:service(what, state, { dry_run = true }).changed)
  local err = fails("exit", h.service, h, what, state)
  assert.matches(said, err.message)
  return err
end

local UNITS = [[
cd /etc/systemd/system
unit() { printf '[Service]\n%b\n[Install]\nWantedBy=multi-user.target\n' "$2" >"$1.service"; }
unit web 'ExecStart=/bin/sleep 100000\nExecReload=/bin/true'
unit plain 'ExecStart=/bin/sleep 100000'
unit once 'Type=oneshot\nExecStart=/bin/true'
unit fails 'Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c "echo no such config; exit 3"'
unit noexec 'ExecStart=/nonexistent'
unit flaps 'ExecStart=/bin/false\nRestart=always\nRestartSec=10'
unit bad 'ExecStop=/bin/true'
unit 'inst@' 'ExecStart=/bin/sleep 100000'
unit named 'ExecStart=/bin/sleep 100000'
echo Alias=other.service >>named.service
ln -s /dev/null masked.service
systemctl daemon-reload]]

on("systemd", function(it_does)
  local function ready(h)
    assert(run.eventually(function() return h:run("systemctl list-units", { check = false }).ok end))
    h:run(UNITS)
  end

  it_does("runs, stops and enables units as announced", function(h)
    ready(h)
    local r = agree(h, "service", "web", "started", { enabled = true })
    assert.same({ active = "inactive", enabled = "disabled" }, r.before)
    assert.same({ active = "active", enabled = "enabled" }, r.after)
    again(h, "web", "restarted")
    again(h, "web", "reloaded")
    agree(h, "service", "web", "stopped", { enabled = false })
    assert.is_nil(again(h, "web", "reloaded").after.action) -- it is started then
    h:run "systemctl enable web && systemctl enable --runtime web"
    agree(h, "service", "web", "stopped", { enabled = false })
    agree(h, "service", "inst@a", "started", { enabled = true })
    agree(h, "service", "masked", "stopped", { enabled = false })
    agree(h, "service", "named", nil, { enabled = true })
    agree(h, "service", "other", "started", { enabled = true })
    assert.equal("disabled", h:service("other", "stopped", { enabled = false }).after.enabled)
    assert.equal("restart", h:service("once", "restarted").after.action)
  end)

  it_does("refuses before what cannot be, and says why something did not start", function(h)
    ready(h)
    refused(h, "service", "nonesuch", "started", {}, "there is no such service")
    refused(h, "service", "masked", "started", {}, "it is masked")
    refused(h, "service", "masked", nil, { enabled = true }, "it is masked")
    refused(h, "service", "once", "started", {}, "it ends when it has run")
    refused(h, "service", "bad", "started", {}, "bad unit file setting")
    refused(h, "service", "inst@", "started", {}, "name an instance")
    agree(h, "service", "plain", "started")
    refused(h, "service", "plain", "reloaded", {}, "ExecReload")
    local err = breaks(h, "fails", "started", "it cannot start: .*no such config")
    assert.matches("systemctl status fails.service", err.hint)
    breaks(h, "noexec", "started", "it is failed %(exit%-code, status 203%)")
    breaks(h, "flaps", "started", "it is restarting")
    agree(h, "service", "flaps", "stopped")
  end)

  it_does("takes units that were just written, or would be", function(h)
    local unit = { content = "[Service]\nExecStart=/bin/sleep 200000\n" }
    local dry = h:with { dry_run = true }
    dry:file("/etc/systemd/system/new.service", unit)
    dry:put({ data = unit.content }, "/etc/systemd/system/other-new.service")
    assert.is_true(dry:service("new", "started").changed)
    assert.is_true(dry:service("other-new.service", "started").changed)
    h:file("/etc/systemd/system/new.service", unit)
    agree(h, "service", "new", "started")
    unit.content = unit.content:gsub("2", "3")
    h:file("/etc/systemd/system/new.service", unit)
    h:service("new", "restarted")
    assert.equal("1", h:read "pgrep -c -f 'sleep 300000'")
  end)

  it_does("is not asked by users who may not", function(h)
    ready(h)
    h:run "id joe 2>/dev/null || useradd -m joe"
    local joe = h:with { su = "joe" }
    for _, dry in ipairs { true, false } do
      local err = fails("exit", joe.service, joe, "web", "restarted", { dry_run = dry })
      assert.matches("denied", err.message)
      assert.matches("sudo", err.hint)
    end
  end)
end)

local OPENRC = [[
cd /etc/init.d
printf '#!/sbin/openrc-run\ncommand=/bin/sleep\ncommand_args=100000\ncommand_background=yes\npidfile=/run/shop.pid
extra_started_commands=reload\nreload() { return 0; }\n' >shop
printf '#!/sbin/openrc-run\ncommand=/bin/false\n' >fails
chmod 755 shop fails]]

-- A script of its own, which is ahead of its daemon.
local LSB = [[
cat >/etc/init.d/lsb <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          lsb
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: a service for a spec
### END INIT INFO
case $1 in
start) (sleep 1; exec start-stop-daemon --start -b -m --pidfile /run/lsb.pid --exec /bin/sleep -- 100000) & ;;
stop) start-stop-daemon --stop --pidfile /run/lsb.pid --exec /bin/sleep; rm -f /run/lsb.pid ;;
restart) "$0" stop; "$0" start ;;
status) start-stop-daemon --status --pidfile /run/lsb.pid --exec /bin/sleep ;;
*) exit 1 ;;
esac
END
chmod 755 /etc/init.d/lsb]]

local function scripts(h, name)
  local r = agree(h, "service", name, "started", { enabled = true })
  assert.same({ active = "active", enabled = "enabled" }, r.after)
  again(h, name, "restarted")
  agree(h, "service", name, "stopped", { enabled = false })
  refused(h, "service", "nonesuch", "started", {}, "there is no such service")
end

on("openrc", function(it_does)
  it_does("runs, stops and enables OpenRC's scripts and others as announced", function(h)
    assert(run.eventually(function() return h:run("rc-status", { check = false }).ok end))
    h:run(OPENRC)
    h:run(LSB)
    scripts(h, "shop")
    scripts(h, "lsb")
    assert.is_nil(again(h, "shop", "reloaded").after.action) -- it is started then
    assert.equal("reload", again(h, "shop", "reloaded").after.action)
    breaks(h, "fails", "started", "it cannot start")
  end)
end)

on("sysv", function(it_does)
  it_does("runs, stops and enables scripts as announced", function(h)
    h:run(LSB)
    scripts(h, "lsb")
  end)
end)

-- How another one is kept busy.
local managers = {
  dnf = { slow = "dnf -y install slow", tool = "2:1.5-1", also = true },
  zypper = { slow = "zypper -n install slow", tool = "2:1.5-1", also = true },
  pacman = { slow = "pacman -S --noconfirm slow", tool = "1.5-1" },
}

for _, name in ipairs { "dnf", "zypper", "pacman" } do
  local manager = managers[name]
  on(name, function(it_does)
    local function live(h, age)
      h:run("ln -sfn " .. age .. " /srv/live")
      h:package("tool", "absent")
      h:package("needs", "present", { update_cache = true })
      h:package({ "needs", "probe" }, "absent")
    end

    it_does("installs, upgrades and removes as announced", function(h)
      live(h, "old")
      local r = agree(h, "package", { "probe", "tool" }, "present")
      assert.same({ probe = "absent", tool = "absent" }, r.before)
      assert.equal(manager.tool, r.after.tool)
      assert.is_false(h:package({ "probe", "tool" }, "latest").changed)
      h:run "ln -sfn new /srv/live"
      assert.is_false(h:package("probe", "present", { update_cache = true }).changed)
      h:package("needs", "present", { update_cache = true })
      r = agree(h, "package", { "probe", "tool" }, "latest")
      assert.same({ probe = "2.0-1", tool = (manager.tool:gsub("1.5", "1.6")) }, r.after)
      assert.equal("9-1", agree(h, "package", "vim", "present").after.vim) -- another's other name
      assert.is_false(h:package("vim", "absent").changed)
      agree(h, "package", { "vim-enhanced", "nonesuch" }, "absent")
      if manager.also then
        local said, done = h:package("probe", "absent", { dry_run = true }), h:package("probe", "absent")
        assert.equal("needs", done.after["removed with them"])
        assert.equal(said.diff, done.diff)
      else
        refused(h, "package", "probe", "absent", {}, "required by needs")
      end
      agree(h, "package", { "needs", "probe", "tool" }, "absent")
    end)

    it_does("refuses alike what cannot be installed", function(h)
      live(h, "old")
      refused(h, "package", { "tool", "nonesuch" }, "present", {}, "nonesuch")
      refused(h, "package", "broken", "present", {}, "nothing%-has%-this")
      assert.equal("absent", h:package("tool", "absent").before.tool)
      h:run "id joe 2>/dev/null || useradd -m joe"
      local joe = h:with { su = "joe" }
      for _, dry in ipairs { true, false } do
        assert.matches("sudo", fails("exit", joe.package, joe, "tool", "present", { dry_run = dry }).hint)
      end
    end)

    it_does("waits while another one installs, but not for ever", function(h)
      live(h, "old")
      h:package("slow", "absent")
      local other = h:spawn(manager.slow, {})
      task.sleep(2.5) -- its own start, until it locks
      local err = fails("exit", h.package, h, "tool", "present", { lock_timeout = 1 })
      assert.matches("somebody else installs there, for longer than lock_timeout %(1 s%)", err.message)
      assert.equal("absent", h:package("tool", "present").before.tool)
      other:wait()
      h:package({ "tool", "slow" }, "absent")
    end)
  end)
end
