--- How many connections are being made at once, and how often: sshd drops those beyond its MaxStartups before the
--- greeting, at random. Fewer are made at once to one address, and those that are dropped wait longer each time.

local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local sync = require("sshlua.task.sync")

local M = {}

--- sshd begins to drop when 10 have not authenticated yet, and hears a little later than we that one has.
local TO_ONE_ADDRESS = 6
local TRIES, TRIES_DROPPED = 3, 10

local lines = {} -- address -> { semaphore=, users= }

local function in_line(address, places, fn, ...)
  local line = lines[address]
  if not line then
    line = { semaphore = sync.semaphore(places), users = 0 }
    lines[address] = line
  end
  line.users = line.users + 1
  local r = { pcall(line.semaphore.with, line.semaphore, fn, ...) }
  line.users = line.users - 1
  if line.users == 0 then lines[address] = nil end
  if not r[1] then error(r[2], 0) end
  return r[2]
end

local function was_dropped(err) return errors.is(err, "connection_lost") and err.phase == "greeting" end

local function explain(err, times)
  if not was_dropped(err) or rawget(err, "proxy") or rawget(err, "via") then return err end
  if times > 1 then
    err.message = ("the server dropped %d connections before its greeting, the last one: %s"):format(times, err.message)
  end
  err.hint = "the server may refuse more connections for now (MaxStartups, PerSourcePenalties)"
  return err
end

--- Calls fn() until it succeeds. What a retry may cure is tried 3 times, connections that are dropped before the
--- greeting 10 times; `tries` is for both. A failure on the way (its `via`) has been tried again there.
local function retry(opts, fn)
  local tries = opts.tries or TRIES_DROPPED
  local failed, dropped, attempts = 0, 0, 0
  local ok, r = pcall(group.retry, {
    tries = tries, delay = 0.3, max_delay = 5, jitter = 0.5,
    on = function(err)
      if not errors.is(err) or not err.retryable or rawget(err, "via") then return false end
      if was_dropped(err) then
        dropped = dropped + 1
        return true
      end
      failed = failed + 1
      return failed < (opts.tries or TRIES)
    end,
  }, function(attempt)
    attempts = attempt
    return fn()
  end)
  if ok then return r end
  if attempts == tries then dropped = dropped + 1 end -- the last failure is not asked about
  error(explain(r, dropped), 0)
end

--- fn() in its turn and with retries. A connection that was dropped keeps its place while it waits, so that fewer
--- are made.
---@param address string what shares a limit
---@param opts { max_startups?: integer, tries?: integer }
---@param fn fun(): any
---@return any
function M.connect(address, opts, fn)
  return in_line(address, opts.max_startups or TO_ONE_ADDRESS, retry, opts, fn)
end

return M
