--- Inventories that are trees of tables, in Ansible's layout, whatever they were written in: YAML, JSON, Lua, and the
--- JSON that dynamic inventories print (groups with lists of hosts, _meta.hostvars).
--- Knows the layout; must not know files or syntax.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local hostset = require("sshlua.hostset")
local model = require("sshlua.inventory.model")
local ranges = require("sshlua.inventory.ranges")

local M = {}

local fail = model.fail
local null = core.json_null
local MAX_DEPTH = 64
local MAX_STEPS = 100000 -- a table may be used in many places

---@class sshlua.TreeReader
---@field model sshlua.InventoryModel
---@field path string
---@field positions? table<table, table<any, integer>> lines, when the syntax knows them
---@field expressions? boolean names may be host expressions, too: Lua
local Tree = {}
Tree.__index = Tree

local function is_list(t)
  local meta = getmetatable(t)
  if meta == core.json_array then return true end
  if meta == core.json_object then return false end
  return t[1] ~= nil
end

local function what(value)
  if value == null or value == nil then return "nothing" end
  if type(value) ~= "table" then return "the " .. type(value) .. " " .. errors.excerpt(tostring(value), 40) end
  return is_list(value) and "a list" or "a mapping"
end

--- "file:line" of a key or item; without lines the path to it.
function Tree:where(t, key, path)
  local lines = self.positions and self.positions[t]
  if lines and lines[key] then return ("%s:%d"):format(self.path, lines[key]) end
  return ("%s: %s"):format(self.path, errors.excerpt(path, 120))
end

--- Lua's tables can have keys that are no names.
local function check_key(key, where)
  if type(key) ~= "string" and type(key) ~= "number" then fail(where, "a name expected, got a %s", type(key)) end
end

--- Keys in the order in which they stand in the file where that is known, else by name.
function Tree:keys(t)
  local keys, lines = {}, self.positions and self.positions[t] or {}
  for key in pairs(t) do
    check_key(key, self.path)
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    local x, y = lines[a] or 0, lines[b] or 0
    if x ~= y then return x < y end
    if type(a) ~= type(b) then return type(a) == "number" end
    return a < b
  end)
  return keys
end

function Tree:set_vars(item, vars, where, path)
  if vars == null or vars == nil then return end
  if type(vars) ~= "table" or is_list(vars) and next(vars) ~= nil then
    fail(where, "variables of %s: a mapping expected, got %s", item.name, what(vars))
  end
  for name, value in pairs(vars) do
    check_key(name, where)
    self.model:set(item, type(name) == "number" and tostring(name) or name, value,
      self:where(vars, name, path .. "." .. tostring(name)))
  end
end

