--- `sshlua put`: files to many hosts.

local transfer = require("sshlua.cli.transfer")

local M = { summary = "copy files to hosts" }

M.help = transfer.help("put", [[
usage: sshlua put -w HOSTS [OPTION...] FROM... TO

Copies files, directories with what is in them, and what globs match to every host; "-" is standard input. TO is a name
on the hosts; with a slash at its end, or several FROM, a directory. Every file is there whole or not at all.
]])

function M.run(args) return transfer.run("put", M.help, args) end

return M
