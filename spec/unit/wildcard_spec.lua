-- Wildcards of OpenSSH, of inventories and of the shell.
local files = require "spec.support.files"
local mutator = require "spec.support.mutator"
local wildcard = require "sshlua.wildcard"

describe("a wildcard", function()
  after_each(files.remove)

  it("is * and ? alone for hosts and groups", function()
    local function yes(p, s) assert.is_true(wildcard.simple(p)(s), p .. " " .. s) end
    local function no(p, s) assert.is_false(wildcard.simple(p)(s), p .. " " .. s) end
    yes("*", "") yes("a*c", "abbc") yes("a?c", "abc") yes("[a]*", "[a]b") yes("\\*", "\\x") yes("web1", "web1") yes("", "") yes("**?", "x")
    no("[a]*", "a") no("a?c", "ac") no("web1", "Web1") no("", "a") no("?", "") no("%a*", "bc") no("*.txt", "a.txtx")
  end)

  it("has brackets and escapes for names of files", function()
    local function yes(p, s) assert.is_true(wildcard.glob(p)(s), p .. " " .. s) end
    local function no(p, s) assert.is_false(wildcard.glob(p)(s), p .. " " .. s) end
    yes("*", "") yes("*", "abc") yes("a*c", "abbc") yes("a?c", "abc") yes("[a-c]x", "bx") yes("[!a]", "b") yes("\\*", "*") yes("a[", "a[")
    yes("*.t*t", "a.txt.txt") yes("a[]b", "a[]b") yes("[]a]", "]") yes("%a.", "%a.") yes("[!]a]", "b") yes("[a-]", "-") yes("[^a]", "b")
    yes("a\\", "a\\") yes("\\a", "a")
    no("a?c", "ac") no("[!a]", "a") no("\\*", "x") no("", "a") no("a", "") no(".", "x") no("%a", "b") no("[!]a]", "]") no("[z-a]", "m")
  end)

  it("leaves hidden names to patterns with a dot", function()
    assert.is_false(wildcard.names "*"(".profile"))
    assert.is_false(wildcard.names "[.]x"(".x"))
    assert.is_true(wildcard.names ".*"(".profile"))
    assert.is_true(wildcard.is_magic "a[b" and not wildcard.is_magic "a\\b")
  end)

  it("means what it means to the shell", function()
    local r = mutator.random(20261121)
    local of = { "a", "b", "c", "*", "?", "[ab]", "[!a]", "[a-c]", "[]b]", "[!]b]", "[", "]", "-", ".", "[a-]" }
    local script, ours = { "LC_ALL=C; t() { if [[ $2 == $1 ]]; then echo true; else echo false; fi; }" }, {}
    for i = 1, 1500 do
      local pattern, text = "", ""
      for _ = 1, r(5) do pattern = pattern .. of[r(#of)] end
      for _ = 1, r(6) - 1 do text = text .. ("abc-.]["):sub(r(7)):sub(1, 1) end
      script[#script + 1] = ("t '%s' '%s'"):format(pattern, text)
      ours[i] = ("%s '%s' '%s'"):format(tostring(wildcard.glob(pattern)(text)), pattern, text)
    end
    local pipe = assert(io.popen("bash " .. files.write("script", table.concat(script, "\n"))))
    for i = 1, #ours do assert.equal((pipe:read "*l") .. script[i + 1]:sub(2), ours[i]) end
    pipe:close()
  end)

  it("takes no time to speak of, whatever it is", function()
    local before = os.clock()
    for _, kind in ipairs { wildcard.simple, wildcard.glob, wildcard.names } do
      assert.is_false(kind(("*a"):rep(40) .. "b")(("a"):rep(4000)))
    end
    assert.is_true(wildcard.glob(("["):rep(2000) .. "*")(("["):rep(4000)))
    assert.is_true(os.clock() - before < 4)
  end)
end)
