--- `sshlua sync`: a directory of many hosts made like the local one.

local transfer = require("sshlua.cli.transfer")

local M = { summary = "make a directory of hosts like the local one" }

M.help = transfer.help("sync", [[
usage: sshlua sync -w HOSTS [OPTION...] FROM TO

Makes TO on the hosts like FROM: copies what differs, by size and time (--skip digest: by content). TO is the copy
itself; with a slash at its end it gets FROM's name in it, unless FROM is "build/", which means what is in build.
]])

function M.run(args) return transfer.run("sync", M.help, args) end

return M
