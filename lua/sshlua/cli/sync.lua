--- `sshlua sync`: a directory of many hosts made like the local one.

local transfer = require("sshlua.cli.transfer")

local M = { summary = "make a directory of hosts like the local one" }

M.help = transfer.help("sync", [[
usage: sshlua sync -w HOSTS [OPTION...] FROM TO

Copies what differs, by size and time (--skip digest: by content). "build/" means what is in build.
]])

function M.run(args) return transfer.run("sync", M.help, args) end

return M
