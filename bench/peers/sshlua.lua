-- A client of the common command line (bench/README.md) on sshlua itself, through nothing but
-- its public API: a task for each host or channel.
local ssh = require "sshlua"

local verb, opt = arg[1], {}
for i = 2, #arg, 2 do
  opt[arg[i]:gsub("^%-%-", "")] = arg[i + 1]
end
local parallel, count, bytes = tonumber(opt.parallel), tonumber(opt.count), tonumber(opt.bytes)

local hosts = {}
for line in io.lines(opt.hosts) do
  hosts[#hosts + 1] = ("%s@%s:%s"):format(opt.user, line, opt.port)
end

local function connect(host)
  return ssh.connect(host, {
    identity = opt.key, known_hosts = opt["known-hosts"], agent = false,
    ssh_config = false,
    ciphers = opt.cipher, timeout = 60,
  })
end

local function expect(result)
  if result.code ~= 0 then error("exit status " .. tostring(result.code)) end
  return result
end

local function expect_bytes(moved)
  if moved ~= bytes then error(("%s of %d bytes"):format(moved, bytes)) end
  return moved
end

local function connect_and_exec(host)
  local session = connect(host)
  expect(session:exec(opt.command))
  session:close()
end

local function slice(list, from, to)
  local part = {}
  for i = from, to do part[#part + 1] = list[i] end
  return part
end

local function halt(open)
  print("open " .. open)
  io.stdout:flush()
  io.read()
end

local verbs = {}

function verbs.one()
  connect_and_exec(hosts[1])
  return 1
end

function verbs.fanout()
  ssh.each(hosts, connect_and_exec, { parallel = parallel })
  return #hosts
end

-- As scripts say it; connections are not kept.
function verbs.fleet()
  local fleet = ssh.hosts(hosts, {
    identity = opt.key, known_hosts = opt["known-hosts"], agent = false, ssh_config = false, ciphers = opt.cipher,
  })
  return #fleet:run(opt.command, { parallel = parallel, keep = false }):ok()
end

function verbs.exec()
  local session, turns = connect(hosts[1]), {}
  for i = 1, count do turns[i] = i end
  ssh.each(turns, function() expect(session:exec(opt.command)) end, { parallel = parallel })
  session:close()
  return count
end

function verbs.down()
  local session = connect(hosts[1])
  local process, received = session:spawn(opt.command), 0
  for block in function() return process.stdout:read() end do
    received = received + #block
  end
  expect(process:wait())
  session:close()
  return expect_bytes(received)
end

function verbs.up()
  local session = connect(hosts[1])
  local process, left = session:spawn(opt.command), bytes
  local block = ("\0"):rep(256 * 1024)
  while left > 0 do
    local piece = left < #block and block:sub(1, left) or block
    process.stdin:write(piece)
    left = left - #piece
  end
  process.stdin:close_write()
  local arrived = process.stdout:read(64)
  expect(process:wait())
  session:close()
  return expect_bytes(tonumber(arrived))
end

function verbs.idle()
  local sessions = {}
  halt(0)
  for _, open in ipairs { math.floor(count / 2), count } do
    local more = slice(hosts, #sessions + 1, open)
    for _, session in ipairs(ssh.map(more, connect, { parallel = parallel })) do
      sessions[#sessions + 1] = session
    end
    halt(open)
  end
  for _, session in ipairs(sessions) do session:close() end
  return #sessions
end

-- A dialogue with a device on each host; count commands, the answer to each is four pages that name the host's number.
local function talk(host, number)
  local session = connect(host)
  local command = opt.command:gsub("TAG", "sw" .. number)
  local t = session:shell { profile = "cisco_nxos", command = command, timeout = 120 }
  for i = 1, count do
    local out = t:cmd "show long"
    local _, lines = out:gsub("  sw" .. number .. " line %d+\n", "")
    if lines ~= 64 or #out ~= #(("  sw%d line "):format(number)) * 65 + 185 then
      error(("dialogue %d, command %d: %d lines"):format(number, i, lines))
    end
  end
  t:close()
  session:close()
end

function verbs.dialogue()
  local numbers = {}
  for i = 1, #hosts do numbers[i] = i end
  ssh.each(numbers, function(i) talk(hosts[i], i) end, { parallel = parallel })
  return #hosts
end

local function host_of(name)
  return ssh.host(name, {
    identity = opt.key, known_hosts = opt["known-hosts"], agent = false, ssh_config = false, ciphers = opt.cipher,
    host_key_alias = "bench", timeout = 60,
  })
end

function verbs.put()
  host_of(hosts[1]):put(opt.from, opt.to)
  return count
end

function verbs.get()
  host_of(hosts[1]):get(opt.from, opt.to)
  return count
end

-- One file to many hosts at once, each under a name of its own.
function verbs.spread()
  local list = {}
  for i, name in ipairs(hosts) do list[i] = { host = host_of(name), to = ("%s.%d"):format(opt.to, i) } end
  ssh.each(list, function(each) each.host:put(opt.from, each.to, { fsync = false, buffer = 262144 }) end,
    { parallel = parallel })
  return count
end

if not verbs[verb] then error("unknown verb " .. tostring(verb), 0) end
print(("ok %d"):format(verbs[verb]()))
