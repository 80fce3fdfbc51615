-- put and get of single files against real OpenSSH: complete or not at all, resumed, verified, watched, given up.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body, fails = run.body, run.fails
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 2 }

local function host(name, more) return servers.host(fleet(), name, more) end

local function bytes(n)
  local piece = {}
  for i = 1, 256 do piece[i] = string.char((i * 7 + n) % 256) end
  return (table.concat(piece)):rep(math.ceil(n / 256)):sub(1, n)
end

describe("a transfer of one file", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("arrives whole, with its mode, and leaves nothing beside it", body(function()
    local h = host()
    for _, n in ipairs { 0, 1, 300000, 9000000 } do
      local from = files.write("src/f" .. n, bytes(n), 416)
      files.write("dst/x", "")
      local to = files.directory() .. "/dst/f"
      local r = h:put(from, to)
      assert.is_true(servers.read_file(to) == bytes(n))
      assert.equal(n, r.bytes)
      assert.equal(1, r.files)
      assert.equal(416, core.fs_stat_sync(to).mode)
      local back = files.directory() .. "/dst/back"
      r = h:get(to, back)
      assert.is_true(servers.read_file(back) == bytes(n))
      assert.equal(n, r.bytes)
      assert.equal(416, core.fs_stat_sync(back).mode)
    end
    assert.equal("back f x", files.names(files.directory() .. "/dst"))
  end))

  it("takes modes, times and setuid bits as asked", body(function()
    local h = host()
    local from, to = files.write("a", "text"), files.directory() .. "/b"
    task.await(core.fs_chmod, from, 2541) -- 4755
    task.await(core.fs_utime, from, 1000000000, 1000000000)
    h:put(from, to)
    assert.equal(493, core.fs_stat_sync(to).mode)
    h:put(from, to, { setuid = true, times = true })
    assert.equal(2541, core.fs_stat_sync(to).mode)
    assert.equal(1000000000, core.fs_stat_sync(to).mtime)
    h:get(from, to .. "2", { times = true })
    assert.equal(493, core.fs_stat_sync(to .. "2").mode)
    assert.equal(1000000000, core.fs_stat_sync(to .. "2").mtime)
    h:get(from, to .. "2", { mode = "600" })
    assert.equal(384, core.fs_stat_sync(to .. "2").mode)
  end))

  it("takes bytes, functions, and streams as sources", body(function()
    local h = host()
    local to = files.write("t", "old")
    h:put({ data = "new" }, to, { mode = "640", verify = "sha256" })
    assert.equal("new", servers.read_file(to))
    assert.equal(416, core.fs_stat_sync(to).mode)
    local n = 0
    local r = h:put(function()
      n = n + 1
      return n <= 100 and bytes(10000) or nil
    end, to)
    assert.equal(1000000, r.bytes)
    assert.is_true(servers.read_file(to) == bytes(10000):rep(100))
    h:put(core.secret("word", "hidden"), to)
    assert.equal("hidden", servers.read_file(to))
    fails("usage", h.put, h, { data = "x" }, files.directory() .. "/")
  end))

  it("replaces a link and not what it points to", body(function()
    local h = host()
    local victim, link = files.write("victim", "safe"), files.directory() .. "/link"
    for _, verb in ipairs { "put", "get" } do
      task.await(core.fs_symlink, victim, link)
      h[verb](h, files.write("new", "new"), link)
      assert.equal("safe", servers.read_file(victim))
      assert.equal("new", servers.read_file(link))
      os.remove(link)
    end
  end))

  it("names the file and the host when something is missing", body(function()
    local h = host()
    local from = files.write("a", "a")
    local err = fails("io", h.put, h, "/nonexistent/x", "/tmp/y")
    assert.matches("/nonexistent/x", err.message)
    err = fails("sftp", h.put, h, from, "/nonexistent/dir/y")
    assert.matches("/nonexistent/dir/y", err.message)
    assert.matches("parents", err.hint)
    assert.equal("web1", err.host)
    err = fails("sftp", h.get, h, "/nonexistent/x", files.directory() .. "/y")
    assert.matches("/nonexistent/x", err.message)
    err = fails("sftp", h.put, h, from, files.directory())
    assert.matches("is a directory", err.message)
    err = fails("io", h.get, h, from, "/nonexistent/dir/y")
    assert.matches("/nonexistent/dir", err.message)
    h:put(from, files.directory() .. "/deep/er/a", { parents = true })
    assert.equal("a", servers.read_file(files.directory() .. "/deep/er/a"))
    assert.equal("a deep", files.names(files.directory()))
  end))

  it("fails whole when the source's function fails", body(function()
    local h = host()
    local to, n = files.write("t", "old"), 0
    local ok, err = pcall(h.put, h, function()
      n = n + 1
      if n > 3 then error("mine", 0) end
      return bytes(400000)
    end, to)
    assert.is_false(ok)
    assert.equal("mine", err)
    assert.equal("old", servers.read_file(to))
    assert.equal("t", files.names(files.directory()))
  end))

  it("verifies by digest, and finds a difference", body(function()
    local h = host()
    local from, to = files.write("a", bytes(2000000)), files.directory() .. "/b"
    local r = h:put(from, to, { verify = "sha256" })
    local sum = h:read({ "sha256sum", from }):match "^%x+"
    assert.equal(sum, r.digest)
    assert.equal(sum, h:get(from, to, { verify = "sha256" }).digest)
    local session = h:session()
    session.no_sha256 = true -- as on a host without a shell
    assert.equal(sum, h:put(from, to, { verify = "sha256" }).digest)
    session.no_sha256 = nil
    local exec = session.exec
    rawset(session, "exec", function(...)
      local result = exec(...)
      result.stdout = ("0"):rep(64) .. "  -\n"
      return result
    end)
    local err = fails("io", h.put, h, from, to .. "2", { verify = "sha256" })
    assert.matches("differs", err.message)
    assert.equal("a b", files.names(files.directory()))
  end))

  it("leaves what is the same alone when asked", body(function()
    local h = host()
    local from, to = files.write("a", bytes(500000)), files.directory() .. "/b"
    for _, verb in ipairs { "put", "get" } do
      h[verb](h, from, to, { times = true })
      local r = h[verb](h, from, to, { skip = "time" })
      assert.is_false(r.changed)
      assert.equal(1, r.same)
      assert.equal(0, r.bytes)
      servers.write_file(to, (bytes(500000):gsub("^.", "?")))
      assert.is_true(h[verb](h, from, to, { skip = "digest" }).changed)
      assert.is_false(h[verb](h, from, to, { skip = "digest" }).changed)
    end
  end))

  it("says what it would do", body(function()
    local h = host()
    local from, to = files.write("a", "a"), files.directory() .. "/b"
    for _, verb in ipairs { "put", "get" } do
      assert.is_true(h[verb](h, from, to, { dry_run = true }).changed)
      assert.is_nil(core.fs_stat_sync(to))
    end
  end))

  it("reports progress, and keeps to a limit", body(function()
    local h = host()
    local from, to = files.write("a", bytes(600000)), files.directory() .. "/b"
    for _, verb in ipairs { "put", "get" } do
      local events = {}
      local seconds = run.took(function()
        h[verb](h, from, to, { limit = 500000, progress = function(e) events[#events + 1] = e end })
      end)
      assert.is_true(seconds > 0.9, tostring(seconds))
      assert.is_true(#events >= 3)
      local last = events[#events]
      assert.is_true(last.ended)
      assert.equal(600000, last.bytes)
      assert.equal(600000, last.total)
      assert.equal(1, last.files)
      assert.equal("web1", last.host)
      assert.equal(from, last.file)
      local on_its_way = 0 -- the first events may come before the first byte
      for _, e in ipairs(events) do if e.bytes < 600000 and e.rate > 0 then on_its_way = on_its_way + 1 end end
      assert.is_true(on_its_way > 0)
      assert.is_true(servers.read_file(to) == bytes(600000))
    end
  end))

  it("gives up after its wall time, and when nothing moves", body(function()
    local relay, opts = servers.relay(fleet(), "web1", {})
    local h = ssh.host("web1", opts)
    run.defer(h.close, h)
    h:run "true"
    local from, to = files.write("a", bytes(3000000)), files.write("b", "old")
    local err = fails("timeout", h.put, h, from, to, { limit = 1000000, timeout = 0.3 })
    assert.equal("web1", err.host)
    h:put(from, to .. "2")
    assert.is_true(relay ~= nil)
    relay:freeze()
    err = fails("timeout", h.put, h, from, to, { idle = 0.3 })
    assert.matches("nothing moved", err.message)
    assert.equal("old", servers.read_file(to))
  end))

  it("says that the source became shorter", body(function()
    local h = host()
    local from, to = files.write("a", bytes(3000000)), files.write("b", "old")
    local err = fails("io", h.put, h, from, to, { limit = 2000000, progress = function(e)
      if e.bytes > 0 then servers.write_file(from, "short") end
    end })
    assert.matches("shorter", err.message)
    assert.equal("old", servers.read_file(to))
    assert.equal("a b", files.names(files.directory()))
  end))

  it("counts each byte once, also while it waits for its turn and when it is cancelled then", body(function()
    local h = host()
    local from = files.write("big", ("x"):rep(3000000))
    for _, verb in ipairs { "put", "get" } do
      local started, err = core.now(), nil
      local function check(n) assert.is_true(n <= (core.now() - started) * 1000000 + 125000, tostring(n)) end
      ssh.scope(function(s)
        s:spawn(function()
          err = select(2, pcall(h[verb], h, from, from .. "2", { limit = 1000000, progress = function(p)
            check(p.bytes)
            if p.bytes > 0 then s:cancel() end
          end }))
        end)
      end)
      check(err.result.bytes)
      assert.equal(0, err.result.bytes % 125000)
    end
  end))

  it("ends when it is cancelled; nothing stays", body(function()
    local h = host()
    local from, to = files.write("a", bytes(3000000)), files.write("b", "old")
    for _, verb in ipairs { "put", "get" } do
      fails("timeout", task.timeout, 0.3, h[verb], h, from, to, { limit = 1000000 })
      assert.equal("old", servers.read_file(to))
      assert.truthy(run.eventually(function() return files.names(files.directory()) == "a b" end), files.names(files.directory()))
    end
  end))
end)

describe("a transfer that is cut", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  for _, verb in ipairs { "put", "get" } do
    it(("leaves the old file, and %s goes on where it ended"):format(verb), body(function()
      local size = 24000000
      local from, to = files.write("a", bytes(size)), files.write("b", "old")
      local faults = { [verb == "put" and "up" or "down"] = { cut_after = 16000000 } }
      local _, opts = servers.relay(fleet(), "web1", faults)
      local cut = ssh.host("web1", opts)
      run.defer(cut.close, cut)
      local err = fails("connection_lost", cut[verb], cut, from, to, { resume = true })
      assert.is_true(err.bytes > 8000000, tostring(err.bytes))
      assert.equal("old", servers.read_file(to))
      local h = host()
      local part = files.directory() .. "/.b.sshlua-part"
      assert.truthy(core.fs_stat_sync(part))
      local r = h[verb](h, from, to, { resume = true, verify = "sha256" })
      assert.is_true(r.bytes < size - 4000000, tostring(r.bytes))
      assert.is_true(servers.read_file(to) == bytes(size))
      assert.equal("a b", files.names(files.directory()))
      -- A part of something else proves nothing, and is not used.
      servers.write_file(part, ("x"):rep(12000000))
      r = h[verb](h, from, to, { resume = true })
      assert.equal(size, r.bytes)
      assert.is_true(servers.read_file(to) == bytes(size))
      -- A link in its place leads nowhere.
      local victim = files.write("victim", "safe")
      task.await(core.fs_symlink, victim, part)
      h[verb](h, from, to, { resume = true })
      assert.equal("safe", servers.read_file(victim))
    end, 60))
  end
end)
