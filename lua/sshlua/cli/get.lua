--- `sshlua get`: files from many hosts.

local transfer = require("sshlua.cli.transfer")

local M = { summary = "copy files from hosts" }

M.help = transfer.help("get", [[
usage: sshlua get -w HOSTS [OPTION...] FROM... TO

Copies files, directories with what is in them, and what globs match from every host to TO/HOST/, or to the path that
"{host}" in TO makes. Nothing is written outside of it, whatever the host sends.
]])

function M.run(args) return transfer.run("get", M.help, args) end

return M
