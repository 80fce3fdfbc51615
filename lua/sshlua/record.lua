--- Recordings of terminals: asciicast v2 (a line of JSON that says what it is, a line for each event), a file for each
--- terminal, readable by its owner alone. Every event is handed to the system at once, so that a crash keeps what
--- came before it. Secrets are masked also when they come in pieces. Knows files and bytes; must not know channels.
---
---   local rec = record.open("casts/", { host = "sw1", cols = 80, rows = 24 })
---   rec:output(bytes); rec:input(bytes); rec:resize(100, 30); rec:close()

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local home = require("sshlua.home")
local options = require("sshlua.options")
local task = require("sshlua.task.core")
local tasks = require("sshlua.task")
local utf8_text = require("sshlua.utf8_text")

local M = {}

local await = task.await
local MODE_FILE, MODE_DIRECTORY = 384, 448 -- 0600, 0700
local NAMES_TRIED = 1000
local HOST_MAX = 200 -- bytes of a host's name in the name of a file

---@class sshlua.Recording
---@field path string
local Recording = {}
local recording_mt = { __index = Recording, __name = "sshlua.Recording" }

--- Where ----------------------------------------------------------------------------------------------------------

--- Where recordings are kept when nobody says where; nil without a home.
function M.directory()
  local base = os.getenv("XDG_STATE_HOME")
  if base and base:sub(1, 1) == "/" then return base .. "/sshlua/recordings" end
  local own = home.dir()
  return own and own .. "/.local/state/sshlua/recordings" or nil
end

local function fail(path, err, hint)
  errors.raise(errors.from(err, { op = "record", path = path, hint = hint }))
end

--- The directory and those above it, ours alone where they are new.
local function make_directory(path)
  local stat = core.fs_stat_sync(path)
  if stat and stat.type == "directory" then return end
  local above = path:match("^(.+)/[^/]+$")
  if above then make_directory(above) end
  local ok, err = core.fs_mkdir_sync(path, MODE_DIRECTORY)
  if ok then return end
  stat = core.fs_stat_sync(path) -- somebody else may have made it
  if not (stat and stat.type == "directory") then fail(path, err, "recordings go to a directory of their own") end
end

--- A directory for recordings, as option `record` wants it: made if need be, with a slash at its end. Raises kind io.
---@param path string
---@return string
function M.into(path)
  path = path:gsub("(.)/+$", "%1")
  make_directory(path)
  return path .. "/"
end

local function is_directory(path)
  if path:sub(-1) == "/" then return true end
  local stat = core.fs_stat_sync(path)
  return stat ~= nil and stat.type == "directory"
end

local function create(path)
  local file = await(core.fs_open, path, "wx", MODE_FILE)
  await(file.close, file)
end

local function new_name(dir, host)
  make_directory(dir)
  local stem = ("%s/%s-%s"):format(dir, (host or "host"):gsub("[^%w._-]", "_"):gsub("^[.-]", "_"):sub(1, HOST_MAX),
    os.date("!%Y%m%dT%H%M%SZ"))
  for i = 1, NAMES_TRIED do
    local path = ("%s%s.cast"):format(stem, i > 1 and "-" .. i or "")
    local ok, err = pcall(create, path)
    if ok then return path end
    if not (errors.is(err, "io") and err.name == "EEXIST") then
      error(errors.wrap(err, { op = "record", path = path }), 0)
    end
  end
  errors.raise({ kind = "io", op = "record", path = dir, message = "no free name for a recording in " .. dir })
end

local function place(where, host)
  if where == true then
    where = M.directory()
    if not where then
      errors.raise({ kind = "config", op = "record", message = "no home directory: where do recordings go?" })
    end
    return new_name(where, host)
  end
  if is_directory(where) then return new_name(where:gsub("(.)/+$", "%1"), host) end
  local ok, err = pcall(create, where)
  if ok then return where end
  local hint = errors.is(err) and err.name == "EEXIST" and "a recording is never written over: name another file" or nil
  error(errors.wrap(err, { op = "record", path = where, hint = hint }), 0)
end

--- Opening ----------------------------------------------------------------------------------------------------------

