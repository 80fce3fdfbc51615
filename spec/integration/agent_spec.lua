-- A real ssh-agent with a person, a lock, or hundreds of keys in it.
local agents = require "spec.support.agents"
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body, fails = run.body, run.fails
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 3 }

local count = 0
local function fresh(name)
  count = count + 1
  return ("%s/%s.%d"):format(fleet().dir, name, count)
end

local function make_key(accepted)
  local path, line = testbed.make_key(fresh "key")
  if accepted then
    local f = assert(io.open(fleet().dir .. "/authorized_keys", "a"))
    f:write(line, "\n")
    f:close()
  end
  return path
end

local function login(name, opts)
  local s = servers.connect(fleet(), name, opts)
  assert.equal("fine", tostring(s:exec "echo fine"))
end

-- A person at a terminal that is no terminal: what ssh-agent asks when a key is added with -c.
local function person(script)
  local path = servers.write_file(fresh "askpass", "#!/bin/sh\n" .. script .. "\n")
  processes.must_run { "chmod", "755", path }
  return { "SSH_ASKPASS=" .. path, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none" }
end

describe("an agent that asks for confirmation", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("signs after yes, and keeps nobody waiting who does not need it", body(function()
    local path, key, file_key = fresh "agent", make_key(true), make_key(true)
    local _, add = agents.start(path, person "sleep 3; exit 0")
    add("-q", "-c", key)
    local confirmed, others = nil, 0
    task.scope(function(s)
      s:spawn(function()
        login("web1", { identity = false, agent = path })
        confirmed = others
      end)
      s:spawn(function()
        for _ = 1, 3 do
          login("web2", { identity = file_key, agent = false })
          others = others + 1
        end
      end)
    end)
    assert.is_true(confirmed >= 1, "others went on meanwhile")
  end, 60))

  it("is asked for one signature after the other: nobody's time runs out while another is being confirmed", body(function()
    local path, key = fresh "agent", make_key(true)
    local _, add = agents.start(path, person "sleep 2.5; exit 0")
    add("-q", "-c", key)
    -- Longer together than a list of keys may take.
    task.each({ "web1", "web2", "web3" }, function(name) login(name, { identity = false, agent = path }) end)
  end, 60))

  it("and gets no for an answer refuses, naming the reason", body(function()
    local path, key = fresh "agent", make_key(true)
    local _, add = agents.start(path, person "exit 1")
    add("-q", "-c", key)
    local e = fails("auth", login, "web1", { identity = false, agent = path })
    assert.truthy(e.message:find "the agent refused", e.message)
    assert.truthy(e.hint:find "confirmed", e:describe())
    local other = make_key(true)
    login("web1", { identity = other, agent = path })
  end))
end)

describe("an agent that is locked", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("is said to be, and the next key goes on", body(function()
    local path, key = fresh "agent", make_key(true)
    local _, add = agents.start(path, person "echo secret")
    add("-q", key)
    processes.must_run { "env", "SSH_AUTH_SOCK=" .. path, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none",
      (person "echo secret")[1], "ssh-add", "-x" }
    local e = fails("auth", login, "web1", { identity = false, agent = path })
    assert.truthy(e.message:find("locked (ssh-add -X)", 1, true), e.message)
    login("web1", { agent = path, identity = make_key(true) })
  end))
end)

describe("an agent with 300 keys", function()
  local path, in_agent
  setup(start_fleet)
  teardown(stop_fleet)

  -- Only the first spec may ask for it: it ends with the spec, so each makes its own from the same key files.
  local function full_agent()
    path = fresh "agent"
    local _, add = agents.start(path)
    local dir = fleet().dir .. "/many"
    if not core.fs_stat_sync(dir) then
      processes.must_run { "sh", "-c", ('mkdir %s && cd %s && i=0; while [ $i -lt 300 ]; do '
        .. 'ssh-keygen -q -t ed25519 -N "" -C "" -f k$i; i=$((i + 1)); done; rm k*.pub'):format(dir, dir) }
    end
    processes.must_run { "sh", "-c", ("SSH_AUTH_SOCK=%s ssh-add -q %s/k*"):format(path, dir) }
    in_agent = make_key(true)
    add("-q", in_agent)
  end

  it("tries what is named first: in the agent, in a file, or by its public half", body(function()
    full_agent()
    login("web1", { identity = in_agent, agent = path })
    login("web1", { identity = in_agent .. ".pub", agent = path })
    os.rename(in_agent, in_agent .. ".away")
    login("web1", { identity = in_agent, agent = path, identities_only = true }) -- key.pub is beside it
    login("web1", { identity = make_key(true), agent = path })
    local e = fails("auth", login, "web1", { identity = false, agent = path })
    assert.truthy(e.message:find "too many attempts", e.message)
    assert.truthy(e.hint:find "identities_only", e.hint)
  end, 90))

  it("does not have a key of which only the public half is named", body(function()
    local p, key = fresh "agent", make_key(true)
    agents.start(p)
    os.remove(key)
    local e = fails("auth", login, "web1", { identity = key .. ".pub", agent = p })
    assert.truthy(e.message:find "only the public half", e.message)
  end))
end)
