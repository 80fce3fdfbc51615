-- The pure parts of `sshlua ssh`: the escape key, and what is run with a terminal or without.
local escape = require "sshlua.client.escape"
local plan = require "sshlua.client.plan"

-- What is sent of typed pieces, and the commands among them as <x>.
local function typed(key, ...)
  local e, out = escape.new(key), {}
  for _, bytes in ipairs { ... } do
    local at = 1
    while at <= #bytes do
      local send, command
      send, command, at = e:next(bytes, at)
      out[#out + 1] = send .. (command and "<" .. command .. ">" or "")
    end
  end
  return table.concat(out)
end

describe("the escape key", function()
  it("counts at the beginning of a line only", function()
    assert.equal("<.>", typed("~", "~."))
    assert.equal("a~.", typed("~", "a~."))
    assert.equal("a\r<.>", typed("~", "a\r~."))
    assert.equal("a\n<?>b", typed("~", "a\n~?b"))
    assert.equal("<?><.>", typed("~", "~?~."))
  end)

  it("is the same however the keys come", function()
    for _, text in ipairs { "a\r~.", "~~.", "~x~.", "\r~~\r~.", "ab~\r~#c~?", "~~~.", "\r\r~\r~." } do
      local bytes = {}
      for byte in text:gmatch "." do bytes[#bytes + 1] = byte end
      assert.equal(typed("~", text), typed("~", (table.unpack or unpack)(bytes)), text) -- luacheck: ignore 143
    end
  end)

  it("is sent when it is typed twice, and before what is no command", function()
    assert.equal("~.", typed("~", "~~."))
    assert.equal("~x~.", typed("~", "~x~."))
    assert.equal("~\r<.>", typed("~", "~\r~."))
  end)

  it("may be another one, or none", function()
    assert.equal("<.>~.", typed("\2", "\2.~."))
    assert.equal("\r~.", typed(nil, "\r~."))
    assert.equal("^B", escape.name "\2")
    assert.truthy(escape.help("\2"):find("^B.", 1, true))
  end)
end)

describe("what sshlua ssh does", function()
  local function new(values, command, has_terminal)
    values.requesttty = values.requesttty or "auto"
    values.escapechar = values.escapechar or 126
    return plan.new(values, command, has_terminal)
  end

  it("gives a shell a terminal, and a command only when asked", function()
    local cases = { -- RequestTTY, command, here is a terminal -> terminal, refused
      { "auto", nil, true, true, false }, { "auto", nil, false, false, true }, { "auto", "x", true, false, false },
      { "true", "x", true, true, false }, { "true", "x", false, false, true }, { "force", "x", false, true, false },
      { "false", nil, true, false, false }, { "force", nil, false, true, false },
    }
    for _, case in ipairs(cases) do
      local p = new({ requesttty = case[1] }, case[2], case[3])
      assert.same({ case[4], case[5] }, { p.pty, p.refused_pty })
      assert.equal(case[4] and "~" or nil, p.escape)
    end
    assert.is_false(new({ stdinnull = true }, nil, true).pty)
  end)

  it("is a command, a shell, a subsystem, or nothing", function()
    assert.equal("shell", new({}, nil, true).what)
    assert.same({ "exec", "x" }, { new({}, "x", true).what, new({}, "x", true).text })
    assert.equal("y", new({ remotecommand = "y" }, nil, true).text)
    assert.equal("none", new({ sessiontype = "none" }, nil, true).what)
    assert.equal("subsystem", new({ sessiontype = "subsystem" }, "sftp", true).what)
  end)
end)
