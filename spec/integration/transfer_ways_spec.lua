-- Other ways of a copy: a sync from the host, trees from host to host, sparse files, several sources, and what a lost
-- connection leaves.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"
local tree = require "spec.support.wild_tree"

local body, fails = run.body, run.fails
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 2 }

local function host(name, more) return servers.host(fleet(), name, more) end
local function at(name) return files.directory() .. "/" .. name end
local function same_trees(a, b) assert.is_nil(tree.difference(tree.picture(at(a)), tree.picture(at(b)))) end

describe("sync from a host", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("makes the local directory like the host's", body(function()
    local h = host()
    tree.make(at "src", 60, 7)
    local r = h:sync(at "src/", at "dst", { pull = true, unsafe_links = true })
    assert.is_true(r.changed)
    same_trees("src", "dst")
    assert.is_false(h:sync(at "src/", at "dst", { pull = true, delete = true, unsafe_links = true }).changed)
    files.write("dst/mine/deep/x", "x")
    files.write("dst/keep.log", "x")
    local opts = { pull = true, delete = true, exclude = "*.log", unsafe_links = true, dry_run = true }
    assert.same({ "- " .. at "dst/mine" }, h:sync(at "src/", at "dst", opts).diff)
    assert.truthy(core.fs_stat_sync(at "dst/mine"))
    opts.dry_run = nil
    h:sync(at "src/", at "dst", opts)
    assert.is_nil(core.fs_stat_sync(at "dst/mine"))
    assert.truthy(core.fs_stat_sync(at "dst/keep.log"))
    fails("usage", h.get, h, at "src", at "x", { pull = true })
    fails("sftp", h.sync, h, at "none", at "dst", { pull = true, delete = true })
    assert.truthy(core.fs_stat_sync(at "dst/keep.log"))
  end, 90))

  it("of a fleet has a directory for each", body(function()
    files.write("src/a", "a")
    local all = ssh.hosts("web[1-2]", servers.options(fleet()))
    run.defer(all.close, all)
    all:sync(at "src/", at "mirror/{host}", { pull = true })
    assert.equal("a", servers.read_file(at "mirror/web2/a"))
    all:sync(at "src", at "whole", { pull = true })
    assert.equal("a", servers.read_file(at "whole/web1/src/a"))
  end, 90))
end)

