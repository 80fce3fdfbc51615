--- Standard input, copied to each of many hosts: what has come is kept, because hosts start at different times.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task")

local M = {}

local PIECE = 65536
local MAX = 64 * 1024 * 1024

local Source = {}
Source.__index = Source

local function wake(self)
  local waiting = self.waiting
  self.waiting = {}
  for _, event in ipairs(waiting) do event:set() end
end

--- Reads to the end; runs as a task beside the hosts.
function Source:read()
  local socket = self.socket
  local ok, err = pcall(function()
    while true do
      local bytes
      if socket then bytes = task.await(socket.read, socket, PIECE) else bytes = io.stdin:read(PIECE) end
      if not bytes then return end
      self.size = self.size + #bytes
      if self.size > MAX then
        errors.raise({
          kind = "limit", message = ("standard input is longer than %d MiB"):format(MAX / 1024 / 1024),
          hint = "copy a file with sshlua put, and read it there",
        })
      end
      self.pieces[#self.pieces + 1] = bytes
      wake(self)
    end
  end)
  self.ended, self.failure = true, not ok and err or nil
  wake(self)
end

--- A function that returns the next bytes, nil at the end; one for each host.
---@return fun(): string|nil
function Source:reader()
  local at = 0
  return function()
    at = at + 1
    while not self.pieces[at] and not self.ended do
      local event = sync.event()
      table.insert(self.waiting, event)
      event:wait()
    end
    if not self.pieces[at] and self.failure then error(self.failure, 0) end
    return self.pieces[at]
  end
end

function Source:close()
  if self.socket then
    self.program.release_stream(0)
    self.socket:close()
  end
end

--- Standard input unless it is a terminal or nothing at all; nil then.
---@param program table
---@return table|nil
function M.source(program)
  if core.isatty(0) then return nil end
  local st = core.fs_stat_sync("/dev/stdin")
  if st and st.type == "char" then return nil end -- /dev/null
  local socket = program.take_stream(0)
  return setmetatable({ program = program, socket = socket, pieces = {}, waiting = {}, size = 0 }, Source)
end

return M
