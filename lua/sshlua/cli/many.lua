--- `sshlua run -w HOSTS` without a command: one prompt for many hosts. Each line is a command of its own on the chosen
--- hosts, over connections that stay open; some lines are for us.

local Choice = require("sshlua.cli.many_choice")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local fleet_record = require("sshlua.cli.fleet_record")
local fleet_run = require("sshlua.cli.fleet_run")
local guard = require("sshlua.cli.guard")
local line_input = require("sshlua.cli.line_input")
local pool = require("sshlua.pool")
local print_to = require("sshlua.cli.fleet_print")
local task = require("sshlua.task")
local user_shell = require("sshlua.user_shell")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = {}

local PROMPT_MAX = 40
local END_SECONDS = 3

local HELP = [[
Each line runs on every chosen host, as a command of its own: what one line sets (cd, variables) is gone with the next.
  @HOSTS  only these      +HOSTS  these, too      -HOSTS  not these
          HOSTS is a host expression (@@web is the group web), or all, ok, failed, lost: those that
          the last line was good, failed, or could not be run on
  =       which hosts are chosen, and how the last line went
  !LINE   runs here
  :live :fold :lines :diff   how output is shown: as it comes, folded by host, by line, compared
  ?       this text
  :quit   leaves, as ^D does; ^C ends the line that runs
A line that begins with a blank is a command in any case, and is not kept in the history.
]]

--- Special lines ------------------------------------------------------------------------------------------------------

local printers = { live = false, fold = "fold", lines = "live_fold", diff = "diff" }

local function choose_printer(self, name)
  for _, field in pairs(printers) do
    if field then self.o[field] = nil end
  end
  if printers[name] then self.o[printers[name]] = true end
end

local function colon(self, word)
  if word == "quit" or word == "q" then
    self.over = true
  elseif printers[word] ~= nil then
    if self.o.json then misuse(":%s does not go with --json", word) end
    choose_printer(self, word)
  else
    misuse(":%s is nothing here (? helps; behind a blank it is a command)", errors.excerpt(word, 40))
  end
end

--- With our terminal; ^C is the child's own affair.
local function run_here(self, command)
  if not command:find("%S") then misuse("!: which command?") end
  io.stdout:flush()
  local child, err = core.spawn({
    args = user_shell.argv(command), stdin = self.interactive and "inherit" or "null", stdout = "inherit",
    stderr = "inherit",
  })
  if not child then errors.raise(errors.from(err)) end
  local code, signal = task.shield(task.await, child.wait, child)
  if code ~= 0 then print_to.note(signal and "ended by signal " .. signal or "exit " .. tostring(code)) end
end

local function show_choice(self)
  for _, text in ipairs(self.choice:about()) do io.stdout:write(text, "\n") end
end

