--- A function on a fleet batch by batch: a few hosts first, then more, and a stop when too many fail.

local errors = require("sshlua.errors")
local executor = require("sshlua.executor")
local options = require("sshlua.options")
local results = require("sshlua.results")
local scope = require("sshlua.task.scope")

local M = {}

---@class sshlua.RollingOptions: sshlua.ExecutorOptions
---@field batch? integer|string|(integer|string)[] hosts at a time: 5, "25%", { 1, 5, "100%" } (the last for the rest)
---@field max_failed? integer|string how many may fail, of all batches together; default 0
---@field on_fail? "stop"|"skip"|"continue" when more fail: default stop; skip: the rest of that batch; go on regardless
---@field pause? number seconds between batches
---@field before? fun(hosts: sshlua.Fleet, number: integer) in front of each batch; its error ends the rolling
---@field after? fun(results: sshlua.Results, number: integer) behind each; its error ends the rolling
---@field order? "given"|"sorted"|"reverse"|"shuffle"|fun(a: sshlua.Host, b: sshlua.Host): boolean
---@field timeout? number seconds of wall time for each host
---@field idle? number seconds of silence for each of its commands
local rolling_options = options.merge(executor.options, {
  batch = "count|string|table", on_fail = "string", pause = "seconds", before = "function", after = "function",
  order = "string|function", timeout = "seconds", idle = "seconds",
})

local on_fail = { stop = true, skip = true, continue = true }
local orders = { given = true, sorted = true, reverse = true, shuffle = true }

--- How many hosts a batch has when there are n hosts in all; nil when `size` says nothing.
local function size_of(size, n)
  local count = executor.share(size, n)
  if not count then return nil end
  return type(size) == "string" and math.max(count, 1) or count -- a share is one host at least
end

--- Raises usage, `level` callers up; returns a copy.
---@param opts sshlua.RollingOptions
---@return sshlua.RollingOptions
function M.check(opts, level)
  opts = options.merge(options.check(opts, rolling_options, level + 1))
  executor.check(opts, level + 1)
  local sizes = opts.batch == nil and { "100%" } or opts.batch
  if type(sizes) ~= "table" then sizes = { sizes } end
  if not sizes[1] then errors.usage(level + 1, "option 'batch': at least one size expected") end
  for _, size in ipairs(sizes) do
    if (executor.share(size, 1e6) or 0) < 1 then
      errors.usage(level + 1, 'option \'batch\': a count or a share ("25%%") expected, got %s',
        errors.excerpt(tostring(size), 40))
    end
  end
  opts.batch = sizes
  if opts.on_fail and not on_fail[opts.on_fail] then
    errors.usage(level + 1, "option 'on_fail': stop, skip or continue expected, got %s",
      errors.excerpt(opts.on_fail, 40))
  end
  if type(opts.order) == "string" and not orders[opts.order] then
    errors.usage(level + 1, "option 'order': given, sorted, reverse, shuffle or a function expected, got %s",
      errors.excerpt(opts.order, 40))
  end
  return opts
end

--- web2 before web10.
local function natural(a, b)
  local function key(name)
    return (name:gsub("%d+", function(digits)
      digits = digits:gsub("^0+(%d)", "%1")
      return ("%04d%s"):format(#digits, digits)
    end))
  end
  local x, y = key(a.name), key(b.name)
  if x ~= y then return x < y end
  return a.name < b.name
end

local function ordered(hosts, order)
  local list = {}
  for i, h in ipairs(hosts) do list[i] = h end
  if order == "sorted" or order == "reverse" then
    table.sort(list, natural)
  elseif type(order) == "function" then
    table.sort(list, order)
  end
  if order == "reverse" then
    for i = 1, math.floor(#list / 2) do list[i], list[#list + 1 - i] = list[#list + 1 - i], list[i] end
  elseif order == "shuffle" then
    for i = #list, 2, -1 do
      local j = math.random(i)
      list[i], list[j] = list[j], list[i]
    end
  end
  return list
end

--- The list cut into batches.
---@return sshlua.Host[][]
function M.batches(list, sizes)
  local batches, at = {}, 1
  while at <= #list do
    local size = size_of(sizes[math.min(#batches + 1, #sizes)], #list)
    local batch = {}
    for i = at, math.min(at + size - 1, #list) do batch[#batch + 1] = list[i] end
    batches[#batches + 1] = batch
    at = at + size
  end
  return batches
end

--- How many may still fail in the next batch.
local function left_to_fail(opts, allowed, failed)
  if opts.on_fail == "continue" then return nil end
  return opts.on_fail == "skip" and allowed or math.max(allowed - failed, 0)
end

local Rolling = {}
Rolling.__index = Rolling

--- Batches of `hosts`, to be gone through by go(). `make(list)` makes a fleet of hosts for the functions `before`.
---@return table with go, results, and stopped: why it ended early
function M.new(hosts, opts, make, prepare)
  local list = ordered(hosts, opts.order)
  return setmetatable({
    list = list, opts = opts, make = make, prepare = prepare, found = {}, failed = 0,
    allowed = executor.share(opts.max_failed or 0, #list), batches = M.batches(list, opts.batch),
  }, Rolling)
end

function Rolling:_batch(batch, number, fn)
  local opts = self.opts
  if opts.before then opts.before(self.make(batch), number) end
  local run = executor.new(batch, options.merge(opts, {
    max_failed = left_to_fail(opts, self.allowed, self.failed), keep = opts.keep or #self.list <= executor.KEEP,
  }), "rolling")
  if opts.on_fail == "continue" then run.allowed = math.huge end
  if self.prepare then self.prepare(run) end
  self.current = run
  local ok, err = pcall(run.go, run, fn)
  local rs = run:results()
  for i, h in ipairs(batch) do self.found[h] = rs[i] end
  if not ok then error(err, 0) end
  self.failed = self.failed + run.failed
  if opts.after then opts.after(rs, number) end
  if opts.on_fail ~= "skip" then self.stopped = run.stopped end
  if run.cut or run.interrupted then self.stopped = run.stopped end
end

--- Goes through the batches; the results are in the order that was chosen.
---@return sshlua.Results
function Rolling:go(fn)
  for number, batch in ipairs(self.batches) do
    if self.stopped then break end
    if number > 1 and self.opts.pause then scope.sleep(self.opts.pause) end
    self:_batch(batch, number, fn)
  end
  return self:results()
end

--- All results so far, those not reached as skipped.
---@return sshlua.Results
function Rolling:results()
  local list, run = {}, self.current
  for i, h in ipairs(self.list) do
    list[i] = self.found[h] or executor.skipped(h, self.stopped or run and run.stopped or "cancelled")
  end
  return results.new(list)
end

--- Raises one Error of kind fleet at the end when a host failed, unless check is false.
---@return sshlua.Results
function M.run(hosts, opts, fn, make)
  local rs = M.new(hosts, opts, make):go(fn)
  if opts.check ~= false then executor.raise_if_failed(rs, "rolling") end
  return rs
end

return M
