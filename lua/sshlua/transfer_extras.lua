--- What a tree's target has and its source has not: removed, but for what is excluded. Knows a side of a tree and
--- patterns; must not know how anything is copied.

local errors = require("sshlua.errors")
local names = require("sshlua.transfer_names")

local M = {}

local DEPTH_MAX = 64

local function within(side, dir, name, fn)
  local inner = side.enter(dir, name)
  local ok, value = pcall(function()
    local list = side.list(inner)
    table.sort(list, function(a, b) return a.name < b.name end)
    return fn(inner, list)
  end)
  inner:leave()
  if not ok then error(value, 0) end
  return value
end

--- Is something excluded below an entry of the target?
local function shelters(self, dir, name, st, rel, depth)
  local patterns = self.job.opts.exclude
  if st.type ~= "directory" or not patterns or not patterns[1] then return false end
  if depth > DEPTH_MAX then
    errors.raise({ kind = "limit", message = errors.excerpt(dir:show(name)) .. ": too deep" })
  end
  return within(self.to, dir, name, function(inner, list)
    for _, e in ipairs(list) do
      local below = rel .. "/" .. e.name
      if names.excluded(patterns, below, e.name, e.type == "directory")
        or shelters(self, inner, e.name, e, below, depth + 1) then return true end
    end
    return false
  end)
end

--- Removes an entry of the target with what is below it. What is excluded stays, and the directories that it is in.
--- True: nothing stayed.
---@param self sshlua.Tree
---@param dir table a directory of the target's side
---@param name string of the entry
---@param st table its type
---@param rel string its path below the top
---@param depth? integer
---@return boolean
function M.remove(self, dir, name, st, rel, depth)
  depth = depth or 1
  if not shelters(self, dir, name, st, rel, depth) then
    if not self.job.opts.dry_run then self.to.remove(dir, name, st.type) end
    self.job:delete(dir:show(name))
    return true
  end
  within(self.to, dir, name, function(inner, list)
    for _, e in ipairs(list) do
      local below = rel .. "/" .. e.name
      if not names.excluded(self.job.opts.exclude, below, e.name, e.type == "directory") then
        self.job:try(inner:show(e.name), M.remove, self, inner, e.name, e, below, depth + 1)
      end
    end
  end)
  return false
end

return M
