--- Starting commands that need a dialogue first: as another user (sudo, su, doas), or with variables that are secrets.
--- The dialogue is over before the command has begun; from there on its channel is like any other.
---
--- A password is sent once, as the answer to a prompt that stands alone at the end of what the program has said between
--- our two marks (see privilege.lua). What others print, before or after, is never answered.

local channel_front = require("sshlua.channel_front")
local command = require("sshlua.command")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local log = require("sshlua.log")
local options = require("sshlua.options")
local gate = require("sshlua.password_gate")
local privilege = require("sshlua.privilege")
local scope = require("sshlua.task.scope")
local secret = require("sshlua.secret")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local TALK_MAX = 16384
local ENV_SECONDS = 30
local TRY_HOSTS = 3

local prepared = {} -- "sudo root" -> it has worked on a host

--- Passwords --------------------------------------------------------------------------------------------------------

--- Asks for the password that sudo will want, now, and returns it: for --ask-sudo. `opts` as ssh.secret.
---@param opts? sshlua.SecretOptions
---@return sshlua.Secret
function M.ask_sudo(opts)
  return secret.get("sudo", opts or { prompt = "[sudo] password: " })
end

--- Talking ----------------------------------------------------------------------------------------------------------

local Talk = {}
Talk.__index = Talk

local function visible(text)
  text = text:gsub("\r", ""):gsub("^%s+", ""):gsub("%s+$", "")
  return text
end

--- Where a mark stands on a line of its own: the bytes before it and those behind.
local function split_at(text, mark)
  local from, to = text:find("\r?\n" .. mark .. "\r?\n")
  if from then return text:sub(1, from - 1), text:sub(to + 1) end
end

--- What the program has said: everything behind the first mark, without the prompts that were answered.
function Talk:said()
  local _, behind = split_at(self.heard, self.plan.marks.first)
  return visible((behind or self.heard):gsub("%d" .. self.plan.marks.prompt:sub(2), ""))
end

--- Its last two lines as one.
local function last_words(text)
  local before, last = text:match("([^\n]*)\n([^\n]*)$")
  return errors.excerpt(before and before .. "; " .. last or text, 200)
end

--- Waits within what is left of its time. The time people take does not count.
function Talk:await(...)
  local before = core.now()
  local plan = self.plan
  local ok, result = pcall(scope.deadline, {
    seconds = math.max(self.left, 0), host = self.host, op = plan.program, phase = "command",
    message = ("%s had not started the command within %g s"):format(plan.program or "sh", plan.seconds),
  }, await, ...)
  self.left = self.left - (core.now() - before)
  if ok then return result end
  local said = self:said()
  if errors.is(result, "timeout") and said ~= "" then result.hint = "it said last: " .. last_words(said) end
  error(result, 0)
end

--- More of what it says; nil at the end.
function Talk:listen()
  local bytes = self:await(self.ch.read, self.ch, self.stream)
  if bytes then
    self.heard = self.heard .. bytes
    if #self.heard > TALK_MAX then
      errors.raise({ kind = "limit", host = self.host, op = self.plan.program,
        message = ("more than %d bytes were said before the command"):format(TALK_MAX) })
    end
  end
  return bytes
end

-- What asks for a password, on the last line, with nothing behind it. Between our marks only the program itself speaks.
local prompts = {
  sudo = function(line, marks) return line == marks.prompt end,
  su = function(line) return line:find("^[Pp]assword:%s?$") ~= nil end,
  doas = function(line) return line:find("^doas %([^()]*%) password:%s?$") ~= nil end,
}

function Talk:is_asked()
  local _, behind = split_at(self.heard, self.plan.marks.first)
  if not behind or #self.heard == self.answered then return false end
  local line = behind:match("[^\n\r]*$")
  return prompts[self.plan.program](line, self.plan.marks)
end

local wrong = { "incorrect password", "[Aa]uthentication fail", "[Ss]orry, try again", "no password was provided" }

local function is_wrong(said)
  for _, pattern in ipairs(wrong) do
    if said:find(pattern) then return true end
  end
  return false
end

