--- Node groups as ClusterShell keeps them: groups.conf with its sources (commands, or YAML files of autodir), YAML
--- group files, and the flat form "name: nodes". Gives definitions as text; what they mean is for host expressions.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local here = require("sshlua.here")
local home = require("sshlua.home")
local model = require("sshlua.inventory.model")
local read = require("sshlua.inventory.read")
local task = require("sshlua.task.core")
local trim = require("sshlua.trim")
local yaml = require("sshlua.yaml")

local M = {}

local fail = model.fail
local SECONDS = 30
local MAX_LINE = 1024 * 1024

---@class sshlua.GroupSource
---@field name string
---@field where string
---@field groups? table<string, { text: string, where: string }>
---@field map? string command that prints the nodes of $GROUP
---@field all? string command that prints all nodes
---@field list? string command that prints the names of groups
---@field directory? string where commands run

---@class sshlua.GroupSources
---@field sources table<string, sshlua.GroupSource>
---@field order string[]
---@field default? string
local Sources = {}
Sources.__index = Sources

--- Sources without any group.
---@return sshlua.GroupSources
function M.new() return setmetatable({ sources = {}, order = {} }, Sources) end

local new = M.new

function Sources:add(source)
  if not self.sources[source.name] then self.order[#self.order + 1] = source.name end
  self.sources[source.name] = source
end

-- ---- files of groups

--- "oss: example4 example5", one group to a line.
---@return sshlua.GroupSources
function M.flat(text, path)
  local groups, number = {}, 0
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local where = path .. ":" .. number
    if #line > MAX_LINE then fail(where, "a line of %d bytes", #line) end
    if line:find("%S") and not line:find("^%s*#") then
      local name, nodes = line:match("^%s*([^%s:]+)%s*:(.*)$")
      if not name then fail(where, "\"name: nodes\" expected, got \"%s\"", errors.excerpt(line, 60)) end
      if groups[name] then fail(where, "the group %s is there twice, also at %s", name, groups[name].where) end
      groups[name] = { text = trim(nodes):gsub("%s+", ","), where = where }
    end
  end
  local sources = new()
  sources:add({ name = "local", where = path, groups = groups })
  sources.default = "local"
  return sources
end

local function group_text(value, where)
  if type(value) == "string" then return value end
  if value == core.json_null then return "" end
  if type(value) == "number" then return ("%.14g"):format(value) end
  if type(value) ~= "table" then fail(where, "nodes expected, got a %s", type(value)) end
  local parts = {}
  for i, item in ipairs(value) do
    if type(item) == "table" or type(item) == "boolean" then fail(where, "item %d is no text", i) end
    parts[i] = group_text(item, where)
  end
  return table.concat(parts, ",")
end

--- { source = { group = nodes } }
function M.add_yaml(sources, root, positions, path)
  if root == core.json_null then return sources end
  if type(root) ~= "table" then fail(path, "a mapping of group sources expected") end
  local names = {}
  for name in pairs(root) do names[#names + 1] = name end
  table.sort(names, function(a, b) return (positions[root][a] or 0) < (positions[root][b] or 0) end)
  for _, name in ipairs(names) do
    local where = ("%s:%d"):format(path, positions[root][name] or 1)
    local groups = root[name]
    if type(name) ~= "string" or type(groups) ~= "table" or getmetatable(groups) == core.json_array then
      fail(where, "a source with its groups expected")
    end
    local source = { name = name, where = where, groups = {} }
    for group, nodes in pairs(groups) do
      local at = ("%s:%d"):format(path, positions[groups][group] or 1)
      source.groups[group] = { text = group_text(nodes, at), where = at }
    end
    sources:add(source)
    sources.default = sources.default or name
  end
  return sources
end

--- A YAML file of groups: its first source is the default one.
---@return sshlua.GroupSources
function M.yaml(text, path)
  local root, positions = yaml.decode(text, path)
  return M.add_yaml(new(), root, positions, path)
end

-- ---- groups.conf

local function sections_of(text, path)
  local sections, order, section, number = {}, {}, nil, 0
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local where = path .. ":" .. number
    if #line > MAX_LINE then fail(where, "a line of %d bytes", #line) end
    local name = line:match("^%[([^%]]+)%]%s*$")
    if name then
      section = sections[name] or { where = where }
      if not sections[name] then order[#order + 1] = name end
      sections[name] = section
    elseif line:find("%S") and not line:find("^%s*[#;]") then
      local key, value = line:match("^([%w_]+)%s*[:=](.*)$")
      if not key or not section then
        fail(where, "a section or \"key: value\" expected, got \"%s\"", errors.excerpt(line, 60))
      end
      section[key:lower()] = trim(value)
    end
  end
  return sections, order
end

local function directories(text, directory)
  local list = {}
  for word in (text or ""):gmatch("%S+") do
    word = word:gsub("%$CFGDIR", (directory:gsub("%%", "%%%%")))
    list[#list + 1] = word:sub(1, 1) == "/" and word or directory .. "/" .. word
  end
  return list
end

--- The files of a directory whose names end so, sorted; none when there is no such directory.
local function files_of(directory, ending)
  local stat = read.stat(directory)
  if not stat or stat.type ~= "directory" then return {} end
  if not task.current() then
    errors.raise({ kind = "usage", message = directory .. ": a directory is read inside a task (ssh.run)" })
  end
  local list = {}
  for _, entry in ipairs(task.await(core.fs_readdir, directory)) do
    if entry.name:sub(-#ending) == ending and not entry.name:find("^%.") then list[#list + 1] = entry.name end
  end
  table.sort(list)
  for i, name in ipairs(list) do list[i] = directory .. "/" .. name end
  return list
end

local function add_sections(self, text, path, directory)
  local sections, order = sections_of(text, path)
  for _, name in ipairs(order) do
    local s = sections[name]
    if name:lower() ~= "main" then
      if not s.map then fail(s.where, "the source %s has no map", name) end
      self:add({ name = name, where = s.where, map = s.map, all = s.all, list = s.list, directory = directory })
    end
  end
  return sections.Main or sections.main or {}
end

--- groups.conf with what it includes.
---@param path string
---@return sshlua.GroupSources
function M.conf(path)
  local self = new()
  local directory = path:match("^(.*)/[^/]*$") or "."
  local main = add_sections(self, read.file(path), path, directory)
  for _, folder in ipairs(directories(main.confdir or main.groupsdir, directory)) do
    for _, file in ipairs(files_of(folder, ".conf")) do add_sections(self, read.file(file), file, directory) end
  end
  for _, folder in ipairs(directories(main.autodir, directory)) do
    for _, file in ipairs(files_of(folder, ".yaml")) do
      local root, positions = yaml.decode(read.file(file), file)
      M.add_yaml(self, root, positions, file)
    end
  end
  self.default = main.default or self.order[1]
  self.path = path
  return self
end

--- Where ClusterShell looks; nil when it has no groups.conf.
---@return string?
function M.find_conf()
  local own = home.dir() or ""
  local places = {
    os.getenv("CLUSTERSHELL_CFGDIR") or false, (os.getenv("XDG_CONFIG_HOME") or own .. "/.config") .. "/clustershell",
    own .. "/.local/etc/clustershell", "/etc/clustershell",
  }
  for _, place in ipairs(places) do
    if place and read.stat(place .. "/groups.conf") then return place .. "/groups.conf" end
  end
end

-- ---- questions

local function ask(source, command, group)
  if not task.current() then
    errors.raise({ kind = "usage", message = source.where .. ": its command is run inside a task (ssh.run)" })
  end
  local values = { CFGDIR = source.directory, SOURCE = source.name, GROUP = group }
  local text = command:gsub("%$(%u+)", values):gsub("%${(%u+)}", values)
  local r = here:run(text, { cwd = source.directory, check = false, safe = true, timeout = SECONDS })
  if r.code ~= 0 then
    local said = r.stderr ~= "" and r.stderr or r:problem()
    fail(source.where, "the command of %s fails: %s", source.name, errors.excerpt(said, 200))
  end
  return (r.stdout:gsub("^%s+", ""):gsub("%s+$", ""):gsub("%s+", ","))
end

--- The names of a source's groups, sorted; nil when it cannot tell.
---@param name? string default: the default source
---@return string[]?
function Sources:names(name)
  local source = self.sources[name or self.default]
  local list = {}
  if source and source.groups then
    for group in pairs(source.groups) do list[#list + 1] = group end
  elseif source and source.list then
    for group in ask(source, source.list):gmatch("[^,]+") do list[#list + 1] = group end
  else
    return nil
  end
  table.sort(list)
  return list
end

--- All hosts of a source: what it says about itself, or its groups together.
function Sources:everything(source)
  if source.groups and source.groups.all then return source.groups.all.text, source.groups.all.where, source.name end
  if source.all then return ask(source, source.all), source.where, source.name end
  local list = {}
  for i, group in ipairs(self:names(source.name) or {}) do list[i] = "@" .. source.name .. ":" .. group end
  return list, source.where, source.name
end

--- What a group holds: text, where it stands, its source. Without text: where it was looked for.
---@param source_name string?
---@param name string "*": all hosts
---@return string|string[]|nil definition, string where, string? source
function Sources:group(source_name, name)
  local source = self.sources[source_name or self.default]
  if not source then return nil, (self.path or "the group sources") end
  if name == "*" then return self:everything(source) end
  if source.groups then
    local group = source.groups[name]
    if not group then return nil, source.where end
    return group.text, group.where, source.name
  end
  local text = ask(source, source.map, name)
  if text == "" then return nil, source.where end
  return text, source.where, source.name
end

return M
