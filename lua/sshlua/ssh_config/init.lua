--- ssh_config(5) for scripts: `ssh.config.resolve(host)` gives the effective settings and where each comes from.

local errors = require("sshlua.errors")
local options = require("sshlua.options")
local printer = require("sshlua.ssh_config.printer")
local resolver = require("sshlua.ssh_config.resolver")

local M = {}

---@class sshlua.Config
local Config = {}
local config_mt = { __index = Config, __name = "sshlua.Config" }

--- A setting's value: boolean, number, text or list, by its kind.
---@param name string the keyword; case does not matter
function Config:get(name) return self.values[name:lower()] end

--- Where it was set: "file:line", "command line", "option"; nil: nowhere, it is the default.
---@param name string
---@return string|nil
function Config:origin(name)
  local list = self.origins[name:lower()]
  return list and list[1]
end

--- As `ssh -G` prints it.
---@return string
function Config:text() return table.concat(printer.lines(self), "\n") .. "\n" end
config_mt.__tostring = Config.text

--- The effective settings of a host by the configuration of OpenSSH. Raises kind config with file:line for what ssh
--- would not take.
---@param host string
---@param opts? sshlua.ResolveOptions
---@return sshlua.Config
function M.resolve(host, opts)
  if type(host) ~= "string" or host == "" then errors.usage(2, "config.resolve: host name expected") end
  opts = options.check(opts, resolver.options, 2)
  return setmetatable(resolver.resolve(host, opts), config_mt)
end

return M
