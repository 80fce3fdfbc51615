-- Names of transfers: where a copy goes, patterns, links that stay inside, modes.
local errors = require "sshlua.errors"
local names = require "sshlua.transfer_names"

describe("where a copy goes", function()
  it("is said by slashes", function()
    assert.equal("/x", names.target("a/b", "/x"))
    assert.equal("/x/b", names.target("a/b", "/x/"))
    assert.equal("/x", names.target("a/b/", "/x/"))
    assert.equal("/x", names.target("a/b/", "/x"))
    assert.equal("/", names.target("a/", "/"))
    assert.equal("/a", names.target("a", "/"))
  end)

  it("is never a name of dots, which would be elsewhere", function()
    for _, from in ipairs { "..", ".", "a/..", "a/.", "a/../" } do
      assert.equal("/x", names.target(from, "/x/"), from)
      assert.equal("/", names.target(from, "/"), from)
    end
    assert.equal("./b", names.target("a/b", "."))
    assert.equal("../b", names.target("a/b", ".."))
    assert.equal("/x/../b", names.target("a/b", "/x/.."))
    assert.equal(".", names.target("a/b/", "."))
    assert.equal("/x/...", names.target("a/b", "/x/..."))
  end)

  it("has a temporary name beside it, which is known as ours", function()
    local one, two = names.temporary "/d/f", names.temporary "/d/f"
    assert.matches("^/d/%.f%.sshlua%-%x+$", one)
    assert.are_not.equal(one, two)
    assert.equal("/d/.f.sshlua-part", names.part "/d/f")
    assert.is_true(names.is_temporary(one:match "[^/]+$"))
    assert.is_true(names.is_temporary ".f.sshlua-part")
    assert.is_false(names.is_temporary "f.sshlua-part")
    assert.is_true(#names.temporary(("n"):rep(255)) <= 255)
  end)
end)

describe("a pattern", function()
  it("excludes by name, by path, and directories", function()
    local function is(p, rel, dir) return names.excluded({ p }, rel, rel:match "[^/]+$", dir) end
    assert.is_true(is("*.o", "a/b.o"))
    assert.is_true(is("cache/", "a/cache", true))
    assert.is_false(is("cache/", "a/cache", false))
    assert.is_true(is("/build", "build", true))
    assert.is_false(is("/build", "a/build", true))
    assert.is_true(is("a/*.c", "a/x.c"))
    assert.is_false(is("a/*.c", "b/x.c"))
  end)
end)

describe("a link", function()
  it("stays inside only when nothing can lead it out", function()
    for _, t in ipairs { "x", "./x", "x/y", "../x", "../../x" } do assert.is_true(names.stays_inside("a/b/l", t), t) end
    for _, t in ipairs { "", "/x", "../../../x", "x/../../..", "x/..", "../x/../.." } do
      assert.is_false(names.stays_inside("a/b/l", t), t)
    end
    assert.is_false(names.stays_inside("l", ".."))
  end)
end)

describe("a mode", function()
  it("is octal digits, or a number", function()
    assert.equal(416, names.octal("640", "mode", 1))
    assert.equal(416, names.octal(416, "mode", 1))
    assert.is_nil(names.octal(nil, "mode", 1))
    local ok, err = pcall(names.octal, "9", "mode", 1)
    assert.is_true(not ok and errors.is(err, "usage"))
  end)

  it("loses setuid bits and what the mask takes", function()
    assert.equal(493, names.mode({}, 2541))
    assert.equal(2541, names.mode({ setuid = true }, 2541))
    assert.equal(420, names.masked(438, 18))
    assert.equal(2541, names.masked(2541, 18))
    assert.equal(448, names.masked(511, 63))
  end)
end)
