-- State verbs that are about paths, against real sshd with three shells as /bin/sh: dash, bash, and busybox with nothing
-- but busybox's tools.
local core = require "sshlua.core"
local files = require "spec.support.files"
local jail = require "spec.support.jail"
local run = require "spec.support.run"
local servers = require "spec.support.servers"

local fails = run.fails

-- Each spec is many commands: a machine with much else to do needs its time.
local function body(fn) return run.body(fn, 240) end

local reason = jail.missing()
local function has(shell) return os.execute("command -v " .. shell .. " >/dev/null 2>&1") == true end
local get, set_up, tear_down = run.shared(function()
  return reason and {} or jail.start { dash = { shell = "dash" }, bash = { shell = "bash" },
    busybox = has "busybox" and { shell = "busybox" } or nil }
end, function(j)
  if j.fleet then jail.stop(j) end
end)

-- Everything of a directory, with times: what a verb that changes nothing leaves as it is.
local function snapshot(dir)
  local pipe = io.popen(("find '%s' -printf '%%P|%%y|%%m|%%U|%%G|%%s|%%T@|%%i|%%l\\0'"):format(dir))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function words(r) return { changed = r.changed, diff = r.diff, before = r.before, after = r.after } end

-- What a dry run says, a run does; a second run does nothing, and says so. Returns the first run's Result.
local function agree(h, verb, ...)
  local dir, args = files.directory(), { n = select("#", ...), ... }
  local function call(dry)
    local view = h:with { dry_run = dry }
    return view[verb](view, (table.unpack or unpack)(args, 1, args.n)) -- luacheck: ignore 143
  end
  local start = snapshot(dir)
  local said = call(true)
  assert.equal(start, snapshot(dir), "a dry run changed something")
  assert.is_true(said.dry_run)
  local done = call(false)
  assert.same(words(said), words(done))
  local made = snapshot(dir)
  if done.changed then
    assert.not_equal("", done.diff)
    assert.not_equal(start, made)
  else
    assert.equal(start, made)
  end
  local again = call(false)
  assert.is_false(again.changed)
  assert.equal("", again.diff)
  assert.same(again.before, again.after)
  assert.equal(made, snapshot(dir), "a second run changed something")
  return done
end

-- Names by which one could break out of quotes, be taken for an option, a pattern or a record, or be cut.
local HOSTILE = {
  "-rf", "a'b \"c\" $(touch landed) `touch landed` \\ \\\\ \\'", "new\n-line *?[a]\n", "~;|&>#!%s%n=\27[31m ü\255",
}