--- Calls visit for each host that a name stands for.
function Tree:each_name(name, where, visit)
  if self.expressions and not name:find("%[[^%[%]]*:") then
    local ok, err = pcall(hostset.each, name, { limit = model.MAX_HOSTS, sources = {} }, visit)
    if errors.is(err) and err.message:sub(1, #self.path) == self.path then error(err, 0) end -- visit's, it says where
    if not ok then fail(where, "%s", errors.is(err) and err.message or tostring(err)) end
    return
  end
  ranges.hosts(name, where, function(host, port) visit(host, nil, port) end)
end

function Tree:add_hosts(group, name, vars, where, path)
  if type(name) ~= "string" then fail(where, "hosts of %s: a name expected, got %s", group.name, what(name)) end
  self:each_name(name, where, function(host_name, user, port)
    local host = self.model:host(host_name, where)
    self.model:add_host(group, host)
    if user then self.model:set(host, "ansible_user", user, where) end
    if port then self.model:set(host, "ansible_port", port, where) end
    self:set_vars(host, vars, where, path)
  end)
end

function Tree:hosts(group, hosts, where, path)
  if hosts == null then return end
  if type(hosts) == "string" then return self:add_hosts(group, hosts, nil, where, path) end
  if type(hosts) ~= "table" then
    fail(where, "hosts of %s: a mapping or list expected, got %s", group.name, what(hosts))
  end
  local list = is_list(hosts)
  for _, key in ipairs(self:keys(hosts)) do
    local at = path .. "." .. tostring(key)
    if list or type(key) == "number" then
      self:add_hosts(group, hosts[key], nil, self:where(hosts, key, at), at)
    else
      self:add_hosts(group, key, hosts[key], self:where(hosts, key, at), at)
    end
  end
end

function Tree:children(group, children, where, path, depth)
  if children == null then return end
  if type(children) ~= "table" then
    fail(where, "children of %s: a mapping or list expected, got %s", group.name, what(children))
  end
  local list = is_list(children)
  for _, key in ipairs(self:keys(children)) do
    local at = path .. "." .. tostring(key)
    local here = self:where(children, key, at)
    local name = (list or type(key) == "number") and children[key] or key
    if type(name) ~= "string" then fail(here, "the name of a group expected, got %s", what(name)) end
    local child = self.model:group(name, here)
    self.model:add_child(group, child, here)
    if name == key then self:group(child, children[key], here, at, depth + 1) end
  end
end

local parts = { hosts = "hosts", children = "children", vars = "vars" }

function Tree:group(group, value, where, path, depth)
  if value == null or value == nil then return end
  if depth > MAX_DEPTH then fail(where, "more than %d groups inside each other", MAX_DEPTH) end
  self.steps = self.steps + 1
  if self.steps > MAX_STEPS then fail(where, "more than %d groups inside others", MAX_STEPS) end
  if type(value) ~= "table" then fail(where, "group %s: a mapping expected, got %s", group.name, what(value)) end
  if is_list(value) then return self:hosts(group, value, where, path) end -- the oldest form of dynamic inventories
  for key in pairs(value) do
    if not parts[key] then
      fail(self:where(value, key, path .. "." .. tostring(key)),
        "group %s has \"%s\"; a group has hosts, children and vars", group.name, errors.excerpt(tostring(key), 60))
    end
  end
  for _, part in ipairs({ "hosts", "vars", "children" }) do
    local at = path .. "." .. part
    if value[part] ~= nil then
      local here = self:where(value, part, at)
      if part == "vars" then
        self:set_vars(group, value.vars, here, at)
      else
        self[part](self, group, value[part], here, at, depth)
      end
    end
  end
end

--- _meta.hostvars of dynamic inventories; hosts that no group names are not in the inventory.
function Tree:meta(meta)
  local hostvars = type(meta) == "table" and meta.hostvars
  if type(hostvars) ~= "table" then return end
  for name, vars in pairs(hostvars) do
    local host = self.model.hosts[name]
    local path = "._meta.hostvars." .. tostring(name)
    if host then self:set_vars(host, vars, self:where(hostvars, name, path), path) end
  end
end

---@class sshlua.TreeOptions
---@field positions? table
---@field expressions? boolean

--- Adds what a tree says to a model.
---@param m sshlua.InventoryModel
---@param root any
---@param path string for messages
---@param options? sshlua.TreeOptions
function M.read(m, root, path, options)
  local self = setmetatable({ model = m, path = path, steps = 0 }, Tree)
  for k, v in pairs(options or {}) do self[k] = v end
  if root == null then return end
  if type(root) ~= "table" or is_list(root) then
    fail(path, "a mapping of groups expected, got %s", what(root))
  end
  for _, name in ipairs(self:keys(root)) do
    local here = self:where(root, name, "." .. tostring(name))
    if name ~= "_meta" then
      if type(name) ~= "string" then fail(here, "the name of a group expected, got %s", what(name)) end
      self:group(m:group(name, here), root[name], here, "." .. name, 1)
    end
  end
  self:meta(root._meta)
end

--- Variables alone: the files of group_vars and host_vars.
---@param item table of the model
---@param vars any
---@param path string
---@param positions? table
function M.read_vars(item, vars, path, positions)
  if vars == null then return end
  local self = setmetatable({ path = path, positions = positions }, Tree)
  if type(vars) ~= "table" or is_list(vars) and next(vars) ~= nil then
    fail(path, "a mapping of variables expected, got %s", what(vars))
  end
  item.file_vars, item.file_origins = item.file_vars or {}, item.file_origins or {}
  for name, value in pairs(vars) do
    item.file_vars[name], item.file_origins[name] = value, self:where(vars, name, "." .. tostring(name))
  end
end

return M
