--- Union, difference, intersection and symmetric difference of words, from left to right: the hosts that are left, each
--- where it first stands. Words whose names cannot meet (hostset_word.key) are kept apart, so that a million hosts
--- that nothing else names pass without being remembered.
--- Knows sets of words; must not know the text of expressions.

local words = require "sshlua.hostset_word"

local M = {}

local FEW = 6 -- so many words are asked for every name; with more of them a set of names is faster

---@class sshlua.HostOperand
---@field op ","|"!"|"&"|"^" how it joins what stands before it
---@field words sshlua.HostWord[]

--- What concerns a family of words that may meet: its steps in order, { op, words }.
local function collect(operands)
  local families, of_word, intersections = {}, {}, {}
  for i, operand in ipairs(operands) do
    if operand.op == "&" then intersections[#intersections + 1] = i end
    for _, word in ipairs(operand.words) do
      local key = words.key(word)
      local family = families[key]
      if not family then
        family = { count = 0 }
        families[key] = family
      end
      of_word[word] = family
      local step = family[#family]
      if not step or step.at ~= i then
        step = { at = i, op = operand.op }
        family[#family + 1] = step
      end
      step[#step + 1] = word
      family.count = family.count + 1
    end
  end
  return families, of_word, intersections
end

--- Is there one of the sorted numbers between two others?
local function any_between(list, low, high)
  local from, to = 1, #list
  while from <= to do
    local middle = math.floor((from + to) / 2)
    if list[middle] <= low then from = middle + 1 else to = middle - 1 end
  end
  return list[from] ~= nil and list[from] < high
end

--- An intersection with words of other families leaves nothing of this one: a step "clear". No steps are left when
--- that is the end.
local function settle(family, intersections)
  local steps = {}
  for i, step in ipairs(family) do
    if i > 1 and any_between(intersections, family[i - 1].at, step.at) then steps[#steps + 1] = { op = "clear" } end
    steps[#steps + 1] = step
  end
  family.steps = any_between(intersections, family[#family].at, math.huge) and {} or steps
end

-- ---- the two ways to know what is left of a family

--- By asking every word about every name. nil when a word cannot be asked, or gives a name twice by itself.
local function matchers_of(step)
  local list = {}
  for i, word in ipairs(step) do
    if (step.op == "," or step.op == "^") and words.may_repeat(word) then return nil end
    list[i] = words.matcher(word)
    if not list[i] then return nil end
  end
  return list
end

local function any(list, name)
  for i = 1, #list do
    if list[i](name) then return true end
  end
  return false
end

--- Is the name there after all steps? That step `own` has it is known.
local function decide(steps, own, name)
  local there = false
  for i = 1, #steps do
    local step = steps[i]
    local op, hit = step.op, i == own or any(step.matchers, name)
    if op == "," then
      there = there or hit
    elseif op == "!" then
      there = there and not hit
    elseif op == "&" then
      there = there and hit
    elseif op == "clear" then
      there = false
    else
      there = there ~= hit
    end
  end
  return there
end

--- A test of names by the words of all steps. What words before this one produce has been there already.
local function by_matchers(family)
  local steps = family.steps
  for _, step in ipairs(steps) do
    step.matchers = matchers_of(step)
    if not step.matchers then return nil end
  end
  local producers, position, step_of = {}, {}, {}
  for s, step in ipairs(steps) do
    for i, word in ipairs((step.op == "," or step.op == "^") and step or {}) do
      producers[#producers + 1] = step.matchers[i]
      position[word], step_of[word] = #producers, s
    end
  end
  return function(name, word)
    for i = 1, position[word] - 1 do
      if producers[i](name) then return false end
    end
    return decide(steps, step_of[word], name)
  end
end

local apply = {}

apply[","] = function(step, present, epoch)
  for _, word in ipairs(step) do
    words.each(word, function(name) present[name] = epoch end)
  end
  return epoch
end

apply["!"] = function(step, present, epoch)
  for _, word in ipairs(step) do
    words.each(word, function(name) present[name] = nil end)
  end
  return epoch
end

--- What is in both moves on to the next epoch; the rest stays behind in the old one.
apply["&"] = function(step, present, epoch)
  for _, word in ipairs(step) do
    words.each(word, function(name)
      if present[name] == epoch then present[name] = epoch + 1 end
    end)
  end
  return epoch + 1
end

apply.clear = function(_, _, epoch) return epoch + 1 end

apply["^"] = function(step, present, epoch)
  local turned = {}
  for _, word in ipairs(step) do
    words.each(word, function(name)
      if turned[name] then return end
      turned[name] = true
      present[name] = present[name] ~= epoch and epoch or nil
    end)
  end
  return epoch
end

--- By a set of names; what is handed out leaves it, so that nothing comes twice.
local function by_set(family)
  local present, epoch = {}, 1
  for _, step in ipairs(family.steps) do epoch = apply[step.op](step, present, epoch) end
  return function(name)
    if present[name] ~= epoch then return false end
    present[name] = nil
    return true
  end
end

local function test_of(family, intersections)
  settle(family, intersections)
  local first = family.steps[1]
  if not first then return false end
  if family.count == 1 then
    if first.op ~= "," and first.op ~= "^" then return false end
    if not words.may_repeat(first[1]) then return true end
  end
  return family.count <= FEW and by_matchers(family) or by_set(family)
end

--- Calls visit(name, user, port) for each host that is left, in order, each once.
---@param operands sshlua.HostOperand[]
---@param visit fun(name: string, user?: string, port?: integer)
function M.each(operands, visit)
  local families, of_word, intersections = collect(operands)
  for _, family in pairs(families) do family.test = test_of(family, intersections) end
  for _, operand in ipairs(operands) do
    for _, word in ipairs(operand.op ~= "!" and operand.op ~= "&" and operand.words or {}) do
      local family = of_word[word]
      local test, user, port = family.test, word.user, word.port
      if test then
        words.each(word, test == true and function(name) return visit(name, user, port) end or function(name)
          if test(name, word) then return visit(name, user, port) end
        end)
      end
    end
  end
end

--- How many are left.
---@param operands sshlua.HostOperand[]
---@return integer
function M.count(operands)
  local n = 0
  if #operands == 1 and #operands[1].words == 1 and not words.may_repeat(operands[1].words[1]) then
    return math.floor(operands[1].words[1].count)
  end
  M.each(operands, function() n = n + 1 end)
  return n
end

return M
