--- `require` in Lua: the one of Lua 5.4 in every respect but two. The module's main chunk may wait; and because it may,
--- two tasks can want a module at the same time: the second waits for the first. A circle of requires, also one through
--- several tasks, is an error that names it.
--- (dofile and loadfile need no replacement: those of Lua 5.4 can be waited in.)

local M = {}

local package, rawget, type, error, tostring = package, rawget, type, error, tostring

local loaded = package.loaded -- the registry's table, whatever a script assigns to package.loaded later
local loading = {} -- name -> { name=, task=, outer=, waiters= } while its main chunk runs
local innermost = setmetatable({}, { __mode = "k" }) -- task -> the record it is loading now; around it is .outer
local waits_for = setmetatable({}, { __mode = "k" }) -- task -> the record of another task that it waits for

--- The library is loaded through this require itself, so it is asked for late.
local function task_library() return rawget(loaded, "sshlua.task.core") end

local function current_task()
  local task = task_library()
  return task and task.current() or "outside"
end

local function find_loader(name)
  local searchers = package.searchers
  if type(searchers) ~= "table" then error("'package.searchers' must be a table", 3) end
  local tried = {}
  local i = 1
  while rawget(searchers, i) ~= nil do
    local loader, data = rawget(searchers, i)(name)
    if type(loader) == "function" then return loader, data end
    if type(loader) == "string" or type(loader) == "number" then tried[#tried + 1] = "\n\t" .. loader end
    i = i + 1
  end
  error(("module '%s' not found:%s"):format(name, table.concat(tried)), 3)
end

--- Circles ------------------------------------------------------------------------------------------------------------

--- "a -> b -> a": `name` is wanted while the task is inside its loading.
local function own_circle(name, me)
  local names = { name }
  local record = innermost[me]
  while record and record.name ~= name do
    table.insert(names, 1, record.name)
    record = record.outer
  end
  table.insert(names, 1, name)
  return table.concat(names, " -> ")
end

--- Would waiting for the record be waiting for oneself, through other tasks? Then the names on the way.
local function common_circle(record, me)
  local names = {}
  while record do
    names[#names + 1] = record.name
    if record.task == me then return table.concat(names, " -> ") end
    record = waits_for[record.task]
  end
end

--- Another task is loading it: returns when that has ended, well or not.
local function wait_for(record, me)
  local circle = common_circle(record, me)
  if circle then error(("circular require through several tasks: %s"):format(circle), 3) end
  if me == "outside" then error(("module '%s' is being loaded by a task"):format(record.name), 3) end
  waits_for[me] = record
  local ok, err = pcall(task_library().await, function(done) table.insert(record.waiters, done) end)
  waits_for[me] = nil
  if not ok then error(err, 0) end
end

--- Loading ------------------------------------------------------------------------------------------------------------

local function begin(name, me)
  local record = { name = name, task = me, outer = innermost[me], waiters = {} }
  loading[name], innermost[me] = record, record
  return record
end

local ending = {
  __close = function(record)
    loading[record.name], innermost[record.task] = nil, record.outer
    for _, done in ipairs(record.waiters) do done() end
  end,
}

local function once(started, done)
  if not done then return started end
end

--- Calls the loader. However that ends, the record does, too: it is the closing value of a loop that runs once, which
--- unlike pcall leaves the stack of an error for message handlers to see.
local function call_loader(loader, name, data, me)
  local record = setmetatable(begin(name, me), ending)
  local value
  for _ in once, true, nil, record do value = loader(name, data) end
  return value
end

local function load_module(name, me)
  local loader, data = find_loader(name)
  local value = call_loader(loader, name, data, me)
  if value ~= nil then loaded[name] = value end
  if loaded[name] == nil then loaded[name] = true end
  return loaded[name], data
end

local function new_require(name)
  if type(name) == "number" then name = tostring(name) end
  if type(name) ~= "string" then
    local got = name == nil and "no value" or type(name)
    error(("bad argument #1 to 'require' (string expected, got %s)"):format(got), 2)
  end
  if loaded[name] then return loaded[name] end
  local me = current_task()
  while loading[name] do
    local record = loading[name]
    if record.task == me then error("circular require: " .. own_circle(name, me), 2) end
    wait_for(record, me)
    if loaded[name] then return loaded[name] end
  end
  return load_module(name, me)
end

--- Puts the new `require` in the place of the old one.
function M.install()
  require = new_require
end

return M
