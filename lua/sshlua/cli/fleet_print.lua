--- What people see of a command on many hosts: lines as they come, with the host's name in front; folded; compared.
--- Bytes of hosts are cleaned before they are shown. A printer has sink(host), ended(result, host) and finish(results),
--- and says how many bytes of each output a Result has to keep for it.

local core = require("sshlua.core")
local diff = require("sshlua.diff")
local errors = require("sshlua.errors")
local hostset = require("sshlua.hostset")
local lines = require("sshlua.lines")
local signals = require("sshlua.cli.signals")

local M = {}

local NOBODY_READS = 141

local function fit(line) return core.clean(core.mask(line), { tab = true }) end

--- To standard output at once, so that whoever reads it through a pipe is not kept waiting.
function M.out(text)
  io.stdout:write(text)
  io.stdout:flush()
end

function M.note(text) io.stderr:write("sshlua: ", text, "\n") end

--- What is wrong with a host, on standard error.
local function complain(o, r)
  if o.quiet or r.ok or r:status() == "skipped" or r:status() == "cancelled" then return end
  if errors.is(r.err) then return M.note(tostring(errors.wrap(r.err, { host = r.host }))) end
  M.note(("%s: %s"):format(r.host, r:problem()))
end

--- Lines as they come -----------------------------------------------------------------------------------------------

