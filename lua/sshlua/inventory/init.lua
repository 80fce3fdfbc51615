--- ssh.inventory: hosts, groups and variables from files, and fleets selected from them.

local connect = require("sshlua.connect")
local connection = require("sshlua.inventory.connection")
local errors = require("sshlua.errors")
local formats = require("sshlua.inventory.formats")
local home = require("sshlua.home")
local host = require("sshlua.host")
local hosts = require("sshlua.hosts")
local hostset = require("sshlua.hostset")
local log = require("sshlua.log")
local model = require("sshlua.inventory.model")
local options = require("sshlua.options")
local preferences = require("sshlua.preferences")
local read = require("sshlua.inventory.read")
local var_files = require("sshlua.inventory.var_files")
local wildcard = require("sshlua.wildcard")

local M = {}

---@class sshlua.InventoryOptions
---@field format? "ini"|"yaml"|"json"|"lua"|"program"|"clustershell"|"groups"|"ssh_config" default: by name and content
---@field timeout? number seconds for a program, or for reading one file; default 30

---@class sshlua.Inventory
---@field model sshlua.InventoryModel
---@field path string
local Inventory = {}
local inventory_mt = { __index = Inventory, __name = "sshlua.Inventory" }

function inventory_mt:__tostring()
  return ("%s: %d hosts, %d groups"):format(self.path, #self.model.host_order, #self.model.group_order)
end

-- ---- reading

local skipped = { group_vars = true, host_vars = true }
local skipped_endings = {
  cfg = true, retry = true, pyc = true, pyo = true, swp = true, md = true, txt = true, rst = true,
}

local function read_path(m, path, opts)
  path = home.expand(path)
  local stat = read.stat(path)
  if not stat then
    errors.raise({ kind = "io", name = "ENOENT", message = path .. ": no such file", op = "inventory" })
  end
  if stat.type ~= "directory" then
    formats.read(m, path, stat, opts)
    return path:match("^(.*)/[^/]*$") or "."
  end
  for _, entry in ipairs(var_files.entries(path)) do
    if not skipped[entry.name] and not skipped_endings[entry.name:match("%.(%w+)$") or ""] then
      read_path(m, path .. "/" .. entry.name, opts)
    end
  end
  return path
end

local inventory_options = { format = "string", timeout = "seconds" }

--- Reads inventories; several are one.
---@param source? string|string[]
---@param opts? sshlua.InventoryOptions
---@return sshlua.Inventory
function M.open(source, opts, level)
  level = (level or 1) + 1
  opts = options.check(opts, inventory_options, level)
  if opts.format and not formats.known(opts.format) then
    errors.usage(level, "option 'format': no format '%s' is known", errors.excerpt(opts.format, 40))
  end
  source = source or preferences.load(connect.options).more.inventory
  if source == nil then
    errors.usage(level, "which inventory? (a file, $SSHLUA_INVENTORY or config.lua's inventory)")
  end
  local paths = type(source) == "table" and source or { source }
  local m, folders = model.new(), {}
  for _, path in ipairs(paths) do
    if type(path) ~= "string" or path == "" or path:find("%z") then
      errors.usage(level, "inventory: a file name expected, got %s", type(path))
    end
    local folder = read_path(m, path, opts)
    if not folders[folder] then
      folders[folder] = true
      folders[#folders + 1] = folder
    end
  end
  if #paths == 0 then errors.usage(level, "inventory: a file name expected, got an empty list") end
  m:finish(paths[#paths])
  for _, folder in ipairs(folders) do var_files.read(m, folder) end
  return setmetatable({ model = m, path = table.concat(paths, ", ") }, inventory_mt)
end

-- ---- selecting

local function matching(self, name)
  local list, fits, m = {}, wildcard.simple(name), self.model
  for _, group in ipairs(m.group_order) do
    if fits(group) then
      for _, member in ipairs(m:members(m.groups[group])) do list[#list + 1] = member end
    end
  end
  for _, host_name in ipairs(m.host_order) do
    if fits(host_name) then list[#list + 1] = host_name end
  end
  return list[1] and list or nil
end

--- What a bare name stands for: a group first, then a host.
local function look_up(self, name)
  local m = self.model
  if name:find("[*?]") then return matching(self, name) end
  if m.groups[name] then return m:members(m.groups[name]) end
  if m.hosts[name] then return { name } end
end

--- What host expressions ask of this inventory.
---@param strict boolean a name that is not in it is an error
---@return sshlua.HostSources
function Inventory:sources(strict)
  local m = self.model
  return {
    strict = strict, read = read.file,
    names = function(name) return look_up(self, name) end,
    group = function(source, name)
      if source then
        if not m.sources then return nil, self.path end
        return m.sources:group(source, name)
      end
      local group = m.groups[name == "*" and "all" or name]
      return group and m:members(group), group and group.where or self.path
    end,
  }
end

local function excluding_first(text) return type(text) == "string" and text:find("^%s*[!&]") ~= nil end

--- The names that an expression selects: "web:&prod:!web13". Groups come first, then hosts; "*" and "?" match both.
--- Starting with ! or & it starts from all hosts.
---@param expression? string|string[] default: all
---@param opts? { limit?: integer, exclude?: string, level?: integer }
---@return sshlua.HostSpec[]
function Inventory:expand(expression, opts)
  opts = options.merge(opts, { select = true, sources = self:sources(true) })
  expression = expression or "all"
  if excluding_first(type(expression) == "table" and expression[1] or expression) then
    local words = {}
    for i, name in ipairs(self.model.host_order) do words[i] = { name = name, count = 1 } end
    opts.before = { { op = ",", words = words } }
  end
  return hostset.expand(expression, opts)
end

--- One host of the inventory: its variables, its connection settings. Others are hosts without.
---@param spec sshlua.HostSpec
function Inventory:make(spec, opts, level)
  local known = self.model.hosts[spec.name]
  local above = options.merge(opts, { user = spec.user, port = spec.port })
  if not known then return (host.new(spec.name, above, level + 1)) end
  local vars, below, notices = connection.of(self.model, known)
  for _, text in ipairs(notices) do self:notice(text) end
  local h = host.new(spec.name, above, level + 1, below)
  h.vars = vars
  h.groups = self:groups(spec.name)
  return h
end

--- What has no effect here is said once, as an event of ssh.log.
function Inventory:notice(text)
  local notices = self.model.notices
  if notices[text] then return end
  notices[text] = true
  notices[#notices + 1] = text
  if log.wants(1) then log.emit(1, nil, "inventory", { notice = text }) end
end

--- The hosts that an expression selects, as a fleet.
---@param expression string
---@param opts? sshlua.ConnectOptions for all of them; they win over the inventory's settings
---@return sshlua.Fleet
function Inventory:select(expression, opts)
  if type(expression) ~= "string" then errors.usage(2, "select: an expression expected, got %s", type(expression)) end
  local list = self:expand(expression, { level = 2 })
  for i, spec in ipairs(list) do list[i] = self:make(spec, opts, 2) end
  return hosts.of(list)
end

--- One host by its exact name.
---@param name string
---@param opts? sshlua.ConnectOptions
---@return sshlua.Host
function Inventory:host(name, opts)
  if not self.model.hosts[name] then errors.usage(2, "no host \"%s\" in %s", tostring(name), self.path) end
  return (self:make({ name = name }, opts, 2))
end

-- ---- looking

--- The names of all groups; of a host's, the strongest last.
---@param name? string
---@return string[]
function Inventory:groups(name)
  local list = {}
  if name == nil then
    for i, group in ipairs(self.model.group_order) do list[i] = group end
    return list
  end
  local known = self.model.hosts[name]
  if not known then errors.usage(2, "no host \"%s\" in %s", tostring(name), self.path) end
  for i, group in ipairs(self.model:groups_of(known)) do list[i] = group.name end
  return list
end

--- A host's variables, without connecting to anything.
---@param name string
---@return table
function Inventory:vars(name)
  local known = self.model.hosts[name]
  if not known then errors.usage(2, "no host \"%s\" in %s", tostring(name), self.path) end
  return connection.vars(self.model, known)
end

return M
