--- What differs in each run and is the same on a cassette: text that the option `replace` names, and words that the
--- library makes up. Pure.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local fresh = require("sshlua.fresh")

local M = {}

local function replaced(text, from, to)
  return (text:gsub(from:gsub("%W", "%%%0"), (to:gsub("%%", "%%%%"))))
end

--- Replaces the longest first.
---@param map? table<string, string>
---@param back? boolean
---@return fun(text: string): string
function M.replacer(map, back)
  local pairs_of = {}
  for text, name in pairs(map or {}) do pairs_of[#pairs_of + 1] = back and { name, text } or { text, name } end
  table.sort(pairs_of, function(a, b) return #a[1] > #b[1] or #a[1] == #b[1] and a[1] < b[1] end)
  return function(s)
    for _, pair in ipairs(pairs_of) do s = replaced(s, pair[1], pair[2]) end
    return s
  end
end

--- Raises usage, `level` callers up, unless it is such a map.
function M.check(map, level)
  for text, name in pairs(map or {}) do
    if type(text) ~= "string" or type(name) ~= "string" or text == "" or name == "" then
      errors.usage(level + 1, "option 'replace': a table of texts expected, { [directory] = \"<dir>\" }")
    end
  end
end

--- The text of one channel as it is on the cassette, and the way back. Words of this run alone are numbered in the
--- order in which they were sent; secrets are masked, and stay so.
---@param alike fun(text: string): string
---@param unlike fun(text: string): string
---@return { learn: fun(text: string), fold: (fun(text: string): string), unfold: fun(text: string): string }
function M.of_channel(alike, unlike)
  local mine = {}
  local function learn(text)
    local i = 1
    while fresh.words and fresh.words[i] do
      if text:find(fresh.words[i], 1, true) then
        mine[#mine + 1] = table.remove(fresh.words, i)
      else
        i = i + 1
      end
    end
  end
  local function fold(text)
    text = core.mask(text)
    for i, word in ipairs(mine) do text = replaced(text, word, ("<nonce %d>"):format(i)) end
    return alike(text)
  end
  local function unfold(text)
    text = unlike(text)
    for i, word in ipairs(mine) do text = replaced(text, ("<nonce %d>"):format(i), word) end
    return text
  end
  return { learn = learn, fold = fold, unfold = unfold }
end

return M
