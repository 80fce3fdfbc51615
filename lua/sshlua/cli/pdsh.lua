--- pdsh's command line as sshlua run understands it: for `sshlua run --pdsh`, and for who calls the program pdsh.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local settings = require("sshlua.settings")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = {}

M.help = [[
usage: pdsh [-w HOSTS] [-x HOSTS] [-g GROUPS] [-f N] [-l USER] [-t SECONDS] [-u SECONDS] [-NbkqS] COMMAND
  -w, -x, -g  hosts, hosts to leave out, groups       -f  hosts at once; default 32
  -l  log in as                                       -t  seconds for connecting; default 10
  -u  seconds for the command; default: none          -N  no host names in front of lines
  -b  the first ^C cancels                            -k  the first failure stops everybody
  -q  print the settings and the hosts, run nothing   -S  exit with the largest remote code
]]

local with_value = "wxgfltu"

local function number(text, name)
  local n = text:find("^%d+$") and #text < 10 and tonumber(text)
  return n or misuse("pdsh: -%s: a number expected, got \"%s\"", name, errors.excerpt(text, 40))
end

local take = {
  w = function(o, text) table.insert(o.hosts, text) end,
  x = function(o, text) table.insert(o.exclude, text) end,
  g = function(o, text)
    for name in text:gmatch("[^,]+") do table.insert(o.groups, name) end
  end,
  f = function(o, text) o.parallel = math.max(number(text, "f"), 1) end,
  l = function(_, text) settings.defaults.user = text end,
  t = function(o, text) o.connect_timeout = number(text, "t") end,
  u = function(o, text)
    o.timeout = number(text, "u")
    if o.timeout == 0 then o.timeout = nil end
  end,
  N = function(o) o.bare = true end,
  b = function(o) o.one_interrupt = true end,
  k = function(o) o.fail_fast = true end,
  q = function(o) o.show = true end,
  S = function(o) o.exit = "largest" end,
  h = function(o) o.help_wanted = true end,
}

--- pdsh -w - reads names from standard input, -w ^file a file; "-name" in a list takes away.
local function expressions(list, exclude)
  local kept = {}
  for _, text in ipairs(list) do
    text = text:gsub(",%-", ",!")
    if text == "-" then
      kept[#kept + 1] = "^-"
    elseif text:find("^%-.") then
      exclude[#exclude + 1] = text:sub(2)
    else
      kept[#kept + 1] = text
    end
  end
  return kept
end

--- "pdsh@here: web3: ssh exited with exit code 1"
local function complaint(_, r)
  if r.ok or r:status() == "skipped" then return end
  local here = (core.hostname() or "localhost"):match("^[^.]*")
  local what = errors.is(r.err) and ("%s: %s"):format(r.err.kind, r.err.message)
    or r.signal and ("ssh ended by signal %s"):format(r.signal)
    or r.code and ("ssh exited with exit code %d"):format(r.code) or r:problem()
  io.stderr:write(("pdsh@%s: %s: %s\n"):format(here, r.host, core.clean(core.mask(what))))
end

local function show(o)
  local fleet = require("sshlua.cli.fleet_run").fleet(o)
  local names = {}
  for i, h in ipairs(fleet) do names[i] = h.name end
  local settings_shown = "Fanout\t\t\t%d\nConnect timeout (secs)\t%d\nCommand timeout (secs)\t%d\n"
  io.stdout:write("-- DSH-specific options --\n", settings_shown:format(o.parallel, o.connect_timeout, o.timeout or 0),
    "Display hostname labels\t", o.bare and "No" or "Yes", "\n\n-- Target nodes --\n", table.concat(names, ","), "\n")
  return 0
end

local function letters(o, args, i)
  local word, at = args[i], 2
  while at <= #word do
    local letter = word:sub(at, at)
    local act = take[letter] or misuse("pdsh: unknown option -%s (pdsh -h)", errors.excerpt(letter, 10))
    local text
    if with_value:find(letter, 1, true) then
      text = word:sub(at + 1)
      at = #word
      if text == "" then
        i = i + 1
        text = args[i] or misuse("pdsh: option -%s needs a value", letter)
      end
    end
    act(o, text)
    at = at + 1
  end
  return i + 1
end

--- What cli/fleet_args.lua would have made of it, or an exit code when all is done.
---@param args string[]
---@return table|integer
function M.parse(args)
  local o, i = { hosts = {}, exclude = {}, groups = {}, rest = {}, parallel = 32, connect_timeout = 10 }, 1
  while args[i] and args[i]:find("^%-.") do
    if args[i] == "--" then
      i = i + 1
      break
    end
    i = letters(o, args, i)
  end
  for at = i, #args do o.rest[#o.rest + 1] = args[at] end
  if o.help_wanted then
    io.stdout:write(M.help)
    return 0
  end
  o.hosts = expressions(o.hosts, o.exclude)
  settings.defaults.timeout = o.connect_timeout > 0 and o.connect_timeout or nil
  o.no_summary, o.complaint, o.exit = true, complaint, o.exit or "ignored"
  if o.show then return show(o) end
  return o
end

return M
