--- Effective settings as text: the lines of `ssh -G`, and what became of each setting for `sshlua explain`.

local forwards = require("sshlua.ssh_config.forwards")
local keywords = require("sshlua.ssh_config.keywords")

local M = {}

--- Forwardings by keyword, although DynamicForward and LocalForward share a list: lines, and the place of each in it.
local function forward_lines(config, def)
  local lines, places = {}, {}
  local dynamic = def.name == "dynamicforward"
  for i, f in ipairs(config.values[def.into or def.name] or {}) do
    local is_dynamic = f.connect_host == nil or f.connect_host == "socks"
    if dynamic and is_dynamic or not dynamic and (def.remote or f.connect_host ~= "socks") then
      lines[#lines + 1] = forwards.text(f, dynamic)
      places[#lines] = i
    end
  end
  return lines, places
end

--- What stands behind a keyword: a list of texts, one a line.
---@param config sshlua.Config
---@param def sshlua.Keyword
---@return string[]
---@return integer[]? places of forwardings in their list
function M.texts(config, def)
  if def.kind == "forward" then return forward_lines(config, def) end
  local value = config.values[def.name]
  if def.name == "connecttimeout" and value == nil then return { "none" } end
  if def.name == "proxycommand" and config.values.proxyjump then return {} end
  if value == nil then return {} end
  local shown = keywords.kinds[def.kind].show(value, def)
  return type(shown) == "table" and shown or { shown }
end

--- The same with where each comes from.
---@return { text: string, origin?: string }[]
function M.entries(config, def)
  local origins, list = config.origins[def.into or def.name] or {}, {}
  local texts, places = M.texts(config, def)
  for i, text in ipairs(texts) do
    list[i] = { text = text, origin = origins[places and places[i] or i] or origins[#origins] }
  end
  return list
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
