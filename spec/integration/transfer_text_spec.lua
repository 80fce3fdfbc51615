-- template, save and read_file: small files as strings, of one host and of many.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body, fails = run.body, run.fails
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 2 }

local function host(name) return servers.host(fleet(), name) end

local function both()
  local all = ssh.hosts("web[1-2]", servers.options(fleet()))
  run.defer(all.close, all)
  return all
end

describe("host:template", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("writes what the variables make of it, once", body(function()
    local h = host()
    h.vars.port = 8080
    local from = files.write("app.tpl", "name = <%= name %>\nport = <%= port %> # <%= host.name %>\n", 416)
    local to = files.directory() .. "/app.conf"
    local r = h:template(from, to, { name = "shop" })
    local text = "name = shop\nport = 8080 # " .. h.name .. "\n"
    assert.equal(text, servers.read_file(to))
    assert.equal(416, core.fs_stat_sync(to).mode)
    assert.is_true(r.changed)
    assert.is_nil(r.before)
    assert.equal(text, r.after)
    r = h:template(from, to, { name = "shop" })
    assert.is_false(r.changed)
    assert.equal("", r.diff)
    r = h:template(from, to, { name = "shop", port = 81 }, { dry_run = true })
    assert.is_true(r.changed)
    assert.equal(text, servers.read_file(to))
    assert.matches("%-port = 8080 .*\n%+port = 81 ", r.diff)
    r = h:template(from, to, { name = "shop" }, { mode = "600" })
    assert.is_true(r.changed)
    assert.equal(384, core.fs_stat_sync(to).mode)
    assert.is_false(h:template(from, to, { name = "shop" }, { mode = "600" }).changed)
  end))

  it("changes nothing when a variable is missing or the directory is", body(function()
    local h = host()
    local from = files.write("a.tpl", "x\n<%= missing %>\n")
    local to = files.write("a", "old")
    local err = fails("config", h.template, h, from, to, {})
    assert.matches("a.tpl:2: undefined variable 'missing'", err.message)
    assert.equal("old", servers.read_file(to))
    err = fails("sftp", h.template, h, from, files.directory() .. "/no/a", { missing = "" })
    assert.matches("parents", err.hint)
    h:template(from, files.directory() .. "/no/a", { missing = "" }, { parents = true })
    assert.equal("x\n\n", servers.read_file(files.directory() .. "/no/a"))
    fails("io", h.template, h, from .. "x", to, {})
    fails("usage", h.template, h, from, to, 5)
    fails("usage", h.template, h, from, files.directory() .. "/", {})
    fails("usage", h.template, h, from, to, {}, { delete = true })
  end))

  it("keeps secrets out of the diff", body(function()
    local h = host()
    local pw = ssh.secret("template diff", { command = "echo h1dd3n" })
    local from, to = files.write("a.tpl", "pw=<%= pw %>\n"), files.directory() .. "/a"
    local r = h:template(from, to, { pw = pw }, { mode = "600" })
    assert.equal("pw=h1dd3n\n", servers.read_file(to))
    assert.is_nil((r.diff .. r.after):find("h1dd3n", 1, true))
  end))

  it("is for fleets, with variables of each host", body(function()
    local all = both()
    local from = files.write("a.tpl", "<%= n %> <%= host.name %>\n")
    local rs = all:template(from, files.directory() .. "/same", function(h) return { n = #h.name } end, { parallel = 1 })
    assert.equal(2, #rs:ok())
    assert.equal(("%d %s\n"):format(#all[2].name, all[2].name), servers.read_file(files.directory() .. "/same"))
    local err = fails("config", all.template, all, files.write("b.tpl", "<% if %>"), files.directory() .. "/x", {})
    assert.matches("b.tpl:1:", err.message)
    err = fails("fleet", all.template, all, from, files.directory() .. "/x", {})
    assert.equal(2, #err.result:failed())
  end))
end)

describe("host:save", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("writes a local file whole, with its directories", body(function()
    local h = host()
    local path = files.directory() .. "/backup/sw1.cfg"
    local r = h:save(path, "vlan 10\n")
    assert.is_true(r.changed)
    assert.equal("vlan 10\n", servers.read_file(path))
    assert.is_false(h:save(path, "vlan 10\n").changed)
    h:save(path, h:run "echo vlan 20", { mode = "600" })
    assert.equal("vlan 20\n", servers.read_file(path))
    assert.equal(384, core.fs_stat_sync(path).mode)
    h:save(path, "")
    assert.equal("", servers.read_file(path))
    assert.equal(384, core.fs_stat_sync(path).mode)
    local names = {}
    for _, e in ipairs(task.await(core.fs_readdir, files.directory() .. "/backup")) do names[#names + 1] = e.name end
    assert.equal("sw1.cfg", table.concat(names, " "))
    local err = fails("io", h.save, h, path .. "/x", "text")
    assert.equal(h.name, err.host)
    fails("io", h.save, h, files.directory() .. "/backup", "text")
    fails("usage", h.save, h, path, {})
    fails("usage", h.save, h, "", "x")
  end))

  it("of many hosts writes a file for each", body(function()
    local all = both()
    fails("usage", all.save, all, files.directory() .. "/one", "text")
    local path = files.directory() .. "/{host}.txt"
    local rs = all:save(path, function(h) return h:read "echo hello" end)
    assert.equal(2, #rs:ok())
    for _, h in ipairs(all) do
      assert.equal("hello", servers.read_file(files.directory() .. "/" .. h.name .. ".txt"))
    end
  end))
end)

describe("host:read_file", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("gives the bytes, and says what it could not read", body(function()
    local h = host()
    local path = files.write("a", "a\0b\n")
    assert.equal("a\0b\n", h:read_file(path))
    assert.matches("ID=", h:read_file "/etc/os-release")
    fails("limit", h.read_file, h, path, { max = 3 })
    local err = fails("sftp", h.read_file, h, path .. "x")
    assert.equal(path .. "x", err.path)
    fails("usage", h.read_file, h, 5)
    local rs = both():read_file(path)
    assert.equal("a\0b\n", rs[2].stdout)
    assert.equal(1, #rs:group())
  end))
end)
