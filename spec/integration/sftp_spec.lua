-- The SFTP client against OpenSSH's sftp-server: every verb, many files at once, cancelled requests, cut connections.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local await = task.await
local fleet, start_fleet, stop_fleet = servers.shared {}

-- An SFTP session, and a new directory of its own (SFTP begins in the account's home, which is not ours).
local function session()
  local s = servers.connect(fleet())
  local top = fleet():host().home .. ("/%x"):format(math.random(0, 2 ^ 31 - 1))
  assert(core.fs_mkdir_sync(top, 448))
  run.defer(core.fs_rmtree_sync, top)
  return s:sftp(), top, s
end

-- Bytes that differ from place to place and from file to file.
local function content(size, seed)
  local pieces = {}
  for i = 1, 500 do
    seed = (seed * 1103515245 + 12345) % 2147483648
    pieces[i] = ("%08x"):format(seed)
  end
  local block = table.concat(pieces)
  pieces = {}
  for i = 1, math.ceil(size / 4008) do pieces[i] = ("%08d%s"):format(i, block) end
  return table.concat(pieces):sub(1, size)
end

local function same(a, b) assert(a == b, "other bytes than expected") end

describe("an SFTP session", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("is one for everybody, and a new one after its end", run.body(function()
    local sftp, _, s = session()
    local first, second = ssh.all(function() return s:sftp() end, function() return s:sftp() end)
    assert.equal(sftp, first)
    assert.equal(sftp, second)
    sftp:close()
    sftp:close()
    run.fails("closed", sftp.stat, sftp, "/")
    assert.not_equal(sftp, s:sftp())
    assert.equal("directory", s:sftp():stat("/").type)
  end))

  it("knows what the server offers", run.body(function()
    local sftp = session()
    assert.is_true(sftp.offers["posix-rename@openssh.com"])
    local limits = sftp:limits()
    assert.equal(261120, limits.read_size)
    assert.is_true(limits.handles > 0)
    sftp.offers["statvfs@openssh.com"] = nil
    local err = run.fails("sftp", sftp.statvfs, sftp, "/")
    assert.equal("SSH_FX_OP_UNSUPPORTED", err.name)
    assert.matches("does not offer statvfs", err.message)
  end))

  it("makes, changes, renames and removes files and links", run.body(function()
    local sftp, top = session()
    sftp:write_file(top .. "/a", "hello", { mode = 416 })
    local st = sftp:stat(top .. "/a")
    assert.equal("file", st.type)
    assert.equal(5, st.size)
    assert.equal(416, st.mode)
    sftp:setstat(top .. "/a", { mode = 384, atime = 1000000000, mtime = 1100000000 })
    st = sftp:stat(top .. "/a")
    assert.equal(384, st.mode)
    assert.equal(1100000000, st.mtime)
    assert.matches("'mode'", run.fails("usage", sftp.setstat, sftp, top .. "/a", { mod = 420 }).message)
    assert.matches("together", run.fails("usage", sftp.lsetstat, sftp, top .. "/a", { mtime = 1 }).message)
    sftp:setstat(top .. "/a", { size = 3 })
    assert.equal("hel", sftp:read_file(top .. "/a"))
    sftp:symlink("a", top .. "/link")
    assert.equal("a", sftp:readlink(top .. "/link"))
    assert.equal("link", sftp:lstat(top .. "/link").type)
    assert.equal("file", sftp:stat(top .. "/link").type)
    sftp:setstat(top .. "/a", { atime = 1, mtime = 1100000000 })
    sftp:lsetstat(top .. "/link", { atime = 1, mtime = 1200000000 })
    assert.equal(1200000000, sftp:lstat(top .. "/link").mtime)
    assert.equal(1100000000, sftp:stat(top .. "/link").mtime)
    sftp:hardlink(top .. "/a", top .. "/b")
    sftp:write_file(top .. "/c", "see")
    sftp:rename(top .. "/c", top .. "/b")
    assert.equal("see", sftp:read_file(top .. "/b"))
    assert.equal("hel", sftp:read_file(top .. "/a"))
    assert.equal(top .. "/b", sftp:realpath(top .. "/./b"))
    sftp:remove(top .. "/link")
    assert.is_nil(sftp:exists(top .. "/link"))
    assert.equal("hel", sftp:read_file(top .. "/a"))
  end))

  it("asks about file systems, homes and owners", run.body(function()
    local sftp, top = session()
    local vfs = sftp:statvfs(top)
    assert.is_true(vfs.bsize > 0 and vfs.blocks > 0 and vfs.namemax > 0)
    local file = sftp:open(top .. "/f", "w")
    assert.equal(vfs.bsize, file:statvfs().bsize)
    file:sync()
    file:close()
    assert.equal(sftp:realpath(".") .. "/x", sftp:expand_path("~/x"))
    if sftp.offers["home-directory"] then assert.equal(sftp:realpath("."), sftp:home_directory()) end
    if sftp.offers["users-groups-by-id@openssh.com"] then
      local users, groups = sftp:owners({ 0, 4000000000 }, { 0 })
      assert.same({ "root", "" }, users)
      assert.same({ "root" }, groups)
    else
      run.fails("sftp", sftp.owners, sftp, { 0 }, {})
    end
  end))

  it("copies within the server", run.body(function()
    local sftp, top = session()
    sftp:write_file(top .. "/a", "0123456789")
    local from, to = sftp:open(top .. "/a"), sftp:open(top .. "/b", "w")
    if not sftp.offers["copy-data"] then
      run.fails("sftp", from.copy_data, from, to)
    else
      from:copy_data(to, 4, 3, 0)
      assert.equal("3456", sftp:read_file(top .. "/b"))
    end
    from:close()
    to:close()
  end))

  it("says who, what and where when the server refuses", run.body(function()
    local sftp, top = session()
    local err = run.fails("sftp", sftp.stat, sftp, top .. "/none")
    assert.equal("SSH_FX_NO_SUCH_FILE", err.name)
    assert.equal(2, err.code)
    assert.equal(top .. "/none", err.path)
    assert.equal(fleet():host().name, err.host)
    assert.equal("sftp.stat", err.op)
    assert.matches("cannot look at .*/none: no such file$", err.message)
    sftp:mkdir(top .. "/d")
    err = run.fails("sftp", sftp.mkdir, sftp, top .. "/d")
    assert.equal("SSH_FX_FAILURE", err.name)
    assert.matches("may be there already", err.hint)
    sftp:write_file(top .. "/d/f", "x")
    run.fails("sftp", sftp.rmdir, sftp, top .. "/d")
    run.fails("sftp", sftp.open, sftp, top .. "/d/f", "wx")
    run.fails("sftp", sftp.open, sftp, top .. "/none")
    run.fails("sftp", sftp.list, sftp, top .. "/none")
    run.fails("sftp", sftp.write_file, sftp, top .. "/none/f", "x")
  end))

  it("refuses what cannot be meant", run.body(function()
    local sftp = session()
    run.fails("usage", sftp.stat, sftp, "a\0b")
    run.fails("usage", sftp.stat, sftp, 7)
    run.fails("usage", sftp.open, sftp, "/x", "rw")
    run.fails("usage", sftp.remove, sftp, "/", { recursive = true })
    run.fails("usage", sftp.remove, sftp, "/tmp/..", { recursive = true })
    run.fails("usage", sftp.mkdir, sftp, "/x", { parent = true })
  end))
end)

describe("files", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("are read and written at any place", run.body(function()
    local sftp, top = session()
    local file = sftp:open(top .. "/f", "w")
    file:write("hello ")
    file:write("world\nsecond line\nlast")
    assert.equal(6 + 22, file:seek())
    assert.equal(3, file:seek("set", 3))
    file:write("LO")
    file:write_at(100000, "far")
    file:close()
    file:close()
    run.fails("closed", file.read, file)
    file = sftp:open(top .. "/f", "r+")
    assert.equal(100003, file:seek("end"))
    assert.is_nil(file:read())
    file:seek("set", 0)
    assert.equal("helLO world", file:read_line())
    assert.equal(12, file:seek())
    local lines = file:lines()
    assert.equal("second line", lines())
    assert.equal("far", file:read_at(100000, 50))
    assert.is_nil(file:read_at(200000, 1))
    assert.equal("last", file:read(4))
    file:write("!")
    assert.equal("last!", file:read_at(24, 5))
    assert.equal(100003, file:stat().size)
    file:setstat({ size = 10 })
    assert.equal("helLO worl", file:read_at(0, 100))
    file:close()
    file = sftp:open(top .. "/f", "a")
    file:write("end")
    file:close()
    assert.equal("helLO worlend", sftp:read_file(top .. "/f"))
  end))

  it("of every size come back as they were", run.body(function()
    local sftp, top = session()
    for _, size in ipairs { 0, 1, 32767, 32768, 32769, 261119, 261120, 261121, 1048576, 5000001 } do
      local data = content(size, size + 1)
      sftp:write_file(top .. "/f", data, { sync = false })
      same(data, sftp:read_file(top .. "/f"))
      local file = sftp:open(top .. "/f")
      same(data, file:read_all())
      assert.is_nil(file:read())
      file:close()
    end
    run.fails("limit", sftp.read_file, sftp, top .. "/f", { max = 5000000 })
  end))

  it("are read to their end although their size is not what stat says", run.body(function()
    local sftp = session()
    -- Files of /proc give a page or so at a time, however much is asked for.
    local data = sftp:read_file("/proc/self/smaps")
    assert.is_true(#data > 8192)
    local _, mappings = data:gsub("\nVmFlags:", "")
    local _, sizes = data:gsub("\nSize:", "")
    assert.equal(mappings, sizes)
    assert.matches("VmFlags:[^\n]*\n$", data)
  end))

  it("beyond 4 GiB have places, too", run.body(function()
    local sftp, top = session()
    local file = sftp:open(top .. "/sparse", "w")
    file:write_at(5 * 2 ^ 30, "beyond")
    file:close()
    assert.equal(5 * 2 ^ 30 + 6, sftp:stat(top .. "/sparse").size)
    file = sftp:open(top .. "/sparse")
    assert.equal("beyond", file:read_at(5 * 2 ^ 30, 100))
    file:seek("set", 2 ^ 32 - 2)
    assert.equal("\0\0\0\0", file:read(4))
    file:close()
  end))

  it("appear whole under their name, with the mode of the one they replace", run.body(function()
    local sftp, top = session()
    sftp:write_file(top .. "/f", "old", { mode = 384 })
    sftp:write_file(top .. "/f", "new")
    assert.equal(384, sftp:stat(top .. "/f").mode)
    assert.equal("new", sftp:read_file(top .. "/f"))
    sftp:mkdir(top .. "/d")
    sftp:write_file(top .. "/d/x", "")
    local err = run.fails("sftp", sftp.write_file, sftp, top .. "/d", "x")
    assert.equal(top .. "/d", err.path)
    local names = {}
    for _, entry in ipairs(sftp:list(top)) do names[#names + 1] = entry.name end
    assert.same({ "d", "f" }, names)
  end))

  it("may be written by fifty tasks at once on one channel", run.body(function()
    local sftp, top = session()
    local list = {}
    for i = 1, 50 do list[i] = i end
    task.each(list, function(i)
      local data = content(20000 * i, i)
      local file = sftp:open(top .. "/f" .. i, "w")
      local at = 0
      while at < #data do
        local n = math.random(1, 100000)
        file:write(data:sub(at + 1, at + n))
        at = at + n
        if i % 7 == 0 then sftp:stat(top) end
      end
      file:close()
      file = sftp:open(top .. "/f" .. i)
      local pieces = {}
      for bytes in function() return file:read(math.random(1, 70000)) end do pieces[#pieces + 1] = bytes end
      file:close()
      same(data, table.concat(pieces))
    end)
    for i = 1, 50 do same(content(20000 * i, i), servers.read_file(top .. "/f" .. i)) end
    assert.equal(0, sftp:in_flight())
  end, 60))
end)

describe("trees", function()
  setup(start_fleet)
  teardown(stop_fleet)

  local function build(sftp, top)
    sftp:mkdir(top .. "/a/b/c", { parents = true })
    sftp:mkdir(top .. "/a/b/c", { parents = true })
    sftp:mkdir(top .. "/a/.hidden")
    for _, name in ipairs { "a/1.txt", "a/2.txt", "a/b/3.log", "a/b/c/4 with space", "a/.hidden/5", "a/b/\xff\n6" } do
      sftp:write_file(top .. "/" .. name, name, { sync = false })
    end
    sftp:symlink("/etc", top .. "/a/outside")
    sftp:symlink("..", top .. "/a/b/circle")
  end

  it("are walked without following links", run.body(function()
    local sftp, top = session()
    build(sftp, top)
    local found = {}
    for path, entry in sftp:walk(top) do found[#found + 1] = path:sub(#top + 2) .. ":" .. entry.type end
    assert.same({
      "a:directory", "a/.hidden:directory", "a/.hidden/5:file", "a/1.txt:file", "a/2.txt:file", "a/b:directory",
      "a/b/3.log:file", "a/b/c:directory", "a/b/c/4 with space:file", "a/b/circle:link", "a/b/\xff\n6:file",
      "a/outside:link",
    }, found)
    local n = 0
    for _ in sftp:walk(top, { depth = 1 }) do n = n + 1 end
    assert.equal(1, n)
  end))

  it("are searched by pattern", run.body(function()
    local sftp, top = session()
    build(sftp, top)
    local function glob(pattern)
      local found = sftp:glob(top .. "/" .. pattern)
      for i, path in ipairs(found) do found[i] = path:sub(#top + 2) end
      return found
    end
    assert.same({ "a/1.txt", "a/2.txt" }, glob "a/*.txt")
    assert.same({ "a/2.txt" }, glob "a/[!1].txt")
    assert.same({ "a/1.txt" }, glob "a/[0-1].t?t")
    assert.same({ "a/b/3.log", "a/outside/host.conf" }, { glob("*/b/3.log")[1], glob("a/outs*/host.conf")[1] })
    assert.same({ "a/.hidden" }, glob "a/.h*")
    assert.same({ "a/1.txt" }, glob "a/1.txt")
    assert.same({}, glob "a/none*")
    assert.same({}, glob "none/*")
  end))

  it("are removed, and what their links point to is not", run.body(function()
    local sftp, top = session()
    build(sftp, top)
    sftp:mkdir(top .. "/kept")
    sftp:write_file(top .. "/kept/f", "x")
    sftp:symlink(top .. "/kept", top .. "/a/b/c/link")
    sftp:symlink(top .. "/kept", top .. "/direct")
    sftp:remove(top .. "/a", { recursive = true })
    sftp:remove(top .. "/direct", { recursive = true })
    local names = {}
    for path in sftp:walk(top) do names[#names + 1] = path:sub(#top + 2) end
    assert.same({ "kept", "kept/f" }, names)
    assert.equal("directory", sftp:stat("/etc").type)
  end))

  it("with thousands of entries are listed", run.body(function()
    local sftp, top = session()
    for i = 1, 2500 do assert(core.fs_write_sync(("%s/%05d"):format(top, i), "", 384)) end
    local entries, refused = sftp:list(top)
    assert.equal(2500, #entries)
    assert.equal(0, refused)
    for i, entry in ipairs(entries) do assert(entry.name == ("%05d"):format(i), entry.name) end
    sftp:remove(top, { recursive = true })
    assert.is_nil(sftp:exists(top))
    assert(core.fs_mkdir_sync(top, 448))
  end, 60))
end)

describe("transfers", function()
  setup(start_fleet)
  teardown(stop_fleet)

  local function local_file(path, how)
    local file = await(core.fs_open, path, how, nil)
    run.defer(function() pcall(await, file.close, file) end)
    return file
  end

  it("of every size are right to the last byte, both ways", run.body(function()
    local sftp, top = session()
    for _, size in ipairs { 0, 1, 131072, 131073, 261120, 1048576, 1048577, 3000000, 9999999 } do
      local data = content(size, size)
      servers.write_file(top .. "/src", data)
      local remote = sftp:open(top .. "/put", "w")
      local bytes, ended = remote:put(local_file(top .. "/src", "r"), size)
      assert.equal(size, bytes)
      assert.is_false(ended)
      assert.equal(size, (remote:progress()))
      remote:close()
      same(data, servers.read_file(top .. "/put"))
      for _, length in ipairs { size, false } do
        remote = sftp:open(top .. "/put")
        bytes, ended = remote:get(local_file(top .. "/got", "w"), { length = length or nil })
        assert.equal(size, bytes)
        assert.equal(not length, ended)
        remote:close()
        same(data, servers.read_file(top .. "/got"))
      end
    end
  end, 60))

  it("move parts, with blocks of any size", run.body(function()
    local sftp, top = session()
    local data = content(3000000, 3)
    servers.write_file(top .. "/src", data)
    local remote = sftp:open(top .. "/put", "w")
    for at = 0, 2999999, 700001 do
      local n = math.min(700001, 3000000 - at)
      local opts = { from = at, to = at, block = 1 + at % 300000, blocks = 1 + at % 3 }
      assert.equal(n, (remote:put(local_file(top .. "/src", "r"), n, opts)))
    end
    remote:close()
    same(data, servers.read_file(top .. "/put"))
    remote = sftp:open(top .. "/src")
    local got = local_file(top .. "/got", "w")
    for at = 0, 2999999, 900001 do
      local n = math.min(900001, 3000000 - at)
      local opts = { from = at, to = at, length = n, block = 1 + at % 300000, blocks = 1 + at % 3 }
      assert.equal(n, (remote:get(got, opts)))
    end
    remote:close()
    same(data, servers.read_file(top .. "/got"))
  end))

  it("of parts at once through one open file say each how much it was", run.body(function()
    local sftp, top = session()
    local data, pieces = content(36000, 4), {}
    for i = 1, 8 do pieces[i] = { at = 500 * i * (i - 1), n = 1000 * i } end -- few bytes: they end together
    servers.write_file(top .. "/src", data)
    for _, verb in ipairs { "put", "get" } do
      local src, to = local_file(top .. "/src", "r"), top .. "/" .. verb
      local remote = sftp:open(verb == "put" and to or top .. "/src", verb == "put" and "w" or "r")
      local target = verb == "get" and local_file(to, "w")
      task.each(pieces, function(piece)
        local opts = { from = piece.at, to = piece.at, length = target and piece.n or nil }
        assert.equal(piece.n, (target and remote:get(target, opts) or not target and remote:put(src, piece.n, opts)))
      end)
      remote:close()
      same(data, servers.read_file(to))
    end
  end))

  it("say how much there was when a file is shorter than it was said to be", run.body(function()
    local sftp, top = session()
    local data = content(1500000, 9)
    servers.write_file(top .. "/src", data)
    local remote = sftp:open(top .. "/put", "w")
    local bytes, ended = remote:put(local_file(top .. "/src", "r"), 4000000)
    assert.same({ 1500000, true }, { bytes, ended })
    remote:close()
    remote = sftp:open(top .. "/put")
    bytes, ended = remote:get(local_file(top .. "/got", "w"), { length = 4000000 })
    assert.same({ 1500000, true }, { bytes, ended })
    remote:close()
    same(data, servers.read_file(top .. "/got"))
  end))

  it("name a local disk that is full, and what is safe", run.body(function()
    local sftp, top = session()
    servers.write_file(top .. "/src", content(3000000, 4))
    local remote = sftp:open(top .. "/src")
    local err = run.fails("io", remote.get, remote, local_file("/dev/full", "r+"))
    assert.equal("ENOSPC", err.name)
    assert.equal(0, (remote:progress()))
    err = run.fails("sftp", remote.put, remote, local_file(top .. "/src", "r"), 3000000)
    assert.equal(top .. "/src", err.path)
    remote:close()
  end))

  it("stop when they are cancelled, and the session goes on", run.body(function()
    local sftp, top = session()
    servers.write_file(top .. "/src", content(20000000, 5))
    for i = 1, 12 do
      local remote = sftp:open(top .. "/src")
      local target = sftp:open(top .. "/put" .. i, "w")
      local from, to = local_file(top .. "/src", "r"), local_file(top .. "/got", "w")
      ssh.try(task.timeout, 0.002 * i, function()
        ssh.all(function() remote:get(to) end, function() target:put(from, 20000000) end)
      end)
      remote:close()
      target:close()
      assert.equal(20000000, sftp:stat(top .. "/src").size)
    end
    run.eventually(function() return sftp:in_flight() == 0 end)
    assert.equal(0, sftp:in_flight())
  end, 60))
end)

describe("what goes wrong on the way", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("cancelled requests disturb nobody, and opened files are closed", run.body(function()
    local sftp, top = session()
    local data = content(2000000, 7)
    sftp:write_file(top .. "/f", data)
    for i = 1, 100 do
      ssh.try(task.timeout, i % 5 == 0 and 0.0005 or 0, function()
        ssh.all(
          function() sftp:open(top .. "/f") end,
          function() sftp:read_file(top .. "/f") end,
          function() sftp:list(top) end,
          function() sftp:stat(top) end)
      end)
    end
    collectgarbage()
    same(data, sftp:read_file(top .. "/f"))
    assert.equal("directory", sftp:stat(top).type)
    collectgarbage()
    sftp:stat(top)
    -- Handles are few (limits@openssh.com): all those opens have been closed, or this fails.
    local limit = math.min(sftp:limits().handles - 1, 1000)
    local files = {}
    for i = 1, limit do files[i] = sftp:open(top .. "/f") end
    for i = 1, limit do files[i]:abandon() end
    assert.equal(#data, sftp:stat(top .. "/f").size)
  end, 60))

  it("a file that nobody closed is closed by the collector", run.body(function()
    local sftp, top = session()
    sftp:write_file(top .. "/f", "x")
    for _ = 1, 30 do
      for _ = 1, 100 do sftp:open(top .. "/f") end
      collectgarbage()
      collectgarbage()
      sftp:stat(top)
    end
  end, 60))

  it("a lost connection ends every request with its reason", run.body(function()
    local sftp, top, s = session()
    sftp:write_file(top .. "/f", content(30000000, 1), { sync = false })
    local errs = {}
    local file = sftp:open(top .. "/f")
    local got = await(core.fs_open, top .. "/got", "w", nil)
    ssh.scope(function(scope)
      local function try(fn, ...)
        local args = task.pack(...)
        scope:spawn(function()
          local _, err = ssh.try(fn, (table.unpack or unpack)(args, 1, args.n)) -- luacheck: ignore 143
          errs[#errs + 1] = err
        end)
      end
      try(file.get, file, got)
      for _ = 1, 5 do try(function() while true do sftp:read_file(top .. "/f") end end) end
      task.sleep(0.02)
      fleet():kill(fleet():host().name, "KILL")
    end)
    assert.equal(6, #errs)
    for _, err in ipairs(errs) do assert.equal("connection_lost", err.kind, err:describe()) end
    assert.is_false(sftp:is_alive())
    assert.is_false(s:is_alive())
    file:close()
    await(got.close, got)
    run.fails("connection_lost", s.sftp, s)
  end, 60))

  it("closing the session in the middle of everything is clean", run.body(function()
    for i = 1, 10 do
      local sftp, top, s = session()
      sftp:write_file(top .. "/f", content(3000000, 1), { sync = false })
      local ended = 0
      ssh.scope(function(scope)
        for _ = 1, 10 do
          scope:spawn(function()
            local _, err = ssh.try(function()
              while true do sftp:write_file(top .. "/g", sftp:read_file(top .. "/f"), { sync = false }) end
            end)
            assert(errors.is(err))
            ended = ended + 1
          end)
        end
        task.sleep(0.005 * i)
        if i % 2 == 0 then sftp:close() else s:abort() end
      end)
      assert.equal(10, ended)
    end
  end, 60))
end)

describe("a server that changes keys all the time", function()
  local again, start_again, stop_again = servers.shared { sshd_config = { "RekeyLimit 256K" } }
  setup(start_again)
  teardown(stop_again)

  it("gets and gives right bytes, also beside transfers that are cancelled", run.body(function()
    local sftp, top = servers.connect(again()):sftp(), again():host().home
    local data = content(6000000, 8)
    servers.write_file(top .. "/src", data)
    local function one(i)
      local remote = sftp:open(top .. "/put" .. i, "w")
      local from, to = await(core.fs_open, top .. "/src", "r", nil), await(core.fs_open, top .. "/got" .. i, "w", nil)
      local ok, err = pcall(function()
        remote:put(from, #data)
        remote:close()
        remote = sftp:open(top .. "/put" .. i)
        remote:get(to)
      end)
      remote:abandon()
      from:close(function() end)
      to:close(function() end)
      if not ok then error(err, 0) end
    end
    ssh.scope(function(scope)
      for i = 11, 30 do
        scope:spawn(function() ssh.try(task.timeout, 0.005 * (i - 10), one, i) end)
      end
      ssh.each({ 1, 2, 3 }, one)
    end)
    for i = 1, 3 do same(data, servers.read_file(top .. "/got" .. i)) end
    run.eventually(function() return sftp:in_flight() == 0 end)
    assert.equal(0, sftp:in_flight())
  end, 60))
end)

describe("a server that may only read", function()
  it("refuses to write, by name", run.body(function()
    local server = "/usr/lib/openssh/sftp-server"
    if not core.fs_stat_sync(server) then run.skip("no sftp-server where Debian has it") end
    local here = servers.fleet { sshd_config = { "Subsystem sftp " .. server .. " -R" } }
    local sftp = servers.connect(here):sftp()
    assert.equal("directory", sftp:stat("/").type)
    local err = run.fails("sftp", sftp.write_file, sftp, here:host().home .. "/f", "x")
    assert.equal("SSH_FX_PERMISSION_DENIED", err.name)
    assert.is_nil(core.fs_stat_sync(here:host().home .. "/f"))
  end))

  it("without an SFTP subsystem says so", run.body(function()
    local here = servers.fleet { sshd_config = { "Subsystem sftp /nonexistent/server" } }
    local err = run.fails("channel", function() servers.connect(here):sftp() end)
    assert.equal(here:host().name, err.host)
  end))
end)
