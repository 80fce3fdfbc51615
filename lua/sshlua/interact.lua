--- The terminal of a person on a shell, and back: raw while it lasts, as it was on every way out. Knows terminals and a
--- channel; must not know prompts.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local options = require("sshlua.options")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local ESCAPE = "\29" -- ^]
local HOLD_SECONDS = 0.05
local PIECE = 65536

local interact_options = { escape = "string|false" }

--- Until the escape key; what is typed goes to the shell.
local function typed(self, tty, escape)
  while true do
    local bytes = await(tty.read, tty, PIECE)
    if not bytes then return "eof" end
    local at = escape and bytes:find(escape, 1, true)
    if at then bytes = bytes:sub(1, at - 1) end
    if bytes ~= "" then
      if self.rec then self.rec:input(bytes) end
      await(self.ch.write, self.ch, bytes)
    end
    if at then return "escape" end
  end
end

--- What the shell says goes to the terminal, secrets masked. What may be the beginning of one waits a moment only.
local function shown(self, tty)
  local masker, holding = core.masker(), false
  local function show(text)
    if text ~= "" then await(tty.write, tty, text) end
  end
  while true do
    local bytes, timed_out = self:raw_read(holding and HOLD_SECONDS or math.huge)
    if bytes then
      local text = masker:feed(bytes)
      holding = #text < #bytes
      show(text)
    elseif timed_out then
      holding = false
      show(masker:finish())
    else
      show(masker:finish())
      return "eof"
    end
  end
end

local function size_of(tty)
  local rows, cols = core.tty_size(tty:fd())
  return cols, rows
end

--- The terminal's size, now and whenever it changes.
local function follow_size(self, tty, changed)
  while true do
    local cols, rows = size_of(tty)
    if cols then self:resize(cols, rows) end
    changed.event:wait()
    changed.event = sync.event()
  end
end

local function hand_over(self, tty, escape)
  local cols, rows = self.cols, self.rows
  local changed = { event = sync.event() }
  core.signal("WINCH", function() changed.event:set() end)
  local ok, how = pcall(function()
    local pending = self:pending()
    self:take_all()
    if pending ~= "" then await(tty.write, tty, core.mask((pending:gsub("\24", "\27[K")))) end
    local result
    group.scope(function(s)
      if cols then s:spawn(follow_size, self, tty, changed) end
      result = group.race(
        function() return typed(self, tty, escape) end,
        function() return shown(self, tty) end)
      s:cancel()
    end)
    return result
  end)
  core.signal("WINCH", nil)
  if ok and how == "escape" and cols then pcall(self.resize, self, cols, rows) end
  if not ok then error(how, 0) end
  return how
end

--- Hands the terminal over; see Shell.interact.
function M.run(self, opts, level)
  opts = options.check(opts, interact_options, level + 1)
  local escape = opts.escape
  if escape == nil then escape = ESCAPE end
  if escape and #escape ~= 1 then errors.usage(level + 1, "option 'escape': one byte expected, \"\\29\" is ^]") end
  if self.closed then self:fail_ended("interact", "interact") end
  local refuse = self.session.refuse -- a cassette's: nobody types the same twice
  if refuse then refuse("shell:interact") end
  local done = self:turn(level + 1)
  local tty, err = core.tty_raw()
  if not tty then
    done()
    local hint = "interact needs a terminal of a person"
    errors.raise(errors.from(err, { host = self.host, op = "interact", hint = hint }))
  end
  local ok, how = pcall(hand_over, self, tty, escape)
  core.tty_restore()
  tty:close()
  done()
  if not ok then error(how, 0) end
  if how == "eof" then self.ended = true end
  return how
end

return M
