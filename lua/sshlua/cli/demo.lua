--- `sshlua demo [--hosts N] [--keep] [-- script.lua args]`: a throwaway fleet of OpenSSH servers on loopback, a
--- script run on
--- it, nothing left behind.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local settings = require("sshlua.settings")
local task = require("sshlua.task")

local M = { summary = "run a script on a throwaway fleet of sshd on loopback" }

local USAGE = [[
usage: sshlua demo [--hosts N] [--keep] [--] script.lua [args]

Starts N hosts (default 5) named web1 to webN on 127.0.0.x, each an OpenSSH sshd with a fresh host key and a home of its
own, runs the script with them known, and removes everything again. ~/.ssh is not read or written.
  --hosts N   how many hosts, 1 to 100
  --keep      wait for Enter before removing the fleet, so that one can look at it
]]

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
      o.hosts = tonumber(args[i])
      if not o.hosts or o.hosts % 1 ~= 0 or o.hosts < 1 or o.hosts > 100 then
        errors.raise({ kind = "usage", message = "demo: --hosts: a number from 1 to 100 expected" })
      end
      i = i + 1
    else
      errors.raise({ kind = "usage", message = "demo: unknown option " .. name })
    end
  end
  o.script = args[i]
  for j = i + 1, #args do o.args[#o.args + 1] = args[j] end
  return o
end

local function say(fmt, ...) io.stderr:write("demo: ", fmt:format(...), "\n") end

local function point_settings_at(fleet)
  local saved = { defaults = settings.defaults, hosts = settings.hosts }
  settings.defaults, settings.hosts = {}, {}
  for _, host in ipairs(fleet.hosts) do settings.hosts[host.name] = fleet:options(host.name) end
  return function() settings.defaults, settings.hosts = saved.defaults, saved.hosts end
end

--- What os.exit raises in the script, so that the fleet ends before the program does.
local Exit = { __name = "sshlua.demo.Exit" }

local function to_code(code)
  if code == nil or code == true then return 0 end
  if code == false then return 1 end
  return code
end

--- Runs the script; returns its exit code, or raises its error.
local function run_script(path, args)
  local chunk, message = loadfile(path)
  if not chunk then errors.raise({ kind = "usage", message = "demo: " .. message }) end
  local exit, saved_arg = os.exit, arg
  arg = { [0] = path }
  for i, value in ipairs(args) do arg[i] = value end
  os.exit = function(code) error(setmetatable({ code = to_code(code) }, Exit), 0) end -- luacheck: ignore 122
  local ok, err = pcall(chunk, (table.unpack or unpack)(args)) -- luacheck: ignore 143
  os.exit, arg = exit, saved_arg -- luacheck: ignore 122
  if ok then return 0 end
  if getmetatable(err) == Exit then return err.code end
  error(err, 0)
end

local function wait_for_enter(fleet)
  say("the fleet is in %s; try: ssh -F none -i %s -o UserKnownHostsFile=%s -p %d %s@%s", fleet.dir, fleet.identity,
    fleet.known_hosts, fleet.hosts[1].port, fleet.hosts[1].user, fleet.hosts[1].address)
  task.await(core.tty_prompt, { prompt = "demo: press Enter to remove it ", echo = true })
end

local function with_fleet(o)
  local testbed = require("sshlua.testbed")
  local before = core.now()
  local fleet = testbed.start({ hosts = o.hosts, homes = true })
  return task.scope(function(s)
    s:defer(function()
      fleet:stop()
      say("the fleet is gone: no process, no file is left")
    end)
    s:defer(point_settings_at(fleet))
    say("%d hosts up in %.1f s: %s to %s, sshd on %s:%d ...", o.hosts, core.now() - before, fleet.hosts[1].name,
      fleet.hosts[#fleet.hosts].name, fleet.hosts[1].address, fleet.hosts[1].port)
    say("running %s %s", o.script, table.concat(o.args, " "))
    before = core.now()
    local code = run_script(o.script, o.args)
    io.stdout:flush()
    say("%s ended with exit status %d after %.1f s", o.script, code, core.now() - before)
    if o.keep then wait_for_enter(fleet) end
    task.scope(function() require("sshlua.host").close_all() end)
    return code
  end)
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
