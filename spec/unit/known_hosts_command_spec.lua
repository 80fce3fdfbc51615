-- The command line of KnownHostsCommand: words, quotes, tokens.
local command = require "sshlua.known_hosts_command"
local known_hosts = require "sshlua.known_hosts"
local words = require "sshlua.ssh_config.words"

local function target(line) return { name = "n", hostname = "h.example", port = 2222, user = "u", opts = { known_hosts_command = line } } end

describe("known_hosts_command", function()
  it("is split as ssh splits it", function()
    local cases = {
      ["/a b  c"] = { "/a", "b", "c" }, ['/a "b c" d'] = { "/a", "b c", "d" }, ["/a 'b \"c' d"] = { "/a", 'b "c', "d" },
      ["/a\tb "] = { "/a", "b" }, ['/a ""'] = { "/a", "" }, ['/a b\\ c'] = { "/a", "b c" }, ['/a \\"b\\" \\\\'] = { "/a", '"b"', "\\" },
      ['/a x"y z"w'] = { "/a", "xy zw" }, ["/a \\n"] = { "/a", "\\n" }, [""] = {}, ["/a #b"] = { "/a", "#b" },
    }
    for text, want in pairs(cases) do assert.same(want, words.arguments(text, true), text) end
    assert.is_nil(words.arguments('/a "b', true))
    assert.is_nil(words.arguments("/a 'b", true))
  end)

  it("has its tokens filled in, but not those of its path", function()
    assert.same({ "/x%h", "h.example 2222", "u@n", "%", "HOSTNAME", "NONE" },
      command.argv(target "/x%h '%h %p' %r@%n %% %I %t", "HOSTNAME", "name"))
    assert.equal(40, #command.argv(target "/x %C", "ORDER", "name")[2])
    local argv = command.argv({ name = "n", hostname = "h", port = 22, user = "u", opts = { known_hosts_command = { "/x", "%H a" } } },
      "ORDER", "[h]:1")
    assert.same({ "/x", "[h]:1 a" }, argv)
  end)

  it("is not taken with faults", function()
    for _, line in ipairs { "x", "", "/x %", "/x %z", "/x ${SURELY_NOT_SET}", "/x 'y" } do
      local argv, why = command.argv(target(line), "ORDER", "n")
      assert.is_nil(argv, line)
      assert.equal("string", type(why))
    end
  end)

  it("is off without one, and beside a lock file", function()
    assert.is_false(known_hosts.has_command {})
    assert.is_false(known_hosts.has_command { known_hosts_command = "none" })
    assert.is_false(known_hosts.has_command { known_hosts_command = false })
    assert.is_false(known_hosts.has_command { known_hosts_command = "/x", host_key_lock = "f" })
    assert.is_true(known_hosts.has_command { known_hosts_command = "/x" })
  end)
end)
