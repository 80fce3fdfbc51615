-- A network device that is played: what a forced command runs in place of a shell.
-- usage: lua5.4 fake_device.lua KIND DIRECTORY [HABIT...]
-- KIND: ios, nxos, eos, junos, routeros. DIRECTORY keeps its running configuration ("running"), what was saved
-- ("startup"), what is taken back when ("pending"), and its clock in seconds ("clock": who plays with it sets it).
-- HABIT: login (a Unix shell first), unprivileged, enable=PASSWORD, stubborn (a wrong one is asked for again), paged
-- (pages cannot be switched off), noarchive, locked, taken (somebody else is at it), tag=WORD (in what it shows),
-- closes=LINE (in the middle of what it says to that line).
local kind, dir = arg[1], arg[2]
local habit = {}
for i = 3, #arg do
  local name, value = arg[i]:match "^(%w+)=(.*)$"
  habit[name or arg[i]] = value or true
end
os.execute "stty -echo -icanon -isig min 1 -onlcr -icrnl -ixon -iexten"
io.stdout:setvbuf "full"

local function say(text) io.write((text:gsub("\n", "\r\n")), "\r\n") end
local function ask(text) io.write(text) end

local function read_key()
  io.stdout:flush()
  local c = io.read(1)
  if not c then os.exit(0) end
  return c
end

