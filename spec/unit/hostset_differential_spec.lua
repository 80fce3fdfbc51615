-- Host expressions against the installed nodeset (ClusterShell) and pdsh: generated expressions on which those two agree
-- have to be ours, too, in pdsh's order. Where they differ, docs/hosts.md says whom we follow.
require "spec.support.text_core"
local hostset = require "sshlua.hostset"

local WANTED = 500

local function have(program)
  local pipe = io.popen("command -v " .. program .. " 2>/dev/null")
  local path = pipe:read "*l"
  pipe:close()
  return path
end

-- The interpreter that nodeset runs in: it can be asked many times in one process.
local function nodeset_python()
  local path = have "nodeset"
  local file = path and io.open(path)
  local line = file and file:read "*l" or ""
  if file then file:close() end
  return line:match "^#!%s*(%S*python[%d.]*)"
end

local function temporary(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
  return name
end

local function lines_of(command)
  local pipe, list = io.popen(command), {}
  for line in pipe:lines() do list[#list + 1] = line end
  pipe:close()
  return list
end

-- For each line "expression" or "expression exclusion": the names, with commas; "error" when refused.
local function ask_nodeset(python, cases)
  local script = temporary [[
import sys
from ClusterShell.NodeSet import NodeSet
for line in sys.stdin:
    words = line.split()
    try:
        nodes = NodeSet(words[0], resolver=None)
        if len(words) > 1:
            nodes.difference_update(NodeSet(words[1], resolver=None))
        print(",".join(nodes) + " " + str(nodes))
    except Exception:
        print("error")
]]
  local input = temporary(table.concat(cases, "\n") .. "\n")
  local list = lines_of(python .. " " .. script .. " <" .. input)
  os.remove(script)
  os.remove(input)
  return list
end

local function ask_pdsh(cases)
  local input = temporary(table.concat(cases, "\n") .. "\n")
  local list = lines_of([[unset WCOLL; while read -r w x; do
    pdsh -R exec -Q -w "$w" ${x:+-x "$x"} : 2>/dev/null </dev/null | sed -n '$p' | grep . || echo error
  done <]] .. input)
  os.remove(input)
  return list
end

-- ---- expressions that both know: one or two numbers apart from each other, padding alike at both ends

local random = math.random

local function one_of(list) return list[random(#list)] end

local function number(width, top) return ("%0" .. width .. "d"):format(random(0, top)) end

local function range()
  local width = one_of { 1, 1, 1, 2, 3 }
  local top = one_of { 12, 120 }
  local low, high = random(0, top), random(0, top)
  if low > high then low, high = high, low end
  if random(3) == 1 then return number(width, top) end
  if width > 1 and #tostring(high) > width then width = #tostring(high) end
  if high - low > 60 then high = low + 60 end
  if width == 1 then return ("%d-%d"):format(low, high) end
  return ("%0" .. width .. "d-%0" .. width .. "d"):format(low, high)
end

local function bracket()
  local list = {}
  for i = 1, one_of { 1, 1, 2, 3 } do list[i] = range() end
  return "[" .. table.concat(list, ",") .. "]"
end

local function word()
  local shape = random(9)
  local prefix = one_of { "n", "web", "n", "r-", "a.b" }
  if shape <= 4 then return prefix .. bracket() end
  if shape == 5 then return prefix .. bracket() .. one_of { ".dc1", "-ib", "x" } end
  if shape == 6 then return prefix .. random(0, 120) end
  if shape == 7 then return prefix .. ("%03d"):format(random(0, 120)) end
  if shape == 8 then return "r[" .. random(0, 3) .. "-" .. random(4, 6) .. "]n[" .. random(0, 3) .. "-" .. random(4, 8) .. "]" end
  return one_of { "host", "db.example.com", "x-y" }
end

local function expression()
  local list = {}
  for i = 1, one_of { 1, 1, 2, 3, 5 } do list[i] = word() end
  return table.concat(list, ",")
end

local function sorted(text)
  local list, seen = {}, {}
  for name in text:gmatch "[^,]+" do
    if not seen[name] then list[#list + 1] = name end
    seen[name] = true
  end
  local ordered = table.concat(list, ",")
  table.sort(list)
  return table.concat(list, ","), ordered
end

local function ours(case)
  local w, x = case:match "^(%S+) ?(%S*)$"
  local good, hosts = pcall(hostset.expand, w, { exclude = x ~= "" and x or nil })
  if not good then return "error: " .. tostring(hosts) end
  local names = {}
  for i, h in ipairs(hosts) do names[i] = h.name end
  return table.concat(names, ",")
end

describe("nodeset and pdsh", function()
  local python, pdsh = nodeset_python(), have "pdsh"
  local function needs_both()
    if python and pdsh then return true end
    pending "nodeset (ClusterShell) or pdsh is not here"
  end

  it("agree with us where they agree with each other", function()
    if not needs_both() then return end
    local seed = os.time()
    math.randomseed(seed)
    local agreed, asked = 0, 0
    while agreed < WANTED and asked < 3 * WANTED do
      local cases = {}
      for i = 1, 300 do cases[i] = random(4) == 1 and expression() .. " " .. expression() or expression() end
      asked = asked + #cases
      local a, b = ask_nodeset(python, cases), ask_pdsh(cases)
      assert.equal(#cases, #a)
      assert.equal(#cases, #b)
      for i, case in ipairs(cases) do
        local names, folded = a[i]:match "^(%S*) ?(%S*)$"
        local theirs = sorted(names)
        local set, order = sorted(b[i])
        local message = ("seed %d: %s"):format(seed, case)
        if theirs == set and names ~= "error" then
          agreed = agreed + 1
          assert.equal(order, ours(case), message)
          assert.is_true(#hostset.fold(hostset.expand(set)) <= #folded, message .. ": they fold shorter: " .. folded)
          assert.equal(set, (sorted(ours(folded))), message)
        end
      end
    end
    assert.is_true(agreed >= WANTED, ("they agree on %d of %d only"):format(agreed, asked))
  end)

  it("is right about sets, as nodeset is", function()
    if not needs_both() then return end
    local seed = os.time()
    math.randomseed(seed)
    local cases = {}
    for i = 1, 400 do
      local parts = { expression() }
      for _ = 1, random(4) do
        parts[#parts + 1] = one_of { "!", "&", "^", "," }
        parts[#parts + 1] = word()
      end
      cases[i] = table.concat(parts)
    end
    local answers, agreed = ask_nodeset(python, cases), 0
    for i, case in ipairs(cases) do
      local names = answers[i]:match "^(%S*)"
      if names ~= "error" then
        agreed = agreed + 1
        assert.equal((sorted(names)), (sorted(ours(case))), ("seed %d: %s"):format(seed, case))
      end
    end
    assert.is_true(agreed > 300)
  end)

  it("are what the command nodeset is", function()
    if not needs_both() then return end
    for _, case in ipairs { "n[1-5]!n3", "n[08-11]", "a[1-2]b[3-4],x", "n[1-9]&n[5-20]^n7" } do
      local list = lines_of("nodeset -e -S , '" .. case .. "'")
      assert.equal((sorted(list[1])), (sorted(ours(case))), case)
    end
  end)

  -- docs/hosts.md, "Where they differ".
  it("differ where docs/hosts.md says so", function()
    if not needs_both() then return end
    local cases = { "n[01-3]", "n[8-011]", "n[0-9/3]", "a[1-2][3-4]", "n1,", "n[1-2" }
    local a, b = ask_nodeset(python, cases), ask_pdsh(cases)
    local function both(i) return (a[i]:match "^(%S*)"), b[i] end
    assert.same({ "error", "n01,n02,n03" }, { both(1) })
    assert.equal("n01,n02,n03", ours(cases[1]))
    assert.same({ "error", "n8,n9,n10,n11" }, { both(2) })
    assert.matches("^error", ours(cases[2]))
    assert.same({ "n0,n3,n6,n9", "error" }, { both(3) })
    assert.equal("n0,n3,n6,n9", ours(cases[3]))
    assert.same({ "error", "a13,a14,a23,a24" }, { both(4) })
    assert.equal("a13,a14,a23,a24", ours(cases[4]))
    assert.same({ "error", "n1" }, { both(5) })
    assert.matches("^error", ours(cases[5]))
    assert.same({ "error", "n[1-2" }, { both(6) })
    assert.matches("^error", ours(cases[6]))
  end)
end)
