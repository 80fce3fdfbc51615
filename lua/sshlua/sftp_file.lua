--- Open files of an SFTP session: one position, reads ahead, any size. Knows handles; must not know directories.

local errors = require("sshlua.errors")
local options = require("sshlua.options")
local stream = require("sshlua.stream")

local M = {}

--- draft-ietf-secsh-filexfer-02, 6.3: READ 1, WRITE 2, APPEND 4, CREAT 8, TRUNC 16, EXCL 32.
local flags_of = { r = 1, w = 2 + 8 + 16, wx = 2 + 8 + 32, a = 2 + 4 + 8, ["r+"] = 1 + 2 }

--- A read that goes on doubles from the first to the last; from AHEAD on the next one is under way before it is asked
--- for.
local FIRST, AHEAD, LAST = 32768, 524288, 2097152

local attribute_types = { size = "number", mode = "number", uid = "number", gid = "number", atime = "number",
  mtime = "number" }
local together = { uid = "gid", gid = "uid", atime = "mtime", mtime = "atime" }

--- Raises usage, `level` callers up, unless these are attributes to be changed: a wrong name would change nothing.
function M.check_attributes(attributes, level)
  if type(attributes) ~= "table" then errors.usage(level + 1, "attributes expected, got %s", type(attributes)) end
  options.check(attributes, attribute_types, level + 1)
  for one, other in pairs(together) do
    if attributes[one] and not attributes[other] then
      errors.usage(level + 1, "attributes '%s' and '%s' are set together", one, other)
    end
  end
end

---@class sshlua.SftpFile
---@field path string
local File = {}
local file_mt = { __index = File, __name = "sshlua.SftpFile" }

---@return sshlua.SftpFile
function M.open(sftp, path, how, mode, level)
  local flags = flags_of[how]
  if not flags then errors.usage(level + 1, "open: 'r', 'w', 'wx', 'a' or 'r+' expected, got %s", tostring(how)) end
  local handle = sftp:_await("open", path, nil, sftp.core, path, flags, mode and { mode = mode } or nil)
  return setmetatable({ sftp = sftp, path = path, handle = handle, at = 0, step = FIRST }, file_mt)
end

function file_mt:__tostring()
  return ("sshlua.SftpFile: %s%s"):format(errors.excerpt(self.path), self.handle and "" or " (closed)")
end

local function require_open(self)
  if not self.handle then
    local message = "the file was closed: " .. errors.excerpt(self.path)
    errors.raise({ kind = "closed", host = self.sftp.name, message = message })
  end
end

function File:_call(op, ...)
  require_open(self)
  return self.sftp:_await(op, self.path, nil, self.handle, ...)
end

--- Reading ----------------------------------------------------------------------------------------------------------

--- A read that is under way while nobody waits for it yet, in the shape of an object of the core.
local Ahead = {}
Ahead.__index = Ahead
function Ahead:read(done)
  if self.ended then return done(self.err, self.bytes) end
  self.done = done
  return self.op
end

local function start_ahead(self, at, size)
  local slot = setmetatable({ at = at, size = size }, Ahead)
  slot.op = self.handle:read(size, at, function(err, bytes)
    slot.ended, slot.err, slot.bytes = true, err, bytes
    if slot.done then slot.done(err, bytes) end
  end)
  self.ahead = slot
end

local function drop_ahead(self)
  if self.ahead and not self.ahead.ended then self.ahead.op:cancel() end
  self.ahead = nil
end

local function next_bytes(self)
  require_open(self)
  local at, slot = self.at, self.ahead
  local bytes
  self.ahead = nil
  if slot and slot.at == at then
    bytes = self.sftp:_await("read", self.path, nil, slot)
  else
    bytes = self:_call("read", self.step, at)
  end
  if not bytes then return nil end
  local full = #bytes >= (slot and slot.size or self.step)
  self.at = at + #bytes
  self.step = math.min(self.step * 2, LAST)
  if full and self.step >= AHEAD then start_ahead(self, self.at, self.step) end
  return bytes
end

local function reader(self)
  if not self.reader then self.reader = stream.reader(function() return next_bytes(self) end) end
  return self.reader
end

--- At most max bytes as soon as there are any; nil at the end.
---@param max? integer
---@return string|nil
function File:read(max) return reader(self):read(max) end

--- Everything up to the end.
---@return string
function File:read_all() return reader(self):read_all() end

--- The next line without its newline; nil at the end.
---@return string|nil
function File:read_line() return reader(self):read_line() end

--- for line in file:lines() do
---@return fun(): string?
function File:lines() return reader(self):lines() end

--- `size` bytes from an offset, fewer at the end of the file only; nil there. Leaves the position alone.
---@param offset integer
---@param size integer at most 16 MiB
---@return string|nil
function File:read_at(offset, size) return (self:_call("read", size, offset)) end

