--- Words that are others in each run: marks that nobody can guess, names made of the time. Who compares runs listens.

local core = require("sshlua.core")

local M = {}

local KEPT = 1000

--- The latest of them, while somebody wants to know.
---@type string[]|nil
M.words = nil

--- Tells of a word that is only of this run, and returns it.
---@param word string
---@return string
function M.word(word)
  local words = M.words
  if words then
    words[#words + 1] = word
    if #words > KEPT then table.remove(words, 1) end
  end
  return word
end

--- A mark that nobody can guess.
---@return string
function M.nonce() return M.word(core.nonce()) end

return M
