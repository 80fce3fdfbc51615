-- Inventories: what each format says, which variable wins, what becomes a connection setting, and where errors point.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local files = require "spec.support.files"
local hostset = require "sshlua.hostset"
local run = require "spec.support.run"
local ssh = require "sshlua"

local body = run.body

local function open(name, text, opts) return ssh.inventory(files.write(name, text), opts) end

local function names(inv, expression) return hostset.fold(inv:expand(expression)) end

-- The error of reading a file, its directory left out.
local function refused(name, text, opts)
  local ok, err = pcall(open, name, text, opts)
  assert(not ok, "accepted")
  assert(errors.is(err), tostring(err))
  return (tostring(err):gsub(files.directory():gsub("%p", "%%%0") .. "/", "")), err
end

local function selecting_fails(inv, expression)
  local ok, err = pcall(inv.select, inv, expression)
  assert(not ok and errors.is(err), tostring(err))
  return (err.message:gsub(files.directory():gsub("%p", "%%%0") .. "/", ""))
end

local INI = [[
lonely ansible_host=10.0.0.9
; comment
[web]
web[01:03] role="front end" n=5 list="[1, 'a', True]" pad=007 yes=True none=None
web13:2222 ansible_user=deploy   # inline

[db]
db-[a:c]
[::1]:2200

[prod:children]
web   # of the shop
db

[prod:vars]
env = prod = yes
count=0x10
]]

describe("an INI inventory", function()
  after_each(files.remove)

  it("has groups, ranges, children and variables", body(function()
    local inv = open("hosts", INI)
    assert.equal("lonely,web[01-03,13],db-a,db-b,db-c,::1", names(inv))
    assert.equal("web[01-03,13]", names(inv, "web"))
    assert.equal("web[01-03,13],db-a,db-b,db-c,::1", names(inv, "prod"))
    assert.equal("lonely", names(inv, "ungrouped"))
    assert.same({ "all", "prod", "web" }, inv:groups "web13")
    local vars = inv:vars "web02"
    assert.same({ "front end", 5, "007", true, "prod = yes", 16 }, { vars.role, vars.n, vars.pad, vars.yes, vars.env, vars.count })
    assert.same({ 1, "a", true }, { vars.list[1], vars.list[2], vars.list[3] })
    assert.is_nil(vars.none)
    local h = inv:host "web13"
    assert.same({ "deploy", 2222, "web13" }, { h.user, h.port, h.hostname })
    assert.equal("10.0.0.9", inv:host("lonely").hostname)
    assert.same({ "::1", 2200 }, { inv:host("::1").hostname, inv:host("::1").port })
  end))

  it("is refused with file and line", body(function()
    local function line(text, message) assert.equal("config: hosts.ini" .. message, (refused("hosts.ini", text))) end
    line("a\n[web:vars]\nx\n", ':3: "x" is no key = value')
    line("a b\n", ':1: "b" is no key=value')
    line("[web\n", ":1: a section is [group], [group:children] or [group:vars]")
    line("[web:kids]\n", ":1: unknown section [web:kids]; there are :children and :vars")
    line("a x='1\n", ":1: unclosed quote")
    line("\nweb[1:3\n", ':2: unclosed bracket in "web[1:3"')
    line("web[3:1]\n", ":1: reversed range [3:1]")
    line("web[1-3]\n", ":1: a range is [from:to] or [from:to:step], not [1-3]")
    line("web[01:3]\n", ":1: different padding at the two ends of [01:3]")
    line("web[a:3]\n", ":1: a range is of numbers or of single letters, not [a:3]")
    line("web[1:3:0]\n", ":1: a step of 0 in the range [1:3:0]")
    line("web[1:99999999]\n", ":1: too many hosts in [1:99999999]")
    line("-oProxyCommand=x\n", ':1: "-oProxyCommand=x" is no host name')
    line("a;b\n", ':1: "a;b" is no host name')
    line("a:70000\n", ':1: bad port "70000" (1 to 65535)')
    line("a\0b\n", ":1: a NUL byte: this is no text")
    line("\255\254\n", ":1: bad UTF-8 or invisible characters in a host name")
    line("[a:children]\nb\n[b:children]\nc\n[c:children]\na\n", ":6: the group a contains itself")
    line("[a:children]\na\n", ":2: the group a contains itself")
    line("[a,b]\n", ':1: "a,b" is no group name')
    line(("x"):rep(70000), ":1: a line of 70000 bytes")
  end))
end)

