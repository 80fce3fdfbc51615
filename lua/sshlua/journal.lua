--- The journal: each step of each host is written down before it begins and when it has ended, so that a run that was
--- killed at any moment can go on: what was done is not done again, what may have been done is said. docs/journal.md.

local core = require("sshlua.core")
local entry = require("sshlua.journal_entry")
local errors = require("sshlua.errors")
local executor = require("sshlua.executor")
local hostset = require("sshlua.hostset")
local journal_file = require("sshlua.journal_file")
local options = require("sshlua.options")
local settings = require("sshlua.settings")
local steps = require("sshlua.steps")
local task = require("sshlua.task")

local M = {}

M.VERSION = 1

---@class sshlua.JournalOptions
---@field resume? boolean go on with a journal that is there
---@field only? "failed"|"ok"|"unreachable" fleet verbs leave the other hosts out
---@field unknown? "stop"|"again"|"done" what becomes of steps that were begun and not finished; default stop
---@field about? table kept in the first line: what is being run
local journal_options = { resume = "boolean", only = "string", unknown = "string", about = "table" }

local words = {
  only = { failed = true, ok = true, unreachable = true }, unknown = { stop = true, again = true, done = true },
}

--- The name a host has in the journal: as a host expression says it.
local function name_of(h)
  local said = h.target.said
  return hostset.format({ name = h.name, user = said.user, port = said.port })
end

M.name_of = name_of

--- Reading ----------------------------------------------------------------------------------------------------------

