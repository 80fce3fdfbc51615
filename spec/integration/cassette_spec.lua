-- Cassettes: what was recorded on real hosts is played without them, and whatever else is asked for fails by name.
local cassette = require "sshlua.cassette"
local core = require "sshlua.core"
local files = require "spec.support.files"
local fleets = require "spec.support.fleets"
local journal_file = require "sshlua.journal_file"
local json = require "sshlua.json"
local run = require "spec.support.run"
local ssh = require "sshlua"
local t = require "sshlua.busted"

local body, fails = run.body, run.fails
local get, start_fleet, stop_fleet = t.shared_fleet { hosts = 3, homes = true }

local dense = os.getenv "SSHLUA_LONG" -- every byte

local function connections() return fleets.connections(select(2, get())) end

local function path_of(name) return files.directory() .. "/cassettes/" .. (name or "a.jsonl") end

local function record(fn, opts, name)
  opts = opts or {}
  opts.mode = "record"
  t.defer(function() get():close() end)
  return cassette.with(path_of(name), opts, fn)
end

-- Plays; no host may see a connection, also when none was open before.
local function replay(fn, opts, name)
  get():close()
  local before = connections()
  opts = opts or {}
  opts.mode = "replay"
  local r = { pcall(cassette.with, path_of(name), opts, fn) }
  assert.equal(before, connections())
  if not r[1] then error(r[2], 0) end
  return (table.unpack or unpack)(r, 2)
end

-- fn's failure at replay: its message, in one line that names the cassette.
local function refused(fn, opts)
  local err = fails("config", replay, fn, opts)
  assert.truthy(err.message:find(path_of(), 1, true), err.message)
  return err.message:gsub(path_of():gsub("%W", "%%%0"), "FILE"), err
end

local function host(name) return ssh.host(name or "web1") end

local function rewrite(fn)
  local text = fn(files.read(path_of()))
  assert(core.fs_write_sync(path_of(), text, 384))
end

