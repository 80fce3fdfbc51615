-- The terminal of a person, handed over and taken back: in tmux, against a real sshd.
local core = require "sshlua.core"
local program = require "spec.support.program"
local run = require "spec.support.run"
local task = require "sshlua.task"
local terminal = require "spec.support.terminal"

local SCRIPT = [[
local ssh = require "sshlua"
local testbed = require "sshlua.testbed"
local fleet = testbed.start()
ssh.scope(function(s)
  s:defer(fleet.stop, fleet)
  local session = ssh.connect("web1", fleet:options "web1")
  s:defer(session.close, session)
  local secret = require("sshlua.core").secret("pin", "hunter22")
  local t = session:shell { command = "env -i HISTFILE=/dev/null TERM=screen PATH=$PATH PS1='far> ' bash --norc", timeout = 20 }
  %s
end)
]]

local function it_hands_over(name, body, fn)
  it(name, run.body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    local script = program.file("script.lua", SCRIPT:format(body))
    local lua = ""
    for _, word in ipairs(arg or {}) do
      if word == "lua" then lua = "--lua-path " .. task.await(core.fs_realpath, "lua") end
    end
    fn(terminal.start(("%s %s %s; echo status $?; stty -a | grep -o -w -e icanon -e -icanon; sleep 60"):format(
      task.await(core.fs_realpath, program.path), lua, script)))
  end, 60))
end

describe("a person at a shell", function()
  teardown(program.remove_directory)

  it_hands_over("types into it, at the terminal's own size, and gives it back with ^]", [[
    t:cmd "x=5"
    t:send("\n")
    print("how:", t:interact())
    print("then:", t:cmd "echo back $x $y")
  ]], function(t)
    t:expect "far>"
    t:enter "y=7; echo $((x * y)); stty size"
    t:expect "\n35\n24 80\n"
    t:resize(100, 30)
    task.sleep(0.5)
    t:enter "clear; stty size"
    t:expect "30 100\n"
    t:key "C-c" -- for the shell, not for us
    t:type "sleep 100"
    t:key "Enter"
    task.sleep(0.3)
    t:key "C-c"
    t:enter "echo still"
    t:expect "\nstill\n"
    t:key "C-]"
    t:expect "how:%s+escape"
    t:expect "then:%s+back 5 7\nstatus 0\nicanon"
  end)

  it_hands_over("ends it with the shell, and sees no secrets", [[
    t:send "\n"
    local how = t:interact { escape = false }
    print("how:", how, secret)
  ]], function(t)
    t:expect "far>"
    t:enter "clear; echo hun''ter22; echo h''unt; exit"
    local text = t:expect "how:%s+eof"
    assert.falsy(text:find "hunter22")
    assert.truthy(text:find "\nhunt\n")
    t:expect "status 0\nicanon"
  end)

  it_hands_over("has the terminal as it was when a signal ends us", [[
    t:send "\n"
    print(require("sshlua.core").getpid())
    t:interact()
  ]], function(t)
    local pid = t:expect "%d+\n.*far>":match "(%d+)\n"
    core.kill(tonumber(pid), "TERM")
    t:expect "status 143\nicanon"
  end)

  it_hands_over("has the terminal as it was when the script fails or leaves meanwhile", [[
    t:send "\n"
    ssh.all(function() t:interact() end, function() ssh.sleep(1) os.exit(7) end)
  ]], function(t)
    t:expect "far>"
    t:expect "status 7\nicanon"
  end)

  it_hands_over("has it back when time is up", [[
    t:send "\n"
    local ok, err = ssh.try(ssh.timeout, 1, t.interact, t)
    print("err:", err.kind)
    print("then:", t:cmd "echo on")
  ]], function(t) t:expect "err:%s+timeout\nthen:%s+on\nstatus 0\nicanon" end)

  it("needs a terminal", run.body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    local r = program.run({ "-e", SCRIPT:format "t:interact()" }, { shell = 'setsid "$0" "$@"' })
    assert.equal(1, r.code)
    assert.truthy(r.err:find "needs a terminal")
  end, 60))
end)
