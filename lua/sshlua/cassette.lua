--- Cassettes: the steps of a run are recorded in a file, in a journal's words, and played without any host. What
--- is not on the cassette fails; so does what was recorded and is not played. docs/testing.md.

local Result = require("sshlua.result").Result
local command = require("sshlua.command")
local connect = require("sshlua.connect")
local core = require("sshlua.core")
local channels = require("sshlua.cassette_channel")
local entry = require("sshlua.journal_entry")
local errors = require("sshlua.errors")
local files = require("sshlua.cassette_files")
local fresh = require("sshlua.fresh")
local here = require("sshlua.transfer_local")
local journal_file = require("sshlua.journal_file")
local lazy = require("sshlua.lazy")
local mode_of = require("sshlua.cassette_mode")
local names = require("sshlua.transfer_names")
local play = require("sshlua.cassette_play")
local recording = require("sshlua.cassette_record")
local scope = require("sshlua.task.scope")
local settings = require("sshlua.settings")
local secret = require("sshlua.secret")
local steps = require("sshlua.steps")
local talk = require("sshlua.cassette_talk")
local tape_of = require("sshlua.cassette_tape")
local task = require("sshlua.task")
local words_of = require("sshlua.cassette_words")

local M = { mode = mode_of.of }

local unpack = table.unpack or unpack -- luacheck: ignore 143

local HINT = "if the change is meant, SSHLUA_CASSETTE=record records it anew"

---@class sshlua.Cassette
---@field path string
---@field mode "record"|"replay"
---@field failure? sshlua.Error the first that makes the recording, or what is played, wrong
local Cassette = {}
Cassette.__index = Cassette

--- The first failure is kept: a script may catch it, and the run is wrong nevertheless.
local function fail(self, fields)
  fields.kind, fields.op = fields.kind or "config", "cassette"
  local err = errors.new(fields)
  self.failure = self.failure or err
  error(err, 0)
end

--- Steps --------------------------------------------------------------------------------------------------------------

local function start_line(self, h, number, verb, args)
  local line = entry.start(h, number, verb, args, self.alike)
  line.with = entry.with(args, h.defaults)
  line.content = files.content(verb, args)
  if settings.is_dry(h.defaults, { dry_run = entry.option(args, "dry_run") }) then
    line.digest, line.with.dry_run = line.digest .. " dry", "true"
  end
  return entry.map(line, self.alike)
end

function Cassette:refuse(name, verb)
  fail(self, { host = name, reason = "unrecordable",
    message = ("%s cannot be recorded on a cassette"):format(verb),
    hint = "what can is in docs/testing.md; the rest needs hosts" })
end

local function next_number(self, name)
  self.counts[name] = (self.counts[name] or 0) + 1
  return self.counts[name]
end

local function record(self, h, verb, args, go)
  local line = start_line(self, h, next_number(self, entry.name_of(h)), verb, args)
  self.file:commit(line)
  local before = core.now()
  local r = task.pack(pcall(go))
  local finish = entry.finish(line, r[1], r[2], core.now() - before)
  local result = r[1] and r[2] or errors.is(r[2]) and r[2].result
  if Result.is(result) then
    local ok, list = pcall(files.collect, verb, args, result)
    if not ok then
      if errors.is(list) then self.failure = self.failure or errors.wrap(list, { host = h.name }) end
      error(list, 0)
    end
    finish.arrived, finish.timing = list, result.timing
  end
  self.steps = self.steps + 1
  scope.shield(self.file.commit, self.file, entry.map(finish, self.alike))
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

--- Nothing else of that host is played after its first failure.
local function stop(self, h, fields)
  fields.host, fields.hint = h.name, HINT
  local _, err = pcall(fail, self, fields)
  local name = entry.name_of(h)
  self.stopped[name] = self.stopped[name] or err
  error(err, 0)
end

function Cassette:unrecorded(h, line)
  stop(self, h, { reason = "unrecorded", message = self.tape:problem(line) })
end

--- Other tasks may have to play theirs first, as when it was recorded. Who gives up meanwhile hears what was missing.
local function wait_for_turn(self, h, line)
  local pause, till = 0.002, core.now() + self:patience()
  local step, later = self.tape:take(line)
  while not step and later and core.now() < till do
    local ok, err = pcall(scope.sleep, pause)
    if not ok then
      pcall(self.unrecorded, self, h, line)
      error(err, 0)
    end
    pause = math.min(pause * 2, 0.05)
    step, later = self.tape:take(line)
  end
  return step
end

--- It was cancelled when it was recorded: whoever did that does it again.
local function wait_for_cancellation(self, h, finish, line)
  local seconds = (type(finish.seconds) == "number" and finish.seconds or 0) + 30
  scope.sleep(seconds)
  fail(self, { host = h.name, reason = "unrecorded",
    message = ("%s was cancelled when it was recorded, and is not any more"):format(entry.label(line)), hint = HINT })
end

