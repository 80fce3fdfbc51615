--- Following files of hosts: one stream of lines from all of them, in order of arrival, over rotation and lost
--- connections. Knows processes of hosts; must not know how hosts connect.
---
--- A small sh on the host keeps the file open and prints what is new. When another file has taken the name, or the file
--- has become shorter, it prints the rest of the old one, and a mark with the new file's number and the offset; so we
--- know at any time how far we are, and go on there after a lost connection. When its input ends it goes away.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local fresh = require("sshlua.fresh")
local log = require("sshlua.log")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")
local tasks = require("sshlua.task")

local M = {}

local LINE_MAX = 1024 * 1024
local WAITING_MAX = 64 -- pieces that wait to be taken: then the hosts wait, too
local STDERR_MAX = 4096

-- $1 file, $2 mark, $3 seconds, $4 lines to begin with, or "-", $5 number and $6 offset of where we were.
local SCRIPT = [[
f=$1 m=$2 every=$3 lines=$4 ino=$5 off=$6 last=0 told=
exec 9<&0 </dev/null
{ cat <&9 >/dev/null; kill $$; } 2>/dev/null &
look() { set -- $(ls -lniLd -- "$f" 2>/dev/null); now=$1 size=$6; }
begin() {
  exec 8<"$f"
  printf '%s %s %s\n' "$m" "$now" "$1"
  tail -c "+$(($1 + 1))" <&8
  cur=$now last=$size
}
readable() {
  [ -r "$f" ] && return 0
  [ -n "$told" ] || [ -z "$now" ] || { told=1; printf '%s: permission denied\n' "$f" >&2; }
  return 1
}
look
if readable; then
  if [ -n "$ino" ]; then
    [ "$now" = "$ino" ] && [ "$size" -ge "$off" ] || off=0
  elif [ "$lines" = 0 ]; then
    off=$size
  else
    i=0
    while :; do
      look; a=$size n=$(tail -n "$lines" -- "$f" | wc -c); look
      off=$((a - n)); i=$((i + 1))
      [ "$a" = "$size" ] && break
      [ $i -lt 5 ] || { off=$a; break; }
    done
  fi
  begin "$off"
else
  cur=
  printf '%s - 0\n' "$m"
fi
while sleep "$every"; do
  look
  if [ -z "$now" ]; then
    [ -z "$cur" ] || cat <&8
  elif [ "$now" != "$cur" ]; then
    [ -z "$cur" ] || cat <&8
    readable && begin 0
  elif [ "$size" -lt "$last" ]; then
    begin 0
  elif [ "$size" != "$last" ]; then
    cat <&8
  fi
  [ -z "$now" ] || last=$size
done
]]

--- Lines ---------------------------------------------------------------------------------------------------------

--- As much of a long line as is whole characters.
local function whole(text)
  local at = #text
  while at > #text - 4 and at > 0 and text:byte(at) >= 128 and text:byte(at) < 192 do at = at - 1 end
  if at > 0 and text:byte(at) >= 192 then
    local lead = text:byte(at)
    local wanted = lead >= 240 and 4 or lead >= 224 and 3 or 2
    if #text - at + 1 < wanted then return text:sub(1, at - 1), text:sub(at) end
  end
  return text, ""
end

