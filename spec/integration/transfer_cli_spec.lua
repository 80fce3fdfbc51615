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
    assert.equal(3, r.code)
    assert.matches("^web1: io: .*src/none", r.err)
    r = sshlua { "put", "-w", "web1,gone", at "src/a", at "x" }
    assert.equal(4, r.code)
    assert.matches("gone: connect: ", r.err)
    assert.equal("text", servers.read_file(at "x"))
    r = sshlua { "put", "-w", "web1", "--timeout", "0", at "src/a", at "x" }
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
end)
