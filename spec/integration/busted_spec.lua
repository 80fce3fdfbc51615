-- What users have for specs of their playbooks, in a project of theirs: sshlua.busted under the program and busted(1).
local files = require "spec.support.files"
local program = require "spec.support.program"
local run = require "spec.support.run"
local script = require "sshlua.testbed.script"
local t = require "sshlua.busted"

local body = run.body

local DEPLOY = [[
local ssh = require "sshlua"
local rev = arg[1] or "r0"
local web = ssh.hosts "web[1-2]"
local results = web:each(function(h)
  h:run { "mkdir", "-p", "releases" }
  h:put({ data = "page " .. rev .. "\n" }, "releases/" .. rev)
  h:link("current", "releases/" .. rev)
  print(h, h:read "cat current")
end, { check = false })
io.write(tostring(results), "\n")
os.exit(#results:failed() == 0)
]]

local SPEC = [[
local t = require "sshlua.busted"
describe("a playbook", function()
  it("works on throwaway hosts", t.fleet(2, function(fleet, bed)
    local r = t.script("deploy.lua", "r7")
    assert.is_true(r.ok)
    assert.truthy(r.stdout:find("2 ok", 1, true))
    assert.equal("page r7", fleet[2]:read "cat current")
    assert(os.rename(bed:host("web2").home .. "/releases", bed:host("web2").home .. "/old"))
    assert(io.open(bed:host("web2").home .. "/releases", "w")):close()
    assert.equal(1, t.script("deploy.lua", "r8").code)
  end))
  it("works on a cassette", t.cassette("spec/cassettes/deploy.jsonl", { fleet = 2 }, function()
    assert.is_true(t.script("deploy.lua", "r7").ok)
  end))
  it("ends with what os.exit says", t.cassette("spec/cassettes/deploy.jsonl", { fleet = 2 }, function()
    dofile "fixed.lua"
  end))
end)
]]

local WRONG = [[
local t = require "sshlua.busted"
local ssh = require "sshlua"
describe("wrong:", function()
  it("hangs", t.fleet({ hosts = 1, timeout = 0.3 }, function(fleet) fleet:run "sleep 20" end))
  local stop = ssh.event()
  it("leaks", t.fleet(1, function()
    leaked = ssh.connect "web1"
    ssh.spawn(function() stop:wait() end)
  end))
  it("stops what leaked", function() stop:set() end)
  it("exits", t.cassette("empty.jsonl", function() os.exit(7) end))
  it("deploys another revision", t.cassette("spec/cassettes/deploy.jsonl", function() t.script("deploy.lua", "r9") end))
  it("is skipped", t.fleet(1, function() t.skip "no need" end))
  it("is well afterwards", t.fleet({ "db1" }, function(fleet) assert.equal("hi", ssh.host "db1":read "echo hi", fleet) end))
end)
]]

-- Runs busted in the project; returns { code, out } and its TAP lines by name.
local function busted(spec, env)
  local path = os.getenv "BUSTED" or "/usr/bin/busted"
  local r = program.run({ path, "-o", "TAP", spec }, { cwd = files.directory(), env = env })
  local lines = {}
  for how, name in r.out:gmatch "(n?o?t? ?ok) %d+ %- ([^\n]*)" do lines[name] = how end
  return r, lines
end

describe("sshlua.busted in a project", function()
  before_each(function()
    if not program.path then return end
    files.write("deploy.lua", DEPLOY)
    files.write("fixed.lua", (DEPLOY:gsub('arg%[1%] or "r0"', '"r7"')))
  end)
  after_each(function() files.remove() end)

  it("runs a playbook on throwaway hosts, records it, and plays it", body(function()
    if not program.path then run.skip "the program is not there" end
    files.write("spec/deploy_spec.lua", SPEC)
    local r, lines = busted("spec/deploy_spec.lua", { HOME = files.directory() })
    assert.equal(0, r.code, r.out .. r.err)
    assert.equal("ok", lines["a playbook works on a cassette"], r.out)
    assert.truthy(files.read(files.directory() .. "/spec/cassettes/deploy.jsonl"))
    local played = program.run({ "--cassette", "spec/cassettes/deploy.jsonl", "deploy.lua", "r7" }, { cwd = files.directory() })
    assert.equal(0, played.code, played.err)
    assert.truthy(played.out:find("2 ok", 1, true))
    played = program.run({ "--cassette", "spec/cassettes/deploy.jsonl", "deploy.lua", "r8" }, { cwd = files.directory() })
    assert.equal(1, played.code)
    assert.truthy(played.err:find "^sshlua: deploy.lua:6: web%d: config: not on the cassette [^\n]*\n  hint: [^\n]*\n$", played.err)
    files.write("spec/wrong_spec.lua", WRONG)
    r = busted("spec/wrong_spec.lua", { SSHLUA_CASSETTE = "auto" })
    local said = r.out
    for name, words in pairs {
      hangs = "the body did not end within 0.3 s", leaks = "left behind: 1 task, [^\n]*%d handles", exits = "the script ended with exit code 7",
      ["deploys another revision"] = "web1: config: not on the cassette [^\n]*deploy.jsonl: put <data> releases/r9; next is put <data> releases/r7 %(step 2%)",
    } do
      assert.truthy(said:find("not ok %d+ %- wrong: " .. name .. "\n[^\n]*\n[^\n]*" .. words), name .. "\n" .. said)
    end
    assert.truthy(said:find "\nok %d+ %- # SKIP [^\n]*no need", said)
    assert.truthy(said:find "\nok %d+ %- wrong: is well afterwards", said)
    assert.not_equal(0, r.code)
    r = busted("spec/wrong_spec.lua", { SSHLUA_CASSETTE = "replay" })
    assert.truthy(r.out:find "empty.jsonl: No such file", r.out)
  end, 60))
end)

describe("a script in a spec", function()
  after_each(function() files.remove() end)

  it("has its arguments, its output and its exit code", body(function()
    local path = files.write("a.lua", "print(arg[0]:match '[^/]*$', arg[1], ...) io.write(1, 'x') if arg[1] == 'b' then os.exit(3) end")
    local old = arg
    assert.equal("a.lua\ta\ta\tc\n1x", t.script(path, "a", "c").stdout)
    local r = t.script(path, "b")
    assert.same({ 3, false, "a.lua\tb\tb\n1x" }, { r.code, r.ok, r.stdout })
    assert.equal(old, arg)
  end))

  it("raises what it raises, and says what does not parse or is not there", body(function()
    local ok, err = pcall(t.script, files.write("a.lua", "print 'x' error('own', 0)"))
    assert.same({ false, "own" }, { ok, err })
    run.fails("config", t.script, files.write("b.lua", "x x"))
    run.fails("config", t.script, files.directory() .. "/none.lua")
    run.fails("usage", t.script)
    print(("x"):rep(0)) -- print is itself again
    assert.has_error(function() script.guarded(function() os.exit(false) end) end, "the script ended with exit code 1")
    script.guarded(function() os.exit(true) end)
  end))

  it("says what its words cannot be", function()
    for _, call in ipairs {
      { t.fleet, "x", function() end }, { t.fleet, 2 }, { t.cassette, "x" }, { t.cassette, "x", { nonsense = 1 }, function() end },
      { t.cassette, "", function() end }, { t.cassette, "x", { fleet = true }, function() end },
    } do
      run.fails("usage", call[1], call[2], call[3], call[4])
    end
  end)
end)
