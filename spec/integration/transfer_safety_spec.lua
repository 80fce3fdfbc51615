-- What goes wrong on either side while files are copied: full and read-only disks, files that vanish, directories that
-- are swapped for links. Everything else arrives, what failed is named, nothing is half there.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body, fails = run.body, run.fails
local await = task.await
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 2 }

local function host(name) return servers.host(fleet(), name) end
local function at(name) return files.directory() .. "/" .. name end

-- A file system of its own at a name, until the end of the spec.
local function mount(name, options)
  core.fs_mkdir_sync(at(name), 448)
  local r = ssh.here:run({ "mount", "-t", "tmpfs", "-o", options, "tmpfs", at(name) }, { check = false })
  if not r.ok then run.skip "no file system can be mounted here" end
  run.defer(function() ssh.here:run { "umount", "-l", at(name) } end)
end

-- fn(), cancelled as soon as the directory has an entry.
local function cancelled_at_once(dir, fn)
  local ok, err = pcall(task.scope, function(s)
    s:spawn(fn)
    while not pcall(files.names, dir) or files.names(dir) == "" do ssh.sleep(0) end
    s:cancel()
  end)
  if not ok and not errors.is(err, "cancelled") then error(err, 0) end
end

describe("a transfer that is cancelled while it makes entries", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  for _, what in ipairs { "files", "links" } do
    it("leaves no temporary name of " .. what, body(function()
      local h = host()
      h:session():sftp()
      for i = 1, 8 do
        files.write(("links/%d/f"):format(i), "")
        for k = 1, 8 do
          files.write(("files/%d/%d"):format(i, k), "x")
          await(core.fs_symlink, "x", at(("links/%d/%d"):format(i, k)))
        end
      end
      for i = 1, 5 do
        for _, verb in ipairs { "put", "get" } do
          local to = at(verb .. i)
          cancelled_at_once(to .. "/1", function() h[verb](h, at(what), to, { verify = "sha256", links = "copy" }) end)
          h:session():sftp():exists(to) -- answered behind what was under way
          assert.equal("", ssh.here:run({ "find", to, "-name", "*.sshlua-*" }).stdout)
        end
      end
    end))
  end
end)

describe("a transfer to a server that cannot rename over a file", function()
  local own, start, stop = servers.shared { sshd_config = { "Subsystem sftp internal-sftp -P posix-rename" } }
  setup(start)
  teardown(stop)
  after_each(files.remove)

  it("leaves the old file or the new one when it is cancelled while they change places", body(function()
    local h = servers.host(own())
    local sftp = h:session():sftp()
    assert.is_nil(sftp.offers["posix-rename@openssh.com"])
    local to, rename, renames, cancel = files.write("a", "old"), sftp.rename, 0, nil
    sftp.rename = function(...) -- the second moves the old one away, the third brings the new one
      renames = renames + 1
      if renames == 3 then cancel() end
      return rename(...)
    end
    local ok = pcall(task.scope, function(s)
      cancel = function() s:cancel() end
      h:put({ data = "new" }, to)
    end)
    assert.is_true(ok)
    assert.equal("a", files.names(files.directory()))
    assert.equal("new", files.read(to))
  end))
end)

