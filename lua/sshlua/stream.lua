--- Byte streams as scripts hold them: a reader with a buffer and lines, a writer with a bound on what may wait, and
--- how one flows into the other. Knows bytes; must not know whether a channel, a socket or a pipe is behind.

local command = require("sshlua.command")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local is_secret = core.is_secret

local LINE_MAX = 16 * 1024 * 1024
local WRITE_MAX = 16 * 1024 * 1024
local PIECE = 65536
local CLOSE_SECONDS = 5

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

--- Where a plain text begins, counted from the first byte that was not taken; nil at the end. No byte is looked at more
--- than twice.
local function find_text(self, text, max)
  local index, before, tail = self.first, 0, ""
  while true do
    if index > self.last and not fill(self) then return nil end
    local piece = self.pieces[index]
    local from = index == self.first and self.taken or 0
    -- Over the border of two pieces first: it is the earlier place.
    local at = tail ~= "" and (tail .. piece:sub(from + 1, from + #text - 1)):find(text, 1, true)
    if at then return before - #tail + at end
    at = piece:find(text, from + 1, true)
    if at then return before + at - from end
    before, index = before + #piece - from, index + 1
    tail = (tail .. piece:sub(math.max(from + 1, #piece - #text + 2))):sub(-#text)
    if #tail >= #text then tail = tail:sub(2) end
    if before > max then
      errors.raise({ kind = "limit", message = ("no end of a piece within %d bytes"):format(max) })
    end
  end
end

--- Everything in front of a text, which is taken, too. At the end of the stream: what is left, and nil; then nil.
---@param text string plain, no pattern
---@param max? integer more bytes than this without it are an error of kind limit; default 16 MiB
---@return string? before
---@return string? text nil: the stream ended without it
function Reader:read_until(text, max)
  if type(text) ~= "string" or text == "" then errors.usage(2, "read_until: a text expected") end
  if max ~= nil and not (type(max) == "number" and max >= 1) then errors.usage(2, "read_until: bytes expected") end
  local at = find_text(self, text, max or LINE_MAX)
  if at then
    local before = take(self, at - 1)
    return before, take(self, #text)
  end
  if self.size > 0 then return take(self, self.size), nil end
end

local function check_target(to, level)
  local kind = type(to)
  if (kind == "table" or kind == "userdata") and to.write ~= nil then return end
  errors.usage(level + 1, "something with write expected, got %s", kind)
end

--- io.open's files report by return values.
local function write_all(to, bytes)
  local ok, message, code = to:write(bytes)
  if ok == nil and message then errors.raise({ kind = "io", message = tostring(message), code = code }) end
end

local pipe_options = { close = "boolean" }

--- Copies everything to a writer (the input of a process, on this or another host) or to anything with `write`, in the
--- speed of the slower one, and then ends the writer's input. When reading fails the input is not ended: what was cut
--- short must not look whole.
---@param to sshlua.Writer|table
---@param opts? { close?: boolean } false: more will be written to it
---@return integer bytes
function Reader:pipe(to, opts)
  opts = options.check(opts, pipe_options, 2)
  check_target(to, 2)
  local bytes = 0
  for piece in function() return self:read() end do
    write_all(to, piece)
    bytes = bytes + #piece
  end
  if opts.close ~= false and to.close_write then to:close_write() end
  return bytes
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

--- Writes all that a source gives and then ends the input: a reader, an open file, a function that returns the next
--- bytes. The other way round of Reader:pipe.
---@param source sshlua.Reader|table|fun(): string?
---@param opts? { close?: boolean } false: more will be written
---@return integer bytes
function Writer:feed(source, opts)
  opts = options.check(opts, pipe_options, 2)
  local kind = type(source)
  if kind ~= "function" and not ((kind == "table" or kind == "userdata") and source.read ~= nil) then
    errors.usage(2, "function or something with read expected, got %s", kind)
  end
  local bytes = 0
  for piece in command.pieces(source) do
    self:write(piece)
    bytes = bytes + (is_secret(piece) and 0 or #piece)
  end
  if opts.close ~= false then self:close_write() end
  return bytes
end

--- Writes a local file and then ends the input. Reading it does not stop other tasks.
---@param path string
---@param opts? { close?: boolean } false: more will be written
---@return integer bytes
function Writer:feed_file(path, opts)
  options.check(opts, pipe_options, 2)
  if type(path) ~= "string" then errors.usage(2, "path expected, got %s", type(path)) end
  local file = task.await(core.fs_open, path, "r", nil)
  local ok, r = pcall(self.feed, self, function()
    local bytes = task.await(file.read, file, PIECE, -1)
    return bytes ~= "" and bytes or nil
  end, opts)
  pcall(scope.shield, scope.timeout, CLOSE_SECONDS, task.await, file.close, file)
  if not ok then error(r, 0) end
  return r
end

--- No more input. Idempotent.
function Writer:close_write()
  if self.closed then return end
  self.closed = true
  self.finish()
end
Writer.close = Writer.close_write

return M
