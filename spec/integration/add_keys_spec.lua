-- AddKeysToAgent: what a real ssh-agent has afterwards, compared with what ssh puts there.
local agents = require "spec.support.agents"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local fleet, start_fleet, stop_fleet = servers.shared { hosts = 2 }

local count = 0
local function fresh(name)
  count = count + 1
  return ("%s/%s.%d"):format(fleet().dir, name, count)
end

local function keygen(...) processes.must_run { "ssh-keygen", "-q", ... } end

-- A key that the hosts accept.
local function make_key(kind, comment, passphrase)
  local path = fresh "key"
  keygen("-t", kind, "-N", passphrase or "", "-C", comment or "", "-f", path)
  local f = assert(io.open(fleet().dir .. "/authorized_keys", "a"))
  f:write(servers.read_file(path .. ".pub"))
  f:close()
  return path
end

local function person(script)
  local path = servers.write_file(fresh "askpass", "#!/bin/sh\n" .. script .. "\n")
  processes.must_run { "chmod", "755", path }
  return path
end

local function login(path, key, value, opts, name)
  local all = { identity = key, agent = path, ssh_config = false, ssh_options = { "AddKeysToAgent=" .. value } }
  for k, v in pairs(opts or {}) do all[k] = v end
  local s = servers.connect(fleet(), name, all)
  assert.equal("fine", tostring(s:exec "echo fine"))
end

local function listed(add)
  local ok, out = pcall(add, "-L")
  return ok and out or ""
end

local function public(key) return (servers.read_file(key .. ".pub"):match "^%S+ %S+") end

-- Signs with what the agent has, so that a wrong private half would show.
local function signs(path, key)
  local away = key .. ".away"
  os.rename(key, away)
  login(path, key .. ".pub", "no")
  os.rename(away, key)
end

