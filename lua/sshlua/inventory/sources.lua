--- Where @group and ^file of ssh.hosts come from when no inventory is named: the user's inventory, then ClusterShell's
--- group sources. Opened when the first group is asked for.

local clustershell = require("sshlua.inventory.clustershell")
local connect = require("sshlua.connect")
local preferences = require("sshlua.preferences")
local read = require("sshlua.inventory.read")

local M = {}

local function from_inventory(path, name)
  local inventory = require("sshlua.inventory").open(path)
  return inventory:sources(true).group(nil, name)
end

local function from_clustershell(source, name)
  local path = clustershell.find_conf()
  if not path then return nil, "the inventory and ClusterShell's groups.conf: there are none" end
  return clustershell.conf(path):group(source, name)
end

--- What host expressions ask.
---@return sshlua.HostSources
function M.default()
  return {
    read = read.file,
    group = function(source, name)
      local path = not source and preferences.load(connect.options).more.inventory
      if path then
        local hosts, where = from_inventory(path, name)
        if hosts then return hosts, where end
      end
      return from_clustershell(source, name)
    end,
  }
end

return M
