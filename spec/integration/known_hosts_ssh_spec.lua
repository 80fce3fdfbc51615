-- Random known_hosts files, connected to by us and by ssh(1) on the same real servers: what ssh refuses, we refuse.
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed = require "sshlua.testbed"

local body = run.body
local fleet, start_fleet, stop_fleet = servers.shared { hosts = 4, host_keys = { "ed25519", "ecdsa" } }
local CASES = tonumber(os.getenv "SSHLUA_CASES" or os.getenv "SSHLUA_LONG" and 400 or 60)

-- A small generator of our own: the same cases on every machine.
local function generator(seed)
  return function(n)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return math.floor(seed / 65536) % n + 1
  end
end

-- Hosts: without a certificate, with a good one, an expired one, one for others. (Patterns in certificates mean
-- something to OpenSSH since 10.3 only: see host_certificate_spec.)
local function certify(ca)
  local args = {
    false, { "-n", "127.0.0.3,alias.example" }, { "-n", "127.0.0.4,alias.example", "-V", "20200101:20210101" },
    { "-n", "other.example" },
  }
  for i, host in ipairs(fleet().hosts) do
    if args[i] then
      local key = host.dir .. "/host_ed25519"
      local argv = { "ssh-keygen", "-q", "-s", ca, "-I", "x", "-h" }
      for _, word in ipairs(args[i]) do argv[#argv + 1] = word end
      argv[#argv + 1] = key .. ".pub"
      processes.must_run(argv)
      servers.write_file(host.config, servers.read_file(host.config) .. "\nHostCertificate " .. key .. "-cert.pub\n")
    end
  end
end

local function names_for(host)
  local full = ("[%s]:%d"):format(host.address, host.port)
  return {
    full, full, host.address, "alias.example", "*", "[127.0.0.*]:*", "127.0.*", "*.example", "other.example",
    full .. ",other.example", "!" .. full .. ",*", "[*]:" .. host.port, "hashed", "hashed-alias", "10.0.0.1",
    "!alias.example,*.example", "[127.0.0.?]:?????",
  }
end

local function hashed(name, port, line)
  return (core.known_hosts_line(name, port, core.public_key_parse(line), true))
end

local function random_line(roll, host, keys)
  local names = names_for(host)
  local name, key = names[roll(#names)], keys[roll(#keys)]
  local marker = ({ "", "", "", "@cert-authority ", "@cert-authority ", "@revoked " })[roll(6)]
  if name == "hashed" then return marker .. hashed(host.address, host.port, key) end
  if name == "hashed-alias" then return marker .. hashed("alias.example", 22, key) end
  return marker .. name .. " " .. key .. (roll(4) == 1 and " a comment" or "")
end

local function random_case(roll, ca)
  local host = fleet().hosts[roll(#fleet().hosts)]
  local keys = { host.host_key_lines[1], host.host_key_lines[1], host.host_key_lines[2], ca.right, ca.right, ca.wrong,
    ca.other_ed25519, ca.other_ecdsa }
  local lines = {}
  for i = 1, roll(5) - 1 do lines[i] = random_line(roll, host, keys) end
  lines[#lines + 1] = ({ "# comment", "", "odd line", "alias.example ssh-ed25519 AAAA" })[roll(4)]
  return {
    host = host, text = table.concat(lines, "\n") .. "\n", alias = roll(3) == 1 and "alias.example" or nil,
    strict = ({ "yes", "yes", "accept-new", "no" })[roll(4)],
  }
end

-- "accepted" or "refused".
local function ssh_says(case, path)
  local args = { "ssh", "-F", "none", "-o", "UserKnownHostsFile=" .. path, "-o", "GlobalKnownHostsFile=/dev/null", "-o",
    "StrictHostKeyChecking=" .. case.strict, "-o", "BatchMode=yes", "-o", "PreferredAuthentications=hostbased", "-o",
    "UpdateHostKeys=no", "-o", "HashKnownHosts=no", "-p", tostring(case.host.port) }
  if case.alias then
    args[#args + 1] = "-o"
    args[#args + 1] = "HostKeyAlias=" .. case.alias
  end
  args[#args + 1] = case.host.user .. "@" .. case.host.address
  args[#args + 1] = "true"
  local command = {}
  for i, word in ipairs(args) do command[i] = ssh.quote(word) end
  local text
  for try = 1, 2 do -- a loaded machine may be slower than processes.run waits
    local ok, out = pcall(processes.run, { "sh", "-c", table.concat(command, " ") .. " 2>&1" })
    if ok then
      text = out
      break
    elseif try == 2 or not ssh.is_error(out, "timeout") then
      error(out, 0)
    end
  end
  if text:find "Permission denied" or text:find "No more authentication" then return "accepted" end
  assert.truthy(text:find "Host key verification failed", text)
  return "refused"
end

local function we_say(case, path)
  local _, e = ssh.try(ssh.connect, "x", {
    hostname = case.host.address, port = case.host.port, user = case.host.user, agent = false, identity = false,
    methods = "publickey", batch = true, known_hosts = path, strict_host_key_checking = case.strict,
    host_key_alias = case.alias,
  })
  assert.truthy(e and (e.kind == "auth" or e.kind == "hostkey"), tostring(e))
  return e.kind == "auth" and "accepted" or "refused", e
end

local function compare(case, n, tally)
  local base = ("%s/case.%d"):format(fleet().dir, n)
  local theirs_path, ours_path = servers.write_file(base .. ".ssh", case.text), servers.write_file(base .. ".us", case.text)
  local theirs = ssh_says(case, theirs_path)
  local ours, e = we_say(case, ours_path)
  tally[theirs] = tally[theirs] + 1
  if theirs == ours then tally.same = tally.same + 1 end
  if ours == "refused" and theirs == "accepted" then tally.stricter[#tally.stricter + 1] = case.strict .. ": " .. e.message end
  if ours == "accepted" and theirs == "refused" then
    tally.less[#tally.less + 1] = ("case %d, %s, alias %s, strict %s:\n%s"):format(n, case.host.name, tostring(case.alias),
      case.strict, case.text)
  end
  -- What ssh has learnt, we have learnt.
  local learnt = servers.read_file(theirs_path):sub(#case.text + 1)
  if ours == "accepted" and learnt ~= "" then
    assert.equal(case.text .. learnt, servers.read_file(ours_path))
    tally.learnt = tally.learnt + 1
  end
  os.remove(theirs_path)
  os.remove(ours_path)
end

describe("known_hosts", function()
  setup(start_fleet)
  teardown(stop_fleet)

  it(("refuses what ssh refuses, in %d random cases on real servers"):format(CASES), body(function()
    if #processes.run { "sh", "-c", "command -v ssh" } == 0 then run.skip "there is no ssh(1)" end
    local dir = fleet().dir
    local ca_path, right = testbed.make_key(dir .. "/ca", "ed25519")
    local _, wrong = testbed.make_key(dir .. "/ca2", "ecdsa")
    local _, other = testbed.make_key(dir .. "/other", "ed25519")
    local _, other2 = testbed.make_key(dir .. "/other2", "ecdsa")
    certify(ca_path)
    local ca = { right = right, wrong = wrong, other_ed25519 = other, other_ecdsa = other2 }
    local roll = generator(tonumber(os.getenv "SSHLUA_SEED" or 1))
    local tally = { accepted = 0, refused = 0, same = 0, learnt = 0, less = {}, stricter = {} }
    local cases = {}
    for i = 1, CASES do cases[i] = random_case(roll, ca) end
    task.each(cases, function(case, n) compare(case, n, tally) end, { parallel = 4 })
    assert.same({}, tally.less)
    assert.is_true(tally.accepted > #cases / 5 and tally.refused > #cases / 5, "the cases tell something")
    assert.is_true(tally.learnt > #cases / 50)
    assert.is_true(tally.same > #cases * 0.7, ("%d of %d are judged as by ssh"):format(tally.same, #cases))
    if os.getenv "SSHLUA_TALLY" then
      print(("%d cases: ssh accepts %d, refuses %d; we say the same %d, are stricter %d"):format(#cases, tally.accepted,
        tally.refused, tally.same, #tally.stricter))
      print(table.concat(tally.stricter, "\n"))
    end
  end, 400))
end)
