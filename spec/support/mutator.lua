-- Text that is nearly right: texts of a grammar, changed at random places by the grammar's own pieces, the same for the
-- same seed. Knows nothing of the grammars; a parser is driven with as many as wanted and judged by what it raises, by
-- the time it takes and by the memory it keeps.
local core = require "sshlua.core"
local errors = require "sshlua.errors"

local M = {}

local SLOW = 2 -- seconds of the processor for one text, with sanitizers, on a machine that does something else
local LENGTH = 40000
local FEWEST = 100 -- texts, also where the machine has other things to do

-- A generator of numbers that is the same on every Lua.
function M.random(seed)
  local state = seed % 2147483647
  if state == 0 then state = 1 end
  return function(n)
    state = state * 16807 % 2147483647
    return state % n + 1
  end
end

local everywhere = { "", "\0", "\n", "\r\n", " ", "\t", '"', "'", "\\", "#", "%", "${", "\255", "\239\187\191", "-1", "99999999999999999999" }

-- Tokens: words, runs of blanks, single signs.
local function tokens(text)
  local list, n = {}, 0
  for word, rest in text:gmatch "([%w_.]*)([^%w_.]*)" do
    if word ~= "" then
      n = n + 1
      list[n] = word
    end
    for blanks, signs in rest:gmatch "(%s*)(%S*)" do
      if blanks ~= "" then
        n = n + 1
        list[n] = blanks
      end
      for at = 1, #signs do list[n + at] = signs:sub(at, at) end
      n = n + #signs
    end
  end
  return list
end

local taken_apart = {} -- of the samples: most of the work, otherwise

local function piece(r, grammar)
  local list = r(4) == 1 and everywhere or grammar.pieces
  return list[r(#list)]
end

-- Changes of a list of tokens.
local changes = {
  function(r, list) table.remove(list, r(#list)) end,
  function(r, list, grammar) table.insert(list, r(#list), piece(r, grammar)) end,
  function(r, list, grammar) list[r(#list)] = piece(r, grammar) end,
  function(r, list) table.insert(list, r(#list), list[r(#list)]) end,
  function(r, list)
    local a, b = r(#list), r(#list)
    list[a], list[b] = list[b], list[a]
  end,
  function(r, list) -- what is nearly right in its form is wrong in what it says
    for _ = 1, 3 do
      local a, b = r(#list), r(#list)
      if list[a]:find "^%w" and list[b]:find "^%w" then list[a] = list[b] end
    end
  end,
  function(r, list)
    local at = r(#list)
    if list[at]:find "^%d" then list[at] = tostring(r(70) - 2) end
  end,
  function(r, list) list[r(#list)] = string.char(r(256) - 1) end,
  function(r, list, grammar) table.insert(list, r(#list), piece(r, grammar):rep(r(60))) end,
  function(r, list)
    local at = r(#list)
    list[at] = list[at]:sub(r(#list[at] + 1))
  end,
  function(r, list, grammar) -- the end of another text
    local from = r(#list)
    for i = #list, from, -1 do list[i] = nil end
    list[from] = grammar.text(r)
  end,
}

-- One text of a grammar: { text = function(r), pieces = { ... }, size = at most so many bytes }.
function M.text(r, grammar)
  local text, list = grammar.text(r), {}
  for i, token in ipairs(taken_apart[text] or tokens(text)) do list[i] = token end
  for _ = 1, r(r(6)) do -- most texts have few mistakes, or nothing deep is ever reached
    if #list == 0 then list[1] = piece(r, grammar) end
    changes[r(#changes)](r, list, grammar)
  end
  return table.concat(list):sub(1, grammar.size or 4000)
end

-- The text function of a grammar that has samples.
function M.one_of(samples)
  for _, text in ipairs(samples) do taken_apart[text] = tokens(text) end
  return function(r) return samples[r(#samples)] end
end

local function resident()
  local file = io.open "/proc/self/statm"
  if not file then return 0 end
  local pages = tonumber((file:read "*l"):match "%d+ (%d+)")
  file:close()
  return pages * 4096
end

local function memory()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count" * 1024, resident()
end

-- An error that a user may see: of the grammar's kinds, one visible line.
local function check_error(grammar, err)
  assert(errors.is(err), "not an Error: " .. tostring(err))
  assert(grammar.kinds[err.kind], "an unexpected kind: " .. tostring(err))
  assert(err.message ~= "" and not err.message:find "%c", "not one visible line")
  if grammar.names then assert(err.message:find(grammar.names), "does not say where: " .. tostring(err)) end
end

---@class spec.Grammar
---@field name string
---@field samples? string[] good texts
---@field text? fun(r): string a good text by chance; default: one of the samples
---@field pieces string[] what the grammar is made of
---@field read fun(text: string, r) parses; may raise an Error, and asserts what must hold of what it read
---@field kinds table<string, true> the kinds it may raise
---@field names? string pattern for what every message names
---@field size? integer
---@field outside_tasks? boolean it is to be driven without a task

-- One text to a parser: how long it took, and whether it was refused.
local function judge(grammar, text, r, name)
  local before = os.clock()
  local ok, err = pcall(grammar.read, text, r)
  local took = os.clock() - before
  local fine, why = true, nil
  if not ok then fine, why = pcall(check_error, grammar, err) end
  if fine and took > SLOW then fine, why = false, ("took %.1f s"):format(took) end
  if not fine then error(("%s: %s\n%q"):format(name, tostring(why), text:sub(1, 5000)), 0) end
  return took, not ok
end

-- Long runs of each piece within a good text: a parser that goes back and forth takes minutes for them.
function M.stretch(grammar, seed)
  local r = M.random(seed)
  local function try(bit)
    if bit == "" then return end
    local text = grammar.text(r)
    local at = r(#text + 1)
    text = text:sub(1, at - 1) .. bit:rep(math.ceil(LENGTH / #bit)) .. text:sub(at)
    judge(grammar, text, r, ("%d bytes of %q in a text of seed %d"):format(LENGTH, bit:sub(1, 20), seed))
  end
  for _, bit in ipairs(everywhere) do try(bit) end
  for _, bit in ipairs(grammar.pieces) do try(bit) end
end

-- Gives a parser `rounds` texts, or as many as fit into `seconds`, a hundred at least. Returns what was seen:
-- { rounds, refused, seconds, slowest }.
---@param grammar spec.Grammar
---@param how { seed: integer, rounds: integer, seconds?: number }
function M.drive(grammar, how)
  local r = M.random(how.seed)
  local from, slowest, refused, done = core.now(), 0, 0, 0
  local lua_before, rss_before
  while done < how.rounds and not (how.seconds and done >= FEWEST and core.now() - from > how.seconds) do
    local text = M.text(r, grammar)
    local took, wrong = judge(grammar, text, r, ("seed %d, text %d"):format(how.seed, done + 1))
    if wrong then refused = refused + 1 end
    slowest = math.max(slowest, took)
    done = done + 1
    if done == math.floor(how.rounds / 4) then lua_before, rss_before = memory() end
  end
  if lua_before then -- not when time was up before: what is cached still comes in
    local lua_after, rss_after = memory()
    assert(lua_after - lua_before < 2e6, ("Lua keeps %d bytes more"):format(lua_after - lua_before))
    assert(rss_after - rss_before < 4e8, ("%d bytes more are resident"):format(rss_after - rss_before))
  end
  return { rounds = done, refused = refused, seconds = core.now() - from, slowest = slowest }
end

return M
