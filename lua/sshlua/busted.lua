--- Specs for playbooks, with busted: bodies that may wait, with a deadline and a look at what was left; fleets of
--- throwaway hosts; cassettes; scripts run as scripts. docs/testing.md.
---
---   local t = require "sshlua.busted"
---   it("deploys", t.fleet(5, function(fleet) assert.truthy(t.script("deploy.lua").ok) end))

local body = require("sshlua.testbed.body")
local cassette = require("sshlua.cassette")
local errors = require("sshlua.errors")
local options = require("sshlua.options")
local script = require("sshlua.testbed.script")
local ssh = require("sshlua")
local testbed = require("sshlua.testbed")
local host = require("sshlua.host")

local M = {
  body = body.body, defer = body.defer, skip = body.skip, fails = body.fails, eventually = body.eventually,
  shared = body.shared, script = script.run,
}

local SECONDS = 30
local RECORDING_SECONDS = 600 -- real hosts do real work

--- Fleets -------------------------------------------------------------------------------------------------------------

---@class sshlua.SpecFleetOptions: sshlua.TestbedOptions
---@field timeout? number seconds for the body; default 30

--- 5, { "web1", "db1" } or options -> the testbed's options and the body's seconds.
local function fleet_options(what, level)
  local opts
  if type(what) == "number" then
    opts = { hosts = what }
  elseif type(what) == "table" then
    opts = what[1] ~= nil and { hosts = what } or options.merge(what)
  else
    errors.usage(level + 1, "fleet: a number of hosts, their names or options expected, got %s", type(what))
  end
  local seconds = opts.timeout or SECONDS
  opts.timeout = nil
  if opts.homes == nil then opts.homes = true end
  return opts, seconds
end

local function check_function(fn, level)
  if type(fn) ~= "function" then errors.usage(level + 1, "function expected, got %s", type(fn)) end
end

local function names_of(bed)
  local names = {}
  for i, one in ipairs(bed.hosts) do names[i] = one.name end
  return names
end

--- Starts hosts that every ssh.host and ssh.hosts finds by their names, until `later` calls what it was given.
local function start(opts, later)
  local bed = testbed.start(opts)
  later(function() bed:stop() end)
  later(bed:enter())
  later(host.close_all)
  return bed
end

--- The body of an `it` on throwaway hosts: OpenSSH servers on loopback, named web1, web2, ..., each with its key and
--- home, and gone afterwards. Scripts find them by their names; nothing of the user's is read. fn(fleet, bed): all of
--- them as ssh.hosts gives them, and what started them (bed:kill, :refuse, :pause, :log, :host(name).home).
---@param what integer|string[]|sshlua.SpecFleetOptions how many hosts, or their names
---@param fn fun(fleet: sshlua.Fleet, bed: sshlua.TestbedFleet)
---@return fun()
function M.fleet(what, fn)
  local opts, seconds = fleet_options(what, 2)
  check_function(fn, 2)
  return body.body(function()
    local bed = start(opts, body.defer)
    script.guarded(function() fn(ssh.hosts(names_of(bed)), bed) end)
  end, seconds)
end

--- One fleet for a whole describe: local fleet, start, stop = t.shared_fleet(3); setup(start); teardown(stop).
--- fleet() gives what t.fleet gives its function. The bodies are t.body(fn).
---@param what integer|string[]|sshlua.SpecFleetOptions
---@return fun(): sshlua.Fleet, sshlua.TestbedFleet
---@return fun() start
---@return fun() stop
function M.shared_fleet(what)
  local opts = fleet_options(what, 2)
  local get, set_up, tear_down = body.shared(function()
    local ends = {}
    local bed = start(opts, function(fn) ends[#ends + 1] = fn end)
    return { bed = bed, ends = ends }
  end, function(all)
    for i = #all.ends, 1, -1 do all.ends[i]() end
  end)
  return function() return ssh.hosts(names_of(get().bed)), get().bed end, set_up, tear_down
end

--- Cassettes ----------------------------------------------------------------------------------------------------------

---@class sshlua.SpecCassetteOptions: sshlua.CassetteOptions
---@field fleet? integer|string[]|sshlua.SpecFleetOptions it is recorded on throwaway hosts; default: on those it names
---@field timeout? number seconds for the body; default 30, when it is recorded 600

--- The body of an `it` whose hosts are played from a cassette; when there is none it is recorded. fn(ssh).
--- SSHLUA_CASSETTE=record records anew, =replay never records.
---@param path string
---@param opts? sshlua.SpecCassetteOptions
---@param fn fun(ssh: sshlua)
---@return fun()
function M.cassette(path, opts, fn)
  if fn == nil and type(opts) == "function" then opts, fn = nil, opts end
  check_function(fn, 2)
  if opts ~= nil and type(opts) ~= "table" then errors.usage(2, "options table expected, got %s", type(opts)) end
  opts = options.merge(opts)
  local fleet, seconds = opts.fleet and fleet_options(opts.fleet, 2), opts.timeout
  opts.fleet, opts.timeout = nil, nil
  cassette.mode(path, opts, 2) -- what is wrong with them is said here
  local function is_recording() return cassette.mode(path, opts) == "record" end
  return body.body(function()
    local recording = is_recording()
    if recording and fleet then start(fleet, body.defer) end
    cassette.with(path, opts, function()
      script.guarded(fn, ssh)
      if recording then host.close_all() end
    end)
  end, function() return seconds or (is_recording() and RECORDING_SECONDS or SECONDS) end)
end

return M
