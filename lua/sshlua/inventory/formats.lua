--- In which format an inventory is written, and the readers for each. Knows names of files and their first bytes; what
--- is in them is the readers' affair.

local core = require("sshlua.core")
local clustershell = require("sshlua.inventory.clustershell")
local errors = require("sshlua.errors")
local hostset = require("sshlua.hostset")
local ini = require("sshlua.inventory.ini")
local model = require("sshlua.inventory.model")
local read = require("sshlua.inventory.read")
local tree = require("sshlua.inventory.tree")
local yaml = require("sshlua.yaml")

local M = {}

local by_ending = {
  yaml = "yaml", yml = "yaml", json = "json", lua = "lua", ini = "ini", py = "program", sh = "program", rb = "program",
  pl = "program",
}

local function may_run(mode) return mode % 2 == 1 or math.floor(mode / 8) % 2 == 1 or math.floor(mode / 64) % 2 == 1 end

--- By the name, the executable bit, or the first bytes.
---@param path string
---@param stat sshlua.core.Stat
---@param text? string
---@return string? format nil: the text is needed to know
function M.of(path, stat, text)
  local base = path:match("[^/]*$")
  if base == "groups.conf" then return "clustershell" end
  if base == "ssh_config" or path:find("%.ssh/config$") then return "ssh_config" end
  local known = by_ending[base:match("%.(%w+)$") or ""]
  if known and known ~= "program" then return known end
  if stat.type == "file" and may_run(stat.mode) then return "program" end
  if known then
    errors.raise({ kind = "config", message = path .. ": not executable", hint = "chmod +x it", op = "inventory" })
  end
  if not text then return nil end
  if text:find("^%s*{") then return "json" end
  if text:find("^%-%-%-%s") or text:find("\n%-%-%-%s") then return "yaml" end
  return "ini"
end

--- Groups of ClusterShell, each as the hosts it holds.
local function add_groups(m, sources, path)
  for _, name in ipairs(sources:names() or {}) do
    local _, where = sources:group(nil, name)
    local group = m:group(name, where or path)
    local known = { group = function(...) return sources:group(...) end }
    hostset.each("@" .. name, { limit = model.MAX_HOSTS, sources = known }, function(host_name)
      m:add_host(group, m:host(host_name, where or path))
    end)
  end
  m.sources = sources
end

--- Is a tree one of ClusterShell's group files? { source = { group = "nodes" } }
local function has_group_sources(root)
  local any = false
  for _, groups in pairs(type(root) == "table" and root or {}) do
    if type(groups) ~= "table" or getmetatable(groups) == core.json_array then return false end
    for name, nodes in pairs(groups) do
      if name == "hosts" or name == "children" or name == "vars" then return false end
      if type(nodes) == "table" and getmetatable(nodes) ~= core.json_array then return false end
      any = true
    end
  end
  return any
end

local readers = {}

function readers.ini(m, path, text) ini.read(m, text, path) end

function readers.yaml(m, path, text)
  local root, positions = yaml.decode(text, path, { environment = true })
  if has_group_sources(root) then
    return add_groups(m, clustershell.add_yaml(clustershell.new(), root, positions, path), path)
  end
  tree.read(m, root, path, { positions = positions })
end

function readers.json(m, path, text)
  local root, err = core.json_decode(text)
  if err then
    local at = err.line and ("%s:%d"):format(path, err.line) or path
    errors.raise({ kind = err.kind == "protocol" and "config" or err.kind, op = "inventory",
      message = at .. ": " .. err.message:gsub("^line %d+, ", "") })
  end
  tree.read(m, root, path)
end

function readers.lua(m, path, text)
  tree.read(m, require("sshlua.sandbox").run(text, path), path, { expressions = true })
end

function readers.groups(m, path, text)
  local is_yaml = path:find("%.ya?ml$")
  add_groups(m, is_yaml and clustershell.yaml(text, path) or clustershell.flat(text, path), path)
end

--- Without a text: these open what they need.
local openers = {}

function openers.program(m, path, options)
  local runnable = path:find("/", 1, true) and path or "./" .. path
  tree.read(m, require("sshlua.inventory.program").run(runnable, options.timeout), path)
end

function openers.clustershell(m, path) add_groups(m, clustershell.conf(path), path) end

--- The Host names of ssh_config, which another module reads.
function openers.ssh_config(m, path)
  local found, config = pcall(require, "sshlua.config")
  if not found or type(config.host_names) ~= "function" then
    errors.raise({
      kind = "config", message = path .. ": this version cannot list the Host names of ssh_config", op = "inventory",
    })
  end
  local group = m:group("ssh_config", path)
  for _, entry in ipairs(config.host_names(path)) do
    m:add_host(group, m:host(entry.name, entry.where or path))
  end
end

--- Adds a file to a model.
---@param m sshlua.InventoryModel
---@param path string
---@param stat sshlua.core.Stat
---@param options sshlua.InventoryOptions
function M.read(m, path, stat, options)
  local format = options.format or M.of(path, stat)
  if openers[format] then return openers[format](m, path, options) end
  local text = read.file(path, { seconds = options.timeout })
  format = format or M.of(path, stat, text)
  readers[format](m, path, text)
end

--- What the option `format` may say.
function M.known(format) return (readers[format] or openers[format]) ~= nil end

return M
