-- `sshlua --check` and `--diff`: one script that calls every verb which changes something, checked, run, run again and
-- checked again. What the check announced is what the run reports.
local core = require "sshlua.core"
local files = require "spec.support.files"
local fleets = require "spec.support.fleets"
local jail = require "spec.support.jail"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local system = require "spec.support.system"

local reason = jail.missing(true)
local get, set_up, tear_down = run.shared(function()
  return reason and {} or jail.start { system = { roots = { "/etc", "/var", "/usr", "/home" } }, units = {} }
end, function(j)
  if j.fleet then jail.stop(j) end
end)

local SCRIPT = [[
local ssh = require "sshlua"
local dir, with_package = ...
local h, units = ssh.host "system", ssh.host "units"
local function at(name) return dir .. "/" .. name end

h:file(at "conf", { content = "a=1\nb=2\n", mode = "600" })
h:dir(at "releases/r1", { mode = "750" })
h:link(at "current", at "releases/r1")
h:line(at "releases/list", "r1", { create = true })
h:line(at "lines", "c=3", { match = "^c=" })
h:file(at "old", { state = "absent" })
h:account("sshlua-shop", "present", { home = "/home/shop", make_home = false, shell = "/bin/sh" })
if with_package then h:package("sshlua-probe", "present") end
units:service("shop", "started", { enabled = true })
h:template(at "template", at "made", { port = 80 })
ssh.hosts({ "system" }):template(at "template", at "made2", { port = 81 })
h:save(at "saved/{host}", "text\n")
ssh.hosts({ "system" }):save(at "saved/{host}", "other\n")
h:sync(at "site", at "copy", { delete = true })
h:sync(at "site", at "pulled", { pull = true })
h:put(at "site/index", at "put", { skip = "time", times = true })
h:get(at "site/sub", at "got", { skip = "time", times = true })
ssh.copy("system:" .. at "site/index", "units:" .. at "there", { skip = "time", times = true })
assert(h:run("echo kept", { safe = true }).stdout == "kept\n")
assert(h:read "echo read" == "read")
print "end"
]]

local function snapshot(dir)
  local pipe = io.popen(("cd '%s' && find . -printf '%%P %%y %%m %%s %%T@ %%i %%l\\n' | sort"):format(dir))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

describe("sshlua --check --diff", function()
  setup(set_up)
  teardown(function()
    tear_down()
    program.remove_directory()
  end)
  after_each(files.remove)

  local function it_announces(name, with_package)
    it(name, run.body(function()
      if reason then run.skip(reason) end
      if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
      local host, units = servers.host(get().fleet, "system"), servers.host(get().fleet, "units")
      if with_package then
        if not os.execute "command -v apt-get dpkg-deb >/dev/null" then run.skip "there is no apt" end
        system.archive(host, "1.0-1")
        host:run "apt-get -q update"
      end
      local _, unit = system.units(units, get().dirs.units)
      local dir, script = files.directory(), program.file("check.lua", SCRIPT)
      os.execute(([[cd '%s' && mkdir -p site/sub/empty copy && echo x >site/index && echo y >site/sub/b &&
        ln -s index site/l && echo z >copy/gone && printf 'b=2\nc=1\n' >lines && echo o >old &&
        echo 'port = <%%= port %%>' >template]]):format(dir))
      local env = fleets.environment(get().fleet)
      local function with(options)
        for _, word in ipairs { script, dir, with_package } do options[#options + 1] = word end
        local r = program.run(options, { env = env })
        assert.equal("end\n", r.out, r.err)
        return r
      end
      local function all() return snapshot(dir) .. servers.read_file(unit .. "/active") .. host:read "cat /etc/passwd" end
      local before = all()
      local said = with { "--check", "--diff" }
      assert.equal(before, all())
      assert.equal(5, said.code)
      local done = with { "--diff" }
      assert.equal(0, done.code)
      local announced, count = said.err:gsub("\nsshlua: check: %d+ changes on 2 hosts\n$", "\n")
      assert.equal(1, count, said.err)
      assert.equal((announced:gsub(": would change: ", ": changed: ")), done.err)
      assert.equal(with_package and 18 or 17, select(2, done.err:gsub(": changed: ", "")), done.err)
      assert.equal("active\n", servers.read_file(unit .. "/active"))
      local made = snapshot(dir)
      local again = with { "--diff" }
      assert.same({ 0, "" }, { again.code, again.err })
      assert.equal(made, snapshot(dir))
      again = with { "--check" }
      assert.same({ 0, "sshlua: check: nothing would change\n" }, { again.code, again.err })
      host:account("sshlua-shop", "absent")
      assert.is_nil(core.fs_stat_sync "/usr/share/sshlua-probe", "this machine was changed")
    end, 240))
  end

  it_announces "announces what a run then does, of every verb; a second run changes nothing"
  it_announces("the same with packages #long", "package")

  it("does not do what cannot be pretended, and fails where a run would", run.body(function()
    if reason then run.skip(reason) end
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    local env, dir = fleets.environment(get().fleet), files.directory()
    local function ends(wanted, text, said)
      local script = program.file("one.lua", "local ssh = require 'sshlua' local h, dir = ssh.host 'units', ... " .. text)
      local r = program.run({ "--check", script, dir }, { env = env })
      assert.equal(wanted, r.code, r.err)
      assert.truthy(r.err:find(said, 1, true), r.err)
      assert.equal("", snapshot(dir):match "\n(.*)$")
    end
    ends(0, "h:run { 'touch', dir .. '/a' } ssh.here:run { 'touch', dir .. '/b' }",
      "units: not run: 'touch " .. dir .. "/a'\nlocalhost: not run: 'touch " .. dir .. "/b'\n" ..
      "sshlua: check: nothing would change; 2 commands not run\n")
    ends(1, "h:spawn('touch ' .. dir .. '/a')", "spawn cannot pretend, and this is a dry run: option safe = true")
    ends(1, "h:shell()", "shell cannot pretend")
    ends(0, "assert(h:spawn('true', { safe = true }):wait().ok) h:shell({ safe = true, command = 'sh' }):close()", "nothing would")
    ends(1, "h:put({ data = 'x' }, dir .. '/missing/x')", "no such file")
    ends(1, "h:sync('/etc/apt', dir .. '/missing/x')", "no such file")
    ends(5, "h:dir(dir .. '/missing') h:put({ data = 'x' }, dir .. '/missing/x')", "2 changes on 1 host")
    ends(5, "h:file(dir .. '/x', { content = '' }) h:with({ dry_run = false }):run 'true'", "1 change on 1 host")
    for _, more in ipairs { { "--journal", dir .. "/j", "x.lua" }, { "run", "-w", "units", "true" } } do
      local r = program.run({ "--check", (table.unpack or unpack)(more) }, { env = env }) -- luacheck: ignore 143
      assert.equal(2, r.code)
      assert.matches("^sshlua: [^\n]*%-%-check[^\n]*\n$", r.err)
    end
  end))
end)
