-- Makes sshlua(1) as mdoc from the program's own help texts, so that no option is listed twice. What those texts do not
-- have (environment, files, examples) stands here. Run by the program itself: sshlua tools/manpage.lua >sshlua.1
-- package.path may have a mirror of lua/ in front.
local commands = require "sshlua.cli.commands"
local described = require "sshlua.cli.described"
local usage = require "sshlua.cli.usage"

local DATE = "November 21, 2026" -- of the last change to what stands here
local all = { find = function() return true end } -- a program that has every command
local out = {}

local function add(...) out[#out + 1] = table.concat { ... } end

-- Text --------------------------------------------------------------------------------------------------------------

local escapes = { ["\\"] = "\\e", ["-"] = "\\-", ['"'] = "\\(dq", ["~"] = "\\(ti", ["^"] = "\\(ha" }

local function escape(text) return (text:gsub('[\\%-"~^]', escapes)) end

-- Sentences begin lines of at most 78 columns.
local function add_text(text)
  text = text:gsub("%s+", " "):gsub("^ ", "")
  for sentence in (text:gsub("([.:?]) (%u)", "%1\n%2") .. "\n"):gmatch "(.-)\n" do
    local line = ""
    for word in sentence:gmatch "%S+" do
      word = escape(word)
      if line ~= "" and #line + #word > 77 then
        add(line)
        line = ""
      end
      if line == "" and word:find "^[.']" then word = "\\&" .. word end
      line = line == "" and word or line .. " " .. word
    end
    if line ~= "" then add(line) end
  end
end

local function flag(name)
  if name == "--" then return "Fl Fl" end
  return name:sub(1, 2) == "--" and "Fl Fl " .. escape(name:sub(3)) or "Fl " .. escape(name:sub(2))
end

-- Macros are of letters: an argument that is one would be called.
local function word(text) return #text <= 3 and text:find "^%u%l" and "\\&" .. text or escape(text) end

local function add_options(list)
  if not list[1] then return end
  add ".Bl -tag -width Ds"
  for _, option in ipairs(list) do
    local parts = {}
    for i, name in ipairs(option.names) do parts[i] = flag(name) end
    local head = table.concat(parts, " , ")
    if option.optional then
      head = head .. " Ns Op = Ns Ar " .. word(option.arg)
    elseif option.arg then
      head = head .. " Ar " .. word(option.arg)
    end
    add(".It ", head)
    add_text(option.text)
  end
  add ".El"
end

local function add_code(text)
  add ".Bd -literal -offset indent"
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "(.-)\n" do
    add(line:find "^[.']" and "\\&" or "", escape(line))
  end
  add ".Ed"
end

-- Definitions { term, text, ... }
local function add_list(list)
  add ".Bl -tag -width Ds"
  for i = 1, #list, 2 do
    add(".It ", list[i])
    add_text(list[i + 1])
  end
  add ".El"
end

-- Sections ----------------------------------------------------------------------------------------------------------

local main = usage.text(all)

local function paragraph(help)
  local text = help:match "^.-\n\n(.-)\n%s*\n" or help:match "^.-\n\n(.-)\n  %-" or ""
  return (text:gsub("\n  %-.*$", ""))
end

local function head()
  add '.\\" Made by tools/manpage.lua from the help texts.'
  add(".Dd ", DATE, "\n.Dt SSHLUA 1\n.Os\n.Sh NAME\n.Nm sshlua\n.Nd scriptable SSH automation\n.Sh SYNOPSIS")
  add ".Nm\n.Op Ar OPTION ...\n.Op Ar SCRIPT Op Ar ARGUMENT ..."
  add ".Nm\n.Op Ar OPTION ...\n.Ar COMMAND Op Ar ARGUMENT ..."
  add ".Sh DESCRIPTION"
  add_text((main:match "\n(Runs SCRIPT.-)\n\n"))
  add ".Pp\nThe options are:"
  local options = described.options(main:match "options:\n(.-)\ncommands:")
  add_options(options)
end

-- Commands for many hosts share most of their options: those of run are told once.
local function add_command(name, summary, shared)
  local module = require("sshlua.cli." .. name)
  local help = module.help or ""
  add(".Ss ", name)
  add_text(summary:sub(1, 1):upper() .. summary:sub(2) .. ".")
  local synopsis = help:match "^usage: (.-)\n\n"
  if synopsis then add_code((synopsis:gsub("\n       ", "\n"))) end
  local rest = help:match "^usage: .-\n\n(.*)$"
  if rest and rest:find "\n  %l+  +%S" then return add_code(rest) end -- with a list of its own
  local text = paragraph(help)
  if text ~= "" then add_text(text) end
  local list = {}
  for _, option in ipairs(described.options(help)) do
    if not shared[table.concat(option.names) .. option.text] then list[#list + 1] = option end
  end
  add_options(list)
  if name ~= "run" and help:find("--connect-timeout", 1, true) then
    add ".Pp"
    add_text(("Of the options of run%s it takes those that sshlua help %s lists."):format(
      (name == "get" or name == "sync") and " and put" or "", name))
  end
end

local function add_commands()
  add ".Sh COMMANDS"
  local shared, order = {}, {}
  for name, summary in commands.lines(all):gmatch "  (%S+)%s+([^\n]+)\n" do order[#order + 1] = { name, summary } end
  local first = { run = 1, put = 2, get = 3, sync = 4 } -- the others are told by what they have more
  table.sort(order, function(a, b)
    local x, y = first[a[1]] or 9, first[b[1]] or 9
    if x ~= y then return x < y end
    return a[1] < b[1]
  end)
  for _, entry in ipairs(order) do
    local name = entry[1]
    if name ~= "help" then add_command(name, entry[2], shared) end
    if name == "run" or name == "put" then
      for _, option in ipairs(described.options(require("sshlua.cli." .. name).help)) do
        shared[table.concat(option.names) .. option.text] = true
      end
    end
  end
end

local function add_environment()
  add ".Sh ENVIRONMENT"
  add_list {
    "Ev SSHLUA_USER , Ev SSHLUA_PORT , Ev SSHLUA_IDENTITY , ...",
    "Connection options in capitals: weaker than options of scripts and of the command line, stronger than "
      .. "inventories, config.lua and ssh_config.",
    "Ev SSHLUA_INVENTORY , Ev SSHLUA_PARALLEL", "The inventory, and how many hosts at once, when nobody says.",
    "Ev SSHLUA_SSH_CONFIG", "In place of ~/.ssh/config and /etc/ssh/ssh_config: a file, or none.",
    "Ev SSHLUA_SECRET_NAME", "The secret that a script calls by that name, in capitals.",
    "Ev SSH_AUTH_SOCK", "The agent's socket.",
    "Ev SSH_ASKPASS , Ev SSH_ASKPASS_REQUIRE", "As for ssh(1): the program that asks for passwords.",
    "Ev SLURM_JOB_NODELIST , Ev PBS_NODEFILE , Ev BACKENDAI_CLUSTER_HOSTS",
    "The hosts of commands that are not told any.",
    "Ev LUA_PATH , Ev LUA_CPATH , Ev LUA_INIT", "As for lua(1), also with _5_4; LUA_INIT is not for commands.",
    "Ev NO_COLOR , Ev CLICOLOR_FORCE , Ev TERM", "Whether there are colours.",
  }
  add ".Sh FILES"
  add_list {
    "Pa ~/.ssh/config , Pa /etc/ssh/ssh_config", "Read as ssh(1) reads them.",
    "Pa ~/.ssh/known_hosts", "Keys of hosts, or what UserKnownHostsFile says.",
    "Pa $XDG_CONFIG_HOME/sshlua/config.lua", "Settings for all runs; the directory is ~/.config by default.",
    "Pa $XDG_STATE_HOME/sshlua/history", "The interactive mode's history; the directory is ~/.local/state by default.",
    "Pa $XDG_STATE_HOME/sshlua/recordings", "Recordings of terminals.",
    "Pa sshlua.hostkeys", "A lock file of host keys: see the command keys.",
  }
end

local function add_status()
  add ".Sh EXIT STATUS"
  local list = {}
  for line in main:match("exit status:\n(.-)\nA script's"):gmatch "[^\n]+" do
    local code, text = line:match "^  (%d+)%s+(.*)$"
    if code then
      list[#list + 1] = code
      list[#list + 1] = text .. "."
    end
  end
  add_list(list)
  add ".Pp"
  add_text((main:match "\n(A script's os%.exit.-)\n\n"))
  add ".Pp"
  add_text("The commands run, ping, put, get and sync add 124 for timeouts, and "
    .. "of several take the first of 2, 1, 130, 4, 124, 3, 5. The command ssh ends as ssh(1) does.")
end

local EXAMPLES = {
  "A script, what it would change, and the run:", [[
$ sshlua --check --diff deploy.lua r42
$ sshlua --journal roll.journal deploy.lua r42]],
  "One command on many hosts, with equal outputs folded:", "$ sshlua run -w 'web[01-40]' -b -- uptime",
  "A rolling restart that stops at the first failure:",
  "$ sshlua run -w @web --batch 1,5,25% -- systemctl restart app",
  "Everything in one line of Lua:", [[
$ sshlua -e 'print(require("sshlua").host("web1"):read("uptime"))']],
  "A fleet of throwaway hosts on this machine, to try a script on:", "$ sshlua demo -- deploy.lua",
}

head()
add_commands()
add_environment()
add_status()
add ".Sh EXAMPLES"
for i = 1, #EXAMPLES, 2 do
  if i > 1 then add ".Pp" end
  add_text(EXAMPLES[i])
  add_code(EXAMPLES[i + 1])
end
add ".Sh SEE ALSO\n.Xr lua 1 ,\n.Xr ssh 1 ,\n.Xr ssh_config 5"
io.stdout:write(table.concat(out, "\n"), "\n")
