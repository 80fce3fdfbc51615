--- Secrets by name: asked once per run, from the environment, a command, a file, a person at the terminal, or
--- SSH_ASKPASS. Knows where they come from; must not know what they are for.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local here = require("sshlua.here")
local options = require("sshlua.options")
local settings = require("sshlua.settings")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

local M = {}

local ASKPASS = "/usr/bin/ssh-askpass"
local COMMAND_SECONDS = 60
local PERSON_SECONDS = 300

--- Asking -----------------------------------------------------------------------------------------------------------

local function askpass_program() return os.getenv("SSH_ASKPASS") or ASKPASS end

--- OpenSSH's rules (ssh(1), SSH_ASKPASS_REQUIRE): may the program be used, and is it to be used before the terminal?
local function askpass_rules()
  local program = askpass_program()
  if program:find("/", 1, true) and not core.fs_stat_sync(program) then return false, false end
  local rule = (os.getenv("SSH_ASKPASS_REQUIRE") or ""):lower()
  local display = os.getenv("DISPLAY") ~= nil or os.getenv("WAYLAND_DISPLAY") ~= nil
  if rule == "force" then return true, true end
  if rule == "never" then return false, false end
  return display, display and rule == "prefer"
end

local function has_terminal()
  local f = io.open("/dev/tty", "r+")
  if f then f:close() end
  return f ~= nil
end

--- Can a person be asked?
---@return boolean
function M.can_ask() return has_terminal() or M.has_program() end

--- May SSH_ASKPASS be used?
---@return boolean
function M.has_program()
  local allowed = askpass_rules()
  return allowed
end

--- The first line of a command's output. The command's output passes through Lua strings: there is no other way.
local function from_command(name, command, seconds, what)
  local r = here:run(command, { check = false, safe = true, timeout = seconds, max_output = 65536 + 2 })
  if not r.ok then
    local words = r.stderr:gsub("%s+$", ""):match("[^\r\n]*$")
    errors.raise({
      kind = "auth", op = "secret", name = "NO_SECRET",
      message = ("secret '%s': %s failed (%s)%s"):format(name, what, r.signal or tostring(r.code),
        words ~= "" and ": " .. errors.excerpt(words, 120) or ""),
    })
  end
  return r.stdout
end

local function ask_program(name, prompt, seconds)
  local program = askpass_program()
  local out = from_command(name, { program, prompt }, seconds, program)
  return core.secret(name, (out:match("^[^\r\n]*")))
end

--- Asks a person without echo, once, and returns the answer. What is typed on the terminal is never a Lua string.
---@param prompt string
---@param name string
---@param seconds? number default 300
---@return sshlua.Secret
function M.ask(prompt, name, seconds)
  seconds = seconds or PERSON_SECONDS
  local allowed, first = askpass_rules()
  local terminal = not first and has_terminal()
  if terminal then
    return task.await(core.tty_prompt, {
      prompt = core.clean(prompt, { newline = true }), echo = false, secret = name, timeout = seconds,
    })
  end
  if allowed then return ask_program(name, prompt, seconds) end
  errors.raise({
    kind = "auth", op = "secret", name = "NO_SECRET",
    message = ("secret '%s': nobody can be asked: there is no terminal, and no SSH_ASKPASS"):format(name),
  })
end

--- Asks a person yes or no; false when nobody can be asked. A program is told that it is a question of that kind and
--- answers by its exit status, as for ssh.
---@param prompt string
---@param seconds? number default 300
---@return boolean
function M.confirm(prompt, seconds)
  seconds = seconds or PERSON_SECONDS
  local allowed, first = askpass_rules()
  prompt = core.clean(prompt)
  if not first and has_terminal() then
    local answer = task.await(core.tty_prompt, { prompt = prompt .. " (yes/no) ", echo = true, timeout = seconds })
    return (answer or ""):lower():match("^%s*(.-)%s*$") == "yes"
  end
  if not allowed then return false end
  local r = here:run({ askpass_program(), prompt }, {
    check = false, safe = true, timeout = seconds, max_output = 1024, env = { SSH_ASKPASS_PROMPT = "confirm" },
  })
  local answer = r.stdout:lower():match("^[^\r\n]*")
  return r.ok and (answer == "" or answer == "yes")
end

--- By name ----------------------------------------------------------------------------------------------------------

---@class sshlua.SecretOptions where it comes from; the first that is there, in this order
---@field env? string variable that may hold it, in place of SSHLUA_SECRET_NAME
---@field command? string|string[] prints it: shell, or an argument vector
---@field file? string holds it, readable by its owner only
---@field prompt? string what a person is asked, default the name
---@field timeout? number seconds for the command (default 60) or the person (300)
local secret_options = {
  env = "string", command = "string|table", file = "string", prompt = "string", timeout = "seconds",
}

local function variable_of(name) return "SSHLUA_SECRET_" .. name:upper():gsub("[^%w]", "_") end

local function from_file(name, path)
  local secret, err = core.secret_file(name, path)
  if secret then return secret end
  errors.raise(errors.from(err, {
    op = "secret", hint = err.name == "BAD_PERMISSIONS" and ("chmod 600 %s"):format(path) or nil,
  }))
end

local function find(name, opts)
  local variable = opts.env or variable_of(name)
  local found = core.secret_env(name, variable)
  if found then return found end
  if opts.command then
    local out = from_command(name, opts.command, opts.timeout or COMMAND_SECONDS, "the command")
    return core.secret(name, (out:gsub("\r?\n$", "")))
  end
  if opts.file then return from_file(name, opts.file) end
  if settings.defaults.batch or not M.can_ask() then
    errors.raise({
      kind = "auth", op = "secret", name = "NO_SECRET",
      message = ("secret '%s': nobody can be asked, and %s is not set"):format(name, variable),
      hint = "set the variable, give the option command or file, or run it in a terminal",
    })
  end
  return M.ask(opts.prompt or name .. ": ", name, opts.timeout)
end

local known = {} -- name -> { done = event, secret = }

local function check(name, opts, level)
  if type(name) ~= "string" or not name:find("%w") or name:find("%c") or #name > 63 then
    errors.usage(level + 1, "name of a secret: up to 63 printable characters expected")
  end
  opts = options.check(opts, secret_options, level + 1)
  if opts.timeout == 0 then errors.usage(level + 1, "option 'timeout': more than 0 s expected") end
  return opts
end

--- Gives what stands for a secret where nobody is to be asked. A cassette's.
---@type nil|fun(name: string): sshlua.Secret
M.stand_in = nil

--- The secret of that name, asked for unless it is known. Tasks that want it at the same time wait for one asking.
---@param name string
---@param opts? sshlua.SecretOptions
---@param level? integer
---@return sshlua.Secret
function M.get(name, opts, level)
  opts = check(name, opts, (level or 1) + 1)
  if M.stand_in then return M.stand_in(name) end
  while true do
    local entry = known[name]
    if entry and entry.secret then return entry.secret end
    if not entry then
      entry = { done = sync.event() }
      known[name] = entry
      local ok, value = pcall(find, name, opts)
      entry.secret, entry.failure = ok and value or nil, not ok and value or nil
      if not ok then known[name] = nil end
      entry.done:set()
      if not ok then error(value, 0) end
      return value
    end
    entry.done:wait()
    if entry.failure and not errors.is(entry.failure, "cancelled") then error(entry.failure, 0) end
  end
end

--- Forgets it: its bytes are wiped, and the next ssh.secret of that name asks again.
---@param name string
function M.forget(name)
  local entry = known[name]
  if entry and entry.secret then
    known[name] = nil
    entry.secret:wipe()
  end
end

return M