local function change(way)
  return function(self, text)
    if text == "" then misuse("%s: which hosts? (? helps)", way) end
    self.choice:change(way, text)
    if not self.o.quiet then print_to.note(("%d: %s"):format(#self.choice.chosen, self.choice:text())) end
  end
end

local specials = {
  ["@"] = change("@"), ["+"] = change("+"), ["-"] = change("-"), ["!"] = run_here, [":"] = colon,
  ["="] = function(self, text)
    if text ~= "" then misuse("= stands alone (? helps)") end
    show_choice(self)
  end,
  ["?"] = function(_, text)
    if text ~= "" then misuse("? stands alone (a blank in front makes it a command)") end
    io.stdout:write(HELP)
  end,
  ["#"] = function() end,
}

--- Commands -----------------------------------------------------------------------------------------------------------

--- The signal of the protocol does not reach root's commands (OpenSSH keeps it from them). They are children of the
--- process that serves our connection, each with a group of its own; so is this one.
local END_OTHERS = [[ps -A -o pid= -o ppid= | while read -r p q; do
[ "$q" = "$PPID" ] && [ "$p" != "$$" ] && kill -TERM -- "-$p"; done 2>/dev/null]]

--- What was interrupted ends there, too, as far as we can do it in a moment.
local function end_commands(self)
  local list = {}
  for i, h in ipairs(self.running) do
    local session = pool.known(h.target)
    local cut = errors.is(self.choice.last[i].err, "cancelled")
    if cut and session and session:is_alive() then list[#list + 1] = session end
  end
  pcall(task.shield, task.timeout, END_SECONDS, task.each, list, function(session)
    pcall(session.exec, session, END_OTHERS, { check = false, max_output = 0 })
  end)
end

local function run_line(self, line)
  local choice = self.choice
  local fleet = choice:fleet()
  self.running = fleet
  local ok, code = pcall(fleet_run.go, self.o, {
    op = "run", command = line, options = { keep = true }, prepare = self.prepare(self.o, line, nil, self.recordings),
    finish = function(_, rs, list)
      choice:note(rs, list)
      self.running = list
    end,
  }, fleet)
  for _, h in ipairs(fleet) do self.sessions[h] = pool.known(h.target) end
  if not ok then error(code, 0) end
  self.code = code
end

--- Who has gone since the last line. The next line connects again.
local function tell_lost(self)
  local list = {}
  for h, session in pairs(self.sessions) do
    if not session:is_alive() then
      list[#list + 1] = ("%s: connection lost (%s)"):format(h.name, core.clean(session:_lost().message))
      self.sessions[h] = nil
    end
  end
  table.sort(list)
  for _, text in ipairs(list) do print_to.note(text .. "; the next line connects again") end
end

local function do_line(self, line)
  local special = specials[line:sub(1, 1)]
  if special then return special(self, line:sub(2):match("^%s*(.-)%s*$")) end
  local word = line:match("^%s*(.-)%s*$")
  if word == "" then return end
  if line == "exit" or line == "quit" then return colon(self, "quit") end
  run_line(self, line)
end

--- At the terminal ----------------------------------------------------------------------------------------------------

local function prompt_of(self)
  local waiting = self.input.waiting and self.input.waiting() or 0
  local more = waiting > 1 and (" (%d more pasted)"):format(waiting - 1) or ""
  return self.choice:text(PROMPT_MAX) .. more .. "> "
end

--- Reads a line and does what it says; what goes wrong is said. False at the end.
local function turn(self, program)
  tell_lost(self)
  local r, cancelled = guard.run(self.input.read, self.input, prompt_of(self))
  if cancelled then
    io.stdout:write(self.input.cleared)
    return true
  end
  if not r[1] then error(r[2], 0) end
  if not r[2] then return false end
  self.running = nil
  r, cancelled = guard.run(do_line, self, r[2])
  program.untold() -- a ^C that has ended this line is not for the next one
  if cancelled then
    self.code = 130
    if self.running then end_commands(self) end
    print_to.note("interrupted")
  elseif not r[1] then
    self.code = 2
    print_to.note(tostring(r[2]))
  end
  return not self.over
end

local function converse(self, program)
  local release = guard.take()
  local ok, err = pcall(function()
    while turn(self, program) do end -- luacheck: ignore 542
  end)
  release()
  if not ok then error(err, 0) end
  if not self.over then io.stdout:write("\n") end
end

--- From a pipe the first special line that fails ends it: what follows would be for other hosts than meant.
local function obey(self)
  local any = false
  for line in function() return not self.over and self.input.read() or nil end do
    any = true
    do_line(self, line)
  end
  if not any then misuse("run: which command? (see sshlua run --help)") end
end

local refused = { "journal", "resume", "only", "unknown", "outdir", "report", "trace", "no_stdin", "record_input" }

--- Returns the exit code: that of the last line.
---@param o table of cli/fleet_args.lua
---@param program table
---@param prepare fun(o: table, command: string, source: nil, recordings: table?): function
---@return integer
function M.run(o, program, prepare)
  for _, field in ipairs(refused) do
    if o[field] then misuse("run: which command? (--%s goes with one)", (field:gsub("_", "-"))) end
  end
  local interactive = core.isatty(0)
  local fleet = fleet_run.fleet(o)
  o.sudo, o.ask_sudo, o.one_interrupt = fleet_run.sudo(o), nil, true
  local self = {
    o = o, prepare = prepare, choice = Choice.new(fleet, o.inventory), sessions = {}, code = 0,
    interactive = interactive, recordings = fleet_record.new(o, true),
    input = interactive and (line_input.editor(program, { history = "run_history", one_line = true })
      or line_input.stdio(program)) or line_input.pipe(program),
  }
  if interactive and not o.quiet then
    print_to.note(("one prompt for %d hosts: each line is a command of its own; ? helps, ^D leaves"):format(#fleet))
  end
  local ok, err = pcall(interactive and converse or obey, self, program)
  self.input.close()
  if not ok then error(err, 0) end
  return self.code
end

return M
