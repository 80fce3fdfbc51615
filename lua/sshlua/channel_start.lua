--- A channel with something under way on it: variables, a terminal, then a command or the user's shell.

local command = require("sshlua.command")
local core = require("sshlua.core")
local lazy = require("sshlua.lazy")
local elevate = lazy("sshlua.elevate")
local errors = require("sshlua.errors")
local privilege = require("sshlua.privilege")
local task = require("sshlua.task.core")

local M = {}

local await = task.await

local function ignore() end

--- Asks the server for each variable; returns those it refused.
local function set_environment(ch, env)
  local refused
  for name, value in pairs(env or {}) do
    if not core.is_secret(value) then value = tostring(value) end
    local ok, err = pcall(await, ch.setenv, ch, name, value)
    if not ok then
      if not errors.is(err, "channel") then error(err, 0) end
      refused = refused or {}
      refused[name] = value
    end
  end
  return refused
end

--- Variables that ssh_config sends (SendEnv, SetEnv), as ssh does: nobody waits, and what the server does not take it
--- leaves out. Names and values by turns; nil: none.
function M.sent_environment(session) return session.target and session.target.opts.sent_environment end

--- All at once. The requests of a channel go out in order: what follows comes after them.
local function send_environment(session, ch, own)
  local list = M.sent_environment(session) or {}
  for i = 1, #list, 2 do
    if not (own and own[list[i]] ~= nil) then ch:send_env(list[i], list[i + 1], ignore) end
  end
end

M.send_environment = send_environment

local function request_pty(ch, pty)
  if not pty then return end
  local p = type(pty) == "table" and pty or {}
  -- RFC 4254 8: no modes but the end mark; the server's defaults apply.
  await(ch.pty, ch, p.term or os.getenv("TERM") or "xterm", p.cols or 80, p.rows or 24, p.modes or "\0")
end

--- The option pty of a command, or of its host.
function M.terminal_of(session, opts)
  if opts.pty ~= nil then return opts.pty end
  return session.target and session.target.opts.pty
end

--- A channel that is ready for the command, and the command's text.
function M.prepare(session, cmd, opts)
  local ch = session:_open_channel()
  local ok, refused = pcall(function()
    send_environment(session, ch, opts.env)
    local refused = set_environment(ch, opts.env)
    request_pty(ch, M.terminal_of(session, opts))
    return refused
  end)
  if ok then return ch, command.wrap(command.text(cmd, 4), opts.cwd, refused) end
  session:_close_channel(ch)
  error(refused, 0)
end

--- What the server's refusal of a command means.
function M.explain(err)
  if errors.is(err, "channel") and err.name == "LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED" then
    err.message = "the server refused to run the command"
    err.hint = "the account may be restricted (a forced command, a menu), or the server takes no exec requests"
  end
  return err
end

--- A channel with what line(refused variables) returns under way (nil: the user's shell).
local function launch(session, env, pty, line)
  local ch = session:_open_channel()
  local ok, err = pcall(function()
    send_environment(session, ch, env)
    local refused = set_environment(ch, env)
    request_pty(ch, pty)
    local text = line(refused)
    if text then await(ch.exec, ch, text) else await(ch.shell, ch) end
  end)
  if ok then return ch end
  session:_close_channel(ch)
  error(M.explain(err), 0)
end

--- A channel with the command under way. `input`: something will be written to it.
function M.start(session, cmd, opts, input)
  if privilege.wanted(opts) then return elevate.start(session, command.text(cmd, 4), opts, input, launch) end
  local ch, text = M.prepare(session, cmd, opts)
  local ok, err = pcall(await, ch.exec, ch, text)
  if ok then return ch end
  session:_close_channel(ch)
  error(M.explain(err), 0)
end

--- A channel for a person or a dialogue: variables, a terminal, and then the user's shell, or a command.
---@param env table|nil
---@param pty boolean|table|nil
---@param text string|nil nil: the user's shell
function M.dialogue(session, env, pty, text)
  return session:_keep_channel(launch(session, env, pty, function(refused)
    if text then return command.wrap(text, nil, refused) end
    if refused then
      errors.raise({
        kind = "channel", message = ("the server does not accept the variable %s"):format(next(refused)),
        hint = "AcceptEnv in sshd_config, or set it in the dialogue",
      })
    end
  end))
end

return M