describe("AddKeysToAgent", function()
  setup(start_fleet)
  teardown(stop_fleet)

  for _, kind in ipairs { "ed25519", "ecdsa", "rsa" } do
    it("yes adds an " .. kind .. " key with its comment, and the agent signs with it", run.body(function()
      local path, key = fresh "agent", make_key(kind, "who I am")
      local _, add = agents.start(path)
      login(path, key, "yes")
      assert.equal(public(key) .. " who I am\n", listed(add))
      signs(path, key)
    end))
  end

  it("adds other curves, too", run.body(function()
    for _, bits in ipairs { "384", "521" } do
      local path, key = fresh "agent", fresh "key"
      keygen("-t", "ecdsa", "-b", bits, "-N", "", "-C", "c", "-f", key)
      local f = assert(io.open(fleet().dir .. "/authorized_keys", "a"))
      f:write(servers.read_file(key .. ".pub"))
      f:close()
      agents.start(path)
      login(path, key, "yes")
      signs(path, key)
    end
  end))

  it("adds a key that had to be decrypted", run.body(function()
    local path, key = fresh "agent", make_key("ed25519", "locked", "open sesame")
    local _, add = agents.start(path)
    login(path, key, "yes", { passphrase = "open sesame" })
    assert.truthy(listed(add):find(public(key), 1, true))
    login(path, key, "yes") -- the agent signs now
  end))

  it("no, and a server that refuses the key, add nothing", run.body(function()
    local path, key = fresh "agent", make_key("ed25519")
    local _, add = agents.start(path)
    login(path, key, "no")
    local stranger = testbed.make_key(fresh "key")
    run.fails("auth", login, path, stranger, "yes")
    assert.equal("", listed(add))
  end))

  it("puts there what ssh puts there, with a certificate, too", run.body(function()
    local ca, key = fresh "ca", make_key("ed25519", "mine")
    keygen("-t", "ed25519", "-N", "", "-f", ca)
    keygen("-s", ca, "-I", "id", "-n", "nobody", key .. ".pub")
    local ours, theirs = fresh "agent", fresh "agent"
    local _, add_ours = agents.start(ours)
    local _, add_theirs = agents.start(theirs)
    login(ours, key, "yes")
    local host = fleet():host()
    processes.must_run { "ssh", "-F", "none", "-o", "AddKeysToAgent=yes", "-o", "IdentityAgent=" .. theirs, "-o",
      "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", key, "-o", "UserKnownHostsFile=" .. fleet().known_hosts, "-p",
      tostring(host.port), host.user .. "@" .. host.address, "true" }
    assert.equal(listed(add_theirs), listed(add_ours))
    assert.truthy(listed(add_ours):find(public(key), 1, true))
  end))

  it("a time makes the agent forget it", run.body(function()
    local path, key = fresh "agent", make_key "ed25519"
    local _, add = agents.start(path)
    login(path, key, "2s")
    assert.truthy(listed(add):find(public(key), 1, true))
    assert.is_true(run.eventually(function() return listed(add) == "" end))
  end))

  it("confirm: the agent asks before each use", run.body(function()
    local asked = fresh "asked"
    local askpass = person("echo asked >> " .. asked .. "\nexit 0")
    for _, value in ipairs { "confirm", "confirm 1h" } do
      local path, key = fresh "agent", make_key "ed25519"
      local _, add = agents.start(path, { "SSH_ASKPASS=" .. askpass, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none" })
      login(path, key, value)
      assert.truthy(listed(add):find(public(key), 1, true))
      assert.is_nil(servers.read_file(asked))
      signs(path, key)
      assert.equal("asked\n", servers.read_file(asked))
      os.remove(asked)
    end
  end))

  it("is done once for many connections at the same time, and no connection fails for it", run.body(function()
    local path, key = fresh "agent", make_key "ed25519"
    local _, add = agents.start(path)
    local added = 0
    local stop = ssh.log(function(event)
      if event.what == "agent.add" and event.key == key then
        added = added + (event.result == "added" and 1 or 0)
      end
    end)
    run.defer(stop)
    task.each({ "web1", "web2", "web1", "web2", "web1", "web2" }, function(name) login(path, key, "yes", nil, name) end)
    assert.equal(1, added)
    assert.truthy(listed(add):find(public(key), 1, true))
    login(fresh "no-agent", make_key "ed25519", "yes")
  end))
end)

describe("AddKeysToAgent ask", function()
  setup(start_fleet)
  teardown(stop_fleet)

  -- In a program of its own: who is asked is in the environment.
  local function ask(script)
    local program = require "spec.support.program"
    local path, key, shown = fresh "agent", make_key("ed25519", "mine"), fresh "shown"
    local _, add = agents.start(path)
    local askpass = person(('echo "$SSH_ASKPASS_PROMPT: $1" > %s\n%s'):format(shown, script))
    local host = fleet():host()
    local config = servers.write_file(fresh "config", ([[
Host alias
  HostName %s
  Port %d
  User %s
  IdentityFile %s
  IdentityAgent %s
  UserKnownHostsFile %s
  AddKeysToAgent ask
]]):format(host.address, host.port, host.user, key, path, fleet().known_hosts))
    local r = program.run({ "-e", [[print(require "sshlua".connect("alias"):exec "echo fine")]] }, {
      env = { SSHLUA_SSH_CONFIG = config, SSH_ASKPASS = askpass, SSH_ASKPASS_REQUIRE = "force", DISPLAY = "none" },
    })
    assert.equal("fine\n", r.out, r.err)
    return listed(add), servers.read_file(shown), key
  end

  it("adds after yes", run.body(function()
    local list, shown, key = ask "exit 0"
    assert.truthy(list:find(public(key), 1, true))
    assert.equal(("confirm: Add key %s (mine) to agent?\n"):format(key), shown)
  end))

  it("and not after no", run.body(function()
    assert.equal("", (ask "exit 1"))
    assert.equal("", (ask "echo no"))
  end))
end)
