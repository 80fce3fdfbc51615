--- `sshlua put`, `get` and `sync`: from the command line to the fleet's verb, its Results printed, the exit code. What
--- each of them is called and says about itself is in put.lua, get.lua and sync.lua.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local fleet_args = require("sshlua.cli.fleet_args")
local fleet_run = require("sshlua.cli.fleet_run")
local hosts = require("sshlua.hosts")
local print_to = require("sshlua.cli.fleet_print")
local glob = require("sshlua.transfer_glob")
local own = require("sshlua.cli.transfer_options")
local task = require("sshlua.task")
local wildcard = require("sshlua.wildcard")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = {}

local INPUT_MAX = 256 * 1024 * 1024
local SHOWN = 20 -- failures and such of one host

--- With the verb's name in front: that group is its own.
local GROUPS = " copy hosts pace --sudo --ask-sudo --board --no-board -b -v ssh"

local TAIL = [[
Options may stand behind FROM and TO; "--" ends them. Without -w and -g the hosts are those of the batch job
(SLURM_JOB_NODELIST, PBS_NODEFILE, BACKENDAI_CLUSTER_HOSTS).

exit status: 0 all went well, 2 usage, 1 something here failed, 3 something there did, 4 some host unreachable,
unauthenticated or untrusted, 124 some timeout, 130 ^C, 5 --check found differences; of several the first of 2, 1,
130, 4, 124, 3. The first ^C starts
nothing new, the second cancels. See docs/transfers.md.
]]

--- The text of a verb's --help.
---@param verb "put"|"get"|"sync"
---@param about string its beginning
---@return string
function M.help(verb, about) return ("%s\n%s\n%s"):format(about, fleet_args.help(verb .. GROUPS, own.list), TAIL) end

local function parse(verb, args)
  local o = fleet_args.parse(args, verb .. GROUPS, verb, { own = own.list, elsewhere = own.elsewhere, anywhere = true })
  o.transfer = o.transfer or {}
  local opts = o.transfer
  opts.timeout, opts.idle = o.timeout, o.idle
  if o.check then opts.dry_run = true end
  if o.json or o.quiet then opts.progress = false end
  if opts.progress == nil then opts.progress = true end
  o.no_summary = true -- ours is printed with the results
  return o
end

--- Sources ----------------------------------------------------------------------------------------------------------

