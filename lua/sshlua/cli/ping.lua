--- `sshlua ping -w HOSTS`: connects and authenticates, runs nothing.

local Result = require("sshlua.result").Result
local core = require("sshlua.core")
local fleet_args = require("sshlua.cli.fleet_args")
local fleet_run = require("sshlua.cli.fleet_run")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = { summary = "connect to many hosts and authenticate, run nothing" }

local GROUPS = "hosts pace print exit ssh"

local HELP = [[
usage: sshlua ping -w HOSTS [OPTION...]

Connects to every host, checks its key, logs in, and leaves. Says how long it took, and what the server is.

%s
exit status: 0 all went well, 2 usage, 1 something here failed, 4 some host unreachable, unauthenticated or untrusted,
124 some timeout, 130 ^C.
]]

M.help = HELP:format(fleet_args.help(GROUPS))

local function ping(folded)
  return function(_, printer)
    return function(h)
      local before = core.now()
      local s = h:session()
      local seconds = core.now() - before
      local line = folded and ("ok, %s\n"):format(s.core:server_version())
        or ("ok, %.3f s, %s\n"):format(seconds, s.core:server_version())
      if printer.sink then printer.sink(h)(line, "stdout") end
      return Result.new({ host = h.name, port = h.port, code = 0, stdout = line, duration = seconds,
        timing = s.target.timing })
    end
  end
end

---@param args string[]
function M.run(args)
  local o = fleet_args.parse(args, GROUPS, "ping")
  if o.help then
    io.stdout:write(M.help)
    return 0
  end
  if o.rest[1] then misuse("ping: takes no command: %s", o.rest[1]) end
  return fleet_run.go(o, {
    op = "ping", options = { timeout = o.timeout }, prepare = ping(o.fold or o.diff or o.live_fold),
  }, fleet_run.fleet(o))
end

return M
