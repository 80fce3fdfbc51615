--- Processes of this machine: running short helper programs, finding everything that descends from a process or
--- carries a
--- mark in its environment, and ending it. Knows /proc and ps; must not know what the processes are for.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local await = task.await

--- What comes from a socket until its end. `on_text` gets all of it each time there is more.
---@param on_text? fun(text: string)
---@return string
function M.read_all(socket, on_text)
  local parts = {}
  while true do
    local bytes = await(socket.read, socket, 65536)
    if not bytes then return table.concat(parts) end
    parts[#parts + 1] = bytes
    if on_text then on_text(table.concat(parts)) end
  end
end

local function talk(proc, input)
  if input then
    local stdin = proc:stdin()
    pcall(await, stdin.write, stdin, input)
    stdin:close()
  end
  local out = M.read_all(proc:stdout())
  local status = await(proc.wait, proc)
  return out, status
end

--- A helper that is given up is killed and waited for: it must not write where we are clearing up.
local function run(args, input)
  local proc, err = core.spawn({
    args = args, stdin = input and "pipe" or "null", stdout = "pipe", stderr = "null", env = M.environment(),
  })
  if not proc then errors.raise(errors.from(err)) end
  local ok, out, status = pcall(talk, proc, input)
  if ok then return out, status end
  proc:kill("KILL")
  scope.shield(await, proc.wait, proc)
  error(out, 0)
end

--- Runs a helper program to its end, 20 s at most; `input` goes to its standard input and is not shown anywhere.
---@param args string[]
---@param input? string
---@return string stdout, integer|nil status
function M.run(args, input) return scope.timeout(20, run, args, input) end

--- The same, raising when the program fails.
function M.must_run(args, input)
  local out, status = M.run(args, input)
  if status ~= 0 then
    errors.raise({ kind = "io", message = ("%s failed with status %s"):format(args[1], tostring(status)) })
  end
  return out
end

--- A plain environment for helpers and servers, independent of the user's.
---@param extra? string more "NAME=VALUE"
---@return string[]
function M.environment(extra)
  return { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", extra }
end

local function read_file(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read(1048576)
  f:close()
  return text
end

--- pid -> {parent=, name=}, without zombies; from /proc.
local function table_from_proc(entries)
  local found = {}
  for _, entry in ipairs(entries) do
    local pid = tonumber(entry.name)
    local stat = pid and read_file("/proc/" .. entry.name .. "/stat")
    local name, state, parent = (stat or ""):match("^%d+ %((.*)%) (%a) (%d+)")
    if name and state ~= "Z" and state ~= "X" then found[pid] = { parent = tonumber(parent), name = name } end
  end
  return found
end

local function table_from_ps()
  local found = {}
  local out = M.run({ "ps", "-A", "-o", "pid=,ppid=,stat=,comm=" })
  for pid, parent, state, name in out:gmatch("(%d+)%s+(%d+)%s+(%S+)%s+([^\n]*)") do
    if state:sub(1, 1) ~= "Z" then
      found[tonumber(pid)] = { parent = tonumber(parent), name = name:match("[^/]*$") }
    end
  end
  return found
end

--- All living processes: pid -> {parent=, name=}.
---@return table<integer, {parent: integer, name: string}>
function M.list()
  local ok, entries = pcall(await, core.fs_readdir, "/proc")
  local found = ok and table_from_proc(entries)
  if found and next(found) then return found end
  return table_from_ps()
end

--- Those of `all` that are one of the roots or descend from one; pid -> true.
---@param all table<integer, {parent: integer}>
---@param roots table<integer, any>
function M.tree(all, roots)
  local inside = {}
  local function belongs(pid)
    if not all[pid] then return false end
    if inside[pid] == nil then
      inside[pid] = false -- a circle cannot be, but a table read in pieces may show one
      inside[pid] = roots[pid] ~= nil or belongs(all[pid].parent)
    end
    return inside[pid]
  end
  local tree = {}
  for pid in pairs(all) do
    if belongs(pid) then tree[pid] = true end
  end
  return tree
end

--- Those of `all` that were started with the environment variable `mark` ("NAME=VALUE"); Linux only, elsewhere none.
function M.marked(all, mark)
  local found, self = {}, core.getpid()
  for pid in pairs(all) do
    local environ = pid ~= self and read_file(("/proc/%d/environ"):format(pid))
    if environ and ("\0" .. environ .. "\0"):find("\0" .. mark .. "\0", 1, true) then found[pid] = true end
  end
  return found
end

--- Ends every process that `find` names (pid -> true): asks first, then kills, and looks again until there is none.
--- True
--- when all are gone; bounded by about 4 seconds.
---@param find fun(): table<integer, true>
---@return boolean
function M.end_all(find)
  local started, pause, hard = core.now(), 0.01, false
  while true do
    local pids = find()
    if next(pids) == nil then return true end
    local age = core.now() - started
    if age > 4 then return false end
    if age == 0 or hard or age > 0.5 then
      hard = age > 0.5
      for pid in pairs(pids) do
        core.kill(pid, hard and "KILL" or "TERM")
        if not hard then core.kill(pid, "CONT") end -- a stopped process hears TERM when it goes on
      end
    end
    scope.sleep(pause)
    pause = math.min(pause * 2, 0.1)
  end
end

return M