--- What the option `record` may be.
M.type = "boolean|string|table"

local record_options = { to = "boolean|string", input = "boolean" }

--- The option made uniform: nil, or { to =, input = }.
function M.check(given, level)
  if given == nil or given == false then return nil end
  if type(given) ~= "table" then given = { to = given } end
  options.check(given, record_options, level + 1)
  local to = given.to == nil and true or given.to
  if to == false then return nil end
  if type(to) == "string" and (to == "" or to:find("[%z\n]")) then
    errors.usage(level + 1, "option 'record': a file, or a directory with a slash at its end expected")
  end
  return { to = to, input = given.input }
end

---@class sshlua.RecordAbout
---@field host string
---@field cols? integer
---@field rows? integer
---@field term? string
---@field title? string default: the host
---@field plain? boolean there is no terminal: line ends are made such as one needs

local function new_stream(kind) return { kind = kind, mask = core.masker(), text = utf8_text.new() } end

--- A new recording; inside a task.
---@param given boolean|string|{ to?: boolean|string, input?: boolean } a file; a directory, where it gets a name; true:
--- the usual directory. input: what is sent is recorded, too
---@param about sshlua.RecordAbout
---@return sshlua.Recording
function M.open(given, about)
  local o = M.check(given, 2)
  local path = place(o.to, about.host)
  local file, problem = io.open(path, "ab")
  if not file then errors.raise({ kind = "io", op = "record", path = path, message = problem }) end
  file:setvbuf("no")
  local self = setmetatable({
    path = path, file = file, started = core.now(), wants_input = o.input, plain = about.plain,
    streams = { o = new_stream("o"), e = new_stream("o"), i = new_stream("i") },
  }, recording_mt)
  self:write_line(core.json_encode({
    version = 2, width = about.cols or 80, height = about.rows or 24, timestamp = os.time(),
    title = core.mask(about.title or about.host), env = { TERM = about.term or "xterm" },
  }))
  return self
end

--- The same for a terminal of a host, closed at the end of the run at the latest.
---@param pty table
---@param plain? boolean
function M.of_run(given, host, pty, title, plain)
  local self = M.open(given, {
    host = host, cols = pty.cols, rows = pty.rows, term = pty.term, title = title, plain = plain,
  })
  tasks.at_run_end(function() self:close() end)
  return self
end

--- Writing ----------------------------------------------------------------------------------------------------------

function Recording:write_line(text)
  local ok, problem = self.file:write(text, "\n")
  if ok then return end
  self.file:close()
  self.file = nil
  errors.raise({ kind = "io", op = "record", path = self.path,
    message = ("cannot record to %s: %s"):format(self.path, tostring(problem)) })
end

function Recording:event(kind, text)
  if text == "" or not self.file then return end
  self:write_line(("[%.6f, \"%s\", %s]"):format(core.now() - self.started, kind, core.json_encode(text)))
end

local function stream(self, name, bytes)
  if not self.file then return end
  local s = self.streams[name]
  self:event(s.kind, s.text(s.mask:feed(bytes)))
end

--- What the terminal was sent.
---@param bytes string
---@param name? "o"|"e" which of two outputs, whose bytes are not one text; default "o"
function Recording:output(bytes, name)
  if self.plain then bytes = bytes:gsub("\n", "\r\n") end
  stream(self, name or "o", bytes)
end

--- What was typed or sent; nothing unless the recording takes input. A secret is never written.
---@param bytes string|sshlua.Secret
function Recording:input(bytes)
  if not self.wants_input then return end
  if core.is_secret(bytes) then bytes = "********" end
  stream(self, "i", bytes)
end

---@param cols integer
---@param rows integer
function Recording:resize(cols, rows) self:event("r", ("%dx%d"):format(cols, rows)) end

--- Ends it. Idempotent.
function Recording:close()
  if not self.file then return end
  for _, name in ipairs({ "i", "e", "o" }) do
    local s = self.streams[name]
    local ok, err = pcall(self.event, self, s.kind, s.text(s.mask:finish(), true))
    if not ok then return error(err, 0) end
  end
  self.file:close()
  self.file = nil
end

return M
