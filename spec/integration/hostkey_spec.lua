-- Host keys against real servers: what is refused, when, with which words; and what is learnt.
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body, fails, defer = run.body, run.fails, run.defer
local fleet, start_fleet, stop_fleet = servers.shared { host_keys = { "ed25519", "rsa" } }

local count = 0
-- A file of known hosts for the present spec.
local function known(text)
  count = count + 1
  return servers.write_file(("%s/known.%d"):format(fleet().dir, count), text)
end

local function site() return ("[%s]:%d"):format(fleet():host().address, fleet():host().port) end

local function fingerprint(path)
  return processes.run({ "ssh-keygen", "-lf", path }):match "SHA256:%S+"
end

local function connect(text, more)
  local opts = { known_hosts = text and known(text) or nil }
  for k, v in pairs(more or {}) do opts[k] = v end
  return servers.connect(fleet(), nil, opts), opts.known_hosts
end

local function refused(reason, text, more)
  local path
  local e = fails("hostkey", function()
    local opts = { known_hosts = text and known(text) or nil }
    path = opts.known_hosts
    for k, v in pairs(more or {}) do opts[k] = v end
    servers.connect(fleet(), nil, opts)
  end)
  assert.equal(reason, e.reason, tostring(e))
  assert.equal("hostkey", e.phase)
  assert.equal("web1", e.host)
  assert.is_false(e.retryable)
  return e, path
end

local other_count = 0
local function other_key(kind)
  other_count = other_count + 1
  local path, line = testbed.make_key(("%s/other.%d"):format(fleet().dir, other_count), kind)
  return line, fingerprint(path .. ".pub")
end

