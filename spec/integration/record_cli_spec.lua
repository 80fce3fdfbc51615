-- --record of `sshlua ssh` and `sshlua run`: what is written, for whom, and who reads it.
local client = require "spec.support.client"
local core = require "sshlua.core"
local files = require "spec.support.files"
local fleets = require "spec.support.fleets"
local program = require "spec.support.program"
local recordings = require "sshlua.recordings"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local terminal = require "spec.support.terminal"

local fleet, start_fleet, stop_fleet = servers.shared { hosts = 3 }

local count = 0
local function fresh()
  count = count + 1
  return ("%s/casts-%d"):format(program.directory(), count)
end

local function text_of(path, kind)
  local parts = {}
  local header = recordings.each(path, function(_, which, text)
    if which == (kind or "o") then parts[#parts + 1] = text end
  end)
  return table.concat(parts), header
end

-- asciinema shows what we have recorded: it wants a terminal to do so.
local function expect_asciinema(path, pattern)
  local found = os.execute "command -v asciinema >/dev/null"
  if found ~= true and found ~= 0 then return end
  for _, verb in ipairs { "cat", "play -s 100" } do
    local home = program.directory()
    local t = terminal.start(("HOME=%s XDG_CONFIG_HOME=%s asciinema %s %s; echo status $?; sleep 60"):format(
      home, home, verb, path))
    t:expect("^" .. pattern .. "status 0")
  end
end

local function it_records(name, fn) it(name, run.body(fn, 60)) end

describe("--record", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)

  it_records("of ssh keeps a terminal's output in a file of its own, and not what is typed", function()
    local dir = fresh()
    local r = client.run(fleet(), { "--record", dir .. "/deep/", "-tt", "web1", "tty >/dev/null && echo ready; exit 5" })
    assert.equal(5, r.code)
    assert.equal("ready\r\n", r.out)
    assert.equal(448, core.fs_stat_sync(dir .. "/deep").mode)
    local path = files.paths(dir .. "/deep")[1]
    assert.truthy(path:find "/web1%-%d+T%d+Z%.cast$")
    assert.equal(384, core.fs_stat_sync(path).mode)
    local text, header = text_of(path)
    assert.equal("ready\r\n", text)
    assert.equal("", (text_of(path, "i")))
    assert.truthy(header.title:find("web1: tty >", 1, true))
    assert.is_true(header.width > 0 and header.height > 0)
    expect_asciinema(path, "ready\n")
  end)

  it_records("of ssh passes pipes on byte for byte, both outputs, input when that is asked for", function()
    local dir, noise = fresh(), client.noise(300000)
    local r = client.run(fleet(), { "--record=" .. dir, "--record-input", "web1", "cat; echo oops >&2" }, { stdin = noise })
    assert.is_true(noise == r.out)
    assert.equal("oops\n", r.err)
    local path = files.paths(dir)[1]
    assert.truthy(text_of(path):find("oops\r\n", 1, true))
    assert.truthy(#text_of(path, "i") >= #noise)
    r = client.run(fleet(), { "--record", dir, "web1", "yes" }, { shell = [["$0" "$@" | head -n 2; exit ${PIPESTATUS:-0}]] })
    assert.equal("y\ny\n", r.out)
    assert.equal(2, #files.paths(dir))
  end)

  it_records("of ssh follows the window, and keeps what came before a crash", function()
    local dir = fresh()
    local t = terminal.start(("sh -c 'echo $$ >%s/pid; exec \"$0\" \"$@\"' %s ssh --record %s --record-input -F %s -t web1 %s; sleep 60"):format(
      program.directory(), client.path(), dir, client.config(fleet()), "'PS1=far.. exec sh -i'"))
    t:expect "far%.%."
    t:resize(100, 30)
    run.eventually(function() return text_of(files.paths(dir)[1], "r") == "100x30" end)
    t:enter "echo $((6 * 7))"
    t:expect "\n42\n"
    core.kill(tonumber(servers.read_file(program.directory() .. "/pid")), "KILL")
    local path = files.paths(dir)[1]
    assert.truthy(text_of(path):find("42\r\n", 1, true))
    assert.equal("echo $((6 * 7))\r", (text_of(path, "i")))
  end)

  it_records("of ssh that cannot be refuses to run anything", function()
    local marker = program.directory() .. "/ran"
    local file = program.file("no-directory", "x")
    local r = client.run(fleet(), { "--record", file, "web1", "touch " .. marker })
    assert.equal(255, r.code)
    assert.truthy(r.err:find(file, 1, true))
    assert.falsy(core.fs_stat_sync(marker))
    assert.equal(255, client.run(fleet(), { "--record-input", "web1", "true" }).code)
    assert.equal(255, client.run(fleet(), { "--record", fresh(), "-N", "web1" }).code)
    assert.truthy(client.run(fleet(), { "--record" }).err:find "needs a directory")
  end)

  it_records("of run is one file for each host that was reached, which rec reads", function()
    local dir, env = fresh(), fleets.environment(fleet(), { web3 = { "Port 1", "ConnectTimeout 2" } })
    local path = program.file("ssh_config", servers.read_file(env.SSHLUA_SSH_CONFIG):gsub("(Host web3\n.-)  Port %d+", "%1", 1))
    env.SSHLUA_SSH_CONFIG = path
    local r = program.run({ "run", "-q", "-w", "web[1-3]", "--record", dir, "--record-input", "--", "cat; echo e >&2; exit 3" },
      { env = env, stdin = "in\n" })
    assert.equal(4, r.code)
    assert.truthy(r.out:find "web1: in\n" and r.out:find "web2: in\n")
    local casts = files.paths(dir)
    assert.equal(2, #casts)
    for i, name in ipairs { "web1", "web2" } do
      assert.truthy(casts[i]:find("/" .. name .. "-", 1, true))
      assert.equal(384, core.fs_stat_sync(casts[i]).mode)
      local text, header = text_of(casts[i])
      assert.truthy(text == "in\r\ne\r\n" or text == "e\r\nin\r\n", text)
      assert.equal("in\n", (text_of(casts[i], "i")))
      assert.equal(name .. ": cat; echo e >&2; exit 3", header.title)
    end
    local grep = program.run({ "rec", "grep", "-l", "in", dir })
    assert.equal(table.concat(casts, "\n") .. "\n", grep.out)
  end)

  it_records("of run masks secrets, and is refused before anything runs when it cannot be", function()
    local dir, env = fresh(), fleets.environment(fleet())
    local file = program.file("no-directory", "x")
    local r = program.run({ "run", "-w", "web1", "--record", file, "--", "echo ran" }, { env = env })
    assert.equal("", r.out)
    assert.equal(1, r.code)
    assert.equal(2, program.run({ "run", "-w", "web1", "--record-input", "true" }, { env = env }).code)
    assert.equal(2, program.run({ "ping", "-w", "web1", "--record", dir }, { env = env }).code)
    local code = [[
      local ssh = require "sshlua"
      ssh.secret("pin", { env = "PIN" }):count("x")
      local main = require "sshlua.cli.run"
      main.run({ "-q", "-w", "web1", "--record", "%s", "--", "printf 'a swordfi'; sleep 0.2; echo 'sh b'" }, {})]]
    env.PIN = "swordfish"
    program.run({ "-e", code:format(dir) }, { env = env })
    assert.equal("a ******** b\r\n", (text_of(files.paths(dir)[1])))
  end)
end)
