--- `sshlua run -w HOSTS -- COMMAND`: one command on many hosts.

local fleet_args = require("sshlua.cli.fleet_args")
local fleet_record = require("sshlua.cli.fleet_record")
local fleet_run = require("sshlua.cli.fleet_run")
local fleet_stdin = require("sshlua.cli.fleet_stdin")
local hosts = require("sshlua.hosts")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = { summary = "run a command on many hosts" }

local GROUPS = "hosts pace command print record exit ssh journal"

local HELP = [[
usage: sshlua run -w HOSTS [OPTION...] [--] COMMAND [WORD...]
       sshlua run -w HOSTS [OPTION...]            (one prompt for all of them)
       sshlua run --pdsh [pdsh's options] COMMAND [WORD...]

Runs the command on every host and prints its lines as they come, with the host's name in front. The words are joined
with blanks and read by the host's shell, as ssh does. Standard input, unless it is a terminal, goes to every host.
Without a command it reads lines, from a terminal or a pipe, and runs each on the hosts; ? at the prompt helps.
Without -w and -g the hosts are those of the batch job (SLURM_JOB_NODELIST, PBS_NODEFILE, BACKENDAI_CLUSTER_HOSTS).

%s
exit status: 0 all went well, 2 usage, 1 something here failed, 3 some command failed, 4 some host unreachable,
unauthenticated or untrusted, 124 some timeout, 130 ^C; of several the first of 2, 1, 130, 4, 124, 3. The first ^C
starts nothing new, the second cancels. See docs/fleets.md.
]]

M.help = HELP:format(fleet_args.help(GROUPS))

--- What each host runs, with the printer's ears.
local function prepare_command(o, command, source, recordings)
  return function(fleet, printer)
    local run = hosts.runner(fleet, command, {
      cwd = o.cwd, sudo = fleet_run.sudo(o), timeout = o.timeout, idle = o.idle, safe = o.safe, check = false,
      max_output = printer.keep,
    })
    return function(h)
      local more = { sink = printer.sink and printer.sink(h), stdin = source and source:reader() }
      if recordings then return recordings.run(h, command, more, run) end
      return run(h, more)
    end
  end
end

---@param args string[]
---@param program table
function M.run(args, program)
  local o
  if args[1] == "--pdsh" then
    o = require("sshlua.cli.pdsh").parse({ table.unpack(args, 2) })
    if type(o) == "number" then return o end
  else
    o = fleet_args.parse(args, GROUPS, "run")
  end
  if o.help then
    io.stdout:write(M.help)
    return 0
  end
  if #o.rest == 0 then return require("sshlua.cli.many").run(o, program, prepare_command) end
  local journal = (o.journal or o.resume or o.only or o.unknown) and require("sshlua.cli.fleet_journal").start(o) or nil
  local command = table.concat(o.rest, " ")
  if not command:find("%S") then misuse("run: which command? (see sshlua run --help)") end
  local recordings = fleet_record.new(o)
  local fleet = fleet_run.fleet(o)
  if not fleet then return 0 end
  if journal then journal.open(o, command, fleet) end
  local source = not o.no_stdin and fleet_stdin.source(program) or nil
  return fleet_run.go(o, {
    op = "run", command = command, prepare = prepare_command(o, command, source, recordings),
    finish = journal and journal.finish,
  }, fleet, source)
end

return M