local function needs_yaml()
  if not core.about().yaml then run.skip "built without libyaml" end
end

local YAML = [[
all:
  vars: {a: 1, who: "${SSHLUA_SPEC_NOBODY:-nobody}", keep: "$${X}"}
  children:
    web:
      hosts:
        web[01:03]:
        web13: {ansible_host: 10.1.1.13, port: 8080}
      vars: &common {a: 2, gone: 1}
    prod:
      vars:
        <<: *common
        b: 3
        ssh: {user: root, compression: true}
      children:
        web:
          vars: {gone: }
        db: {hosts: {db1: }}
]]

describe("a YAML inventory", function()
  after_each(files.remove)

  it("has Ansible's layout, ranges and the environment's variables", body(function()
    needs_yaml()
    local inv = open("hosts.yaml", YAML)
    assert.equal("web[01-03,13],db1", names(inv))
    local vars = inv:vars "web13"
    assert.same({ 2, "nobody", "${X}", 3, 8080 }, { vars.a, vars.who, vars.keep, vars.b, vars.port })
    assert.is_nil(vars.gone) -- null
    assert.is_nil(vars.ssh) -- settings, not data
    local h = inv:host "web13"
    assert.same({ "root", 22, "10.1.1.13", true }, { h.user, h.port, h.hostname, h.target.opts.compression })
  end))

  it("is refused with file and line", body(function()
    needs_yaml()
    local function line(text, message) assert.equal("config: hosts.yml" .. message, (refused("hosts.yml", text))) end
    line("web:\n  hosts: [", ":3: did not find expected node content while parsing a flow node")
    line("web:\n  host: {a: }\n", ':2: group web has "host"; a group has hosts, children and vars')
    line("web:\n  hosts: 5\n", ":2: hosts of web: a mapping or list expected, got the number 5")
    line("web:\n  hosts:\n    a: 5\n", ":3: variables of a: a mapping expected, got the number 5")
    line("- a\n", ": a mapping of groups expected, got a list")
    line("web:\n  vars:\n    x: ${SSHLUA_SPEC_NOBODY}\n", ":3: the environment has no SSHLUA_SPEC_NOBODY")
    line("web:\n  vars: {x: '${a b}'}\n", ":2: ${a b} names no variable")
    line("web:\n  hosts:\n    a:\n    a:\n", ":4: the key is there twice: a")
    line("web:\n  children:\n    db:\n      children:\n        web:\n", ":5: the group web contains itself")
    line("web:\n  vars: {x: !vault abc}\n", ":2: a tag that is not supported: !vault")
    line("web: {hosts: {a: }}\n--- \nx: {}\n", ":2: more than one document")
    line("web:\n  hosts: {\"a b\": }\n", ':2: "a b" is no host name')
    line("a: \255\n", ":1: bytes that are not UTF-8")
    line("web: &x {children: *x}", ":1: an alias without a complete anchor: x")
  end))

  it("cannot be a bomb", body(function()
    needs_yaml()
    local bomb = { "a0: &a0 {vars: {x: [1,1,1,1,1,1,1,1,1,1]}}" }
    for i = 1, 30 do bomb[#bomb + 1] = ("a%d: &a%d {vars: {%s}}"):format(i, i, ("k: *a%d"):format(i - 1) .. (", j: *a%d"):format(i - 1)) end
    local from = os.clock()
    assert.matches("^limit: hosts.yml:%d+: more values than are read", (refused("hosts.yml", table.concat(bomb, "\n"))))
    assert.matches("more levels than are read", (refused("hosts.yml", "web: " .. ("["):rep(100000))))
    assert.matches("more levels than are read", (refused("hosts.yml", "web: " .. ("{a: "):rep(100000))))
    assert.is_true(os.clock() - from < 10)
  end))
end)

describe("a JSON inventory", function()
  after_each(files.remove)

  it("has the layout of YAML's, or that of dynamic inventories", body(function()
    local inv = open("hosts.json", [[{"web": {"hosts": ["w1", "w2"], "vars": {"x": 1, "n": null}}, "old": ["o1"],
      "prod": {"children": ["web"]}, "_meta": {"hostvars": {"w1": {"ansible_port": 2200, "y": [1]}, "unknown": {}}}}]])
    assert.equal("o1,w[1-2]", names(inv))
    assert.equal("w[1-2]", names(inv, "prod"))
    assert.same({ x = 1, y = { 1 }, ansible_port = 2200 }, inv:vars "w1")
    assert.equal(2200, inv:host("w1").port)
    assert.equal("a[1-2]", names(open("b.json", '{"all": {"children": {"g": {"hosts": {"a1": {}, "a2": null}}}}}')))
  end))

  it("is refused with the line, or the path to what is wrong", body(function()
    assert.matches("^config: h.json:2: ", (refused("h.json", '{"web":\n x}')))
    assert.equal("config: h.json: .web.hosts.2: hosts of web: a name expected, got the number 5",
      (refused("h.json", '{"web": {"hosts": ["a", 5]}}')))
    assert.equal("config: h.json: a mapping of groups expected, got a list", (refused("h.json", "[1]")))
    assert.matches("more than", (refused("h.json", ('{"a":{"children":'):rep(70) .. "{}" .. ("}}"):rep(70))))
    assert.is_table((select(2, refused("h.json", ("["):rep(100000)))))
  end))
end)

describe("a Lua inventory", function()
  after_each(files.remove)

  it("returns a table, with host expressions as names", body(function()
    local inv = open("hosts.lua", [[
local web = {}
for i = 1, 3 do web["web" .. i] = { index = i } end
return { web = { hosts = web }, db = { hosts = { "app@db[1-3]:2222" }, vars = { home = os.getenv "HOME" } } }]])
    assert.equal("db[1-3],web[1-3]", names(inv))
    assert.equal(2, inv:vars("web2").index)
    local h = inv:host "db3"
    assert.same({ "app", 2222 }, { h.user, h.port })
    assert.equal(os.getenv "HOME", h.vars.home)
  end))

  it("sees no more than a description needs, and comes to an end", body(function()
    local function line(text, message) assert.equal("config: h.lua" .. message, (refused("h.lua", text))) end
    line("return 5", ": a table expected, it returned number")
    line("x = = 1", ":1: unexpected symbol near '='")
    line("\nos.execute 'true'", ":2: attempt to call " .. (jit and "field 'execute' (a nil value)" or "a nil value (field 'execute')"))
    line("io.open 'x'", ":1: attempt to index " .. (jit and "global 'io' (a nil value)" or "a nil value (global 'io')"))
    line("return { web = { hosts = { 'a[3-1]' } } }", ': .web.hosts.1: column 3: reversed range "3-1"')
    assert.matches("more than 100000 groups", (refused("h.lua", "local g = {} for _ = 1, 50 do g = { children = { a = g, b = g } } end return { c = g }")))
    line("\27Lua", ": compiled Lua is not read here")
    assert.matches("it does not come to an end", (refused("h.lua", "while true do end")))
    line("return { g = { hosts = { [type] = 1 } } }", ": a name expected, got a function")
    line("return { g = { hosts = { h = { [true] = 1 } } } }", ": .g.hosts.h: a name expected, got a boolean")
    line("string.format = nil return { a = { hosts = 5 } }", ": .a.hosts: hosts of a: a mapping or list expected, got the number 5")
    assert.is_function(string.format)
  end))
end)

describe("a program as inventory", function()
  after_each(files.remove)

  local function program(text) return files.write("dynamic", "#!/bin/sh\n" .. text, 493) end

  it("is asked with --list, and with --host when there is no _meta", body(function()
    local path = program [[case "$*" in
--list) echo '{"web": {"hosts": ["a", "b"]}, "_meta": {"hostvars": {"a": {"x": 1}}}}' ;;
*) exit 9 ;; esac]]
    assert.equal(1, ssh.inventory(path):vars("a").x)
    path = program [[case "$*" in
--list) echo '{"web": {"hosts": ["a", "b"]}, "db": ["c"]}' ;;
"--host b") echo '{"x": 2}' ;;
*) echo '{}' ;; esac]]
    local inv = ssh.inventory(path)
    assert.equal(2, inv:vars("b").x)
    assert.equal("c,a,b", names(inv))
  end))

  it("has a deadline, and the loop goes on meanwhile", body(function()
    local path = program "sleep 60"
    local ticks = 0
    ssh.race(function()
      local err = run.fails("timeout", ssh.inventory, path, { timeout = 0.5 })
      assert.matches("dynamic: no inventory within 0.5 s", err.message)
    end, function()
      while true do
        ssh.sleep(0.01)
        ticks = ticks + 1
      end
    end)
    assert.is_true(ticks > 3)
  end))

  it("is said what went wrong", body(function()
    local function says(text, message)
      local ok, err = pcall(ssh.inventory, program(text))
      assert.is_false(ok)
      assert.matches(message, tostring(err), 1, true)
    end
    says("echo no way >&2; exit 3", "--list exits with 3: no way")
    local _, err = pcall(ssh.inventory, program("echo no way >&2; exit 3"))
    assert.is_nil(tostring(err):find("no way\\n", 1, true))
    says("echo hello", "--list prints no JSON")
    says("kill -9 $$", "--list was killed")
    says("head -c 70000000 /dev/zero", "--list prints more than 67108864 bytes")
    assert.matches("not executable", (refused("plain.py", "print(1)")))
  end))

  it("needs a task", function()
    if require("sshlua.task").current() then return end
    local ok, err = pcall(ssh.inventory, program "echo '{}'")
    assert.is_false(ok)
    assert.matches("is run inside a task", tostring(err), 1, true)
  end)