function Talk:refused()
  local plan, said = self.plan, self:said()
  local is_password = self.asked_again or (self.answered and is_wrong(said))
  local words = last_words(said)
  local err = {
    kind = "auth", host = self.host, op = plan.program, name = is_password and "WRONG_PASSWORD" or "REFUSED",
    message = is_password and ("%s: the password is wrong"):format(plan.program)
      or ("%s did not start the command%s"):format(plan.program, words ~= "" and ": " .. words or ""),
  }
  if self.missing then
    err.name, err.message = "NO_PROGRAM", ("there is no %s on this host"):format(plan.program)
    err.hint = "install it, or become the user in another way: sudo, su, doas"
  end
  return errors.new(err)
end

--- Until the command has begun. Returns what had come before the first mark and behind the last one; or nil when the
--- program has ended. Raises when it asks a second time.
function Talk:hear_out(answer)
  local marks = self.plan.marks
  while true do
    local before, rest = split_at(self.heard, marks.begun)
    if before then
      local first = split_at(before, marks.first)
      self.heard = before
      return first or "", rest
    end
    if split_at(self.heard, marks.missing) then
      self.missing = true
      error(self:refused(), 0)
    end
    if self.plan.program and self:is_asked() then
      if self.answered then
        self.asked_again = true
        error(self:refused(), 0)
      end
      return answer(self)
    end
    if not self:listen() then return nil end
  end
end

--- Sends the password and hears what comes of it.
local function send_password(self, password)
  self.answered = #self.heard
  self:await(self.ch.write, self.ch, core.secret(password:name(), password, "\n"))
  local before, rest = self:hear_out()
  if not before then error(self:refused(), 0) end
  return before, rest
end

local function answer(self)
  local program = self.plan.program
  local password = gate.password(program, self.plan.password, self.host)
  return gate.try(password, program, self.host, send_password, self, password)
end

--- Starting ---------------------------------------------------------------------------------------------------------

-- RFC 4254 8: no output processing, no echo, no signals by bytes, and no change to what comes in. Lines stay until the
-- password has been read.
local OUR_TERMINAL = "\70\0\0\0\0" .. "\53\0\0\0\0" .. "\50\0\0\0\0" .. "\38\0\0\0\0" .. "\0"

function Talk:send_secrets(secrets, names)
  for _, name in ipairs(names) do
    self:await(self.ch.write, self.ch, core.secret(name, secrets[name], "\n"))
  end
end

local function closing(session, ch, fn, ...)
  local r = task.pack(pcall(fn, ...))
  if not r[1] then
    session:_close_channel(ch)
    error(r[2], 0)
  end
  return r[2], r[3]
end

local function told(self)
  local said = self:said()
  if said ~= "" and log.wants(2) then
    log.emit(2, self.host, self.plan.program, { said = errors.excerpt(said:gsub("\n", " "), 200) })
  end
end

local function talk_on(session, plan, raw, stream)
  return setmetatable({
    plan = plan, ch = raw, host = session.name, stream = stream, heard = "", left = plan.seconds,
  }, Talk)
end

--- One attempt; nil and the Talk when the program has ended without having asked.
local function attempt(session, plan, launch)
  plan.marks = privilege.marks()
  local pty = plan.framed and { modes = OUR_TERMINAL } or plan.pty
  local raw = launch(session, nil, pty, function() return privilege.text(plan) end)
  local talk = talk_on(session, plan, raw, plan.pty and 0 or 1)
  local before, rest = closing(session, raw, talk.hear_out, talk, answer)
  if not before then
    session:_close_channel(raw)
    return nil, talk
  end
  told(talk)
  local _, secrets, names = privilege.split_env(plan.env)
  closing(session, raw, talk.send_secrets, talk, secrets, names)
  local mark
  if plan.framed then mark = plan.input and plan.marks.ended end
  return channel_front.new(raw, talk.stream, before .. rest, mark)
end

-- Refusals that a terminal may cure. The command has not begun, so a second attempt repeats nothing.
local function wants_terminal(talk)
  local program, said = talk.plan.program, talk:said():lower()
  if program == "doas" then return said:find("auth", 1, true) ~= nil or said:find("tty", 1, true) ~= nil end
  return said:find("tty", 1, true) ~= nil or said:find("terminal", 1, true) ~= nil
end