describe("a host key", function()
  setup(start_fleet)
  teardown(stop_fleet)

  local function good() return fleet():host().host_key_lines[1] end
  local function shown() return fingerprint(fleet():host().host_keys[1] .. ".pub") end

  it("that is unknown is refused with its fingerprint and the command to accept it, before any credential is sent", body(function()
    local before = #fleet():log()
    local e = refused("unknown", "")
    assert.truthy(e.message:find(shown(), 1, true), e.message)
    assert.truthy(e.message:find "ssh%-ed25519")
    assert.truthy(e.hint:find("ssh-keyscan -p " .. fleet():host().port, 1, true), e.hint)
    assert.truthy(e.hint:find "accept%-new")
    task.sleep(0.2)
    local log = fleet():log():sub(before + 1)
    assert.truthy(log:find "Connection", "sshd saw the connection")
    assert.is_nil(log:find "[Uu]serauth", log)
    assert.is_nil(log:find("user " .. fleet():host().user, 1, true), log)
    assert.is_nil(log:find "publickey")
  end))

  it("is accepted when the command of the hint was followed", body(function()
    local e, path = refused("unknown", "")
    local command = e.hint:match "(ssh%-keyscan.-known%.%d+)"
    assert.truthy(command, e.hint)
    ssh.here:run(command)
    servers.connect(fleet(), nil, { known_hosts = path })
  end))

  it("that has changed is refused, naming file:line and both fingerprints, and how to remove the old one", body(function()
    local line, print_of_other = other_key()
    local e, path = refused("changed", "# first\n" .. site() .. " " .. line .. "\n")
    assert.truthy(e.message:find(path .. ":2", 1, true), e.message)
    assert.truthy(e.message:find(shown(), 1, true), e.message)
    assert.truthy(e.message:find(print_of_other, 1, true), e.message)
    assert.truthy(e.hint:find("ssh-keygen -f " .. path .. " -R '" .. site() .. "'", 1, true), e.hint)
    ssh.here:run(e.hint:match "ssh%-keygen.*'")
    refused("unknown", servers.read_file(path))
  end))

  it("that has changed is refused under every strictness, and the file stays as it was", body(function()
    local line = other_key()
    local text = site() .. " " .. line .. "\n"
    for _, strict in ipairs { "yes", "ask", "accept-new", "no", "off" } do
      local _, path = refused("changed", text, { strict_host_key_checking = strict })
      assert.equal(text, servers.read_file(path))
    end
  end))

  it("of another type than the known one counts as changed", body(function()
    local line = other_key "ecdsa"
    local e = refused("changed", site() .. " " .. line .. "\n", { strict_host_key_checking = "accept-new" })
    assert.truthy(e.message:find "SHA256:", e.message)
  end))

  it("is asked for by the type that is known", body(function()
    local s = connect(site() .. " " .. fleet():host().host_key_lines[2] .. "\n")
    assert.truthy(s.core:algorithms().host_key:find "^rsa%-sha2")
  end))

  it("that is revoked is refused under every strictness, known or not, in any file", body(function()
    local revoked = "@revoked * " .. good() .. "\n"
    for _, strict in ipairs { "yes", "accept-new", "no" } do
      local e, path = refused("revoked", site() .. " " .. good() .. "\n" .. revoked, { strict_host_key_checking = strict })
      assert.truthy(e.message:find(path .. ":2", 1, true), e.message)
      refused("revoked", revoked, { strict_host_key_checking = strict })
    end
    refused("revoked", nil, { known_hosts = { known(site() .. " " .. good() .. "\n"), known(revoked) } })
  end))

  it("is found by [host]:port and not by the bare address", body(function()
    connect(site() .. " " .. good() .. "\n")
    refused("unknown", fleet():host().address .. " " .. good() .. "\n")
    refused("unknown", ("[%s]:1 %s\n"):format(fleet():host().address, good()))
  end))

  it("is found by wildcard, hashed, among many names, and not behind a negation", body(function()
    local host = fleet():host()
    connect(("[127.0.*]:%d %s\n"):format(host.port, good()))
    connect(("x,y,%s,z %s\n"):format(site(), good()))
    local path = known(site() .. " " .. good() .. "\n")
    processes.must_run { "ssh-keygen", "-q", "-H", "-f", path }
    assert.is_nil(servers.read_file(path):find("127.0.0", 1, true))
    servers.connect(fleet(), nil, { known_hosts = path })
    refused("unknown", ("!%s,* %s\n"):format(site(), good()))
  end))

  it("is found in any of several files, and a list may be given with commas", body(function()
    local one, two = known "", known(site() .. " " .. good() .. "\n")
    servers.connect(fleet(), nil, { known_hosts = { one, two } })
    servers.connect(fleet(), nil, { known_hosts = one .. "," .. two })
    servers.connect(fleet(), nil, { known_hosts = { one .. ".none", two } })
  end))

  it("is found although the file is full of rubbish, long lines and bad entries", body(function()
    local rubbish = "\0\1\255\n" .. ("x"):rep(100000) .. "\n" .. site() .. "\n" .. site() .. " ssh-ed25519\n" .. site()
      .. " ssh-ed25519 AAAA\n|1|x|y ssh-ed25519 AAAA\n@what " .. site() .. " " .. good() .. "\n"
    connect(rubbish .. site() .. " " .. good())
    refused("unknown", rubbish)
  end))

  it("is seen again when the file has changed", body(function()
    local _, path = refused("unknown", "")
    servers.write_file(path, site() .. " " .. good() .. "\n")
    servers.connect(fleet(), nil, { known_hosts = path })
    servers.write_file(path, site() .. " " .. (other_key()) .. "\n")
    fails("hostkey", servers.connect, fleet(), nil, { known_hosts = path })
  end))

  it("is looked up under the alias when there is one", body(function()
    connect("the-alias " .. good() .. "\n", { host_key_alias = "the-alias" })
    local e, path = refused("unknown", site() .. " " .. good() .. "\n", { host_key_alias = "the-alias" })
    -- What the hint says is done, and then it is known.
    local command = assert(e.hint:match "accept it with: (.+) %(or the option ", e.hint)
    processes.run { "sh", "-c", command .. " 2>/dev/null" }
    servers.connect(fleet(), nil, { known_hosts = path, host_key_alias = "the-alias" })
  end))

  it("is refused as unknown when the files are missing, /dev/null or none", body(function()
    refused("unknown", nil, { known_hosts = fleet().dir .. "/missing" })
    refused("unknown", nil, { known_hosts = "/dev/null" })
    refused("unknown", nil, { known_hosts = "none" })
    refused("unknown", nil, { known_hosts = {} })
  end))

  it("is written to no other file when the first is /dev/null", body(function()
    for _, strict in ipairs { "accept-new", "no" } do
      for _, first in ipairs { "/dev/null", "none" } do
        local path = fleet().dir .. "/the-systems"
        servers.write_file(path, "")
        servers.connect(fleet(), nil, { known_hosts = { first, path }, strict_host_key_checking = strict })
        assert.equal("", servers.read_file(path))
        servers.connect(fleet(), nil, { known_hosts = { path, first }, strict_host_key_checking = strict })
        assert.truthy(servers.read_file(path):find "ssh%-ed25519")
      end
    end
  end))

  it("is refused when a file cannot be read, naming it", body(function()
    local dir = fleet().dir .. "/folder"
    core.fs_mkdir_sync(dir, 448)
    defer(core.fs_rmtree_sync, dir)
    local ok, e = pcall(servers.connect, fleet(), nil, { known_hosts = { dir, known(site() .. " " .. good() .. "\n") } })
    assert.is_false(ok)
    assert.equal("hostkey", e.kind)
    assert.truthy(e.message:find(dir, 1, true), e.message)
  end))
end)

