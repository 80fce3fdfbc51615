-- sshlua put, get and sync: what people and scripts see, and the exit codes.
local core = require "sshlua.core"
local files = require "spec.support.files"
local json = require "sshlua.json"
local program = require "spec.support.program"
local run = require "spec.support.run"
local servers = require "spec.support.servers"

local body = run.body
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 2 }

-- A configuration that knows the hosts of the fleet, and one that is not there.
local function config()
  local out = { "Host gone\n  HostName 127.0.0.1\n  Port 1\n" }
  for _, host in ipairs(fleet().hosts) do
    out[#out + 1] = ("Host %s\n  HostName %s\n  Port %d\n  User %s\n  IdentityFile %s\n  IdentityAgent none\n"
      .. "  UserKnownHostsFile %s\n"):format(host.name, host.address, host.port, host.user, fleet().identity,
      fleet().known_hosts)
  end
  return files.write("ssh_config", table.concat(out))
end

local function sshlua(words, opts)
  local args = { words[1], "-F", config(), "-o", "BatchMode=yes" }
  for i = 2, #words do args[#args + 1] = words[i] end
  return program.run(args, opts or {})
end

local function at(name) return files.directory() .. "/" .. name end

describe("on the command line", function()
  setup(start_fleet)
  teardown(stop_fleet)
  after_each(files.remove)

  it("put copies to every host, and says so in a line for each", body(function()
    files.write("src/a", "text")
    local r = sshlua { "put", "-w", "web[1-2]", "--parallel=1", at "src/a", at "copy" }
    assert.equal("", (r.err:gsub("^2 ok\n$", "")))
    assert.equal("web1: 1 file, 4 bytes\nweb2: 1 file, 4 bytes\n", r.out)
    assert.equal(0, r.code)
    assert.equal("text", servers.read_file(at "copy"))
    r = sshlua({ "put", "-w", "web1,web2", "-b", "-", at "input", "--mode", "600", "--parallel", "1" }, { stdin = "in\0put" })
    assert.matches("web%[1%-2%].*\n1 file, 6 bytes\n$", r.out)
    assert.equal("in\0put", servers.read_file(at "input"))
    assert.equal(384, core.fs_stat_sync(at "input").mode)
    r = sshlua({ "put", "-qwweb1", "--verify", "-", at "input" }, { stdin = ("x"):rep(300000) })
    assert.equal("0 ", r.code .. " " .. r.out .. r.err)
    assert.equal(300000, core.fs_stat_sync(at "input").size)
    files.write("src/b", "more")
    r = sshlua { "put", "-w", "web1", at "src/a", at "src/b", at "several" }
    assert.equal("web1: 2 files, 8 bytes\n", r.out)
    assert.equal("more", servers.read_file(at "several/b"))
  end, 60))

  it("get makes a directory for each host, or what {host} says", body(function()
    files.write("src/a", "text")
    assert.equal(0, sshlua({ "get", "-w", "web[1-2]", at "src/a", at "got" }).code)
    assert.equal("text", servers.read_file(at "got/web2/a"))
    assert.equal(0, sshlua({ "get", "-w", "web[1-2]", at "src/a", at "{host}.txt" }).code)
    assert.equal("text", servers.read_file(at "web1.txt"))
    assert.equal(0, sshlua({ "get", "-w", "web1", "--flat", at "src/*", at "flat/" }).code)
    assert.equal("text", servers.read_file(at "flat/a"))
    assert.equal(2, sshlua({ "get", "-w", "web[1-2]", "--flat", at "src/a", at "x" }).code)
  end, 60))

  it("sync says what would be done, does it, deletes", body(function()
    files.write("src/a", "text")
    files.write("dst/old", "old")
    local r = sshlua { "sync", "-w", "web1", "--delete", "--check", at "src/", at "dst" }
    assert.equal(5, r.code)
    assert.matches("web1: %+ .*/a\n", r.out)
    assert.matches("web1: %- .*/old\n", r.out)
    assert.equal("old", servers.read_file(at "dst/old"))
    assert.equal(0, sshlua({ "sync", "-w", "web1", "--delete", at "src/", at "dst" }).code)
    assert.is_nil(servers.read_file(at "dst/old"))
    assert.equal(0, sshlua({ "sync", "-w", "web1", "--delete", "--check", at "src/", at "dst" }).code)
  end, 60))

  it("speaks JSON to programs", body(function()
    files.write("src/a\nb", "text")
    files.write("src/\255", "")
    local r = sshlua { "put", "-w", "web1,gone", "--json", at "src", at "up/", "--parents" }
    assert.equal(4, r.code)
    local lines = {}
    for line in r.out:gmatch("[^\n]+") do lines[#lines + 1] = json.decode(line) end
    assert.equal(2, #lines)
    assert.equal("web1", lines[1].host)
    assert.is_true(lines[1].ok)
    assert.equal(2, lines[1].files)
    assert.equal("connect", lines[2].error.kind)
  end, 60))

  it("ends with the code that says what went wrong", body(function()
    files.write("src/a", "text")
    local r = sshlua { "put", "-w", "web1", at "src/none", at "x" }
    assert.equal("1 ", r.code .. " " .. r.out) -- once, and nobody is connected to
    assert.matches("^sshlua: io: put: cannot stat .*src/none: [^\n]+\n$", r.err)
    assert.equal(1, sshlua({ "sync", "-w", "gone", at "src/none", at "x" }).code)
    r = sshlua { "get", "-w", "web1", at "src/none", at "x" }
    assert.equal(3, r.code)
    assert.matches("^web1: sftp: .*src/none", r.err)
    r = sshlua { "put", "-w", "web[1-2]", at "src/a", at "none/x" }
    assert.equal(3, r.code)
    assert.matches("web1: hint: .*%-%-parents", r.err)
    assert.is_nil(r.err:find("web2: hint", 1, true))
    r = sshlua { "put", "-w", "web1,gone", at "src/a", at "x" }
    assert.equal(4, r.code)
    assert.matches("gone: connect: ", r.err)
    assert.equal("text", servers.read_file(at "x"))
    r = sshlua { "put", "-w", "web1", "--timeout", "0.0001", at "src/a", at "x" }
    assert.equal(124, r.code)
    for _, words in ipairs {
      { "put", at "src/a", at "x" }, { "put", "-w", "web1", at "src/a" }, { "put", "-w", "web1", "--nope", "a", "b" },
      { "put", "-w", "web1", "--mode", "9", at "src/a", at "x" }, { "put", "-w", "web1", "-A", at "src/a", at "x" },
      { "put", "-w", "web[", at "src/a", at "x" }, { "put", "-w", "web1", "--delete", at "src/a", at "x" },
      { "put", "-w", "web1", "--limit", "many", at "src/a", at "x" }, { "get", "-w", "web1", "-x", "web1", "a", "b" },
      { "put", "-w", "web1", "--parallel", "0", "a", "b" }, { "put", "-w", "web1", "a", "b", "--timeout" },
    } do
      r = sshlua(words)
      assert.equal(2, r.code, table.concat(words, " ") .. "\n" .. r.err)
      assert.equal("", r.out)
    end
  end, 60))

  -- The lines that went out: which hosts it was.
  local function hosts_of(r)
    assert.equal(0, r.code, r.err)
    local names = {}
    for name in r.out:gmatch "(%w+): [^\n]*\n" do names[#names + 1] = name end
    return table.concat(names, " ")
  end

  it("takes its hosts from where run takes them", body(function()
    local from, to = files.write("src/a", "text"), at "x"
    local all = { "--parallel", "1" } -- they share a directory
    local function copy(words, env)
      for _, word in ipairs(all) do words[#words + 1] = word end
      return sshlua(words, { env = env })
    end
    assert.equal("web2", hosts_of(copy { "put", "-w", "web[1-2]", "--limit", "*2", from, to }))
    assert.equal("web1", hosts_of(copy { "put", "-w", "web[1-2]", "-x", "web2", from, to }))
    assert.matches("^web%d$", hosts_of(copy { "sync", "-w", "web[1-2]", "--pick=1", at "src", at "tree" }))
    local r = copy({ "get", from, at "got/" }, { SLURM_JOB_NODELIST = "web[1-2]" })
    assert.equal("web1 web2", hosts_of(r))
    assert.equal("sshlua: 2 hosts of SLURM_JOB_NODELIST\n2 ok\n", r.err)
    local ini = files.write("inv.ini", "[db]\nweb2 ansible_user=nobody ansible_port=1\n")
    local named = { "put", "--inventory", ini, "-g", "db", from, to }
    assert.equal(4, copy(named).code)
    local web2 = fleet().hosts[2]
    for _, word in ipairs { "-l", web2.user, "-p", ("%d"):format(web2.port) } do named[#named + 1] = word end
    assert.equal("web2", hosts_of(copy(named))) -- ssh's letters win over the inventory, as in run
    local words = { "run", "-q", "--inventory", ini, "-l", web2.user, "-p", ("%d"):format(web2.port), "-g", "db", "true" }
    assert.equal(0, sshlua(words).code)
  end, 60))

  it("goes batch by batch, and stops when more fail than may", body(function()
    local from = files.write("src/a", "text")
    assert.equal("web1 web2", hosts_of(sshlua { "put", "-w", "web[1-2]", "--batch", "1", from, at "x" }))
    assert.equal("web2 web1", hosts_of(sshlua { "put", "-w", "web[1-2]", "--batch=1", "--order", "reverse", from, at "x" }))
    local r = sshlua { "put", "-w", "gone,web1", "--batch", "1,100%", from, at "y" }
    assert.equal(4, r.code)
    assert.truthy(r.err:find("\n0 ok, 1 connect (gone), 1 skipped (web1); stopped: 1 failed, 0 may\n", 1, true), r.err)
    assert.is_nil(servers.read_file(at "y"))
    r = sshlua { "put", "-w", "gone,web1", "--batch", "1,100%", "--on-fail", "continue", from, at "y" }
    assert.equal(4, r.code)
    assert.equal("text", servers.read_file(at "y"))
    r = sshlua { "put", "-w", "gone,web1", "--parallel=1", "-k", from, at "z" }
    assert.equal(4, r.code)
    assert.is_nil(servers.read_file(at "z"))
  end, 60))

  it("takes options among the words, up to --", body(function()
    files.write("src/-a", "text")
    files.write("src/b", "more")
    local cd = { cwd = at "src" }
    local args = { "put", "-F", config(), "-w", "web1", "--", "-a", "b", at "to" }
    assert.equal("web1: 2 files, 8 bytes\n", program.run(args, cd).out)
    assert.equal("text", servers.read_file(at "to/-a"))
    args = { "put", "b", "-F", config(), at "c", "-w", "web1", "-o", "BatchMode=yes", "--limit-rate=1M", "-4C" }
    assert.equal("web1: 1 file, 4 bytes\n", program.run(args, cd).out)
  end, 60))

  it("says what is wrong with its command line, as run does", body(function()
    local from = files.write("src/a", "text")
    for words, message in pairs {
      ["put -Z"] = "put: unknown option -Z (see sshlua put --help)",
      ["put -r"] = "put: unknown option -r: directories are copied with what is in them (see sshlua put --help)",
      ["sync --bwlimit=10"] = "sync: unknown option --bwlimit: --limit-rate 500K (see sshlua sync --help)",
      ["sync --flat"] = "sync: unknown option --flat (see sshlua sync --help)",
      ["get --pull"] = "get: unknown option --pull (see sshlua get --help)",
      ["put --mode 9"] = '--mode: octal digits expected, got "9"',
      ["put --dir-mode=rwx"] = '--dir-mode: octal digits expected, got "rwx"',
      ["put --links hard"] = '--links: skip, copy, follow expected, got "hard"',
      ["sync --skip size"] = '--skip: time, digest expected, got "size"',
      ["put --limit-rate many"] = '--limit-rate: bytes expected (500K, 10M), got "many"',
      ["put --limit many"] = "no host is left of those that were named: none matches --limit many",
      ["put --batch"] = '--batch: a count or a share ("10%") expected, got "web1"',
      ["put --pause 1"] = "--pause goes with --batch",
      ["put --no-fsync=1"] = "put: option --no-fsync takes no argument",
      ["get -A"] = "-A: forwarding of the agent is not part of this version",
      ["put -p 99999"] = '-p: a port expected, got "99999"',
      ["get -b --json"] = "--json and -b: one of them",
    } do
      local args = {}
      for word in words:gmatch "%S+" do args[#args + 1] = word end
      if words ~= "put --batch" then args[#args + 1] = "-w" end
      for _, word in ipairs { "web1", from, at "x" } do args[#args + 1] = word end
      local r = sshlua(args)
      assert.equal("sshlua: " .. message .. "\n", r.err)
      assert.equal("2 ", r.code .. " " .. r.out)
    end
  end, 60))

  it("says what words for scp and rsync are here", body(function()
    local from = files.write("src/a", "text")
    for words, message in pairs {
      ["put " .. from .. " web1:/x"] = "put: which hosts? -w names them, and paths have none in front: -w web1 ... /x",
      ["get root@web1: " .. at "x"] = "get: which hosts? -w names them, and paths have none in front: -w root@web1 ... ./",
      ["put -w web1 " .. from .. " ~root/x"] = "put: ~ is not expanded on hosts: say where that home is, or ./~root/x "
        .. "for a name that begins so",
      ["put -w web1 - " .. from .. " /x"] = 'put: "-" is standard input, and copied alone (./- is a file of that name)',
      ["get -w web1 " .. from .. " -"] = 'get: "-" is no target: sshlua run -w HOST -- cat FILE writes to standard output '
        .. "(./- is a file)",
    } do
      local args = {}
      for word in words:gmatch "%S+" do args[#args + 1] = word end
      local r = sshlua(args)
      assert.equal("sshlua: " .. message .. "\n", r.err)
      assert.equal("2 ", r.code .. " " .. r.out)
    end
  end))

  it("helps with the lines that run helps with", body(function()
    local function lines_of(text)
      local set = {}
      for line in text:gmatch "  (%-[^\n]+)\n" do set[line:match "^%S+"] = line end
      return set
    end
    local of_run = lines_of(program.run({ "run", "--help" }).out)
    for _, verb in ipairs { "put", "get", "sync" } do
      local text = program.run({ verb, "--help" }).out
      assert.equal(text, program.run({ "help", verb }).out)
      local own = lines_of(text)
      for _, name in ipairs { "-w", "-x", "-g", "--inventory", "--limit", "--pick", "--parallel,", "--timeout,", "--batch",
        "--sudo[=USER]", "--ask-sudo", "-b", "-v", "-l", "-p", "-i", "-J", "-F", "-o", "-C", "-4", "-6", "-A" } do
        assert.is_string(of_run[name], name)
        assert.equal(of_run[name], own[name])
      end
      assert.equal(verb == "sync", own["--delete"] ~= nil)
      assert.equal(verb == "get", own["--flat"] ~= nil)
      assert.is_nil(own["--journal"] or own["--cwd"] or own["--exit"])
    end
  end))
end)
