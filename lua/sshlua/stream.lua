--- Byte streams as scripts hold them: a reader with a buffer and lines, a writer with a bound on what may wait.
--- Knows bytes; must not know whether a channel, a socket or a pipe is behind.

local errors = require("sshlua.errors")

local M = {}

local is_secret = require("sshlua.core").is_secret

local LINE_MAX = 16 * 1024 * 1024
local WRITE_MAX = 16 * 1024 * 1024

---@class sshlua.Reader
local Reader = {}
local reader_mt = { __index = Reader, __name = "sshlua.Reader" }

---@param source fun(): string|nil the next bytes, or nil at the end; may suspend
---@return sshlua.Reader
function M.reader(source)
  return setmetatable({ source = source, pieces = {}, first = 1, last = 0, taken = 0, size = 0 }, reader_mt)
end

local function fill(self)
  if self.ended then return false end
  local bytes = self.source()
  if not bytes then
    self.ended = true
    return false
  end
  self.last = self.last + 1
  self.pieces[self.last] = bytes
  self.size = self.size + #bytes
  return true
end

--- Takes n bytes out of the buffer, n <= size. `taken` bytes of the first piece are gone already: cutting the rest off
--- each time would copy a large piece again and again.
local function take(self, n)
  local out = {}
  self.size = self.size - n
  while n > 0 do
    local piece, from = self.pieces[self.first], self.taken
    local k = math.min(n, #piece - from)
    out[#out + 1] = (from == 0 and k == #piece) and piece or piece:sub(from + 1, from + k)
    n = n - k
    if from + k == #piece then
      self.pieces[self.first] = nil
      self.first, self.taken = self.first + 1, 0
    else
      self.taken = from + k
    end
  end
  return #out == 1 and out[1] or table.concat(out)
end

--- At most max bytes as soon as there are any; nil at the end.
---@param max? integer
---@return string|nil
function Reader:read(max)
  if self.size == 0 and not fill(self) then return nil end
  local left = #self.pieces[self.first] - self.taken
  return take(self, math.min(max or left, left))
end

--- Everything up to the end.
---@return string
function Reader:read_all()
  while fill(self) do end -- luacheck: ignore 542
  return take(self, self.size)
end

--- The next line without its newline; the last one may lack it. nil at the end.
---@return string|nil
function Reader:read_line()
  local index, before = self.first, 0
  while true do
    if index > self.last and not fill(self) then
      return self.size > 0 and take(self, self.size) or nil
    end
    local piece = self.pieces[index]
    local from = index == self.first and self.taken or 0
    local at = piece:find("\n", from + 1, true)
    if at then return (take(self, before + at - from):sub(1, -2)) end
    before, index = before + #piece - from, index + 1
    if before > LINE_MAX then
      errors.raise({ kind = "limit", message = ("a line is longer than %d bytes"):format(LINE_MAX) })
    end
  end
end

--- for line in reader:lines() do
---@return fun(): string?
function Reader:lines()
  return function() return self:read_line() end
end

---@class sshlua.Writer
local Writer = {}
local writer_mt = { __index = Writer, __name = "sshlua.Writer" }

---@param sink fun(bytes: string) takes all of it; may suspend
---@param finish fun() end of input
---@param limit? integer bytes that writers may have waiting together
---@return sshlua.Writer
function M.writer(sink, finish, limit)
  return setmetatable({ sink = sink, finish = finish, limit = limit or WRITE_MAX, waiting = 0 }, writer_mt)
end

--- Writes all of it; suspends while the other side does not take it.
---@param bytes string|sshlua.Secret
function Writer:write(bytes)
  local secret = is_secret(bytes)
  if type(bytes) ~= "string" and not secret then
    errors.usage(2, "string or secret expected, got %s", type(bytes))
  end
  local size = secret and 0 or #bytes -- secrets are small
  if self.closed then errors.raise({ kind = "closed", message = "the stream is closed for writing" }) end
  if self.waiting > 0 and self.waiting + size > self.limit then
    errors.raise({ kind = "limit", message = ("more than %d bytes wait to be written"):format(self.limit) })
  end
  self.waiting = self.waiting + size
  local ok, err = pcall(self.sink, bytes)
  self.waiting = self.waiting - size
  if not ok then error(err, 0) end
end

--- No more input. Idempotent.
function Writer:close_write()
  if self.closed then return end
  self.closed = true
  self.finish()
end
Writer.close = Writer.close_write

return M
