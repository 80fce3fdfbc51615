-- YAML as Lua values: the types of scalars, aliases and merges, where errors are, and what hostile text costs.
local core = require "sshlua.core"
local yaml = require "sshlua.yaml"

if not core.about().yaml then
  describe("YAML", function()
    it("is off in this build and says so", function()
      local value, err = core.yaml_decode "a: 1"
      assert.is_nil(value)
      assert.equal("config", err.kind)
    end)
  end)
  return
end

local null = core.json_null

local function refused(text)
  local value, err = core.yaml_decode(text)
  assert(value == nil, "accepted")
  return err.kind .. ": " .. err.message, err
end

describe("YAML", function()
  it("has YAML 1.1's types for plain scalars", function()
    local v = core.yaml_decode [[
null: [~, null, NULL, ""]
boolean: [yes, No, on, OFF, true, False, y, tRUE]
integer: [0, 12, -5, +7, 1_000, 0x1F, 010, 0o10, 0b101]
float: [1.5, -.5, 1., 1.e+3, .inf, -.INF]
text: [1e3, 09, 12:30, 2001-12-14, 0x, "1", 'yes', 1.2.3, 99999999999999999999, -, 1-2, +, 0xG]
]]
    assert.same({ null, null, null, "" }, setmetatable(v.null, nil))
    assert.same({ true, false, true, false, true, false, "y", "tRUE" }, setmetatable(v.boolean, nil))
    assert.same({ 0, 12, -5, 7, 1000, 31, 8, 8, 5 }, setmetatable(v.integer, nil))
    assert.same({ 1.5, -0.5, 1, 1000, math.huge, -math.huge }, setmetatable(v.float, nil))
    assert.same({ "1e3", "09", "12:30", "2001-12-14", "0x", "1", "yes", "1.2.3", "99999999999999999999", "-", "1-2", "+", "0xG" },
      setmetatable(v.text, nil))
    assert.equal("5", core.yaml_decode "!!str 5")
    assert.equal(5, core.yaml_decode "!!int '5'")
    assert.equal("x", core.yaml_decode "!unsafe x")
    assert.equal(null, core.yaml_decode "")
    assert.equal(null, core.yaml_decode "# nothing\n---\n...\n")
  end)

  it("marks mappings and lists, and knows their lines", function()
    local v, lines = core.yaml_decode "a: 1\n\nb:\n  - x\n  - {c: 2,\n     d: 3}\ne: {}\nf: []\n"
    assert.equal(core.json_object, getmetatable(v))
    assert.equal(core.json_array, getmetatable(v.b))
    assert.equal(core.json_object, getmetatable(v.e))
    assert.equal(core.json_array, getmetatable(v.f))
    assert.same({ 1, 3, 4, 5, 5, 6, 7 }, { lines[v].a, lines[v].b, lines[v.b][1], lines[v.b][2], lines[v.b[2]].c, lines[v.b[2]].d,
      lines[v].e })
  end)

  it("gives the same table for an alias, and merges", function()
    local v = core.yaml_decode "a: &x {p: 1, q: 1}\nb: *x\nc: {<<: *x, q: 2}\nd: {<<: [*x, {p: 3, z: 4}]}\ne: {'<<': 1}\n"
    assert.equal(v.a, v.b)
    assert.same({ 1, 2, 1, 4 }, { v.c.p, v.c.q, v.d.p, v.d.z })
    assert.equal(1, v.e["<<"])
    assert.equal(2, core.yaml_decode("a: &x 1\nb: &x 2\nc: *x\n").c)
  end)

  it("is refused with line and column", function()
    local _, err = refused "a: 1\nb: [1, 2\nc: 3\n"
    assert.is_true(err.line >= 2 and err.column >= 1)
    assert.equal("protocol: line 2: the key is there twice: a", (refused "a: 1\na: 2\n"))
    assert.equal("protocol: line 1: a key that is no text", (refused "? [a]\n: b\n"))
    assert.equal("protocol: line 1: a tag that is not supported: !vault", (refused "a: !vault x"))
    assert.matches("a tag that is not supported: tag:yaml.org,2002:python/", (refused "!!python/object:os.system x"), 1, true)
    assert.equal("protocol: line 2: more than one document", (refused "--- 1\n--- 2\n"))
    assert.equal("protocol: line 2: bytes that are not UTF-8", (refused "a: b\nc: \255\n"))
    assert.equal("protocol: line 1: an alias without a complete anchor: x", (refused "a: &x [*x]"))
    assert.equal("protocol: line 1: << merges a mapping or a list of mappings", (refused "<<: [1]"))
    assert.matches("^limit: line 1: more levels", (refused(("["):rep(100000))))
    assert.matches("^limit: line 1: more levels", (refused(("- "):rep(100000))))
    assert.is_table(select(2, refused "a: \0"))
    local ok, e = pcall(yaml.decode, "a:\n  - [", "file.yml")
    assert.is_false(ok)
    assert.matches("^config: file.yml:%d: ", tostring(e))
  end)

  it("does not become a bomb through aliases", function()
    local lines = { "a0: &a0 [x, x, x, x, x, x, x, x, x, x]" }
    for i = 1, 12 do lines[#lines + 1] = ("a%d: &a%d [%s]"):format(i, i, ("*a%d, "):format(i - 1):rep(10)) end
    local from = os.clock()
    assert.matches("^limit: line %d+: more values than are read", (refused(table.concat(lines, "\n"))))
    assert.is_true(os.clock() - from < 5)
  end)

  it("fills in the environment's variables", function()
    local v = yaml.decode("a: ${HOME}\nb: [\"x${SSHLUA_SPEC_NOTHING:-y}z\", '$${HOME}', $HOME, '${SSHLUA_SPEC_NOTHING:-}']\n", "f",
      { environment = true })
    assert.equal(os.getenv "HOME", v.a)
    assert.same({ "xyz", "${HOME}", "$HOME", "" }, setmetatable(v.b, nil))
  end)
end)
