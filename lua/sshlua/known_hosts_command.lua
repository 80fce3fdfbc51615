--- The command line of KnownHostsCommand (ssh_config(5)): words, quotes, tokens, ${ENV}. Runs nothing.

local core = require("sshlua.core")
local expand = require("sshlua.ssh_config.expand")
local options = require("sshlua.options")
local tokens = require("sshlua.ssh_config.tokens")
local words_of = require("sshlua.ssh_config.words").arguments

local M = {}

--- The tokens of ssh_config, and those that only this command has.
local function values_of(target, invocation, name, blob)
  local user = core.user()
  local values = tokens.of({
    host = target.hostname, original = target.name, port = target.port, user = target.user,
    alias = target.opts.host_key_alias or target.name,
    me = { name = user.name or tostring(user.uid), uid = user.uid, home = expand.home() },
  })
  values.H, values.I, values.t, values.f, values.K = name, invocation, "NONE", "NONE", "NONE"
  if blob then
    values.t, values.f, values.K = core.key_type(blob) or "NONE", core.fingerprint(blob), core.base64(blob)
  end
  return values
end

--- The argument vector, or nil and why there is none.
---@param target table
---@param invocation string
---@param name string
---@param blob? string
---@return string[]|nil argv, string? why
function M.argv(target, invocation, name, blob)
  local command = target.opts.known_hosts_command
  local words = type(command) == "table" and options.merge(command) or words_of(command, true)
  if not words then return nil, ("a quote is not closed in: %s"):format(command) end
  if not words[1] or words[1]:sub(1, 1) ~= "/" then
    return nil, ("an absolute path is needed, not '%s'"):format(words[1] or "")
  end
  local values = values_of(target, invocation, name, blob)
  for i = 2, #words do
    local word, fault = expand.both(words[i], values)
    if not word then return nil, fault end
    words[i] = word
  end
  return words
end

return M
