--- Effective settings as text: the lines of `ssh -G`, and what became of each setting for `sshlua explain`.

local forwards = require("sshlua.ssh_config.forwards")
local keywords = require("sshlua.ssh_config.keywords")

local M = {}

--- Forwardings without a target of their own.
local function dynamic_lines(config)
  local lines = {}
  for _, f in ipairs(config.values.localforward or {}) do
    if f.connect_host == nil or f.connect_host == "socks" then lines[#lines + 1] = forwards.text(f, true) end
  end
  return lines
end

local function forward_lines(config, name)
  local lines = {}
  for _, f in ipairs(config.values[name] or {}) do
    if name == "remoteforward" or f.connect_host ~= "socks" then lines[#lines + 1] = forwards.text(f, false) end
  end
  return lines
end

--- What stands behind a keyword: a list of texts, one a line.
---@param config sshlua.Config
---@param def sshlua.Keyword
---@return string[]
function M.texts(config, def)
  if def.name == "dynamicforward" then return dynamic_lines(config) end
  if def.kind == "forward" then return forward_lines(config, def.name) end
  local value = config.values[def.name]
  if def.name == "connecttimeout" and value == nil then return { "none" } end
  if def.name == "proxycommand" and config.values.proxyjump then return {} end
  if value == nil then return {} end
  local shown = keywords.kinds[def.kind].show(value, def)
  return type(shown) == "table" and shown or { shown }
end

--- The lines of `ssh -G`.
---@param config sshlua.Config
---@return string[]
function M.lines(config)
  local lines = { "host " .. config.host }
  for _, def in ipairs(keywords.list) do
    for _, text in ipairs(M.texts(config, def)) do lines[#lines + 1] = (def.shown or def.name) .. " " .. text end
  end
  return lines
end

return M
