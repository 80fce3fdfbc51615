--- What an inventory is made of: hosts and groups with their variables, each knowing where it was said. Built by the
--- readers, then finished: circles refused, `all` and `ungrouped` filled, depths known.
--- Knows Ansible's precedence of variables; must not know files or connections.

local clean = require("sshlua.core").clean
local address = require("sshlua.hostset_address")
local errors = require("sshlua.errors")

local M = {}

M.MAX_HOSTS = 1000000
M.MAX_GROUPS = 100000
local MAX_NAME = 255
local MAX_DEPTH = 64

---@class sshlua.InventoryItem
---@field name string
---@field where string "file:line"
---@field vars table<string, any>
---@field origins table<string, string> variable -> "file:line"
---@field file_vars? table of group_vars/ and host_vars/
---@field file_origins? table<string, string>

---@class sshlua.InventoryModel
---@field hosts table<string, table> by name
---@field groups table<string, table> by name
---@field host_order string[]
---@field group_order string[]
---@field notices string[] what was read and is not supported
local Model = {}
Model.__index = Model

--- Raises an error about a place in a file.
---@param where string "file:line"
function M.fail(where, fmt, ...)
  errors.raise({ kind = "config", message = where .. ": " .. fmt:format(...), op = "inventory" })
end

local fail = M.fail

---@return sshlua.InventoryModel
function M.new()
  local model = { hosts = {}, groups = {}, host_order = {}, group_order = {}, notices = {} }
  return setmetatable(model, Model)
end

local function too_many(where, limit, what)
  errors.raise({ kind = "limit", message = ("%s: more than %d %s"):format(where, limit, what), op = "inventory" })
end

local function new_item(name, where)
  return { name = name, where = where, vars = {}, origins = {} }
end

local function check_host_name(name, where)
  if type(name) ~= "string" or name == "" then fail(where, "a host name is missing") end
  if #name > MAX_NAME then fail(where, "a host name of %d bytes; %d is the most", #name, MAX_NAME) end
  if name:find("[\128-\255]") and clean(name) ~= name then
    fail(where, "bad UTF-8 or invisible characters in a host name")
  end
  if name:find("^[%w._\128-\255][%w._\128-\255-]*$") or address.is_ipv6(name) then return end
  fail(where, "\"%s\" is no host name", errors.excerpt(name, 80))
end

local function check_group_name(name, where)
  if type(name) ~= "string" or name == "" then fail(where, "a group name is missing") end
  if #name > MAX_NAME then fail(where, "a group name of %d bytes; %d is the most", #name, MAX_NAME) end
  if clean(name) ~= name or name:find("[%s,!&^@:*%[%]]") then
    fail(where, "\"%s\" is no group name", errors.excerpt(name, 80))
  end
end

--- The host of that name, new if there was none.
function Model:host(name, where)
  local host = self.hosts[name]
  if host then return host end
  check_host_name(name, where)
  if #self.host_order >= M.MAX_HOSTS then too_many(where, M.MAX_HOSTS, "hosts") end
  host = new_item(name, where)
  host.groups = {}
  self.hosts[name] = host
  self.host_order[#self.host_order + 1] = name
  return host
end

--- The group of that name, new if there was none.
function Model:group(name, where)
  local group = self.groups[name]
  if group then return group end
  check_group_name(name, where)
  if #self.group_order >= M.MAX_GROUPS then too_many(where, M.MAX_GROUPS, "groups") end
  group = new_item(name, where)
  group.hosts, group.has, group.children, group.parents = {}, {}, {}, {}
  self.groups[name] = group
  self.group_order[#self.group_order + 1] = name
  return group
end

function Model:add_host(group, host)
  if group.has[host.name] then return end
  group.has[host.name] = true
  group.hosts[#group.hosts + 1] = host.name
  host.groups[#host.groups + 1] = group
end

function Model:add_child(parent, child, where)
  for _, known in ipairs(parent.children) do
    if known == child then return end
  end
  parent.children[#parent.children + 1] = child
  child.parents[#child.parents + 1] = { group = parent, where = where }
end

--- Sets a variable of a host or group; what is said later wins.
function Model:set(item, name, value, where)
  if type(name) ~= "string" or name == "" then fail(where, "the name of a variable is missing") end
  item.vars[name], item.origins[name] = value, where
end

function Model:notice(text)
  self.notices[#self.notices + 1] = text
end

-- ---- finishing

--- The longest way down from a group without parents; a circle is an error that names it.
local function depth_of(group, open)
  if group.depth then return group.depth end
  if open[group] then fail(group.parents[1].where, "the group %s contains itself", group.name) end
  open[group] = true
  open.level = open.level + 1
  if open.level > MAX_DEPTH then fail(group.where, "more than %d groups inside each other", MAX_DEPTH) end
  local depth = group.name == "all" and 0 or 1
  for _, parent in ipairs(group.parents) do depth = math.max(depth, depth_of(parent.group, open) + 1) end
  open[group] = nil
  open.level = open.level - 1
  group.depth = depth
  return depth
end

local function fill_special(model, where)
  local all, ungrouped = model:group("all", where), model:group("ungrouped", where)
  for _, name in ipairs(model.host_order) do
    local host = model.hosts[name]
    local grouped = false
    for _, group in ipairs(host.groups) do grouped = grouped or (group ~= all and group ~= ungrouped) end
    if not grouped then model:add_host(ungrouped, host) end
  end
end

--- Call once all is read.
---@param where string for what nobody said
function Model:finish(where)
  fill_special(self, where)
  for _, name in ipairs(self.group_order) do depth_of(self.groups[name], { level = 0 }) end
  return self
end

-- ---- questions

local function add_ancestors(group, seen, list)
  if seen[group] then return end
  seen[group] = true
  list[#list + 1] = group
  for _, parent in ipairs(group.parents) do add_ancestors(parent.group, seen, list) end
end

local function priority(group)
  return tonumber(group.vars.ansible_group_priority) or 1
end

--- Farthest first: all, then by depth, ansible_group_priority and name, as Ansible merges them.
local function by_precedence(a, b)
  if a.depth ~= b.depth then return a.depth < b.depth end
  local p, q = priority(a), priority(b)
  if p ~= q then return p < q end
  return a.name < b.name
end

--- All groups a host is in, through others too, in the order in which their variables apply.
function Model:groups_of(host)
  local list, seen = {}, {}
  add_ancestors(self.groups.all, seen, list)
  for _, group in ipairs(host.groups) do add_ancestors(group, seen, list) end
  table.sort(list, by_precedence)
  return list
end

--- Calls each(vars, origins) from the weakest to the strongest.
function Model:layers(host, each)
  local groups = self:groups_of(host)
  for _, group in ipairs(groups) do each(group.vars, group.origins) end
  for _, group in ipairs(groups) do
    if group.file_vars then each(group.file_vars, group.file_origins) end
  end
  each(host.vars, host.origins)
  if host.file_vars then each(host.file_vars, host.file_origins) end
end

local function add_members(group, seen_groups, seen, list)
  if seen_groups[group] then return end
  seen_groups[group] = true
  for _, name in ipairs(group.hosts) do
    if not seen[name] then
      seen[name] = true
      list[#list + 1] = name
    end
  end
  for _, child in ipairs(group.children) do add_members(child, seen_groups, seen, list) end
end

--- The hosts of a group and of its children.
---@return string[]
function Model:members(group)
  if group.name == "all" then return self.host_order end
  local list = {}
  add_members(group, {}, {}, list)
  return list
end

return M
