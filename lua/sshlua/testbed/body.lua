--- Bodies of specs as tasks, the same in plain Lua (a run of their own) and inside sshlua (where a task runs already):
--- with a deadline, with clean-up in reverse order, and a look at what was left. Knows busted; must not know
--- servers.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local task = require("sshlua.task")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

local deferred
-- busted's words, pending among them, are known in the environment of spec files only. The one who calls body() has it.
local words

local function environment_of(fn)
  if getfenv then return getfenv(fn) end -- luacheck: ignore 143 113
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if not name then return nil end
    if name == "_ENV" then return value end
  end
end

local function find_words()
  for level = 3, 12 do
    local info = debug.getinfo(level, "f")
    if not info or words then return end
    local env = environment_of(info.func)
    words = env and env.describe and env or nil
  end
end

--- Calls fn(...) when the present body ends; the last that was deferred first.
---@param fn fun(...)
function M.defer(fn, ...)
  if not deferred then errors.usage(2, "defer: only in a body") end
  local args = task.pack(...)
  deferred[#deferred + 1] = function() fn(unpack(args, 1, args.n)) end
end

--- Ends the present spec as pending.
---@param reason string
function M.skip(reason) error({ skip = reason }, 0) end

local function in_task(fn)
  if task.current() then return fn() end
  return task.run(fn)
end

--- After a turn of the loop: what has ended is counted no more, our own timer is, each time.
local function counts()
  collectgarbage()
  task.sleep(0)
  local s = core.stats()
  return { ops = s.ops, handles = s.handles, live = task.live() }
end

local called = {
  { "live", "task%s" }, { "ops", "operation%s under way" }, { "handles", "handle%s (connections, timers, processes)" },
}

local function above(before)
  local now, parts = counts(), {}
  for _, one in ipairs(called) do
    local n = now[one[1]] - before[one[1]]
    if n > 0 then parts[#parts + 1] = n .. " " .. one[2]:format(n == 1 and "" or "s") end
  end
  return parts[1] and table.concat(parts, ", ")
end

--- What ends by itself (servers seeing our close) gets a moment.
local function check_leaks(before)
  local left
  for _ = 1, 150 do
    left = above(before)
    if not left then return end
    task.sleep(0.02)
  end
  error("left behind: " .. left, 0)
end

local function clean_up(list)
  local failure
  for i = #list, 1, -1 do
    local ok, err = pcall(list[i])
    if not ok then failure = failure or err end
  end
  if failure then error(failure, 0) end
end

--- A plain value for busted, which compares and prints.
local function rethrow(err)
  if not errors.is(err) then error(err, 0) end
  local at = err.at and not err.at:find("/busted/", 1, true) and err.at
  local traceback = err.op ~= "cassette" and rawget(err, "traceback") -- that would be ours, and long
  error(err:describe() .. (at and "\n  at: " .. at or "") .. (traceback and "\n" .. traceback or ""), 0)
end

--- Runs fn(...) as a task with a deadline, and what was deferred; raises what failed, or what was left behind.
---@param seconds number
---@param fn fun(...)
function M.run(seconds, fn, ...)
  local args = task.pack(...)
  local skipped
  local ok, err = pcall(in_task, function()
    local outer, list = deferred, {}
    local before = counts()
    deferred = list
    local done, failure = pcall(task.deadline, {
      seconds = seconds, message = ("the body did not end within %g s"):format(seconds),
    }, fn, unpack(args, 1, args.n))
    local clean, left = pcall(function()
      task.timeout(20, clean_up, list)
      check_leaks(before)
    end)
    deferred = outer
    if not done and type(failure) == "table" and failure.skip then
      skipped = failure.skip
    elseif not done then
      error(failure, 0)
    end
    if not clean then error(left, 0) end
  end)
  if skipped and words then return words.pending(skipped) end
  if not ok then rethrow(err) end
end

--- The body of an `it`, which may wait.
---@param fn fun()
---@param seconds? number|fun(): number its deadline; default 30
---@return fun()
function M.body(fn, seconds)
  find_words()
  return function() M.run(type(seconds) == "function" and seconds() or seconds or 30, fn) end
end

--- Something kept for a whole describe: gives get, and setup and teardown for busted.
---@generic T
---@param start fun(): T
---@param stop fun(value: T)
---@return fun(): T get
---@return fun() setup
---@return fun() teardown
function M.shared(start, stop)
  local value
  return function() return value end, function()
    in_task(function() value = start() end)
  end, function()
    if value then in_task(function() stop(value) end) end
    value = nil
  end
end

--- fn's error, which must be of that kind.
---@param kind sshlua.Kind
---@param fn fun(...)
---@return sshlua.Error
function M.fails(kind, fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "no error was raised; expected kind " .. kind)
  if not errors.is(err) then error("not an Error: " .. tostring(err), 0) end
  if err.kind ~= kind then error(("expected kind %s, got: %s"):format(kind, err:describe()), 0) end
  assert(not err.message:find "[%c]", "a control character in the message")
  return err
end

--- The value of check() as soon as it is true, within 6 s; nil: it is not.
---@generic T
---@param check fun(): T
---@return T?
function M.eventually(check)
  for _ = 1, 300 do
    local value = check()
    if value then return value end
    task.sleep(0.02)
  end
end

return M
