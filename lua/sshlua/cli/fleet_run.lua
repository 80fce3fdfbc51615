--- A command line that works on many hosts, carried out: who they are, what is printed, which code it ends with. What
--- is done on each host comes from cli/run.lua, cli/ping.lua and cli/transfer.lua.

local codes = require("sshlua.cli.fleet_codes")
local core = require("sshlua.core")
local elevate = require("sshlua.elevate")
local errors = require("sshlua.errors")
local executor = require("sshlua.executor")
local files = require("sshlua.cli.fleet_files")
local hosts = require("sshlua.hosts")
local lazy = require("sshlua.lazy")
local log = require("sshlua.log")
local options = require("sshlua.options")
local pattern = require("sshlua.ssh_config.pattern")
local print_to = require("sshlua.cli.fleet_print")
local reports = require("sshlua.cli.fleet_report")
local rolling = require("sshlua.rolling")
local targets = require("sshlua.inventory.targets")
local task = require("sshlua.task")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = {}

--- Which hosts ------------------------------------------------------------------------------------------------------

local function by_glob(list, globs)
  local kept = {}
  for _, h in ipairs(list) do
    for _, glob in ipairs(globs) do
      if pattern.match(h.name, glob) then
        kept[#kept + 1] = h
        break
      end
    end
  end
  return kept
end

--- n at random, in their order.
local function pick(list, n)
  local kept, left = {}, math.min(n, #list)
  for i, h in ipairs(list) do
    if math.random(#list - i + 1) <= left then
      kept[#kept + 1] = h
      left = left - 1
    end
  end
  return kept
end

--- The hosts of the command line.
---@param o table of cli/fleet_args.lua
---@return sshlua.Fleet|nil nil: --only leaves nobody, and that has been said
function M.fleet(o)
  local list = targets.fleet({
    hosts = o.hosts, groups = o.groups, exclude = o.exclude, inventory = o.inventory,
    say = not o.quiet and print_to.note or function() end,
  })
  if o.keep_host then
    local kept = {}
    for _, h in ipairs(list) do
      if o.keep_host(h) then kept[#kept + 1] = h end
    end
    if not kept[1] and list[1] then
      print_to.note("nothing to do: the journal has no host that was " .. o.only)
      return nil
    end
    list = kept
  end
  if o.globs then list = by_glob(list, o.globs) end
  if o.pick then list = pick(list, o.pick) end
  if #list == 0 then
    misuse("no host is left of those that were named%s",
      o.globs and ": none matches --limit " .. errors.excerpt(table.concat(o.globs, " ")) or "")
  end
  return hosts.of(list)
end

--- As whom: the option sudo of the hosts' verbs. Asks for the password when the command line says so.
---@param o table of cli/fleet_args.lua
---@return boolean|string|nil
function M.sudo(o)
  if not o.ask_sudo then return o.sudo end
  elevate.ask_sudo()
  return o.sudo or true
end

--- What is printed --------------------------------------------------------------------------------------------------

local function printer_for(o, fleet)
  local ways = { "json", "diff", "live_fold", "fold" }
  local chosen
  for _, way in ipairs(ways) do
    if o[way] and chosen and not (way == "fold" and chosen == "live_fold") then
      misuse("--json, --diff, -L and -b: one of them")
    end
    if o[way] then chosen = chosen or way end
  end
  local printer
  if chosen == "json" then
    printer = require("sshlua.cli.fleet_json").printer()
  elseif chosen then
    printer = print_to[chosen](o)
  elseif o.outdir then
    printer = print_to.silent(o)
  else
    printer = print_to.live(o, o.complaint)
  end
  printer.hosts = fleet
  if o.report and printer.keep then printer.keep = math.max(printer.keep, reports.KEEP) end
  if o.outdir then printer = files.outdir(printer, o.outdir, fleet) end
  return printer
end

--- Carrying it out --------------------------------------------------------------------------------------------------

local kept_options = { "parallel", "ramp", "max_failed", "fail_fast", "max_refused", "one_interrupt" }

local function executor_options(o, fleet, op, more)
  local opts = { keep = false }
  for _, name in ipairs(kept_options) do opts[name] = o[name] end
  local preferred = require("sshlua.preferences").load(require("sshlua.connect").options).more.parallel
  local wanted = opts.parallel or preferred or executor.PARALLEL
  opts.parallel = executor.at_once(wanted, op)
  if opts.parallel < math.min(wanted, #fleet) and not o.quiet then
    print_to.note(("%d at once, not %d: this process may have %d files open (ulimit -n)"):format(
      opts.parallel, math.min(wanted, #fleet), core.max_files()))
  end
  if #fleet == 1 then opts.one_interrupt = true end
  return options.merge(opts, more)
end

--- on_end of each run is the printer's.
local function make_run(o, what, fleet, printer)
  local opts = executor_options(o, fleet, what.op, what.options)
  local function prepare(run)
    function run.on_end(r, i) printer.ended(r, run.hosts[i]) end
  end
  if not o.batch then
    for _, name in ipairs({ "on_fail", "pause", "order" }) do
      if o[name] then misuse("--%s goes with --batch", (name:gsub("_", "-"))) end
    end
    local run = executor.new(fleet, opts, what.op)
    prepare(run)
    return run
  end
  local one = opts.one_interrupt
  opts.one_interrupt = nil
  opts = rolling.check(options.merge(opts, {
    batch = o.batch, on_fail = o.on_fail, pause = o.pause, order = o.order,
  }), 1)
  opts.one_interrupt = one
  return rolling.new(fleet, opts, hosts.of, prepare)
end

--- How many hosts are worked on at once, at most.
local function at_once(run)
  local most = run.batches and 1 or #run.hosts
  for _, batch in ipairs(run.batches or {}) do most = math.max(most, #batch) end
  return math.min(most, run.opts.parallel)
end

--- The hosts in the order of the results.
local function hosts_of(run) return run.list and run.batches and run.list or run.hosts end

local function tell(o, what, run, printer, recorder, seconds)
  local rs = run:results()
  local code = codes.by(rs, o.exit)
  if what.code then code = what.code(code, rs) end
  printer.finish(rs, { stopped = run.stopped, exit = code, seconds = seconds })
  print_to.summary(o, rs, run, seconds) -- before what may fail: a disk may be full
  if o.outdir then files.lists(o.outdir .. "/", hosts_of(run), rs) end
  if recorder then recorder.finish(rs, seconds) end
  if what.finish then what.finish(run, rs, hosts_of(run)) end
  return code
end

---@class sshlua.cli.FleetWork
---@field op string
---@field command? string
---@field options? table of the executor
---@field prepare fun(fleet: sshlua.Fleet, printer: table, at_once: integer, board?: table): fun(h: sshlua.Host): any
---@field printer? table default: what the options of the group print say
---@field code? fun(code: integer, rs: sshlua.Results): integer the exit code, of the one that the table says
---@field finish? function

local function carry_out(o, what, fleet, source, board)
  local printer = what.printer or printer_for(o, fleet)
  local run = make_run(o, what, fleet, printer)
  if printer.begin then printer.begin(what, fleet, run.opts.parallel) end
  local fn = what.prepare(fleet, printer, at_once(run), board)
  local before, recorder = core.now(), reports.begin(o, what.command or what.op)
  local ok, err = pcall(task.scope, function(s)
    if source then s:spawn(source.read, source) end
    run:go(fn)
    s:cancel()
  end)
  if source then source:close() end
  local code = tell(o, what, run, printer, recorder, core.now() - before)
  if not ok then error(err, 0) end
  return code
end

--- Does it and reports; also what is left when it was interrupted. Returns the exit code.
---@param o table of cli/fleet_args.lua
---@param what sshlua.cli.FleetWork
---@param fleet sshlua.Fleet
---@param source? table of cli/fleet_stdin.lua
---@return integer
function M.go(o, what, fleet, source)
  if o.verbosity then log.set_level(o.verbosity) end
  if not o.board then return carry_out(o, what, fleet, source) end
  local title = ("sshlua %s: %s"):format(what.op, what.command or tostring(fleet))
  return lazy.load("sshlua.board").with(fleet, title, function(board)
    return carry_out(o, what, fleet, source, board)
  end)
end

return M
