--- `sshlua put`, `get` and `sync`: from the command line to the fleet's verb, its Results printed, the exit code. What
--- each of them is called and says about itself is in put.lua, get.lua and sync.lua.

local core = require("sshlua.core")
local elevate = require("sshlua.elevate")
local errors = require("sshlua.errors")
local log = require("sshlua.log")
local report = require("sshlua.cli.report")
local targets = require("sshlua.inventory.targets")
local transfer_args = require("sshlua.cli.transfer_args")

local M = {}

local INPUT_MAX = 256 * 1024 * 1024
local SHOWN = 20 -- failures and such of one host

--- The end of every command's help.
M.options_help = [[
Hosts:
  -w HOSTS          these: web[01-20],db1, @group, ^file    -x HOSTS  without these
  -g GROUP          a group's hosts                         --inventory FILE  groups and names from FILE
  --parallel N      so many hosts at once; default 64       --timeout SECONDS  for each host, connecting included
  -o -F -J -p -l -i -C -4 -6 -q -v  as ssh(1)               --batch  never ask
Output:
  -b                hosts with equal outcomes on one line   --diff   also what arrived and what was deleted
  --json            one JSON object to a line and host      --no-progress
Copies:
  --mode OCTAL --dir-mode OCTAL --times --setuid            --links skip|copy|follow --unsafe-links
  --resume          go on with a part that is there         --verify  compare SHA-256 before the copy gets its name
  --skip time|digest  leave what is the same                --exclude PATTERN (again and again)
  --dry-run         only say what would be done             --check   the same; exit status 5 when something would be
  --fsync --no-fsync --parents --files N                    --limit BYTES  a second and host: 500K, 10M
  --idle SECONDS    without a byte; default 120             --stop    at the first failure
  --no-sparse       write the holes of sparse files out
  --sudo, --sudo-user NAME, --ask-sudo  as another user on the hosts
Exit status: 0 all went well, 2 usage, 3 something failed, 4 a host could not be reached or logged in to, 124 timeout,
5 --check found differences, 130 interrupted.
]]

--- Sources ----------------------------------------------------------------------------------------------------------

