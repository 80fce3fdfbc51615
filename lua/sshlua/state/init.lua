--- The state verbs of hosts: which there are, what they are called with, how they begin. Each is loaded when used.

local errors = require("sshlua.errors")
local lazy = require("sshlua.lazy")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")

local M = {}

--- Verb -> its module, and how many arguments come before the options.
local entry, reboot = "sshlua.state.entry", "sshlua.state.reboot"
local verbs = {
  file = { entry, 1 }, dir = { entry, 1 }, link = { entry, 2 }, line = { "sshlua.state.line", 2 },
  service = { "sshlua.state.service", 2 }, package = { "sshlua.state.package", 2 },
  account = { "sshlua.state.account", 2 }, facts = { "sshlua.state.facts", 0 },
  reboot = { reboot, 0 }, wait_up = { reboot, 0 }, hostkeys = { "sshlua.state.hostkeys", 0 },
}

--- The names, sorted.
M.names = {}
for name in pairs(verbs) do M.names[#M.names + 1] = name end
table.sort(M.names)

--- A host's defaults that these verbs take.
local kept = { "sudo", "su", "doas", "timeout", "check", "cwd", "env", "dry_run" }

local function with_defaults(defaults, opts)
  local out = {}
  for _, name in ipairs(kept) do out[name] = defaults[name] end
  for name, value in pairs(opts) do out[name] = value end
  return out
end

local function split(verb, level, ...)
  local args, n = { ... }, select("#", ...)
  local at = verbs[verb][2] + 1
  if n > at then errors.usage(level + 1, "%s: %d arguments at most, got %d", verb, at, n) end
  local opts = args[at]
  if opts == nil then opts = {} end
  if type(opts) ~= "table" then errors.usage(level + 1, "options table expected, got %s", type(opts)) end
  return args, opts, at
end

--- Raises usage, `level` callers up, unless the verb can be called so. Returns what is to be done, and the options.
---@param level integer
local function prepare(verb, level, ...)
  local args, opts, at = split(verb, level + 1, ...)
  args[at], args[at + 1] = opts, level + 1
  require("sshlua.privilege").check(opts, level + 1)
  local make = lazy.load(verbs[verb][1])[verb]
  local plan = make((table.unpack or unpack)(args, 1, at + 1)) -- luacheck: ignore 143
  return plan, opts
end

local function failed(host, plan, err)
  local Result = require("sshlua.result").Result
  return Result.own({ host = host.name, port = host.port, op = plan.op, cmd = plan.label, err = err, code = err.code,
    stderr = errors.is(err) and err.result and err.result.stderr or "" })
end

--- host:verb(...).
---@param host sshlua.Host
---@param verb string
---@param level integer as in error()
---@return sshlua.Result
function M.call(host, verb, level, ...)
  local plan, opts = prepare(verb, level + 1, ...)
  opts = with_defaults(host.defaults, opts)
  local run = plan.run or require("sshlua.state.frame").run
  local ok, r = pcall(scope.deadline, {
    seconds = not plan.bounds_itself and opts.timeout or nil, host = host.name, op = plan.op,
    message = opts.timeout and ("%s timed out after %g s"):format(plan.label, opts.timeout) or nil,
  }, run, host, plan, opts)
  if ok then return r end
  if opts.check ~= false or not errors.is(r) or r.kind == "cancelled" or r.kind == "usage" then error(r, 0) end
  return failed(host, plan, r)
end

--- For fleets: checks once, and gives the arguments apart from those options that are the fleet's own.
---@param own table<string, string> names of the fleet's options
---@return table args with the number of them in n, table fleet_options, table options
function M.for_fleet(verb, own, level, ...)
  local args, opts, at = split(verb, level + 1, ...)
  local mine, rest = {}, {}
  for name, value in pairs(opts) do
    local to = own[name] and mine or rest
    to[name] = value
  end
  options.check(mine, own, level + 1)
  args[at] = rest
  prepare(verb, level + 1, (table.unpack or unpack)(args, 1, at)) -- luacheck: ignore 143
  args.n = at
  return args, mine, rest
end

return M
