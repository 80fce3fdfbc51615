-- sshlua ssh without a terminal: what ssh(1) does with commands, streams, exit status, its letters and its settings.
local client = require "spec.support.client"
local processes = require "sshlua.testbed.processes"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"

local LONG = "/usr/share/common-licenses/GPL-3" -- longer than what libssh2 takes for a packet

local fleet, start_fleet, stop_fleet = servers.shared {
  hosts = { "web1", "plain", "wordy" },
  per_host = { plain = { "PermitTTY no", "Banner /etc/hostname" }, wordy = { "Banner " .. LONG } },
}

local function ssh(args, opts) return client.run(fleet(), args, opts) end

local function file(name, text) return servers.write_file(fleet().dir .. "/" .. name, text or "") end

describe("sshlua ssh", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)

  it("runs a command, ends as it did, and keeps its outputs apart", run.body(function()
    local r = ssh { "web1", "echo", "out;", "echo err >&2; exit 7" }
    assert.same({ "out\n", "err\n", 7 }, { r.out, r.err, r.code })
    r = ssh { "-l", os.getenv "USER" or "root", "web1", "--", "kill -9 $$" }
    assert.equal(255, r.code)
  end))

  it("passes all bytes on, in pipes and files, both ways", run.body(function()
    local data = client.noise(3000001)
    local r = ssh({ "web1", "cat" }, { stdin = data })
    assert.is_true(r.out == data)
    local from, to, err = file("from", data), file "to", file "err"
    r = ssh({ "web1", "cat; cat /dev/null; exit 3" }, { shell = ('exec "$0" "$@" <%s >%s'):format(from, to) })
    assert.equal(3, r.code)
    assert.is_true(servers.read_file(to) == data)
    r = ssh({ "web1", "cat >&2" }, { shell = ('exec "$0" "$@" <%s 2>%s'):format(from, err) })
    assert.is_true(servers.read_file(err) == data)
    assert.equal("", r.out)
  end, 60))

  it("takes no more than its reader does, and ends when nobody reads", run.body(function()
    local r = ssh({ "web1", "yes" }, { shell = [["$0" "$@" | head -n 3]] })
    assert.equal("y\ny\ny\n", r.out)
    r = ssh({ "web1", "head -c 20000000 /dev/zero" }, { shell = [["$0" "$@" | (sleep 0.3; wc -c)]] })
    assert.equal("20000000", r.out:match "%d+")
  end, 60))

  it("ends the command's input with its own, and its output with the command's", run.body(function()
    assert.equal("3", ssh({ "web1", "wc -c" }, { stdin = "abc" }).out:match "%d+")
    assert.equal("0", ssh({ "-n", "web1", "wc -c" }, { stdin = "abc" }).out:match "%d+")
    local r = ssh({ "web1", "true" }, { stdin = "pipe" }) -- input stays open: it does not keep us
    assert.equal(0, r.code)
  end))

  it("leaves the open files of others as they were", run.body(function()
    local r = ssh({ "web1", "true" }, { shell = [["$0" "$@"; python3 -c 'import fcntl, os
print([bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK) for fd in (0, 1, 2)])']], stdin = "" })
    assert.equal("[False, False, False]\n", r.out, r.err)
  end))

  it("gives a terminal by ssh's rules", run.body(function()
    local r = ssh({ "web1", "tty" }, {})
    assert.truthy(r.out:find "not a tty")
    r = ssh({ "-t", "web1", "tty" }, {})
    assert.truthy(r.out:find "not a tty")
    assert.truthy(r.err:find "no terminal")
    r = ssh({ "-tt", "web1", "tty; stty size; echo $TERM" }, { env = { TERM = "vt52" } })
    assert.truthy(r.out:find "/dev/.-\r\n0 0\r\nvt52\r\n", r.out)
    r = ssh({ "-o", "RequestTTY=force", "web1" }, { stdin = "tty >&2; exit 4\n", shell = [["$0" "$@" 2>&1]] })
    assert.truthy(r.out:find "/dev/")
    assert.equal(4, r.code)
    r = ssh({ "-tt", "plain", "tty" }, {})
    assert.truthy(r.err:find "gave no terminal")
    assert.truthy(r.out:find "not a tty")
  end))

  it("acts on settings that are about the session", run.body(function()
    local function with(lines, args, opts)
      opts = opts or {}
      opts.config = lines
      return ssh(args or { "web1" }, opts)
    end
    assert.equal("remote\n", with("RemoteCommand echo remote\nRequestTTY no\n").out)
    assert.equal(255, with("RemoteCommand echo remote\n", { "web1", "true" }).code)
    assert.equal("mine\n", with("RemoteCommand echo remote\n", { "-o", "RemoteCommand=none", "web1", "echo mine" }).out)
    assert.equal("0", with("StdinNull yes\n", { "web1", "wc -c" }, { stdin = "abc" }).out:match "%d+")
    assert.truthy(with("SessionType subsystem\nRemoteCommand none\n", { "web1", "nonsense" }).err:find "subsystem")
    assert.equal("x y\n", with("SetEnv SSHLUA_A='x y'\n", { "web1", "echo $SSHLUA_A" }).out)
    local quiet = with("LogLevel QUIET\n", { "web1", "-p", "1", "true" })
    assert.same({ 255, "" }, { quiet.code, quiet.err })
    assert.equal(0, with("EscapeChar none\n", { "-tt", "web1", "head -n 1" }, { stdin = "~.\n" }).code)
    assert.equal(255, with("EscapeChar ^B\n", { "-tt", "web1", "head -n 1" }, { stdin = "\2.\n" }).code)
  end))

  it("ends with 255 and one line when it is not the command that failed", run.body(function()
    for words, args in pairs {
      ["cannot"] = { "nowhere.invalid", "true" }, ["connect"] = { "-p", "1", "web1", "true" },
      ["-Z"] = { "-Z", "web1" }, ["which host"] = {}, ["forwarding of ports"] = { "-L", "1:a:2", "web1" },
      ["of the agent"] = { "-A", "web1" }, ["of X11"] = { "-X", "web1" }, ["SOCKS"] = { "-D", "1080", "web1" },
      ["tun devices"] = { "-w", "0:0", "web1" }, ["shared connection"] = { "-O", "check", "web1" },
      ["user name"] = { "-l", "a$b", "web1" },
    } do
      local r = ssh(args)
      assert.equal(255, r.code)
      assert.truthy(r.err:find(words, 1, true), r.err)
      assert.truthy(r.err:find "^sshlua: [^\n]+\n$", r.err)
    end
  end))

  it("answers -V, -G, -Q and --help without a connection", run.body(function()
    assert.truthy(ssh({ "-V" }).err:find "^sshlua_")
    assert.truthy(ssh({ "-G", "web1" }).out:find "\nhostname 127%.")
    assert.truthy(ssh({ "-Q", "cipher" }).out:find "aes128%-gcm@openssh.com\n")
    assert.truthy(ssh({ "-Q", "help" }).out:find "kex\n")
    assert.equal(255, ssh({ "-Q", "what" }).code)
    assert.truthy(ssh({ "--help" }).out:find "^usage: sshlua ssh")
  end))

  it("goes into the background when it is logged in, and says where with -E and -v", run.body(function()
    local mark, log = fleet().dir .. "/mark", fleet().dir .. "/log"
    local r = ssh({ "-f", "web1", "sleep 0.3; echo done > " .. mark }, { shell = [["$0" "$@" >/dev/null 2>&1]] })
    assert.equal(0, r.code)
    assert.is_nil(servers.read_file(mark))
    run.eventually(function() return servers.read_file(mark) == "done\n" end)
    r = ssh({ "web1", "true" }, { config = "ForkAfterAuthentication yes\n", shell = [["$0" "$@" >/dev/null 2>&1]] })
    assert.equal(0, r.code)
    r = ssh { "-v", "-E", log, "web1", "true" }
    assert.same({ "", 0 }, { r.err, r.code })
    assert.truthy(servers.read_file(log):find "auth.ok")
  end))

  it("shows the server's banner, unless it is to be quiet", run.body(function()
    local name = servers.read_file "/etc/hostname"
    assert.equal(name, ssh({ "plain", "true" }).err)
    assert.equal("", ssh({ "-q", "plain", "true" }).err)
  end))

  it("shows a banner that fills more than one packet of the usual length", run.body(function()
    local text = servers.read_file(LONG)
    if not text then run.skip("no " .. LONG) end
    assert.is_true(#text > 35000)
    for _, cipher in ipairs { "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com" } do
      local r = ssh { "-c", cipher, "wordy", "exit 6" }
      assert.equal(6, r.code)
      assert.is_true(r.err == text)
    end
  end))

  it("takes an empty command for none, and gives no terminal to a RemoteCommand unasked", run.body(function()
    assert.equal("5\n", ssh({ "web1", "" }, { stdin = "echo $((2 + 3))\n" }).out)
    local r = ssh({ "-o", "RemoteCommand=tty", "web1" }, {})
    assert.truthy(r.out:find "not a tty")
    assert.equal("", r.err)
  end))

  it("does not go on without the forwardings that it shall not go on without", run.body(function()
    local insist, forward = "ExitOnForwardFailure=yes", "LocalForward=127.0.0.1:1 h:2"
    local r = ssh { "-o", insist, "-o", forward, "web1", "true" }
    assert.equal(255, r.code)
    assert.truthy(r.err:find("ExitOnForwardFailure: LocalForward", 1, true))
    assert.equal(0, ssh({ "-o", insist, "-o", forward, "-o", "ClearAllForwardings=yes", "web1", "true" }).code)
  end))

  it("takes closed standard streams for /dev/null", run.body(function()
    local r = ssh({ "web1", "cat; echo $? >&2" }, { shell = [["$0" "$@" <&-]] })
    assert.same({ "", "0\n", 0 }, { r.out, r.err, r.code })
    r = ssh({ "web1", "head -c 3000000 /dev/zero; echo $? >&2" }, { shell = [["$0" "$@" >&-]] })
    assert.same({ "0\n", 0 }, { r.err, r.code })
  end))

  it("holds a connection with -N and lets go of it when it is ended", run.body(function()
    local path = client.config(fleet(), "PermitLocalCommand yes\nLocalCommand echo in\n")
    local child = program.start({ "ssh", "-F", path, "-N", "web1" }, {})
    local r = child:finish(function()
      child:expect "in"
      child:kill "TERM"
    end)
    assert.same({ 255, "in\n", "" }, { r.code, r.out, r.err })
  end))

  it("is what rsync, git, tar, sftp and scp run", run.body(function()
    local dir, path = fleet().dir, client.config(fleet())
    local far = dir .. "/far"
    local command = ("%s ssh -F %s"):format(client.path(), path)
    local wrapper = file("ssh-wrapper", ('#!/bin/sh\nexec %s "$@"\n'):format(command))
    processes.must_run { "chmod", "700", wrapper }
    processes.must_run { "mkdir", "-p", dir .. "/tree/deep", far }
    file("tree/a", client.noise(700001))
    file("tree/deep/b c", "small\n")
    local function same(what) processes.must_run { "diff", "-r", dir .. "/tree", what } end
    processes.must_run { "rsync", "-a", "-e", command, dir .. "/tree/", ("web1:%s/r/"):format(far) }
    same(far .. "/r")
    processes.must_run { "rsync", "-a", "-e", command, ("web1:%s/r/"):format(far), dir .. "/back" }
    same(dir .. "/back")
    processes.must_run { "sh", "-c", ("tar -C %s/tree -c . | (%s web1 'mkdir %s/t; tar -C %s/t -x')"):format(dir, wrapper, far,
      far) }
    same(far .. "/t")
    processes.must_run { "scp", "-q", "-r", "-S", wrapper, dir .. "/tree", ("web1:%s/s"):format(far) }
    same(far .. "/s")
    file("batch", ("get -R %s/r %s/f\n"):format(far, dir))
    processes.must_run { "sftp", "-q", "-b", dir .. "/batch", "-S", wrapper, "web1" }
    same(dir .. "/f")
    processes.must_run { "sh", "-ec", ([[
      export GIT_CONFIG_NOSYSTEM=1 HOME=%s GIT_SSH_COMMAND="%s" GIT_SSH_VARIANT=ssh
      cd "$HOME"
      git config --global user.email a@example.com; git config --global user.name a
      git -c init.defaultBranch=main init -q --bare %s/bare.git
      git clone -q web1:%s/bare.git work 2>/dev/null
      cp -r tree work/; cd work; git add .; git commit -qm one; git push -q origin HEAD:main
      cd ..; git clone -q -b main web1:%s/bare.git again; git -C again fsck; diff -r tree again/tree]])
      :format(dir, command, far, far, far) }
  end, 60))
end)