end)

describe("groups of ClusterShell", function()
  after_each(files.remove)

  it("come from the flat form, YAML, and groups.conf with commands", body(function()
    local inv = open("groups", "# nodes\nadm: n0\nio: n[4-6]\ncompute: @adm n[7-9]\nall: @io,@compute\n", { format = "groups" })
    assert.equal("n[0,4-9]", names(inv))
    assert.equal("n[0,7-9]", names(inv, "compute"))
    assert.equal("n[4-5]", names(inv, "@io!n6"))
    needs_yaml()
    inv = open("cluster.yaml", "roles:\n  adm: n0\n  io: '@racks:r2,n2'\nracks:\n  r2: ['n[4-5]', n6]\n  new: '@r2!n4'\n")
    assert.equal("n[0,2,4-6]", names(inv))
    assert.equal("n[2,4-6]", names(inv, "io"))
    files.write("conf/groups.d/racks.yaml", "racks:\n  r1: n[1-3]\n")
    files.write("conf/list", "a n1\nb n2 n3\n")
    local conf = files.write("conf/groups.conf", [[
[Main]
default: file
autodir: $CFGDIR/groups.d /no/such/folder
[file]
map: sed -n 's/^$GROUP //p' list
list: cut -d ' ' -f 1 list
]])
    inv = ssh.inventory(conf)
    assert.equal("n[1-3]", names(inv))
    assert.equal("n[2-3]", names(inv, "b"))
  end))

  it("are known to ssh.hosts", body(function()
    local fleet
    local fake = files.write("clustershell/groups.conf", "[local]\nmap: echo '$GROUP[1-2]'\nall: echo everything\n")
    local getenv = os.getenv
    os.getenv = function(name) -- luacheck: ignore 122
      if name == "CLUSTERSHELL_CFGDIR" then return (fake:gsub("/groups.conf", "")) end
      return getenv(name)
    end
    local ok, err = pcall(function() fleet = ssh.hosts "@web!web2,@local:db,@*" end)
    os.getenv = getenv -- luacheck: ignore 122
    assert(ok, tostring(err))
    local list = {}
    for i, h in ipairs(fleet) do list[i] = h.name end
    assert.same({ "web1", "db1", "db2", "everything" }, list)
  end))

  it("are refused with file and line", body(function()
    assert.equal("config: groups:2: \"name: nodes\" expected, got \"x\"", (refused("groups", "a: b\nx\n", { format = "groups" })))
    assert.matches("groups:1: group @a: column 4: empty bracket", (refused("groups", "a: x,y[]\n", { format = "groups" })), 1, true)
    assert.matches(" contains itself", (refused("groups", "a: @b\nb: @a\n", { format = "groups" })), 1, true)
    assert.equal("config: groups.conf:1: the source x has no map", (refused("groups.conf", "[x]\nlist: echo a\n")))
    assert.matches("groups.conf:1: the command of x fails: oh", (refused("groups.conf", "[x]\nmap: echo oh >&2; exit 1\nlist: echo a\n")))
  end))
end)

