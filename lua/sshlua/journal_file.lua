--- A journal on disk: lines that are there, synced, before anybody goes on. Many that wait share one sync. Reading one
--- that ended at any byte. Knows lines of JSON; must not know what they mean.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local json = require("sshlua.json")
local scope = require("sshlua.task.scope")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

local M = {}

local await = task.await

---@class sshlua.JournalFile
local File = {}
File.__index = File

local function raise(path, err)
  local e = errors.from(err, { op = "journal" })
  if not e.message:find(path, 1, true) then e.message = path .. ": " .. e.message end
  error(e, 0)
end

--- Opens for writing: a new file, or one that is there, behind its last whole line. Only its owner may read it.
---@param path string
---@param size? integer of what is there and good; nil: a new file
---@return sshlua.JournalFile
function M.open(path, size)
  local ok, file = pcall(await, core.fs_open, path, size and "r+" or "wx", 384)
  if not ok then
    if errors.is(file) and file.name == "EEXIST" then
      errors.raise({
        kind = "io", name = "EEXIST", op = "journal", message = ("there is a journal %s already"):format(path),
        hint = "--resume goes on with it; or take another name",
      })
    end
    raise(path, file)
  end
  if size then await(file.truncate, file, size) end
  return setmetatable({ path = path, file = file, at = size or 0 }, File)
end

local function write_batch(self, batch)
  local text = table.concat(batch.lines)
  local ok, err = pcall(function()
    await(self.file.write, self.file, text, self.at)
    await(self.file.fsync, self.file)
  end)
  if ok then self.at = self.at + #text else batch.failure = err end
  if not ok and not batch.waited then self.lost = err end -- nobody has heard of it yet
  batch.written:set()
end

--- The first who comes writes for all who come while it does.
local function lead(self)
  self.writing = true
  while self.batch do
    local batch = self.batch
    self.batch = nil
    write_batch(self, batch)
  end
  self.writing = false
end

--- The object is a line of what is written next: by the next commit at the latest.
---@param object table
---@return table batch
function File:append(object)
  if self.closed then errors.raise({ kind = "closed", message = "the journal is closed", op = "journal" }) end
  local batch = self.batch
  if not batch then
    batch = { lines = {}, written = sync.event() }
    self.batch = batch
  end
  batch.lines[#batch.lines + 1] = json.encode(object) .. "\n"
  return batch
end

--- Returns when the object is on disk as a line. Is not ended by cancelling: what is being written will be there.
---@param object table
function File:commit(object)
  if self.lost then raise(self.path, self.lost) end
  local batch = self:append(object)
  batch.waited = true
  scope.shield(function()
    if not self.writing then lead(self) end
    batch.written:wait()
  end)
  if batch.failure then raise(self.path, batch.failure) end
end

function File:close()
  if self.closed then return end
  self.closed = true
  pcall(scope.shield, await, self.file.close, self.file)
end

--- The objects of a journal, and the size of its whole lines: a last line without end was never finished, and what it
--- announces never begun.
---@param path string
---@param what? string what it should be; default "journal"
---@return table[]
---@return integer size
function M.read(path, what)
  what = what or "journal"
  local file, problem = io.open(path, "rb")
  if not file then errors.raise({ kind = "io", message = problem, op = what }) end
  local list, size, number = {}, 0, 0
  for line in file:lines("L") do
    number = number + 1
    if line:sub(-1) ~= "\n" then break end
    local value, err = core.json_decode(line)
    if type(value) ~= "table" then
      file:close()
      errors.raise({
        kind = "config", op = what, message = ("%s:%d: not a line of a %s%s"):format(path, number, what,
          err and ": " .. err.message or ""),
      })
    end
    list[#list + 1] = value
    size = size + #line
  end
  file:close()
  return list, size
end

return M