local function feed_sink(h, verb, args, value)
  if verb ~= "run" and verb ~= "read" then return end
  local sink = command.sink(entry.option(args, "sink") or h.defaults.sink)
  if not sink then return end
  local r = type(value) == "table" and value or { stdout = value }
  if type(r.stdout) == "string" and r.stdout ~= "" then sink(r.stdout, "stdout") end
  if type(r.stderr) == "string" and r.stderr ~= "" then sink(r.stderr, "stderr") end
end

--- What a step gave, given again.
local function give(self, h, verb, args, step)
  scope.sleep(0) -- as a verb does: others get their turn
  local finish = entry.map(step.finish, self.unlike)
  if finish.error and finish.error.kind == "cancelled" then wait_for_cancellation(self, h, finish, step.start) end
  local r = task.pack(pcall(entry.replay, finish, h, args))
  local result = r[1] and r[2] or errors.is(r[2]) and r[2].result or nil
  if Result.is(result) then result.timing = finish.timing end
  feed_sink(h, verb, args, result)
  if type(args[2]) == "string" and Result.is(result) then
    files.deliver(finish.arrived or {}, result, args[2])
  end
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

local function replay(self, h, verb, args)
  local stopped = self:stopped_of(h)
  if stopped then error(stopped, 0) end
  local line = start_line(self, h, 0, verb, args)
  local step = wait_for_turn(self, h, line)
  if not step then self:unrecorded(h, line) end
  return give(self, h, verb, args, step)
end

--- Channels -----------------------------------------------------------------------------------------------------------

--- Verbs that hand out something which goes on: what passes their channels is on the cassette.
local living = { spawn = true, shell = true, device = true, tail = true, session = true, dial = true }

local NOTHING = { n = 0 }

--- A host that could not be reached is a step as well.
local function record_open(self, use, target, open)
  local before = core.now()
  local ok, real = pcall(open, target)
  if not ok then
    if not errors.is(real, "usage") then
      local line = start_line(self, use.host, next_number(self, entry.name_of(use.host)), "connect", NOTHING)
      self.file:append(line)
      self:ended(line, {}, real, core.now() - before)
    end
    error(real, 0)
  end
  if use.verb ~= "session" then return recording.session(self, use, real) end
  self.sessions[real] = self.sessions[real] or recording.session(self, use, real) -- the same one, whoever asks
  return self.sessions[real]
end

local function play_open(self, use, target, open)
  local h, name = use.host, entry.name_of(use.host)
  local stopped, known = self:stopped_of(h), self.shared[name]
  if stopped then error(stopped, 0) end
  local is_shared = use.verb == "session" and open == connect.shared
  if is_shared and known and known:is_alive() then return known end
  local step = self.tape:take(start_line(self, h, 0, "connect", NOTHING))
  if step then give(self, h, "connect", NOTHING, step) end
  local s = play.session(self, use, target)
  if is_shared then self.shared[name] = s end
  self.sessions[name] = self.sessions[name] or setmetatable({}, { __mode = "k" })
  self.sessions[name][s] = true
  return s
end

local function session_of(self, use, target, open)
  return (self.mode == "record" and record_open or play_open)(self, use, target, open)
end

function Cassette:words() return words_of.of_channel(self.alike, self.unlike) end

--- For recording.
function Cassette:began(use, request, words)
  local line = channels.line(use, next_number(self, entry.name_of(use.host)), request, words)
  self.file:append(line)
  line.began = core.now()
  return line
end

