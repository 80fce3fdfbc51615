--- Bytes of several streams as whole lines. A line without end is handed out in pieces. Pure but for `told`.

local events = require("sshlua.events")

local M = {}

--- So much of one line is kept while its end has not come.
local LONGEST = 65536

--- A splitter: feed(bytes) calls emit(line, whole) for each line without its newline, finish() for what is left.
---@param emit fun(line: string)
---@return { feed: fun(bytes: string), finish: fun() }
function M.splitter(emit)
  local parts, size = {}, 0
  local function flush()
    local line = table.concat(parts)
    parts, size = {}, 0
    emit((line:gsub("\r$", "")))
  end
  local function keep(text)
    if text == "" then return end
    parts[#parts + 1] = text
    size = size + #text
    if size >= LONGEST then flush() end
  end
  return {
    feed = function(bytes)
      local from = 1
      while true do
        local at = bytes:find("\n", from, true)
        if not at then return keep(bytes:sub(from)) end
        parts[#parts + 1] = bytes:sub(from, at - 1)
        from = at + 1
        flush()
      end
    end,
    finish = function()
      if size > 0 then flush() end
    end,
  }
end

--- A sink that tells events what a host says, and hands the bytes on.
---@param h sshlua.Host
---@param sink? fun(bytes: string, stream: string)|table
---@return fun(bytes: string, stream: string)
function M.told(h, sink)
  local splitters = {}
  for _, stream in ipairs({ "stdout", "stderr" }) do
    splitters[stream] = M.splitter(function(line)
      if events.wants("line") then events.emit({ what = "line", host = h.name, stream = stream, line = line }) end
    end)
  end
  return function(bytes, stream)
    if events.wants("line") then splitters[stream].feed(bytes) end
    if events.wants("output") then
      events.emit({ what = "output", host = h.name, target = h.target, stream = stream, bytes = bytes })
    end
    if type(sink) == "function" then return sink(bytes, stream) end
    if sink then sink:write(bytes) end
  end
end

return M
