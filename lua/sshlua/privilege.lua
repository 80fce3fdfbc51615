--- Commands as another user: the options sudo, su and doas, and the shell text that runs a command behind them. Pure.
---
--- What is sent is a small sh script. It says a mark, starts the program that changes the user, and that one starts a
--- second script, which says another mark and then runs the command. Marks and prompt are random, so that nobody else
--- can say them; between the two marks nobody speaks but the program itself.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local fresh = require("sshlua.lazy")("sshlua.fresh")
local options = require("sshlua.options")
local quote = require("sshlua.quote")

local M = {}

local SECONDS = 30

--- For option tables.
M.type = "boolean|string|table"

---@class sshlua.Privilege how to become another user
---@field user? string default root
---@field password? string|sshlua.Secret|fun(host: string): string|sshlua.Secret default: ssh.secret(the program's name)
---@field timeout? number seconds until the command has begun, without those for asking a person; default 30
local details = { user = "string", password = "string|secret|function", timeout = "seconds" }

local programs = { "sudo", "su", "doas" }

local function check_user(user, name, level)
  if user:find("^[%w_.][%w_.@\\-]*%$?$") or user:find("^#%d+$") then return end
  errors.usage(level + 1, "option '%s': not a user name: %s", name, errors.excerpt(user, 60))
end

--- Raises usage, `level` callers up, unless what is said of sudo, su and doas can be done.
function M.check(opts, level)
  local first
  for _, name in ipairs(programs) do
    local value = opts[name]
    if value then
      if first then errors.usage(level + 1, "options '%s' and '%s' at once", first, name) end
      first = name
      if type(value) == "table" then options.check(value, details, level + 1) end
      local user = type(value) == "table" and value.user or type(value) == "string" and value
      if user then check_user(user, name, level + 1) end
    end
  end
end

--- Is a dialogue needed?
function M.wanted(opts)
  if opts.sudo or opts.su or opts.doas then return true end
  if not opts.env then return false end
  for _, value in pairs(opts.env) do
    if core.is_secret(value) then return true end
  end
  return false
end

---@class sshlua.PrivilegePlan
---@field program string sudo, su or doas
---@field user string
---@field password? string|sshlua.Secret|function
---@field seconds number

--- What the options ask for; nil: nothing.
---@return sshlua.PrivilegePlan?
function M.plan(opts)
  for _, name in ipairs(programs) do
    local value = opts[name]
    if value then
      local given = type(value) == "table" and value or { user = type(value) == "string" and value or nil }
      return {
        program = name, user = given.user or "root", password = given.password, seconds = given.timeout or SECONDS,
      }
    end
  end
end

--- Marks ------------------------------------------------------------------------------------------------------------

---@class sshlua.PrivilegeMarks
---@field first string said before the program is started
---@field prompt string what sudo asks
---@field begun string said before the command is started
---@field missing string said when there is no such program
---@field ended string said after the command, on a terminal of ours

--- New ones for one attempt.
---@return sshlua.PrivilegeMarks
function M.marks()
  local nonce = fresh.nonce()
  return {
    first = "1" .. nonce, prompt = "2" .. nonce .. ":", begun = "3" .. nonce, missing = "4" .. nonce,
    ended = "5" .. nonce,
  }
end

local function say(mark) return ("{ echo; echo %s; } >&2"):format(mark) end

--- The inner script -------------------------------------------------------------------------------------------------

--- Reads secrets from stdin, a line each, or more when there are newlines in it. `read` takes byte by byte: what
--- follows is left to the command.
---@param names string[]
---@param secrets table<string, sshlua.Secret>
---@return string script
function M.read_secrets(names, secrets)
  local out = {}
  for _, name in ipairs(names) do
    out[#out + 1] = ("IFS= read -r %s || exit 126"):format(name)
    for _ = 1, secrets[name]:count("\n") do
      out[#out + 1] = ("IFS= read -r sshlua_line || exit 126; %s=$%s'\n'$sshlua_line"):format(name, name)
    end
    out[#out + 1] = "export " .. name
  end
  return table.concat(out, "; ")
end

--- The variables of env: plain ones, and secrets with their names in order.
---@return table<string, string|number> plain, table<string, sshlua.Secret> secrets, string[] names
function M.split_env(env)
  local plain, secrets, names = {}, {}, {}
  for name, value in pairs(env or {}) do
    if core.is_secret(value) then
      secrets[name], names[#names + 1] = value, name
    else
      plain[name] = value
    end
  end
  table.sort(names)
  return plain, secrets, names
end

-- On a terminal of ours "end of input" cannot be said but by a byte that data may have: so length and bytes, until a
-- length of 0. When the command has ended it says so, and what is sent after all is read and forgotten: sudo (1.9)
-- loops for ever over bytes that nobody reads. dd reads a whole block before it writes, so frames stay whole.
local function framed(marks)
  return [[{ while IFS= read -r sshlua_n && [ "$sshlua_n" -gt 0 ]; do ]]
    .. [[dd bs="$sshlua_n" count=1 iflag=fullblock 2>/dev/null; done; } | ]]
    .. ([[{ "$2" -c "$1"; sshlua_r=$?; printf '\001%s\n'; exit "$sshlua_r"; }]]):format(marks.ended)
end

--- What runs as the other user: $1 is the command, $2 the first user's shell, $3 its LC_ALL.
local function inner(p)
  local plain, secrets, names = M.split_env(p.env)
  local out = {}
  if p.program == "su" then -- which passes on the environment, but no arguments that could be relied on
    out[1] = 'set -- "$SSHLUA_1" "$SSHLUA_2" "$SSHLUA_3"; unset SSHLUA_1 SSHLUA_2 SSHLUA_3'
  end
  out[#out + 1] = 'if [ -n "$3" ]; then LC_ALL=$3; export LC_ALL; else unset LC_ALL; fi'
  if p.framed then out[#out + 1] = "stty raw -echo 2>/dev/null" end
  out[#out + 1] = say(p.marks.begun)
  if #names > 0 then out[#out + 1] = M.read_secrets(names, secrets) end
  if p.cwd then out[#out + 1] = "cd -- " .. quote.quote(p.cwd) .. " || exit" end
  local run = p.framed and p.input and framed(p.marks) or 'exec "$2" -c "$1"' .. (p.framed and " </dev/null" or "")
  return table.concat(out, "; ") .. "; " .. quote.env_prefix(plain) .. run
end

--- The outer script -------------------------------------------------------------------------------------------------

--- $1 is the inner script, $2 the command.
local function become(p)
  local user = quote.quote(p.user)
  if p.program == "su" then
    return 'SSHLUA_1=$2 SSHLUA_2=${SHELL:-/bin/sh} SSHLUA_3=$l; export SSHLUA_1 SSHLUA_2 SSHLUA_3; '
      .. ('exec su -s /bin/sh %s -c "$1"'):format(user)
  end
  local front = p.program == "sudo" and ("sudo -S -p %s -u %s --"):format(p.marks.prompt, user)
    or ("doas%s -u %s"):format(p.pty and "" or " -n", user)
  return ('exec %s /bin/sh -c "$1" sshlua "$2" "${SHELL:-/bin/sh}" "$l"'):format(front)
end

local function script(text, ...)
  local words = { "exec /bin/sh -c", quote.quote(text), "sshlua" }
  for _, word in ipairs({ ... }) do words[#words + 1] = quote.quote(word) end
  return table.concat(words, " ")
end

--- The command line that runs p.text as p.user. Messages of the program are in English: they are looked at.
---@param p table a plan with marks, text, cwd, env; pty: there is a terminal; framed: we made it; input: stdin is given
---@return string
function M.text(p)
  return script(table.concat({
    say(p.marks.first),
    ("command -v %s >/dev/null 2>&1 || { echo; echo %s; exit 127; } >&2"):format(p.program, p.marks.missing),
    "l=${LC_ALL-}; LC_ALL=C; export LC_ALL",
    become(p),
  }, "; "), inner(p), p.text)
end

--- The command line that reads secret variables from stdin and then runs text.
---@param text string
---@param names string[]
---@param secrets table<string, sshlua.Secret>
---@param marks sshlua.PrivilegeMarks
---@return string
function M.with_secrets(text, names, secrets, marks)
  local parts = { say(marks.begun), M.read_secrets(names, secrets), 'exec "${SHELL:-/bin/sh}" -c "$1"' }
  return script(table.concat(parts, "; "), text)
end

return M
