-- CanonicalizeHostname, CanonicalDomains, CanonicalizeMaxDots, CanonicalizeFallbackLocal, CanonicalizePermittedCNAMEs:
-- generated configurations through the real `ssh -G` and ours, in a name space of mounts with an /etc/hosts of its own,
-- whose first names are canonical names.
local core = require "sshlua.core"
local files = require "spec.support.files"
local mutator = require "spec.support.mutator"
local program = require "spec.support.program"
local run = require "spec.support.run"

local known = [[
127.0.0.1 localhost
10.0.0.1 real.example.com web1.example.com. web1.example.com www.corp.example. www.corp.example
10.0.0.2 plain.example.com. plain.example.com
10.0.0.3 a.b.example.com. a.b.example.com
10.0.0.4 a.b
10.0.0.8 x.a.b.corp.example. x.a.b.corp.example x.a.b.example.com. x.a.b.example.com
10.0.0.5 Front.Corp.Example web2.example.com. web2.example.com
10.0.0.6 db.corp.example. db.corp.example
10.0.0.7 odd_name.x. web3.corp.example. web3.corp.example
2001:db8::1 six.example.com. six.example.com
]]

local hosts = { "web1", "WEB1", "www", "plain", "a.b", "missing", "web1.example.com", "web1.example.com.", "missing.example.com.",
  "10.0.0.1", "127.1", "::1", "localhost", "1.2", "a.b", "x.a.b", "a.b.missing", "web2", "web3", "db", "six", "a.b.example.com", "x%y" }
local domains = { "example.com", "corp.example", "Example.Com", "other.example", "none", "example.com corp.example", "corp.example example.com",
  "other.example corp.example" }
local rules = { "none", "*:*", "*.example.com:*.example.com", "*.corp.example:*.Example.com", "web*:real.*", "*.x:*.y", "*.example.com,*.corp.example:*.x",
  "*.example.com:*.corp.example", "*.x:* *:real.example.com" }

local function config(r)
  local lines = {}
  local function add(...) lines[#lines + 1] = string.format(...) end
  local function of(list) return list[r(#list)] end
  local function maybe(times, ...)
    if r(10) <= times then add(...) end
  end
  maybe(9, "CanonicalizeHostname %s", of { "yes", "yes", "yes", "no", "always", "always" })
  maybe(9, "CanonicalDomains %s", of(domains))
  maybe(6, "CanonicalizeMaxDots %d", r(4) - 1)
  maybe(4, "CanonicalizeFallbackLocal %s", of { "yes", "no" })
  maybe(6, "CanonicalizePermittedCNAMEs %s", of(rules))
  maybe(2, of { "ProxyJump jump", "ProxyCommand none", "ProxyCommand nc %%h %%p", "ProxyJump none" })
  maybe(2, "HostName %s", of { "%%h.example.com", "plain", "web1.example.com.", "10.0.0.9" })
  maybe(2, "AddressFamily %s", of { "inet", "inet6", "any" })
  for _ = 1, r(3) do
    add("Match %s", of { "canonical", "final", "!canonical", "!final host *.example.com", "canonical host real.*", "final host plain*", "host web1*",
      "originalhost w*", "canonical all", "host *.corp.example" })
    add("  %s", of { "Port 7", "User bob", "Port 9", "HostName later.example.com", "CanonicalizeHostname no", "ProxyJump later", "CanonicalDomains none",
      "CanonicalizePermittedCNAMEs *:*" })
  end
  return table.concat(lines, "\n") .. "\n"
end

local ours = [[
local ssh, directory = require "sshlua", ...
for line in io.lines(directory .. "/list") do
  local number, host = line:match "^(%d+) (.*)$"
  local ok, r = pcall(ssh.config.resolve, host, { file = directory .. "/config" .. number })
  local out = assert(io.open(directory .. "/ours" .. number, "w"))
  out:write(ok and "0\n" .. tostring(r) or (ssh.is_error(r) and "255\n" or "broken\n") .. tostring(r))
  out:close()
end
]]

local shown = { host = true, hostname = true, port = true, user = true, proxyjump = true, proxycommand = true, addressfamily = true,
  canonicalizehostname = true, canonicaldomains = true, canonicalizemaxdots = true, canonicalizefallbacklocal = true,
  canonicalizepermittedcnames = true }

-- Status, and the settings in question.
local function outcome(text)
  local status, rest = text:match "^(%S*)\n(.*)$"
  local out = { status }
  for line in (status == "0" and rest or ""):gmatch "[^\n]+" do
    if shown[line:match "^%S+":lower()] then out[#out + 1] = line end
  end
  return table.concat(out, "\n")
end

local function check(first, last)
  local directory = files.directory()
  local script = { ("cd %s && mount --bind hosts /etc/hosts && mount --bind resolv /etc/resolv.conf && mount --bind nsswitch /etc/nsswitch.conf || exit 77")
    :format(directory) }
  files.write("hosts", known)
  files.write("resolv", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
  files.write("nsswitch", "hosts: files\n")
  files.write("ours.lua", ours)
  local list, cases = {}, {}
  for seed = first, last do
    local r = mutator.random(seed * 7907 + 3)
    local host = hosts[r(#hosts)]
    cases[seed] = ("host %s\n%s"):format(host, config(r))
    files.write("config" .. seed, cases[seed]:match "\n(.*)", 384)
    list[#list + 1] = ("%d %s\n"):format(seed, host)
    script[#script + 1] = ("r=$(ssh -F config%d -G '%s' 2>/dev/null); printf '%%s\\n%%s\\n' $? \"$r\" > theirs%d"):format(seed, host, seed)
  end
  script[#script + 1] = '"$0" ours.lua ' .. directory
  files.write("list", table.concat(list))
  files.write("script", table.concat(script, "\n") .. "\n")
  local child = program.run({}, { shell = ('exec unshare -m sh -c ". %s/script" "$0"'):format(directory) })
  if child.code == 77 or not core.fs_stat_sync(directory .. "/theirs" .. first) then run.skip "no name space for mounts here" end
  local failures, bad, moved = {}, 0, 0
  for seed = first, last do
    local theirs = files.read(directory .. "/theirs" .. seed)
    local mine = files.read(directory .. "/ours" .. seed) or "nothing\n" .. child.err
    if outcome(theirs) ~= outcome(mine) then
      failures[#failures + 1] = ("seed %d, %s\n-- ssh: %s\n-- ours: %s\n%s"):format(seed, cases[seed], outcome(theirs),
        outcome(mine), mine:match "^255.*" or "")
    end
    if outcome(theirs) ~= "0" and outcome(theirs):sub(1, 2) ~= "0\n" then bad = bad + 1 end
    if theirs:find "\nhostname %S+%.%l+%.%l+" or theirs:find "\nhostname %S+%.example" then moved = moved + 1 end
  end
  assert.equal("", table.concat(failures, "\n", 1, math.min(3, #failures)) .. (#failures > 0 and #failures .. " in all" or ""))
  assert(bad < (last - first) / 2 and moved > (last - first) / 10, bad .. " are wrong, " .. moved .. " have another name")
end

describe("canonicalization", function()
  after_each(files.remove)

  local first = tonumber(os.getenv "SSHLUA_SEED" or "1")

  it("leads where ssh's leads, for 100 configurations", run.body(function() check(first, first + 99) end, 120))

  it("and for 3000 more #long", run.body(function() check(first + 1000, first + 3999) end, 1800))
end)