--- Position ---------------------------------------------------------------------------------------------------------

local function position(self) return self.at - (self.reader and self.reader.size or 0) end

local function move(self, at)
  drop_ahead(self)
  self.reader, self.at, self.step = nil, at, FIRST
end

--- Moves the position and returns it. "set" (from the beginning), "cur", "end".
---@param whence? "set"|"cur"|"end" default "cur"
---@param offset? integer default 0
---@return integer
function File:seek(whence, offset)
  whence, offset = whence or "cur", offset or 0
  if type(offset) ~= "number" then errors.usage(2, "seek: offset expected, got %s", type(offset)) end
  local from
  if whence == "set" then
    from = 0
  elseif whence == "cur" then
    from = position(self)
  elseif whence == "end" then
    from = self:stat().size
    if not from then
      errors.raise({ kind = "sftp", host = self.sftp.name, message = "the server does not tell the file's size" })
    end
  else
    errors.usage(2, "seek: 'set', 'cur' or 'end' expected, got %s", tostring(whence))
  end
  if from + offset < 0 then errors.usage(2, "seek: before the beginning of the file") end
  if whence ~= "cur" or offset ~= 0 then move(self, from + offset) end
  return from + offset
end

--- Writing ----------------------------------------------------------------------------------------------------------

--- Writes all of it at the position; returns when the server has said that it is written.
---@param bytes string
function File:write(bytes)
  if type(bytes) ~= "string" then errors.usage(2, "string expected, got %s", type(bytes)) end
  local at = position(self)
  move(self, at)
  self:_call("write", bytes, at)
  self.at = at + #bytes
end

--- Writes all of it at an offset. Leaves the position alone.
---@param offset integer
---@param bytes string
function File:write_at(offset, bytes) self:_call("write", bytes, offset) end

--- Others -----------------------------------------------------------------------------------------------------------

---@return sshlua.SftpStat
function File:stat() return (self:_call("stat")) end

---@param attributes sshlua.SftpAttributes
function File:setstat(attributes)
  M.check_attributes(attributes, 2)
  self:_call("setstat", attributes)
end

--- Until the server's disk has it; the server must offer fsync@openssh.com.
function File:sync()
  self.sftp:_need("fsync@openssh.com", "fsync")
  self:_call("fsync")
end

---@return sshlua.SftpStatvfs
function File:statvfs()
  self.sftp:_need("fstatvfs@openssh.com", "statvfs")
  return (self:_call("statvfs"))
end

--- Copies within the server: `length` bytes from an offset of this file to an offset of another; 0: to the end.
---@param to sshlua.SftpFile
---@param length? integer
---@param from? integer
---@param at? integer
function File:copy_data(to, length, from, at)
  self.sftp:_need("copy-data", "copy_data")
  require_open(to)
  self:_call("copy_data", from or 0, length or 0, to.handle, at or 0)
end

---@class sshlua.SftpTransfer
---@field from? integer offset in the source
---@field to? integer offset in the target
---@field length? integer get: bytes; default to the end
---@field block? integer bytes of one block, default 512 KiB
---@field blocks? integer how many, default 8
---@field sparse? boolean blocks of zeros are left out: the target must be empty there, and be given its size
---@field round_trip? number put: seconds to the server and back; who is near needs fewer bytes on their way

--- Copies into an open local file without a pass through Lua. Returns the bytes, and whether the end of this file was
--- met.
---@param file sshlua.core.File
---@param opts? sshlua.SftpTransfer
---@return integer bytes, boolean ended
function File:get(file, opts) return self:_call("get", file:fd(), opts) end

--- Copies `length` bytes of an open local file here. Returns the bytes, fewer when the local file has ended before, and
--- whether it has.
---@param file sshlua.core.File
---@param length integer
---@param opts? sshlua.SftpTransfer
---@return integer bytes, boolean ended, boolean holes something was left out
function File:put(file, length, opts) return self:_call("put", file:fd(), length, opts) end

--- Of the get or put under way, or the last one: bytes that are safe without a gap, bytes that have moved.
---@return integer safe, integer moved
function File:progress()
  require_open(self)
  return self.handle:progress()
end

--- Closes it; raises when the server says that something went wrong. Idempotent.
function File:close()
  local handle = self.handle
  if not handle then return end
  drop_ahead(self)
  self.handle = nil
  if self.sftp:is_alive() then self.sftp:_await("close", self.path, nil, handle) end
end
file_mt.__close = File.close

--- Closes it without waiting for an answer.
function File:abandon()
  local handle = self.handle
  if not handle then return end
  drop_ahead(self)
  self.handle = nil
  if self.sftp:is_alive() then handle:close(function() end) end
end

return M