describe("a full disk", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("fails the file that does not fit, by name, and leaves nothing of it", body(function()
    mount("small", "size=1m")
    local h = host()
    files.write("src/a", ("a"):rep(1000))
    files.write("src/big", ("b"):rep(3000000))
    files.write("src/c", ("c"):rep(1000))
    for _, verb in ipairs { "put", "get" } do
      local err = fails(verb == "put" and "sftp" or "io", h[verb], h, at "src/big", at "small/big")
      assert.matches("big", err.message)
      assert.matches(verb == "put" and "full" or "", err.hint or "")
      assert.equal("web1", err.host)
      assert.equal("", files.names(at "small"))
      local r = h[verb](h, at "src", at("small/" .. verb), { check = false })
      assert.is_false(r.ok)
      assert.equal(3, r.files + #r.failed) -- small ones fail, too, that come while the disk is full
      local failed = {}
      for _, entry in ipairs(r.failed) do failed[entry.path:match "[^/]*$"] = true end
      assert.is_true(failed.big)
      for name in files.names(at("small/" .. verb)):gmatch "%S+" do
        assert.is_nil(failed[name])
        assert.equal(1000, core.fs_stat_sync(at("small/" .. verb .. "/" .. name)).size)
      end
      ssh.here:run { "rm", "-r", at("small/" .. verb) }
    end
    local err = fails("io", h.save, h, at "small/saved", ("x"):rep(3000000))
    assert.matches("saved", err.path)
    assert.equal("", files.names(at "small"))
  end, 90))

  it("of one host does not stop the others", body(function()
    mount("small", "size=1m")
    local all = ssh.hosts("web[1-2]", servers.options(fleet()))
    run.defer(all.close, all)
    core.fs_mkdir_sync(at "large", 448)
    files.write("big", ("b"):rep(3000000))
    await(core.fs_symlink, at "small", at "web1")
    await(core.fs_symlink, at "large", at "web2")
    local rs = all:each(function(h) return h:put(at "big", at(h.name .. "/big")) end, { check = false })
    assert.is_false(rs.web1.ok)
    assert.is_true(rs.web2.ok)
    assert.equal(3000000, core.fs_stat_sync(at "large/big").size)
    assert.equal("", files.names(at "small"))
  end, 90))
end)

describe("a read-only disk", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("is an error that names the target", body(function()
    mount("ro", "size=1m,ro")
    local h = host()
    files.write("src/a", "a")
    local err = fails("sftp", h.put, h, at "src/a", at "ro/a")
    assert.matches("ro/a", err.message)
    assert.equal(at "ro/a", err.path)
    assert.matches("read%-only", err.hint)
    err = fails("io", h.get, h, at "src/a", at "ro/a")
    assert.equal("EROFS", err.name)
    assert.matches("ro", err.message)
    assert.matches("read%-only", fails("sftp", h.put, h, at "src", at "ro/tree").hint)
    fails("io", h.get, h, at "src", at "ro/tree")
    fails("sftp", h.template, h, files.write("t", "x"), at "ro/t", {})
  end, 90))
end)

describe("while a tree is copied", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  -- Calls fn() as soon as something has moved, while the copy goes on.
  local function meanwhile(fn)
    local done = false
    return { files = 1, limit = 400000, check = false, progress = function(event)
      if done or event.bytes == 0 then return end
      done = true
      fn()
    end }
  end

  it("a file that vanishes is named, the others arrive", body(function()
    local h = host()
    for _, verb in ipairs { "put", "get" } do
      for i = 1, 4 do files.write("src/f" .. i, (i .. ""):rep(60000)) end
      local r = h[verb](h, at "src", at(verb), meanwhile(function() os.remove(at "src/f4") end))
      assert.is_false(r.ok)
      assert.equal(3, r.files)
      assert.equal(1, #r.failed)
      assert.matches("f4$", r.failed[1].path)
      assert.equal("web1", r.failed[1].err.host)
      assert.equal("f1 f2 f3", files.names(at(verb)))
      assert.equal(4, #r.arrived) -- with the directory
    end
  end, 90))

  it("a local directory that is swapped for a link leads nowhere", body(function()
    local h = host()
    for i = 1, 4 do files.write("src/d/f" .. i, (i .. ""):rep(60000)) end
    files.write("victim/f4", "safe")
    local r = h:get(at "src", at "down", meanwhile(function()
      assert(os.rename(at "down/d", at "down/moved"))
      await(core.fs_symlink, at "victim", at "down/d")
    end, 90))
    assert.equal("safe", servers.read_file(at "victim/f4"))
    assert.equal("f4", files.names(at "victim"))
    assert.equal(60000, core.fs_stat_sync(at "down/moved/f4").size)
    assert.equal(4, r.files)
    files.write("secret/f4", "secret")
    h:put(at "src", at "up", meanwhile(function()
      assert(os.rename(at "src/d", at "src/moved"))
      await(core.fs_symlink, at "secret", at "src/d")
    end, 90))
    assert.are_not.equal("secret", servers.read_file(at "up/d/f4"))
  end, 90))

  it("setuid and setgid bits do not travel unless asked", body(function()
    local h = host()
    files.write("src/d/tool", "x")
    await(core.fs_chmod, at "src/d/tool", 3565) -- 6755
    await(core.fs_chmod, at "src/d", 1517)      -- 2755
    for _, verb in ipairs { "put", "get", "sync" } do
      h[verb](h, at "src", at(verb))
      assert.equal(493, core.fs_stat_sync(at(verb .. "/d/tool")).mode)
      assert.equal(493, core.fs_stat_sync(at(verb .. "/d")).mode)
      h[verb](h, at "src", at(verb .. "2"), { setuid = true })
      assert.equal(3565, core.fs_stat_sync(at(verb .. "2/d/tool")).mode)
      assert.equal(1517, core.fs_stat_sync(at(verb .. "2/d")).mode)
    end
    ssh.copy({ h, at "src" }, { host "web2", at "copy" })
    assert.equal(493, core.fs_stat_sync(at "copy/d/tool").mode)
  end, 90))
end)