function Cassette:open(channel) self.channels[#self.channels + 1] = channel end

function Cassette:ended(line, more, failure, seconds)
  if self.closing then return end
  local err = failure and errors.from(failure)
  local finish = entry.map(entry.finish(line, not err, err, seconds or core.now() - line.began), self.alike)
  for name, value in pairs(more) do finish[name] = value end
  self.steps = self.steps + 1
  self.file:append(finish)
end

function Cassette:too_much(h, size)
  if self.failure then return end
  pcall(fail, self, { kind = "limit", host = h.name,
    message = ("%d bytes have passed a channel: a cassette takes %d"):format(size, talk.MAX),
    hint = "send and read less in a run that is recorded, or test it on a throwaway fleet" })
end

--- For playing.
function Cassette:request(use, request, words) -- luacheck: ignore 212
  return channels.line(use, 0, request, words)
end

function Cassette:take(h, line)
  local stopped = self:stopped_of(h)
  if stopped then error(stopped, 0) end
  return self.tape:take(line)
end

function Cassette:patience() return self.tape.seconds + 2 end

function Cassette:stopped_of(h) return self.stopped[entry.name_of(h)] end

function Cassette:unsaid(h, what)
  stop(self, h, { reason = "unrecorded", message = ("not on the cassette %s: %s"):format(self.path, what) })
end

function Cassette:unreadable(h, what)
  local _, err = pcall(stop, self, h, { message = ("%s: %s"):format(self.path, what) })
  return err
end

function Cassette:error_of(step, h)
  local _, err = pcall(entry.replay, entry.map(step.finish, self.unlike), h, NOTHING)
  return err
end

--- Did that host's server not take the variable?
function Cassette:refuses(h, name) return self.tape:refuses(entry.name_of(h), name) end

--- steps.keeper while a cassette is open.
function Cassette:step(h, verb, args, go, alive, view)
  if alive then
    if not living[verb] then self:refuse(h.name, verb) end
    local use = { host = h, verb = verb, args = args }
    view.way = function(target) return session_of(self, use, target, connect.shared) end
    return go()
  end
  if verb == "save" then return go() end -- writes a file of this machine, and asks nobody
  if self.mode == "record" then return record(self, h, verb, args, go) end
  return replay(self, h, verb, args)
end

--- Opening and closing ------------------------------------------------------------------------------------------------

local function open_recording(self)
  local parent = self.path:match("^(.*[^/])/+[^/]*$")
  if parent then here.make_parents(parent) end
  self.temporary, self.counts, self.steps = names.temporary(self.path), {}, 0
  self.file = journal_file.open(self.temporary)
  self.file:commit({ type = "cassette", v = tape_of.VERSION, at = os.time(), by = "sshlua " .. core.about().version })
end

local function open_tape(self)
  self.tape, self.stopped = tape_of.load(self.path), {}
end

local function drop(self)
  self.file:close()
  os.remove(self.temporary)
end

local function keep(self)
  self.file:commit({ type = "cassette_end", steps = self.steps, at = os.time() })
  self.file:close()
  local ok, problem = os.rename(self.temporary, self.path)
  if ok then return end
  os.remove(self.temporary)
  errors.raise({ kind = "io", op = "cassette", message = problem })
end

--- connect.guard: a session by hand is one of ours; in playing there is no connection, whoever wants it.
local function guard_of(self)
  return function(target, verb)
    local h = { name = target.name, target = target, defaults = {} }
    if verb == "connect" then
      return session_of(self, { host = h, verb = "session", args = NOTHING }, target, connect.open)
    end
    if self.mode == "record" then return nil end
    if verb ~= "close" then self:refuse(target.name, "a connection by hand") end
    for s in pairs(self.sessions[entry.name_of(h)] or {}) do s:close() end
    return true
  end
end

--- In playing a secret is its name: nobody is asked.
local function stand_in_of(self)
  if self.mode == "record" then return nil end
  local known = {}
  return function(name)
    known[name] = known[name] or core.secret(name, "********")
    return known[name]
  end
end

--- What never came may have been waiting for what was never sent: then that is what is wrong.
local function explain(self, err)
  local left = errors.is(err) and self.tape:left_over()
  if not left then return err end
  if err.kind == "timeout" or err.kind == "channel" then err.hint = left end
  local in_vain = err.message:find("^deadlock") or err.message:find("^timed out")
  if err.kind ~= "cancelled" or not in_vain then return err end
  return errors.new({ kind = "config", op = "cassette", reason = "unplayed", message = left, hint = HINT, cause = err })
end

local function finish(self, ok, err)
  if self.mode == "record" then
    for _, channel in ipairs(self.channels) do channel:finish() end
    self.closing = true
    if ok and not self.failure then return keep(self) end
    drop(self)
  end
  if self.failure then error(self.failure, 0) end
  if not ok then error(self.tape and explain(self, err) or err, 0) end
  local left = not self.unplayed and self.tape:left_over()
  if left then
    errors.raise({ kind = "config", op = "cassette", reason = "unplayed", message = left, hint = HINT })
  end
end

--- Runs fn() and records what it does with hosts, or plays what was recorded: then no host is needed, nor touched.
--- A run that fails is not kept. One cassette at a time.
---@param path string
---@param opts? sshlua.CassetteOptions
---@param fn fun(): ...
---@return any ... fn's results
function M.with(path, opts, fn)
  local self = setmetatable({ path = path, mode = M.mode(path, opts, 2) }, Cassette)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  if steps.keeper then errors.usage(2, "cassette: a journal or another cassette is open") end
  opts = opts or {}
  self.unplayed, self.channels, self.sessions, self.shared = opts.unplayed, {}, {}, {}
  self.alike, self.unlike = words_of.replacer(opts.replace), words_of.replacer(opts.replace, true)
  if self.mode == "record" then open_recording(self) else open_tape(self) end
  lazy.load("sshlua.elevate").forget()
  steps.install()
  steps.keeper = function(...) return self:step(...) end
  connect.guard, secret.stand_in, fresh.words = guard_of(self), stand_in_of(self), {}
  local r = task.pack(pcall(fn))
  steps.keeper, connect.guard, secret.stand_in, fresh.words = nil, nil, nil, nil
  lazy.load("sshlua.elevate").forget()
  scope.shield(finish, self, r[1], r[2])
  return unpack(r, 2, r.n)
end

return M