describe("pinned fingerprints", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("decide alone", body(function()
    local mine = fingerprint(fleet():host().host_keys[1] .. ".pub")
    connect("", { fingerprints = mine })
    connect("", { fingerprints = { "SHA256:x", mine } })
    local e = refused("changed", site() .. " " .. fleet():host().host_key_line .. "\n", { fingerprints = "SHA256:x" })
    assert.truthy(e.message:find(mine, 1, true))
    refused("changed", "", { fingerprints = {} })
  end))
end)

describe("verify_host_key", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("sees the key, may wait, and accepts by true alone", body(function()
    local seen
    connect("", { verify_host_key = function(key)
      task.sleep(0.05)
      seen = key
      return true
    end })
    assert.equal("ssh-ed25519", seen.type)
    assert.equal(fingerprint(fleet():host().host_keys[1] .. ".pub"), seen.fingerprint)
    assert.equal("web1", seen.host)
    assert.equal(fleet():host().port, seen.port)
    for _, answer in ipairs { false, 1, "yes", {}, 0 } do
      refused("unknown", "", { verify_host_key = function() return answer end })
    end
    refused("unknown", "", { verify_host_key = function() end })
  end))

  it("that fails refuses with its own error, whatever that is", body(function()
    for _, mine in ipairs { {}, "text", setmetatable({}, { __tostring = function() error "x" end }) } do
      local ok, e = pcall(servers.connect, fleet(), nil, { verify_host_key = function() error(mine, 0) end })
      assert.is_false(ok)
      assert.equal(mine, e)
    end
    assert.is_false((pcall(servers.connect, fleet(), nil, { verify_host_key = function() error() end })))
  end))

  it("has the phase's time", body(function()
    local e = fails("timeout", servers.connect, fleet(), nil, {
      timeouts = { hostkey = 0.3 }, verify_host_key = function() task.sleep(20) return true end,
    })
    assert.equal("hostkey", e.phase)
  end))

  it("is called before anything secret: not accepting leaves no attempt in the server's log", body(function()
    local before = #fleet():log()
    refused("unknown", "", { verify_host_key = function() return false end, password = "marker" })
    task.sleep(0.2)
    assert.is_nil(fleet():log():sub(before + 1):find "[Uu]serauth")
  end))
end)

