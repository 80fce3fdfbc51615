-- The interactive mode: through a pipe, and on a terminal that tmux plays.
local core = require "sshlua.core"
local program = require "spec.support.program"
local run = require "spec.support.run"
local task = require "sshlua.task"

local function it_talks(name, fn, seconds)
  it(name, run.body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    fn()
  end, seconds))
end

describe("the interactive mode on a pipe", function()
  -- What is printed for these lines, without banner and prompts.
  local function talk(lines, opts)
    opts = opts or {}
    opts.stdin = table.concat(lines, "\n") .. "\n"
    local r = program.run({ "-i" }, opts)
    assert.equal(0, r.code)
    local out = r.out:gsub("^sshlua [^\n]*\n", ""):gsub("\n$", "")
    return out, r.err
  end

  it_talks("prints expressions, runs statements, goes on after errors", function()
    local out, err = talk { "1 + 1", "x = 5", "=x", "nil, 'b'", "error 'boo'", "x +", "nope()", "x" }
    assert.equal("> 2\n> > 5\n> nil\tb\n> > >> > 5\n> ", out)
    assert.truthy(err:find "^stdin:1: boo\n")
    assert.truthy(err:find("attempt to", 1, true))
  end)

  it_talks("reads a statement to its end, expressions over several lines, too", function()
    local out, err = talk { "for i = 1, 2 do", "print(i)", "end", "#{1,", "2}", "x = = 1", "local y = 7 return y" }
    assert.equal("> >> >> 1\n2\n> >> 2\n> > 7\n> ", out)
    assert.equal("stdin:1: unexpected symbol near '='\n", err)
  end)

  it_talks("may wait, and has ssh at hand", function()
    local out = talk { "ssh.sleep(0.01)", "local t = ssh.map({1, 2}, function(x) ssh.sleep(0.01) return x * 2 end) return t[1], t[2]",
      "require 'sshlua' == ssh" }
    assert.equal("> > 2\t4\n> true\n> ", out)
  end)

  it_talks("shares standard input with the code it runs", function()
    assert.equal("> the line\n> 3\n> ", (talk { "io.read()", "the line", "1 + 2" }))
  end)

  it_talks("takes prompts from _PROMPT and _PROMPT2", function()
    assert.equal("> a: b: 3\na: ", (talk { "_PROMPT, _PROMPT2 = 'a: ', 'b: '", "1 +", "2" }))
  end)

  it_talks("ends with what os.exit says, and cleanly at the end of input", function()
    assert.equal(4, program.run({ "-i" }, { stdin = "os.exit(4, true)\n" }).code)
    assert.equal(0, program.run({ "-i" }, { stdin = "" }).code)
    assert.equal(0, program.run({ "-i" }, { stdin = "x = function()" }).code)
  end)

  it_talks("comes after the script", function()
    local r = program.run({ "-i", program.file("first.lua", "x = ...") , "arg" }, { stdin = "x\n" })
    assert.truthy(r.out:find("> arg\n", 1, true))
    r = program.run({ "-i", "-e", "error 'no'" }, { stdin = "x\n" })
    assert.equal(1, r.code)
    assert.equal("", r.out)
  end)

  it_talks("^C cancels the call and not the mode; timers go on while nothing is typed", function()
    local r = program.start({ "-i" }, { stdin = "pipe" }):finish(function(child)
      child:write "print 'ready' ssh.sleep(20)\n"
      child:expect "ready"
      child:kill "INT"
      child:write "while true do if not done then done = true print 'busy' end end\n"
      child:expect "busy"
      child:kill "INT"
      child:write "require('sshlua.core').timer(0.05, function() print 'timer' end)\n"
      child:expect "timer"
      child:write "os.exit(3)\n"
    end)
    assert.equal(3, r.code)
    assert.equal("interrupted\nstdin:1: interrupted\n", r.err)
  end)

  teardown(program.remove_directory)
end)

