--- PATTERNS of ssh_config(5): "*" and "?", lists with commas, negation. Pure.

local wildcard = require("sshlua.wildcard")

local M = {}

--- Does the whole text match?
---@param text string
---@param pattern string
---@return boolean
function M.match(text, pattern)
  if not pattern:find("[*?]") then return text == pattern end -- most are plain names
  return wildcard.simple(pattern)(text)
end

local LONGEST = 1022 -- of one pattern in a list; a longer one fails the whole list

--- A list with commas, "!" negates: "no" when a negated pattern matches, else "yes" or nil.
---@param text string
---@param list string
---@param lower? boolean the patterns are made lower case first
---@return "yes"|"no"|nil
function M.list(text, list, lower)
  local found
  local at = 1
  while at <= #list do
    local negated = list:byte(at) == 33
    if negated then at = at + 1 end
    local comma = list:find(",", at, true) or #list + 1
    local pattern = list:sub(at, comma - 1)
    if #pattern > LONGEST then return nil end
    if lower then pattern = pattern:lower() end
    if M.match(text, pattern) then
      if negated then return "no" end
      found = "yes"
    end
    at = comma + 1
  end
  return found
end

--- A list for host names: case does not matter.
function M.host(name, list) return M.list(name:lower(), list, true) == "yes" end

return M
