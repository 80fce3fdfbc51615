--- Standard streams on a channel with a recording between: as client/streams.lua, but through Lua. What cannot be
--- recorded is not shown either. Knows descriptors, a channel, a recording; must not know terminals.

local errors = require("sshlua.errors")
local streams = require("sshlua.client.streams")
local task = require("sshlua.task")

local M = {}

local await = task.await
local PIECE = 65536
local EPIPE = 32

local files = { [1] = io.stdout, [2] = io.stderr }

local function write_file(file, bytes)
  local ok, message, code = file:write(bytes)
  if ok then ok, message, code = file:flush() end
  if ok then return end
  errors.raise({ kind = "io", name = code == EPIPE and "EPIPE" or nil, message = message })
end

--- One output to its end.
---@param ch userdata
---@param stream 0|1
---@param to userdata|integer a stream of ours, or an open file
---@param words sshlua.client.Words
---@param recording sshlua.Recording
function M.out(ch, stream, to, words, recording)
  while true do
    local bytes = await(ch.read, ch, stream)
    if not bytes then break end
    recording:output(bytes, stream == 1 and "e" or "o")
    local ok, err
    if files[to] then ok, err = pcall(write_file, files[to], bytes) else ok, err = pcall(await, to.write, to, bytes) end
    if not ok then return streams.cannot_write(ch, stream, words, err) end
  end
  if not files[to] then to:close() end
end

--- What a command without a terminal is given, recorded.
---@param ch userdata
---@param from userdata|integer|nil
---@param words sshlua.client.Words
---@param recording sshlua.Recording
function M.input(ch, from, words, recording)
  streams.feed(ch, from and function()
    while true do
      local bytes
      if type(from) == "userdata" then bytes = await(from.read, from, PIECE) else bytes = io.stdin:read(PIECE) end
      if not bytes then return end
      recording:input(bytes)
      await(ch.write, ch, bytes)
    end
  end, words)
end

return M
