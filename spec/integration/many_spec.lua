-- `sshlua run -w HOSTS` without a command: lines from a pipe, and a person's prompt, which tmux plays.
local core = require "sshlua.core"
local fleets = require "spec.support.fleets"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"
local terminal = require "spec.support.terminal"

local fleet, start_fleet, stop_fleet = servers.shared { hosts = 4 }

local function is_there(pattern)
  local found = os.execute(("pgrep -f '%s' >/dev/null"):format(pattern))
  return found == true or found == 0
end

local function it_runs(name, fn)
  it(name, run.body(function()
    if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
    fn()
  end, 60))
end

describe("run without a command, from a pipe", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)

  local function obey(args, text)
    local all = { "run", "-q" }
    for _, word in ipairs(args) do all[#all + 1] = word end
    return program.run(all, { env = fleets.environment(fleet()), stdin = text })
  end

  local host = "case $SSH_CONNECTION in *127.0.0.2*) exit 3;; *) echo fine;; esac"

  it_runs("runs each line on all hosts, over the same connections, and ends as the last line did", function()
    local r = obey({ "-b", "-w", "web[1-3]" }, "echo a\n\n# nothing\ncd /; echo \"$PPID\" >&2\nexit 4")
    assert.truthy(r.out:find("web[1-3] (3)", 1, true) and r.out:find "\n *a\n", r.out)
    assert.equal(3, r.code)
    r = obey({ "-w", "web1", "-N" }, "echo $PPID\necho $PPID\ncd /\npwd\n")
    local first, second, where = r.out:match "^(%d+)\n(%d+)\n(.-)\n$"
    assert.truthy(first and first == second, r.out)
    assert.are_not.equal("/", where)
    assert.equal(0, r.code)
  end)

  it_runs("chooses hosts by what they are called, and by what the last line did", function()
    local web1 = fleet().hosts[1].address
    local r = obey({ "-N", "-w", "web[1-3]" }, table.concat({
      (host:gsub("127%.0%.0%.2", web1)), "@failed", "=", "@all", "-web1", "+web4", "=", "@ok", "@web[1,3]", "=", "-lost", "" }, "\n"))
    assert.equal(3, r.code)
    assert.truthy(r.out:find("1 of 3 hosts: web1\n", 1, true), r.out)
    assert.truthy(r.out:find("3 of 4 hosts: web[2-4]\n", 1, true), r.out)
    assert.truthy(r.out:find("2 of 4 hosts: web[1,3]\n", 1, true), r.out)
  end)

  it_runs("stops at a special line that means nothing, before what follows runs elsewhere", function()
    for _, line in ipairs { "@nosuch[", "@", "-web9", ":nonsense", "?x", "@failed", "-all" } do
      local r = obey({ "-w", "web1" }, line .. "\necho ran\n")
      assert.equal("", r.out)
      assert.equal(2, r.code)
    end
    local r = obey({ "-w", "web1" }, "exit\necho ran\n")
    assert.equal("", r.out)
    r = obey({ "-w", "web1", "-N" }, " @() { echo blank; }; @\n")
    assert.equal("blank\n", r.out)
    assert.equal(2, program.run({ "run", "-w", "web1" }, { stdin = "" }).code)
    assert.equal(2, program.run({ "run", "-w", "web1", "--journal", "x" }, { stdin = "true\n" }).code)
  end)

  it_runs("runs lines here, and shows output as it is told to", function()
    local r = obey({ "-w", "web[1-2]" }, "!echo here $((6 * 7))\n:fold\necho x\n:live\necho y\n:quit\necho z\n")
    assert.truthy(r.out:find("^here 42\n"), r.out)
    assert.truthy(r.out:find("web[1-2] (2)", 1, true), r.out)
    assert.truthy(r.out:find("web1: y\n", 1, true), r.out)
    assert.falsy(r.out:find("z", 1, true))
    assert.equal(0, r.code)
  end)

  it_runs("keeps one recording for each host, with the lines in front of what they said", function()
    local dir = program.directory() .. "/casts"
    obey({ "-w", "web[1-2]", "--record", dir }, "echo a\n-web2\necho b >&2\n")
    local texts = {}
    for _, entry in ipairs(task.await(core.fs_readdir, dir)) do
      texts[entry.name:match "^%w+"] = program.run({ "rec", "cat", dir .. "/" .. entry.name }).out
    end
    assert.equal("$ echo a\r\na\r\n$ echo b >&2\r\nb\r\n", texts.web1)
    assert.equal("$ echo a\r\na\r\n", texts.web2)
  end)

  it_runs("connects again to a host that was lost", function()
    local r = obey({ "-N", "-w", "web[1-2]" }, "!true\ncase $SSH_CONNECTION in *"
      .. fleet().hosts[1].address .. "*) kill -9 $PPID;; esac; sleep 0.2\n@lost\n=\necho back\n")
    assert.truthy(r.out:find("1 of 2 hosts: web1\n", 1, true), r.out .. r.err)
    assert.truthy(r.out:find("back\n", 1, true), r.out .. r.err)
    assert.equal(0, r.code)
  end)
end)

