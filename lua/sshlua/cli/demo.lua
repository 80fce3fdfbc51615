--- `sshlua demo [--hosts N] [--keep] [-- script.lua args]`: a throwaway fleet of OpenSSH servers on loopback, a script
--- run on it, nothing left behind.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local quote = require("sshlua.quote")
local report = require("sshlua.cli.report")
local task = require("sshlua.task")
local testbed = require("sshlua.testbed")

local unpack = table.unpack or unpack -- luacheck: ignore 143

local M = { summary = "run a script on a throwaway fleet of sshd on loopback" }

local USAGE = [[
usage: sshlua demo [--hosts N] [--keep] [--] script.lua [args]

Starts N hosts (default 5) named web1 to webN on 127.0.0.x, each an OpenSSH sshd with a fresh host key and a home of its
own, runs the script with them known, and removes everything again. ~/.ssh is not read or written.
  --hosts N   how many hosts, 1 to 100
  --keep      wait for Enter before removing the fleet, so that one can look at it
]]

local function to_count(text)
  local n = tonumber((text or ""):match("^%d+$"))
  if not n or n < 1 or n > 100 then
    errors.raise({ kind = "usage", message = "demo: --hosts: a number from 1 to 100 expected" })
  end
  return n
end

local function parse(args)
  local o = { hosts = 5, script = nil, args = {} }
  local i = 1
  while args[i] and args[i]:sub(1, 1) == "-" do
    local name = args[i]
    i = i + 1
    if name == "--" then break end
    if name == "--help" or name == "-h" then
      o.help = true
    elseif name == "--keep" then
      o.keep = true
    elseif name == "--hosts" then
      o.hosts = to_count(args[i])
      i = i + 1
    elseif name:find("^%-%-hosts=") then
      o.hosts = to_count(name:sub(9))
    else
      errors.raise({ kind = "usage", message = "demo: unknown option " .. name })
    end
  end
  o.script = args[i]
  for j = i + 1, #args do o.args[#o.args + 1] = args[j] end
  return o
end

local function say(fmt, ...) io.stderr:write("demo: ", fmt:format(...), "\n") end

--- Connections first: a server that is killed would be news to them. Whoever comes second, while another task is in
--- os.exit, waits for the end of the program.
local function end_fleet(fleet)
  if fleet.stopped then return task.shield(task.sleep, 10) end
  pcall(task.timeout, 2, require("sshlua.host").close_all)
  if fleet:stop() then
    say("the fleet is gone: no process, no file is left")
  else
    say("some process of the fleet would not end; its files are gone")
  end
end

--- os.exit leaves at once, but not without the fleet. Where nothing can wait (in a callback, in a coroutine of the
--- script's own), the fleet's guardian does it a moment later.
local function guard_exit(fleet)
  local exit = os.exit
  os.exit = function(code, close) -- luacheck: ignore 122
    io.stdout:flush()
    pcall(task.shield, end_fleet, fleet)
    exit(code, close)
  end
  return function() os.exit = exit end -- luacheck: ignore 122
end

local function load_script(path)
  local chunk, message = loadfile(path)
  if chunk then return chunk end
  local missing = message:find("^cannot open ") or message:find("^cannot read ")
  report.stop(missing and 2 or 1, "%s", message)
end

local function run_script(o, chunk)
  local before = core.now()
  say("running %s", table.concat({ o.script, unpack(o.args) }, " "))
  arg = { [0] = o.script, unpack(o.args) }
  local ok, err = pcall(chunk, unpack(o.args))
  io.stdout:flush()
  local how = ok and "ended well" or errors.is(err, "cancelled") and "was interrupted" or "failed"
  say("%s %s after %.1f s", o.script, how, core.now() - before)
  if not ok then error(err, 0) end
end

local function wait_for_enter(fleet)
  local host = fleet.hosts[1]
  say("the fleet is in %s; from another terminal:", fleet.dir)
  say("  ssh -F none -i %s -o IdentitiesOnly=yes -o UserKnownHostsFile=%s -p %d %s@%s", quote.quote(fleet.identity),
    quote.quote(fleet.known_hosts), host.port, host.user, host.address)
  if core.isatty(0) then
    task.await(core.tty_prompt, { prompt = "demo: press Enter to remove it ", echo = true })
  else
    say("^C removes it")
    task.sleep(1e8)
  end
end

local SHOWN = 10

local function show_hosts(fleet, seconds)
  say("%d throwaway %s up in %.1f s, each with a host key and a home of its own", #fleet.hosts,
    #fleet.hosts == 1 and "host" or "hosts", seconds)
  for i, host in ipairs(fleet.hosts) do
    if i > SHOWN then
      say("  and %d more", #fleet.hosts - SHOWN)
      break
    end
    local key = core.fingerprint(core.public_key_parse(host.host_key_line))
    say("  %-5s %s@%s:%d  %s", host.name, host.user, host.address, host.port, key)
  end
end

local function use_fleet(s, fleet, o, chunk, before)
  s:defer(end_fleet, fleet)
  s:defer(fleet:enter())
  s:defer(guard_exit(fleet))
  show_hosts(fleet, core.now() - before)
  local ok, err = pcall(run_script, o, chunk)
  if o.keep and (ok or not errors.is(err, "cancelled")) then wait_for_enter(fleet) end
  if not ok then error(err, 0) end
end

local function with_fleet(o)
  local chunk = load_script(o.script)
  local before = core.now()
  local fleet = testbed.start({ hosts = o.hosts, homes = true })
  task.scope(use_fleet, fleet, o, chunk, before)
  return 0
end

function M.run(args)
  local o = parse(args)
  if o.help then
    io.stdout:write(USAGE)
    return 0
  end
  if not o.script then
    errors.raise({ kind = "usage", message = "demo: which script? (sshlua demo -- script.lua args)" })
  end
  return with_fleet(o)
end

return M
