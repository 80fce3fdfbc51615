--- Dynamic inventories: a program that prints JSON when called with --list, and for each host with --host NAME when
--- --list has no _meta. It runs beside the loop, for a time and with an amount of output.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local here = require("sshlua.here")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local SECONDS = 30
local OUTPUT = 64 * 1024 * 1024
local PARALLEL = 8

local function fail(path, kind, fmt, ...)
  errors.raise({ kind = kind, message = path .. ": " .. fmt:format(...), op = "inventory" })
end

local function call(path, ...)
  local r = here:run({ path, ... }, { check = false, safe = true, max_output = OUTPUT })
  local words = table.concat({ ... }, " ")
  if not r.ok then
    local said = errors.excerpt(r.stderr:match("([^\n]*%S[^\n]*)\n*$") or "", 200)
    if said ~= "" then said = ": " .. said end
    fail(path, "config", "%s %s%s", words, r.code and "exits with " .. r.code or "was killed", said)
  end
  if r.truncated then fail(path, "limit", "%s prints more than %d bytes", words, OUTPUT) end
  local value, err = core.json_decode(r.stdout)
  if err then fail(path, "config", "%s prints no JSON: %s", words, err.message) end
  if type(value) ~= "table" then fail(path, "config", "%s prints no JSON object", words) end
  return value
end

local function add_names(hosts, names)
  for _, name in ipairs(type(hosts) == "table" and hosts or {}) do
    if type(name) == "string" and not names[name] then
      names[name] = true
      names[#names + 1] = name
    end
  end
end

--- What --host says of each host, where --list did not say it.
local function ask_for_hosts(path, root)
  local names, hostvars = {}, {}
  for _, value in pairs(root) do
    if type(value) == "table" then add_names(value[1] ~= nil and value or value.hosts, names) end
  end
  group.each(names, function(name)
    if name:find("^%-") then fail(path, "config", "a host name begins with a dash") end
    hostvars[name] = call(path, "--host", name)
  end, { parallel = PARALLEL })
  root._meta = { hostvars = hostvars }
end

--- What a program says, as the tree of an inventory.
---@param path string with a slash in it
---@param seconds? number for all of it; default 30
---@return table
function M.run(path, seconds)
  seconds = seconds or SECONDS
  if not task.current() then
    errors.raise({ kind = "usage", message = path .. ": a program is run inside a task (ssh.run)" })
  end
  return scope.deadline({
    seconds = seconds, op = "inventory", message = ("%s: no inventory within %g s"):format(path, seconds),
  }, function()
    local root = call(path, "--list")
    if root._meta == nil then ask_for_hosts(path, root) end
    return root
  end)
end

return M
