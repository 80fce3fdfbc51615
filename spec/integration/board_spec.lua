-- `sshlua run --board` at a terminal: in tmux, on a throwaway fleet. Hosts go on when the spec says so: they wait for
-- files, since they share our file system.
local core = require "sshlua.core"
local fleets = require "spec.support.fleets"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"
local terminal = require "spec.support.terminal"

local fleet, start_fleet, stop_fleet = servers.shared { hosts = 4 }

-- For the hosts' shell: says which host this is as $n, and waits for a file's name.
local PRELUDE = [[n=${SSH_CONNECTION#* * 127.0.0.}; n=$(( ${n%% *} - 1 )); until_there() { while [ ! -e "$dir/$1" ]; do sleep 0.03; done; }; dir=]]

local function without_times(text) return (text:gsub("%d%d:%d%d", "TT:TT"):gsub("#+", "#")) end

describe("the board", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)

  -- fn(terminal, go, pid): go(name) lets hosts that wait for it go on, pid() is the program's.
  local function it_shows(name, opts, script, fn)
    it(name, run.body(function()
      if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
      local dir = assert(core.fs_mkdtemp_sync(program.directory() .. "/board.XXXXXX"))
      assert(core.fs_write_sync(dir .. "/script", PRELUDE .. dir .. "\n" .. script, 448))
      local words = {}
      for variable, value in pairs(fleets.environment(fleet())) do
        words[#words + 1] = value and variable .. "=" .. value or "-u " .. variable
      end
      table.sort(words, function(a, b) return a:sub(1, 1) == "-" and b:sub(1, 1) ~= "-" end)
      local command = ("echo \\$\\$ >%s/pid; exec env %s %s run %s '. %s/script'"):format(dir, table.concat(words, " "),
        task.await(core.fs_realpath, program.path), opts.args, dir)
      local line = ('echo before; sh -c "%s"; echo status $?; stty -a | grep -ow -e icanon -e -icanon; exec sleep 60')
        :format(command)
      fn(terminal.start((opts.before or "") .. line, opts.cols or 100, opts.rows or 30),
        function(file) assert(core.fs_write_sync(dir .. "/" .. file, "", 384)) end,
        function() return tonumber((servers.read_file(dir .. "/pid"))) end)
    end, 60))
  end

  it_shows("has a line for each host, and prints everything when it goes", { args = "--board -w web[1-4],gone.invalid" }, [[
    printf 'first of %s\n\033[31mred\033[0m\n' $n
    until_there mid
    case $n in
      1) printf '\r10%%\r40%%' ;;
      2) echo '[3/4] CC x.o' ;;
      3) echo done; exit 0 ;;
      4) echo no >&2; exit 3 ;;
    esac
    until_there end
    echo bye
  ]], function(t, go)
    t:expect "1 failed, 4 running.*\n > web4%s+%d%d:%d%d run%s+\\x1b%[31mred"
    go "mid"
    local text = t:expect "2 failed, 2 running, 1 ok.*40%% 40%%\n.*3/4.*\n %+ web3"
    assert.equal(([[
sshlua run: . DIR                                                                             TT:TT
5 hosts: 2 failed, 2 running, 1 ok
 ! gone.invalid TT:TT resolve                      ADDRESS
 ! web4         TT:TT exit 3                       no
 > web1         TT:TT run        [====      ]  40%% 40%%
 > web2         TT:TT run        [=======   ]  75%% [3/4] CC x.o
 + web3         TT:TT ok                           done
]]):gsub("%%%%", "%%"), (without_times(text):gsub("%. /%S+ +", ". DIR" .. (" "):rep(77)):gsub("(resolve +)[^\n]+", "%1ADDRESS")
      :gsub("\n\n.*", "\n"):gsub("(DIR +)TT", function(s) return "DIR" .. (" "):rep(77) .. "TT" end)))
    assert.falsy(text:find "before")
    go "end"
    text = t:expect "status 4\nicanon"
    assert.matches("^before\n", text)
    for _, line in ipairs { "web1: first of 1", "web1: \\x1b[31mred\\x1b[0m", "web3: done", "web4: no", "web2: [3/4] CC x.o",
      "web1: \\r10%\\r40%bye", "web2: bye", "sshlua: 3 ok, 1 exit (web4), 1 resolve (gone.invalid)" } do
      assert.truthy(text:find("\n" .. line, 1, true), line .. " is not in\n" .. text)
    end
  end)

  it_shows("fits into 40x10, and into what the terminal becomes", { args = "--board -w web[1-4]", cols = 40, rows = 10 }, [[
    echo a line that is longer than the terminal is wide
    until_there end
  ]], function(t, go)
    local text = t:expect "web4 %d%d:%d%d a line"
    assert.equal([[
4 hosts: 4 running                 TT:TT
 > web1 TT:TT a line that is longer than
 > web2 TT:TT a line that is longer than
 > web3 TT:TT a line that is longer than
 > web4 TT:TT a line that is longer than




? help  q leave  ^C stop]], without_times(text))
    t:resize(70, 12)
    t:expect "web4 %d%d:%d%d run        a line that is longer than the terminal is wi"
    t:resize(24, 5)
    t:expect "^4 hosts: >4 +%d%d:%d%d\n>>>>\n > web1 %d%d:%d%d a line tha\n > web2 %d%d:%d%d a line tha\n%? help"
    go "end"
    t:expect "status 0\nicanon"
  end)

  it_shows("obeys keys, and is left for lines", { args = "--board -w web[1-4]" }, [[
    echo common
    echo own $n
    until_there end
    echo after
  ]], function(t, go)
    t:expect "web4%s+%d%d:%d%d run%s+own 4"
    t:key "j"
    t:key "j"
    t:key "Enter"
    t:expect "^web2: run\ncommon\nown 2\n\n"
    t:key "q"
    t:key "m"
    t:key "j"
    t:key "d"
    t:expect "^web2 and web3\n%-%-%- web2\n%+%+%+ web3\n@@ %-1,2 %+1,2 @@\n common\n%-own 2\n%+own 3\n"
    t:key "d"
    t:key "s"
    t:expect "\n > web4.*\nweb3: run\ncommon\nown 3"
    t:key "q"
    t:type "/4"
    t:key "Enter"
    t:expect "4 running\n > web4[^\n]+\n\n.*shown: /4"
    t:key "Escape"
    t:key "'?'"
    t:expect "leave: the run goes on, in lines"
    t:key "q"
    t:key "q"
    local text = t:expect "before\n.*web4: own 4"
    assert.falsy(text:find "status")
    go "end"
    t:expect "web4: after\n.*sshlua: 4 ok; [^\n]+\nstatus 0\nicanon"
  end)

  it_shows("stays when somebody looks at a host #long", { args = "--board -w web[1-2]" }, "until_there end; echo bye", function(t, go)
    t:expect "2 running"
    t:key "Enter"
    t:expect "^web1: run"
    go "end"
    t:expect "^web1: ok\nbye\n.*all are done: q leaves"
    t:key "q"
    t:key "q"
    t:expect "before\n.*bye\nsshlua: 2 ok; [^\n]+\nstatus 0\nicanon"
  end)

  it_shows("says what a first ^C did, and goes with the second", { args = "--board --parallel 2 -w web[1-4]" }, [[
    echo begun
    until_there end
  ]], function(t)
    t:expect "2 running, 2 queued.*web2[^\n]+begun"
    t:key "C-c"
    t:expect "interrupted: nothing new starts; %^C again cancels"
    t:key "C-c"
    t:expect "before\n.*begun\n.*still running: web%[1%-2%].*2 cancelled.*status 130\nicanon"
  end)

  it_shows("has a strip of all when there are 200", { args = "--board --parallel 4 -w web[1-4],x[001-196]", cols = 40, rows = 10 }, [[
    printf '\033[2J\r 7%%\r12/48 \303\251\346\227\245'
    until_there end
  ]], function(t)
    local text = t:expect "web4 %d%d:%d%d  25%% 12/48"
    assert.equal("200 hosts: 4 running, 196 queued   TT:TT\n>>" .. ("."):rep(38) .. "\n" .. ("."):rep(27) ..
      "\n > web1 TT:TT  25% 12/48 é日\n", (without_times(text):match "^[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n"))
    t:key "C-c"
    t:key "C-c"
    t:expect "status 130\nicanon"
  end)

  it_shows("gives the terminal back when it is terminated", { args = "--board -w web[1-2]" }, [[
    echo begun
    until_there end
  ]], function(t, _, pid)
    t:expect "2 running.*web2[^\n]+begun"
    core.kill(pid(), "TERM")
    t:expect "before\n.*begun\n.*status 143\nicanon"
  end)

  it_shows("is not there on a terminal without a second screen #long", { args = "--board -w web1", before = "TERM=dumb; " },
    "echo x", function(t) t:expect "before\nweb1: x\nstatus 0" end)

  it("goes when nobody has pressed a key for a while", run.body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    local flag = program.directory() .. "/over"
    local script = program.file("left.lua", ([[
      local ssh, core = require "sshlua", require "sshlua.core"
      require("sshlua.board").LOOK_SECONDS = 1
      ssh.board(ssh.hosts("gone.invalid", { ssh_config = false }), function()
        while not core.fs_stat_sync(%q) do ssh.sleep(0.03) end
      end)
      print "the script goes on"]]):format(flag))
    local t = terminal.start(("%s %s; echo status $?; exec sleep 60"):format(task.await(core.fs_realpath, program.path), script))
    t:expect "1 queued"
    t:key "Enter"
    t:expect "^gone.invalid: queued"
    assert(core.fs_write_sync(flag, "", 384))
    t:expect "the script goes on\nstatus 0"
  end, 60))
end)
