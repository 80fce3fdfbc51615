-- Specs for two playbooks: deploy.lua on throwaway hosts and on a cassette that was recorded once, switch.lua with its
-- dialogue on a cassette.
--   sshlua /usr/bin/busted examples/playbook_spec.lua
--   SSHLUA_CASSETTE=record sshlua /usr/bin/busted examples/playbook_spec.lua     after a change that is meant
local t = require "sshlua.busted"

describe("deploy.lua", function()
  it("puts the revision live on every host", t.fleet(3, function(fleet)
    assert.is_true(t.script("examples/deploy.lua", "r42", "web[1-3]").ok)
    assert.equal(3, #fleet:run("test -f current/index.html"):ok())
  end))

  it("goes on without a host that cannot do it", t.fleet(2, function(fleet)
    fleet[2]:run "touch releases"
    local r = t.script("examples/deploy.lua", "r42", "web[1-2]")
    assert.equal(1, r.code)
    assert.truthy(r.stdout:find "web1 now serves r42")
    assert.truthy(r.stdout:find "web2%s.*mkdir")
  end))

  it("does what it did when it was recorded", t.cassette("examples/cassettes/deploy.jsonl", { fleet = 2 }, function()
    assert.is_true(t.script("examples/deploy.lua", "r42", "web[1-2]").ok)
  end))
end)

describe("switch.lua", function()
  it("does what it did", t.cassette("examples/cassettes/switch.jsonl", { fleet = 1 }, function()
    local r = t.script "examples/switch.lua"
    assert.equal(0, r.code)
    assert.truthy(r.stdout:find "line 2 of 2: 'vlan 9999': %% Invalid input")
    assert.truthy(r.stdout:find "vlan 10; vlan 20; vlan 30")
  end))
end)
