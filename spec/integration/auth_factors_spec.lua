-- Servers that want two keys: certificates and keys, from files and agents, as ssh shows them.
local agents = require "spec.support.agents"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local testbed = require "sshlua.testbed"

local body, defer = run.body, run.defer
local fleet, start_fleet, stop_fleet = servers.shared {}

local count = 0
local function fresh(name)
  count = count + 1
  return ("%s/%s.%d"):format(fleet().dir, name, count)
end

-- One key that is taken as a certificate only, or in both forms, and one that is taken plain; and a server that wants two.
local function two_keys(both)
  local ca, first, second = testbed.make_key(fresh "ca"), testbed.make_key(fresh "first"), testbed.make_key(fresh "second")
  processes.must_run { "ssh-keygen", "-q", "-s", ca, "-I", "id", "-n", fleet():host().user, first .. ".pub" }
  local keys = fresh "keys"
  servers.write_file(keys, servers.read_file(second .. ".pub") .. (both and servers.read_file(first .. ".pub") or ""))
  local own = servers.fleet { sshd_config = {
    "TrustedUserCAKeys " .. ca .. ".pub", "AuthorizedKeysFile " .. keys, "AuthenticationMethods publickey,publickey",
    "MaxAuthTries 20",
  } }
  return own, first, second
end

-- Logs in; returns what the server said to each key: { "partial first", "refused first", "ok second" }.
local function login(own, opts)
  local said = {}
  local stop = ssh.log(function(event)
    local word = event.what:match "^auth%.(%l+)$"
    if word then said[#said + 1] = ("%s %s"):format(word, event.with:match "([%w-]+)%.?%d*$") end
  end)
  defer(stop)
  local ok, err = pcall(function() assert.equal("in", tostring(servers.connect(own, nil, opts):exec "echo in")) end)
  stop()
  return said, not ok and err or nil
end

describe("a server that wants two keys", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("is shown the accepted certificate's own key next, and then the others", body(function()
    local own, first, second = two_keys(true)
    -- sshd takes no key twice, in whatever form; it is asked all the same, as by ssh.
    assert.same({ "partial first", "refused first", "ok second" }, login(own, { identity = { first, second } }))
  end))

  it("is shown a certificate that is where the public key is, as by ssh", body(function()
    local own, first, second = two_keys()
    assert(os.rename(first .. "-cert.pub", first .. ".pub"))
    assert.same({ "partial first", "refused first", "ok second" }, login(own, { identity = { first, second } }))
  end))

  it("gets them from an agent, whatever their order", body(function()
    local own, first, second = two_keys()
    for _, order in ipairs { { first, second }, { second, first } } do
      local path = fresh "agent"
      local _, add = agents.start(path)
      for _, key in ipairs(order) do add("-q", key) end
      local said, err = login(own, { identity = false, agent = path })
      assert.is_nil(err, tostring(err))
      assert.equal("ok", said[#said]:match "^%l+")
      said, err = login(own, { identity = order, agent = path, identities_only = true })
      assert.is_nil(err, tostring(err))
      assert.equal("ok", said[#said]:match "^%l+")
    end
  end))

  it("is shown again what it refused before, once it has accepted another", body(function()
    local first, second, keys, seen = testbed.make_key(fresh "first"), testbed.make_key(fresh "second"), fresh "keys", fresh "seen"
    servers.write_file(keys, servers.read_file(first .. ".pub") .. servers.read_file(second .. ".pub"))
    -- The second key counts only after the first has been asked for.
    local script = servers.write_file(fresh "script", ([[
      first=$(cut -d' ' -f2 '%s.pub')
      if [ "$1" = "$first" ]; then : >'%s'; cat '%s.pub'; fi
      if [ -e '%s' ]; then cat '%s.pub'; fi
    ]]):format(first, seen, first, seen, second))
    local own = servers.fleet { sshd_config = {
      "AuthorizedKeysFile none", "AuthorizedKeysCommand /bin/sh " .. script .. " %k",
      "AuthorizedKeysCommandUser " .. fleet():host().user, "AuthenticationMethods publickey,publickey", "MaxAuthTries 20",
    } }
    assert.same({ "refused second", "partial first", "ok second" }, login(own, { identity = { second, first } }))
  end))

  it("and gets one only is said so, each key named once", body(function()
    local own, first = two_keys(true)
    local said, err = login(own, { identity = { first } })
    assert.same({ "partial first", "refused first", "refused first" }, said)
    assert.equal("auth", err.kind)
    local _, times = err.message:gsub("refused", "")
    assert.equal(1, times, err.message)
    assert.truthy(err.message:find("the server allows publickey", 1, true), err.message)
  end))
end)
