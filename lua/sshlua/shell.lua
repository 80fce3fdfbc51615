--- Dialogues: the shell of a user, a device, any program that has a prompt. Knows prompts, pagers and echo; how text is
--- searched is in expect.lua, what terminals send in shell_text.lua, the terminal of a person in interact.lua.

local begin = require("sshlua.channel_start")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local expect = require("sshlua.expect")
local lazy = require("sshlua.lazy")
local listener = require("sshlua.shell_listen")
local options = require("sshlua.options")
local prompts = require("sshlua.shell_prompt")
local scope = require("sshlua.task.scope")
local shell_options = require("sshlua.shell_options")
local task = require("sshlua.task.core")
local text_of = require("sshlua.shell_text")

local M = {}

local await = task.await
local TIMEOUT = 30
local ECHO_SECONDS = 1
local LEARN_QUIET = 0.4
local PAGES_MAX = 100000
local PUT_MAX = 16384

---@class sshlua.Shell: sshlua.Listener
---@field banner string what came before the first prompt
---@field prompt any what it goes by; a learnt one is a pattern
---@field line string the prompt that came last
local Shell = {}
for name, fn in pairs(listener.Listener) do Shell[name] = fn end
local shell_mt = { __index = Shell, __name = "sshlua.Shell" }

function shell_mt:__tostring() return "sshlua.Shell: " .. self.host end

--- Opening ------------------------------------------------------------------------------------------------------------

local function set_prompt(self, prompt, level)
  self.prompt = prompt
  self.is_prompt = prompts.test(prompt, level + 1)
end

local function last_line(self) return (text_of.last_line(self:pending(), expect.END_LOOK_BACK)) end

--- Silence, then twice a newline: the line that stands there both times is the prompt.
local function learn(self, deadline)
  local before, banner, size
  for _ = 1, 6 do
    self:quiet(math.min(LEARN_QUIET, deadline - core.now()), deadline)
    if self.ended then self:fail_ended("learn its prompt", "open") end
    local line = last_line(self)
    if line:find("%S") and line == before and self:size() > size then
      set_prompt(self, text_of.prompt_pattern(line), 1)
      self.banner, self.line = banner, line
      self:take_all()
      return
    end
    before, size = line:find("%S") and line or nil, self:size()
    banner = banner or text_of.render(self:pending()):gsub("[^\n]*$", "")
    if core.now() >= deadline then break end
    self:send("\n")
  end
  local hint = "give the option prompt: a pattern, or false when there is none"
  self:fail_timeout("learn its prompt", "open", self.timeout, hint)
end

local function first_prompt(self)
  local deadline = core.now() + self.timeout
  if self.prompt == nil then return learn(self, deadline) end
  local m = self:wait(prompts.set(self), deadline)
  for _ = 1, 100 do -- pagers of a long banner
    if not (m and m.key) then break end
    self:consume(m)
    self:send(m.key)
    m = self:wait(prompts.set(self), deadline)
  end
  if m == "eof" then self:fail_ended("wait for the first prompt", "open") end
  if not m or m == "limit" then self:fail_timeout("wait for the first prompt", "open", self.timeout) end
  self.banner, self.line = text_of.render(self:consume(m)), m.line
end

--- Opens a dialogue and waits for its first prompt.
---@param session_of fun(): sshlua.Session asked when the options are good
---@param opts? sshlua.ShellOptions
---@return sshlua.Shell
function M.open(session_of, opts, level)
  level = (level or 1) + 1
  opts = shell_options.check(opts, level)
  local pty = opts.pty
  if pty == nil or pty == true then pty = { term = "vt100", cols = 511, rows = 1000 } end
  local cols = pty and (pty.cols or 80)
  local self = setmetatable({
    timeout = opts.timeout or TIMEOUT, newline = opts.newline or "\n",
    settle = opts.settle or 0.05, look_back = opts.look_back, max_buffer = opts.max_buffer or 8 * 1024 * 1024,
    cols = cols or nil, rows = pty and (pty.rows or 24), wrap = opts.wrap ~= false and cols or nil, banner = "",
  }, shell_mt)
  self.is_pager = prompts.pagers(opts.pager, level)
  if opts.profile then self:answers(opts.profile.answers, level) end
  if opts.prompt then set_prompt(self, opts.prompt, level) end
  local session = session_of()
  self.host, self.session = session.name, session
  local ok, err = pcall(function()
    self.ch = scope.deadline({
      seconds = self.timeout, host = self.host, op = "shell", phase = "channel",
      message = ("no shell within %g s"):format(self.timeout),
    }, begin.dialogue, session, opts.env, pty, opts.command)
    if opts.record then self.rec = lazy.load("sshlua.record").of_run(opts.record, self.host, pty) end
    self:listen()
    if opts.prompt ~= false then first_prompt(self) end
  end)
  if ok then return self end
  self:close()
  error(errors.wrap(err, { host = self.host, op = "shell", phase = "command" }), 0)
end

--- Talking ------------------------------------------------------------------------------------------------------------

