--- What holds for every connection of this process unless a script says otherwise, and what is known of single hosts.
--- The demo fleet and the program's command line write here; scripts give options to ssh.host and ssh.connect.

local M = {
  ---@type table<string, any> connect options
  defaults = {},
  ---@type table<string, table> host name -> connect options
  hosts = {},
  --- Nothing else counts: neither SSHLUA_* nor config.lua. The demo fleet's.
  only_mine = false,
  --- Verbs only say what they would do, unless an option of theirs or of their host says otherwise; nil: they do it.
  ---@type boolean?
  dry_run = nil,
}

--- Does a verb only say what it would do? Its own option wins, then its host's default, then the whole run's setting.
---@param defaults { dry_run?: boolean }|nil the host's
---@param opts { dry_run?: boolean }
---@return boolean
function M.is_dry(defaults, opts)
  local value = opts.dry_run
  if value == nil then value = defaults and defaults.dry_run end
  if value == nil then value = M.dry_run end
  return value == true
end

return M
