-- SFTP and transfers against a second server, AsyncSSH's: other extensions, other sizes, other words.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local files = require "spec.support.files"
local run = require "spec.support.run"
local ssh = require "sshlua"
local task = require "sshlua.task"
local tree = require "spec.support.wild_tree"

local body, fails = run.body, run.fails
local await = task.await

local python
for _, path in ipairs { "/usr/bin/python3", "/usr/local/bin/python3" } do
  if not python and os.execute(path .. " -W ignore -c 'import asyncssh' 2>/dev/null") then python = path end
end

local server, start_server, stop_server = run.shared(function()
  local proc = assert(core.spawn {
    args = { python, "spec/support/other_server.py" }, stdin = "pipe", stdout = "pipe", stderr = "null",
  })
  local stdout = proc:stdout()
  return { proc = proc, port = tonumber(task.timeout(20, await, stdout.read, stdout, 100)) }
end, function(s)
  s.proc:stdin():close()
  s.proc:kill "KILL"
  await(s.proc.wait, s.proc)
end)

local function at(name) return files.directory() .. "/" .. name end

local function host()
  local h = ssh.host("other", { hostname = "127.0.0.1", port = server().port, user = "anybody", known_hosts = "none",
    insecure_accept_any_host_key = true, agent = false, identity = false, batch = true, tries = 1 })
  run.defer(h.close, h)
  return h
end

local function text_of(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "*a"
  f:close()
  return text
end

describe("another server", function()
  if not python then
    pending "needs Python with asyncssh"
    return
  end
  setup(start_server)
  teardown(stop_server)
  after_each(files.remove)

  it("serves files, directories and links", body(function()
    local sftp = host():session():sftp()
    local top = files.directory()
    sftp:mkdir(top .. "/a/b", { parents = true })
    sftp:write_file(top .. "/a/f", "text", { mode = 384 })
    assert.equal("text", sftp:read_file(top .. "/a/f"))
    assert.equal(384, core.fs_stat_sync(top .. "/a/f").mode)
    sftp:symlink("f", top .. "/a/link")
    assert.equal("f", sftp:readlink(top .. "/a/link"))
    assert.equal("link", sftp:lstat(top .. "/a/link").type)
    assert.equal(4, sftp:stat(top .. "/a/link").size)
    sftp:rename(top .. "/a/f", top .. "/a/g")
    local names = {}
    for path in sftp:walk(top .. "/a") do names[#names + 1] = path:sub(#top + 4) end
    assert.equal("b g link", table.concat(names, " "))
    assert.equal(top .. "/a/g", sftp:glob(top .. "/*/g")[1])
    assert.is_nil(sftp:exists(top .. "/none"))
    assert.equal("SSH_FX_NO_SUCH_FILE", fails("sftp", sftp.stat, sftp, top .. "/none").name)
    local all = {}
    for i = 1, 40 do
      all[i] = function()
        local file = sftp:open(top .. "/n" .. i, "w")
        for j = 1, 20 do file:write(("%d:%d\n"):format(i, j)) end
        file:close()
      end
    end
    ssh.all((table.unpack or unpack)(all)) -- luacheck: ignore 143
    assert.equal("7:20\n", text_of(top .. "/n7"):match "([^\n]+\n)$")
    sftp:remove(top .. "/a", { recursive = true })
    assert.is_nil(core.fs_stat_sync(top .. "/a"))
  end))

  it("gets trees up and down as they were", body(function()
    local h = host()
    tree.make(at "src", 120, 5)
    local opts = { links = "copy", times = true, skip = "time", unsafe_links = true }
    h:put(at "src", at "up", opts)
    assert.is_nil(tree.difference(tree.picture(at "src"), tree.picture(at "up")))
    h:get(at "up", at "down", opts)
    assert.is_nil(tree.difference(tree.picture(at "src"), tree.picture(at "down")))
    assert.is_false(h:sync(at "src/", at "up", { delete = true }).changed)
    files.write("up/extra", "x")
    assert.same({ "- " .. at "up/extra" }, h:sync(at "src/", at "up", { delete = true }).diff)
  end, 60))

  it("gets large files whole, verified, resumed, with holes", body(function()
    local h = host()
    local text = ("0123456789abcdef"):rep(65536) .. ("\0"):rep(2097152) .. ("fedcba9876543210"):rep(600000) .. "end"
    files.write("big", text)
    local r = h:put(at "big", at "up", { verify = "sha256" })
    assert.equal(#text, r.bytes)
    files.write(".up2.sshlua-part", text:sub(1, 11000000))
    r = h:put(at "big", at "up2", { resume = true, verify = "sha256" })
    assert(r.bytes < #text, "nothing was kept")
    h:get(at "up2", at "down", { verify = "sha256" })
    assert.is_true(text == text_of(at "down"))
    assert.is_false(h:put(at "big", at "up", { skip = "digest" }).changed)
  end, 60))

  it("says what it refuses", body(function()
    local h = host()
    files.write("a", "a")
    local err = fails("sftp", h.put, h, at "a", at "no/such/a")
    assert.equal("other", err.host)
    assert.matches("parents", err.hint)
    assert.is_true(errors.is(fails("sftp", h.get, h, at "none", at "x")))
    h:template(files.write("t", "<%= x %>\n"), at "made", { x = 1 })
    assert.equal("1\n", h:read_file(at "made"))
    assert.is_false(h:template(at "t", at "made", { x = 1 }).changed)
  end))
end)
