--- The frame of the state verbs: sends one POSIX sh script as one command, reads the records that it prints, makes the
--- Result. Knows records and words of failures; must not know what any one verb does.
---
--- A record is a newline, a random mark, a blank, a name, a blank, and then bytes as they are, up to the next newline
--- with the mark. So whatever a name or a file on the host holds, it cannot be taken for a record, and nothing needs to
--- be decoded. What the host says is bounded, and only names that the verb asks for count.

local Result = require("sshlua.result").Result
local core = require("sshlua.core")
local diff = require("sshlua.diff")
local errors = require("sshlua.errors")
local options = require("sshlua.options")
local privilege = require("sshlua.privilege")
local quote = require("sshlua.quote")
local settings = require("sshlua.settings")

local M = {}

--- Linux takes no longer argument than 128 KiB, and all of ours is one for the login shell.
local COMMAND_MAX = 120 * 1024
--- A text up to this size comes back for the diff.
M.TEXT_MAX = 512 * 1024
--- What a script may print: the texts before and after, and the rest.
local OUTPUT_MAX = 2 * M.TEXT_MAX + 256 * 1024
local STDERR_MAX = 64 * 1024

---@class sshlua.StateOptions
---@field dry_run? boolean only say what would change
---@field diff? boolean false: texts are neither fetched nor shown
---@field timeout? number seconds of wall time, connecting included
---@field check? boolean false: a failure gives a Result instead of raising
---@field sudo? boolean|string|sshlua.Privilege as root, as that user
---@field su? boolean|string|sshlua.Privilege
---@field doas? boolean|string|sshlua.Privilege
M.options = {
  dry_run = "boolean", diff = "boolean", timeout = "seconds", check = "boolean",
  sudo = privilege.type, su = privilege.type, doas = privilege.type,
}

--- Arguments --------------------------------------------------------------------------------------------------------

--- A path as the scripts take it: absolute, or with ./ in front, without slashes at the end.
---@return string
function M.path(value, what, level)
  if type(value) ~= "string" then errors.usage(level + 1, "%s: path expected, got %s", what, type(value)) end
  if value == "" then errors.usage(level + 1, "%s: empty path", what) end
  if value:find("\0", 1, true) then errors.usage(level + 1, "%s: NUL byte in a path", what) end
  if value:find("^~") then
    errors.usage(level + 1, "%s: ~ is not expanded: paths begin in the home directory, write %s", what,
      errors.excerpt((value:gsub("^~[^/]*/?", "./", 1))))
  end
  local path = value:gsub("(.)/+$", "%1")
  return path:sub(1, 1) == "/" and path or path:sub(1, 2) == "./" and path or "./" .. path
end

--- A name that goes to tools of the host: none that they could take for an option.
function M.name(value, pattern, what, level)
  if type(value) ~= "string" then errors.usage(level + 1, "%s expected, got %s", what, type(value)) end
  if not value:find(pattern) or #value > 255 then
    errors.usage(level + 1, "%s: not a name: %s", what, errors.excerpt(value, 60))
  end
  return value
end

--- One of those words.
function M.word(value, words, what, level)
  for _, word in ipairs(words) do
    if value == word then return value end
  end
  local got = errors.excerpt(tostring(value), 60)
  errors.usage(level + 1, "%s: %s expected, got %s", what, table.concat(words, ", "), got)
end

local letters = { [0] = "---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx" }

--- 0644 as ls prints it, so that sh can compare: rw-r--r--.
function M.mode_words(mode)
  local out = {}
  for i, place in ipairs({ 64, 8, 1 }) do
    local bits = letters[math.floor(mode / place) % 8]
    local special = math.floor(mode / ({ 2048, 1024, 512 })[i]) % 2 == 1
    if special then
      local set = bits:sub(3) == "x"
      local letter = i == 3 and "t" or "s"
      bits = bits:sub(1, 2) .. (set and letter or letter:upper())
    end
    out[i] = bits
  end
  return table.concat(out)
end

local values = { r = 4, w = 2, x = 1, s = 1, t = 1 }

--- The other way: octal digits; nil when it is no mode.
function M.mode_digits(words)
  if type(words) ~= "string" or not words:find("^[r-][w-][xsS-][r-][w-][xsS-][r-][w-][xtT-]$") then return nil end
  local mode = 0
  for i = 1, 9 do
    local letter = words:sub(i, i)
    local place = ({ 64, 8, 1 })[math.ceil(i / 3)]
    if values[letter] then mode = mode + values[letter] * place end
    if letter:find("[sStT]") then mode = mode + ({ 2048, 1024, 512 })[math.ceil(i / 3)] end
  end
  return ("%03o"):format(mode)
