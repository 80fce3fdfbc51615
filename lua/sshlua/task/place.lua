--- Where a script stands: the innermost place that is not the library's own. Errors about a wrong call name it.

local M = {}

local library = debug.getinfo(1, "S").source:match("^(.*)task[/\\]place%.lua$")

local function is_library(source) return library ~= nil and source:sub(1, #library) == library end

--- The level, as the caller gives it to error(), of the innermost function that is the script's own.
---@return integer
function M.level()
  local level = 3
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return 2 end
    if info.currentline > 0 and not is_library(info.source) then return level - 1 end
    level = level + 1
  end
end

--- "file:line" where the script's code in that coroutine stands; nil if there is none.
---@param co thread
---@return string|nil
function M.of(co)
  for level = 0, 100 do
    local info = debug.getinfo(co, level, "Sl")
    if not info then return nil end
    if info.currentline > 0 and not is_library(info.source) then
      return ("%s:%d"):format(info.short_src, info.currentline)
    end
  end
end

return M
