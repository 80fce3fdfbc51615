--- Servers for demos and specs that leave nothing behind: a fleet of throwaway OpenSSH hosts on loopback, a private
--- daemon, a relay that misbehaves on request, raw servers in Lua, and a second user. Inside tasks.
---
---   local fleet = testbed.start({ hosts = 5 })
---   local session = ssh.connect("web1", fleet:options("web1"))
---   fleet:stop()

return {
  start = require("sshlua.testbed.fleet").start,
}