end

--- Scripts ----------------------------------------------------------------------------------------------------------

-- Every script begins so. $1 is the mark, $2 is 1 in a dry run, $3 what earlier verbs of the dry run would have made.
local PRELUDE = [[
m=$1 dry=$2 made_before=" $3 "
shift 3
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin
export LC_ALL PATH
unset CDPATH ENV
nl='
'
set -f
say() { printf '\n%s %s %s' "$m" "$1" "$2"; }
finish() { printf '\n%s end 0\n' "$m"; exit 0; }
assumed() { case $made_before in *" $1 "*) return 0 ;; esac; return 1; }
fail() { say error "$1"; printf '\n%s end 3\n' "$m"; exit 3; }
]]

local function command_of(plan, mark, dry_run, assumed)
  local words = { "exec", "/bin/sh", "-c", PRELUDE .. plan.script, "sshlua", mark, dry_run and "1" or "", assumed }
  for _, word in ipairs(plan.args or {}) do words[#words + 1] = word end
  local text = quote.argv(words)
  if #text > COMMAND_MAX then
    errors.raise({ kind = "limit", op = plan.op, path = plan.path,
      message = ("%s: %d bytes of arguments are more than a command line takes"):format(plan.label, #text),
      hint = "large texts go with put, or as content of file" })
  end
  return text
end

--- The records by name; of several with one name the first, those in `lists` all. nil: the last is missing.
local function records_of(text, mark, lists)
  local records, at = {}, 1
  local lead = "\n" .. mark .. " "
  local from = text:find(lead, at, true)
  while from do
    local body = from + #lead
    local following = text:find(lead, body, true)
    local record = text:sub(body, (following or #text + 1) - 1)
    local name, value = record:match("^([%w_.]+) (.*)$")
    if name == "end" then return records end
    if name and lists and lists[name] then
      records[name] = records[name] or {}
      table.insert(records[name], value)
    elseif name and records[name] == nil then
      records[name] = value
    end
    from = following
  end
  return nil
end

--- Failures ---------------------------------------------------------------------------------------------------------

local hints = {
  { "[Rr]ead%-only file system", "the file system is mounted read-only there" },
  { "[Pp]ermission denied", "option sudo = true does it as root" },
  { "[Aa]ccess denied", "option sudo = true does it as root" },
  { "authentication required", "option sudo = true does it as root" },
  { "not permitted", "option sudo = true does it as root" },
  { "must be root", "option sudo = true does it as root" },
  { "[Ss]uper%-?user", "option sudo = true does it as root" },
  { "are you root", "option sudo = true does it as root" },
  { "[Nn]o space left", "the disk is full there" },
  { "unable to lock database", "if nobody does, remove /var/lib/pacman/db.lck there" },
  { "%S: not found", "is it installed, and in the PATH of commands that are run over SSH?" },
}

local function hint_for(text, hint)
  if hint then return hint end
  for _, entry in ipairs(hints) do
    if text:find(entry[1]) then return entry[2] end
  end
end

local function last_line(text)
  local found
  for line in core.mask(text):gmatch("[^\r\n]+") do
    if line:find("%S") then found = line end
  end
  return found and errors.excerpt((found:gsub("^%S*sh: %d+: ", ""):gsub("^sshlua: %d+: ", "")), 200)
end

local function raise_failure(host, plan, r, records)
  local said = records and records.error
  local words = last_line(r.stderr)
  local message = said and errors.excerpt(said, 300) or nil
  if words and (not message or not message:find(words, 1, true)) then
    message = message and message .. ": " .. words or words
  end
  if not message then
    message = records and "the script failed without a word" or r.truncated and "the host says more than was expected"
      or "the host did not run the script to its end"
  end
  local how = r.signal and " (signal " .. errors.excerpt(r.signal, 20) .. ")" or not said and r.code
    and (" (exit status %d)"):format(r.code) or ""
  errors.raise({
    kind = r.signal and "signal" or (r.code == 0 and "protocol" or "exit"), host = host.name, op = plan.op,
    path = plan.path, code = r.code, signal = r.signal, result = r,
    message = plan.label .. ": " .. message .. how,
    hint = hint_for(message, records and plan.hint and plan.hint(records)),
  })
end

--- Running ----------------------------------------------------------------------------------------------------------

--- Sends a plan's script and returns its records. Raises what went wrong.
---@param host sshlua.Host
---@param plan table op, label, path, script, args, stdin, lists
---@param opts table sudo, su, doas, cwd, env
---@return table<string, string|string[]> records, sshlua.Result
function M.ask(host, plan, opts, dry_run)
  local mark = core.nonce()
  local text = command_of(plan, mark, dry_run, dry_run and require("sshlua.state.pretended").text(host, plan) or "")
  local r = host:session():exec(text, {
    check = false, cwd = opts.cwd, env = opts.env, sudo = opts.sudo, su = opts.su, doas = opts.doas,
    stdin = plan.stdin, max_output = plan.max_output or OUTPUT_MAX,
  })
  r.cmd = plan.label
  if #r.stderr > STDERR_MAX then r.stderr = r.stderr:sub(-STDERR_MAX) end
  local records = records_of(r.stdout, mark, plan.lists)
  r.stdout = "" -- records are for us
  if not records or records.error or r.code ~= 0 then raise_failure(host, plan, r, records) end
  return records, r
end

--- Is this verb to pretend?
function M.is_dry(host, opts) return settings.is_dry(host and host.defaults, opts) end

local ORDER = { "state", "type", "target", "mode", "owner", "group", "size" }

local function described(state, hidden)
  local lines, done = {}, { content = true, content_differs = true }
  if hidden then done[hidden] = true end
  local function add(name)
    if done[name] or state[name] == nil then return end
    done[name] = true
    local value = state[name]
    if type(value) == "table" then value = table.concat(value, " ") end
    lines[#lines + 1] = ("%s: %s\n"):format(name, (tostring(value):gsub("\n", "\\n")))
  end
  for _, name in ipairs(ORDER) do add(name) end
  local rest = {}
  for name in pairs(state) do rest[#rest + 1] = tostring(name) end
  table.sort(rest)
  for _, name in ipairs(rest) do add(name) end
  return table.concat(lines)
end

local function is_text(s) return not s:find("\0", 1, true) end

--- What changes, as diff -u says it: of the text first, then of everything else.
---@param hidden? string a field that nobody can know before
function M.difference(what, before, after, hidden)
  local out = {}
  local from, to = before.content, after.content
  if type(from) == "string" and type(to) == "string" and from ~= to then
    if is_text(from) and is_text(to) then
      out[1] = diff.unified(from, to, { from = what, to = what })
    else
      out[1] = ("Binary files differ: %s\n"):format(what)
    end
  elseif before.content_differs and from ~= to or before.content_differs and from == nil then
    out[1] = ("Contents differ: %s\n"):format(what)
  end
  local names = { from = what, to = what, context = 0 }
  out[#out + 1] = diff.unified(described(before, hidden), described(after, hidden), names)
  return table.concat(out)
end

--- A plan done on a host, or pretended. `plan.read(records)` gives what was there before and is there after.
---@param host sshlua.Host
---@param plan table
---@param opts table checked, with the host's defaults
---@return sshlua.Result
function M.run(host, plan, opts)
  local started = core.now()
  local dry_run = M.is_dry(host, opts)
  local records, r = M.ask(host, plan, opts, dry_run)
  local ok, before, after = pcall(plan.read, records, opts)
  if not ok then
    if errors.is(before) then error(errors.wrap(before, { host = host.name, op = plan.op, path = plan.path }), 0) end
    error(before, 0)
  end
  local changed = records.changed == "1"
  require("sshlua.state.pretended").note(host, plan, dry_run, changed)
  local text = changed and M.difference(plan.subject or plan.label, before, after, plan.hidden) or ""
  return Result.own({
    host = host.name, port = host.port, op = plan.op, cmd = plan.label, code = 0, changed = changed,
    dry_run = dry_run, before = before, after = after, diff = text, stdout = text, stderr = r.stderr,
    notes = records.note, duration = core.now() - started, bytes = r.bytes, timing = r.timing,
  })
end

--- The host said something that cannot be.
function M.nonsense(what, value)
  errors.raise({ kind = "protocol",
    message = ("the host's answer makes no sense: %s is %s"):format(what, errors.excerpt(tostring(value), 60)) })
end

--- A whole number of a record, within bounds; nil when there is none.
function M.number(value, what, max)
  if value == nil or value == "" then return nil end
  local n = value:find("^%d+$") and #value <= 16 and tonumber(value)
  if not n or n > (max or 2 ^ 53) then M.nonsense(what, value) end
  return n
end

--- Options of one verb: its own, and those that all have.
function M.with(own) return options.merge(M.options, own) end

return M
