--- The live board of a fleet: one line for each host, on the terminal's second screen, while something is done. What
--- the program prints meanwhile is printed when the board is left.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local events = require("sshlua.events")
local held = require("sshlua.board.held")
local interrupt = require("sshlua.interrupt")
local model = require("sshlua.board.model")
local paint = require("sshlua.board.paint")
local screen = require("sshlua.board.screen")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")
local ui = require("sshlua.board.ui")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

---@class sshlua.Board
---@field model sshlua.board.Model
local Board = {}
Board.__index = Board

--- A person who looks at a host when all is done keeps the board so long after the last key.
M.LOOK_SECONDS = 600

local shown -- there is one terminal

--- Opening ----------------------------------------------------------------------------------------------------------

local function draw(self)
  local f = { now = core.now(), title = self.title, color = self.color, over = self.over }
  return function(cols, rows)
    f.cols, f.rows, f.now, f.over = cols, rows, core.now(), self.over
    local ok, lines = pcall(paint.frame, f, self.model, self.view)
    if ok then return lines end
    self:close()
    io.stderr:write("sshlua: the board failed: ", tostring(lines), "\n")
  end
end

local function on_keys(self)
  return function(bytes)
    self.pressed = core.now()
    for _, key in ipairs(ui.keys(bytes)) do
      local asked = self.view:press(key)
      if asked == "leave" then return self:close() end
      if asked == "redraw" then self.screen:redraw() end
    end
    self.screen:touch()
  end
end

local function on_event(self)
  return function(event)
    self.model:take(event)
    self.screen:touch()
  end
end

--- A board for these hosts; nil, and why, when there is no terminal for one.
---@param hosts sshlua.Host[]
---@param title string
---@return sshlua.Board|nil
---@return string? why
function M.open(hosts, title)
  local why = shown and "there is one already" or screen.missing()
  if why then return nil, why end
  local self = setmetatable({ model = model.new(hosts), title = errors.excerpt(title, 400), over = false }, Board)
  self.color, self.view = (os.getenv("NO_COLOR") or "") == "", ui.new(self.model)
  self.screen = screen.new({
    draw = draw(self), keys = on_keys(self), lost = function() self:close() end,
    ticks = function() return self.model.counts.running > 0 end,
  })
  io.stdout:flush()
  local ok
  ok, why = self.screen:take()
  if not ok then return nil, why end
  require("sshlua.steps").install()
  self.unlend, self.held = self.screen:lend(), held.hold()
  self.unlisten = events.listen(on_event(self), model.kinds)
  -- A ^C that nobody else has taken ends the run: what it says must be seen. When all is done it only means `q`.
  self.uninterrupt = interrupt.push(function()
    self:close()
    return self.over
  end)
  shown = self
  return self
end

--- Ending -----------------------------------------------------------------------------------------------------------

--- The terminal as it was, and everything printed. Again is nothing.
function Board:close()
  if self.closed then return end
  self.closed, shown = true, nil
  self.unlisten()
  self.uninterrupt()
  self.unlend()
  self.screen:give_back()
  self.held:release()
  if self.left then self.left:set() end
end

--- Until somebody leaves, or has gone away: nobody presses a key any more.
local function wait_for_person(self)
  local left, timer = sync.event(), nil
  local function look()
    local more = self.pressed + M.LOOK_SECONDS - core.now()
    if more <= 0 then return left:set() end
    timer = core.timer(more, look)
  end
  self.left, self.pressed = left, core.now()
  self.screen:redraw()
  look()
  local ok, err = pcall(left.wait, left)
  timer:cancel()
  if not ok then error(err, 0) end
end

--- All is done: the board goes, unless somebody is in the middle of looking at something; then it waits for `q`.
function Board:finish()
  self.over = true
  if not self.closed and self.view:is_looking() then wait_for_person(self) end
  self:close()
end

--- How far a copy has come: for option `progress`.
---@return fun(event: sshlua.TransferProgress)
function Board:progress()
  return function(event)
    self.model:moved(event)
    self.screen:touch()
  end
end

--- fn(board) with a board; without one when there is no terminal for it. Returns what fn returns; the terminal is as it
--- was on every way out.
---@param hosts sshlua.Host[]
---@param title string
---@param fn fun(board: sshlua.Board|nil): ...
function M.with(hosts, title, fn)
  local board = M.open(hosts, title)
  if not board then return fn(nil) end
  local r = task.pack(pcall(function()
    local results = task.pack(fn(board))
    board:finish()
    return unpack(results, 1, results.n)
  end))
  board:close()
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

return M
