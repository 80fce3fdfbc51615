-- An inventory of a throwaway fleet: selected, run, with the settings of every layer.
local core = require "sshlua.core"
local files = require "spec.support.files"
local hostset = require "sshlua.hostset"
local preferences = require "sshlua.preferences"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"

local body = run.body
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 3 }

-- The fleet's hosts as an INI inventory; `more` is added.
local function inventory_text(more)
  local lines = { "[web]" }
  for i, host in ipairs(fleet().hosts) do
    lines[#lines + 1] = ("%s ansible_host=%s ansible_port=%d ansible_user=%s index=%d"):format(host.name, host.address, host.port,
      host.user, i)
    if i == 2 then lines[#lines + 1] = "[db]" end
  end
  lines[#lines + 1] = "[all:vars]"
  lines[#lines + 1] = "ansible_ssh_private_key_file=" .. fleet().identity
  lines[#lines + 1] = ("ansible_ssh_common_args='-o UserKnownHostsFile=%s -oStrictHostKeyChecking=yes'"):format(fleet().known_hosts)
  return table.concat(lines, "\n") .. "\n" .. (more or "")
end

-- Environment variables for the present spec.
local function with_environment(values, fn)
  local getenv = os.getenv
  os.getenv = function(name) -- luacheck: ignore 122
    if values[name] ~= nil then return values[name] or nil end
    return getenv(name)
  end
  preferences.forget()
  local ok, err = pcall(fn)
  os.getenv = getenv -- luacheck: ignore 122
  preferences.forget()
  if not ok then error(err, 0) end
end

describe("an inventory of real hosts", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("connects as it says, and runs what a group is asked to", body(function()
    local inv = ssh.inventory(files.write("hosts", inventory_text()))
    local web = inv:select("web", { agent = false, batch = true })
    run.defer(web.close, web)
    assert.equal(2, #web)
    local results = web:run "echo $((20 + 1))"
    assert.same({ "21", "21" }, { tostring(results[1]), tostring(results[2]) })
    local all = inv:select("all:!web", { agent = false, batch = true })
    run.defer(all.close, all)
    local seen = {}
    all:each(function(h) seen[#seen + 1] = h.name .. h.vars.index .. h:read "echo up" end)
    assert.same({ fleet().hosts[3].name .. "3up" }, seen)
  end))

  it("hands ansible_host to ssh_config, as Ansible hands it to ssh", body(function()
    local there, f = fleet().hosts[1], fleet()
    local config = files.write("config", ([[
Host alias
  HostName %s
  Port %d
  User %s
  IdentityFile %s
  UserKnownHostsFile %s
Host plain
  Port 9
]]):format(there.address, there.port, there.user, f.identity, f.known_hosts))
    local inv = ssh.inventory(files.write("hosts", "plain ansible_host=alias\n"))
    local opts = { agent = false, batch = true, ssh_config = config }
    local all = inv:select("plain", opts)
    run.defer(all.close, all)
    assert.equal("here", all[1]:read "echo here")
    assert.same({ there.address, there.port, "plain" }, { all[1].hostname, all[1].port, all[1].name })
    local other = inv:select("plain", { agent = false, batch = true, ssh_config = config, hostname = "127.0.0.9", timeout = 5 })
    run.fails("connect", other[1].read, other[1], "true") -- an option is stronger: it is `plain` with another HostName
    assert.equal("127.0.0.9", other[1].hostname)
    assert.equal(9, other[1].port)
  end))

  it("is what -w, -g and the batch job look names up in", body(function()
    local targets = require "sshlua.inventory.targets"
    local path = files.write("hosts", inventory_text())
    local function names(o)
      local list = targets.expand(o)
      return hostset.fold(list)
    end
    local a, b, c = fleet().hosts[1].name, fleet().hosts[2].name, fleet().hosts[3].name
    assert.equal(hostset.fold { a, b, "other" }, names { hosts = { "web", "other" }, inventory = path })
    assert.equal(hostset.fold { a, b }, names { groups = { "web" }, inventory = path })
    assert.equal(hostset.fold { a, c }, names { hosts = { "web", "db" }, exclude = { b }, inventory = path })
    local f = targets.fleet({ hosts = { "db" }, inventory = path }, { agent = false, batch = true })
    run.defer(f.close, f)
    assert.equal("3", f:run({ "echo", f[1].vars.index })[1].stdout:match "%d")
    run.fails("usage", targets.expand, {})
  end))

  it("finds the hosts of a batch job when nobody names any", body(function()
    local targets = require "sshlua.inventory.targets"
    local nodes = files.write("nodes", "n1\nn1\nn2\n")
    for _, case in ipairs {
      { "SLURM_JOB_NODELIST", "node[001-003,7],gpu1", "node[001-003,7],gpu1" }, { "PBS_NODEFILE", nodes, "n[1-2]" },
      { "BACKENDAI_CLUSTER_HOSTS", "main1,sub1,sub2", "main1,sub[1-2]" },
    } do
      with_environment({ [case[1]] = case[2] }, function()
        local said
        local list = targets.expand { say = function(text) said = text end }
        assert.equal(case[3], hostset.fold(list))
        assert.matches(" hosts of " .. case[1], said)
        list = targets.expand { exclude = { list[1].name }, say = function() end }
        assert.is_true(#list >= 1)
      end)
    end
    with_environment({ SLURM_JOB_NODELIST = "n[1-" }, function()
      local err = run.fails("config", targets.expand, {})
      assert.matches("^SLURM_JOB_NODELIST: column 2: unclosed bracket", err.message)
    end)
  end))
end)

describe("which setting wins", function()
  after_each(files.remove)

  it("is: options, SSHLUA_*, the inventory, config.lua", body(function()
    files.write("config/sshlua/config.lua", "return { user = 'config', port = 1, compression = true, tries = 9, identity = { '~/k' } }")
    local path = files.write("hosts", "h ansible_user=inventory ansible_port=2\n")
    with_environment({ XDG_CONFIG_HOME = files.directory() .. "/config", SSHLUA_PORT = "3", SSHLUA_BATCH = "yes", SSHLUA_USER = "" }, function()
      local inv = ssh.inventory(path)
      local h = inv:host "h"
      assert.same({ "inventory", 3, true, true, 9 }, { h.user, h.port, h.target.opts.compression, h.target.opts.batch, h.target.opts.tries })
      h = inv:host("h", { port = 4 })
      assert.equal(4, h.port)
      h = ssh.host "other"
      assert.same({ "config", 3 }, { h.user, h.port })
      assert.equal("me", ssh.host("me@other").user)
    end)
  end))

  it("is said where a setting is wrong", body(function()
    local function says(config, environment, message)
      files.write("config/sshlua/config.lua", config)
      environment.XDG_CONFIG_HOME = files.directory() .. "/config"
      with_environment(environment, function()
        local err = run.fails("config", ssh.host, "h")
        assert.matches(message, err.message, 1, true)
      end)
    end
    says("return { usr = 'x' }", {}, "config.lua: unknown option 'usr' (did you mean 'user'?)")
    says("return { port = 'x' }", {}, "config.lua: option 'port': port expected, got string x")
    says("return 1", {}, "config.lua: a table expected, it returned number")
    says("os.execute()", {}, "config.lua:1: attempt to call a nil value")
    says("return {}", { SSHLUA_PORT = "x" }, 'SSHLUA_PORT: port expected, got "x"')
    says("return {}", { SSHLUA_FAMILY = "many" }, 'SSHLUA_FAMILY: number expected, got "many"')
  end))

  it("takes the user's inventory and number of hosts at once from there, too", body(function()
    local path = files.write("hosts", "[web]\nw[1:3]\n")
    with_environment({ XDG_CONFIG_HOME = "/nowhere", SSHLUA_INVENTORY = path, SSHLUA_PARALLEL = "1" }, function()
      assert.equal(3, #ssh.hosts "@web")
      assert.equal(3, #ssh.inventory():select "web")
      local now, most = 0, 0
      ssh.hosts("@web"):each(function()
        now = now + 1
        most = math.max(most, now)
        ssh.sleep(0.01)
        now = now - 1
      end)
      assert.equal(1, most)
    end)
  end))
end)

describe("sshlua hosts", function()
  after_each(files.remove)

  local function hosts(args, opts)
    if not program.path then run.skip "needs the program sshlua" end
    return program.run({ "hosts", (table.unpack or unpack)(args) }, opts) -- luacheck: ignore 143
  end

  it("expands, folds and counts", body(function()
    assert.equal("web1\nweb3\nx\n", hosts({ "web[1-3]", "!web2", "x" }).out)
    assert.equal("web[1,3]\n", hosts({ "--fold", "-x", "web2", "web[1-3]" }).out)
    assert.equal("web1\n", hosts({ "-xweb2", "--", "web[1-2]" }).out)
    assert.equal("1000000\n", hosts({ "--count", "n[1-1000000]" }).out)
    assert.equal('{"count":2,"hosts":"a[1-2]"}\n', hosts({ "--json", "--fold", "a[1-2]" }).out)
    assert.equal('{"host":"a","port":3,"user":"u"}\n', hosts({ "--json", "u@a:3" }).out)
    assert.equal("a[1-3]\n", hosts({ "--fold", "-" }, { stdin = "a1\na3 a2 # x\n" }).out)
    assert.equal("", hosts({ "a!a" }).out)
  end))

  it("lists and checks inventories", body(function()
    local path = files.write("hosts", "[web]\nw[1:2] x=1\n[db]\nd ansible_connection=local\n")
    assert.equal("w1\nw2\nd\n", hosts({ "--inventory", path }).out)
    assert.equal("w[1-2]\n", hosts({ "--fold", "--inventory=" .. path, "!db" }).out)
    assert.equal('{"groups":["all","web"],"host":"w2","vars":{"x":1}}\n', hosts({ "--json", "--inventory", path, "w2" }).out)
    local r = hosts { "--check", "--inventory", path }
    assert.equal(1, r.code)
    assert.matches('hosts:4: ansible_connection "local" is not supported', r.err, 1, true)
    assert.equal(0, hosts({ "--check", "--inventory", path, "web" }).code)
  end))

  it("says what is wrong, and with which status", body(function()
    local function says(code, message, args)
      local r = hosts(args)
      assert.equal("sshlua: " .. message .. "\n", r.err)
      assert.same({ code, "" }, { r.code, r.out })
    end
    says(2, 'column 4: unclosed bracket in "web["', { "web[" })
    says(2, "hosts: unknown option --foo (see sshlua hosts --help)", { "--foo" })
    says(2, "hosts: which hosts? (an expression, or --inventory FILE; see sshlua hosts --help)", {})
    says(1, 'limit: column 2: "n[1-4]" names 4 hosts; the limit is 3', { "--max", "3", "n[1-4]" })
    says(2, "--max: a number of at least 1 expected, got \"x\"", { "--max", "x", "n" })
    local path = files.write("hosts", "[web\n")
    says(1, "config: " .. path .. ":1: a section is [group], [group:children] or [group:vars]", { "--inventory", path })
  end))

  it("names a million hosts in bounded memory, and stops when nobody reads", body(function()
    if not core.fs_stat_sync "/proc/self/status" then run.skip "needs /proc" end
    local r = program.lua [[
      local hostset, n = require "sshlua.hostset", 0
      hostset.each("n[1-1000000]!n[7-9]", nil, function() n = n + 1 end)
      print(n, io.open("/proc/self/status"):read("a"):match("VmHWM:%s*(%d+)"))]]
    local n, peak = r.out:match "(%d+)%s+(%d+)"
    assert.equal("999997", n)
    assert.is_true(tonumber(peak) < 300000, peak .. " KiB") -- under AddressSanitizer, which keeps what was freed; 10 MiB without
    r = program.run({}, { shell = [["$0" hosts "n[1-1000000]" | head -n 1; ]] })
    assert.equal("n1\n", r.out)
    assert.equal("", r.err)
  end, 120))
end)
