--- Proving who we are (RFC 4252): methods in the configured order, several factors, prompts that may wait. Errors say
--- what was tried and why each failed.

local lazy = require("sshlua.lazy")
local agent = lazy("sshlua.agent")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local home = require("sshlua.home")
local key_offers = require("sshlua.key_offers")
local log = require("sshlua.log")
local options = require("sshlua.options")
local secret = require("sshlua.secret")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local default_methods = { "publickey", "keyboard-interactive", "password" }
local PASSWORD_PROMPTS = 3
local ROUNDS_MAX = 50 -- of one keyboard-interactive attempt; a server could ask for ever

---@class sshlua.Attempt what one connection's authentication knows
---@field session userdata
---@field target table
---@field allowed? string methods that can continue; nil until the server has said so
---@field notes string[] what was tried
---@field used sshlua.Identity[] the keys that were accepted
---@field offers? sshlua.KeyOffers

local function note(self, label, why)
  local text = errors.is(why) and why.message or tostring(why)
  label = home.shorten(label)
  if text:sub(1, #label + 2) == label .. ": " then text = text:sub(#label + 3) end
  if errors.is(why) and why.name == "NEED_PASSPHRASE" then text = "passphrase needed" end
  text = label .. ": " .. text
  if not self.noted[text] then self.notes[#self.notes + 1] = text end
  self.noted[text] = true
  if errors.is(why) and not self.cause then self.cause = why end
end

--- After an attempt: what the server allows now, and its banner.
local function heard(self)
  local allowed, partial, banner = self.session:auth_state()
  if allowed ~= "" then self.allowed = allowed end
  if banner then
    if self.target.opts.banner then
      self.target.opts.banner(banner)
    elseif log.wants(1) then
      log.emit(1, self.target.name, "banner", { text = errors.excerpt(banner, 2000) })
    end
  end
  return partial
end

local function allows(self, method)
  if not self.allowed then return true end
  return ("," .. self.allowed .. ","):find("," .. method .. ",", 1, true) ~= nil
end

--- One attempt; "ok", "partial" or "failed", and then whether it was the server that refused. Anything but a refusal is
--- raised.
local function attempt(self, method, label, fn)
  local before = core.now()
  local ok, result = pcall(fn)
  if ok and result == "ok" then
    heard(self)
    if log.wants(1) then
      log.emit(1, self.target.name, "auth.ok", { method = method, with = label, seconds = core.now() - before })
    end
    return "ok"
  end
  if not ok and not errors.is(result, "auth") then error(result, 0) end
  local partial = heard(self)
  if log.wants(2) then
    log.emit(2, self.target.name, partial and "auth.partial" or "auth.refused", { method = method, with = label })
  end
  if partial then return "partial" end
  local refused = errors.is(result) and (result.name or ""):find("^LIBSSH2_ERROR_") ~= nil
  note(self, label, refused and "refused" or result)
  return "failed", refused
end

--- publickey --------------------------------------------------------------------------------------------------------

local function signature(id, data)
  if id.agent then return agent.sign(id.agent, id.blob, data) end
  local key = id.key()
  return await(key.sign, key, data)
end

local function sign_with(self, id, blob)
  local s, user = self.session, self.target.user
  local what, data = await(s.auth_publickey, s, user, blob, id.ready) -- a ready key signs without another turn
  if what ~= "sign" then return what end
  local ok, signed = pcall(signature, id, data)
  local answered, result = pcall(await, s.auth_signature, s, ok and signed or nil)
  if not ok then error(signed, 0) end
  if not answered then error(result, 0) end
  return result
end

local function accepted(self, id)
  for _, known in ipairs(self.used) do
    if known == id then return end
  end
  self.used[#self.used + 1] = id
end

local function publickey(self)
  self.offers = self.offers or key_offers.new(self.target.opts, function(label, why) note(self, label, why) end)
  while allows(self, "publickey") do
    local offer = self.offers:next()
    if not offer then break end
    local id = offer.id
    local outcome, refused = attempt(self, "publickey", id.label, function() return sign_with(self, id, offer.blob) end)
    if outcome ~= "failed" then accepted(self, id) end
    if outcome ~= "failed" or refused then self.offers:settle(offer) end
    if outcome ~= "failed" then return outcome end
  end
  return "failed"
end

--- password and keyboard-interactive --------------------------------------------------------------------------------

local function can_ask(self)
  return not self.target.opts.batch
    and (core.isatty(2) or self.target.opts.person or secret.has_program())
end

local function ask_terminal(text, echo)
  if not echo then return secret.ask(text, "password") end
  return await(core.tty_prompt, { prompt = core.clean(text, { newline = true }), echo = true })
end

--- A password from the options (string, or function(prompt, try)) or from the terminal; nil: none to be had.
local function password_for(self, prompt, try)
  local given = self.target.opts.password
  if type(given) == "function" then return given(prompt, try) end
  if given ~= nil then return try == 1 and given or nil end
  if can_ask(self) then return ask_terminal(prompt, false) end
end

local function new_password(self, info)
  local change = self.target.opts.change_password
  if change then return change(info.instruction) end
  if not can_ask(self) then return nil end
  local first = ask_terminal((info.instruction ~= "" and info.instruction .. "\n" or "") .. "New password: ", false)
  local second = ask_terminal("Retype new password: ", false)
  return first == second and first or nil
end

local function password_once(self, password)
  local s = self.session
  local what, info = await(s.auth_password, s, self.target.user, password)
  while what == "new_password" do
    local fresh = new_password(self, info)
    if not fresh then
      pcall(await, s.auth_answer, s, {})
      errors.raise({
        kind = "auth", name = "PASSWORD_EXPIRED", message = "the password has expired and must be changed",
        hint = "log in once by hand, or give the option change_password",
      })
    end
    what, info = await(s.auth_answer, s, { fresh })
  end
  return what
end

local function prompts_of(self) return self.target.opts.password_prompts or PASSWORD_PROMPTS end

local function password(self)
  local prompt = ("%s@%s's password: "):format(self.target.user, self.target.name)
  while self.password_tries < prompts_of(self) and allows(self, "password") do
    self.password_tries = self.password_tries + 1
    local given = password_for(self, prompt, self.password_tries)
    if not given then break end
    local outcome = attempt(self, "password", "password", function() return password_once(self, given) end)
    if outcome ~= "failed" then return outcome end
  end
  return "failed"
end

--- Prompts answered by the script's function, by the password (for one hidden prompt), or on the terminal.
local function answers_for(self, info, try)
  local given = self.target.opts.keyboard_interactive
  if type(given) == "function" then return given(info, try) end
  if type(given) == "table" then
    local out = {}
    for i, prompt in ipairs(info) do
      out[i] = given[prompt.text] or given[(prompt.text:gsub("[:%s]+$", ""))] or given[i]
    end
    return #out == #info and out or nil
  end
  if #info == 0 then return {} end
  if #info == 1 and not info[1].echo and self.target.opts.password ~= nil then
    local given_now = password_for(self, info[1].text, try)
    return given_now and { given_now } or nil
  end
  if not can_ask(self) then return nil end
  local out = {}
  for i, prompt in ipairs(info) do
    local head = i == 1 and info.instruction ~= "" and info.instruction .. "\n" or ""
    out[i] = ask_terminal(head .. prompt.text, prompt.echo)
  end
  return out
end

local function check_answers(info, answers)
  if type(answers) ~= "table" or #answers ~= #info then
    errors.raise({
      kind = "auth", name = "NO_ANSWER",
      message = ("no answer to %d prompt%s%s"):format(#info, #info == 1 and "" or "s",
        info[1] and (" (%q)"):format(errors.excerpt(info[1].text, 60)) or ""),
    })
  end
  return answers
end

--- A build without fibres cannot wait inside libssh2's callback: the answers go along with the question.
local function answers_in_advance(self)
  if core.about().fibres then return nil end
  local given = self.target.opts.keyboard_interactive
  if type(given) == "table" then return given end
  local advance = password_for(self, "Password: ", 1)
  return advance and { advance } or {}
end

local function kbdint_once(self, try)
  local s = self.session
  local what, info = await(s.auth_kbdint, s, self.target.user, answers_in_advance(self))
  for _ = 1, ROUNDS_MAX do
    if what ~= "prompts" then return what end
    local ok, answers = pcall(answers_for, self, info, try)
    if ok then ok, answers = pcall(check_answers, info, answers) end
    if not ok then
      local empty = {}
      for i = 1, #info do empty[i] = "" end
      pcall(await, s.auth_answer, s, empty) -- the attempt must come to its end before another one
      error(answers, 0)
    end
    what, info = await(s.auth_answer, s, answers)
  end
  errors.raise({ kind = "protocol", message = ("the server asked more than %d times"):format(ROUNDS_MAX) })
end

local function keyboard_interactive(self)
  local opts = self.target.opts
  if opts.keyboard_interactive == nil and opts.password == nil and not can_ask(self) then return "failed" end
  local tries = type(opts.keyboard_interactive) == "function" and prompts_of(self) or 1
  if opts.keyboard_interactive == nil and opts.password == nil then tries = prompts_of(self) end
  while self.kbdint_tries < tries and allows(self, "keyboard-interactive") do
    self.kbdint_tries = self.kbdint_tries + 1
    local outcome = attempt(self, "keyboard-interactive", "keyboard-interactive", function()
      return kbdint_once(self, self.kbdint_tries)
    end)
    if outcome ~= "failed" then return outcome end
  end
  return "failed"
end

local function none(self)
  self.none_tried = true
  local s = self.session
  local ok, what = pcall(await, s.auth_none, s, self.target.user)
  heard(self)
  if ok and what == "ok" then return "ok" end
  if not ok and not errors.is(what, "auth") then error(what, 0) end
  return "failed"
end

local methods = { publickey = publickey, password = password, ["keyboard-interactive"] = keyboard_interactive }

--- The end ----------------------------------------------------------------------------------------------------------

local function check_methods(list)
  for _, name in ipairs(list) do
    if not methods[name] then
      errors.raise({ kind = "usage", message = ("option 'methods': unknown authentication method '%s'"):format(name),
        hint = "publickey, keyboard-interactive, password" })
    end
  end
  return list
end

local function give_up(self)
  local tried = #self.notes > 0 and table.concat(self.notes, "; ") or "nothing to try"
  errors.raise({
    kind = "auth", host = self.target.name, phase = "auth", cause = self.cause,
    message = ("not accepted as %s (%s); the server allows %s"):format(self.target.user, tried,
      self.allowed or "nothing it named"),
    hint = self.cause and self.cause.hint or nil,
  })
end

--- OpenSSH hangs up after MaxAuthTries refusals: that is an answer, not a broken wire.
local function explain_hang_up(self, err)
  if not errors.is(err, "connection_lost") or not err.message:lower():find("authentication failures", 1, true) then
    return err
  end
  local tried = table.concat(self.notes, "; ")
  return errors.new({
    kind = "auth", host = self.target.name, phase = "auth", cause = err,
    message = ("not accepted as %s (%s); the server hung up after too many attempts"):format(self.target.user, tried),
    hint = "the server's MaxAuthTries is used up: name the right key with identity, and identities_only = true",
  })
end

local function one_factor(self, order)
  for _, name in ipairs(order) do
    if allows(self, name) then
      local outcome = methods[name](self)
      if outcome ~= "failed" then return outcome end
    end
  end
  if not self.none_tried then return none(self) end
  return "failed"
end

--- Authenticates or raises. Nothing is sent before the host key was verified: connect.lua sees to the order.
---@param session userdata core session
---@param target table {name=, user=, opts=}
---@return sshlua.Identity[] used the keys that were accepted
function M.authenticate(session, target)
  local self = {
    session = session, target = target, notes = {}, noted = {}, used = {}, password_tries = 0, kbdint_tries = 0,
  }
  local order = check_methods(options.list(target.opts.methods or default_methods))
  for _ = 1, 10 do
    local ok, outcome = pcall(one_factor, self, order)
    if not ok then error(explain_hang_up(self, outcome), 0) end
    if outcome == "ok" then return self.used end
    if outcome == "failed" then give_up(self) end
    self.password_tries, self.kbdint_tries = 0, 0 -- a factor was accepted: the next one
    if self.offers then self.offers:again() end
  end
  give_up(self)
end

return M
