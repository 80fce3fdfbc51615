-- The small files of trees go by dozens: whatever is wrong with one of them is named, and the others arrive.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local files = require "spec.support.files"
local run = require "spec.support.run"
local scope = require "sshlua.task.scope"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body = run.body
local fleet, start_fleet, stop_fleet = servers.shared {}

local function at(name) return files.directory() .. "/" .. name end

local function await_put(client, list) return task.await(client.put_files, client, list, false) end
local function await_get(client, list) return task.await(client.get_files, client, list, false) end

describe("many small files", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("arrive with sizes, modes and times, also around the largest size that goes by dozens", body(function()
    local h = servers.host(fleet())
    for i, size in ipairs { 0, 1, 32767, 32768, 32769, 65535, 65536, 65537, 262144 } do
      files.write("src/f" .. i, ("%d"):format(i):rep(size), i % 2 == 0 and 384 or 493)
    end
    for i = 1, 300 do files.write(("src/d%d/e/f%d"):format(i % 40, i), ("x"):rep(i)) end
    task.await(core.fs_utime, at "src/f3", 1000000000, 1000000000)
    local r = h:put(at "src", at "up", { times = true })
    assert.equal(309, r.files)
    local down = h:get(at "up", at "down", { times = true })
    assert.equal(309, down.files)
    assert.equal(r.bytes, down.bytes)
    for i = 1, 9 do
      local one, two = core.fs_stat_sync(at("src/f" .. i)), core.fs_stat_sync(at("down/f" .. i))
      assert.equal(one.mode, two.mode)
      assert.equal(math.floor(one.mtime), two.mtime)
      assert.is_true(servers.read_file(at("src/f" .. i)) == servers.read_file(at("down/f" .. i)))
    end
    for i = 1, 300 do assert.equal(i, #servers.read_file(at(("down/d%d/e/f%d"):format(i % 40, i)))) end
    assert.equal("e", files.names(at "up/d1"))
  end))

  it("that cannot be done are named, and nothing is left of them", body(function()
    local h = servers.host(fleet())
    for i = 1, 40 do files.write("src/f" .. i, "new") end
    files.write("up/f7/in", "in the way")
    files.write("up/f9", "old")
    local r = h:put(at "src", at "up", { check = false })
    assert.equal(39, r.files)
    assert.equal(1, #r.failed)
    assert.matches("f7", r.failed[1].err.message)
    assert.matches("is a directory", r.failed[1].err.message)
    assert.equal("new", servers.read_file(at "up/f9"))
    assert.is_nil(files.names(at "up"):find "sshlua")
    files.write("down/f8/in", "in the way")
    r = h:get(at "src", at "down", { check = false })
    assert.equal(39, r.files)
    assert.equal(1, #r.failed)
    assert.matches("f8", r.failed[1].err.message)
    assert.is_nil(files.names(at "down"):find "sshlua")
  end))

  it("are reported one by one by the C module, which takes none that differs from its announcement", body(function()
    local client = servers.host(fleet()):session():sftp().core
    files.write("a", "four")
    task.await(core.fs_symlink, "a", at "link")
    core.fs_mkdir_sync(at "dir", 448)
    local function entry(list, from, to, size)
      for _, v in ipairs { at(from), at(to) .. ".new", at(to), size, 420, 420, -1 } do list[#list + 1] = v end
    end
    local list = {}
    entry(list, "a", "good", 4)
    entry(list, "a", "longer", 5)
    entry(list, "a", "shorter", 3)
    entry(list, "none", "none2", 4)
    entry(list, "a", "dir", 4)
    entry(list, "dir", "dir2", 4)
    local flags, bytes = await_put(client, list)
    assert.equal("100000", flags)
    assert.equal(4, bytes)
    os.remove(at "good")
    flags, bytes = await_get(client, list)
    assert.equal("100000", flags)
    assert.equal(4, bytes)
    list = {}
    entry(list, "link", "by link", 4)
    assert.equal("0", await_put(client, list))
    assert.equal("a dir good link", files.names(files.directory()))
    assert.is_false(pcall(client.put_files, client, { "a" }, false, print))
    assert.is_false(pcall(client.put_files, client, { "a\0", "b", "c", 1, 0, 0, -1 }, false, print))
    assert.is_false(pcall(client.put_files, client, { "a", "b", "c", 1e6, 0, 0, -1 }, false, print))
    assert.is_false(pcall(client.get_files, client, { "a", "b", "c", -1, 0, 0, -1 }, false, print))
  end))

  it("that a lost connection leaves unfinished on the host are removed by the next transfer", body(function()
    for i = 1, 300 do files.write("src/f" .. i, ("x"):rep(2000)) end
    local relay, opts = servers.relay(fleet(), nil, {})
    local h = ssh.host(fleet():host().name, opts)
    run.defer(h.close, h)
    relay.up.cut_after = 150000
    run.fails("connection_lost", h.put, h, at "src", at "up")
    relay.up.cut_after = nil
    local before
    repeat -- the server may still be at what it had been told
      before = files.names(at "up")
      ssh.sleep(0.2)
    until files.names(at "up") == before
    assert.matches("%.sshlua%-", before)
    h:put({ data = "y" }, at "y")
    assert.not_matches("%.sshlua%-", files.names(at "up"))
  end))

  it("leave nothing unfinished, and begin nothing more, when the transfer is cancelled", body(function()
    local h = servers.host(fleet())
    for i = 1, 400 do files.write("src/f" .. i, ("x"):rep(4000)) end
    h:session():sftp()
    for _, way in ipairs { "put", "get" } do
      for _, after in ipairs { 0.002, 0.01, 0.03 } do
        local to = at(way .. after * 1000)
        local _, err = pcall(scope.timeout, after, function() h[way](h, at "src", to) end)
        h:session():sftp():exists(at "src") -- answered behind what was under way
        local there = core.fs_stat_sync(to) and files.list(to) or {}
        for _, name in ipairs(there) do assert.equal(4000, core.fs_stat_sync(to .. "/" .. name).size, name) end
        assert.not_matches("sshlua", table.concat(there, " "))
        ssh.sleep(0.02)
        assert.equal(#there, #(core.fs_stat_sync(to) and files.list(to) or {}))
        assert.is_true(err == nil or errors.is(err, "timeout"))
      end
    end
  end))

  it("say what arrived when the connection is cut", body(function()
    for i = 1, 300 do files.write("src/f" .. i, ("x"):rep(30000)) end
    local relay, opts = servers.relay(fleet(), nil, { up = { cut_after = 1500000 } })
    local h = ssh.host("behind", opts)
    run.defer(h.close, h)
    local err = run.fails("connection_lost", h.put, h, at "src", at "up")
    assert.is_true(err.result.files < 300)
    for _, path in ipairs(err.result.arrived) do
      if path:find "/f" then assert.equal(30000, core.fs_stat_sync(path).size) end
    end
    assert.is_table(relay)
  end))
end)
