local diff = require "sshlua.diff"

--- Applies a unified diff the way patch does, insisting that every line fits.
local function apply(text, patch)
  if patch == "" then return text end
  local lines, out, at = {}, {}, 1
  for line in text:gmatch("[^\n]*\n?") do
    if line ~= "" then lines[#lines + 1] = line end
  end
  local body = patch:gsub("^%-%-%- [^\n]*\n%+%+%+ [^\n]*\n", "")
  body = body:gsub("\n\\ No newline at end of file\n", "\1\n")
  for line in body:gmatch("[^\n]*\n?") do
    line = line:gsub("\1.*", "")
    local sign, rest = line:sub(1, 1), line:sub(2)
    if sign == "@" then
      local from, count = line:match("^@@ %-(%d+),?(%d*) %+%d+,?%d* @@\n$")
      from = tonumber(from) + (count == "0" and 1 or 0)
      while at < from do
        out[#out + 1], at = lines[at], at + 1
      end
    elseif sign == "+" then
      out[#out + 1] = rest
    elseif sign == "-" or sign == " " then
      assert.equal(lines[at], rest)
      if sign == " " then out[#out + 1] = rest end
      at = at + 1
    end
  end
  while at <= #lines do
    out[#out + 1], at = lines[at], at + 1
  end
  return table.concat(out)
end

describe("diff.unified", function()
  it("is empty for equal texts", function()
    assert.equal("", diff.unified("a\nb\n", "a\nb\n"))
    assert.equal("", diff.unified("", ""))
  end)

  it("shows changes with three lines of context", function()
    assert.equal("--- old\n+++ new\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n",
      diff.unified("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n", { from = "old", to = "new" }))
  end)

  it("keeps near changes in one hunk and far ones apart", function()
    local a = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n"
    local b = "2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n"
    assert.equal("--- a\n+++ b\n@@ -1,2 +1 @@\n-1\n 2\n@@ -11 +10,2 @@\n 11\n+12\n", diff.unified(a, b, { context = 1 }))
    assert.equal(1, select(2, diff.unified(a, b, { context = 5 }):gsub("@@ %-", "")))
    assert.equal(2, select(2, diff.unified(a, b, { context = 4 }):gsub("@@ %-", "")))
  end)

  it("shows growing from nothing and shrinking to nothing", function()
    assert.equal("--- a\n+++ b\n@@ -0,0 +1,2 @@\n+x\n+y\n", diff.unified("", "x\ny\n"))
    assert.equal("--- a\n+++ b\n@@ -1 +0,0 @@\n-x\n", diff.unified("x\n", ""))
  end)

  it("says when the last newline is missing", function()
    assert.equal("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+x\n\\ No newline at end of file\n", diff.unified("x\n", "x"))
  end)

  it("finds a shortest script", function()
    local patch = diff.unified("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", { context = 0 })
    local _, removed = patch:gsub("\n%-[abc]", "")
    local _, added = patch:gsub("\n%+[abc]", "")
    assert.equal(5, removed + added)
  end)

  it("turns the first text into the second, whatever they are", function()
    local seed = os.time()
    math.randomseed(seed)
    for round = 1, 400 do
      local texts = {}
      for i = 1, 2 do
        local lines = {}
        for n = 1, math.random(0, 30) do lines[n] = ("abcde"):sub(math.random(5)):sub(1, 1) .. "\n" end
        texts[i] = table.concat(lines) .. (math.random(4) == 1 and "end" or "")
      end
      local context = math.random(0, 4)
      local message = "seed " .. seed .. " round " .. round
      assert.equal(texts[2], apply(texts[1], diff.unified(texts[1], texts[2], { context = context })), message)
    end
  end)

  it("ends soon for large texts that have nothing in common", function()
    local a, b = {}, {}
    for i = 1, 20000 do a[i], b[i] = "a" .. i .. "\n", "b" .. i .. "\n" end
    a, b = table.concat(a), table.concat(b)
    local from = os.clock()
    assert.equal(b, apply(a, diff.unified(a, b)))
    assert.is_true(os.clock() - from < 10)
  end)
end)
