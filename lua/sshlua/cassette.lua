--- Cassettes: the steps of a run are recorded in a file, in a journal's words, and played without any host. What
--- is not on the cassette fails; so does what was recorded and is not played. docs/testing.md.

local Result = require("sshlua.result").Result
local command = require("sshlua.command")
local connect = require("sshlua.connect")
local core = require("sshlua.core")
local dialogue = require("sshlua.cassette_dialogue")
local entry = require("sshlua.journal_entry")
local errors = require("sshlua.errors")
local files = require("sshlua.cassette_files")
local here = require("sshlua.transfer_local")
local journal_file = require("sshlua.journal_file")
local lazy = require("sshlua.lazy")
local names = require("sshlua.transfer_names")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")
local settings = require("sshlua.settings")
local steps = require("sshlua.steps")
local tape_of = require("sshlua.cassette_tape")
local task = require("sshlua.task")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

---@class sshlua.CassetteOptions
---@field mode? "record"|"replay"|"auto" auto (default): record when the file is missing; SSHLUA_CASSETTE says otherwise
---@field unplayed? boolean true: steps that were recorded need not all be played
---@field replace? table<string, string> text that differs in each run (a temporary directory) -> what stands for it
local cassette_options = { mode = "string", unplayed = "boolean", replace = "table" }

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

--- What differs in each run -------------------------------------------------------------------------------------------

local function replacer(map, back)
  local pairs_of = {}
  for text, name in pairs(map or {}) do pairs_of[#pairs_of + 1] = back and { name, text } or { text, name } end
  table.sort(pairs_of, function(a, b) return #a[1] > #b[1] or #a[1] == #b[1] and a[1] < b[1] end)
  return function(s)
    for _, pair in ipairs(pairs_of) do
      s = s:gsub(pair[1]:gsub("%W", "%%%0"), (pair[2]:gsub("%%", "%%%%")))
    end
    return s
  end
end

local function check_replace(map, level)
  for text, name in pairs(map or {}) do
    if type(text) ~= "string" or type(name) ~= "string" or text == "" or name == "" then
      errors.usage(level + 1, "option 'replace': a table of texts expected, { [directory] = \"<dir>\" }")
    end
  end
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

local function refuse(self, name, verb)
  fail(self, { host = name, reason = "unrecordable",
    message = ("%s cannot be recorded on a cassette"):format(verb),
    hint = "commands, transfers, state verbs, and cmd of shells and devices can; the rest needs hosts" })
end

local function record(self, h, verb, args, go)
  local name = entry.name_of(h)
  self.counts[name] = (self.counts[name] or 0) + 1
  local line = start_line(self, h, self.counts[name], verb, args)
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

local function unrecorded(self, h, line)
  fail(self, { host = h.name, reason = "unrecorded", message = self.tape:problem(line), hint = HINT })
end

--- Other tasks may have to play theirs first, as when it was recorded. Who gives up meanwhile hears what was missing.
local function wait_for_turn(self, h, line)
  local pause, till = 0.002, core.now() + self.tape.seconds + 2
  local step, later = self.tape:take(line)
  while not step and later and core.now() < till do
    local ok, err = pcall(scope.sleep, pause)
    if not ok then
      pcall(unrecorded, self, h, line)
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

local function replay(self, h, verb, args)
  local name = entry.name_of(h)
  if self.stopped[name] then error(self.stopped[name], 0) end
  local line = start_line(self, h, 0, verb, args)
  local step = wait_for_turn(self, h, line)
  if not step then
    local _, err = pcall(unrecorded, self, h, line)
    self.stopped[name] = err
    error(err, 0)
  end
  scope.sleep(0) -- as a verb does: others get their turn
  local finish = entry.map(step.finish, self.unlike)
  if finish.error and finish.error.kind == "cancelled" then wait_for_cancellation(self, h, finish, line) end
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

--- Opening is a step, and so is each verb of the dialogue.
local function hold_dialogue(self, h, verb, args, go)
  local name = entry.name_of(h)
  self.dialogues[name] = (self.dialogues[name] or 0) + 1
  local number, real = self.dialogues[name], nil
  self:step(h, verb, args, function()
    real = go()
    return true
  end)
  return dialogue.of(verb, number, real, function(what, list, fn) return self:step(h, what, list, fn) end,
    function(what) refuse(self, h.name, what) end)
end

--- steps.keeper while a cassette is open.
function Cassette:step(h, verb, args, go, alive)
  if alive and dialogue.knows(verb) then return hold_dialogue(self, h, verb, args, go) end
  if alive then refuse(self, h.name, verb) end
  if verb == "save" then return go() end -- writes a file of this machine, and asks nobody
  if self.mode == "record" then return record(self, h, verb, args, go) end
  return replay(self, h, verb, args)
end

--- Opening and closing ------------------------------------------------------------------------------------------------

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local modes = { record = true, replay = true, auto = true }

local function mode_of(path, opts, level)
  local mode = opts.mode
  if mode == nil then mode = os.getenv("SSHLUA_CASSETTE") end
  if mode == nil or mode == "" then mode = "auto" end
  if not modes[mode] then
    errors.usage(level + 1, "%s: record, replay or auto expected, got %s",
      opts.mode and "option 'mode'" or "SSHLUA_CASSETTE", errors.excerpt(mode, 40))
  end
  if mode == "auto" then return exists(path) and "replay" or "record" end
  return mode
end

--- Will it be recorded or replayed?
---@param path string
---@param opts? sshlua.CassetteOptions
---@return "record"|"replay"
function M.mode(path, opts, level)
  level = (level or 1) + 1
  opts = options.check(opts, cassette_options, level)
  if type(path) ~= "string" or path == "" then errors.usage(level, "cassette: file name expected") end
  check_replace(opts.replace, level)
  return (mode_of(path, opts, level))
end

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

local function guard_of(self)
  return function(target, verb)
    if verb or self.mode == "replay" then refuse(self, target.name, verb or "a connection by hand") end
  end
end

local function finish(self, ok, err)
  if self.mode == "record" then
    if ok and not self.failure then return keep(self) end
    drop(self)
  end
  if self.failure then error(self.failure, 0) end
  if not ok then error(err, 0) end
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
  self.dialogues, self.unplayed = {}, opts.unplayed
  self.alike, self.unlike = replacer(opts.replace), replacer(opts.replace, true)
  if self.mode == "record" then open_recording(self) else open_tape(self) end
  lazy.load("sshlua.elevate").forget()
  steps.install()
  steps.keeper = function(...) return self:step(...) end
  connect.guard = guard_of(self)
  local r = task.pack(pcall(fn))
  steps.keeper, connect.guard = nil, nil
  lazy.load("sshlua.elevate").forget()
  scope.shield(finish, self, r[1], r[2])
  return unpack(r, 2, r.n)
end

return M