local function read_line(hidden)
  local line = {}
  while true do
    local c = read_key()
    if c == "\n" or c == "\r" then break end
    if #line == 0 and (c == "\24" or c == "\4") then return c end
    line[#line + 1] = c
  end
  local text = table.concat(line)
  if not hidden then ask(text) end
  ask "\r\n"
  return text
end

-- Configurations ---------------------------------------------------------------------------------------------------

local function load_list(name)
  local f, list = io.open(dir .. "/" .. name, "r"), {}
  for line in f and f:lines() or function() end do list[#list + 1] = line end
  if f then f:close() end
  return list, f ~= nil
end

local function save_list(name, list)
  local f = assert(io.open(dir .. "/" .. name .. ".new", "w"))
  for _, line in ipairs(list) do f:write(line, "\n") end
  f:close()
  os.rename(dir .. "/" .. name .. ".new", dir .. "/" .. name)
end

local function clock()
  local f = io.open(dir .. "/clock", "r")
  local now = f and f:read "n" or 0
  if f then f:close() end
  return now
end

-- What was to be confirmed and was not is taken back: looked at before each line, as time passes.
local function settle()
  local pending, there = load_list "pending"
  if there and clock() > tonumber(pending[1]) then
    table.remove(pending, 1)
    save_list("running", pending)
    os.remove(dir .. "/pending")
  end
end

-- Safe Mode belongs to a process; what it has done is taken back when that has gone.
local function hold_safe_mode(old)
  if not old then return os.remove(dir .. "/safe") end
  local stat = io.open("/proc/self/stat", "r")
  local list = { ("%d"):format(stat:read "n") }
  stat:close()
  for _, line in ipairs(old) do list[#list + 1] = line end
  save_list("safe", list)
end

local function check_safe_mode()
  local old, there = load_list "safe"
  if not there or io.open("/proc/" .. old[1] .. "/stat", "r") then return end
  table.remove(old, 1)
  save_list("running", old)
  os.remove(dir .. "/safe")
end

local function arm(seconds, old)
  local list = { ("%d"):format(clock() + seconds) }
  for _, line in ipairs(old) do list[#list + 1] = line end
  save_list("pending", list)
end

local function disarm()
  settle()
  return os.remove(dir .. "/pending")
end

local function take_back()
  local pending, there = load_list "pending"
  if not there then return false end
  table.remove(pending, 1)
  save_list("running", pending)
  os.remove(dir .. "/pending")
  return true
end

-- Adds a line, or takes one away ("no vlan 10", "delete vlans x").
local function apply(list, line)
  local gone = line:match "^no (.*)$" or (line:match "^delete (.*)$" and "set " .. line:match "^delete (.*)$")
  for i = #list, 1, -1 do
    if list[i] == (gone or line) then table.remove(list, i) end
  end
  if not gone then list[#list + 1] = line end
end

local function difference(old, new)
  local has, out = {}, {}
  for _, line in ipairs(old) do has[line] = true end
  for _, line in ipairs(new) do
    if not has[line] then out[#out + 1] = "+" .. line end
    has[line] = nil
  end
  for _, line in ipairs(old) do
    if has[line] then out[#out + 1] = "-" .. line end
  end
  return table.concat(out, "\n")
end

-- Pages ------------------------------------------------------------------------------------------------------------

local paging = true
local more = { junos = "---(more)---", routeros = "-- [Q quit|D dump|down]" }

local function page(text)
  local n = 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    if n == 20 and (paging or habit.paged) then
      n = 0
      ask(more[kind] or " --More-- ")
      local key = read_key()
      ask("\r" .. (" "):rep(24) .. "\r")
      if key == "q" then return end
      if key == "d" then n = -math.huge end
    end
    say(line)
    n = n + 1
  end
end

-- Kinds ------------------------------------------------------------------------------------------------------------

local mode, candidate = habit.unprivileged and "user" or "exec", nil
local session_name, trial

local function running() return (load_list "running") end

local shows = {
  ["show running-config"] = function() page("hostname sw1\n" .. table.concat(running(), "\n") .. "\nend") end,
  ["show long"] = function()
    local lines = {}
    for i = 1, 65 do lines[i] = ("  %s line %d"):format(habit.tag or kind, i) end
    page(table.concat(lines, "\n"))
  end,
}

local caret = { ios = "% Invalid input detected at '^' marker.\n", nxos = "% Invalid command at '^' marker.",
  eos = "% Invalid input" }

-- What configuration lines have in common: "vlan 9999" is wrong, "vlan" is incomplete, "int" may be two things.
local function judge(line)
  if line:find "9999" then return caret[kind] and "       ^\n" .. caret[kind] or "syntax error." end
  if line == "vlan" then return "% Incomplete command.\n" end
  if line == "in" then return '% Ambiguous command:  "in"' end
end

local function classic_config(line)
  local wrong = judge(line)
  if wrong then return say(wrong) end
  if candidate then
    apply(candidate, line)
  else
    local list = running()
    apply(list, line)
    save_list("running", list)
  end
  mode = line:find "^vlan" and "config-vlan" or mode
end

local function enable()
  if mode ~= "user" then return end
  if not habit.enable then
    mode = "exec"
    return
  end
  for _ = 1, habit.stubborn and 3 or 1 do
    ask "Password: "
    if read_line(true) == habit.enable then
      mode = "exec"
      return
    end
  end
  say(kind == "ios" and "% Bad secrets\n" or "% Access denied")
end

local function is_config() return mode:find "^config" end
local function has_trailing_newline(text) return (text:gsub("\n$", "")) end

local ios = {}
ios.prompt = function() return mode == "user" and "sw1>" or mode == "exec" and "sw1#" or ("sw1(%s)#"):format(mode) end
ios.lines = function(line)
  local minutes = line:match "^configure terminal revert timer (%d+)$"
  if mode == "user" and line:find "^conf" then
    say(caret.ios)
  elseif line == "configure terminal" or minutes then
    if minutes and habit.noarchive then return say "% Archive not configured: no revert" end
    if minutes then
      arm(minutes * 60, running())
      say "Rollback Confirmed Change: Backing up current running config to flash:cfg-1"
    end
    say "Enter configuration commands, one per line.  End with CNTL/Z."
    mode = "config"
  elseif line == "end" then
    mode = "exec"
  elseif line == "configure confirm" then
    if not disarm() then say "%No Rollback Confirmed Change pending" end
  elseif line == "configure revert now" then
    if take_back() then say "Rollback Confirmed Change: rolling to: flash:cfg-1\nTotal number of passes: 1\nRollback Done" end
  elseif line == "write memory" then
    ask "Overwrite the previous NVRAM configuration?[confirm]"
    read_key()
    say ""
    say "Building configuration...\n[OK]"
    save_list("startup", running())
  else
    return false
  end
end

local nxos = {}
nxos.prompt = ios.prompt
nxos.lines = function(line)
  local seconds = line:match "^commit confirmed (%d+)$"
  if line == "configure terminal" then
    mode = "config"
  elseif line == "configure dual-stage" then
    mode, candidate = "config-dual-stage", running()
  elseif line == "abort" or (line == "end" and is_config()) then
    mode, candidate = "exec", nil
  elseif line == "show configuration" and candidate then
    say("! Cached configuration\n" .. difference(running(), candidate))
  elseif (line == "commit" or seconds) and candidate then
    for _, text in ipairs(candidate) do
      if text:find "4000" then return say "Failed. err=no such thing\ncommit verification failed" end
    end
    if trial then
      trial = nil
      disarm()
      return
    end
    if seconds then
      arm(tonumber(seconds), running())
      trial = true
    end
    save_list("running", candidate)
    say "Verification Succeeded.\n\nProceeding to apply configuration.\nConfiguration committed by user 'admin' using Commit ID : 1"
  elseif line == "copy running-config startup-config" then
    say "[########################################] 100%\nCopy complete."
    save_list("startup", running())
  else
    return false
  end
end

local eos = {}
eos.prompt = function()
  if mode == "config-s" then return ("sw1(config-s-%s)#"):format(session_name:sub(1, 6)) end
  return ios.prompt()
end
eos.lines = function(line)
  local name, what = line:match "^configure session (%S+)%s*(%S*)$"
  local h, m, s = line:match "^commit timer (%d%d):(%d%d):(%d%d)$"
  if name and what == "" then
    mode, session_name, candidate = "config-s", name, running()
  elseif name and (what == "commit" or what == "abort") then
    if name ~= trial then return say "% Invalid session name" end
    trial = nil
    if what == "commit" then disarm() else take_back() end
  elseif candidate and line == "show session-config diffs" then
    say("--- system:/running-config\n+++ session:/" .. session_name .. "-session-config\n" .. difference(running(), candidate))
  elseif candidate and (line == "commit" or h) then
    if h then
      arm(h * 3600 + m * 60 + s, running())
      trial = session_name
    end
    save_list("running", candidate)
    mode, candidate = "exec", nil
  elseif candidate and line == "abort" then
    mode, candidate = "exec", nil
  elseif line == "end" then
    mode = "exec"
  elseif line == "write memory" then
    say "Copy completed successfully."
    save_list("startup", running())
  else
    return false
  end
end

local junos = {}
junos.prompt = function()
  if mode == "unix" then return "root@sw1:~ # " end
  if is_config() then return "\r\n{master:0}[edit]\r\nadmin@sw1# " end
  return "\r\n{master:0}\r\nadmin@sw1> "
end
junos.lines = function(line)
  local minutes = line:match "^commit confirmed (%d+)$"
  if mode == "unix" then
    if line == "cli" then mode = "exec" else say(line .. ": Command not found.") end
  elseif line:find "^set cli " then
    if line:find "screen%-length 0" then paging = false end
    say "Screen set"
  elseif mode == "exec" and line:find "^configure" then
    if habit.locked then
      return say "error: configuration database locked by:\n  joe terminal p0 (pid 123) on since 2026-01-01"
    end
    mode, candidate = "config", running()
    say "Entering configuration mode"
  elseif is_config() and line == "show | compare" then
    say(difference(running(), candidate))
  elseif is_config() and line == "rollback 0" then
    candidate = running()
    say "load complete"
  elseif is_config() and line == "rollback 1" then
    local old = load_list "pending"
    table.remove(old, 1)
    candidate = old
    say "load complete"
  elseif is_config() and (line == "commit" or minutes) then
    for _, text in ipairs(candidate) do
      if text:find "4000" then
        return say "[edit vlans]\n  'x'\n    no such thing\nerror: configuration check-out failed: (statements constraint check failed)"
      end
    end
    if minutes then
      arm(minutes * 60, running())
      say(("commit confirmed will be automatically rolled back in %s minutes unless confirmed"):format(minutes))
    else
      disarm()
    end
    save_list("running", candidate)
    say "commit complete"
  elseif line == "exit configuration-mode" then
    mode = "exec"
    say "Exiting configuration mode"
  elseif is_config() and (line:find "^set " or line:find "^delete ") then
    if line:find "9999" then return say "                 ^\nsyntax error, expecting <command>." end
    apply(candidate, line)
  elseif line ~= "" and not shows[line] then
    say "                 ^\nunknown command."
  else
    return false
  end
end

local routeros = { old = nil }
routeros.prompt = function() return routeros.old and "[admin@MikroTik] <SAFE> " or "[admin@MikroTik] > " end
routeros.lines = function(line)
  if line == "\24" then
    say ""
    if habit.taken and not routeros.old then
      ask "Hijacking Safe Mode from someone - unroll/release/don't take it [u/r/d]: "
      if read_key() == "d" then return say "" end
    end
    say(routeros.old and "[Safe mode released]" or "[Safe Mode taken]")
    routeros.old = not routeros.old and running() or nil
    hold_safe_mode(routeros.old)
  elseif line == "\4" then
    if routeros.old then save_list("running", routeros.old) end
    hold_safe_mode(nil)
    os.exit(0)
  elseif line:find "9999" then
    say "expected end of command (line 1 column 9)"
  elseif line:find "^/" then
    local list = running()
    apply(list, line)
    save_list("running", list)
  elseif line ~= "" and not shows[line] then
    say "bad command name show (line 1 column 1)"
  else
    return false
  end
end

local kinds = { ios = ios, nxos = nxos, eos = eos, junos = junos, routeros = routeros }
local device = assert(kinds[kind], "unknown kind")
if habit.login then mode = "unix" end
say "Authorised access only"


while true do
  ask(device.prompt())
  local line = read_line()
  settle()
  check_safe_mode()
  if habit.closes == line then
    say "the beginning of"
    os.exit(0)
  end
  if line == "exit" and mode ~= "config" then os.exit(0) end
  if line == "enable" and kind ~= "junos" then
    enable()
  elseif line:find "^terminal " then
    if line == "terminal length 0" then paging = false end
    if line:find "^terminal width" and kind == "eos" then say "% Invalid input" end
  elseif shows[line] and device.lines(line) == false then
    shows[line]()
  elseif not shows[line] and device.lines(line) == false and line ~= "" then
    if is_config() then
      classic_config(line)
    else
      say(has_trailing_newline(judge(line) or caret[kind] and "       ^\n" .. caret[kind] or "unknown command"))
    end
  end
end
