-- `sshlua run`, `sshlua ping` and pdsh's command line, on a throwaway fleet.
local core = require "sshlua.core"
local fleets = require "spec.support.fleets"
local json = require "sshlua.json"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"

local fleet, start_fleet, stop_fleet = servers.shared { hosts = 4 }

local function sorted(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  table.sort(lines)
  return table.concat(lines, "\n")
end

describe("sshlua run", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    program.remove_directory()
  end)

  local function it_runs(name, fn)
    it(name, run.body(function()
      if not program.path then run.skip "no program sshlua (SSHLUA_BIN says where)" end
      local env = fleets.environment(fleet())
      fn(function(args, opts)
        opts = opts or {}
        opts.env = env
        for variable, value in pairs(opts.more or {}) do env[variable] = value end
        return program.run(args, opts)
      end)
    end))
  end

  it_runs("prints whole lines with the host's name, cleaned, outputs apart", function(call)
    local r = call { "run", "-w", "web[1-3]", "--", "printf 'a\\033[1m\\nb'; echo c >&2" }
    assert.equal("web1: a\\x1b[1m\nweb1: b\nweb2: a\\x1b[1m\nweb2: b\nweb3: a\\x1b[1m\nweb3: b", sorted(r.out))
    assert.equal("sshlua: 3 ok\nweb1: c\nweb2: c\nweb3: c", sorted(r.err))
    assert.equal(0, r.code)
    assert.equal("x\nx", call({ "run", "-q", "-N", "-w", "web[1-2]", "echo", "x" }).out:sub(1, -2))
  end)

  it_runs("writes a page and a trace of what happened", function(call)
    local page, trace = program.directory() .. "/run.html", program.directory() .. "/run.json"
    local r = call { "run", "-q", "--report", page, "--trace", trace, "-w", "web[1-2]", "echo '<b>'; exit 3" }
    assert.equal(3, r.code)
    local text = servers.read_file(page)
    assert.truthy(text:find("^<!DOCTYPE html>") and text:find("&lt;b&gt;", 1, true) and not text:find("<b>", 1, true), text)
    assert.equal(384, core.fs_stat_sync(page).mode % 512)
    assert.truthy(json.decode(servers.read_file(trace)).traceEvents[1])
    r = call { "run", "--report", "/nonexistent/x", "-w", "web1", "true" }
    assert.truthy(r.code ~= 0 and r.err:find("/nonexistent/x", 1, true), r.err)
  end)

  it_runs("folds by output and code", function(call)
    local r = call { "run", "-b", "-w", "web[1-3]", "case $SSH_CONNECTION in *127.0.0.3*) echo b; exit 3;; esac; echo a" }
    local rule = ("-"):rep(15)
    assert.equal(rule .. "\nweb[1,3] (2)\n" .. rule .. "\na\n" .. rule .. "\nweb2 (1): " ..
      "'case $SSH_CONNECTION in *127.0.0.3*) echo b; exit 3;; esac; echo a' exited with 3\n" .. rule .. "\nb\n", r.out)
    assert.equal(3, r.code)
    assert.equal("sshlua: 2 ok, 1 exit (web2)\n", r.err)
  end)

  it_runs("compares with the largest group", function(call)
    local r = call { "run", "--diff", "-w", "web[1-3]", "echo a; case $SSH_CONNECTION in *127.0.0.3*) echo b;; esac" }
    assert.truthy(r.out:find("--- web[1,3]\n+++ web2\n@@ -1 +1,2 @@\n a\n+b\n", 1, true), r.out)
  end)

  it_runs("folds line by line as soon as all have come so far", function(call)
    local r = call({ "run", "-q", "-L", "-w", "web[1-3]",
      "echo a; case $SSH_CONNECTION in *127.0.0.3*) echo b; exit;; esac; cat; echo d" }, { stdin = "c\n" })
    assert.equal("web[1-3]: a\nweb[1,3]: c\nweb2: b\nweb[1,3]: d\n", r.out)
  end)

  it_runs("gives its standard input to every host, and to none with -n", function(call)
    local text = ("0123456789abcdef\n"):rep(20000)
    local r = call({ "run", "-q", "-w", "web[1-4]", "--parallel", "2", "wc -c" }, { stdin = text })
    assert.equal(("web1: %d\nweb2: %d\nweb3: %d\nweb4: %d"):format(#text, #text, #text, #text), sorted(r.out))
    assert.equal("web1: 0\n", call({ "run", "-n", "-q", "-w", "web1", "wc -c" }, { stdin = text }).out)
    assert.equal(0, call({ "run", "-q", "-w", "web1", "true" }, { stdin = "pipe" }).code)
  end)

  it_runs("prints JSON Lines in which nothing is lost", function(call)
    local r = call { "run", "--json", "-w", "web[1-2],gone.invalid", "printf '\\377'; echo x >&2; exit 3" }
    local list, by_host = {}, {}
    for line in r.out:gmatch "[^\n]+" do
      local object = json.decode(line)
      assert.equal(1, object.v)
      list[#list + 1] = object
      if object.host then by_host[object.host] = object end
    end
    assert.equal("begin", list[1].type)
    assert.equal(3, list[1].hosts)
    assert.equal("/w==", by_host.web1.stdout_base64)
    assert.equal("x\n", by_host.web1.stderr)
    assert.equal(3, by_host.web1.code)
    assert.is_number(by_host.web1.timing.auth)
    assert.is_number(by_host.web1.timing.queue)
    assert.equal("resolve", by_host["gone.invalid"].error.kind)
    assert.is_nil(by_host["gone.invalid"].code)
    local last = list[#list]
    assert.equal("summary 4 0 3 2", table.concat({ last.type, last.exit, last.ok, last.failed, last.status.exit }, " "))
    assert.equal(4, r.code)
  end)

  it_runs("writes outputs to files, and lists of hosts", function(call)
    local dir = program.directory() .. "/out"
    local r = call { "run", "--outdir", dir, "-w", "web[1-2]", "printf '\\377'; echo e >&2; case $SSH_CONNECTION in *127.0.0.3*) exit 1;; esac" }
    assert.equal("", r.out)
    assert.equal("\255", servers.read_file(dir .. "/web1.out"))
    assert.equal("e\n", servers.read_file(dir .. "/web2.err"))
    assert.equal("web1\n", servers.read_file(dir .. "/ok.hosts"))
    assert.equal("web2\n", servers.read_file(dir .. "/failed.hosts"))
    assert.equal("web2: x\n", call({ "run", "-q", "-w", "^" .. dir .. "/failed.hosts", "echo x" }).out)
  end)

  it_runs("says of which host the output could not be written, and still how the others went", function(call)
    local dir = program.directory() .. "/full"
    assert(core.fs_mkdir_sync(dir, 448))
    os.execute("ln -s /dev/full " .. dir .. "/web2.out")
    local r = call { "run", "--outdir", dir, "-w", "web[1-2]", "echo a" }
    assert.equal("a\n", servers.read_file(dir .. "/web1.out"))
    assert.truthy(r.err:find("web2: io: cannot write " .. dir .. "/web2.out: ", 1, true), r.err)
    assert.truthy(r.err:find("1 ok, 1 io (web2)", 1, true), r.err)
    assert.equal(3, r.code)
  end)

  it_runs("has fewer hosts at once than it has descriptors for, and says so", function(call)
    local r = call({ "run", "-w", "web[1-4]", "true" }, { shell = 'ulimit -n 28; exec "$0" "$@"' })
    assert.truthy(r.err:find("2 at once, not 4: this process may have 28 files open", 1, true), r.err)
    assert.truthy(r.err:find("4 ok", 1, true), r.err)
    r = call({ "run", "-q", "-w", "web1", "true" }, { shell = 'ulimit -n 8; exec "$0" "$@"' })
    assert.truthy(r.err:find("too many open files", 1, true), r.err)
  end)

  it_runs("says what helps once for all hosts that failed alike", function(call)
    local r = call { "run", "-o", "UserKnownHostsFile=/dev/null", "-w", "web[1-3]", "true" }
    local _, hints = r.err:gsub("hint for web%d: ", "")
    assert.equal(1, hints, r.err)
    assert.truthy(r.err:find("ssh-keyscan", 1, true), r.err)
  end)

  it_runs("ends with the table's code, the largest, or by a strategy", function(call)
    local command = "case $SSH_CONNECTION in *127.0.0.3*) exit 9;; *127.0.0.4*) kill -TERM $$;; esac"
    local function code(...) return call({ "run", "-q", "-w", "web[1-3]", ... }).code end
    assert.equal(3, code(command))
    assert.equal(143, code("-S", command))
    assert.equal(0, code("--exit", "main", command))
    assert.equal(9, code("--exit=any", command))
    assert.equal(1, code("--exit=all", command))
    assert.equal(0, code("--exit=all", "true"))
    assert.equal(124, code("--timeout", "0.2", "sleep 9"))
    assert.equal(124, code("--idle-timeout", "0.2", "sleep 9"))
    assert.equal(4, call({ "run", "-q", "-w", "web1,gone.invalid", "--timeout", "5", "false" }).code)
  end)

  it_runs("has nothing to do when no host of a journal is meant, and takes the first of several settings", function(call)
    local journal = program.directory() .. "/done.journal"
    assert.equal(0, call({ "run", "-q", "--journal", journal, "-w", "web1", "true" }).code)
    local r = call { "run", "--resume", journal, "--only", "failed", "true" }
    assert.same({ 0, "", "sshlua: nothing to do: the journal has no host that was failed\n" }, { r.code, r.out, r.err })
    assert.equal(2, call({ "run", "-w", "web1", "-l", "", "true" }).code)
    local settings = require "sshlua.settings"
    local kept = settings.defaults
    run.defer(function() settings.defaults = kept end)
    for first, wanted in pairs { no = false, yes = true } do
      settings.defaults = {}
      local o = require("sshlua.cli.fleet_args").parse({ "-o", "BatchMode=" .. first, "-oBatchMode yes" }, "ssh", "run")
      assert.same({ wanted, wanted }, { o.one_interrupt == true, settings.defaults.batch == true })
    end
  end)

  it_runs("rolls in batches and stops when more fail than may", function(call)
    local r = call { "run", "--batch", "1,100%", "-w", "web[1-4]", "case $SSH_CONNECTION in *127.0.0.2*) exit 1;; esac" }
    assert.truthy(r.err:find("0 ok, 3 skipped (web[2-4]), 1 exit (web1); stopped: 1 failed, 0 may", 1, true), r.err)
    r = call { "run", "--batch", "1,100%", "--max-failed=1", "-w", "web[1-4]", "case $SSH_CONNECTION in *127.0.0.2*) exit 1;; esac" }
    assert.truthy(r.err:find("3 ok, 1 exit (web1)", 1, true), r.err)
  end)

  it_runs("takes hosts from -x, -g, --limit, --pick, an inventory, or the batch job", function(call)
    assert.equal("web1: x\nweb4: x", sorted(call { "run", "-q", "-w", "web[1-4]", "-x", "web[2-3]", "echo x" }.out))
    assert.equal("web3: x", sorted(call { "run", "-q", "-w", "web[1-4]", "--limit", "*3", "echo x" }.out))
    local _, n = call({ "run", "-q", "-w", "web[1-4]", "--pick", "2", "echo x" }).out:gsub("\n", "")
    assert.equal(2, n)
    local ini = program.file("inv.ini", "[db]\nweb2\nweb3 ansible_user=nobody\n")
    assert.equal("web2: root", sorted(call { "run", "-q", "--inventory", ini, "-g", "db", "--limit", "web2", "id -un" }.out))
    local r = call({ "run", "-N", "echo", "x" }, { more = { SLURM_JOB_NODELIST = "web[1-2]" } })
    assert.equal("x\nx\n", r.out)
    assert.truthy(r.err:find("2 hosts of SLURM_JOB_NODELIST", 1, true))
  end)

  it_runs("says what is wrong with its command line", function(call)
    for _, case in ipairs {
      { { "run", "-z" }, "unknown option %-z" }, { { "run", "-w", "web1" }, "which command" },
      { { "run", "-w", "web[1", "x" }, "column 4" }, { { "run", "x" }, "which hosts" },
      { { "run", "-w", "web1", "--parallel", "0", "x" }, "%-%-parallel: a number of at least 1" },
      { { "run", "-w", "web1", "--batch", "x", "y" }, "%-%-batch" }, { { "run", "-w", "web1", "-p", "99999", "x" }, "%-p: a port" },
      { { "run", "-w", "web1", "--exit", "most", "x" }, "main, all, any, largest expected" },
      { { "run", "-w", "web1", "-b", "--json", "x" }, "one of them" }, { { "run", "-A", "-w", "web1", "x" }, "not part of this version" },
      { { "run", "-w", "web1", "--paralel", "2", "x" }, "did you mean '%-%-parallel'" },
      { { "run", "-w", "web1", "--timeout", "0", "x" }, "more than 0 seconds" },
      { { "run", "-w", "web1", "--unknown", "again", "x" }, "go with %-%-resume" },
      { { "run", "-w", "web1", "-F", "/nonexistent", "x" }, "%-F: cannot open /nonexistent" },
      { { "run", "-w", "web[1-2]", "-o", "Nothing=x", "x" }, "^sshlua: %-o: nothing: unknown keyword\n$" },
      { { "run", "-w", "web1", "-o", "ConnectTimeout=x", "x" }, "%-o: ConnectTimeout: not a time" },
      { { "put", "-w", "web1", "/etc/hosts", "~/x" }, "~ is not expanded" },
      { { "run", "-w", "web1", "-x", "web1", "x" }, "no host is left" }, { { "ping", "-w", "web1", "x" }, "takes no command" },
    } do
      local r = call(case[1])
      assert.equal(2, r.code, table.concat(case[1], " ") .. r.err)
      assert.truthy(r.err:find(case[2]), r.err)
      assert.equal("", r.out)
    end
  end)

  it_runs("ping connects, and runs nothing", function(call)
    local r = call { "ping", "-w", "web[1-2]" }
    assert.truthy(r.out:find "web1: ok, %d+%.%d+ s, SSH%-2%.0%-OpenSSH")
    assert.equal(0, r.code)
    r = call { "ping", "-b", "-w", "web1,gone.invalid" }
    assert.truthy(r.out:find("gone.invalid (1): resolve:", 1, true), r.out)
    assert.equal(4, r.code)
  end)

  it_runs("speaks pdsh", function(call)
    local r = call { "run", "--pdsh", "-w", "web[1-2]", "-f", "1", "echo x; exit 3" }
    assert.equal("web1: x\nweb2: x\n", r.out)
    local here = core.hostname():match "^[^.]*"
    assert.equal(("pdsh@%s: web1: ssh exited with exit code 3\npdsh@%s: web2: ssh exited with exit code 3\n"):format(here, here), r.err)
    assert.equal(0, r.code)
    assert.equal(3, call({ "run", "--pdsh", "-S", "-Nw", "web1", "exit 3" }).code)
    assert.truthy(call({ "run", "--pdsh", "-q", "-w", "web[1-2],-web2" }).out:find("-- Target nodes --\nweb1\n", 1, true))
    local link = program.directory() .. "/pdsh"
    os.remove(link)
    require("sshlua.task").await(core.fs_symlink, program.path:find "^/" and program.path or os.getenv "PWD" .. "/" .. program.path, link)
    r = call({ "-w", "web1", "echo hi" }, { shell = link .. ' "$@"' })
    assert.equal("web1: hi\n", r.out, r.err)
  end)

  it_runs("at the first ^C starts nothing new, at the second cancels, and reports", function(call)
    local env = fleets.environment(fleet())
    local child = program.start({ "run", "--parallel", "2", "-w", "web[1-4]", "echo here; sleep 3; echo done" }, { env = env })
    local r = child:finish(function()
      child:expect "here\n"
      run.eventually(function() return select(2, child.seen:gsub("here", "")) == 2 end)
      child:kill "INT"
    end)
    assert.equal(130, r.code)
    assert.equal(2, select(2, r.out:gsub("done", "")))
    assert.truthy(r.err:find("nothing new starts; still running: web[1-2]", 1, true), r.err)
    assert.truthy(r.err:find("2 ok, 2 skipped (web[3-4])", 1, true), r.err)
    child = program.start({ "run", "--json", "-w", "web[1-2]", "sleep 20" }, { env = env })
    r = child:finish(function()
      child:expect "begin"
      require("sshlua.task").sleep(0.5)
      child:kill "INT"
      require("sshlua.task").sleep(0.1)
      child:kill "INT"
    end)
    assert.equal(130, r.code)
    assert.truthy(r.out:find '"status":{"cancelled":2}', r.out)
  end)
end)
