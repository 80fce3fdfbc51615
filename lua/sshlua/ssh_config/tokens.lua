--- What the %tokens stand for. See TOKENS in ssh_config(5).

local core = require("sshlua.core")
local expand = require("sshlua.ssh_config.expand")

local M = {}

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

--- Tokens that hold for a connection.
---@param c table { host=, original=, port=, user=, alias=, me=, jump= }
---@return table<string, string>
function M.of(c)
  local this = core.hostname() or "localhost"
  local port = tostring(c.port)
  return {
    C = hex(core.digest("sha1", this .. c.host .. port .. c.user)), j = c.jump or "",
    L = this:match("^[^.]*"), l = this, d = c.me.home, h = c.host, k = c.alias, n = c.original, p = port, r = c.user,
    u = c.me.name, i = tostring(c.me.uid),
  }
end

--- The host that Match compares with: after HostName, or after canonicalization.
function M.match_host(state)
  if state.final then return state.values.hostname end
  if not state.values.hostname then return state.host end
  return expand.tokens(state.values.hostname, { h = state.host }) or state.values.hostname
end

--- For Match exec, where not all is known yet.
function M.match(state)
  local values, host = state.values, M.match_host(state)
  return M.of({
    host = host, original = state.original, port = values.port or 22, user = values.user or state.me.name,
    alias = values.hostkeyalias or host, me = state.me,
  })
end

return M
