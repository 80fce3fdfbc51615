--- `--record DIR` of commands on many hosts: a recording for each host that something was run on. Commands have no
--- terminal: both outputs are one text, with line ends as a terminal needs them.

local lazy = require("sshlua.lazy")
local sync = require("sshlua.task.sync")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = {}

local function ignore() end

--- What stands before a command's output, once.
local function begun(state)
  local front = state.front
  state.front = nil
  if state.recording and front then state.recording:output(front) end
  return state.recording
end

--- The recording of one host, made when there is something for it; several tasks may want it at once.
local function recording_of(state, h, title)
  if state.recording then return begun(state) end
  if state.opening then
    state.opening:wait()
    return begun(state)
  end
  state.opening = sync.event()
  local ok, r = pcall(lazy.load("sshlua.record").of_run, state.option, h.name, {}, title, true)
  if ok then state.recording = r end
  state.opening:set()
  if not ok then error(r, 0) end
  return begun(state)
end

local function tapped(state, h, title, more)
  local sink, stdin = more.sink or ignore, more.stdin
  function more.sink(bytes, stream)
    local recording = recording_of(state, h, title)
    if recording then recording:output(bytes, stream == "stderr" and "e" or "o") end
    sink(bytes, stream)
  end
  if stdin and state.option.input then
    function more.stdin()
      local bytes = stdin()
      local recording = bytes and recording_of(state, h, title)
      if recording then recording:input(bytes) end
      return bytes
    end
  end
  return more
end

--- nil when nothing is to be recorded. Raises usage, and kind io when the directory cannot be made.
---@param o table of cli/fleet_args.lua
---@param session? boolean several commands one after the other are one recording, each with its text in front
function M.new(o, session)
  if o.record_input and not o.record then misuse("--record-input goes with --record") end
  if not o.record then return nil end
  local option = { to = lazy.load("sshlua.record").into(o.record), input = o.record_input }
  local states = {}
  local self = {}

  --- Runs the command by fn(h, more), recorded.
  function self.run(h, command, more, fn)
    local state, title = { option = option }, h.name .. ": " .. command
    if session then
      state, title = states[h] or state, h.name
      states[h] = state
      state.front = "$ " .. command .. "\n"
    end
    local ok, r = pcall(fn, h, tapped(state, h, title, more))
    if ok then recording_of(state, h, title) end -- also of a command that says nothing
    if not session and state.recording then state.recording:close() end
    if not ok then error(r, 0) end
    return r
  end

  return self
end

return M