describe("the interactive mode on a terminal", function()
  local tmux, has_tmux
  local servers = 0

  local function shell(fmt, ...)
    local pipe = assert(io.popen(fmt:format(...) .. " 2>&1"))
    local text = pipe:read "a"
    pipe:close()
    return text
  end

  local function quoted(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

  setup(function()
    has_tmux = os.execute "command -v tmux >/dev/null"
  end)
  teardown(program.remove_directory)

  local Terminal = {}
  Terminal.__index = Terminal

  -- Lines without trailing space, and no empty ones at the end.
  function Terminal.screen() return (shell("%scapture-pane -p", tmux):gsub(" +\n", "\n"):gsub("\n+$", "")) end

  -- Waits until the screen matches.
  function Terminal:expect(pattern)
    local text
    for _ = 1, 500 do
      text = self.screen()
      if text:find(pattern) then return text end
      task.sleep(0.02)
    end
    error(("no %q on the screen:\n%s"):format(pattern, text), 0)
  end

  function Terminal.type(_, text) shell("%ssend-keys -l %s", tmux, quoted(text)) end
  function Terminal.key(_, ...) shell("%ssend-keys %s", tmux, table.concat({ ... }, " ")) end

  function Terminal:enter(text)
    self:type(text)
    self:key "Enter"
  end

  -- A terminal with the program in it, in a home of its own or that of another; `more` are words of the command line.
  local function terminal(more, home)
    if not has_tmux then run.skip "no tmux here" end
    home = home or assert(core.fs_mkdtemp_sync(program.directory() .. "/home.XXXXXX"))
    local command = ("HOME=%s TERM=screen LC_ALL=C.UTF-8 XDG_STATE_HOME= %s %s; echo status $?; sleep 60"):format(home,
      task.await(core.fs_realpath, program.path), more or "")
    servers = servers + 1 -- the last one may still be about to end
    tmux = ("env -u TMUX TMUX_TMPDIR=%s tmux -L %d -f /dev/null "):format(program.directory(), servers)
    shell("%snew-session -d -x 80 -y 24 %s", tmux, quoted(command))
    run.defer(function() shell("%skill-server", tmux) end)
    local t = setmetatable({ home = home, history = home .. "/.local/state/sshlua/history" }, Terminal)
    t:expect "\n>$"
    return t
  end

  local function contents(path)
    local file = assert(io.open(path))
    local text = file:read "a"
    file:close()
    return text
  end

  it_talks("edits lines, completes names, and ends at ^D", function()
    local t = terminal()
    t:expect "^sshlua %d"
    t:type "13"
    t:key "Left"
    t:enter "2"
    t:expect "> 123\n123\n>$"
    t:type "strin"
    t:key "Tab"
    t:type ".re"
    t:key "Tab"
    t:expect "> string%.re\nrep +reverse\n> string%.re"
    t:type "p"
    t:enter "('ab', 2)"
    t:expect "\nabab\n>$"
    t:type "ssh.ho"
    t:key "Tab"
    t:expect "> ssh%.host"
    t:key "C-u"
    t:enter "print('äöü', '日本')"
    t:expect "\näöü +日本\n>$"
    t:key "C-d"
    t:expect "status 0"
  end)

  it_talks("^C clears the line, and cancels a call", function()
    local t = terminal()
    t:type "half a li"
    t:expect "half a li"
    t:key "C-c"
    t:expect "half a li%^C\n>$"
    t:enter "ssh.sleep(20)"
    t:expect "sleep%(20%)$"
    task.sleep(0.3)
    t:key "C-c"
    t:expect "%^Cinterrupted\n>$"
    t:enter "while true do end"
    t:expect "do end$"
    task.sleep(0.3)
    t:key "C-c"
    t:expect "stdin:1: interrupted\n>$"
    t:enter "x = {"
    t:expect "\n>>$"
    t:key "C-c"
    t:expect "\n>> %^C\n>$"
    t:enter "6 * 7"
    t:expect "\n42\n>$"
  end)

  it_talks("remembers lines for the next time, in a file for its owner, except those with a space in front", function()
    local t = terminal()
    t:enter "first = 1"
    t:enter " secret = 2"
    t:enter "print('remembered', first)"
    t:expect "remembered +1\n>$"
    t:key "C-d"
    t:expect "status 0"
    assert.equal("first = 1\nprint('remembered', first)\n", contents(t.history))
    assert.equal(384, core.fs_stat_sync(t.history).mode)
    assert.equal(448, core.fs_stat_sync((t.history:gsub("/history$", ""))).mode)
    shell("%skill-server", tmux)
    t = terminal(nil, t.home)
    t:key "Up"
    t:key "Enter"
    t:expect "remembered +nil\n>$"
    t:key "C-d"
    t:expect "status 0"
  end)

  it_talks("gives the terminal to what runs, and goes on while a key sequence is incomplete", function()
    local t = terminal()
    t:enter "io.read()"
    t:expect "io.read%(%)$"
    task.sleep(0.3)
    t:enter "typed"
    t:expect "\ntyped\ntyped\n>$"
    t:enter "require('sshlua.core').timer(0.6, function() print 'on time' end)"
    t:key "Escape"
    t:expect "on time"
    t:type "o" -- Meta-o, which is nothing
    t:enter "os.execute 'stty -a | grep -o -w -e icanon -e -icanon'"
    t:expect "\nicanon\n"
    t:key "C-d"
    t:expect "status 0"
  end)

  it_talks("leaves the terminal as it was when a signal ends it", function()
    local t = terminal "-e 'print(require[[sshlua.core]].getpid())' -i"
    local pid = t:expect "\n?(%d+)\nsshlua" :match "(%d+)\nsshlua"
    t:type "half a line"
    t:expect "half a line"
    core.kill(tonumber(pid), "TERM")
    t:expect "status 143"
    shell("%skill-server", tmux)
    t = terminal "; stty -a | grep -o -w -e icanon -e -icanon"
    t:key "C-d"
    t:expect "\nicanon\n"
  end)

  it_talks("follows the terminal's size", function()
    local t = terminal()
    t:type "6 *"
    t:expect "6 %*"
    shell("%sresize-window -x 60 -y 20", tmux)
    t:type " 7"
    t:key "Enter"
    t:expect "\n42\n>$"
  end)
end)
