-- What people who know scp and rsync type, and what they may rely on.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"

local body = run.body
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 2 }

local function host(more) return servers.host(fleet(), nil, more) end
local function at(name) return files.directory() .. "/" .. name end
local function exists(name) return core.fs_stat_sync(at(name)) ~= nil end

describe("habits of scp and rsync", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("take .. and . for what is in them, and leave all beside the target alone", body(function()
    files.write("src/sub/a", "a")
    files.write("dst/beside", "b")
    files.write("dst/x/old", "o")
    local h = host()
    h:sync(at "src/sub/..", at "dst/x/", { delete = true })
    assert.equal("a", servers.read_file(at "dst/x/sub/a"))
    assert.is_false(exists "dst/x/old")
    assert.equal("b", servers.read_file(at "dst/beside"))
    files.write("got/x/old", "o")
    files.write("got/beside", "b")
    h:get(at "src/sub/..", at "got/x/")
    assert.equal("a", servers.read_file(at "got/x/sub/a"))
    assert.is_false(exists "got/sub")
    h:get(at "src/*/..", at "globbed")
    assert.equal("a", servers.read_file(at "globbed/sub/a"))
    assert.is_false(exists "sub")
    h:get(at "dst/beside", at "got/x/.")
    assert.equal("b", servers.read_file(at "got/x/beside"))
  end))

  it("never put a copy in the place of a device, a FIFO, or of a link to a directory", body(function()
    local from = files.write("src/a", "a")
    files.write("dst/dir/b", "b")
    local h = host()
    assert.is_true(h:run({ "mkfifo", at "dst/fifo" }).ok)
    assert.is_true(h:run({ "ln", "-s", "dir", at "dst/link" }).ok)
    assert.is_true(h:run({ "ln", "-s", "/dev/null", at "dst/null" }).ok)
    assert.is_true(h:run({ "ln", "-s", "/proc/self/fd/1", at "dst/out" }).ok)
    for name, what in pairs { fifo = "is a FIFO", link = "is a directory", null = "is a character device" } do
      for _, dry in ipairs { false, true } do
        local err = run.fails("sftp", h.put, h, from, at("dst/" .. name), { dry_run = dry })
        assert.truthy(err.message:find(name .. " " .. what, 1, true), err.message)
        assert.is_string(err.hint)
      end
      run.fails("sftp", h.put, h, { data = "a" }, at("dst/" .. name))
      local err = run.fails("io", h.get, h, from, at("dst/" .. name))
      assert.truthy(err.message:find(name .. " " .. what, 1, true), err.message)
    end
    run.fails("io", h.get, h, from, at "dst/out")
    local err = run.fails("io", require("sshlua.transfer_cat").put, require("sshlua.transfer_job").new(h, "put", {}), from, at "dst/fifo")
    assert.truthy(err.message:find("it is no file", 1, true), err.message)
    local r = h:put({ from, at "src/a" }, at "dst/dir", {})
    assert.equal(2, r.files)
    local names = h:run({ "ls", "-A", at "dst" }).stdout
    assert.equal("dir\nfifo\nlink\nnull\nout\n", names)
    assert.matches("^p", h:run({ "ls", "-l", at "dst/fifo" }).stdout)
  end))

  it("are told what is in the way", body(function()
    local from, file = files.write("src/a", "a"), files.write("dst/f", "f")
    local h = host()
    for _, source in ipairs { at "src", { from, from } } do
      local err = run.fails("sftp", h.put, h, source, file)
      assert.truthy(err.message:find("dst/f is in the way: it is a file, not a directory", 1, true), err.message)
    end
    local err = run.fails("io", h.get, h, file, at "src")
    assert.truthy(err.message:find("src is a directory", 1, true), err.message)
    files.write("tree/a/b", "b")
    err = run.fails("sftp", h.sync, h, at "src", at "tree")
    assert.truthy(err.message:find("tree/a is a directory", 1, true), err.message)
    assert.truthy(err.hint:find("--delete", 1, true), err.hint)
  end))

  it("sync trees in which nobody may write, again and again", body(function()
    files.write("src/ro/a", "a")
    core.fs_chmod_sync(at "src/ro", 365)
    local h = host()
    h:sync(at "src", at "dst")
    core.fs_chmod_sync(at "src/ro", 493)
    files.write("src/ro/b", "b")
    core.fs_chmod_sync(at "src/ro", 365)
    assert.equal(1, h:sync(at "src", at "dst").files)
    assert.equal(365, core.fs_stat_sync(at "dst/ro").mode)
    h:sync(at "dst", at "here", { pull = true })
    h:run({ "rm", "-f", at "here/ro/b" }, { check = false })
    h:sync(at "dst", at "here", { pull = true })
    assert.equal("b", servers.read_file(at "here/ro/b"))
    assert.equal(365, core.fs_stat_sync(at "here/ro").mode)
  end))

  it("find modes again after a sync, and times that SFTP cannot say only once", body(function()
    for _, name in ipairs { "old", "far", "run" } do files.write("src/" .. name, name) end
    local old, far = at "src/old", at "src/far"
    local h = host()
    assert.is_true(h:run({ "touch", "-d", "1960-01-01T00:00:00Z", old }).ok)
    assert.is_true(h:run({ "touch", "-d", "2200-01-01T00:00:00Z", far }).ok)
    h:sync(at "src", at "dst")
    h:put(old, at "single", { times = true })
    assert.equal(0, core.fs_stat_sync(at "dst/old").mtime)
    assert.equal(0, core.fs_stat_sync(at "single").mtime)
    assert.equal(4294967295, core.fs_stat_sync(at "dst/far").mtime)
    local r = h:sync(at "src", at "dst")
    assert.equal(3, r.same)
    assert.is_false(r.changed)
    core.fs_chmod_sync(at "src/run", 493)
    r = h:sync(at "src", at "dst", { dry_run = true })
    assert.same({ "+ " .. at "dst/run" }, r.diff)
    assert.equal(420, core.fs_stat_sync(at "dst/run").mode)
    r = h:sync(at "src", at "dst")
    assert.equal("1 file, 0 bytes; 2 same\n", r.stdout)
    assert.equal(493, core.fs_stat_sync(at "dst/run").mode)
    assert.is_false(h:sync(at "src", at "dst").changed)
    h:sync(at "dst", at "here", { pull = true })
    core.fs_chmod_sync(at "dst/run", 420)
    assert.same({ at "here/run" }, h:sync(at "dst", at "here", { pull = true }).arrived)
    assert.equal(420, core.fs_stat_sync(at "here/run").mode)
    assert.is_false(h:sync(at "dst", at "here", { pull = true }).changed)
  end))

  it("wait for the writer of a FIFO, and never share one among hosts", body(function()
    local fifo = at "src/fifo"
    files.write("src/a", "a")
    local h = host()
    assert.is_true(h:run({ "mkfifo", fifo }).ok)
    ssh.all(function() h:put(fifo, at "copy") end, function()
      ssh.sleep(0.2)
      h:run({ "sh", "-c", "echo late > " .. ssh.quote(fifo) })
    end)
    assert.equal("late\n", servers.read_file(at "copy"))
    run.fails("timeout", h.put, h, fifo, at "copy", { timeout = 0.2 })
    assert.equal("late\n", servers.read_file(at "copy"))
    local err = run.fails("usage", ssh.hosts("web[1-2]", servers.options(fleet())).put,
      ssh.hosts("web[1-2]", servers.options(fleet())), fifo, at "copy")
    assert.truthy(err.message:find("is a pipe, which is read once, and these are 2 hosts", 1, true), err.message)
  end))

  it("keep what is excluded, wherever it is", body(function()
    files.write("src/new", "n")
    for _, name in ipairs { "old/deep/keep.tmp", "old/deep/x", "old/y", "gone/z", "a.tmp", "cache/c" } do
      files.write("dst/" .. name, "o")
      files.write("here/" .. name, "o")
    end
    local opts = { delete = true, exclude = { "*.tmp", "cache/" }, dry_run = true }
    local h = host()
    local pretended = h:sync(at "src", at "dst", opts)
    assert.is_true(exists "dst/old/y")
    opts.dry_run = false
    local r = h:sync(at "src", at "dst", opts)
    assert.same(pretended.deleted, r.deleted)
    assert.same({ at "dst/gone", at "dst/old/deep/x", at "dst/old/y" }, r.deleted)
    assert.equal(at "dst/old", r.left_out[1].path)
    opts.pull = true
    h:sync(at "src", at "here", opts)
    for _, side in ipairs { "dst", "here" } do
      for _, name in ipairs { "new", "old/deep/keep.tmp", "a.tmp", "cache/c" } do
        assert.is_true(exists(side .. "/" .. name), side .. "/" .. name)
      end
      for _, name in ipairs { "old/deep/x", "old/y", "gone" } do assert.is_false(exists(side .. "/" .. name)) end
    end
  end))
end)
