-- dropbear, the server of small systems: little windows, no sftp-server, and old ones that mind when a channel is opened
-- while a process ends.
local dropbear = require "spec.support.dropbear"
local files = require "spec.support.files"
local run = require "spec.support.run"
local task = require "sshlua.task"
local tree = require "spec.support.wild_tree"

local body = run.body
local missing = dropbear.missing()
local with_sftp, start_with, stop_with = dropbear.shared(true)
local plain, start_plain, stop_plain = dropbear.shared(false)

local function at(name) return files.directory() .. "/" .. name end

local function count(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

describe("dropbear", function()
  if missing then
    pending(missing)
    return
  end
  setup(start_with)
  teardown(stop_with)
  after_each(files.remove)

  it("runs commands, with input and a terminal", body(function()
    local h = dropbear.host(with_sftp())
    assert.equal("in", h:read("cat", { stdin = "in" }))
    assert.equal(7, h:run("exit 7", { check = false }).code)
    local text = ("0123456789abcdef"):rep(500000) -- more than a window, many times
    assert.equal(#text, tonumber(h:read("wc -c", { stdin = text })))
    assert.is_true(h:read("head -c 8000000 /dev/zero | tr '\\0' x") == ("x"):rep(8000000))
    local shell = h:shell()
    assert.matches("up", shell:cmd "echo u''p")
    shell:close()
  end, 60))

  it("answers many commands at once on one connection", body(function()
    local h = dropbear.host(with_sftp())
    for _ = 1, 3 do
      task.each(count(20), function(i)
        assert.equal(tostring(i), h:read("echo " .. i .. (i % 3 == 0 and "; sleep 0.01" or "")))
      end)
    end
    h:put({ data = "x" }, at "one")
    local process = h:spawn "cat" -- these stay, and are no reason to wait
    assert.equal("2", h:read "echo 2")
    process:close()
  end, 60))

  it("does not let a long command hold up the others", body(function()
    local h = dropbear.host(with_sftp())
    task.scope(function(s)
      s:spawn(h.run, h, "sleep 100")
      task.sleep(0.1)
      local took = run.took(function()
        task.each(count(5), function(i) assert.equal(tostring(i), h:read("echo " .. i)) end)
      end)
      assert.is_true(took < 30, took)
      s:cancel()
    end)
  end, 60))

  it("takes and gives trees by SFTP", body(function()
    local h, opts = dropbear.host(with_sftp()), { links = "copy", times = true, unsafe_links = true }
    tree.make(at "src", 200, 7)
    h:put(at "src", at "up", opts)
    assert.is_nil(tree.difference(tree.picture(at "src"), tree.picture(at "up")))
    h:get(at "up", at "down", opts)
    assert.is_nil(tree.difference(tree.picture(at "src"), tree.picture(at "down")))
    assert.is_false(h:sync(at "src/", at "up", { delete = true }).changed)
  end, 60))
end)

describe("dropbear without sftp-server", function()
  if missing then
    pending(missing)
    return
  end
  setup(start_plain)
  teardown(stop_plain)
  after_each(files.remove)

  it("takes and gives files, each on a connection of its own", body(function()
    for i = 1, 15 do
      local h = dropbear.host(plain())
      files.write("src" .. i, "text " .. i)
      h:put(at("src" .. i), at("up" .. i))
      h:get(at("up" .. i), at("down" .. i))
      assert.equal("text " .. i, files.read(at("down" .. i)))
    end
  end, 60))

  it("serves fleets, whose hosts have directories of their own here, and parents there", body(function()
    local fleet = dropbear.hosts(plain())
    files.write("src/d/f", "in d")
    local big = ("0123456789abcdef"):rep(300000)
    files.write("big", big)
    assert.is_true(fleet:put(at "src", at "a/b/tree", { parents = true })[1].ok)
    assert.is_true(fleet:put(at "big", at "c/d/-big", { parents = true })[1].ok)
    assert.equal("in d", files.read(at "a/b/tree/d/f"))
    assert.equal(big, files.read(at "c/d/-big"))
    assert.is_true(fleet:get(at "a/b/tree", at "got")[1].ok)
    assert.is_true(fleet:get(at "c/d/-big", at "got")[1].ok)
    assert.equal("in d", files.read(at "got/small/tree/d/f"))
    assert.equal(big, files.read(at "got/small/-big"))
    local r = fleet:put(at "big", "/proc/none/x/y", { parents = true, check = false })
    assert.is_false(r[1].ok)
    assert.matches("cannot make the directory /proc/none/x: .*mkdir", r[1].err.message)
  end, 60))
end)
