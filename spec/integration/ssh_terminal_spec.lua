-- sshlua ssh under a person's terminal, which tmux plays, on a real sshd: it is as it was before, each time.
local client = require "spec.support.client"
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"
local terminal = require "spec.support.terminal"

local fleet, start_fleet, stop_fleet = servers.shared { hosts = { "web1" } }

-- The client in a terminal; afterwards its status, and whether the terminal's settings are the old ones.
local LINE = [[%s before=$(stty -g); sh -c 'echo $$ >%s; exec "$0" "$@"' %s ssh -F %s %s
echo status $?; [ $before = $(stty -g) ] && echo as before; sleep 60]]

local function pid_file() return program.directory() .. "/pid" end

local function login(words, before)
  return terminal.start(LINE:format(before or "", pid_file(), client.path(), client.config(fleet()), words))
end

local function is_over(t, status) t:expect(("status %d\nas before$"):format(status)) end

local SHELL = "-t web1 'env -i HOME=/nonexistent HISTFILE=/dev/null TERM=screen PATH=$PATH PS1=far.. bash --norc --noprofile'"

local function shell(before)
  local t = login(SHELL, before)
  t:expect "far%.%."
  return t
end

local function it_shows(name, fn) it(name, run.body(fn, 60)) end

describe("sshlua ssh at a terminal", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)

  it_shows("logs in, has the terminal's size and its keys, and ends with the shell", function()
    local t = shell()
    t:enter "stty size; x=5"
    t:expect "24 80\n"
    t:key "C-c" -- for the shell, not for us
    t:enter "sleep 100"
    task.sleep(0.2)
    t:key "C-c"
    t:resize(100, 30)
    task.sleep(0.5)
    t:enter "clear; stty size; echo $((x * 2))"
    t:expect "30 100\n10\n"
    t:enter "exit 7"
    t:expect "Connection to 127[%d.]+ closed%."
    is_over(t, 7)
  end)

  it_shows("takes the terminal's own settings along", function()
    local t = shell "stty erase ^H -ixon;"
    t:enter "clear; stty -a | grep -o -w -e ' erase = [^;]*' -e '[-]*ixon'"
    t:expect "erase = %^H\n%-ixon\n"
    t:enter "exit"
    is_over(t, 0)
  end)

  it_shows("opens and closes a full-screen editor", function()
    local t = shell()
    t:enter "vi -u NONE -n; echo left"
    t:expect "~\n~\n"
    t:type "ihello"
    t:key "Escape"
    t:expect "^hello\n"
    t:enter ":q!"
    t:expect "left\n"
    t:enter "exit"
    is_over(t, 0)
  end)

  it_shows("redraws top when the window changes", function()
    local t = shell()
    t:enter "top"
    t:expect "Tasks:.-PID"
    t:resize(60, 12)
    run.eventually(function()
      local lines = select(2, t:screen():gsub("\n", "\n"))
      return lines <= 12 and t:screen():find "Tasks:" ~= nil
    end)
    t:type "q"
    t:enter "clear; stty size"
    t:expect "12 60\n"
    t:enter "exit"
    is_over(t, 0)
  end)

  it_shows("takes a paste of a million bytes whole", function()
    local text = ("0123456789abcdefghijklmnopqrstuvwxyz"):rep(30000):sub(1, 1000000)
    local path = program.file("paste", text)
    local sum = processes.must_run({ "sha256sum", path }):match "%x+"
    local t = login "-e none -t web1 'stty raw -echo; echo ready; head -c 1000000 | sha256sum; stty sane'"
    t:expect "ready"
    t:paste(path)
    t:expect(sum:sub(1, 40))
    is_over(t, 0)
  end)

  it_shows("leaves a host that hangs with ~.", function()
    local t = shell()
    fleet():kill("web1", "STOP")
    run.defer(fleet().kill, fleet(), "web1", "CONT")
    t:enter "are you there"
    t:key "Enter"
    t:type "~."
    t:expect "~%.\nConnection to"
    is_over(t, 255)
  end)

  it_shows("has the other escapes: help, connections, a level, and what there is not", function()
    local t = shell()
    t:enter "clear; echo clea''red"
    t:expect "cleared\nfar" -- or it would wipe what comes now
    t:type "~?"
    t:expect "~%.%s+end the connection.-\n ~~%s+send the key"
    t:type "~#"
    t:expect "#0 .- to 127"
    t:type "~R"
    t:expect "~R: not supported"
    t:type "~C"
    t:expect "~C: "
    t:type "~B"
    t:expect "sent a BREAK"
    t:key "Enter"
    t:type "echo a~~b ~."
    t:key "Enter"
    t:expect "\na~~b ~%.\n"
    t:type "~~"
    t:key "Enter"
    t:expect "nonexistent" -- bash about ~
    t:enter "exit 0"
    is_over(t, 0)
  end)

  it_shows("stops with ~^Z and goes on in the foreground", function()
    local t = terminal.start(("PS1='near> ' HISTFILE=/dev/null bash --norc; sleep 60"))
    t:expect "near>"
    t:enter(("b=$(stty -g); clear; %s ssh -F %s %s"):format(client.path(), client.config(fleet()), SHELL))
    t:expect "far%.%."
    t:type "~"
    t:key "C-z"
    t:expect "Stopped"
    t:enter "clear; [ $b = $(stty -g) ] && echo as before"
    t:expect "^as before\n"
    t:enter "fg"
    task.sleep(0.3)
    t:enter "echo he''re"
    t:expect "\nhere\n"
    t:enter "exit"
    t:expect "closed%.\nnear>$"
    t:enter "clear; [ $b = $(stty -g) ] && echo still"
    t:expect "^still\n"
  end)

  it_shows("gives the terminal back when a signal, a crash, or a lost connection ends it", function()
    for signal, status in pairs { TERM = 255, HUP = 255, SEGV = 139, ABRT = 134 } do
      local t = login(SHELL, "ulimit -c 0; export ASAN_OPTIONS=handle_segv=0:handle_abort=0;")
      t:expect "far%.%."
      core.kill(tonumber(servers.read_file(pid_file())), signal)
      is_over(t, status)
    end
    local t = shell()
    fleet():kill("web1", "KILL")
    is_over(t, 255)
  end)

  it_shows("asks on the terminal while standard input is a pipe and standard error a file", function()
    local known = program.file("known", "")
    local t = terminal.start(("echo data | %s ssh -F %s -o UserKnownHostsFile=%s web1 cat 2>%s/err; echo status $?; sleep 60"):format(
      client.path(), client.config(fleet()), known, program.directory()))
    t:expect "[Yy]es"
    t:enter "yes"
    t:expect "\ndata\nstatus 0"
    assert.truthy(servers.read_file(known):find "ssh%-ed25519")
  end)
end)
