-- Trees against real OpenSSH: everything arrives or is named; sync; fleets; a server that sends evil names.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body, fails = run.body, run.fails
local await = task.await
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 3 }

local function host(name, more) return servers.host(fleet(), name, more) end
local function at(name) return files.directory() .. "/" .. name end

-- What is below a path: "name type mode size target" lines.
local function picture(path, rel, out)
  out = out or {}
  local entries = await(core.fs_readdir, path)
  table.sort(entries, function(a, b) return a.name < b.name end)
  for _, e in ipairs(entries) do
    local p, r = path .. "/" .. e.name, (rel or "") .. "/" .. e.name
    local st = await(core.fs_lstat, p)
    local more = ""
    if st.type == "link" then more = await(core.fs_readlink, p) end
    if st.type == "file" then more = servers.read_file(p) .. " " .. math.floor(st.mtime) end
    out[#out + 1] = ("%q %s %o %s"):format(r, st.type, st.type == "link" and 0 or st.mode, more)
    if st.type == "directory" then picture(p, r, out) end
  end
  return out
end

local function nasty()
  local names = { "plain", " space ", "new\nline", "-rf", "*", "~", "quote'\"", "back\\slash", "tab\t", "\195\188", "\255\254",
    "esc\27[31m", "$(id)", ".hidden", ("n"):rep(255) }
  for i, name in ipairs(names) do files.write("src/" .. name, ("x"):rep(i * 100), i % 2 == 0 and 420 or 384) end
  files.write("src/empty", "")
  for i = 1, 40 do files.write(("src/d %d/e/file%d"):format(i % 7, i), tostring(i), 493) end
  core.fs_mkdir_sync(at "src/nothing", 493)
  files.write("src/locked/in", "in")
  core.fs_chmod_sync(at "src/locked", 365)
  await(core.fs_symlink, "plain", at "src/link")
  await(core.fs_symlink, "../plain", at "src/d 1/up")
  await(core.fs_symlink, "missing", at "src/dangling")
  await(core.fs_utime, at "src/plain", 1000000000, 1000000000)
end

describe("a tree", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("goes up and comes down as it was", body(function()
    nasty()
    local h = host()
    local r = h:put(at "src", at "up", { links = "copy", times = true })
    assert.same(picture(at "src"), picture(at "up"))
    assert.equal(57, r.files)
    assert.equal(3, r.links)
    assert.same({}, r.failed)
    assert.same({}, r.left_out)
    r = h:get(at "up", at "down", { links = "copy", times = true })
    assert.same(picture(at "src"), picture(at "down"))
    assert.equal(57, r.files)
    r = h:get(at "up", at "down", { links = "copy", times = true, skip = "time" })
    assert.equal(0, r.files)
    assert.equal(60, r.same)
    assert.is_false(r.changed)
  end))

  it("leaves links out and says so, or follows them", body(function()
    local h = host()
    files.write("src/a", "a")
    files.write("out/b", "b")
    await(core.fs_symlink, "../out", at "src/dir")
    await(core.fs_symlink, at "out/b", at "src/file")
    for _, verb in ipairs { "put", "get" } do
      local r = h[verb](h, at "src", at(verb))
      assert.equal(1, r.files)
      assert.equal(2, #r.left_out)
      assert.matches("symbolic link", r.left_out[1].why)
      r = h[verb](h, at "src", at(verb), { links = "follow" })
      assert.equal(3, r.files)
      assert.equal("b", servers.read_file(at(verb .. "/dir/b")))
      assert.equal("b", servers.read_file(at(verb .. "/file")))
    end
    local r = h:get(at "src", at "inside", { links = "copy" })
    assert.equal(2, #r.left_out)
    assert.matches("out of the tree", r.left_out[1].why)
    assert.equal(2, h:get(at "src", at "inside", { links = "copy", unsafe_links = true }).links)
  end))

  it("knows slashes and globs", body(function()
    local h = host()
    files.write("src/a.txt", "a")
    files.write("src/b.txt", "b")
    files.write("src/c.bin", "c")
    for _, verb in ipairs { "put", "get" } do
      local to = at(verb)
      core.fs_mkdir_sync(to, 493)
      h[verb](h, at "src", to .. "/")
      assert.equal("a", servers.read_file(to .. "/src/a.txt"))
      h[verb](h, at "src/", to .. "/")
      assert.equal("a", servers.read_file(to .. "/a.txt"))
      local r = h[verb](h, at "src/[ab].*", to .. "/glob/")
      assert.equal(2, r.files)
      assert.equal("b", servers.read_file(to .. "/glob/b.txt"))
      assert.is_nil(core.fs_stat_sync(to .. "/glob/c.bin"))
      local ok, err = pcall(h[verb], h, at "src/*.none", to)
      assert.is_false(ok)
      assert.matches("no file matches", err.message)
    end
  end))

  it("goes on behind what fails, and names it", body(function()
    local h = host()
    for i = 1, 5 do files.write("src/f" .. i, "new") end
    for _, verb in ipairs { "put", "get" } do
      files.write(verb .. "/f3/in the way", "")
      local ok, err = pcall(h[verb], h, at "src", at(verb))
      assert.is_false(ok)
      assert.is_true(errors.is(err))
      assert.matches("f3", err.message)
      assert.equal("web1", err.host)
      local r = err.result
      assert.equal(4, r.files)
      assert.equal(1, #r.failed)
      assert.equal("new", servers.read_file(at(verb .. "/f5")))
      r = h[verb](h, at "src", at(verb), { check = false })
      assert.is_false(r.ok)
      assert.equal(4, r.files)
    end
  end))

  it("is not written through links that stand in the target", body(function()
    local h = host()
    files.write("src/dir/file", "evil")
    files.write("victim/file", "safe")
    for _, verb in ipairs { "put", "get" } do
      core.fs_mkdir_sync(at(verb), 493)
      await(core.fs_symlink, at "victim", at(verb .. "/dir"))
      local r = h[verb](h, at "src", at(verb), { check = false })
      assert.equal(1, #r.failed)
      assert.matches("in the way", r.failed[1].err.message)
      assert.equal("safe", servers.read_file(at "victim/file"))
    end
  end))

  it("stops at the first failure when asked, and at once when the connection goes", body(function()
    for i = 1, 50 do files.write("src/f" .. i, ("x"):rep(100000)) end
    local _, opts = servers.relay(fleet(), "web1", { up = { cut_after = 1500000 } })
    local h = ssh.host("web1", opts)
    run.defer(h.close, h)
    local err = fails("connection_lost", h.put, h, at "src", at "up")
    assert.is_true(err.result.files < 50)
    for _, e in ipairs(await(core.fs_readdir, at "up")) do
      local whole = e.name:find "^f%d+$"
      assert.is_true(not whole or #servers.read_file(at("up/" .. e.name)) == 100000)
    end
  end))

  it("says what had arrived when its time is over, or somebody cancels it", body(function()
    local h = host()
    for i = 1, 30 do files.write(("src/%02d"):format(i), ("x"):rep(5000)) end
    local function check(err, to, kind)
      assert.equal(kind, err.kind, tostring(err))
      local r = err.result
      assert.is_true(r.files > 0 and r.files < 30, tostring(r.files))
      assert.equal(r.files + r.directories, #r.arrived)
      assert.equal(r.files, #await(core.fs_readdir, at(to)))
      assert.is_true(r.changed)
    end
    check(fails("timeout", h.put, h, at "src", at "a", { limit = 100000, timeout = 0.5, check = false }), "a", "timeout")
    local _, err = ssh.try(ssh.timeout, 0.5, function() h:put(at "src", at "b", { limit = 100000 }) end)
    check(err, "b", "timeout")
    ssh.scope(function(s)
      s:spawn(function()
        _, err = pcall(h.get, h, at "src", at "c", { limit = 100000, progress = function(p)
          if p.files > 3 then s:cancel() end
        end })
      end)
    end)
    check(err, "c", "cancelled")
  end))

  it("counts what got its name while it was cancelled", body(function()
    local h, path = host(), files.write("a", "text")
    local sftp, cancel, err = h:session():sftp(), nil, nil
    function sftp:rename(from, to)
      self.core:posix_rename(from, to, function() end)
      cancel()
      ssh.sleep(3600)
    end
    run.defer(function() sftp.rename = nil end)
    ssh.scope(function(s)
      cancel = function() s:cancel() end
      s:spawn(function() err = select(2, pcall(h.put, h, path, at "to")) end)
    end)
    assert.equal("cancelled 1", ("%s %d"):format(err.kind, err.result.files))
    assert.equal("a to", files.names(files.directory()))
  end))
end)

describe("sync", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("copies what differs, deletes what is too much, and can say it before", body(function()
    nasty()
    files.write("src/cache/x", "x")
    local h = host()
    local r = h:sync(at "src", at "dst", { exclude = { "cache/", "*.tmp" } })
    assert.is_true(r.changed)
    assert.is_nil(core.fs_stat_sync(at "dst/cache"))
    core.fs_chmod_sync(at "src/locked", 493)
    assert.is_false(h:sync(at "src", at "dst", { exclude = "cache/" }).changed)
    files.write("src/plain", "longer than it was")
    files.write("dst/extra/deep/x", "x")
    files.write("dst/keep.tmp", "x")
    files.write("dst/empty2", "x")
    local opts = { delete = true, dry_run = true, exclude = "cache/,*.tmp" }
    r = h:sync(at "src", at "dst", opts)
    assert.same({ "+ " .. at "dst/plain", "- " .. at "dst/empty2", "- " .. at "dst/extra" }, r.diff)
    assert.truthy(core.fs_stat_sync(at "dst/extra"))
    opts.dry_run = nil
    r = h:sync(at "src", at "dst", opts)
    assert.equal(1, r.files)
    assert.equal(2, #r.deleted)
    assert.truthy(core.fs_stat_sync(at "dst/keep.tmp"))
    os.remove(at "dst/keep.tmp")
    h:run({ "rm", "-rf", at "src/cache" })
    assert.same(picture(at "src"), picture(at "dst"))
    assert.is_false(h:sync(at "src", at "dst", { delete = true }).changed)
  end))

  it("puts a file where a directory was only when it may delete", body(function()
    local h = host()
    files.write("src/a", "file")
    files.write("dst/a/b", "tree")
    assert.is_false(h:sync(at "src", at "dst", { check = false }).ok)
    h:sync(at "src", at "dst", { delete = true })
    assert.equal("file", servers.read_file(at "dst/a"))
  end))
end)

describe("a fleet", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("puts, syncs, and gets below each host's name", body(function()
    local hosts = ssh.hosts("web[1-3]", servers.options(fleet()))
    run.defer(hosts.close, hosts)
    files.write("src/a", "a")
    files.write("src/b/c", "c")
    local rs = hosts:each(function(h) return h:put(at "src", at("up-" .. h.name)) end)
    assert.equal(3, #rs:ok())
    rs = hosts:get(at "src/a", at "got")
    assert.equal(3, #rs:ok())
    for i = 1, 3 do assert.equal("a", servers.read_file(at("got/web" .. i .. "/a"))) end
    hosts:get(at "src", at "trees/{host}.d")
    assert.equal("c", servers.read_file(at "trees/web2.d/b/c"))
    rs = hosts:put({ data = "x" }, at "same", { parallel = 2 })
    assert.equal(3, #rs:ok())
    assert.equal(3, #hosts:sync(at "src", at "synced", { parallel = 1 }):ok())
    local err = fails("fleet", hosts.put, hosts, at "src/none", at "x")
    assert.equal(3, #err.result:failed())
    fails("usage", hosts.put, hosts, function() end, at "x")
  end))
end)

describe("a copy from host to host", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("arrives whole, or is refused with a reason", body(function()
    local a, b = host "web1", host "web2"
    local data = ("0123456789"):rep(300000)
    local from = files.write("from/a", data, 416)
    core.fs_mkdir_sync(at "to", 493)
    local r = ssh.copy({ a, from }, { b, at "to/" }, { verify = "sha256" })
    assert.equal(#data, r.bytes)
    assert.equal("web2", r.host)
    assert.is_true(servers.read_file(at "to/a") == data)
    assert.equal(416, core.fs_stat_sync(at "to/a").mode)
    local err = fails("sftp", ssh.copy, { a, at "none" }, { b, at "to/a" })
    assert.matches("none", err.message)
    assert.is_true(servers.read_file(at "to/a") == data)
    fails("sftp", ssh.copy, { a, at "from" }, { b, at "to/a" }) -- a directory onto a file
    fails("usage", ssh.copy, "nohost", { b, "x" })
    fails("usage", ssh.copy, { a, from }, { b, "x" }, { resume = true })
  end))
end)
