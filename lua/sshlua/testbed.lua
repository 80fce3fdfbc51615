--- Servers for demos and specs that leave nothing behind: a fleet of throwaway OpenSSH hosts on loopback, a private
--- daemon, a relay that misbehaves on request, raw servers in Lua, and a second user. All inside tasks.
---
---   local fleet = testbed.start({ hosts = 5 })
---   local session = ssh.connect("web1", fleet:options("web1"))
---   fleet:stop()

local account = require("sshlua.testbed.account")
local connections = require("sshlua.testbed.connections")
local daemon = require("sshlua.testbed.daemon")
local fleet = require("sshlua.testbed.fleet")
local relay = require("sshlua.testbed.relay")
local site = require("sshlua.testbed.site")

return {
  start = fleet.start, daemon = daemon.start, relay = relay.new, raw_server = connections.new, user = account.new,
  make_key = site.make_key, find_sshd = site.find_sshd,
}
