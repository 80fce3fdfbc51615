-- Pastes at our prompts, marked by the terminal (tmux plays it): a pasted line end runs nothing.
local core = require "sshlua.core"
local fleets = require "spec.support.fleets"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"
local terminal = require "spec.support.terminal"

local fleet, start_fleet, stop_fleet = servers.shared { hosts = 2 }

local count = 0
local function pasted(t, text)
  count = count + 1
  t:paste(program.file("paste" .. count, text), true)
end

local function it_pastes(name, fn)
  it(name, run.body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    fn(task.await(core.fs_realpath, program.path), assert(core.fs_mkdtemp_sync(program.directory() .. "/home.XXXXXX")))
  end, 60))
end

describe("a paste", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)

  local function interactive(path, home, words)
    local t = terminal.start(("HOME=%s XDG_STATE_HOME= %s %s; echo status $?; cat -v"):format(home, path, words or ""))
    t:expect "\n>$"
    return t
  end

  it_pastes("of several lines is one piece for the interactive mode, and waits for Enter", function(path, home)
    local t = interactive(path, home)
    pasted(t, "x = 40\nx = x + 2\nprint('one', x)\n")
    t:expect "x = 40\n.*x = x %+ 2\n.*print%('one', x%)$"
    task.sleep(0.2)
    assert.falsy(t:screen():find "\none")
    t:key "Enter"
    t:expect "\none%s+42\n>$"
    t:type "("
    pasted(t, "'grün' ..\n\t' 日本'")
    t:enter ")"
    t:expect "\ngrün 日本\n>$"
    pasted(t, "print 'no'\n-- \27[31mno\3\n")
    t:expect "%[31mno$"
    t:key "C-c"
    t:expect "%^C\n>$"
    t:enter "6 * 7"
    t:expect "\n42\n>$"
  end)

  it_pastes("is not marked any more when the program has ended or is stopped, however", function(path, home)
    for _, how in ipairs { "C-d", "TERM", "SEGV" } do
      local t = interactive(path, home, "-e 'print(require[[sshlua.core]].getpid())' -i")
      if how == "C-d" then
        t:key "C-d"
      else
        core.kill(tonumber(t:screen():match "(%d+)\nsshlua"), how)
      end
      t:expect "status %d+"
      pasted(t, "plain\n")
      t:expect "\nplain\nplain"
      assert.falsy(t:screen():find "200~")
    end
    local t = terminal.start(("PS1='near> ' HISTFILE=/dev/null HOME=%s bash --norc --noediting; sleep 60"):format(home))
    t:expect "near>"
    t:enter(path)
    t:expect "\n>$"
    t:key "C-z"
    t:expect "Stopped"
    pasted(t, "echo a''b\n")
    t:expect "\nab\nnear>$"
    t:enter "fg"
    task.sleep(0.3)
    pasted(t, "print(1)\nprint(2)")
    t:key "Enter"
    t:expect "\n1\n2\n>$"
  end)

  it_pastes("as large as that is taken whole, and one that is larger is not taken #long", function(path, home)
    local t = interactive(path, home)
    pasted(t, "big = [[" .. ("0123456789abcde\n"):rep(2000) .. "]]")
    t:expect "%]%]$"
    t:key "Enter"
    t:enter "#big"
    t:expect "\n32000\n>$"
    pasted(t, ("x"):rep(1100000))
    t:enter "#big + 1"
    t:expect "32001\n>$"
  end)

  local function prompt(path, home)
    local env = fleets.environment(fleet())
    local t = terminal.start(("HOME=%s XDG_STATE_HOME= SSHLUA_SSH_CONFIG=%s %s run -q -w 'web[1-2]'; echo status $?; cat -v"):format(
      home, env.SSHLUA_SSH_CONFIG, path))
    t:expect "web%[1%-2%]>$"
    return t
  end

  it_pastes("at the prompt for many hosts is offered line by line, and each waits for Enter", function(path, home)
    local t = prompt(path, home)
    pasted(t, "echo fi''rst\3\4\necho sec''ond\necho th''ird\n")
    t:expect "echo fi''rst$"
    task.sleep(0.3)
    assert.falsy(t:screen():find "first")
    t:key "Enter"
    t:expect "web2: first.-%(1 more pasted%)> echo sec''ond$"
    t:key("C-u")
    t:enter "echo ot''her"
    t:expect "other.-> echo th''ird$"
    t:key "C-c"
    t:expect "%^C\nweb%[1%-2%]>$"
    task.sleep(0.2)
    assert.falsy(t:screen():find "third")
    assert.falsy(t:screen():find "second")
    t:key "C-d"
    t:expect "status 0"
  end)

  it_pastes("while a line runs is thrown away, and so is what was typed", function(path, home)
    local t = prompt(path, home)
    t:enter "echo begun; sleep 1; echo over"
    t:expect "web[12]: begun"
    pasted(t, "echo ev''il\n")
    t:enter "echo wo''rse"
    t:expect "over.-\nweb%[1%-2%]>$"
    t:enter "echo go''od"
    t:expect "web%d: good.-web%[1%-2%]>$"
    assert.falsy(t:screen():find "evil")
    assert.falsy(t:screen():find "worse")
  end)
end)
