-- Files by the protocol of scp, for servers without SFTP: real scp on the other side, and one that lies.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local task = require "sshlua.task"

local body, fails = run.body, run.fails
local here = debug.getinfo(1, "S").source:match "^@(.*)spec/integration/" or ""
if here:sub(1, 1) ~= "/" then here = (os.getenv "PWD" or ".") .. "/" .. here end
local mode_file = os.tmpname()
local liars, start_liars, stop_liars = servers.shared {
  sshd_config = { ("ForceCommand /usr/bin/python3 %sspec/support/scp_liar.py %s"):format(here, mode_file) },
}
local plain, start_plain, stop_plain = servers.shared { sshd_config = { "Subsystem sftp /nonexistent/server" } }

local function at(name) return files.directory() .. "/" .. name end

describe("without SFTP", function()
  setup(start_plain)
  teardown(stop_plain)
  after_each(files.remove)

  local names = { "plain", " space ", "-rf", "*", "quote'\"", "back\\slash", "tab\t", "\195\188", "\255\254", "$(id)", ".hidden" }

  it("a tree goes by scp, with modes and times, and says what scp cannot carry", body(function()
    for i, name in ipairs(names) do files.write("src/d/" .. name, ("x"):rep(i * 1000), i % 2 == 0 and 420 or 384) end
    files.write("src/empty", "")
    files.write("src/line\nfeed", "x")
    task.await(core.fs_symlink, "empty", at "src/link")
    task.await(core.fs_utime, at "src/d/plain", 1000000000, 1000000000)
    task.await(core.fs_utime, at "src/d", 1100000000, 1100000000)
    local h = servers.host(plain())
    local r = h:put(at "src", at "up dir", { times = true })
    assert.equal(#names + 1, r.files)
    assert.equal(2, r.directories)
    assert.equal(2, #r.left_out)
    r = h:get(at "up dir", at "down", { times = true })
    assert.equal(#names + 1, r.files)
    for i, name in ipairs(names) do
      local one, two = task.await(core.fs_lstat, at("src/d/" .. name)), task.await(core.fs_lstat, at("down/d/" .. name))
      assert.equal(("x"):rep(i * 1000), servers.read_file(at("down/d/" .. name)))
      assert.equal(one.mode, two.mode)
      assert.equal(math.floor(one.mtime), two.mtime)
    end
    assert.equal(1100000000, task.await(core.fs_lstat, at "down/d").mtime)
    assert.equal("d empty", files.names(at "down"))
  end))

  it("a file goes through the shell under any name, with its mode, and the Result says so", body(function()
    local h = servers.host(plain())
    core.fs_mkdir_sync(at "got", 493)
    for name, mode in pairs { ["-rf"] = 384, ["a'$(id)"] = 448 } do
      local r, moved = h:put(files.write(name, "data", mode), name), nil
      assert.equal("1 file, 4 bytes\n" .. name, r.stdout .. r.arrived[1])
      r = h:get(name, at "got/", { progress = function(p) moved = p.bytes end })
      assert.equal("4 4 " .. at("got/" .. name), ("%d %d %s"):format(r.bytes, moved, r.arrived[1]))
      assert.equal(mode, core.fs_stat_sync(at("got/" .. name)).mode)
      h:get(name, at "other", { mode = "640" })
      assert.equal(416, core.fs_stat_sync(at "other").mode)
      h:run({ "rm", "--", name })
    end
    for _, text in ipairs { "", "text\n", ("x"):rep(3000000) } do
      local r = h:put({ data = text }, at "new/text", { parents = true, mode = "600" })
      assert.equal(#text, r.bytes)
      assert.equal(text, servers.read_file(at "new/text"))
      assert.equal(384, core.fs_stat_sync(at "new/text").mode)
    end
    h:put(core.secret("word", "hidden"), at "secret")
    assert.equal("hidden", servers.read_file(at "secret"))
    assert.matches("^[^ ]*transfer_scp_spec.*a file name expected", tostring(fails("usage", h.put, h, { data = "x" }, at "new/")))
    assert.matches("a file", fails("channel", h.put, h, { data = function() end }, at "x").hint)
    assert.matches("no option", fails("channel", h.put, h, { data = "x" }, at "x", { times = true }).hint)
    assert.equal("", h:read("ls -A | grep sshlua || true"))
    assert.equal("cannot read none: no such regular file", fails("io", h.get, h, "none", at "x").message)
    assert.matches("cannot write none/x: .*No such file", fails("io", h.put, h, at "-rf", "none/x").message)
    assert.matches("patterns", fails("channel", h.get, h, at "*", at "x").hint)
    assert.matches("patterns", fails("channel", h.put, h, at "*", "x").hint)
  end))

  it("a file goes by scp when that is asked for, and failures have the host's words", body(function()
    local h = servers.host(plain())
    files.write("a", ("data"):rep(300000), 448)
    local r = h:put(at "a", at "-b c", { how = "scp", mode = "640" })
    assert.equal(1200000, r.bytes)
    assert.equal(416, core.fs_stat_sync(at "-b c").mode)
    assert.equal(1200000, h:get(at "-b c", at "d", { how = "scp", exclude = "*" }).bytes)
    assert.equal(servers.read_file(at "a"), servers.read_file(at "d"))
    assert.matches("No such file", fails("io", h.get, h, at "none", at "e", { how = "scp" }).message)
    assert.matches("No such file", fails("io", h.put, h, at "a", at "none/e", { how = "scp" }).message)
    files.write("dir/x", "x")
    assert.matches("directory", fails("io", h.put, h, at "a", at "dir", { how = "scp" }).message)
    assert.equal("-b c a d dir", files.names(files.directory()))
  end))

  it("what scp cannot do is refused with the option's name", body(function()
    local h = servers.host(plain())
    files.write("src/a", "x")
    assert.matches("resume", fails("channel", h.put, h, at "src", at "b", { resume = true }).hint)
    assert.matches("links", fails("channel", h.put, h, at "src", at "b", { links = "copy" }).hint)
    assert.matches("verify", fails("usage", h.put, h, at "src", at "b", { how = "scp", verify = "sha256" }).hint)
    fails("channel", h.put, h, at "src", at "b", { how = "sftp" })
    fails("channel", h.sync, h, at "src", at "b")
  end))

  it("a file that cannot be written fails alone, and the others arrive", body(function()
    local h = servers.host(plain())
    files.write("src/a", "a")
    files.write("src/b", "b")
    files.write("src/c", "c")
    files.write("to/b/in", "in the way")
    local r = h:put(at "src", at "to", { check = false })
    assert.equal(2, r.files)
    assert.equal(1, #r.failed)
    assert.equal("a b c", files.names(at "to"))
    files.write("down/b/in", "in the way")
    files.remove()
    files.write("src/a", "a")
    files.write("src/b", "b")
    files.write("src/c", "c")
    files.write("down/b/in", "in the way")
    r = h:get(at "src", at "down", { check = false })
    assert.equal(2, r.files)
    assert.equal(1, #r.failed)
    assert.equal("a b c", files.names(at "down"))
  end))
end)

describe("an scp that lies", function()
  setup(start_liars)
  teardown(function()
    stop_liars()
    os.remove(mode_file)
  end)
  after_each(files.remove)

  local function lying(how)
    servers.write_file(mode_file, how .. "\n")
    return servers.host(liars())
  end

  local function get(how, from, opts)
    local h = lying(how)
    opts = opts or {}
    opts.how = "scp"
    return h, from or "/srv/name", files.write("top/in/keep", "keep"):gsub("/keep$", "/got"), opts
  end

  it("is not followed anywhere by a file", body(function()
    local kinds = { other = "protocol", up = "protocol", absolute = "protocol", directory = "protocol", two = "protocol",
      huge = "protocol", negative = "protocol", mode = "protocol", nul = "protocol", short = "exit", large = "exit",
      endless = "limit", ["end"] = "protocol", words = "io", fatal = "io", nothing = "exit", bad = "protocol" }
    for how, kind in pairs(kinds) do
      local h, from, to, opts = get(how)
      local err = fails(kind, h.get, h, from, to, opts)
      assert.is_nil(err.message:find("%c"))
      local left = files.names(files.directory() .. "/top/in")
      assert.equal(how == "two" and "got keep" or "keep", left)
      assert.equal("in", files.names(files.directory() .. "/top"))
      files.remove()
    end
    local h, from, to, opts = get("times", nil, { times = true })
    fails("protocol", h.get, h, from, to, opts)
    h, from, to, opts = get "honest"
    assert.equal(5, h:get(from, to, opts).bytes)
  end))

  it("is not followed anywhere by a tree", body(function()
    local kinds = { dots = "protocol", twins = "protocol", open = "exit", more = "protocol", second = "protocol",
      inside = "protocol", deep = "limit", other = "protocol" }
    for how, kind in pairs(kinds) do
      local h, _, to, opts = get(how)
      fails(kind, h.get, h, "/srv/dir/", to, opts)
      assert.equal("in", files.names(files.directory() .. "/top"))
      files.remove()
    end
    local h, _, to, opts = get "tree"
    assert.equal(1, h:get("/srv/dir/", to, opts).files)
    assert.equal("a", files.names(to))
  end))

  it("is not waited for beyond the idle time", body(function()
    local h, from, to, opts = get("silent", nil, { idle = 0.3 })
    fails("timeout", h.get, h, from, to, opts)
    fails("timeout", h.put, h, files.write("a", "a"), "/srv/b", opts)
  end))

  it("that answers a put with nonsense has a name", body(function()
    for how, kind in pairs { no = "io", fatal = "io", what = "protocol", nothing = "exit" } do
      local h = lying(how)
      fails(kind, h.put, h, files.write("a", "a"), "/srv/b", { how = "scp" })
    end
  end))
end)
