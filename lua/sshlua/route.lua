--- By which way a host is reached: directly, through other hosts, through a command. Decides; opens nothing.

local errors = require("sshlua.errors")
local lazy = require("sshlua.lazy")
local jump = lazy("sshlua.ssh_config.jump")
local proxy = lazy("sshlua.proxy")

local M = {}

local CHAIN_MAX = 32

--- Of these options one counts: the one that stands nearest to the script.
local options = { "via", "proxy_jump", "proxy_command" }

---@class sshlua.Route
---@field hop? table the target that carries the connection; it has a route of its own
---@field command? string a shell command whose standard input and output carry it

--- In `all`, leaves what the first of the layers says about the way. A command of the first layer, the script's own,
--- gets its tokens; in the others they have been expanded.
---@param all table merged options
---@param values table<string, string> token -> value
---@param ... table|nil the layers, the strongest first
function M.choose(all, values, ...)
  if all.via == nil and all.proxy_jump == nil and all.proxy_command == nil then return end -- none says anything
  for i = 1, select("#", ...) do
    local layer = (select(i, ...)) or {}
    local found
    for _, name in ipairs(options) do found = found or layer[name] ~= nil end
    if found then
      for _, name in ipairs(options) do all[name] = layer[name] end
      if i == 1 and all.proxy_command then all.proxy_command = proxy.expand(all.proxy_command, values) end
      return
    end
  end
end

local function is_host(value) return type(value) == "table" and type(value.target) == "table" end

--- Raises usage unless `via` is false, a name, a host, or a list of names and hosts; and when the way is said twice.
function M.check(opts, level)
  local via, said = opts.via, 0
  for _, name in ipairs(options) do
    if opts[name] ~= nil then said = said + 1 end
  end
  if said > 1 then errors.usage(level + 1, "one of via, proxy_jump and proxy_command expected, not several") end
  if type(via) ~= "table" or is_host(via) then return end
  for i, item in ipairs(via) do
    if type(item) ~= "string" and not is_host(item) then
      errors.usage(level + 1, "option 'via': item %d: host name or host expected, got %s", i, type(item))
    end
  end
end

--- The hosts on the way, as names and hosts.
local function items_of(opts)
  local via = opts.via
  if via == nil then via = opts.proxy_jump or false end
  if type(via) == "string" then return jump.hops(via) end
  if not via then return {} end
  if is_host(via) then return { via } end
  local out = {}
  for _, item in ipairs(via) do
    for _, one in ipairs(type(item) == "string" and jump.hops(item) or { item }) do out[#out + 1] = one end
  end
  return out
end

local function id_of(target) return ("%s\0%s\0%d"):format(target.user, target.hostname, target.port) end

--- Each host once: a second time is a loop.
local function note(trail, target)
  local id = id_of(target)
  trail.names[#trail.names + 1] = target.name
  if trail.seen[id] then
    errors.raise({
      kind = "config", host = trail.names[1], phase = "connect",
      message = "the way goes in a circle: " .. table.concat(trail.names, " through "),
      hint = "give the jump host ProxyJump none, or keep it out of the pattern that names it (Host * !bastion)",
    })
  end
  if #trail.names > CHAIN_MAX then
    errors.raise({
      kind = "config", host = trail.names[1], phase = "connect",
      message = ("more than %d jump hosts on the way"):format(CHAIN_MAX),
    })
  end
  trail.seen[id] = true
end

local function target_of(item, make_target, owner)
  if type(item) == "table" then return item.target end
  local ok, target = pcall(make_target, item)
  if ok then return target end
  if not errors.is(target, "usage") then error(target, 0) end
  errors.raise({
    kind = "config", host = owner.name, phase = "connect",
    message = ("jump host '%s': %s"):format(errors.excerpt(item, 120), (target.message:gsub("^%S+:%d+: ", ""))),
  })
end

local function with_route(target, route)
  local copy = {}
  for k, v in pairs(target) do copy[k] = v end
  copy.route = route
  return copy
end

local resolve

--- Of a list, the first host is reached by its own way, each other one through the one before it.
local function through(target, items, make_target, trail)
  local hops = {}
  for i, item in ipairs(items) do hops[i] = target_of(item, make_target, target) end
  for i = #hops, 1, -1 do note(trail, hops[i]) end
  local hop = with_route(hops[1], hops[1].route or resolve(hops[1], make_target, trail))
  for i = 2, #hops do hop = with_route(hops[i], { hop = hop }) end
  return { hop = hop }
end

function resolve(target, make_target, trail)
  local items = items_of(target.opts)
  if #items > 0 then return through(target, items, make_target, trail) end
  local command = target.opts.proxy_command
  if command and command:lower() ~= "none" then return { command = command } end
  return {}
end

--- The way to a target, found once.
---@param target table as connect.target makes it
---@param make_target fun(text: string): table
---@return sshlua.Route
function M.of(target, make_target)
  if not target.route then
    local trail = { names = {}, seen = {} }
    note(trail, target)
    target.route = resolve(target, make_target, trail)
  end
  return target.route
end

--- How many hosts are on the way.
function M.depth(target)
  local n, route = 0, target.route
  while route and route.hop do
    n, route = n + 1, route.hop.route
  end
  return n
end

return M
