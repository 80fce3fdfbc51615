-- What scripts hold in their hands on a cassette: shells, devices, processes, sessions, tunnels. What was said is
-- played without any host, and whoever says something else is told at which step.
local cassette = require "sshlua.cassette"
local core = require "sshlua.core"
local files = require "spec.support.files"
local fleets = require "spec.support.fleets"
local pool = require "sshlua.pool"
local run = require "spec.support.run"
local ssh = require "sshlua"
local t = require "sshlua.busted"
local talk = require "sshlua.cassette_talk"
local testbed = require "sshlua.testbed"

local body, fails = run.body, run.fails

local kinds = { "ios", "nxos", "eos", "junos", "routeros" }
local profile_of = {
  ios = "cisco_ios", nxos = "cisco_nxos", eos = "arista_eos", junos = "juniper_junos",
  routeros = { base = "mikrotik_routeros", login_suffix = false }, -- sshd has no user admin+c
}
local habits = { ios = "unprivileged enable=s3cret", eos = "unprivileged" }

local root -- of the devices' directories
local get, start_fleet, stop_fleet = t.shared_fleet {
  hosts = { "web1", "web2", "ios", "nxos", "eos", "junos", "routeros" }, homes = true, sshd_config = { "PrintMotd no" },
  per_host = setmetatable({}, { __index = function(_, name)
    local device = debug.getinfo(1, "S").source:match "^@(.*)integration/[^/]*$" .. "support/fake_device.lua"
    return profile_of[name] and { ("ForceCommand lua5.4 '%s' %s '%s/%s' %s"):format(device:sub(1, 1) == "/" and device
      or core.environ and os.getenv "PWD" .. "/" .. device, name, root, name, habits[name] or "") }
  end }),
}

local function path() return files.directory() .. "/a.jsonl" end

local function connections() return fleets.connections(select(2, get())) end

local function record(fn, opts)
  t.defer(pool.close_all)
  opts = opts or {}
  opts.mode = "record"
  return cassette.with(path(), opts, fn)
end

-- The hosts are up, and none of them sees a connection.
local function replay(fn, opts)
  pool.close_all()
  local before = connections()
  opts = opts or {}
  opts.mode = "replay"
  local r = { pcall(cassette.with, path(), opts, fn) }
  assert.equal(before, connections())
  if not r[1] then error(r[2], 0) end
  return r[2]
end

-- What fn gives is the same on hosts and from the cassette.
local function same(fn, opts)
  os.remove(path())
  local on_hosts = record(fn, opts)
  assert.same(on_hosts, replay(fn, opts))
  return on_hosts
end

local function refused(fn)
  local err = fails("config", replay, fn)
  return err.message:gsub(path():gsub("%W", "%%%0"), "FILE"), err
end

local function rewrite(fn) assert(core.fs_write_sync(path(), (fn(files.read(path()))), 384)) end

local function host(name) return ssh.host(name or "web1") end