describe("selecting", function()
  after_each(files.remove)

  it("combines groups and hosts", body(function()
    local inv = open("hosts", INI)
    assert.equal("web[01-03]", names(inv, "web:&prod:!web13"))
    assert.equal("web[01-03,13]", names(inv, "prod,!db"))
    assert.equal("web[01-03,13]", names(inv, "w*"))
    assert.equal("db-a,db-b,db-c", names(inv, "db-?"))
    assert.equal("lonely,db-a,db-b,db-c,::1", names(inv, "!web"))
    assert.equal("web[01-02]", names(inv, "web[01-02]"))
    assert.equal("deploy@web01", names(inv, "deploy@web01"))
    assert.equal("lonely,web[01-03,13],db-a,db-b,db-c,::1", names(inv, "*"))
  end))

  it("says which name is not there", body(function()
    local inv = open("hosts", INI)
    assert.matches('inventory_spec.lua:%d+: column 5: no group and no host "nosuch"', selecting_fails(inv, "web:nosuch"))
    assert.matches('column 1: no group and no host "web04" in the inventory', selecting_fails(inv, "web[01-09]"))
    assert.matches("column 1: no group @nope in hosts", selecting_fails(inv, "@nope"))
  end))

  it("gives hosts with variables, groups and settings; options win", body(function()
    local inv = open("hosts", INI .. "[web:vars]\nansible_user=www\nansible_port=2200\nport=80\n")
    local fleet = inv:select("web:!web13", { user = "admin" })
    assert.equal(3, #fleet)
    local h = fleet[1]
    assert.same({ "web01", "admin", 2200, 80, "front end" }, { h.name, h.user, h.port, h.vars.port, h.vars.role })
    assert.same({ "all", "prod", "web" }, h.groups)
    assert.equal("me", inv:select("me@web02")[1].user)
  end))
end)

describe("the precedence of variables", function()
  after_each(files.remove)

  it("is Ansible's: all, parents, children, group files, the host, host files", body(function()
    needs_yaml()
    local path = files.write("hosts", [[
[child]
h v6=host v7=host
[parent:children]
child
[all:vars]
v1=all
v2=all
v3=all
v4=all
v5=all
v6=all
v7=all
[parent:vars]
v2=parent
v3=parent
[child:vars]
v3=child
v4=child
v5=child
v6=child
]])
    files.write("group_vars/all.yml", "v4: all file\nv5: all file\n")
    files.write("group_vars/child/one.yml", "v5: child file\nv6: child file\n")
    files.write("group_vars/nobody.yml", "v1: none\n")
    files.write("host_vars/h.json", '{"v7": "host file"}')
    local vars = ssh.inventory(path):vars "h"
    local list = {}
    for i = 1, 7 do list[i] = vars["v" .. i] end
    assert.same({ "all", "parent", "child", "all file", "child file", "host", "host file" }, list)
  end))

  it("goes by priority, then name, between groups of equal depth", body(function()
    local text = "[a]\nh\n[b]\nh\n[a:vars]\nx=a\n[b:vars]\nx=b\n"
    assert.equal("b", open("hosts", text):vars("h").x)
    assert.equal("a", open("hosts", text .. "[a:vars]\nansible_group_priority=10\n"):vars("h").x)
  end))

  it("joins several inventories, the later one winning", body(function()
    local a, b = files.write("a.ini", "[web]\nh x=1 y=1\n"), files.write("b.ini", "[web]\nh x=2\n[db]\nd\n")
    local inv = ssh.inventory { a, b }
    assert.same({ 2, 1 }, { inv:vars("h").x, inv:vars("h").y })
    files.write("dir/10.ini", "[web]\nh x=1\n")
    files.write("dir/20.ini", "[web]\nh x=3\n")
    files.write("dir/notes.md", "no inventory [\n")
    assert.equal(3, ssh.inventory(files.directory() .. "/dir"):vars("h").x)
  end))
end)

describe("connection settings", function()
  after_each(files.remove)

  local function options(line)
    local h = open("hosts", "h " .. line .. "\n"):host "h"
    return h.target.opts, h
  end

  it("come from ansible_ names and ssh arguments", body(function()
    local o, h = options "ansible_host=::1 ansible_port=22 ansible_user=u ansible_ssh_private_key_file=~/k ansible_timeout=5 ansible_ssh_retries=2"
    assert.same({ "::1", 22, "u", "~/k", 5, 3 }, { h.hostname, h.port, h.user, o.identity[1], o.timeout, o.tries })
    o = options [[ansible_ssh_common_args="-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -C -4 -o 'ConnectTimeout 7'"]]
    assert.same({ "no", "/dev/null", true, 4, 7 },
      { o.strict_host_key_checking, o.known_hosts[1], o.compression, o.family, o.timeouts.connect })
    h = select(2, options [[ansible_ssh_extra_args="-p 2200 -l a" ansible_ssh_common_args="-p 99 -oControlMaster=auto" ansible_port=22]])
    assert.same({ 22, "a" }, { h.port, h.user })
    o, h = options "ansible_password=geheim"
    assert.equal("geheim", o.password)
    assert.is_nil(h.vars.ansible_password)
  end))

  it("are refused with file and line where they would not do what they say", body(function()
    local function bad(line, message)
      local inv = open("hosts", "[g]\n\nh " .. line .. "\n")
      assert.equal("hosts:3: " .. message, selecting_fails(inv, "h"))
      assert.equal("h", names(inv, "g"))
    end
    bad("ansible_connection=local", 'ansible_connection "local" is not supported; ssh is')
    bad("ansible_port=x", "ansible_port: a port expected (1 to 65535)")
    bad('ansible_host="{{ lookup }}"', "ansible_host is a template, and templates are not evaluated")
    bad("ansible_ssh_common_args='-o Tunnel=yes'", "ansible_ssh_common_args: the ssh option Tunnel is not supported")
    bad("ansible_ssh_common_args='-o Ciphers=+3des-cbc'", "ansible_ssh_common_args: Ciphers +3des-cbc: lists with + are not supported")
    bad("ansible_ssh_common_args='-X'", "ansible_ssh_common_args: the ssh option -X is not supported")
    bad("ansible_ssh_common_args='host'", 'ansible_ssh_common_args: "host" is no option of ssh')
    bad([[ansible_ssh_common_args="-o 'x"]], "ansible_ssh_common_args: unclosed quote")
    if not require("sshlua.connect").options.via then
      bad("ansible_ssh_common_args='-J bastion'", "ansible_ssh_common_args: the ssh option ProxyJump is not supported")
    end
    local inv = open("h.lua", "return { g = { hosts = { h = { ssh = { prt = 1 } } } } }")
    assert.equal("h.lua: .g.hosts.h.ssh: ssh: unknown option 'prt' (did you mean 'port'?)", selecting_fails(inv, "h"))
  end))

  it("say once what has no effect", body(function()
    local inv = open("hosts", "[g]\nh\ni\n[g:vars]\nansible_become=true\nansible_ssh_common_args=-K\n")
    assert.matches("the ssh option -K is not supported", selecting_fails(inv, "g"), 1, true)
    inv = open("hosts", "[g]\nh\ni\n[g:vars]\nansible_become=true\n")
    local events = {}
    local stop = ssh.log(function(event) events[#events + 1] = event end)
    local fleet = inv:select "g"
    stop()
    assert.equal(2, #fleet)
    assert.equal(1, #inv.model.notices)
    assert.matches("hosts:5: ansible_become has no effect here", inv.model.notices[1], 1, true)
    local said = 0
    for _, event in ipairs(events) do
      if event.name == "inventory" or event.what == "inventory" then said = said + 1 end
    end
    assert.equal(1, said)
  end))
end)

describe("a hostile inventory", function()
  after_each(files.remove)

  it("with many hosts is read in bounded time", body(function()
    local from = os.clock()
    local inv = open("hosts", "[web]\nweb[00001:10000] x=1\n[db]\ndb[1:10000]\n[all:children]\nweb\ndb\n")
    assert.equal(20000, #inv:expand())
    assert.equal(10000, #inv:expand "web!db")
    assert.is_true(os.clock() - from < 20)
    local big = { "return { g = { hosts = {" }
    for i = 1, 20 do big[#big + 1] = ("'n[%d-%d]',"):format(i * 1000, i * 1000 + 999) end
    assert.equal(20000, #open("h.lua", table.concat(big) .. "} } }"):expand())
    assert.matches("more than", (refused("h.ini", "a[1:1000]b[1:1001]\n")))
  end, 120))
end)