--- Standard input: a stream for one host, read once into memory for several.
local function from_stdin(hosts)
  if #hosts == 1 then return io.stdin end
  local pieces, size = {}, 0
  for bytes in function() return io.stdin:read(65536) end do
    pieces[#pieces + 1], size = bytes, size + #bytes
    if size > INPUT_MAX then
      transfer_args.usage("standard input for several hosts may have %d MiB: write it to a file", INPUT_MAX / 1048576)
    end
  end
  return { data = table.concat(pieces) }
end

--- What is copied, and where to.
local function operands(o, verb, hosts)
  local n = #o.words
  if n < 2 then transfer_args.usage("FROM and TO expected") end
  if verb == "sync" and n > 2 then transfer_args.usage("one FROM and one TO expected") end
  local to, from = o.words[n], o.words[1]
  if n > 2 then from = { (table.unpack or unpack)(o.words, 1, n - 1) } end -- luacheck: ignore 143
  if from == "-" and verb == "put" then from = from_stdin(hosts) end
  return from, to
end

--- Doing ------------------------------------------------------------------------------------------------------------

local function fleet_of(o)
  local t = o.targets
  if t.inventory and #t.inventory == 1 then t.inventory = t.inventory[1] end
  local fleet = targets.fleet(t, o.connect)
  if #fleet == 0 then transfer_args.usage("no host is left") end
  return fleet
end

local function copy(o, verb, fleet, from, to)
  local opts = o.transfer
  opts.parallel, opts.check = o.fleet.parallel, false
  if verb ~= "get" or not o.flat then return fleet[verb](fleet, from, to, opts) end
  if #fleet > 1 then transfer_args.usage("--flat is for one host, and these are %d", #fleet) end
  return fleet:each(function(h)
    opts.parallel = nil
    return h:get(from, to, opts)
  end, { check = false })
end

--- Printing ---------------------------------------------------------------------------------------------------------

local function clean(text) return core.clean(core.mask(text), { newline = false }) end

local function say(r, text) io.stderr:write(r.host, ": ", clean(text), "\n") end

local function say_list(r, list, what)
  for i, item in ipairs(list or {}) do
    if i > SHOWN then
      say(r, ("%s: and %d more"):format(what, #list - SHOWN))
      return
    end
    if item.err then
      say(r, errors.is(item.err) and item.err.kind .. ": " .. item.err.message or tostring(item.err))
    else
      say(r, ("%s: %s: %s"):format(what, errors.excerpt(item.path), item.why))
    end
  end
end

local function hint_of(err) return errors.is(err) and rawget(err, "hint") or nil end

local function complain(r)
  if r.failed and #r.failed > 0 then
    say_list(r, r.failed, "failed")
  else
    say(r, r:problem() or "failed")
  end
  if hint_of(r.err) then say(r, "hint: " .. hint_of(r.err)) end
end

local function outcome(r) return r.stdout ~= "" and r:text() or r:status() end

local function print_plain(o, rs)
  for _, r in ipairs(rs) do
    if not o.quiet then say_list(r, r.left_out, "left out") end
    if not r.ok then complain(r) end
    if (o.diff or o.transfer.dry_run) and r.diff then
      for _, line in ipairs(r.diff) do io.stdout:write(r.host, ": ", clean(line), "\n") end
    end
    if not o.quiet and not o.fold then io.stdout:write(r.host, ": ", outcome(r), "\n") end
  end
  if o.fold and not o.quiet then io.stdout:write(tostring(rs:group()), "\n") end
  if not o.quiet and #rs > 1 then io.stderr:write(tostring(rs), "\n") end
end

local function paths(list)
  local out = {}
  for i, item in ipairs(list or {}) do
    out[i] = type(item) == "string" and item
      or { path = item.path, why = item.why, error = item.err and tostring(item.err) }
  end
  return setmetatable(out, core.json_array)
end

local function print_json(rs)
  for _, r in ipairs(rs) do
    local err = errors.is(r.err) and { kind = r.err.kind, message = core.mask(r.err.message), hint = hint_of(r.err) }
    local text, why = core.json_encode({
      host = r.host, ok = r.ok, status = r:status(), changed = r.changed, seconds = r.duration, bytes = r.bytes,
      files = r.files, directories = r.directories, links = r.links, same = r.same, digest = r.digest,
      arrived = paths(r.arrived), deleted = paths(r.deleted), left_out = paths(r.left_out), failed = paths(r.failed),
      error = err or nil,
    })
    if not text then errors.raise(errors.from(why, { op = "json" })) end
    io.stdout:write(text, "\n")
  end
end

--- Ends -------------------------------------------------------------------------------------------------------------

local function exit_code(o, rs)
  local failed, late, changed = false, false, false
  for _, r in ipairs(rs) do
    if not r.ok and report.unreachable(r.err) then return 4 end
    if not r.ok and errors.is(r.err, "timeout") then late = true end
    failed, changed = failed or not r.ok, changed or r.changed
  end
  return late and 124 or failed and 3 or o.check and changed and 5 or 0
end

---@param verb "put"|"get"|"sync"
---@param help string
---@param args string[]
---@return integer exit code
function M.run(verb, help, args)
  local o = transfer_args.parse(args, verb)
  if o.help then
    io.stdout:write(help, M.options_help)
    return 0
  end
  if o.verbosity > 0 then log.set_level(o.verbosity) end
  local fleet = fleet_of(o)
  local from, to = operands(o, verb, fleet)
  if o.ask_sudo then
    elevate.ask_sudo()
    o.transfer.sudo = o.transfer.sudo or true
  end
  local rs = copy(o, verb, fleet, from, to)
  if o.json then print_json(rs) else print_plain(o, rs) end
  return exit_code(o, rs)
end

return M