describe("a cassette", function()
  setup(function()
    root = assert(os.getenv "TMPDIR" or "/tmp") .. "/sshlua-played-" .. core.getpid()
    core.fs_mkdir_sync(root, 448)
    for _, kind in ipairs(kinds) do core.fs_mkdir_sync(root .. "/" .. kind, 448) end
    start_fleet()
  end)
  teardown(function()
    stop_fleet()
    core.fs_rmtree_sync(root)
  end)
  after_each(function() files.remove() end)

  it("plays shells when the hosts are gone: cmd, send, expect, questions, what did not come in time", body(function()
    local bed = testbed.start { hosts = 1, homes = true }
    t.defer(bed.stop, bed)
    local leave = bed:enter()
    t.defer(leave)
    t.defer(pool.close_all)
    local function play()
      local sh, out = host():shell(), {}
      out[1] = sh:cmd "echo $((6 * 7))"
      sh:send "read x; echo you said $x\n"
      out[2] = fails("timeout", sh.expect, sh, "said %w", { timeout = 0.2 }).kind
      sh:send "hello\n"
      out[3] = sh:expect("you said (%w+)")[1]
      sh:expect "[$#] $"
      out[4] = sh:cmd("printf 'sure? '; read a; echo \"[$a]\"", { answers = { ["sure%? $"] = "yes\n" } })
      out[5] = fails("timeout", sh.cmd, sh, "sleep 0.4; echo late", { timeout = 0.1 }).kind
      out[6] = sh:expect "late".text
      sh:send "exit 3\n"
      out[7] = sh:expect { eof = function() return "gone" end }
      sh:close()
      local other = host():session():shell { prompt = false, command = "echo hi; cat" }
      other:send "on\n"
      out[8] = other:expect "on\r?\n".text
      other:close()
      return out
    end
    local seen = cassette.with(path(), { mode = "record" }, play)
    pool.close_all()
    assert.same({ "42", "timeout", "hello", "yes\n[yes]", "timeout", "late", "gone" }, { (table.unpack or unpack)(seen, 1, 7) })
    leave()
    bed:stop()
    local played
    assert.is_true(run.took(function() played = cassette.with(path(), { mode = "replay" }, play) end) < 1)
    assert.same(seen, played)
  end))

  it("plays processes and sessions: input, both outputs, codes, files descriptors' ends", body(function()
    same(function()
      local s, out = host():session(), {}
      local r = s:exec("cat; echo e >&2; echo $A; exit 3", { stdin = "in\255\n", env = { A = "1" }, check = false })
      out[#out + 1] = { r.stdout, r.stderr, r.code }
      r = s:exec({ "echo", "x y" }, { cwd = "/" })
      out[#out + 1] = { r.stdout, r.code, r.truncated }
      r = s:exec("seq 100000", { max_output = 10 })
      out[#out + 1] = { r.stdout, r.bytes, r.truncated }
      out[#out + 1] = s:exec("true", { stdin = ("x"):rep(300000) }).code
      local p = s:spawn "while read a; do echo got $a; echo err >&2; done; exit 4"
      for _, word in ipairs { "one", "two" } do
        p.stdin:write(word .. "\n")
        out[#out + 1] = p.stdout:read_line()
        out[#out + 1] = p.stderr:read_line()
      end
      out[#out + 1] = p:wait().code
      p = host "web2":spawn({ "sh", "-c", "kill -USR1 $$" }, { cwd = "/" })
      out[#out + 1] = p:wait().signal
      out[#out + 1] = host "web2":spawn("id -u; cat", { sudo = true }):wait().stdout
      p = host "web2":spawn "sleep 50"
      p:close()
      local by_hand = ssh.connect "web2"
      out[#out + 1] = by_hand:exec "echo $0".stdout
      by_hand:close()
      out[#out + 1] = fails("closed", by_hand.exec, by_hand, "true").kind
      out[#out + 1] = fails("exit", s.exec, s, "exit 9").code
      local err = fails("timeout", s.exec, s, "printf partial; sleep 9", { timeout = 0.2 })
      out[#out + 1] = err.result.stdout
      out[#out + 1] = fails("channel", s.subsystem, s, "nothing").name
      return out
    end)
  end))

  it("plays copies between hosts, tails and tunnels", body(function()
    same(function()
      local h, out = host(), {}
      h:run "seq 3 > log; echo x > one"
      for event in h:tail("log", { lines = 2, interval = 0.05 }) do
        out[#out + 1] = event.line
        if event.line == "3" then h:run "echo four >> log" end
        if event.line == "four" then break end
      end
      local all = ssh.hosts "web1":tail("log", { lines = 1, interval = 0.05 })
      out[#out + 1] = all:next().line
      all:close()
      local r = ssh.copy("web1:one", "web2:two")
      out[#out + 1] = { r.files, r.stdout, r.arrived, host "web2":read "cat two" }
      out[#out + 1] = fails("sftp", ssh.copy, { h, "none" }, { host "web2", "two" }).message
      out[#out + 1] = fails("connect", h.dial, h, "127.0.0.1:1").message
      return out
    end)
  end))

  for _, kind in ipairs(kinds) do
    local long = (kind == "nxos" or kind == "junos" or kind == "eos") and " #long" or ""
    it("plays devices: " .. kind .. long, body(function()
      local lines = kind == "junos" and { "set vlans ten vlan-id 10" } or kind == "routeros" and { "/vlan add 10" }
        or { "vlan 10", "name ten" }
      local wrong = kind == "junos" and "set vlans x vlan-id 9999" or kind == "routeros" and "/vlan add 9999" or "vlan 9999"
      local secret = core.secret("enable password", "s3cret")
      same(function()
        local d, out = host(kind):device { profile = profile_of[kind], settle = 0.02, enable = habits[kind] and secret or nil }, {}
        out[1] = d:cmd "show long"
        out[2] = d:configure(lines, { confirm = kind == "routeros" or 600 })
        if out[2].diff then out[2].diff = out[2].diff:gsub("sshlua%-%d+%-%d+", "<session>") end
        d:confirm()
        out[3] = fails("device", d.configure, d, { wrong }).line
        out[4] = d:cmd "show running-config"
        d:save()
        d:close()
        return out
      end)
      assert.is_nil(files.read(path()):find("s3cret", 1, true))
    end))
  end

  it("names file and line, host, verb and step of what was not said", body(function()
    local function play(word)
      return function()
        host():run "true"
        local sh = host():shell { prompt = "[$#] $" }
        sh:cmd "echo one"
        sh:cmd("echo " .. word)
        sh:close()
      end
    end
    record(play "two")
    replay(play "two")
    local message, err = refused(play "other")
    assert.equal('not on the cassette FILE: shell sends "echo other\\n"; step 2 goes on with "echo two\\n"', message)
    assert.truthy(err.at:find "cassette_talk_spec.lua:%d+$", err.at)
    assert.equal("web1", err.host)
    assert.equal('FILE: 1 step recorded and not played: web1: shell (step 2) from "echo two\\n" on', (refused(function()
      host():run "true"
      host():shell({ prompt = "[$#] $" }):cmd "echo one"
    end)))
    local function talk_to(words, cmd)
      return function()
        local p = host():session():spawn(cmd or "cat")
        for _, word in ipairs(words) do
          p.stdin:write(word)
          p.stdout:read()
        end
        p:wait()
      end
    end
    record(talk_to { "a", "b" })
    assert.equal('not on the cassette FILE: session:exec sends "c"; step 1 goes on with "b"', (refused(talk_to { "a", "c" })))
    assert.equal('not on the cassette FILE: session:exec sends "c"; step 1 goes on with nothing more',
      (refused(talk_to { "a", "b", "c" })))
    message, err = refused(talk_to({ "a", "b" }, "cat -"))
    assert.equal("not on the cassette FILE: session:exec cat -; next is session:exec cat (step 1)", message)
    assert.truthy(err.at:find "cassette_talk_spec.lua:%d+$", err.at)
    local function wait_in_vain() host():session():spawn("cat").stdout:read() end
    local left = path() .. ': 1 step recorded and not played: web1: session:exec cat (step 1) from "a" on'
    assert.equal(left, fails("timeout", replay, function() ssh.timeout(0.1, wait_in_vain) end).hint)
    assert.equal(left, fails("config", ssh.timeout, 0.1, replay, wait_in_vain).message)
    assert.truthy(refused(function() -- also when the script goes on
      pcall(talk_to { "x" })
      pcall(host().run, host(), "true")
    end):find 'session:exec sends "x"')
  end))

  it("says which entry of a talk is none, and what else is wrong with it", body(function()
    local function play()
      local p = host():spawn "read a; echo $a; exit 2"
      p.stdin:write "word\n"
      p:wait()
    end
    record(play)
    local whole = files.read(path())
    for wanted, change in pairs {
      ["step 1: entry 1 of its talk is none"] = function() return (whole:gsub('{"sent":', '{"send":')) end,
      ["of its talk is none"] = function() return (whole:gsub('"out":', '"oat":')) end,
      ["is no end of a step"] = function() return (whole:gsub('"talk":%[.*%]', '"talk":"gone"')) end,
      ['sends "word\\n"; step 1 goes on with "sword\\n"'] = function() return (whole:gsub('{"sent":"', '%0s')) end,
      ["cut short"] = function() return (whole:gsub("[^\n]*\n$", "")) end,
    } do
      rewrite(change)
      local err = fails("config", replay, play)
      assert.truthy(err.message:find(wanted, 1, true), err.message)
    end
  end))

  it("stays sound when bytes of a talk are others", body(function()
    local function play()
      local sh = host():shell { prompt = "[$#] $" }
      sh:cmd "echo one"
      sh:close()
      host():spawn "echo x; exit 2":wait()
    end
    record(play)
    local whole = files.read(path())
    for at = 1, #whole, os.getenv "SSHLUA_LONG" and 1 or 311 do
      for _, byte in ipairs { "\0", "x", '"', "{", "9" } do
        rewrite(function() return whole:sub(1, at - 1) .. byte .. whole:sub(at + 1) end)
        local ok, err = pcall(replay, function() ssh.timeout(0.3, play) end)
        assert(ok or (ssh.is_error(err) and err.kind ~= "usage" and not err.message:find "\n"), tostring(err))
      end
    end
  end, 600))

  it("plays hosts that were not there, and connections that were lost", body(function()
    local _, bed = get()
    bed:refuse "web2"
    t.defer(bed.refuse, bed, "web2", false)
    local lost = false
    same(function()
      local out = {}
      local nobody = ssh.host("web2", { tries = 1 })
      for _, verb in ipairs { "spawn", "shell", "session" } do
        local ok, err = pcall(nobody[verb], nobody, verb == "spawn" and "true" or nil)
        out[#out + 1] = { ok, err.kind, err.message }
      end
      local p = host():spawn "echo here; exec cat"
      out[#out + 1] = p.stdout:read_line()
      if not lost then bed:kill("web1", "KILL") end
      lost = true
      out[#out + 1] = select(2, pcall(p.stdout.read_line, p.stdout)).kind
      out[#out + 1] = p.session:is_alive()
      p:close()
      return out
    end)
  end))

  it("has no secrets of dialogues in it, whole or in pieces, and asks for none when it is played", body(function()
    local word = core.secret("db password", "s3cr3t-w0rd")
    same(function()
      local sh = host():shell { prompt = "[$#] $" }
      local out = { sh:cmd { "echo ", word, " | wc -c" } }
      local p = host():spawn "cat"
      p.stdin:write(word)
      p:wait()
      sh:close()
      return out[1]
    end)
    assert.is_nil(files.read(path()):find("s3cr", 1, true))
    os.remove(path())
    record(function()
      local p = host():spawn "cat"
      for _, piece in ipairs { "s3cr3t", "-w0", "rd\n" } do
        p.stdin:write(piece)
        p.stdout:read()
      end
      p:wait()
    end)
    for _, piece in ipairs { "s3cr", "-w0", "rd\\n" } do assert.is_nil(files.read(path()):find(piece, 1, true)) end
    assert.equal(384, core.fs_stat_sync(path()).mode)
    assert.equal("nobody is asked", replay(function()
      return ssh.secret("nobody is asked", { command = "exit 1" }):name()
    end, { unplayed = true }))
  end))

  it("refuses by name what it cannot hold, when recording, too", body(function()
    local function tries(fn)
      return function()
        host():run "true"
        pcall(fn, host())
      end
    end
    for verb, fn in pairs {
      ["session:sftp"] = function(h) return h:session():sftp() end,
      ["session.core:server_version"] = function(h) return h:session().core:server_version() end,
      ["shell:interact"] = function(h) return h:shell({ prompt = false }):interact() end,
      ["channel:notice"] = function(h) return h:shell({ prompt = false }).ch:notice("break", "", function() end) end,
    } do
      os.remove(path())
      assert.equal(verb .. " cannot be recorded on a cassette", fails("config", record, tries(fn)).message)
      assert.is_nil(files.read(path()))
      record(function()
        host():run "true"
        if not verb:find "^session" then host():shell({ prompt = false }):close() end
      end)
      assert.equal(verb .. " cannot be recorded on a cassette", fails("config", replay, tries(fn)).message)
    end
  end))

  it("keeps to 8 MiB for each channel", body(function()
    local most = talk.MAX
    talk.MAX = 1000
    t.defer(function() talk.MAX = most end)
    local err = fails("limit", record, function() host():spawn "seq 1000":wait() end)
    assert.truthy(err.message:find "bytes have passed a channel: a cassette takes 1000")
    assert.is_nil(files.read(path()))
  end))
end)
