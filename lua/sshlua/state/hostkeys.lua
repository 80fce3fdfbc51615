--- hostkeys: what keys a host shows, without logging in and without trusting them.

local Result = require("sshlua.result").Result
local core = require("sshlua.core")
local keyscan = require("sshlua.keyscan")
local options = require("sshlua.options")

local M = {}

---@class sshlua.HostkeysOptions
---@field types? string|string[] ed25519, ecdsa, rsa; default all
---@field timeout? number seconds of wall time
---@field check? boolean false: a failure gives a Result instead of raising
local own_options = { types = "list", timeout = "seconds", check = "boolean" }

local function run(host, plan)
  local started, target = core.now(), host.target
  local layers = target.said.layers
  local opts = options.merge(layers[5], layers[1], { user = target.said.user, port = target.said.port })
  opts.types = plan.types
  local found = keyscan.scan({ "[" .. target.name .. "]" }, opts)[1]
  if found.err then error(found.err, 0) end
  local lines = {}
  for i, key in ipairs(found.keys) do lines[i] = ("%s %s\n"):format(key.type, key.fingerprint) end
  return Result.own({
    host = host.name, port = host.port, op = "hostkeys", cmd = "hostkeys", code = 0, safe = true, keys = found.keys,
    value = found.keys, stdout = table.concat(lines), duration = core.now() - started,
  })
end

function M.hostkeys(opts, level)
  options.check(opts, own_options, level + 1)
  return { op = "hostkeys", label = "hostkeys", types = opts.types, run = run }
end

return M