describe("a cassette", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(function() files.remove() end)

  it("gives what hosts gave without asking them: Results, errors, texts, files, facts", body(function()
    local seen, sunk = {}, {}
    local template = files.write("app.tpl", "port <%= port %>\n")
    local function play()
      local h = host()
      local r = h:run({ "sh", "-c", "cat; printf 'o\\377'; echo e >&2; echo $A; pwd" },
        { cwd = "/", env = { A = "1" }, stdin = "in\n", sink = function(bytes, which) sunk[which] = (sunk[which] or "") .. bytes end })
      local failed = h:run("exit 3", { check = false })
      local ok, err = pcall(h.run, h, "kill -TERM $$")
      h:put({ data = "x\n" }, "file")
      local conf = h:file("conf", { content = "a\n" })
      local again = h:file("conf", { content = "a\n" })
      local all = ssh.hosts "web[1-3]"
      local rendered = all:template(template, "app.conf", function(one) return { port = one.name } end)
      seen[#seen + 1] = {
        r.stdout, r.stderr, r.code, failed.code, failed:status(), ok, err.kind, err.signal, err.message, err.result.signal,
        h:read "cat file", conf.changed, conf.diff, again.changed, rendered[1].diff, all:read_file("app.conf")[2].stdout,
        r.timing.exec == r.duration, h:facts().facts.hostname, tostring(all:run "echo $0"),
      }
    end
    record(play)
    local was = sunk
    sunk = {}
    replay(play)
    assert.same(seen[1], seen[2])
    assert.equal("in\no\2551\n/\n", seen[2][1])
    assert.equal("port web2\n", seen[2][16])
    assert.same(was, sunk)
    assert.equal(384, core.fs_stat_sync(path_of()).mode)
  end))

  it("brings the files that came from hosts, whole, with modes, times and links", body(function()
    host():run "mkdir -p tree/sub; printf 'a\\377\\n' > tree/a; echo b > tree/sub/b; chmod 640 tree/a; ln -sf a tree/l; touch -d @1000000000 tree/a"
    local to
    local function play()
      host():get("tree", to .. "/", { times = true, links = "copy" })
      ssh.hosts "web[1-2]":get("/etc/passwd", to .. "/etc/{host}")
      local r = host():sync("tree/sub", to .. "/mirror", { pull = true, delete = true })
      return r.arrived[1]
    end
    for i, how in ipairs { record, replay, replay } do
      to = files.directory() .. "/copy" .. i
      core.fs_mkdir_sync(to, 448)
      core.fs_mkdir_sync(to .. "/mirror", 448)
      files.write("copy" .. i .. "/mirror/old", "old")
      local first = how(play, { replace = { [to] = "<to>" } })
      assert.equal(to, first:sub(1, #to))
      assert.equal("a\255\n", files.read(to .. "/tree/a"))
      assert.equal("b\n", files.read(to .. "/tree/sub/b"))
      assert.equal("a\255\n", files.read(to .. "/tree/l"))
      assert.equal("b\n", files.read(to .. "/mirror/b"))
      assert.is_nil(files.read(to .. "/mirror/old"))
      assert.equal(files.read "/etc/passwd", files.read(to .. "/etc/web2"))
      local st = core.fs_stat_sync(to .. "/tree/a")
      assert.same({ 416, 1000000000 }, { st.mode, math.floor(st.mtime) })
    end
  end))

  it("says in one line what is not on it, what comes next, and what is nearest", body(function()
    local source = files.write("site/index.html", "1")
    record(function()
      host():run "echo one"
      host():run({ "echo", "two" }, { cwd = "/", stdin = "secretly" })
      host():put(files.directory() .. "/site", "site")
      host("web2"):run "echo three"
    end)
    local function with(change)
      return function()
        if change ~= 1 then host():run "echo one" else host():run "echo uno" end
        host():run({ "echo", "two" }, { cwd = change == 2 and "/tmp" or "/", stdin = change == 3 and "other" or "secretly" })
        host():put(files.directory() .. "/site", "site")
        host(change == 4 and "web3" or "web2"):run "echo three"
        if change == 5 then host("web2"):run "echo three" end
      end
    end
    assert.equal("not on the cassette FILE: run echo uno; next is run echo one (step 1), nearest run echo two (step 2)",
      refused(with(1)))
    assert.equal('not on the cassette FILE: run echo two; step 2 differs: cwd was "/", is "/tmp"', refused(with(2)))
    assert.truthy(refused(with(3)):find "step 2 differs: stdin was 8 bytes, sha256 %x+%.%.%., is 5 bytes, sha256 ")
    assert.equal("not on the cassette FILE: run echo three; it has nothing of that host, but of web[1-2]", refused(with(4)))
    assert.equal("not on the cassette FILE: run echo three; all its 1 steps have been played", refused(with(5)))
    assert.equal("not on the cassette FILE: run echo tw; next is run echo one (step 1), nearest run echo two (step 2)",
      refused(function() host():run "echo tw" end))
    replay(with(0))
    files.write("site/more.html", "2")
    assert.truthy(refused(with(0)):find "step 3 differs: the local files have another content")
    os.remove(files.directory() .. "/site/more.html")
    files.write("site/index.html", "3")
    assert.truthy(refused(with(0)):find "another content", source)
  end))

  it("fails although the script goes on after the failure, and stops that host", body(function()
    record(function() host():run "echo one" end)
    local other
    local message = refused(function()
      local ok, err = ssh.try(host().run, host(), "echo two")
      assert.equal("unrecorded", not ok and err.reason)
      ok, other = ssh.try(host().run, host(), "echo one")
      assert.is_nil(ok)
    end)
    assert.truthy(message:find "run echo two")
    assert.truthy(other.message:find "run echo two")
  end))

  it("fails when not all was played, unless it need not be", body(function()
    record(function() for _, h in ipairs(ssh.hosts "web[1-2]") do h:run "echo one" h:run "echo two" end end)
    local function half() host():run "echo one" end
    local message, err = refused(half)
    assert.equal("FILE: 3 steps recorded and not played: web1: run echo two (step 2), web2: run echo one (step 1), "
      .. "web2: run echo two (step 2)", message)
    assert.equal("unplayed", err.reason)
    replay(half, { unplayed = true })
    local ok, own = pcall(replay, function() error("the script's own", 0) end)
    assert.same({ false, "the script's own" }, { ok, own })
  end))

  it("does not mind hosts in another order, nor what was under way at the same time", body(function()
    local delays
    local function play(parallel)
      return function()
        ssh.hosts "web[1-3]":each(function(h)
          h:run "echo one"
          ssh.all(function()
            h:run("sleep " .. (h.name == "web1" and "0.3" or "0.1"))
            h:run "echo after"
          end, function()
            ssh.sleep(delays)
            h:run "echo beside"
          end)
          h:run "echo last"
        end, { parallel = parallel })
      end
    end
    delays = 0.02
    record(play(3))
    replay(play(1))
    delays = 0.2 -- "echo after" waits for its turn
    replay(play(3))
    refused(function()
      host():run "echo one"
      local started = ssh.now()
      local ok, err = pcall(ssh.timeout, 0.2, host().run, host(), "echo last") -- the line is there all the same
      assert.same({ false, "timeout" }, { ok, err.kind })
      assert.is_true(ssh.now() - started < 2)
    end)
  end))

  it("is refused when it is cut, garbage, another version, or no cassette", body(function()
    record(function() host():run "echo one" host():run "printf '\\377\\0'" end)
    local function play() host():run "echo one" host():run "printf '\\377\\0'" end
    replay(play)
    local whole = files.read(path_of())
    for cut = 0, #whole - 1, dense and 1 or 23 do
      rewrite(function() return whole:sub(1, cut) end)
      local err = fails("config", replay, play)
      assert.truthy(err.message:find "cut short" or err.message:find "not a cassette", err.message)
    end
    for wanted, change in pairs {
      ["version 1; this is 2"] = function() return (whole:gsub('"v":2', '"v":1')) end,
      ["not a cassette"] = function() return (whole:gsub('"type":"cassette"', '"type":"journal"')) end,
      ["not a line of a cassette"] = function() return whole .. "\255garbage\n" end,
      ["is no start of a step"] = function() return (whole:gsub('"digest":"%x+"', '"digest":[]', 1)) end,
      ["is no end of a step"] = function() return (whole:gsub('"state":"done"', '"state":null', 1)) end,
      ["its last line says"] = function() return (whole:gsub('"steps":2', '"steps":3')) end,
      ["has no end"] = function() return (whole:gsub('"type":"end"', '"type":"other"', 1)) end,
    } do
      rewrite(change)
      assert.truthy(fails("config", replay, play).message:find(wanted, 1, true), wanted)
    end
    os.remove(path_of())
    fails("io", replay, play)
    fails("usage", cassette.with, path_of(), { mode = "play" }, play)
    fails("usage", cassette.with, path_of(), { replace = { "x" } }, play)
    fails("usage", cassette.with, "", nil, play)
    assert.equal("record", cassette.mode(path_of()))
  end, 600))

  it("stays sound when single bytes of it are others", body(function()
    record(function() host():run "echo one" host():get("/etc/hostname", files.directory() .. "/name") end)
    local function play() host():run "echo one" host():get("/etc/hostname", files.directory() .. "/name") end
    local whole = files.read(path_of())
    for at = 1, #whole, dense and 1 or 97 do
      for _, byte in ipairs { "\0", "x", '"', "{", "9" } do
        rewrite(function() return whole:sub(1, at - 1) .. byte .. whole:sub(at + 1) end)
        local ok, err = pcall(replay, play)
        assert(ok or (ssh.is_error(err) and err.kind ~= "usage" and not err.message:find "\n"), tostring(err))
      end
    end
  end, 600))

  it("does not write files beside what was asked for", body(function()
    local to = files.directory() .. "/copy"
    local function play() host():get("/etc/hostname", to) end
    record(play)
    rewrite(function(text) return (text:gsub('"path":"([^"]*)"', '"path":"%1/../evil"')) end)
    assert.truthy(fails("config", replay, play).message:find "no right entry")
    assert.is_nil(files.read(files.directory() .. "/evil"))
  end))

  it("has no secrets in it", body(function()
    local word = core.secret("db password", "s3cr3t-w0rd")
    local function play()
      local h = host()
      local r = h:run("cat; echo s3cr3t-w0rd >&2", { stdin = word })
      h:run({ "echo", "s3cr3t-w0rd" }, { env = { P = word } })
      h:put({ data = word }, "file")
      h:get("file", files.directory() .. "/copy")
      return r
    end
    record(play)
    assert.is_nil(files.read(path_of()):find("s3cr3t", 1, true))
    assert.is_nil(replay(play).stdout:find("s3cr3t", 1, true))
  end))

  it("ends at once what timed out when it was recorded, and waits for who cancels", body(function()
    local seen = {}
    local function play()
      local h = host()
      local ok, err = pcall(h.run, h, "echo so far; sleep 20", { timeout = 0.5 })
      seen[#seen + 1] = { ok, err.kind, err.message, err.result and err.result.stdout }
      ok, err = pcall(ssh.timeout, 0.3, h.run, h, "sleep 20")
      seen[#seen + 1] = { ok, err.kind }
      h:run "echo on"
    end
    record(play)
    assert.is_true(run.took(replay, play) < 5)
    assert.same({ seen[1], seen[2] }, { seen[3], seen[4] })
    assert.same({ "timeout", "so far\n", "timeout" }, { seen[3][2], seen[3][4], seen[4][2] })
  end))

  it("keeps nothing of a run that cannot be recorded, and leaves the older one", body(function()
    record(function() host():run "echo one" end)
    local err = fails("config", record, function()
      host():run "echo two"
      pcall(function() host():session():sftp() end)
    end)
    assert.equal("session:sftp cannot be recorded on a cassette", err.message)
    replay(function() host():run "echo one" end)
    local ok, own = pcall(record, function() error("the script's own", 0) end)
    assert.same({ false, "the script's own" }, { ok, own })
    assert.equal(1, #ssh.here:read({ "ls", "-A", files.directory() .. "/cassettes" }):gsub("[^\n]", "") + 1)
  end))

  it("says again with check = true what was a Result, and the other way round", body(function()
    record(function()
      host():run("exit 4", { check = false })
      pcall(host().run, host(), "exit 5")
    end)
    replay(function()
      assert.equal(4, fails("exit", host().run, host(), "exit 4").code)
      assert.equal(5, host():run("exit 5", { check = false }).code)
    end)
  end))

  it("tells dry runs apart", body(function()
    record(function()
      host():with { dry_run = true }:file("dry", { content = "a" })
      assert.is_true(host():file("dry", { content = "a" }).changed)
    end)
    refused(function()
      host():file("dry", { content = "a" })
    end)
  end))

  it("is in the journal's words", body(function()
    record(function() host():run({ "echo", "one" }, { cwd = "/" }) end)
    local lines = journal_file.read(path_of())
    assert.same({ "cassette", 2 }, { lines[1].type, lines[1].v })
    assert.same({ "start", "web1", 1, "run", { "echo", "one" }, '"/"' },
      { lines[2].type, lines[2].host, lines[2].step, lines[2].op, { lines[2].argv[1], lines[2].argv[2] }, lines[2].with.cwd })
    assert.same({ "end", "one\n", 0, "done" }, { lines[3].type, lines[3].stdout, lines[3].code, lines[3].state })
    assert.same({ "cassette_end", 1 }, { lines[4].type, lines[4].steps })
    assert.truthy(json.encode(lines[3]))
  end))

  it("goes alone: no journal, no second one", body(function()
    record(function()
      fails("usage", ssh.journal, files.directory() .. "/journal")
      fails("usage", cassette.with, path_of "b", nil, function() end)
    end)
    fails("usage", cassette.with, path_of "b")
  end))
end)
