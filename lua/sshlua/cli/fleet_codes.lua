--- Exit codes of commands on many hosts. Pure.

local errors = require("sshlua.errors")
local report = require("sshlua.cli.report")

local M = {}

--- Where several apply, the first of these.
local RANK = { 2, 1, 130, 4, 124, 3, 5 }

local function code_of(r)
  if r.ok or r:status() == "skipped" then return nil end
  if r.err == nil then return 3 end
  if not errors.is(r.err) then return 1 end
  if r.err.kind == "usage" then return 2 end
  if r.err.kind == "cancelled" then return nil end -- whoever cancelled says why
  if report.unreachable(r.err) then return 4 end
  return r.err.kind == "timeout" and 124 or 3
end

--- The code of the table in docs/fleets.md.
---@param rs sshlua.Results
---@return integer
function M.of(rs)
  local found = {}
  for _, r in ipairs(rs) do
    local code = code_of(r)
    if code then found[code] = true end
  end
  for _, code in ipairs(RANK) do
    if found[code] then return code end
  end
  return 0
end

local signals = {
  HUP = 1, INT = 2, QUIT = 3, ILL = 4, TRAP = 5, ABRT = 6, BUS = 7, FPE = 8, KILL = 9, USR1 = 10, SEGV = 11, USR2 = 12,
  PIPE = 13, ALRM = 14, TERM = 15,
}

--- A host's own code: 128+n for signals; nil when it has none.
local function remote(r)
  if r.signal then return 128 + (signals[r.signal] or 127) end
  return r.code
end

local function with_own(r) return remote(r) or code_of(r) or 0 end

local ways = {
  ignored = function() return 0 end, -- as pdsh without -S
  main = function(rs) return rs[1] and with_own(rs[1]) or 0 end,
  any = function(rs)
    for _, r in ipairs(rs) do
      if not r.ok and r:status() ~= "skipped" then return with_own(r) end
    end
    return 0
  end,
  all = function(rs)
    for _, r in ipairs(rs) do
      if not r.ok then return 1 end
    end
    return 0
  end,
  largest = function(rs)
    local largest = 0
    for _, r in ipairs(rs) do largest = math.max(largest, remote(r) or 0) end
    return largest > 0 and largest or M.of(rs)
  end,
}

--- By one of the strategies main, any, all, largest; without one, the table's.
---@param rs sshlua.Results
---@param way? string
---@return integer
function M.by(rs, way) return (ways[way] or M.of)(rs) end

return M
