--- CanonicalizeHostname and its family: what a host is called after looking it up, by the rules of ssh_config(5).

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local jump = require("sshlua.ssh_config.jump")
local pattern = require("sshlua.ssh_config.pattern")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local LOOKUP_SECONDS = 10

--- Looks like an address: never a name to be looked up.
local function looks_numeric(name)
  return name:find("[%%:]") ~= nil or not name:find("[^0-9.]")
end

local families = { inet = 4, inet6 = 6 }

local function family_of(values) return families[values.addressfamily] or 0 end

--- Is it an address, or a name?
function M.is_address(values, name)
  return looks_numeric(name) or core.numeric_address(name, family_of(values)) ~= nil
end

--- true and the canonical name (nil: none); false: there is no such host.
local function lookup(values, name)
  local ok, addresses, canonical = pcall(scope.deadline, {
    seconds = LOOKUP_SECONDS, phase = "resolve", message = ("%s: no answer within %d s"):format(name, LOOKUP_SECONDS),
  }, task.await, core.resolve_canonical, name, family_of(values))
  if ok then return true, canonical and jump.domain(canonical) end
  if errors.is(addresses, "cancelled") then error(addresses, 0) end
  return false
end

local function is_direct(values)
  local command = values.proxycommand
  return (command == nil or command:lower() == "none") and values.proxyjump == nil
end

local function rules_of(values)
  local rules = values.canonicalizepermittedcnames or {}
  return type(rules[1]) == "table" and rules or {}
end

--- The alias's target when a rule permits to follow it, else the name.
local function follow(values, name, canonical)
  local mode = values.canonicalizehostname
  if not canonical or canonical == name or mode == nil or mode == "false" then return name end
  if not is_direct(values) and mode ~= "always" then return name end
  for _, rule in ipairs(rules_of(values)) do
    if pattern.list(name, rule[1], true) == "yes" and pattern.list(canonical, rule[2], true) == "yes" then
      return canonical
    end
  end
  return name
end

local function not_found(values, name)
  if values.canonicalizefallbacklocal == false then
    errors.raise({ kind = "resolve", message = ("%s is in none of CanonicalDomains"):format(name),
      hint = "CanonicalizeFallbackLocal no: the resolver's own search is not used" })
  end
  return name, false
end

local function by_suffixes(values, name)
  local _, dots = name:gsub("%.", "")
  if dots > (values.canonicalizemaxdots or 1) then return name, false end
  for _, suffix in ipairs(values.canonicaldomains or {}) do
    if suffix:lower() == "none" then break end
    local full = name .. "." .. suffix
    local found, canonical = lookup(values, full .. ".")
    if found then return follow(values, full, canonical), true end
  end
  return not_found(values, name)
end

--- The name, and whether it was found by looking it up.
local function canonicalize(values, name)
  local address = core.numeric_address(name, family_of(values))
  if address then return address, true end
  local mode = values.canonicalizehostname
  if looks_numeric(name) or mode == nil or mode == "false" then return name, false end
  if not is_direct(values) and mode ~= "always" then return name, false end
  if name:sub(-1) == "." then
    local found, canonical = lookup(values, name)
    if not found then return not_found(values, name) end
    local plain = name:sub(1, -2)
    return follow(values, plain, canonical), true
  end
  return by_suffixes(values, name)
end

--- The host as it is connected to, given HostName's value or the name that was asked for.
---@param values table<string, any> what the first pass has found
---@param name string
---@return string
function M.host(values, name)
  local is_address = M.is_address(values, name)
  if not is_address then name = name:lower() end
  local mode, found = values.canonicalizehostname or "false", false
  if is_address or mode ~= "false" then name, found = canonicalize(values, name) end
  if not found and rules_of(values)[1] and (is_direct(values) or mode == "always") then
    local there, canonical = lookup(values, name)
    if there then
      name = follow(values, name, canonical)
    elseif is_direct(values) then
      errors.raise({ kind = "resolve", message = ("%s cannot be resolved"):format(name) })
    end
  end
  return name
end

return M
