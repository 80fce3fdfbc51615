--- The journal: each step of each host is written down before it begins and when it has ended, so that a run that was
--- killed at any moment can go on: what was done is not done again, what may have been done is said. docs/journal.md.

local core = require("sshlua.core")
local entry = require("sshlua.journal_entry")
local errors = require("sshlua.errors")
local executor = require("sshlua.executor")
local journal_file = require("sshlua.journal_file")
local options = require("sshlua.options")
local past_of = require("sshlua.journal_past")
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

M.name_of = entry.name_of
local name_of = entry.name_of

--- Reading ----------------------------------------------------------------------------------------------------------

--- What a journal tells: hosts by name with their steps and outcomes.
---@param path string
---@return sshlua.Past
function M.read(path) return past_of.read(path, "journal", M.VERSION) end

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

local function check_same(one, h, old, line)
  if old.start.digest == line.digest then return end
  stop_host(one, h, {
    reason = "mismatch",
    message = ("step %d is %s; in the journal it is %s"):format(line.step, entry.label(line), entry.label(old.start)),
    hint = "the script has changed before the place where it has to go on; begin a new journal",
  })
end

local function unknown_step(one, h, line)
  stop_host(one, h, {
    reason = "unknown",
    message = ("unknown: step %d (%s) was begun and not finished"):format(line.step, entry.label(line)),
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

--- A dry run does nothing that could be gone on with.
local function is_dry(h, args) return settings.is_dry(h.defaults, { dry_run = entry.option(args, "dry_run") }) end

--- steps.keeper of an open journal.
function Journal:step(h, verb, args, go, alive)
  if is_dry(h, args) then return go() end
  local name = name_of(h)
  local one = past_of.host(self.past, name)
  if one.stopped then error(one.stopped, 0) end
  one.now = (one.now or 0) + 1
  local line = entry.start(h, one.now, verb, args)
  local safe = entry.option(args, "safe")
  if safe == nil then safe = h.defaults.safe end
  line.safe = safe and true or nil
  local known, old = self:_known(one, h, line)
  if known then return entry.replay(old, h, args) end
  self.file:commit(line)
  if alive then return go() end -- nobody can say when it has ended
  local before = core.now()
  local r = task.pack(pcall(go))
  self.file:commit(entry.finish(line, r[1], r[2], core.now() - before))
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
  if steps.keeper then errors.usage(level, "journal: not while a cassette is recorded or played") end
  local past = opts.resume and M.read(path) or past_of.new()
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
