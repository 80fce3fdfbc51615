--- A terminal that is drawn on: taken and given back, frames at most so often and only their lines that changed, keys.
--- Knows terminals; must not know what is drawn.

local core = require("sshlua.core")

local M = {}

--- Seconds between two frames at least, and how often time alone is a reason for one.
local APART, TICK = 0.1, 1
local PIECE = 4096

--- They have no alternate screen: what stood there would be gone.
local plain_terminals = { "^dumb$", "^unknown$", "^linux$", "^vt%d", "^ansi", "^emacs", "^cons%d", "^$" }

---@class sshlua.board.Screen
---@field draw fun(cols: integer, rows: integer): string[]|nil lines; nil: nothing is drawn any more
---@field keys fun(bytes: string)
---@field lost fun() somebody else has put the terminal back
---@field ticks fun(): boolean is there something that time alone changes?
local Screen = {}
Screen.__index = Screen

--- Why there can be no screen on standard output; nil: there can.
---@return string|nil
function M.missing()
  if not core.isatty(1) then return "standard output is no terminal" end
  local term = os.getenv("TERM") or ""
  for _, form in ipairs(plain_terminals) do
    if term:find(form) then return ("TERM=%s has no second screen"):format(term) end
  end
end

---@param fields table draw, keys, lost, ticks
---@return sshlua.board.Screen
function M.new(fields)
  fields.lent = 0
  return setmetatable(fields, Screen)
end

--- Frames -----------------------------------------------------------------------------------------------------------

local function bytes_of(self, lines, cols, rows)
  local out, before = {}, self.drawn
  if not before or before.cols ~= cols or before.rows ~= rows then
    out[1] = "\27[0m\27[H\27[2J"
    before = {}
  end
  for i = 1, rows do
    if lines[i] ~= before[i] and (lines[i] or "") ~= (before[i] or "") then
      out[#out + 1] = ("\27[%d;1H\27[K%s"):format(i, lines[i]) -- erased first: a full line ends in the last column
    end
  end
  lines.cols, lines.rows = cols, rows
  self.drawn = lines
  return table.concat(out)
end

local arm

local function written(self, socket)
  return function()
    if self.socket ~= socket then return end
    self.writing = false
    if self.dirty then arm(self) end
  end
end

local function frame(self)
  self.timer, self.dirty, self.at = nil, false, core.now()
  if not self.socket then return end
  if not core.tty_held() then return self.lost() end
  local rows, cols = core.tty_size(self.socket:fd())
  local lines = rows and self.draw(cols, rows)
  local bytes = lines and bytes_of(self, lines, cols, rows) or ""
  if bytes ~= "" and self.socket then
    self.writing = true
    self.socket:write(bytes, written(self, self.socket))
  end
  arm(self)
end

--- The next frame: soon when there is something to be seen, in a second when only time goes on, or never.
function arm(self)
  if not self.socket or self.writing and self.dirty then return end
  local wait
  if self.dirty then
    wait = math.max(0, (self.at or 0) + APART - core.now())
  elseif self.ticks() then
    wait = TICK
  end
  if self.timer then self.timer:cancel() end
  self.timer = wait and core.timer(wait, function() frame(self) end)
end

--- Something has changed. Costs next to nothing when a frame is due already.
function Screen:touch()
  if self.dirty then return end
  self.dirty = true
  arm(self)
end

--- All lines are drawn again.
function Screen:redraw()
  self.drawn, self.dirty = nil, false
  self:touch()
end

--- The terminal -----------------------------------------------------------------------------------------------------

local function listen(self, socket)
  self.reading = socket:read(PIECE, function(err, bytes)
    if self.socket ~= socket then return end
    if err or not bytes then return self.lost() end
    self.keys(bytes)
    if self.socket == socket then listen(self, socket) end
  end)
end

--- Takes the terminal that standard output is. False, and why, when it cannot be had.
---@return boolean taken
---@return string? why
function Screen:take()
  local socket, err = core.tty_screen(1)
  if not socket then return false, err.message end
  self.socket, self.drawn, self.writing = socket, nil, false
  local function again() self:redraw() end
  core.signal("WINCH", again)
  core.signal("CONT", again)
  listen(self, socket)
  self:redraw()
  return true
end

--- Gives it back as it was. Again is nothing.
function Screen:give_back()
  local socket = self.socket
  if not socket then return end
  self.socket, self.dirty = nil, false
  if self.timer then self.timer:cancel() end
  if self.reading then self.reading:cancel() end
  self.timer, self.reading = nil, nil
  core.signal("WINCH", nil)
  core.signal("CONT", nil)
  socket:close()
  core.tty_restore()
end

--- Prompts of others have the terminal while they ask: those of core.tty_prompt. Returns a function that ends that.
---@return fun()
function Screen:lend()
  local ask = core.tty_prompt
  local function take_again()
    self.lent = self.lent - 1
    if self.lent == 0 and self.wanted then self:take() end
  end
  self.wanted = true
  function core.tty_prompt(options, done)
    if self.lent == 0 then self:give_back() end
    self.lent = self.lent + 1
    local over = false
    local function ended()
      if not over then take_again() end
      over = true
    end
    local op = ask(options, function(...)
      ended()
      done(...)
    end)
    return { cancel = function()
      op:cancel()
      ended()
    end }
  end
  return function()
    self.wanted = false
    core.tty_prompt = ask
  end
end

return M