--- Standard input: a stream for one host, read once into memory for several.
local function from_stdin(fleet)
  if #fleet == 1 then return io.stdin end
  local pieces, size = {}, 0
  for bytes in function() return io.stdin:read(65536) end do
    pieces[#pieces + 1], size = bytes, size + #bytes
    if size > INPUT_MAX then
      misuse("put: standard input for several hosts may have %d MiB: write it to a file", INPUT_MAX / 1048576)
    end
  end
  return { data = table.concat(pieces) }
end

--- What is not here is said once, before anybody is connected to.
local function check_here(verb, words, n)
  for i = 1, n do
    local path = words[i]
    local ok, err = true, nil
    if verb ~= "put" or path ~= "-" then ok, err = pcall(task.await, core.fs_lstat, path) end
    if not ok and not errors.is(err, "io") then error(err, 0) end
    if not ok and not (verb == "put" and wildcard.is_magic(path) and glob.here(path)[1]) then
      errors.raise({ kind = "io", message = ("%s: %s"):format(verb, err.message) })
    end
  end
end

--- SFTP knows no "~"; with --parents a directory of that name would be made.
local function check_there(verb, words, first, last)
  for i = first, last do
    local rest = words[i]:match("^~/?(.*)$")
    if rest and (rest == "" or words[i]:sub(2, 2) == "/") then
      misuse("%s: ~ is not expanded on hosts, and a name without / in front is below the home there: %s instead of %s",
        verb, errors.excerpt(rest == "" and "./" or rest), errors.excerpt(words[i]))
    end
    if words[i]:find("^~[^/]+/") then
      misuse("%s: ~ is not expanded on hosts: say where that home is, or ./%s for a name that begins so", verb,
        errors.excerpt(words[i]))
    end
  end
end

--- Standard input is one file, and standard output no target.
local function check_dash(o, verb)
  local n = #o.rest
  for i = 1, n - 1 do
    if verb == "put" and n > 2 and o.rest[i] == "-" then
      misuse('put: "-" is standard input, and copied alone (./- is a file of that name)')
    end
  end
  if o.rest[n] == "-" and (verb == "get" or o.transfer.pull) then
    misuse('%s: "-" is no target: sshlua run -w HOST -- cat FILE writes to standard output (./- is a file)', verb)
  end
end

--- What is copied, and where to.
local function operands(o, verb)
  local n = #o.rest
  if n < 2 then misuse("%s: FROM and TO expected (see sshlua %s --help)", verb, verb) end
  if verb == "sync" and n > 2 then misuse("sync: one FROM and one TO expected, got %d words", n) end
  for _, word in ipairs(o.rest) do
    if word == "" then misuse("%s: empty file name", verb) end
  end
  check_dash(o, verb)
  if verb == "get" or o.transfer.pull then
    check_there(verb, o.rest, 1, n - 1)
  else
    check_there(verb, o.rest, n, n)
    check_here(verb, o.rest, n - 1)
  end
  local from = o.rest[1]
  if n > 2 then from = { (table.unpack or unpack)(o.rest, 1, n - 1) } end -- luacheck: ignore 143
  return from, o.rest[n]
end

--- Doing ------------------------------------------------------------------------------------------------------------

--- What each host's copy is: fleet_run's `prepare`.
local function prepare_copy(o, verb, from, to)
  return function(fleet, _, at_once, board)
    local opts = o.transfer
    if board then opts.progress = board:progress() end
    opts.sudo = fleet_run.sudo(o)
    if o.flat then
      return function(h) return h:get(from, to, opts) end
    end
    return hosts.copier(fleet, verb, from, to, opts, at_once, 1)
  end
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

local function say_hints(rs)
  for hint, host in print_to.hints(rs) do io.stderr:write(host, ": hint: ", hint, "\n") end
end

local function complain(r)
  if r.failed and #r.failed > 0 then
    say_list(r, r.failed, "failed")
  else
    say(r, r:problem() or "failed")
  end
end

local function outcome(r) return r.stdout ~= "" and r:text() or r:status() end

local function print_plain(o, rs, stopped)
  for _, r in ipairs(rs) do
    if not o.quiet then say_list(r, r.left_out, "left out") end
    if not r.ok and r:status() ~= "skipped" then complain(r) end
    if (o.diff or o.transfer.dry_run) and r.diff then
      for _, line in ipairs(r.diff) do io.stdout:write(r.host, ": ", clean(line), "\n") end
    end
    if not o.quiet and not o.fold then io.stdout:write(r.host, ": ", outcome(r), "\n") end
  end
  say_hints(rs)
  if o.fold and not o.quiet then io.stdout:write(tostring(rs:group()), "\n") end
  if not o.quiet and #rs > 1 then
    io.stderr:write(tostring(rs), stopped and ("; stopped: %s"):format(stopped) or "", "\n")
  end
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

--- At the end, in the order of the hosts.
local function printer_for(o)
  if o.json and o.fold then misuse("--json and -b: one of them") end
  return {
    ended = function() end,
    finish = function(rs, info)
      if o.json then print_json(rs) else print_plain(o, rs, info.stopped) end
    end,
  }
end

--- Ends -------------------------------------------------------------------------------------------------------------

--- Differences count when nothing is wrong.
local function code_of(o)
  return function(code, rs)
    if code ~= 0 or not o.check then return code end
    for _, r in ipairs(rs) do
      if r.changed then return 5 end
    end
    return 0
  end
end

--- The hosts; where none are named, but one stands in front of a path, what to type instead.
local function fleet_of(o, verb)
  local ok, fleet = pcall(fleet_run.fleet, o)
  if ok then return fleet end
  if errors.is(fleet, "usage") and fleet.message:find("^which hosts") then
    for _, word in ipairs(o.rest) do
      local host, path = word:match("^([%w@._-]+):(.*)$")
      if host then
        misuse("%s: which hosts? -w names them, and paths have none in front: -w %s ... %s", verb,
          errors.excerpt(host), errors.excerpt(path == "" and "./" or path))
      end
    end
  end
  error(fleet, 0)
end

---@param verb "put"|"get"|"sync"
---@param help string
---@param args string[]
---@return integer exit code
function M.run(verb, help, args)
  local o = parse(verb, args)
  if o.help then
    io.stdout:write(help)
    return 0
  end
  local from, to = operands(o, verb)
  local printer = printer_for(o)
  local fleet = fleet_of(o, verb)
  if o.flat and #fleet > 1 then misuse("get: --flat is for one host, and these are %d", #fleet) end
  if verb == "put" and from == "-" then from = from_stdin(fleet) end
  return fleet_run.go(o, {
    op = verb, printer = printer, code = code_of(o), prepare = prepare_copy(o, verb, from, to),
  }, fleet)
end

return M