--- Sends strings and secrets as they are, newlines included.
---@param ... string|sshlua.Secret
function Shell:send(...)
  for i = 1, select("#", ...) do
    local part = select(i, ...)
    if type(part) ~= "string" and not core.is_secret(part) then
      errors.usage(2, "send: string or secret expected, got %s", type(part))
    end
  end
  if self.closed then self:fail_ended("send", "send") end
  for i = 1, select("#", ...) do
    if self.rec then self.rec:input((select(i, ...))) end
    scope.deadline({
      seconds = self.timeout, host = self.host, op = "send", phase = "command",
      message = ("the other side takes no input for %g s"):format(self.timeout),
    }, await, self.ch.write, self.ch, (select(i, ...)))
  end
end

local function ignore() end

--- As send, without waiting until it has been taken: for what is short and gets an answer that is waited for. When the
--- other side has gone, or takes nothing, the wait for the answer will tell.
local function put(self, text)
  if self.closed then self:fail_ended("send", "send") end
  if self.ended or #text > PUT_MAX then return pcall(self.send, self, text) end
  if self.rec then self.rec:input(text) end
  self.ch:write(text, ignore)
end

--- As send; when the other side has gone its end will tell.
local function answer(self, text)
  if type(text) == "string" then return put(self, text) end
  local ok, err = pcall(self.send, self, text)
  if not ok and not (errors.is(err, "channel") and err.name == "EPIPE") then error(err, 0) end
end

local function output_of(self, raw, sent)
  local text = text_of.render(text_of.without_pagers(raw), self.wrap)
  if self.echo == false then
    if self.cols and text:sub(1, 1) == "\n" then text = text:sub(2) end -- what the line's end does
    return text
  end
  return text, text_of.after_echo(text, sent, function(before)
    if self.echo then return true end -- there is one: messages of a device may stand in front
    for line in before:gmatch("[^\n]+") do
      if line:find("%S") and not self.is_prompt(line) then return false end
    end
    return true
  end)
end

--- Lines that are answered from now on, before those that were before.
---@param answers table<string, string>|nil pattern -> what is sent
function Shell:answers(answers, level)
  self.is_pager = prompts.either(prompts.pagers(answers, (level or 1) + 1), self.is_pager)
end