describe("accept-new", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it("writes the key, so that the next connection is strict", body(function()
    local path = known "# mine"
    servers.connect(fleet(), nil, { known_hosts = path, strict_host_key_checking = "accept-new" })
    assert.equal("# mine\n" .. site() .. " " .. fleet():host().host_key_line .. "\n", servers.read_file(path))
    servers.connect(fleet(), nil, { known_hosts = path })
  end))

  it("hashes the name when asked", body(function()
    local path = known ""
    servers.connect(fleet(), nil, { known_hosts = path, strict_host_key_checking = "accept-new", hash_known_hosts = true })
    local text = servers.read_file(path)
    assert.truthy(text:find "^|1|[^|]+|%S+ ssh%-ed25519 %S+\n$", text)
    servers.connect(fleet(), nil, { known_hosts = path })
    assert.truthy(processes.run({ "ssh-keygen", "-f", path, "-F", site() }):find "ssh%-ed25519")
  end))

  it("makes the file and its directory with nobody else's eyes on them", body(function()
    local dir = fleet().dir .. "/new"
    defer(core.fs_rmtree_sync, dir)
    local path = dir .. "/known_hosts"
    servers.connect(fleet(), nil, { known_hosts = path, strict_host_key_checking = "accept-new" })
    if core.fs_stat_sync(path) then
      assert.equal(0, core.fs_stat_sync(path).mode % 8)
      servers.connect(fleet(), nil, { known_hosts = path })
    end
  end))

  it("goes on with a warning when the file cannot be written", body(function()
    local said
    defer(ssh.log(function(event)
      if event.what == "known_hosts.not_written" then said = event.reason end
    end))
    local s = servers.connect(fleet(), nil, { known_hosts = "/proc/nothing/known_hosts", strict_host_key_checking = "accept-new" })
    assert.equal("on", tostring(s:exec "echo on"))
    assert.truthy(said)
  end))

  it("writes to the first file or to none, never to the one behind it", body(function()
    local path = known ""
    for _, first in ipairs { "/dev/null", "none" } do
      servers.connect(fleet(), nil, { known_hosts = { first, path }, strict_host_key_checking = "no" }):close()
      assert.equal("", servers.read_file(path))
    end
  end))

  it("under a hundred connections at once loses no line and doubles none", body(function()
    local many = servers.fleet { hosts = 10 }
    local path = known ""
    local list = {}
    for i = 1, 100 do list[i] = "web" .. ((i - 1) % 10 + 1) end
    task.each(list, function(name)
      local s = servers.connect(many, name, { known_hosts = path, strict_host_key_checking = "accept-new" })
      s:close()
    end, { parallel = 25 })
    local lines = {}
    for line in servers.read_file(path):gmatch "[^\n]+" do lines[#lines + 1] = line end
    table.sort(lines)
    local want = {}
    for i, host in ipairs(many.hosts) do want[i] = ("[%s]:%d %s"):format(host.address, host.port, host.host_key_line) end
    table.sort(want)
    assert.same(want, lines)
  end, 90))
end)

-- A script in a process of its own, with our modules: its output and exit.
local function in_a_process(text)
  local interpreter = os.getenv "SSHLUA" or "lua5.4"
  local env = processes.environment("LUA_PATH=" .. package.path)
  env[#env + 1] = "LUA_CPATH=" .. package.cpath
  env[#env + 1] = "ASAN_OPTIONS=" .. (os.getenv "ASAN_OPTIONS" or "")
  local child = assert(core.spawn { args = { "sh", "-c", "exec " .. interpreter .. " \"$0\"", known(text) },
    stdin = "null", stdout = "pipe", stderr = "null", env = env })
  local out, parts = child:stdout(), {}
  while true do
    local bytes = task.await(out.read, out, 4096)
    if not bytes then break end
    parts[#parts + 1] = bytes
  end
  return table.concat(parts), task.await(child.wait, child)
end

describe("learning host keys", function()
  local few, start_few, stop_few = servers.shared { hosts = 4, sshd_config = { "MaxStartups 200" } }
  setup(function()
    start_fleet()
    start_few()
  end)
  teardown(function()
    stop_few()
    stop_fleet()
  end)

  -- 100 connections to names n+1 to n+100, all of them new.
  local function learner(path, n, hashed)
    local hosts = {}
    for i, h in ipairs(few().hosts) do hosts[i] = ("{%q, %d}"):format(h.address, h.port) end
    return ([[
      local ssh = require "sshlua"
      local hosts = { %s }
      local function main()
        local names, refused, other = {}, 0, ""
        for i = 1, 100 do names[i] = %d + i end
        ssh.each(names, function(n)
          local h = hosts[n %% #hosts + 1]
          local _, e = ssh.try(ssh.connect, "learner" .. n, { hostname = h[1], port = h[2], user = %q, batch = true,
            identity = false, agent = false, methods = "publickey", known_hosts = %q, hash_known_hosts = %s,
            strict_host_key_checking = "accept-new", host_key_alias = "name" .. n, timeouts = { hostkey = 60, handshake = 60,
            greeting = 60 } })
          if e and e.kind == "auth" then refused = refused + 1 else other = tostring(e) end
        end)
        print(refused, other)
      end
      if require "sshlua.task".current() then main() else ssh.run(main) end
    ]]):format(table.concat(hosts, ","), n, few().hosts[1].user, path, tostring(hashed))
  end

  for _, hashed in ipairs { false, true } do
    it(("of 200 connections at once in two processes makes one whole line for each name%s"):format(
      hashed and ", hashed #long" or ""), body(function()
      local path = known "# head"
      local texts = {}
      task.each({ 0, 50 }, function(n)
        texts[#texts + 1] = in_a_process(learner(path, n, hashed)) -- names 51 to 100 are learnt by both
      end)
      for _, text in ipairs(texts) do assert.truthy(text:find "^100%s", text) end
      local set, lines = core.known_hosts(), 0
      assert(set:add_file(path))
      assert.same({}, set:warnings())
      for _ in servers.read_file(path):gmatch "\n" do lines = lines + 1 end
      assert.equal(151, lines)
      assert.equal("# head\n", servers.read_file(path):sub(1, 7))
      for n = 1, 150 do
        local blob = core.public_key_parse(few().hosts[n % 4 + 1].host_key_line)
        assert.equal("match", (set:check("name" .. n, 22, blob)))
        assert.equal(1, #set:lookup("name" .. n, 22))
      end
    end, 120))
  end
end)

describe("asking on a terminal", function()
  setup(start_fleet)
  teardown(stop_fleet)

  -- Runs a script under script(1) and types the answers, each when its prompt is there.
  local function type_at(script, answers)
    local interpreter = os.getenv "SSHLUA" or "lua5.4"
    if #processes.run { "sh", "-c", "command -v script" } == 0 then run.skip "there is no script(1)" end
    local env = processes.environment("LUA_PATH=" .. package.path)
    env[#env + 1] = "LUA_CPATH=" .. package.cpath
    env[#env + 1] = "SSHLUA_SSH_CONFIG=none"
    env[#env + 1] = "ASAN_OPTIONS=" .. (os.getenv "ASAN_OPTIONS" or "")
    local child = assert(core.spawn { args = { "script", "-qec", interpreter .. " " .. known(script), "/dev/null" },
      stdin = "pipe", stdout = "pipe", stderr = "null", env = env })
    local out, stdin, text, from = child:stdout(), child:stdin(), "", 1
    defer(function()
      child:kill "KILL"
      stdin:close()
      out:close()
    end)
    while true do
      local bytes = task.await(out.read, out, 4096)
      if not bytes then break end
      text = text .. bytes
      local _, stop = text:find("[%)5t]%??:? $", from)
      if stop and answers[1] then
        from = stop + 1
        task.sleep(0.05)
        task.await(stdin.write, stdin, table.remove(answers, 1) .. "\n")
      end
    end
    return (text:gsub("\r", ""))
  end

  local function on_a_terminal(answer, opts)
    local host, path = fleet():host(), known ""
    local text = type_at(([[
      local ssh = require "sshlua"
      local main = function()
        local s = ssh.connect("web1", { hostname = %q, port = %d, user = %q, identity = %q, agent = false, known_hosts = %q %s })
        print("connected " .. tostring(s:exec("echo fine")))
      end
      local ok, err = pcall(require "sshlua.task".current() and function(f) f() end or ssh.run, main)
      if not ok then print(err) end
    ]]):format(host.address, host.port, host.user, fleet().identity, path, opts or ""), type(answer) == "table" and answer or { answer })
    return text, servers.read_file(path)
  end

  -- Five names at once, of one host; how many of them were accepted.
  local function five(answers, opts, more)
    local host, path = fleet():host(), known ""
    local text = type_at(([[
      local ssh = require "sshlua"
      local main = function()
        local outcomes = {}
        local function connect(n)
          local _, e = ssh.try(ssh.connect, "host" .. n, { hostname = %q, port = %d, user = %q, identity = %q, agent = false,
            known_hosts = %q, host_key_alias = "host" .. n %s })
          outcomes[n] = e and e.kind or "ok"
        end
        ssh.each({ 1, 2, 3, 4, 5 }, connect)
        %s
        print("outcomes " .. table.concat(outcomes, " "))
      end
      if require "sshlua.task".current() then main() else ssh.run(main) end
    ]]):format(host.address, host.port, host.user, fleet().identity, path, opts or "", more or ""), answers)
    return text:match "outcomes ([^\n]*)", text, servers.read_file(path)
  end

  it("shows type and fingerprint, and yes connects and is remembered", body(function()
    local text, file = on_a_terminal "yes"
    assert.truthy(text:find("ssh%-ed25519 key fingerprint is SHA256:"), text)
    assert.truthy(text:find "connected fine", text)
    assert.equal(site() .. " " .. fleet():host().host_key_line .. "\n", file)
  end))

  it("takes the fingerprint for an answer, too", body(function()
    assert.truthy(on_a_terminal(fingerprint(fleet():host().host_keys[1] .. ".pub")):find "connected fine")
  end))

  it("asks again after a word that is no answer, three times in all", body(function()
    local text = on_a_terminal { "y", " YES " }
    assert.truthy(text:find "type 'yes', 'no' or the fingerprint: .*connected fine", text)
    assert.falsy(on_a_terminal { "a", "b", "c", "yes" }:find "connected fine")
  end))

  it("refuses by anything else", body(function()
    local text, file = on_a_terminal "no"
    assert.truthy(text:find "hostkey: the host key is not known", text)
    assert.equal("", file)
  end))

  it("does not ask when strict or in batch", body(function()
    local text = on_a_terminal(nil, ', strict_host_key_checking = "yes"')
    assert.is_nil(text:find "authenticity", text)
    assert.truthy(text:find "is not known", text)
    text = on_a_terminal(nil, ", batch = true")
    assert.is_nil(text:find "authenticity", text)
  end))

  it("about many hosts asks once, with all of them in the question", body(function()
    local outcomes, text, file = five { "yes" }
    assert.equal("ok ok ok ok ok", outcomes, text)
    assert.equal(1, select(2, text:gsub("can't be established", "")))
    for n = 1, 5 do
      assert.truthy(text:find("host" .. n .. " .-ED25519 SHA256:"), text)
      assert.truthy(file:find("host" .. n .. " ssh-ed25519 ", 1, true))
    end
  end, 90))

  it("takes none, some by number, and does not take nonsense for an answer", body(function()
    local outcomes, text = five { "no" }
    assert.equal("hostkey hostkey hostkey hostkey hostkey", outcomes, text)
    outcomes, text = five { "perhaps", "7", "2,4-5" }
    local _, accepted = outcomes:gsub("ok", "")
    assert.equal(3, accepted, text)
  end, 90))

  it("asks no more after stop", body(function()
    local outcomes, text = five({ "stop" }, nil, "ssh.each({ 1, 2, 3, 4, 5 }, connect)")
    assert.equal("hostkey hostkey hostkey hostkey hostkey", outcomes, text)
    assert.equal(1, select(2, text:gsub("can't be established", "")))
  end, 90))

  it("shows random art where it is wanted", body(function()
    local text = on_a_terminal("yes", ", visual_host_key = true")
    assert.truthy(text:find("+--[ED25519 256]--+", 1, true), text)
    assert.truthy(text:find "connected fine", text)
  end))
end)
