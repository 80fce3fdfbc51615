--- What a person looks at on a board, and what keys do to that. Keys in, a view out: pure but for the model's lists.

local M = {}

---@class sshlua.board.View
---@field what "list"|"host"|"split"|"diff"|"help"
---@field state? string rows of that state alone
---@field text? string rows whose name contains it
---@field typing? string the text as it is typed
---@field row? sshlua.board.Row where the cursor is
---@field other? sshlua.board.Row the marked one
---@field moved? boolean the cursor was moved since the last frame
---@field hidden? boolean it is not among the lines of the last frame
---@field from? integer the first row that is shown
---@field up integer lines scrolled back from the end, of a text
---@field room integer rows or lines that the last frame had room for
---@field said? string answer to the last key
local View = {}
View.__index = View

local filters = { "failed", "running", "queued", "ok" }

---@param model sshlua.board.Model
---@return sshlua.board.View
function M.new(model) return setmetatable({ model = model, what = "list", up = 0, room = 1 }, View) end

--- Rows that are shown, and the cursor's place among them; nil: it is not there.
---@return sshlua.board.Row[], integer|nil
function View:list()
  local list = self.model:list(self.state, self.text)
  if not self.row then return list, nil end
  for i, row in ipairs(list) do
    if row == self.row then return list, i end
  end
  return list, nil
end

--- Is somebody in the middle of looking?
---@return boolean
function View:is_looking() return self.what ~= "list" end

--- Keys -------------------------------------------------------------------------------------------------------------

local sequences = {
  ["[A"] = "up", ["[B"] = "down", ["OA"] = "up", ["OB"] = "down", ["[5~"] = "page up", ["[6~"] = "page down",
  ["[H"] = "home", ["[F"] = "end", ["OH"] = "home", ["OF"] = "end", ["[1~"] = "home", ["[4~"] = "end",
}
local bytes_of = { ["\r"] = "enter", ["\n"] = "enter", ["\127"] = "erase", ["\8"] = "erase", ["\12"] = "redraw" }

--- Bytes as they were typed, as names of keys and characters.
---@param bytes string
---@return string[]
function M.keys(bytes)
  local keys, at = {}, 1
  while at <= #bytes do
    local sequence = bytes:match("^\27([%[O][%d;]*[%a~])", at)
    local char = bytes:match("^[%z\1-\127\194-\244][\128-\191]*", at) or bytes:sub(at, at)
    if sequence then
      keys[#keys + 1] = sequences[sequence] or "unknown"
      at = at + 1 + #sequence
    else
      keys[#keys + 1] = char == "\27" and "escape" or bytes_of[char] or char
      at = at + #char
    end
  end
  return keys
end

local function is_text(self) return self.what == "host" or self.what == "diff" end

local function move(by)
  return function(self)
    local step = by == "page" and self.room or by == "-page" and -self.room or by
    if is_text(self) then
      self.up = math.max(0, self.up - step)
      return
    end
    local list, at = self:list()
    at = at and at + step or step > 0 and 1 or #list
    self.row, self.moved = list[math.max(1, math.min(#list, at))], true
  end
end

local function first(self)
  if is_text(self) then
    self.up = math.huge
  else
    self.row, self.moved = self:list()[1], true
  end
end

local function last(self)
  local list = self:list()
  if is_text(self) then
    self.up = 0
  else
    self.row, self.moved = list[#list], true
  end
end

local function chosen(self)
  local list, at = self:list()
  self.row = at and self.row or list[1]
  if not self.row then self.said = "no host here" end
  return self.row
end

local function back(self)
  if self.what ~= "list" then
    self.what, self.up = "list", 0
  elseif self.text or self.state then
    self.text, self.state = nil, nil
  else
    self.row, self.other, self.from = nil, nil, 1
  end
end

local commands = { up = move(-1), k = move(-1), down = move(1), j = move(1), ["page up"] = move("-page"),
  ["page down"] = move("page"), [" "] = move("page"), b = move("-page"), home = first, g = first, ["end"] = last,
  G = last, escape = back }

function commands.enter(self)
  if self.what == "help" or self.what == "host" then return back(self) end
  if chosen(self) then self.what, self.up = "host", 0 end
end

function commands.s(self)
  if self.what == "split" then return back(self) end
  if chosen(self) then self.what, self.up = "split", 0 end
end

function commands.m(self)
  if not chosen(self) then return end
  if self.other == self.row then self.other = nil else self.other = self.row end
  self.said = self.other and "marked " .. self.row.name or "no mark"
end

function commands.d(self)
  if self.what == "diff" then return back(self) end
  if not chosen(self) then return end
  if not self.other or self.other == self.row then
    self.said = "mark another host with m first"
    return
  end
  self.what, self.up = "diff", math.huge
end

function commands.f(self)
  local at = 0
  for i, state in ipairs(filters) do
    if state == self.state then at = i end
  end
  self.state, self.from = filters[at + 1], 1
  self.what = self.what == "split" and "split" or "list"
end

commands["/"] = function(self)
  self.what = self.what == "split" and "split" or "list"
  self.typing = self.text or ""
end

commands["?"] = function(self) self.what = self.what == "help" and "list" or "help" end

function commands.q(self)
  if self.what == "list" then return "leave" end
  back(self)
end

function commands.redraw() return "redraw" end

local function type_text(self, key)
  if key == "enter" then
    self.text, self.typing, self.from = self.typing ~= "" and self.typing or nil, nil, 1
  elseif key == "escape" then
    self.typing = nil
  elseif key == "erase" then
    self.typing = self.typing:gsub("[%z\1-\127\194-\244][\128-\191]*$", "")
  elseif not key:find("^%c") and (#key == 1 or key:find("^[\194-\244]")) and #self.typing < 64 then
    self.typing = self.typing .. key
  end
end

--- A key was pressed.
---@param key string of M.keys
---@return nil|"leave"|"redraw"
function View:press(key)
  self.said = nil
  if self.typing then return type_text(self, key) end
  local command = commands[key]
  if command then return command(self) end
end

return M
