--- What the verbs of a dry run would have made on a host, so that those behind them can go on as if it were there: the
--- directory of a file, the owner, a service's unit or package. Forgotten when something is really done.

local M = {}

local function known_of(host)
  host.target.pretended = host.target.pretended or { dirs = {}, names = {} }
  return host.target.pretended
end

--- Notes that a file would have been written. Only the units of systemd and the scripts of other systems matter: names
--- "unit:NAME".
---@param host sshlua.Host
---@param path string
function M.file(host, path)
  local unit = path:match("^/etc/systemd/system/([^/]+)$") or path:match("^/etc/init%.d/([^/]+)$")
    or path:match("^/[%w/]*lib/systemd/system/([^/]+)$")
  if unit then known_of(host).names["unit:" .. unit] = true end
end

--- Notes what `plan` would have made: `makes` is { dir = path }, { file = path }, { name = user }, { packages = true }.
---@param host sshlua.Host
function M.note(host, plan, dry_run, changed)
  local target = host.target
  if not dry_run then
    target.pretended = nil
  elseif changed and plan.makes then
    local known = known_of(host)
    if plan.makes.dir then known.dirs[plan.makes.dir] = true end
    if plan.makes.file then M.file(host, plan.makes.file) end
    if plan.makes.name then known.names[plan.makes.name] = true end
    if plan.makes.packages then known.packages = true end
  end
end

local function has_directory(dirs, path)
  local parent = path:match("^(.*)/[^/]*$")
  if not parent then return false end
  for dir in pairs(dirs) do
    if dir == parent or dir:sub(1, #parent + 1) == parent .. "/" then return true end
  end
  return false
end

--- Would the directory that `path` is in have been made?
---@param host sshlua.Host
---@param path string
---@return boolean
function M.has_parent(host, path)
  local known = host.target.pretended
  return known ~= nil and has_directory(known.dirs, path)
end

--- What of that matters to a plan, as words: / for the directory that plan.at is in, + for packages, and names of
--- plan.names.
---@return string
function M.text(host, plan)
  local known, words = host.target.pretended, {}
  if not known then return "" end
  if plan.at and M.has_parent(host, plan.at) then words[1] = "/" end
  if known.packages then words[#words + 1] = "+" end
  for _, name in ipairs(plan.names or {}) do
    if known.names[name] then words[#words + 1] = name end
  end
  return table.concat(words, " ")
end

return M
