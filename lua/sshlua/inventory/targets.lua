--- Which hosts a command line means: -w, -x, -g and --inventory; without -w and -g those of the batch job.
--- For every command that works on hosts.

local connect = require("sshlua.connect")
local errors = require("sshlua.errors")
local host = require("sshlua.host")
local hosts = require("sshlua.hosts")
local hostset = require("sshlua.hostset")
local inventory = require("sshlua.inventory")
local job = require("sshlua.inventory.job")
local options = require("sshlua.options")
local preferences = require("sshlua.preferences")
local sources = require("sshlua.inventory.sources")

local M = {}

---@class sshlua.TargetOptions
---@field hosts? string[] -w, each an expression
---@field groups? string[] -g
---@field exclude? string[] -x
---@field inventory? string|string[] --inventory; default: the user's
---@field limit? integer
---@field say? fun(text: string) gets what a person should know; default: standard error

local function words_of(o)
  local words = {}
  for _, name in ipairs(o.groups or {}) do words[#words + 1] = "@" .. name end
  for _, text in ipairs(o.hosts or {}) do words[#words + 1] = text end
  return words
end

local function say_on_stderr(text) io.stderr:write("sshlua: ", text, "\n") end

--- The hosts, and the inventory they were looked up in. Raises kind usage when nothing says which.
---@param o sshlua.TargetOptions
---@return sshlua.HostSpec[]
---@return sshlua.Inventory?
function M.expand(o)
  local path = o.inventory or preferences.load(connect.options).more.inventory
  local inv = path and inventory.open(path) or nil
  local known = inv and inv:sources(false) or sources.default()
  local words = words_of(o)
  local exclude = o.exclude and o.exclude[1] and o.exclude or nil
  if #words > 0 then
    return hostset.expand(words, { exclude = exclude, sources = known, limit = o.limit }), inv
  end
  local list, variable = job.hosts(o.limit)
  if not list then
    errors.raise({ kind = "usage", message = "which hosts? (-w HOSTS, or -g GROUP)" })
  end
  if exclude then
    local texts = {}
    for i, spec in ipairs(list) do texts[i] = hostset.format(spec) end
    list = hostset.expand(texts, { exclude = exclude, sources = known, limit = o.limit })
  end
  local say = o.say or say_on_stderr
  say(("%d %s of %s"):format(#list, #list == 1 and "host" or "hosts", variable))
  return list, inv
end

--- The same as a fleet.
---@param o sshlua.TargetOptions
---@param opts? sshlua.ConnectOptions
---@return sshlua.Fleet
function M.fleet(o, opts)
  local list, inv = M.expand(o)
  for i, spec in ipairs(list) do
    if inv then
      list[i] = inv:make(spec, opts, 1)
    else
      list[i] = host.new(spec.name, options.merge(opts, { user = spec.user, port = spec.port }), 1)
    end
  end
  return hosts.of(list)
end

return M
