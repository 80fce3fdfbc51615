--- YAML files as values: errors with file:line, ${VAR} of the environment filled in. The rules of what becomes what are
--- in src/base/yaml.h.

local core = require("sshlua.core")
local errors = require("sshlua.errors")

local M = {}

local function where_of(path, lines, key)
  return lines and lines[key] and ("%s:%d"):format(path, lines[key]) or path
end

--- ${NAME}, ${NAME:-instead}; $${ is a ${ that stays.
local function fill(text, where)
  return (text:gsub("(%$*)%${([^}]*)}", function(dollars, inside)
    if #dollars % 2 == 1 then return dollars:sub(2) .. "${" .. inside .. "}" end
    local name, instead = inside:match("^([%a_][%w_]*):%-(.*)$")
    name = name or inside:match("^([%a_][%w_]*)$")
    if not name then
      errors.raise({ kind = "config", message = ("%s: ${%s} names no variable"):format(where, inside:sub(1, 60)) })
    end
    local value = os.getenv(name)
    if instead and (value == nil or value == "") then value = instead end
    if value == nil then
      errors.raise({
        kind = "config", message = ("%s: the environment has no %s"):format(where, name),
        hint = ("${%s:-x} gives x then; $${ is a ${ that stays"):format(name),
      })
    end
    return dollars .. value
  end))
end

--- In every text of a tree, each table once: aliases make it a graph.
local function fill_all(value, path, positions, seen)
  if type(value) ~= "table" or seen[value] then return end
  seen[value] = true
  local lines = positions[value]
  for key, item in pairs(value) do
    if type(item) == "string" and item:find("${", 1, true) then
      value[key] = fill(item, where_of(path, lines, key))
    elseif type(item) == "table" then
      fill_all(item, path, positions, seen)
    end
  end
end

--- The value of a YAML text, and the lines of its keys: positions[table][key]. Raises kind config with file:line.
---@param text string
---@param path string for messages
---@param options? { environment?: boolean } fill in ${VAR}
---@return any value
---@return table<table, table<any, integer>> positions
function M.decode(text, path, options)
  local value, positions = core.yaml_decode(text)
  if value == nil then
    local e = positions
    local message = e.message:gsub("^line (%d+)", "%1")
    local separator = message ~= e.message and ":" or ": "
    local hint = e.kind == "config" and "build it with libyaml, or write the file as JSON, INI or Lua" or nil
    errors.raise({
      kind = e.kind == "protocol" and "config" or e.kind, message = path .. separator .. message, hint = hint,
    })
  end
  if options and options.environment and type(value) == "table" then fill_all(value, path, positions, {}) end
  return value, positions
end

return M