--- Whole lines as they come: "web1: up 3 days". `complain(result)` says what went wrong.
function M.live(o, complaint)
  local open = {}
  local printer = { keep = 4096 }
  local function splitters(h)
    local front, pieces = o.bare and "" or h.name .. ": ", {}
    local function splitter()
      return lines.splitter(function(line) pieces[#pieces + 1] = front .. fit(line) .. "\n" end)
    end
    local own = { stdout = splitter(), stderr = splitter() }
    function own.flush(stream)
      if not pieces[1] then return end
      local text = table.concat(pieces)
      pieces = {}
      if stream == "stderr" then io.stderr:write(text) else M.out(text) end
    end
    return own
  end
  function printer.sink(h)
    local own = splitters(h)
    open[h] = own
    return function(bytes, stream)
      own[stream].feed(bytes)
      own.flush(stream)
    end
  end
  function printer.ended(r, h)
    local own = open[h]
    open[h] = nil
    for _, stream in ipairs(own and { "stdout", "stderr" } or {}) do
      own[stream].finish()
      own.flush(stream)
    end
    local tell = complaint or complain
    tell(o, r)
  end
  function printer.finish() end
  return printer
end

--- Nothing but what went wrong.
function M.silent(o)
  return { keep = 4096, ended = function(r) complain(o, r) end, finish = function() end }
end

--- At the end -------------------------------------------------------------------------------------------------------

--- Groups of hosts with the same outputs and the same end, largest first.
function M.fold()
  return {
    ended = function() end, -- their heads say what went wrong
    finish = function(rs)
      local groups = rs:group()
      for _, group in ipairs(groups) do
        if group.status ~= "skipped" then M.out(tostring(group) .. "\n") end
      end
    end,
  }
end

local function has_output(group) return group.status == "ok" or group.status == "exit" or group.status == "signal" end

--- The largest group whole, and what leads from it to each other one.
function M.diff(o)
  return {
    ended = function(r) complain(o, r) end,
    finish = function(rs)
      local first
      for _, group in ipairs(rs:group()) do
        if has_output(group) and not first then
          first = group
          M.out(tostring(group) .. "\n")
        elseif has_output(group) then
          local text = diff.unified(first.stdout, group.stdout, { from = first.hosts, to = group.hosts })
          if text == "" then text = tostring(group) .. "\n" end -- they differ in stderr or in how they ended
          M.out(core.clean(core.mask(text), { newline = true, tab = true }))
        end
      end
    end,
  }
end

--- Folded line by line: the n-th line is printed as soon as every host has come so far, or has ended.
function M.live_fold(o)
  local fleet = { hosts = {}, printed = 0 }
  local printer = { keep = 4096 }
  local function state_of(h)
    local s = fleet.hosts[h]
    if not s then
      s = { lines = {}, count = 0 }
      s.splitter = lines.splitter(function(line)
        s.count = s.count + 1
        s.lines[s.count] = fit(line)
      end)
      fleet.hosts[h] = s
    end
    return s
  end
  local function print_line(n)
    local groups, order = {}, {}
    for _, h in ipairs(printer.hosts) do
      local s = fleet.hosts[h]
      local line = s and s.lines[n]
      if line and not groups[line] then
        groups[line] = { n = 0 }
        order[#order + 1] = line
      end
      if line then table.insert(groups[line], h.name) end
      if s then s.lines[n] = nil end
    end
    table.sort(order, function(a, b)
      if #groups[a] ~= #groups[b] then return #groups[a] > #groups[b] end
      return a < b
    end)
    for _, line in ipairs(order) do
      M.out((o.bare and "" or hostset.fold(groups[line]) .. ": ") .. line .. "\n")
    end
    return order[1] ~= nil
  end
  local function is_behind(s) return not (s and (s.ended or s.count > fleet.printed)) end
  --- How many are, counted anew for each line; in between they are counted off one by one.
  local function count_behind()
    fleet.behind = 0
    for _, h in ipairs(printer.hosts) do
      if is_behind(fleet.hosts[h]) then fleet.behind = fleet.behind + 1 end
    end
  end
  local function go_on(came)
    if not fleet.behind then
      count_behind()
    elseif came then
      fleet.behind = fleet.behind - 1
    end
    while fleet.behind == 0 and print_line(fleet.printed + 1) do
      fleet.printed = fleet.printed + 1
      count_behind()
    end
  end
  function printer.sink(h)
    local s = state_of(h)
    return function(bytes, stream)
      if stream == "stderr" then return end
      local was_behind = is_behind(s)
      s.splitter.feed(bytes)
      if was_behind and not is_behind(s) then go_on(true) end
    end
  end
  function printer.ended(r, h)
    local s = state_of(h)
    local was_behind = is_behind(s)
    s.splitter.finish()
    s.ended = true
    if r.stderr ~= "" then io.stderr:write(("%s: %s\n"):format(r.host, fit((r.stderr:gsub("\n$", ""))))) end
    complain(o, r)
    if was_behind then go_on(true) end
  end
  function printer.finish()
    for _, h in ipairs(printer.hosts) do state_of(h).ended = true end
    fleet.behind = nil
    go_on()
  end
  return printer
end

local SLOWEST = 3

local function seconds_of(r)
  local t = r.timing or {}
  if t.connect or t.exec or t.transfer then return (t.connect or 0) + (t.exec or 0) + (t.transfer or 0) end
  return r.duration
end

--- "; 12.1 s, slowest: web3 12.0 s, web1 3.1 s": what a board was looked at for.
local function slowest(rs, seconds)
  local list = {}
  for _, r in ipairs(rs) do
    local took = r:status() ~= "skipped" and seconds_of(r)
    if took then list[#list + 1] = { took = took, host = r.host, at = #list } end
  end
  table.sort(list, function(a, b)
    if a.took ~= b.took then return a.took > b.took end
    return a.at < b.at
  end)
  local parts = {}
  for i = 1, math.min(SLOWEST, #list) do parts[i] = ("%s %.1f s"):format(list[i].host, list[i].took) end
  return ("; %.1f s, slowest: %s"):format(seconds, table.concat(parts, ", "))
end

--- What helps, once for each kind of failure: thousands of hosts may have the same.
---@param rs sshlua.Results
---@return fun(): string|nil, string|nil hint, and the name of the first host that it is for
function M.hints(rs)
  local told, i = {}, 0
  return function()
    while rs[i + 1] do
      i = i + 1
      local err = rs[i].err
      local hint = errors.is(err) and rawget(err, "hint")
      local what = hint and ("%s %s"):format(err.kind, err.reason or err.name or err.message)
      if what and not told[what] then
        told[what] = true
        return fit((hint:gsub("\n", "; "))), rs[i].host
      end
    end
  end
end

local function tell_hints(o, rs)
  if o.quiet or o.no_summary or o.json or signals.code == NOBODY_READS then return end
  for hint, host in M.hints(rs) do M.note(("hint%s: %s"):format(#rs > 1 and " for " .. host or "", hint)) end
end

--- One line about all of them, on standard error, after what helps those that failed.
function M.summary(o, rs, run, seconds)
  tell_hints(o, rs)
  if o.quiet or o.no_summary or #rs < 2 or signals.code == NOBODY_READS then return end
  local more = o.board and slowest(rs, seconds) or ""
  M.note(tostring(rs) .. (run.stopped and ("; stopped: %s"):format(run.stopped) or "") .. more)
end

return M