local function host_of(past, name)
  local one = past.hosts[name]
  if not one then
    one = { steps = {}, last = 0 }
    past.hosts[name] = one
    past.names[#past.names + 1] = name
  end
  return one
end

local take = {
  start = function(past, line)
    local one = host_of(past, line.host)
    one.steps[line.step] = { start = line }
    one.last = math.max(one.last, line.step)
  end,
  ["end"] = function(past, line)
    local step = host_of(past, line.host).steps[line.step]
    if step then step.finish = line end
  end,
  host = function(past, line) host_of(past, line.host).outcome = line end,
}

--- What a journal tells: hosts by name with their steps and outcomes.
---@param path string
---@return { head: table, hosts: table<string, table>, names: string[], size: integer }
function M.read(path)
  local lines, size = journal_file.read(path)
  local head = lines[1]
  if not head or head.type ~= "journal" then
    errors.raise({ kind = "config", op = "journal", message = path .. ": not a journal of sshlua" })
  end
  if head.v ~= M.VERSION then
    errors.raise({ kind = "config", op = "journal",
      message = ("%s: a journal of version %s; this is %d"):format(path, tostring(head.v), M.VERSION) })
  end
  local past = { head = head, hosts = {}, names = {}, size = size }
  for _, line in ipairs(lines) do
    local act = take[line.type]
    if act and type(line.host) == "string" and (line.type == "host" or type(line.step) == "number") then
      act(past, line)
    end
  end
  return past
end

local function state_of(step)
  if not step then return nil end
  return step.finish and step.finish.state or "unknown"
end

--- Does a host of a journal belong to `only`? One that was not reached has failed.
---@param one table|nil of M.read
---@param only string
---@return boolean
function M.belongs(one, only)
  local outcome = one and one.outcome
  local ok = outcome ~= nil and outcome.ok == true
  if only == "ok" then return ok end
  if only == "unreachable" then return outcome ~= nil and outcome.unreachable == true end
  return not ok
end

--- Steps ------------------------------------------------------------------------------------------------------------

local Journal = {}
Journal.__index = Journal

local function stop_host(one, h, fields)
  fields.kind, fields.host, fields.op = "config", h.name, "journal"
  one.stopped = errors.new(fields)
  error(one.stopped, 0)
end

local function label(line) return ("%s %s"):format(line.op, table.concat(line.argv, " ")) end

local function check_same(one, h, old, line)
  if old.start.digest == line.digest then return end
  stop_host(one, h, {
    reason = "mismatch",
    message = ("step %d is %s; in the journal it is %s"):format(line.step, errors.excerpt(label(line), 80),
      errors.excerpt(label(old.start), 80)),
    hint = "the script has changed before the place where it has to go on; begin a new journal",
  })
end

local function unknown_step(one, h, line)
  stop_host(one, h, {
    reason = "unknown",
    message = ("unknown: step %d (%s) was begun and not finished"):format(line.step, errors.excerpt(label(line), 80)),
    hint = "look at the host; then --resume with --unknown again, or --unknown done. Steps marked safe are run again",
  })
end

--- What the journal knows about this step: true and what it gave, or false when it has to be run.
function Journal:_known(one, h, line)
  local old = one.steps[line.step]
  local state = state_of(old)
  local last = line.step == one.last
  if not state or (state == "failed" and last) then return false end
  check_same(one, h, old, line)
  if state == "unknown" and (last or not old.finish) then
    if line.safe or self.unknown == "again" then return false end
    if self.unknown ~= "done" then unknown_step(one, h, line) end
    return true, { state = "done", result = true, code = 0, fields = { assumed = true } }
  end
  return true, old.finish
end

local function is_safe(self, args)
  for i = 1, args.n do
    local value = args[i]
    if type(value) == "table" and not getmetatable(value) and value.safe ~= nil then return value.safe end
  end
  return self.defaults and self.defaults.safe or nil
end

--- A dry run does nothing that could be gone on with.
local function is_dry(h, args)
  for i = 1, args.n do
    local value = args[i]
    if type(value) == "table" and not getmetatable(value) and value.dry_run ~= nil then return value.dry_run end
  end
  if h.defaults.dry_run ~= nil then return h.defaults.dry_run end
  return settings.dry_run
end

--- steps.keeper of an open journal.
function Journal:step(h, verb, args, go, alive)
  if is_dry(h, args) then return go() end
  local name = name_of(h)
  local one = host_of(self.past, name)
  if one.stopped then error(one.stopped, 0) end
  one.now = (one.now or 0) + 1
  local line = {
    type = "start", host = name, step = one.now, op = verb, argv = entry.argv(args), at = os.time(),
    digest = entry.digest(verb, args, h.defaults), safe = is_safe(h, args) and true or nil,
  }
  local known, old = self:_known(one, h, line)
  if known then return entry.replay(old, h, args) end
  self.file:commit(line)
  if alive then return go() end -- nobody can say when it has ended
  local before = core.now()
  local r = task.pack(pcall(go))
  local finish = entry.outcome(r[1], r[2])
  finish.type, finish.host, finish.step, finish.at = "end", name, line.step, os.time()
  finish.seconds = finish.seconds or core.now() - before
  self.file:commit(finish)
  if not r[1] then error(r[2], 0) end
  return (table.unpack or unpack)(r, 2, r.n) -- luacheck: ignore 143
end

--- Hosts ------------------------------------------------------------------------------------------------------------

local on_the_way = { resolve = true, connect = true, greeting = true, handshake = true, hostkey = true, auth = true }

--- How a host's function ended, for --only.
function Journal:_ended(h, r)
  if r:status() == "skipped" then return end
  local err = errors.is(r.err) and r.err or nil
  self.file:commit({
    type = "host", host = name_of(h), ok = r.ok, status = r:status(), at = os.time(), error = r:problem(),
    unreachable = err and (on_the_way[err.kind] or on_the_way[err.phase]) and true or nil,
  })
end

--- Open and close -----------------------------------------------------------------------------------------------------

local open

--- From now on the steps of all hosts are written down, until the run ends. One journal at a time.
---@param path string
---@param opts? sshlua.JournalOptions
function M.open(path, opts, level)
  level = (level or 1) + 1
  opts = options.check(opts, journal_options, level)
  if type(path) ~= "string" or path == "" then errors.usage(level, "journal: file name expected") end
  for name, known in pairs(words) do
    if opts[name] and not known[opts[name]] then
      local list = {}
      for word in pairs(known) do list[#list + 1] = word end
      table.sort(list)
      errors.usage(level, "option '%s': %s expected, got \"%s\"", name, table.concat(list, ", "),
        errors.excerpt(opts[name], 40))
    end
    if opts[name] and not opts.resume then errors.usage(level, "option '%s' goes with resume", name) end
  end
  if open then errors.usage(level, "journal: %s is open already", open.path) end
  local past = opts.resume and M.read(path) or { hosts = {}, names = {} }
  local self = setmetatable({ path = path, past = past, unknown = opts.unknown, only = opts.only }, Journal)
  self.file = journal_file.open(path, past.size)
  self.file:commit(opts.resume and { type = "resume", at = os.time() }
    or { type = "journal", v = M.VERSION, at = os.time(), about = opts.about })
  open = self
  steps.install()
  steps.keeper = function(h, verb, args, go, alive) return self:step(h, verb, args, go, alive) end
  executor.observer = {
    wants = function(h) return not self.only or M.belongs(past.hosts[name_of(h)], self.only) end,
    ended = function(h, r) self:_ended(h, r) end,
  }
  task.at_run_end(M.close)
end

--- Ends the journal that is open.
function M.close()
  if not open then return end
  open.file:close()
  open, steps.keeper, executor.observer = nil, nil, nil
end

return M