--- The dialogue of one command up to the prompt behind it; returns its output.
local function converse(self, sent, what, deadline, seconds)
  local set, parts, kept = prompts.set(self), {}, 0
  for _ = 1, PAGES_MAX do
    local m = self:wait(set, deadline)
    if m == "eof" then self:fail_ended(what, "cmd", table.concat(parts)) end
    if not m then self:fail_timeout(what, "cmd", seconds, nil, table.concat(parts)) end
    if m == "limit" or kept + self:size() > self.max_buffer then self:fail_limit(what, "cmd") end
    if m.key then
      parts[#parts + 1] = self:consume(m) .. "\0"
      kept = kept + #parts[#parts]
      answer(self, m.key)
    else
      local text, at = output_of(self, table.concat(parts) .. self:before(m), sent)
      -- A prompt in front of the echo is an older one: what belongs to this command comes yet.
      local wait = not at and self.echo ~= false and sent:find("%S")
        and self:receive(math.min(ECHO_SECONDS, deadline - core.now()))
      if not wait then
        local before = self:consume(m)
        if at then
          self.echo = true
        elseif self.echo == nil and sent:find("%S") then
          self.echo = false
        end
        self.line = m.line
        return at and text:sub(at) or (output_of(self, table.concat(parts) .. before, sent))
      end
    end
  end
  self:fail_limit(what, "cmd")
end

--- Sends parts and waits for a prompt; returns what came before it. `sent` is what may be echoed, `what` names
--- it in errors; opts: timeout, prompt, answers.
function Shell:talk(parts, sent, what, opts)
  local done = self:turn(3)
  local is_prompt, is_pager = self.is_prompt, self.is_pager
  if opts.prompt then self.is_prompt = prompts.test(opts.prompt, 3) end
  if opts.answers then self:answers(opts.answers, 3) end
  local ok, out = pcall(function()
    local now = core.now() -- what nobody asked for is dropped; there was silence a moment ago as a rule
    if now - (self.silent_at or 0) > self.settle then self:quiet(0.001, now + 1) end
    self:take_all()
    if #parts == 1 and type(parts[1]) == "string" then
      put(self, parts[1])
    else
      self:send((table.unpack or unpack)(parts)) -- luacheck: ignore 143
    end
    local seconds = opts.timeout or self.timeout
    return converse(self, sent, what, core.now() + seconds, seconds)
  end)
  self.is_prompt, self.is_pager = is_prompt, is_pager
  done()
  if not ok then error(out, 0) end
  return (out:gsub("\n$", ""))
end

local cmd_options = { timeout = "seconds", prompt = "string|function|table|userdata", answers = "table" }

--- What is sent, what is echoed of it, and how errors name it.
local function line_parts(line, level)
  local parts = type(line) == "table" and line or { line }
  local plain, shown = {}, {}
  for i, part in ipairs(parts) do
    local is_secret = core.is_secret(part)
    plain[i] = is_secret and part:reveal() or part
    shown[i] = is_secret and "********" or part
    if type(plain[i]) ~= "string" or plain[i]:find("[\r\n%z]") then
      errors.usage(level + 1, "cmd: one line expected: a string, or a list of strings and secrets")
    end
  end
  if #parts == 0 then errors.usage(level + 1, "cmd: one line expected") end
  return parts, table.concat(plain), "'" .. errors.excerpt(table.concat(shown), 60) .. "'"
end

--- Sends a line and returns what comes up to the next prompt: without echo, prompt, pagers and control sequences, lines
--- joined that the terminal has broken, without the last newline.
---@param line string|(string|sshlua.Secret)[]
---@param opts? { timeout?: number, prompt?: any, answers?: table<string, string> } for this command: another
--- prompt, questions and what is sent
---@return string
function Shell:cmd(line, opts)
  opts = options.check(opts, cmd_options, 2)
  local parts, sent, what = line_parts(line, 2)
  if self.session.masked then sent = core.mask(sent) end -- as its echo on a cassette is
  if not self.is_prompt and not opts.prompt then
    errors.usage(2, "cmd: this shell has no prompt: use send and expect, or give the option prompt")
  end
  local all = {}
  for i, part in ipairs(parts) do all[i] = part end
  all[#all + 1] = self.newline
  if #all == 2 and type(all[1]) == "string" then all = { all[1] .. all[2] } end
  return self:talk(all, sent, what, opts)
end

---@class sshlua.Match
---@field text string what matched
---@field before string what came in front of it
---@field index integer which branch
---@field key any its text, pattern, function or object
---@field truncated? boolean more came in front than was kept
---@field [integer] any captures

local function act(self, m, set)
  if type(m) == "string" then return true, set[m] == true and m or set[m](self) end
  local action = m.branch.action
  local match = { text = self:text_at(m), index = m.branch.index, key = m.branch.key, truncated = self.truncated }
  for i, value in ipairs(m.captures) do match[i] = value end
  local before = self:consume(m)
  if #before > self.max_buffer then -- by what came last
    before, match.truncated = before:sub(-self.max_buffer), true
  end
  match.before = before:gsub(text_of.ERASE, "")
  if action == true then return true, match end
  if type(action) == "function" then
    local value = action(match, self)
    return value ~= nil, value
  end
  if action then answer(self, action) end
  return false
end

local expect_options = { timeout = "seconds", plain = "boolean" }

--- Waits for the first of several: a pattern, plain text ({ plain = "..." }), function(text) that returns where a match
--- begins and ends, or anything with find(text, init). One of them, a list of them or of { what, action }, or a table
--- [what] = action. Actions: true ends; a function is called with the match and the shell, may wait, and ends when it
--- returns something; a string or secret is sent. Without an end, waiting goes on. Also eof, timeout, limit = function.
---@param what any
---@param opts? { timeout?: number, plain?: boolean } seconds for all of it
---@return any what the last action returned; the match for true
function Shell:expect(what, opts)
  opts = options.check(opts, expect_options, 2)
  local set = expect.compile(what, opts.plain, 2)
  local seconds = opts.timeout or self.timeout
  local deadline = core.now() + seconds
  local done = self:turn(2)
  local r = task.pack(pcall(function()
    while true do
      local m = self:wait(set, deadline) or "timeout"
      if type(m) == "string" and not set[m] then
        if m == "eof" then self:fail_ended("expect " .. expect.describe(set), "expect") end
        self:fail_timeout("expect " .. expect.describe(set), "expect", seconds)
      end
      local over, value = act(self, m, set)
      if over then return value end
    end
  end))
  done()
  if not r[1] then error(r[2], 0) end
  return r[2]
end

--- Learns the prompt anew, after a command that has changed it for good.
function Shell:learn()
  local done = self:turn(2)
  local ok, err = pcall(learn, self, core.now() + self.timeout)
  done()
  if not ok then error(err, 0) end
end

--- Hands the terminal over to the person at it, until the shell ends or the escape key is typed; see interact.lua.
---@param opts? { escape?: string|false }
---@return "escape"|"eof"
function Shell:interact(opts)
  return require("sshlua.interact").run(self, opts, 2) -- loaded when a person talks
end

--- Tells the terminal its new size.
---@param cols integer
---@param rows integer
function Shell:resize(cols, rows)
  await(self.ch.resize, self.ch, cols, rows)
  if self.rec then self.rec:resize(cols, rows) end
  self.cols, self.rows = cols, rows
  if self.wrap then self.wrap = cols end
end

--- Ends the dialogue at once. Idempotent.
function Shell:close()
  self.closed = true
  if self.ch then self.session:_close_channel(self.ch) end
  if self.rec then self.rec:close() end
end
shell_mt.__close = Shell.close

return M
