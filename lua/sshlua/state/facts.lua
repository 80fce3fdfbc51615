--- facts: what a host is, asked in one command: system, kernel, processors, memory, addresses, tools. What the host
--- says is parsed here, with bounds; what it does not say is nil.

local core = require("sshlua.core")
local Result = require("sshlua.result").Result
local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local json = require("sshlua.json")
local options = require("sshlua.options")

local M = {}

local SCRIPT = [[
file() { [ ! -r "$2" ] || { printf '\n%s %s ' "$m" "$1"; head -c "$3" "$2"; }; }
is() { command -v "$1" >/dev/null 2>&1; }
say hostname "$(uname -n)"
say fqdn "$(hostname -f 2>/dev/null)"
say system "$(uname -s)"
say kernel "$(uname -r)"
say arch "$(uname -m)"
for f in /etc/os-release /usr/lib/os-release; do
  [ ! -r "$f" ] || { file release "$f" 16384; break; }
done
[ ! -r /etc/alpine-release ] || file alpine /etc/alpine-release 64
say user "$(id -un)"
say uid "$(id -u)"
say home "${HOME-}"
say shell "${SHELL-}"
say time "$(date +%s)"
c=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || c=$(nproc 2>/dev/null) ||
  c=$(grep -c '^processor' /proc/cpuinfo 2>/dev/null) || c=$(sysctl -n hw.ncpu 2>/dev/null)
say cpus "$c"
if [ -r /proc/meminfo ]; then file meminfo /proc/meminfo 1024
else say bytes "$(sysctl -n hw.memsize 2>/dev/null || sysctl -n hw.physmem 2>/dev/null)"; fi
file uptime /proc/uptime 64
file load /proc/loadavg 64
file boot_id /proc/sys/kernel/random/boot_id 64
printf '\n%s addresses ' "$m"
if is ip; then ip -o addr show 2>/dev/null | head -c 65536
elif is ifconfig; then ifconfig -a 2>/dev/null | head -c 65536; fi
p=
for name in apt-get dnf microdnf zypper yum apk pacman xbps-install emerge brew pkg; do
  [ -n "$p" ] || ! is "$name" || p=$name
done
say packages "$p"
if [ -d /run/systemd/system ]; then i=systemd
elif is rc-service; then i=openrc
elif is launchctl; then i=launchd
elif [ -d /etc/init.d ]; then i=sysv
else i=; fi
say init "$i"
for name in python3 lua perl; do
  ! is "$name" || printf '\n%s tool %s' "$m" "$name"
done
finish
]]

local function line_of(text, max)
  if not text then return nil end
  local line = text:match("^%s*([^\r\n]*)")
  line = core.clean((line:gsub("%s+$", "")))
  if line == "" or #line > (max or 256) then return nil end
  return line
end

local function number_of(text, pattern, max)
  local digits = text and text:match(pattern)
  local n = digits and #digits <= 16 and tonumber(digits)
  return n and n <= (max or 2 ^ 53) and n or nil
end

--- NAME=value lines as os-release has them, quotes gone.
local function release(text)
  local found = {}
  for name, value in (text or ""):gmatch("([%u_]+)=([^\n]*)") do
    local quoted = value:match('^"(.*)"%s*$') or value:match("^'(.*)'%s*$")
    found[name] = found[name] or line_of(((quoted or value):gsub("\\(.)", "%1")))
  end
  return found
end

local ADDRESSES_MAX = 1000

--- Addresses other than those of the loopback, in order, of what ip -o or ifconfig prints.
local function addresses(text)
  local four, six = json.array({}), json.array({})
  local interface
  for line in (text or ""):gmatch("[^\n]+") do
    interface = line:match("^%d+: ([^%s:]+)") or line:match("^(%S-):? ") or interface
    local a = line:match("%f[%w]inet (%d+%.%d+%.%d+%.%d+)") or line:match("inet addr:(%d+%.%d+%.%d+%.%d+)")
    local b = line:match("%f[%w]inet6 ([%x:]+)") or line:match("inet6 addr: ([%x:]+)")
    if a and not a:find("^127%.") and #four < ADDRESSES_MAX then four[#four + 1] = a end
    if b and b ~= "::1" and not b:lower():find("^fe80") and #six < ADDRESSES_MAX then six[#six + 1] = b end
  end
  return four, six
end

---@class sshlua.Facts
---@field hostname? string
---@field fqdn? string
---@field system? string Linux, Darwin, ...
---@field os? string debian, alpine, ...: ID of os-release
---@field version? string VERSION_ID of os-release
---@field os_name? string for people
---@field kernel? string
---@field arch? string
---@field cpus? integer
---@field memory? integer bytes
---@field memory_available? integer bytes
---@field uptime? number seconds
---@field load? number of the last minute
---@field boot_id? string
---@field addresses string[] IPv4, without the loopback's
---@field addresses6 string[] IPv6, without the loopback's and those of links
---@field package_manager? string
---@field init? string systemd, openrc, sysv, launchd
---@field tools string[] python3, lua, perl: those that are there
---@field user? string
---@field uid? integer
---@field home? string
---@field shell? string
---@field clock? integer its seconds since 1970

local function facts_of(records)
  local os, four, six = release(records.release), addresses(records.addresses)
  local memory = records.meminfo or ""
  local kib, free = number_of(memory, "MemTotal:%s*(%d+)", 2 ^ 42), number_of(memory, "MemAvailable:%s*(%d+)", 2 ^ 42)
  local tools = json.array({})
  for i, name in ipairs(records.tool or {}) do tools[i] = line_of(name, 20) end
  return {
    hostname = line_of(records.hostname), fqdn = line_of(records.fqdn), system = line_of(records.system),
    os = os.ID, version = line_of(records.alpine) or os.VERSION_ID, os_name = os.PRETTY_NAME,
    kernel = line_of(records.kernel), arch = line_of(records.arch), cpus = number_of(records.cpus, "^(%d+)", 1e6),
    memory = kib and kib * 1024 or number_of(records.bytes, "^(%d+)"), memory_available = free and free * 1024,
    uptime = number_of(records.uptime, "^(%d+%.?%d*)", 1e12), load = number_of(records.load, "^(%d+%.?%d*)", 1e9),
    boot_id = line_of(records.boot_id, 64), addresses = four, addresses6 = six,
    package_manager = line_of(records.packages), init = line_of(records.init), tools = tools,
    user = line_of(records.user), uid = number_of(records.uid, "^(%d+)", 2 ^ 32), home = line_of(records.home, 4096),
    shell = line_of(records.shell, 4096), clock = number_of(records.time, "^(%d+)", 1e12),
  }
end

local function run(host, plan, opts)
  local started = core.now()
  local records, r = frame.ask(host, plan, opts, false)
  local facts = facts_of(records)
  return Result.own({
    host = host.name, port = host.port, op = "facts", cmd = "facts", code = 0, safe = true,
    facts = facts, value = facts, stdout = json.encode(facts) .. "\n", stderr = r.stderr, bytes = r.bytes,
    duration = core.now() - started,
  })
end

--- What a host is, in its Result's `facts`; stdout is the same as JSON.
function M.facts(opts, level)
  options.check(opts, frame.options, level + 1)
  if opts.diff ~= nil then errors.usage(level + 1, "option 'diff': facts change nothing") end
  return { op = "facts", label = "facts", script = SCRIPT, lists = { tool = true }, run = run }
end

return M