--- One source: cuts bytes into lines and keeps the place in the file.
local function splitter(mark, place)
  local parts, size = {}, 0
  local function counted(line, list, ended)
    local at = mark and line:find(mark, 1, true)
    if not at then
      list[#list + 1] = line
      if place.offset then place.offset = place.offset + #line + (ended and 1 or 0) end
      return
    end
    if at > 1 then list[#list + 1] = line:sub(1, at - 1) end
    local number, offset = line:match("^ (%S+) (%d+)", at + #mark)
    place.number = number ~= "-" and number or nil
    place.offset = place.number and tonumber(offset)
  end
  return function(bytes)
    local list, from = {}, 1
    while true do
      local at = bytes:find("\n", from, true)
      if not at then break end
      parts[#parts + 1] = bytes:sub(from, at - 1)
      counted(#parts == 1 and parts[1] or table.concat(parts), list, true)
      parts, size, from = {}, 0, at + 1
    end
    if from <= #bytes then
      parts[#parts + 1] = bytes:sub(from)
      size = size + #bytes - from + 1
    end
    if size > LINE_MAX then
      local now, later = whole(table.concat(parts))
      counted(now, list, false)
      parts, size = { later ~= "" and later or nil }, #later
    end
    return list
  end
end

--- One host ------------------------------------------------------------------------------------------------------

local function publish(self, host, list, stream)
  if list[1] == nil then return end
  list.host, list.stream, list.at = host.name, stream, self.clock + core.now()
  self.queue:put(list)
end

local function read_errors(self, host, p)
  local split, total = splitter(nil, {}), 0
  for bytes in function() return p.stderr:read() end do
    total = total + #bytes
    if total <= STDERR_MAX then publish(self, host, split(bytes), "stderr") end
  end
end

--- One connection's worth; returns when the follower has ended, which it never does by itself.
local function follow(self, host, path, place)
  local mark = fresh.nonce()
  local opts = self.opts
  local p = host:spawn({
    "sh", "-c", SCRIPT, "sh", path, mark, tostring(opts.interval or 0.5), tostring(opts.lines or 0), place.number or "",
    place.offset and ("%d"):format(place.offset) or "",
  })
  local ok, err = pcall(tasks.scope, function(s)
    s:spawn(read_errors, self, host, p)
    local split = splitter(mark, place)
    for bytes in function() return p.stdout:read() end do
      publish(self, host, split(bytes), "stdout")
    end
  end)
  p:close()
  if not ok then error(err, 0) end
  if not p.session:is_alive() then error(p.session:_lost(), 0) end
  errors.raise({
    kind = "channel", host = host.name, op = "tail", path = path, message = ("the follower of %s ended"):format(path),
    hint = "is there a POSIX sh with ls, tail, cat and sleep on the host?",
  })
end

local gone_for_now = {
  connection_lost = true, closed = true, connect = true, resolve = true, timeout = true, channel = true,
  handshake = true,
}

local function tell(self, host, err, again)
  if log.wants(1) then log.emit(1, host.name, "tail", { problem = tostring(err), again = tostring(again) }) end
  if self.opts.on_error then self.opts.on_error(err, host.name, again) end
end

--- Follows one host, over and over.
local function keep_following(self, host, path)
  local place, failures = {}, 0
  while true do
    local before = place.offset
    local ok, err = pcall(follow, self, host, path, place)
    if not ok then
      if errors.is(err, "cancelled") then error(err, 0) end
      failures = place.offset ~= before and 1 or failures + 1
      local again = errors.is(err) and gone_for_now[err.kind] and (err.kind ~= "channel" or failures < 5) or false
      tell(self, host, err, again)
      if not again then return err end
      scope.sleep(math.min(self.opts.retry or 30, 0.5 * 2 ^ math.min(failures, 10)) * (0.75 + math.random() / 2))
    end
  end
end

--- The stream ----------------------------------------------------------------------------------------------------

---@class sshlua.TailEvent
---@field host string
---@field line string without its newline
---@field at number seconds since 1970 when it came
---@field stream "stdout"|"stderr" stderr: what the host's tools complain about

---@class sshlua.Tail what a for loop takes; close() ends it earlier
local Tail = {}
local tail_mt = { __index = Tail, __name = "sshlua.Tail" }

local function next_list(self)
  local ok, list = pcall(self.queue.get, self.queue)
  if ok and list then return list end
  self:close()
  if not ok then error(list, 0) end
  if self.failure then error(self.failure, 0) end
end

--- The next line of any host; waits for it. Raises when no host can be followed any more.
---@return sshlua.TailEvent?
function Tail:next()
  local list = self.list
  while not list or self.at > #list do
    if self.closed then return nil end
    list = next_list(self)
    self.list, self.at = list, 1
    if not list then return nil end
  end
  local line = list[self.at]
  self.at = self.at + 1
  return { host = list.host, line = line, at = list.at, stream = list.stream }
end
tail_mt.__call = Tail.next

--- Ends it: the hosts' followers go away. Idempotent. In Lua 5.4 a for loop that is left does this.
function Tail:close()
  if self.closed then return end
  self.closed = true
  task.cancel(self.scope, errors.new({ kind = "cancelled", message = "the tail was closed" }))
  self.queue:close()
end
tail_mt.__close = Tail.close

local tail_options = {
  lines = "number", interval = "seconds", retry = "seconds", on_error = "function",
}

local function host_ended(self, host, child)
  self.running = self.running - 1
  local err = child.result and child.result[1] or child.error
  if err and not errors.is(err, "cancelled") then
    self.failure = self.failure or errors.wrap(err, { host = host.name })
  end
  if self.running > 0 or self.closed then return end
  if self.count > 1 then
    self.failure = errors.new({
      kind = "fleet", op = "tail", cause = self.failure, message = "no host can be followed any more",
    })
  end
  self.queue:close()
end

---@class sshlua.TailOptions
---@field lines? integer how many of the last lines come first, default 0
---@field interval? number seconds between looks at the file, default 0.5
---@field retry? number seconds between attempts to reach a lost host, at most; default 30
---@field on_error? fun(err: sshlua.Error, host: string, again: boolean) a host was lost; again: it is tried again

--- Follows a file on hosts.
---@param hosts sshlua.Host[]
---@param path string
---@param opts? sshlua.TailOptions
---@return sshlua.Tail
function M.new(hosts, path, opts, level)
  level = (level or 1) + 1
  opts = options.check(opts, tail_options, level)
  if type(path) ~= "string" or path == "" or path:find("[%z\n]") then
    errors.usage(level, "tail: path of a file expected")
  end
  if opts.lines and not (opts.lines >= 0 and opts.lines % 1 == 0) then
    errors.usage(level, "option 'lines': a count expected")
  end
  if opts.interval and not (opts.interval >= 0.05 and opts.interval <= 3600) then
    errors.usage(level, "option 'interval': 0.05 to 3600 s expected")
  end
  -- The followers stand beside the caller's scope: a for loop has no end that Lua 5.1 would tell us of. The end of the
  -- run closes them at the latest.
  local self = setmetatable({
    opts = opts, queue = sync.queue(WAITING_MAX), scope = task.new_scope(nil), running = #hosts, count = #hosts,
    clock = os.time() - core.now(), at = 1,
  }, tail_mt)
  tasks.at_run_end(function() self:close() end)
  for _, host in ipairs(hosts) do
    task.spawn_watched(self.scope, function(child) host_ended(self, host, child) end, keep_following, self, host, path)
  end
  return self
end

--- What a for loop takes: the iterator, and in Lua 5.4 what is closed when the loop is left.
function M.loop(tail) return tail, nil, nil, tail end

return M
