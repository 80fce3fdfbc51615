--- --check and --diff of scripts: what the verbs of hosts change, or would change, as it happens, on standard error:
--- standard output is the script's. Listens to steps; must not know what any verb does.

local Result = require("sshlua.result").Result
local command = require("sshlua.command")
local core = require("sshlua.core")
local events = require("sshlua.events")
local settings = require("sshlua.settings")
local steps = require("sshlua.steps")

local M = {}

local LINE_MAX = 300

local function clean(text, newline) return core.clean(core.mask(text), { newline = newline, tab = true }) end

local function say(fmt, ...)
  pcall(io.stdout.flush, io.stdout)
  pcall(io.stderr.write, io.stderr, fmt:format(...))
end

local function word(value)
  if type(value) == "table" and value[1] then return word(value[1]) .. (value[2] and " ..." or "") end
  return type(value) == "string" and value or "(bytes)"
end

--- What the step was about: a state verb says it itself.
local function about(event)
  local r, args = event.result, event.args
  if type(r.cmd) == "string" then return r.cmd end
  if event.verb == "save" then return "save " .. word(args[1]) end
  return ("%s %s -> %s"):format(event.verb, word(args[1]), word(args[2]))
end

local function one_line(text)
  text = core.mask(text)
  return clean(#text > LINE_MAX and text:sub(1, LINE_MAX) .. "..." or text, false)
end

--- Transfers say it in lines, state verbs in a text.
local function print_diff(diff)
  if type(diff) == "table" then
    local lines = {}
    for i, line in ipairs(diff) do lines[i] = line end
    table.sort(lines) -- files arrive in any order
    diff = table.concat(lines, "\n")
  end
  if type(diff) ~= "string" or diff == "" then return end
  say("%s%s", clean(diff, true), diff:sub(-1) == "\n" and "" or "\n")
end

local function plural(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

--- Begins. `finish()` says how much it was, after a check, and returns the exit code that this makes.
---@param o { check?: boolean, diff?: boolean }
---@return { finish: fun(): integer }
function M.watch(o)
  if o.check then settings.dry_run = true end
  local count, hosts, skipped = 0, {}, 0
  steps.install()
  events.listen(function(event)
    local r = event.result
    if event.what ~= "step" or event.state ~= "end" or not Result.is(r) then return end
    if r.skipped and r.dry_run then
      skipped = skipped + 1
      say("%s: not run: %s\n", event.host, one_line(command.label(core.mask(command.text(r.cmd, 1)))))
    elseif r.changed then
      if r.dry_run then count, hosts[event.host] = count + 1, true end
      say("%s: %s: %s\n", event.host, r.dry_run and "would change" or "changed", one_line(about(event)))
      if o.diff then print_diff(r.diff) end
    end
  end)
  return {
    finish = function()
      if not o.check then return 0 end
      local n = 0
      for _ in pairs(hosts) do n = n + 1 end
      local rest = skipped > 0 and ("; %s not run"):format(plural(skipped, "command")) or ""
      say("sshlua: check: %s%s\n",
        count > 0 and ("%s on %s"):format(plural(count, "change"), plural(n, "host")) or "nothing would change", rest)
      return count > 0 and 5 or 0
    end,
  }
end

return M
