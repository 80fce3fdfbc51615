--- Processes at a terminal that are recorded: what passes their streams goes to the file, too.

local record = require("sshlua.record")
local stream = require("sshlua.stream")
local task = require("sshlua.task.core")

local M = {}

local await = task.await

local function nothing() end

--- Puts a recording between a process and its channel.
---@param p sshlua.Process nothing has been read of it yet
---@param opts sshlua.SpawnOptions with record
---@param label string the command in words
function M.attach(p, opts, label)
  local session, ch = p.session, p.ch
  local pty = type(opts.pty) == "table" and opts.pty or {}
  local rec = record.of_run(opts.record, session.name, pty, session.name .. ": " .. label)
  p.rec = rec
  p.stdout = stream.reader(function()
    local bytes = await(ch.read_any, ch)
    if bytes then rec:output(bytes) else rec:close() end
    return bytes
  end)
  p.stderr = stream.reader(nothing) -- a terminal has one output
  p.stdin = stream.writer(function(bytes)
    rec:input(bytes)
    await(ch.write, ch, bytes)
  end, function() await(ch.send_eof, ch) end, session.target and session.target.opts.max_write_buffer)
end

return M
