--- Who goes on next: tasks in the order in which they became ready, each with what it is resumed with. Knows the loop,
--- which has its turn now and then; must not know coroutines: the step that resumes a task is core.lua's.

local loop = require("sshlua.loop")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143
local select = select

--- Tasks resumed in one go before the loop gets its turn: tasks that feed each other must not stop the clock.
local STEPS_PER_TURN = 1000

local entries, head, tail = {}, 1, 0
local draining = false -- somebody below us on the stack empties the list
local later = false -- the loop will
local step -- resumes one task

--- Who resumes: step(task, ...).
function M.resume_with(fn) step = fn end

--- What `put` takes: the task as it waits now, and what it is resumed with.
function M.entry(task, ...) return { n = select("#", ...), task = task, turn = task.turn, ... } end

--- Calls nothing: it either happens or, with a full stack, does not.
function M.put(entry)
  tail = tail + 1
  entries[tail] = entry
end

function M.add(task, ...)
  tail = tail + 1
  entries[tail] = { n = select("#", ...), task = task, turn = task.turn, ... }
end

local function drain()
  draining, later = true, false
  local steps = 0
  while head <= tail and steps < STEPS_PER_TURN do
    local entry = entries[head]
    entries[head] = nil
    head = head + 1
    steps = steps + 1
    local task = entry.task
    -- Out of date: the wait that this was for was left by an error of the stack.
    if not task.ended and entry.turn == task.turn then step(task, unpack(entry, 1, entry.n)) end
  end
  if head > tail then
    if tail > STEPS_PER_TURN then entries = {} end -- tables do not shrink
    head, tail = 1, 0
  else
    later = true
    loop.soon(drain)
  end
  draining = false
  loop.kick()
end

--- Resumes them, from the top level only: a task that wakes another goes on first.
function M.go()
  if not draining and not later and head <= tail then drain() end
end

--- The same in the loop's next turn.
function M.go_soon()
  if draining or later or head > tail then return end
  later = true
  loop.soon(drain)
end

--- As if nobody below us on the stack emptied the list; returns what `inside` takes afterwards.
function M.outside()
  local was = draining
  draining = false
  return was
end

function M.inside(was) draining = was end

return M
