--- What the program prints while something else has the screen: kept in its order, and printed when the screen is free
--- again. Takes the place of io.stdout and io.stderr; what is written past them (by C) is not seen. Knows nothing of
--- boards.

local core = require("sshlua.core")

local M = {}

-- luacheck: push ignore 122

--- More than that goes to a temporary file without a name.
local IN_MEMORY = 1024 * 1024

local Held = {}
Held.__index = Held

--- To the file when there is much of it. One that cannot be had, or is full, leaves everything in memory.
local function spill(self)
  local text = table.concat(self.entries)
  self.entries, self.size = { text }, #text
  if self.no_file or #text < IN_MEMORY then return end
  self.file = self.file or io.tmpfile()
  if self.file and self.file:write(text) and self.file:flush() then
    self.spilt = (self.spilt or 0) + #text
    self.entries, self.size = {}, 0
  else
    self.no_file = true
  end
end

--- An entry is a letter, a length, a newline and the text.
local function put(self, stream, text)
  if text == "" then return end
  local entry = ("%s%d\n%s"):format(stream, #text, text)
  self.entries[#self.entries + 1] = entry
  self.size = self.size + #entry
  if self.size >= IN_MEMORY and not self.no_file then spill(self) end
end

--- In place of a file: what a script may call on io.stdout.
local function stand_in(self, stream, real)
  local file = {}
  function file.write(_, ...)
    for i = 1, select("#", ...) do put(self, stream, tostring((select(i, ...)))) end
    return file
  end
  function file.flush() return file end
  function file.setvbuf(_, ...) return real:setvbuf(...) end
  function file.seek(_, ...) return real:seek(...) end
  function file.close() return real:close() end
  return file
end

local function as_print(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
  io.stdout:write(table.concat(parts, "\t"), "\n")
end

--- From now on nothing is printed. Of standard error only what would go to a terminal is held.
---@return table held with release()
function M.hold()
  local self = setmetatable({ entries = {}, size = 0 }, Held)
  self.before = { stdout = io.stdout, stderr = io.stderr, write = io.write, print = _G.print, exit = os.exit }
  self.before.stdout:flush()
  io.stdout = stand_in(self, "o", io.stdout)
  if core.isatty(2) then io.stderr = stand_in(self, "e", io.stderr) end
  function io.write(...) return io.stdout:write(...) end
  _G.print = as_print
  function os.exit(...)
    self:release()
    os.exit(...)
  end
  return self
end

local function put_back(self)
  io.stdout, io.stderr, io.write = self.before.stdout, self.before.stderr, self.before.write
  _G.print, os.exit = self.before.print, self.before.exit
end

local function print_entries(text, last)
  local at = 1
  while true do
    local stream, size, to = text:match("^([oe])(%d+)\n()", at)
    if not stream or to + size - 1 > #text then break end
    local file = stream == "o" and io.stdout or io.stderr
    if file ~= last and last then last:flush() end
    last = file
    file:write(text:sub(to, to + size - 1))
    at = to + size
  end
  return text:sub(at), last
end

--- Prints what was held; from now on all is printed at once again. Again is nothing.
function Held:release()
  if self.released then return end
  self.released = true
  put_back(self)
  local left, last = "", nil
  if self.file then
    self.file:seek("set", 0)
    local to_go = self.spilt or 0
    while to_go > 0 do
      local piece = self.file:read(math.min(to_go, IN_MEMORY))
      if not piece then break end
      to_go = to_go - #piece
      left, last = print_entries(left .. piece, last)
    end
    self.file:close()
  end
  print_entries(table.concat(self.entries), last)
  io.stdout:flush()
  self.entries = {}
end

-- luacheck: pop

return M