-- What takes long is done with dash every time, with the others when there is time.
for _, shell in ipairs { "dash", "bash", "busybox" } do
  local long = shell == "dash" and "" or " #long"
  describe("with " .. shell .. " as /bin/sh,", function()
    setup(set_up)
    teardown(tear_down)
    after_each(files.remove)

    local function host()
      if reason then run.skip(reason) end
      if not get().dirs[shell] then run.skip("there is no " .. shell) end
      return servers.host(get().fleet, shell)
    end

    it("the shell is the one it is to be", body(function()
      local version = host():read "/bin/sh -c 'echo ${BASH_VERSION:-no bash}; readlink -f /proc/$$/exe; ls --help 2>&1 | head -n 1'"
      if shell == "busybox" then
        assert.matches("BusyBox", version)
      else
        assert.equal(shell == "bash", not version:find "no bash")
      end
    end))

    it("file: a dry run, a run and a second run agree on content and attributes" .. long, body(function()
      local h, dir = host(), files.directory()
      local path = dir .. "/motd"
      local r = agree(h, "file", path, { content = "one\ntwo\n" })
      assert.equal("absent", r.before.type)
      assert.same({ type = "file", mode = "644", owner = "root", group = "root", content = "one\ntwo\n" }, r.after)
      assert.equal("one\ntwo\n", servers.read_file(path))
      r = agree(h, "file", path, { content = "one\n2", mode = "4750", owner = "daemon", group = "bin" })
      assert.equal("one\n2", servers.read_file(path))
      assert.same({ "4750", "daemon", "bin" }, { r.after.mode, r.after.owner, r.after.group })
      assert.matches("%-two\n%+2\n\\ No newline", r.diff)
      assert.matches("%-mode: 644\n.*%+mode: 4750\n", r.diff)
      agree(h, "file", path, { content = "other" }) -- keeps mode and owner
      local st = core.fs_stat_sync(path)
      assert.same({ tonumber("4750", 8), 1, 2 }, { st.mode, st.uid, st.gid })
      agree(h, "file", path, { mode = "0600" })
      agree(h, "file", path, { owner = 1234, group = "4321" })
      agree(h, "file", path, { content = "" })
      r = agree(h, "file", path, { content = "a\0b\n\n" })
      assert.matches("[Bb]inary", r.diff .. "")
      agree(h, "file", path, { content = "a\0b\n\n\n" })
      assert.equal("a\0b\n\n\n", servers.read_file(path))
      agree(h, "file", path, { state = "absent" })
      agree(h, "file", dir .. "/empty", {})
      assert.equal("", servers.read_file(dir .. "/empty"))
      assert.is_nil(snapshot(dir):find(".state.sshlua", 1, true), "left something behind")
    end))

    it("dir and link: they agree" .. long, body(function()
      local h, dir = host(), files.directory()
      local path = dir .. "/a/b/c"
      assert.same({ type = "dir", mode = "755", owner = "root", group = "root" }, agree(h, "dir", path).after)
      assert.equal("2710", agree(h, "dir", path .. "/", { mode = "2710", group = "daemon" }).after.mode)
      assert.equal("700", agree(h, "dir", path .. "/in", { mode = "700" }).after.mode) -- in one with setgid
      assert.equal("daemon", agree(h, "dir", path .. "/other").after.group)
      assert.equal("daemon", agree(h, "file", path .. "/new", { content = "x" }).after.group)
      agree(h, "dir", path, { mode = "0710" })
      assert.matches("is not empty", fails("exit", h.dir, h, path, { state = "absent" }).message)
      agree(h, "dir", path .. "/in", { state = "absent" })
      agree(h, "dir", dir .. "/a", { state = "absent", recursive = true })

      assert.same({ type = "link", target = "r1" }, agree(h, "link", dir .. "/current", "r1").after)
      agree(h, "dir", dir .. "/r1")
      agree(h, "dir", dir .. "/r2")
      local r = agree(h, "link", dir .. "/current", dir .. "/r2") -- from a directory to a directory
      assert.equal("r1", r.before.target)
      agree(h, "link", dir .. "/current", " odd\ntarget\n")
      agree(h, "link", dir .. "/current", "-n")
      servers.write_file(dir .. "/plain", "x")
      assert.matches("force = true", fails("exit", h.link, h, dir .. "/plain", "r1").message)
      agree(h, "link", dir .. "/plain", "r1", { force = true })
      agree(h, "link", dir .. "/plain", false)
      assert.matches("in the way", fails("exit", h.link, h, dir .. "/r1", "r2").message)
    end))

    it("line: they agree" .. long, body(function()
      local h, dir = host(), files.directory()
      local path = dir .. "/conf"
      local function is(text) assert.equal(text, servers.read_file(path)) end
      assert.matches("create = true", fails("exit", h.line, h, path, "x").hint or fails("exit", h.line, h, path, "x").message)
      agree(h, "line", path, "a=1", { create = true, mode = "600" })
      agree(h, "line", path, "b=2")
      is "a=1\nb=2\n"
      agree(h, "line", path, "a = 10", { match = "^a *=" })
      is "a = 10\nb=2\n"
      servers.write_file(path, "#Port 22\nx\nPort 2222\ny\n  Port 1\nz")
      agree(h, "line", path, "Port 22", { match = "^#?Port" }) -- one of several is left
      is "Port 22\nx\ny\n  Port 1\nz\n"
      agree(h, "line", path, "w", { before = "^y" })
      is "Port 22\nx\nw\ny\n  Port 1\nz\n"
      agree(h, "line", path, "v", { after = "^[xw]$" })
      is "Port 22\nx\nw\nv\ny\n  Port 1\nz\n"
      agree(h, "line", path, "first", { before = "Port" })
      agree(h, "line", path, "last", { after = "nothing like it" })
      is "first\nPort 22\nx\nw\nv\ny\n  Port 1\nz\nlast\n"
      agree(h, "line", path, "x", { state = "absent" })
      agree(h, "line", path, nil, { state = "absent", match = "^ *Port [0-9]+$" })
      is "first\nw\nv\ny\nz\nlast\n"
      servers.write_file(path, "only")
      agree(h, "line", path, "only")
      is "only"
      agree(h, "line", path, "-e \\n $(x) 'q' %s *", {})
      is "only\n-e \\n $(x) 'q' %s *\n"
      agree(h, "line", path, "only", { state = "absent" })
      agree(h, "line", path, "-e \\n $(x) 'q' %s *", { state = "absent" })
      is ""
      agree(h, "line", path, "again")
      agree(h, "line", path, "other", { match = "[a-z]+" })
      is "other\n"
      agree(h, "line", dir .. "/none", "x", { state = "absent" })
      assert.matches("pattern", fails("exit", h.line, h, path, "x", { match = "[" }).message)
      servers.write_file(path, "a\0b\n")
      assert.matches("not a text file", fails("exit", h.line, h, path, "x").message)
    end))

    it("names cannot break out" .. (shell == "bash" and long or ""), body(function()
      local h, dir = host(), files.directory()
      local names = shell == "dash" and #HOSTILE or 2
      for i = 1, names do
        local name = HOSTILE[i]
        local path = dir .. "/" .. name
        agree(h, "dir", path)
        agree(h, "file", path .. "/" .. name, { content = name })
        assert.equal(name, servers.read_file(path .. "/" .. name))
        agree(h, "line", path .. "/" .. name, "a line")
        agree(h, "link", path .. "/-l" .. name, name)
        agree(h, "file", path .. "/" .. name, { state = "absent" })
      end
      local pipe = io.popen(("find '%s' -name landed -printf landed; find '%s' -type l -printf l; find '%s' -type f -printf f")
        :format(dir, dir, dir))
      assert.equal(("l"):rep(names), (pipe:read "*a"))
      pipe:close()
    end))

    it("a read-only file system is refused alike by a dry run and a run" .. (shell == "bash" and long or ""), body(function()
      local h = host()
      local dir = get().dirs[shell] .. "/read-only"
      core.fs_mkdir_sync(dir, 493)
      servers.write_file(dir .. "/f", "x")
      for _, dry in ipairs { true, false } do
        local view = h:with { dry_run = dry }
        local err = fails("exit", view.file, view, dir .. "/f", { content = "y" })
        assert.equal(dir .. "/f", err.path)
        assert.matches("read%-only", (err.hint or "") .. err.message)
        fails("exit", view.dir, view, dir .. "/d")
        fails("exit", view.link, view, dir .. "/l", "x")
        fails("exit", view.line, view, dir .. "/f", "y")
        fails("exit", view.file, view, dir .. "/f", { state = "absent" })
        assert.is_false(view:file(dir .. "/f", { content = "x" }).changed)
      end
      assert.equal("x", servers.read_file(dir .. "/f"))
    end))
  end)
end