local function refuse_secrets(name)
  errors.raise({
    kind = "usage", message = ("option 'env': the secret %s cannot be sent: the command has a terminal"):format(name),
    hint = "run it without pty, or let the server accept the variable (AcceptEnv)",
  })
end

local function privileged(session, text, opts, input, launch)
  local plan = privilege.plan(opts)
  local _, _, names = privilege.split_env(opts.env)
  if opts.pty and names[1] then refuse_secrets(names[1]) end
  plan.text, plan.cwd, plan.env, plan.input = text, opts.cwd, opts.env, input
  session.needs_terminal = session.needs_terminal or {} -- learnt: program -> true
  local known = session.needs_terminal
  plan.framed = not opts.pty and known[plan.program] or false
  plan.pty = opts.pty or plan.framed
  local ch, talk = attempt(session, plan, launch)
  if not ch and not plan.pty and wants_terminal(talk) then
    plan.pty, plan.framed = true, true
    ch, talk = attempt(session, plan, launch)
    known[plan.program] = ch ~= nil or nil
  end
  if ch then return ch end
  error(talk:refused(), 0)
end

--- Variables that are secrets go to those the server accepts as all do, else by a sh that reads them first.
local function with_secrets(session, text, opts, launch)
  local plan, names, secrets = { seconds = ENV_SECONDS }, {}, nil
  local raw = launch(session, opts.env, opts.pty, function(refused)
    local plain
    plain, secrets, names = privilege.split_env(refused)
    local line = command.wrap(text, opts.cwd, plain)
    if not names[1] then return line end
    if opts.pty then refuse_secrets(names[1]) end
    plan.marks = privilege.marks()
    plan.marks.first = plan.marks.begun
    return privilege.with_secrets(line, names, secrets, plan.marks)
  end)
  if not names[1] then return raw end
  local talk = talk_on(session, plan, raw, 1)
  local before, rest = closing(session, raw, talk.hear_out, talk)
  if not before then
    session:_close_channel(raw)
    errors.raise({
      kind = "channel", host = session.name, op = "env",
      message = ("the secret %s could not be sent: the host did not run our sh"):format(names[1]),
      hint = "the account may have a forced command or another shell; give the secret by stdin instead",
    })
  end
  closing(session, raw, talk.send_secrets, talk, secrets, names)
  return channel_front.new(raw, 1, talk.heard .. rest)
end

--- Before many hosts are asked: tries on the first that answers whether the password is wanted, and right. Returns the
--- refusal, or nil. What is wrong with the hosts themselves is left for the verb to find.
---@param hosts sshlua.Host[]
---@param opts table the verb's
---@return sshlua.Error?
function M.prepare(hosts, opts)
  local plan = hosts[1] and privilege.plan(options.merge(hosts[1].defaults, opts))
  if not plan or #hosts < 2 or type(plan.password) == "function" then return nil end
  local key = plan.program .. " " .. plan.user
  for i = 1, prepared[key] and 0 or math.min(TRY_HOSTS, #hosts) do
    local h = hosts[i]
    local one = { [plan.program] = opts[plan.program], check = false, safe = true, timeout = opts.timeout, env = {} }
    local ok, err = pcall(h.run, h, { "true" }, one)
    if ok then
      prepared[key] = true
      return nil
    end
    if errors.is(err, "auth") and err.op == plan.program then return err end
    if not errors.is(err) or errors.is(err, "cancelled") or errors.is(err, "usage") then error(err, 0) end
  end
end

--- As if none had been tried: what was tried on hosts that are gone, or only played, says nothing about others.
function M.forget() prepared = {} end

--- What the other hosts get to hear after that.
---@param refusal sshlua.Error
---@param host string
---@return sshlua.Error
function M.not_tried(refusal, host)
  if refusal.host == host then return refusal end
  return errors.new({
    kind = "auth", host = host, op = refusal.op, name = refusal.name, cause = refusal,
    message = ("%s: not tried after the refusal on %s"):format(refusal.op, refusal.host),
  })
end

--- A channel with the command under way, as process.lua's own; `launch(session, env, pty, line)` makes channels.
---@param input boolean something will be written to the command
function M.start(session, text, opts, input, launch)
  if opts.sudo or opts.su or opts.doas then return privileged(session, text, opts, input, launch) end
  return with_secrets(session, text, opts, launch)
end

return M
