-- Tokens where they are used: generated IdentityFile, CertificateFile, Match exec and ProxyCommand lines through the
-- real ssh and ours. What ssh makes of them it tells with -v, and the commands write down what they were given.
local apply = require "sshlua.ssh_config.apply"
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local files = require "spec.support.files"
local mutator = require "spec.support.mutator"
local openssh = require "spec.support.openssh"
local resolver = require "sshlua.ssh_config.resolver"
local run = require "spec.support.run"
local ssh = require "sshlua"
local task = require "sshlua.task"

local hosts = { "web1", "Web1", "db.example.com", "10.0.0.1", "a.b.c", "x-1_y" }
local names = { "", "", "real.example.com", "%h.example.com", "10.9.8.7", "%%x", "Upper.Case", "::1" }
local all = { "%%", "%C", "%d", "%h", "%i", "%k", "%L", "%l", "%n", "%p", "%r", "%u" } -- %j is newer than the installed ssh
local of_proxies = { "%%", "%h", "%n", "%p", "%r" }
local plain = { "a", "-x", "/", ".", "id_rsa", "@", ":", "_" }
local wrong = { "%z", "%", "%j%" }

-- Tokens and letters by chance; now and then one that there is not.
local function text(r, tokens, environment)
  local parts = {}
  for i = 1, r(5) do
    local how = r(environment and 5 or 4)
    parts[i] = how == 5 and "${HOME}" or how > 1 and tokens[r(#tokens)] or plain[r(#plain)]
  end
  if r(60) == 1 then parts[#parts + 1] = wrong[r(#wrong)] end
  return table.concat(parts)
end

-- A configuration; what its commands write goes to the file `seen`.
local function config(r, seen)
  local lines = {}
  local function add(...) lines[#lines + 1] = string.format(...) end
  local function settings()
    local name = names[r(#names)]
    if name ~= "" then add("HostName %s", name) end
    if r(2) == 1 then add("User %s", r(2) == 1 and "bob" or "al.ice") end
    if r(2) == 1 then add("Port %d", r(65535)) end
    if r(3) == 1 then add("HostKeyAlias Alias%d", r(9)) end
  end
  local before = r(2) == 1 -- what Match exec knows depends on it
  if before then settings() end
  add("Match exec \"echo 'exec %s' >> %s\"", text(r, all), seen)
  for _ = 1, r(3) do add("IdentityFile %s%s", r(4) == 1 and "~/" or "/k/", text(r, all, true)) end
  if r(2) == 1 then add("CertificateFile /c/%s", text(r, all, true)) end
  add("ProxyCommand echo 'proxy %s' | tee -a %s; exit 3", text(r, of_proxies), seen)
  if not before then settings() end
  return table.concat(lines, "\n") .. "\n"
end

-- "identity file PATH type -1", each followed by the same with -cert; certificates are named alone.
local function told(err)
  local list = {}
  for word, path in err:gmatch "debug1: (%l+) file (%S+) type" do
    if word == "certificate" or not path:find "%-cert$" then list[#list + 1] = word .. " " .. path end
  end
  return table.concat(list, "\n")
end

local function ours(options)
  local list = {}
  for _, path in ipairs(options.identity or {}) do list[#list + 1] = "identity " .. path end
  for _, path in ipairs(options.certificate or {}) do list[#list + 1] = "certificate " .. path end
  return table.concat(list, "\n")
end

local function compare(seed)
  local r = mutator.random(seed * 104729 + 11)
  local theirs, mine = files.directory() .. "/theirs" .. seed, files.directory() .. "/ours" .. seed
  local host, made = hosts[r(#hosts)], config(r, theirs)
  local path = files.write("config" .. seed, made, 384)
  local code, _, err = openssh.ssh { "-v", "-F", path, "-o", "BatchMode=yes", host, "true" }
  assert.is_true(code ~= 0)
  core.fs_write_sync(path, (made:gsub("/theirs", "/ours")), 384)
  local _, failure = ssh.try(ssh.connect, host, { ssh_config = path, batch = true, tries = 1 })
  local what = ("seed %d, host %s: %s\n%s%s"):format(seed, host, tostring(failure), made, err)
  assert(errors.is(failure), what)
  local bad = err:find "percent_expand" ~= nil
  assert.equal(bad, errors.is(failure, "config"), what)
  if bad then return 1 end -- how far ssh had come by then is its own affair
  assert.equal("connection_lost", failure.kind, what)
  assert.equal(files.read(theirs), files.read(mine), what)
  assert.truthy(files.read(mine):find "^exec .*\nproxy .*\n$", what)
  assert.equal(told(err), ours(apply.options(resolver.resolve(host, { file = path }))), what)
  for _, name in ipairs { path, theirs, mine } do os.remove(name) end
  return 0
end

local function check(first, last)
  local bad = 0
  files.directory()
  local seeds = {}
  for seed = first, last do seeds[#seeds + 1] = seed end
  task.each(seeds, function(seed) bad = bad + compare(seed) end, { parallel = 4 })
  assert(bad < #seeds / 3, "too many configurations are wrong: " .. bad)
end

describe("tokens", function()
  after_each(files.remove)

  local first = tonumber(os.getenv "SSHLUA_SEED" or "1")

  it("mean to IdentityFile, CertificateFile, Match exec and ProxyCommand what they mean to ssh", run.body(function()
    check(first, first + 59)
  end, 120))

  it("mean that in 3000 more configurations #long", run.body(function() check(first + 1000, first + 3999) end, 1800))
end)