describe("one prompt for many hosts", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)

  local function prompt(words)
    local env = fleets.environment(fleet())
    local home = assert(core.fs_mkdtemp_sync(program.directory() .. "/home.XXXXXX"))
    local t = terminal.start((
      "b=$(stty -g); HOME=%s XDG_STATE_HOME= SSHLUA_SSH_CONFIG=%s %s run %s -w 'web[1-3]'; echo status $?; "
      .. "[ $b = $(stty -g) ] && echo as before; sleep 60"):format(
      home, env.SSHLUA_SSH_CONFIG, task.await(core.fs_realpath, program.path), words or ""))
    t:expect "\nweb%[1%-3%]>$"
    return t, home
  end

  it_runs("runs lines, remembers them, says what went wrong, and leaves at ^D", function()
    local t, home = prompt "-b"
    t:enter "echo hello"
    t:expect "web%[1%-3%] %(3%).-\nhello\n.-3 ok\nweb%[1%-3%]>$"
    t:enter "-web3"
    t:expect "\nweb%[1%-2%]>$"
    t:key("Up", "Up", "Enter")
    t:expect "web%[1%-2%] %(2%).-\nhello\n"
    t:enter "@nobody!nobody"
    t:expect "no host.-\nweb%[1%-2%]>$"
    t:enter "?"
    t:expect "@HOSTS.-\nweb%[1%-2%]>$"
    t:enter "exit 3"
    t:expect "2 exit.-\nweb%[1%-2%]>$"
    t:key "C-d"
    t:expect "\nstatus 3\nas before$"
    assert.equal("echo hello\n-web3\necho hello\n@nobody!nobody\n?\nexit 3\n",
      servers.read_file(home .. "/.local/state/sshlua/run_history"))
  end)

  it_runs("ends the line that runs at ^C, and clears the one that is typed", function()
    local t = prompt()
    t:enter "echo started; sleep 5077"
    t:expect "web3: started"
    assert.truthy(is_there "sleep 507[7]")
    t:key "C-c"
    t:expect "interrupted\nweb%[1%-3%]>$"
    run.eventually(function() return not is_there "sleep 507[7]" end)
    t:type "half a line"
    t:expect "half a line$"
    t:key "C-c"
    t:expect "half a line%^C\nweb%[1%-3%]>$"
    t:enter "echo on"
    t:expect "web3: on"
    t:key "C-d"
    t:expect "\nstatus 0\nas before$"
  end)

  it_runs("says who was lost, and reaches them again", function()
    local t = prompt()
    t:enter "echo up"
    t:expect "3 ok\nweb%[1%-3%]>$"
    fleet():kill("web2", "KILL")
    task.sleep(0.2)
    t:enter "!echo here"
    t:expect "here\nsshlua: web2: connection lost .-connects again\nweb%[1%-3%]>$"
    t:enter "clear; echo again"
    t:expect "web2: again"
    t:key "C-d"
    t:expect "status 0"
  end)
end)