describe("a tree from host to host", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("arrives as it was, and what is the same is left alone", body(function()
    local a, b = host "web1", host "web2"
    tree.make(at "src", 120, 11)
    local opts = { links = "copy", times = true, unsafe_links = true, skip = "time" }
    local r = ssh.copy({ a, at "src" }, { b, at "dst" }, opts)
    assert.is_true(r.changed)
    same_trees("src", "dst")
    assert.is_false(ssh.copy({ a, at "src" }, { b, at "dst" }, opts).changed)
    assert.is_true(ssh.copy({ a, at "src/" }, { b, at "not/there" }, { parents = true, dry_run = true }).changed)
    assert.is_nil(core.fs_stat_sync(at "not"))
    fails("usage", ssh.copy, { a, at "src" }, { b, at "dst" }, { links = "follow" })
    fails("usage", ssh.copy, { a, at "src" }, { b, at "dst" }, { skip = "digest" })
  end, 90))

  it("does not carry links that lead out of it", body(function()
    files.write("src/a", "a")
    task.await(core.fs_symlink, "/etc", at "src/out")
    local r = ssh.copy({ host "web1", at "src" }, { host "web2", at "dst" }, { links = "copy" })
    assert.equal(1, #r.left_out)
    assert.is_false((pcall(task.await, core.fs_lstat, at "dst/out")))
    assert.equal("a", servers.read_file(at "dst/a"))
  end, 90))
end)

describe("several sources", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("go into the target; one that fails does not stop the others", body(function()
    local h = host()
    files.write("a", "a")
    files.write("d/b", "b")
    files.write("e/c", "c")
    h:put({ at "a", at "d", at "e/", at "?" }, at "up")
    assert.equal("a", servers.read_file(at "up/a"))
    assert.equal("b", servers.read_file(at "up/d/b"))
    assert.equal("c", servers.read_file(at "up/c"))
    local r = h:get({ at "up/a", at "up/none", at "up/d" }, at "down/new", { check = false })
    assert.equal(1, #r.failed)
    assert.equal("b", servers.read_file(at "down/new/d/b"))
    fails("usage", h.put, h, {}, at "up")
    fails("usage", h.put, h, { 1 }, at "up")
    fails("usage", h.sync, h, { at "a" }, at "up")
  end, 90))
end)

-- Bytes on the disk.
local function used(path)
  local words = ssh.here:run({ "stat", "-c", "%b %B", path }).stdout
  local blocks, size = words:match "(%d+) (%d+)"
  return tonumber(blocks) * tonumber(size)
end

-- A file of `size` bytes with a few of them in it.
local function make_sparse(path, size)
  local f = assert(io.open(path, "wb"))
  for _, part in ipairs { 0, 0.3, 0.7 } do
    f:seek("set", math.floor(size * part))
    f:write(("data"):rep(25000))
  end
  f:seek("set", size - 1)
  f:write "\0"
  f:close()
end

describe("a sparse file", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("keeps its holes both ways, or not when asked", body(function()
    local h, size = host(), 24 * 1024 * 1024
    make_sparse(at "src", size)
    if used(at "src") > 4 * 1024 * 1024 then run.skip "this file system has no holes" end
    h:put(at "src", at "up", { verify = "sha256" })
    h:get(at "up", at "down", { verify = "sha256" })
    for _, name in ipairs { "up", "down" } do
      assert.equal(size, core.fs_stat_sync(at(name)).size)
      assert(used(at(name)) < 6 * 1024 * 1024, name .. ": " .. used(at(name)))
    end
    h:put(at "src", at "full", { sparse = false })
    assert(used(at "full") >= size)
    local zeros = ("\0"):rep(3000000)
    files.write("zeros", zeros)
    h:put(at "zeros", at "zeros-up")
    h:get(at "zeros-up", at "zeros-down")
    assert.is_true(zeros == servers.read_file(at "zeros-down"))
  end, 90))

  -- Each way over a connection that is cut once, then resumed.
  local function through_cut(size, cut_up, cut_down, seconds)
    return run.body(function()
      local relay, opts = servers.relay(fleet(), nil, {})
      local h = ssh.host(fleet():host().name, opts)
      run.defer(h.close, h)
      make_sparse(at "src", size)
      local function cut_once(direction, verb, from, to, after)
        relay[direction].cut_after = after
        local copy_opts = { resume = true, verify = "sha256", idle = 600 }
        local err = fails("connection_lost", verb, h, at(from), at(to), copy_opts)
        assert.is_nil(core.fs_stat_sync(at(to)))
        assert.is_number(err.bytes)
        h:close()
        verb(host(), at(from), at(to), copy_opts) -- not through the relay, which is slow
        assert.equal(size, core.fs_stat_sync(at(to)).size)
        assert(used(at(to)) < 16 * 1024 * 1024)
      end
      cut_once("up", h.put, "src", "up", cut_up)
      relay.up.cut_after = nil
      cut_once("down", h.get, "up", "down", cut_down)
      ssh.here:run({ "cmp", at "src", at "down" }, { timeout = seconds })
      assert.is_nil(core.fs_stat_sync(at ".down.sshlua-part"))
    end, seconds)
  end

  it("of 5 GiB goes both ways over a connection that is cut #long", through_cut(5 * 1024 ^ 3, 200000, 100 * 1024 ^ 2, 3600))

  it("goes both ways over a connection that is cut", through_cut(40 * 1024 ^ 2, 200000, 30 * 1024 ^ 2, 60))
end)

describe("a lost connection", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("leaves a temporary file that the next transfer removes", body(function()
    local relay, opts = servers.relay(fleet(), nil, {})
    local h = ssh.host(fleet():host().name, opts)
    run.defer(h.close, h)
    local text = ("0123456789"):rep(200000)
    files.write("src/big", text)
    files.write("dst/x", "")
    relay.up.cut_after = 1000000
    fails("connection_lost", h.put, h, at "src/big", at "dst/big")
    relay.up.cut_after = nil
    local function names()
      local out = {}
      for _, e in ipairs(task.await(core.fs_readdir, at "dst")) do out[#out + 1] = e.name end
      table.sort(out)
      return out
    end
    assert.equal(2, #names())
    assert.matches("^%.big%.sshlua%-", names()[1])
    h:put({ data = "y" }, at "dst/y")
    assert.same({ "x", "y" }, names())
  end, 90))

  it("that is lost while a cancelled transfer removes its temporary file does so, too", body(function()
    local relay, opts = servers.relay(fleet(), nil, {})
    local h = ssh.host(fleet():host().name, opts)
    run.defer(h.close, h)
    files.write("src/big", ("0123456789"):rep(2000000))
    files.write("dst/x", "")
    task.scope(function(s)
      s:spawn(h.put, h, at "src/big", at "dst/big")
      repeat ssh.sleep(0) until relay.passed[1] and relay.passed[1].up > 300000
      relay.up.cut_after = relay.passed[1].up + 1 -- nobody has seen it when the removal is asked for
      s:cancel()
    end)
    relay.up.cut_after = nil
    h:put({ data = "y" }, at "dst/y")
    assert.equal("x y", files.names(at "dst"))
  end, 30))
end)
