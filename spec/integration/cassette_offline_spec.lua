-- Nothing reaches the network while a cassette is played, whatever a script calls: each public verb is either on the
-- cassette, refused by name, or does not need a host. A verb that is new has to be named here.
local cassette = require "sshlua.cassette"
local core = require "sshlua.core"
local files = require "spec.support.files"
local host_class = require("sshlua.host").class
local pool = require "sshlua.pool"
local run = require "spec.support.run"
local ssh = require "sshlua"
local t = require "sshlua.busted"

local body, fails = run.body, run.fails
local get, start_fleet, stop_fleet = t.shared_fleet { hosts = 2, homes = true }

local function path() return files.directory() .. "/a.jsonl" end

local ways = { "tcp_connect", "unix_connect", "resolve", "resolve_canonical", "spawn" }

-- Calls of what leads out of this process, while fn runs.
local function outward(fn)
  local real, calls = {}, {}
  for _, name in ipairs(ways) do
    real[name] = core[name]
    core[name] = function(...)
      calls[#calls + 1] = name
      return real[name](...)
    end
  end
  local r = { pcall(fn) }
  for _, name in ipairs(ways) do core[name] = real[name] end
  if not r[1] then error(r[2], 0) end
  return table.concat(calls, " ")
end

local function played(fn) return cassette.with(path(), { mode = "replay", unplayed = true }, fn) end

-- Of a host: verb -> its arguments. All are steps, or begin one.
local of_host = {
  run = { "true" }, read = { "true" }, spawn = { "true" }, shell = {}, device = { { profile = "linux" } },
  tail = { "log" }, dial = { "localhost:22" }, put = { { data = "x" }, "f" }, get = { "f", "/nonexistent/" },
  sync = { "spec", "d" }, template = { "README.md", "f" }, read_file = { "f" }, facts = {}, hostkeys = {}, wait_up = {},
  file = { "f", { content = "x" } }, dir = { "d" }, link = { "l", "f" }, line = { "f", "x" },
  service = { "s", "restarted" }, package = { "p" }, account = { "a" }, reboot = { { force = true } },
}
-- These need no host, or are not there yet; a session is looked at below.
local other = { with = true, close = true, save = true, session = true, forward = true, socks = true, reverse = true }

describe("while a cassette is played", function()
  setup(function()
    start_fleet()
    files.write("x", "")
  end)
  teardown(function()
    files.remove()
    stop_fleet()
  end)

  local function go_on(verb, value)
    if verb == "spawn" then value:wait() end
    if verb == "tail" then value:next() end
  end

  it("no verb of a host reaches one, nor looks for its name", body(function()
    cassette.with(path(), { mode = "record" }, function() get():run "true" end)
    pool.close_all()
    local _, bed = get()
    local before = bed:connections "web1" + bed:connections "web2"
    for verb in pairs(host_class) do
      assert(of_host[verb] or other[verb], "the verb '" .. verb .. "' is new: is it on cassettes?")
      local args = of_host[verb]
      if args then
        local err
        local calls = outward(function()
          err = fails("config", played, function()
            local h = verb == "run" and ssh.host "web3" or ssh.host "web1"
            pcall(function() go_on(verb, h[verb](h, (table.unpack or unpack)(args))) end)
          end)
        end)
        assert.equal("", calls, verb)
        assert.equal("unrecorded", err.reason, verb .. ": " .. tostring(err))
        assert.truthy(err.message:find(": " .. verb, 1, true), err.message)
      end
    end
    assert.equal(before, bed:connections "web1" + bed:connections "web2")
  end, 60))

  it("no fleet, session or copy does", body(function()
    cassette.with(path(), { mode = "record" }, function() get():run "true" end)
    pool.close_all()
    local all = ssh.hosts "web[1-2]"
    for name, fn in pairs {
      ["session:exec uptime"] = function(h) h:session():exec "uptime" end,
      ["session:exec id"] = function(h) h:session():spawn "id" end,
      ["session:shell"] = function(h) h:session():shell() end,
      ["session:subsystem netconf"] = function(h) h:session():subsystem "netconf" end,
      ["session:dial db:1"] = function(h) h:session():dial "db:1" end,
      ["session:exec true"] = function() ssh.connect "web1":exec "true" end,
      ["copy web1:a b"] = function() ssh.copy("web1:a", "web2:b") end,
      ["run true"] = function() all:run("uptime", { sudo = true }) end,
      ["tail log"] = function() all:tail "log":next() end,
      ["read_file f"] = function() all:read_file "f" end,
      ["file f"] = function() all:file("f", { content = "x" }) end,
      ["run id"] = function() all:rolling({ batch = 1 }, function(h) h:run "id" end) end,
    } do
      local err
      local calls = outward(function()
        err = fails("config", played, function() pcall(fn, ssh.host "web1") end)
      end)
      assert.equal("", calls, name)
      assert.truthy(err.message:find(": " .. name, 1, true), err.message)
    end
    local calls = outward(function()
      played(function()
        local s = ssh.host "web1":session()
        assert.is_true(s:is_alive())
        ssh.host "web1":close()
        assert.is_false(s:is_alive())
        fails("closed", s.exec, s, "true")
        assert.equal("sudo", ssh.ask_sudo():name())
      end)
    end)
    assert.equal("", calls)
    local err = fails("config", played, function()
      require("sshlua.connect").open(ssh.host "web1".target)
    end)
    assert.equal("a connection by hand cannot be recorded on a cassette", err.message)
  end))
end)
