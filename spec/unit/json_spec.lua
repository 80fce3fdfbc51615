local text_core = require "spec.support.text_core"
local errors = require "sshlua.errors"
local json = require "sshlua.json"

local integers = math.type ~= nil

local function fails(kind, text, fn, ...)
  local good, e = pcall(fn, ...)
  assert.is_false(good)
  assert.is_true(errors.is(e), tostring(e))
  assert.equal(kind, e.kind)
  assert.matches(text, e.message, 1, true)
  return e
end

local function line_before() return debug.getinfo(2, "l").currentline - 1 end

if not text_core.json then
  describe("json", function()
    if not text_core.real then return pending("needs sshlua.core") end
    it("says that the build cannot read it, and still writes", function()
      fails("config", "built without JSON", json.decode, "1")
      assert.equal("[1]", json.encode { 1 })
    end)
  end)
  return
end

describe("json.encode", function()
  it("keeps integers integers and floats floats", function()
    assert.equal("1", json.encode(1))
    assert.equal("-7", json.encode(-7))
    assert.equal("0.1", json.encode(0.1))
    assert.equal("-0.0", json.encode(-0.0))
    assert.equal("1e+300", json.encode(1e300))
    assert.equal("3.141592653589793", json.encode(math.pi))
    if integers then
      assert.equal("9007199254740993", json.encode(math.tointeger(2 ^ 53) + 1))
      assert.equal("9223372036854775807", json.encode(math.maxinteger))
      assert.equal("-9223372036854775808", json.encode(math.mininteger))
      assert.equal("1.0", json.encode(1.0))
      assert.equal("9007199254740992.0", json.encode(2 ^ 53))
    else
      assert.equal("1", json.encode(1.0))
      assert.equal("9007199254740992", json.encode(2 ^ 53))
      assert.equal("-9007199254740992", json.encode(-2 ^ 53))
      assert.equal("1.8446744073709552e+19", json.encode(2 ^ 64))
    end
  end)

  it("gives every float the shortest text that reads back the same", function()
    for _ = 1, 2000 do
      local v = (math.random() - 0.5) * 10 ^ math.random(-300, 300)
      assert.equal(v, json.decode(json.encode(v)))
      assert.equal(v, tonumber(json.encode(v)))
    end
  end)

  it("makes lists arrays, named entries objects with sorted keys, and nothing an array", function()
    assert.equal('[1,"a",true,false]', json.encode { 1, "a", true, false })
    assert.equal('{"a":1,"b":{"c":[]},"z":null}', json.encode { z = json.null, b = { c = {} }, a = 1 })
    assert.equal("[]", json.encode {})
    assert.equal("{}", json.encode(json.object {}))
    assert.equal("{}", json.encode(json.object()))
    assert.equal("[]", json.encode(json.array()))
    assert.equal('{"1":"x","2":"y"}', json.encode(json.object { "x", "y" }))
    assert.equal('{"-1":1,"a":2}', json.encode(json.object { [-1] = 1, a = 2 }))
    assert.equal("[null,1]", json.encode { json.null, 1 })
    assert.equal('"x"', json.encode "x")
    assert.equal("null", json.encode(json.null))
  end)

  it("indents when asked to", function()
    assert.equal('{\n  "a": [\n    1,\n    {\n      "b": []\n    }\n  ],\n  "c": {}\n}',
      json.encode({ a = { 1, { b = {} } }, c = json.object() }, { pretty = true }))
  end)

  it("leaves keys unsorted when asked to", function()
    assert.same({ a = 1, b = 2, c = 3 }, json.decode(json.encode({ a = 1, b = 2, c = 3 }, { sort = false })))
  end)

  it("escapes what JSON and what a terminal cannot take", function()
    assert.equal([["\"\\/\u0008\n\r\t\u0000\u001b\u007f"]], json.encode '"\\/\b\n\r\t\0\27\127')
    assert.equal([["\u009b\u202e\u200b\ufeff\udb40\udc01"]], json.encode "\194\155\226\128\174\226\128\139\239\187\191\243\160\128\129")
    assert.equal('"é日😀"', json.encode "é日😀")
    assert.equal('{"a\\u001b":1}', json.encode { ["a\27"] = 1 })
  end)

  it("replaces every byte that is not UTF-8", function()
    assert.equal('"a\239\191\189b\239\191\189\239\191\189"', json.encode "a\255b\226\128")
    assert.equal('"\239\191\189\239\191\189\239\191\189"', json.encode "\237\160\128")
    assert.equal('{"\239\191\189":1}', json.encode { ["\200"] = 1 })
  end)

  it("gives back every text it was given", function()
    for _ = 1, 300 do
      local s = {}
      for i = 1, math.random(0, 30) do s[i] = string.char(math.random(0, 127)) end
      s = table.concat(s) .. "é\194\155"
      assert.equal(s, json.decode(json.encode(s)))
      local key = s:gsub("%z", "")
      assert.same({ [key] = { s } }, json.decode(json.encode { [key] = { s } }))
    end
  end)

  it("names the path of what it cannot encode", function()
    fails("usage", "cannot encode a function at .a.b[3]", json.encode, { a = { b = { 1, 2, print } } })
    fails("usage", "cannot encode NaN at [1]", json.encode, { 0 / 0 })
    fails("usage", "cannot encode infinity at .x", json.encode, { x = -math.huge })
    fails("usage", "cannot encode a nil at the top", json.encode, nil)
    fails("usage", 'cannot encode a userdata at ["a b"].c', json.encode, { ["a b"] = { c = io.stdout } })
    fails("usage", "cannot encode a function at [7]", json.encode, json.object { [7] = print })
    fails("usage", 'at ["x\\x1b"]', json.encode, { ["x\27"] = print })
    fails("usage", "a list with holes", json.encode, { a = { 1, nil, 3 } })
    fails("usage", "a list with holes", json.encode, { [1000000] = 1 })
    fails("usage", "a list with holes", json.encode, { [0] = 1, 2 })
    fails("usage", "both a list and named entries at .a", json.encode, { a = { 1, x = 2 } })
    fails("usage", "a named entry in an array at the top", json.encode, json.array { x = 2 })
    fails("usage", "a list with holes", json.encode, json.array { 1, nil, 3 })
    fails("usage", "a key of type boolean at .a", json.encode, { a = { [true] = 1 } })
    fails("usage", "a key that is not a whole number", json.encode, { [1.5] = 1 })
    fails("usage", 'the same key as number and as text at [1]', json.encode, json.object { [1] = 1, ["1"] = 2 })
    fails("usage", "cannot encode a function at [\"" .. ("k"):rep(64) .. "\"]", json.encode, { [("k"):rep(1000)] = print })
    local deep = print
    for _ = 1, 100 do deep = { long_name = deep } end
    assert.is_true(#fails("usage", "cannot encode a function at .long_name", json.encode, deep).message < 400)
  end)

  it("finds a table inside itself, and allows one in two places", function()
    local t = { a = { b = {} } }
    t.a.b[1] = t.a
    fails("usage", "a table inside itself at .a.b[1]", json.encode, t)
    local shared = { 1 }
    assert.equal("[[1],[1],{\"x\":[1]}]", json.encode { shared, shared, { x = shared } })
  end)

  it("goes 128 levels deep and no further", function()
    local t = {}
    for _ = 1, 127 do t = { t } end
    assert.equal(("["):rep(128) .. ("]"):rep(128), json.encode(t))
    fails("limit", "more than 128 levels at [1][1]", json.encode, { t })
    local o = json.object()
    for _ = 1, 127 do o = { a = o } end
    json.encode(o)
    fails("limit", "more than 128 levels at .a.a", json.encode, { a = o })
  end)

  it("blames the caller's line", function()
    local e = fails("usage", "json_spec.lua:", function() json.encode(print) end)
    assert.matches(":" .. line_before() .. ": json.encode: cannot encode a function at the top", e.message, 1, true)
    e = fails("usage", "json_spec.lua:", function() json.encode(1, { prety = true }) end)
    assert.matches(":" .. line_before() .. ": json.encode: unknown option prety", e.message, 1, true)
    e = fails("usage", "json_spec.lua:", function() json.encode(1, "pretty") end)
    assert.matches(":" .. line_before() .. ": json.encode: options: table expected, got string", e.message, 1, true)
    e = fails("usage", "json_spec.lua:", function() json.array(5) end)
    assert.matches(":" .. line_before() .. ": json.array: table expected, got number", e.message, 1, true)
    e = fails("usage", "json_spec.lua:", function() json.object(setmetatable({}, {})) end)
    assert.matches(":" .. line_before() .. ": json.object: the table has a metatable of its own", e.message, 1, true)
  end)

  it("does not ask metatables", function()
    local t = setmetatable({ 1 }, { __index = function() error "asked" end, __len = function() error "asked" end,
      __pairs = function() error "asked" end })
    assert.equal("[1]", json.encode(t))
  end)
end)

describe("json.decode", function()
  it("reads every kind of value", function()
    assert.same({ a = { 1, 2.5, "x", true, false }, b = {} }, json.decode ' {"a": [1, 2.5, "x", true, false], "b": {}} ')
    assert.equal(5, json.decode "5")
    assert.equal("x", json.decode '"x"')
    assert.equal(json.null, json.decode "null")
    assert.equal("null", tostring(json.null))
    assert.equal("é\0\27😀", json.decode [["é\u0000\u001b\ud83d\ude00"]])
  end)

  it("keeps integers and floats apart where the VM does", function()
    if not integers then return end
    assert.equal("integer", math.type(json.decode "1"))
    assert.equal("float", math.type(json.decode "1.0"))
    assert.equal(math.maxinteger, json.decode "9223372036854775807")
  end)

  it("gives back what was encoded: empty objects, nulls, order of lists", function()
    for _, text in ipairs { '{"a":{},"b":[],"c":null,"d":[null,[{}]]}', "[]", "{}", "[[],{}]", "[1,2,3]" } do
      assert.equal(text, json.encode(json.decode(text)))
    end
  end)

  it("takes the last of equal keys, skips a byte order mark, replaces bytes that are not UTF-8", function()
    assert.same({ a = 2 }, json.decode '{"a":1,"a":2}')
    assert.equal(1, json.decode "\239\187\1911")
    assert.equal("a\239\191\189b\239\191\189", json.decode '"a\255b\226"')
  end)

  it("says where the text is wrong", function()
    local e = fails("protocol", "line 2, column 3: ", json.decode, '{"a":\n  x}')
    assert.equal(2, e.line)
    assert.equal(3, e.column)
    assert.is_false(e.retryable)
    for _, text in ipairs { "", " ", "[", "[1,]", "{a:1}", "{'a':1}", "[1 2]", "1 2", "nul", "01", "+1", ".5", "1.", "[NaN]", '"\n"',
      '"\\x"', '"\\ud800"', '{"a"}', '{"a":1,}', "\255", "[1]\0", "1e999", "9223372036854775808", "\239\187\191", '{"\\u0000":1}' } do
      fails("protocol", "line ", json.decode, text)
    end
  end)

  it("shows bytes of the text only cleaned", function()
    local e = fails("protocol", "\\x1b", json.decode, "[\27[31mx]")
    assert.is_nil(e.message:find "%c")
  end)

  it("stops at 128 levels without harm", function()
    local function nest(n) return ("["):rep(n) .. ("]"):rep(n) end
    json.decode(nest(128))
    for _, n in ipairs { 129, 2000, 3000, 100000 } do
      assert.is_false(pcall(json.decode, nest(n)))
      assert.is_false(pcall(json.decode, (nest(n):gsub("%[%]", "{}"):gsub("%[", '{"a":'):gsub("%]", "}"))))
    end
    fails("limit", "more than 128 levels", json.decode, nest(129))
  end)

  it("takes only text", function()
    fails("usage", "json.decode: string expected, got nil", json.decode)
    fails("usage", "json.decode: string expected, got number", json.decode, 5)
  end)

  it("survives random damage", function()
    local good = '{"a":[1,-2.5e3,"x\\u00e9\\n",null,true],"b":{"c":[[],{}]}}'
    for _ = 1, 3000 do
      local bytes = { good:byte(1, -1) }
      for _ = 1, math.random(3) do bytes[math.random(#bytes)] = math.random(0, 255) end
      local text = string.char((table.unpack or unpack)(bytes)):sub(1, math.random(#bytes)) -- luacheck: ignore unpack
      local fine, e = pcall(json.decode, text)
      assert.is_true(fine or errors.is(e))
    end
  end)
end)

describe("json files", function()
  local path, dir

  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir '" .. dir .. "'"))
    path = dir .. "/facts.json"
  end)

  after_each(function() os.execute("rm -rf '" .. dir .. "'") end)

  local function write(text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
  end

  local function shell(command)
    local pipe = io.popen("cd '" .. dir .. "' && " .. command)
    local out = pipe:read("*a")
    pipe:close()
    return out
  end

  it("come back as they were saved", function()
    json.save(path, { a = { 1, json.null }, b = "é" })
    assert.same({ a = { 1, json.null }, b = "é" }, json.load(path))
    assert.equal('{\n  "a": [\n    1,\n    null\n  ],\n  "b": "é"\n}\n', shell "cat facts.json")
    json.save(path, { 1 }, { pretty = false })
    assert.equal("[1]\n", shell "cat facts.json")
    assert.equal("facts.json\n", shell "ls -A")
  end)

  it("get the umask's mode when new and keep their mode when not", function()
    json.save(path, 1)
    assert.equal(shell "touch other; stat -c %a other", shell "stat -c %a facts.json")
    shell "chmod 604 facts.json"
    json.save(path, 2)
    assert.equal("604\n", shell "stat -c %a facts.json")
  end)

  it("are replaced behind a symbolic link, which stays", function()
    shell "mkdir sub; echo 1 > sub/real.json; ln -s sub/real.json facts.json"
    json.save(path, 2)
    assert.equal("2\n", shell "cat sub/real.json")
    assert.equal("sub/real.json\n", shell "readlink facts.json")
  end)

  it("are left alone when the value cannot be encoded", function()
    write "1"
    fails("usage", "json.save: cannot encode a function", json.save, path, print)
    assert.equal("1", shell "cat facts.json")
    assert.equal("facts.json\n", shell "ls -A")
  end)

  it("are not written over what is no file, nor where there is no folder", function()
    fails("io", "not a regular file", json.save, "/dev/null", 1)
    fails("io", dir .. ": illegal operation on a directory", json.save, dir, 1)
    local e = fails("io", "no such file or directory", json.save, dir .. "/a/b", 1)
    assert.equal("ENOENT", e.name)
    fails("io", "name too long", json.save, dir .. "/" .. ("x"):rep(300), 1)
    fails("usage", "json.save: path: string expected, got nil", json.save)
    fails("usage", "contains a NUL byte", json.save, "a\0b", 1)
    assert.equal("", shell "ls -A")
  end)

  it("name file, line and column when they are wrong", function()
    write '{"a":\n}'
    fails("config", path .. ": line 2, column 1: ", json.load, path)
  end)

  it("say so when they cannot be read", function()
    fails("io", "/none: No such file or directory", json.load, dir .. "/none")
    fails("io", dir .. ": ", json.load, dir)
    fails("usage", "json.load: path: string expected, got nil", json.load)
    fails("usage", "contains a NUL byte", json.load, path .. "\0")
  end)
end)
