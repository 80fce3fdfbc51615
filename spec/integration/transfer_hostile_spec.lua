-- Transfers with an SFTP server that lies: nothing outside the target changes, and every lie has a name or does no harm.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local body, fails = run.body, run.fails
local here = debug.getinfo(1, "S").source:match "^@(.*)spec/integration/" or ""
if here:sub(1, 1) ~= "/" then here = (os.getenv "PWD" or ".") .. "/" .. here end
local mode_file = os.tmpname()
local fleet, start_fleet, stop_fleet = servers.shared {
  sshd_config = { ("Subsystem sftp /usr/bin/python3 %sspec/support/sftp_liar.py %s"):format(here, mode_file) },
}
local plain, start_plain, stop_plain = servers.shared { sshd_config = { "Subsystem sftp /nonexistent/server" } }

local function lying(how)
  servers.write_file(mode_file, how .. "\n")
  servers.host(fleet()):close() -- the connection of a lie before
  return servers.host(fleet())
end

describe("a lying server", function()
  setup(function()
    start_fleet()
    start_plain()
  end)
  teardown(function()
    stop_fleet()
    stop_plain()
    os.remove(mode_file)
  end)
  after_each(files.remove)

  local function target() return (files.write("top/in/keep", "keep"):gsub("/keep$", "/got")) end

  it("does not lead out of the target by names", body(function()
    local to = target()
    local r = lying("right"):get("/d", to, { check = false, links = "copy" })
    assert.equal("good\27[31m plain", files.names(to))
    assert.equal("got keep", files.names(files.directory() .. "/top/in"))
    assert.equal("in", files.names(files.directory() .. "/top"))
    assert.equal(1, #r.left_out)
  end))

  it("does not lead out of it by names that come twice, as link and as directory", body(function()
    local to = target()
    local r = lying("twins"):get("/d", to, { check = false, links = "copy", unsafe_links = true, setuid = false })
    assert.is_true(#r.left_out >= 2)
    assert.equal("got keep", files.names(files.directory() .. "/top/in"))
    local st = task.await(core.fs_lstat, to .. "/plain")
    assert.equal("file", st.type)
    assert.equal(493, st.mode)
  end))

  it("does not get links made that lead out of it", body(function()
    local to = target()
    local r = lying("links"):get("/d", to, { links = "copy" })
    assert.equal(2, #r.left_out)
    assert.equal("", files.names(to))
  end))

  it("does not lead us down for ever", body(function()
    local to = target()
    local r = lying("deep"):get("/d", to, { check = false })
    assert.is_false(r.ok)
    assert.equal("limit", r.failed[1].err.kind)
    assert.matches("64 levels", r.failed[1].err.message)
  end))

  it("does not fill the disk", body(function()
    local to = target()
    local h = lying "endless-data"
    local err = fails("limit", h.get, h, "/f", to)
    assert.equal("web1", err.host)
    assert.matches("more than the 300000 bytes", err.message)
    assert.truthy(run.eventually(function() return files.names(files.directory() .. "/top/in") == "keep" end))
  end, 120))

  it("that sends too little gives no file", body(function()
    local to = target()
    for _, how in ipairs { "early-eof", "hole" } do
      local h = lying(how)
      local err = fails("io", h.get, h, "/f", to)
      assert.matches("of 300000 bytes", err.message)
    end
    for _, how in ipairs { "more", "zero", "lie-count", "half", "read-ok" } do
      local h = lying(how)
      local ok, err = pcall(h.get, h, "/f", to)
      assert.is_false(ok)
      assert.equal("web1", err.host)
    end
    local top = files.directory() .. "/top/in"
    assert.is_true(run.eventually(function() return files.names(top) == "keep" end) or files.names(top))
  end, 60))

  it("whose writes or closes fail gets no file renamed", body(function()
    local from = files.write("from", "text")
    for how, words in pairs { ["write-fails"] = "quota", ["close-fails"] = "No space" } do
      local h = lying(how)
      local err = fails("sftp", h.put, h, from, "/f")
      assert.matches(words, err.message)
      assert.matches("/f", err.message)
      assert.equal("/f", err.path)
    end
  end))

  local function source(in_memory)
    files.directory(in_memory)
    local bytes = {}
    for i = 0, 299999 do bytes[i + 1] = string.char((i * 7 + math.floor(i / 251)) % 256) end
    return files.write("from", table.concat(bytes):rep(10))
  end

  for _, in_memory in ipairs { true, false } do
    local where = in_memory and "in memory" or "elsewhere"

    it("that takes a write for done before its bytes have come gets the bytes all the same, " .. where, body(function()
      local r = lying("write-early"):put(source(in_memory), "/f")
      assert.equal(3000000, r.bytes)
    end))
  end

  it("that answers a write twice ends the transfer", body(function()
    local h = lying("write-twice")
    local err = fails("protocol", h.put, h, source(true), "/f")
    assert.matches("a reply to nothing that was asked", err.message)
  end))

  it("that answers in any order, in small pieces, gives right bytes", body(function()
    local to = target()
    for _, how in ipairs { "right", "reversed", "short" } do
      local r = lying(how):get("/f", to)
      assert.equal(300000, r.bytes)
      assert.equal("\0\7\14", servers.read_file(to):sub(1, 3))
    end
  end, 60))

  it("without SFTP gets what a shell can do, and says what it cannot", body(function()
    local h = servers.host(plain())
    local from, to = files.write("a", ("text"):rep(100000)), files.directory() .. "/b"
    h:put(from, to)
    assert.is_true(servers.read_file(to) == ("text"):rep(100000))
    h:get(to, to .. "2")
    assert.is_true(servers.read_file(to .. "2") == ("text"):rep(100000))
    local err = fails("channel", h.put, h, from, to, { resume = true })
    assert.equal("web1", err.host)
    fails("channel", h.sync, h, files.directory(), to)
    assert.is_table(ssh)
  end))
end)
