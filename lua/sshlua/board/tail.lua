--- The end of what one host says: masked, bounded, and of that the last line and how far it has come. Knows bytes; must
--- not know hosts nor screens.

local core = require("sshlua.core")

local M = {}

--- Of a line so much is looked at for progress, and so much of the end for the last line.
local LINE, LOOK = 512, 4096

---@class sshlua.board.Tail
---@field cut boolean there was more in front
---@field progress? number 0 to 1
local Tail = {}
Tail.__index = Tail

--- Keeps the last `limit` bytes, and at times twice as many.
---@param limit integer
---@return sshlua.board.Tail
function M.new(limit) return setmetatable({ limit = limit, pieces = {}, size = 0, cut = false }, Tail) end

local function collapse(self)
  local text = table.concat(self.pieces)
  if #text > self.limit then
    text = text:sub(-self.limit)
    self.cut = true
  end
  self.pieces, self.size = { text }, #text
  return text
end

local function add(self, text)
  if text == "" then return end
  self.pieces[#self.pieces + 1] = text
  self.size = self.size + #text
  self.line = nil
  if self.size > 2 * self.limit then collapse(self) end
end

--- Streams share the lines of one screen: the other one begins a new line.
local function switch(self, stream)
  if self.stream and self.stream ~= stream and self.ends ~= 10 then add(self, "\n") end
  self.stream = stream
end

--- Bytes as they come.
---@param bytes string
---@param stream "stdout"|"stderr"
function Tail:feed(bytes, stream)
  if bytes == "" then return end
  self.maskers = self.maskers or {}
  local masker = self.maskers[stream] or core.masker()
  self.maskers[stream] = masker
  switch(self, stream)
  self.ends = bytes:byte(-1)
  add(self, masker:feed(bytes))
end

--- Nothing more comes.
function Tail:finish()
  for _, stream in ipairs({ "stdout", "stderr" }) do
    local masker = self.maskers and self.maskers[stream]
    if masker then add(self, masker:finish()) end
  end
  self.maskers, self.stream, self.ends = nil, nil, nil
end

--- Everything that is kept, not cleaned.
---@return string
function Tail:text() return #self.pieces == 1 and self.size <= self.limit and self.pieces[1] or collapse(self) end

--- What a terminal would show of a line that was written over: its last part with something in it.
local function shown(line)
  if not line:find("\r", 1, true) then return line end
  local last = ""
  for part in line:gmatch("[^\r]+") do
    if part:find("%S") then last = part end
  end
  return last
end

--- "42%", "12/340", "3 of 10" as a share, the last of them in the line; nil: there is none.
---@param line string
---@return number|nil
function M.progress(line)
  line = line:sub(1, LINE)
  local found
  for number in line:gmatch("%f[%d.]([%d.]+)%s?%%") do
    local n = tonumber(number)
    if n and n <= 100 then found = n / 100 end
  end
  if found then return found end
  for _, form in ipairs({ "()%f[%d](%d+) ?/ ?(%d+)()", "()%f[%d](%d+) of (%d+)()" }) do
    for from, n, of, to in line:gmatch(form) do
      n, of = tonumber(n), tonumber(of)
      local around = line:sub(from - 1, from - 1) .. line:sub(to, to)
      if of > 0 and n <= of and not around:find("[%w/.:_-]") then found = n / of end
    end
    if found then return found end
  end
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  if lines[#lines] == "" then lines[#lines] = nil end
  return lines
end

local function look(self)
  local text = self:text()
  local lines = lines_of(#text > LOOK and text:sub(-LOOK) or text)
  self.line = ""
  for i = #lines, 1, -1 do
    local line = shown(lines[i])
    if self.line == "" and line:find("%S") then self.line = M.clean(line) end
    local progress = M.progress(line)
    if progress then
      self.progress = progress
      break
    end
  end
end

--- One line of a stranger as it may be shown.
---@param line string
---@return string
function M.clean(line) return (core.clean(line, { tab = true }):gsub("\t", "  ")) end

--- The last line that is not blank, cleaned; "" when there is none.
---@return string
function Tail:last()
  if not self.line then look(self) end
  return self.line
end

--- All lines that are kept, cleaned.
---@return string[]
function Tail:lines()
  local text = self:text()
  if self.cut then text = text:gsub("^[^\n]*\n", "", 1) end
  local lines = lines_of(text)
  for i, line in ipairs(lines) do lines[i] = M.clean(shown(line)) end
  return lines
end

return M
