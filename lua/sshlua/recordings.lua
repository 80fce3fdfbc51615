--- Reading recordings: asciicast v2 files, ours and those of others. What a crash left half-written at the end is left
--- out. Knows files and their format; must not know terminals.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local text_of = require("sshlua.shell_text")

local M = {}

local LINE_MAX = 16 * 1024 * 1024
local LAST_MAX = 65536

local function bad(path, what)
  errors.raise({ kind = "io", op = "rec", path = path, message = path .. ": " .. what })
end

local function open(path)
  local file, problem = io.open(path, "rb")
  if not file then errors.raise({ kind = "io", op = "rec", path = path, message = problem }) end
  return file
end

local function read_header(file, path)
  local line = file:read("*l")
  local header = line and #line < LINE_MAX and core.json_decode(line)
  if type(header) ~= "table" or header.version ~= 2 then
    file:close()
    bad(path, "no recording: asciicast v2 expected")
  end
  return header
end

--- Calls fn(time, kind, text) for each event.
---@param path string
---@param fn fun(time: number, kind: string, text: string)
---@return table header
function M.each(path, fn)
  local file = open(path)
  local header = read_header(file, path)
  local ok, err = pcall(function()
    for line in file:lines() do
      local event = #line < LINE_MAX and core.json_decode(line)
      if type(event) == "table" and type(event[1]) == "number" and type(event[3]) == "string" then
        fn(event[1], event[2], event[3])
      end
    end
  end)
  file:close()
  if not ok then error(err, 0) end
  return header
end

--- What a recording is, without reading all of it.
---@return table { path, title, at (seconds since 1970, or nil), seconds, bytes, width, height }
function M.about(path)
  local file = open(path)
  local header = read_header(file, path)
  local size = file:seek("end")
  file:seek("set", math.max(0, size - LAST_MAX))
  local seconds = 0
  for line in (file:read("*a") or ""):gmatch("[^\n]+\n") do
    seconds = tonumber(line:match("^%[(%d+%.?%d*),.*%]%s*$")) or seconds
  end
  file:close()
  return {
    path = path, title = tostring(header.title or ""), at = tonumber(header.timestamp), seconds = seconds, bytes = size,
    width = tonumber(header.width) or 0, height = tonumber(header.height) or 0,
  }
end

--- The lines that a person has seen, without control sequences: fn(line, time of its beginning).
---@param fn fun(line: string, time: number)
function M.lines(path, fn)
  local strip, held, began = text_of.stripper(), {}, nil
  local function finish()
    if held[1] then fn(text_of.line(table.concat(held)), began) end
    held, began = {}, nil
  end
  M.each(path, function(time, kind, text)
    if kind ~= "o" then return end
    text = strip(text)
    local from = 1
    while true do
      local at = text:find("\n", from, true)
      if not at and from > #text then break end
      began = began or time
      held[#held + 1] = text:sub(from, at and at - 1)
      if not at then break end
      finish()
      from = at + 1
    end
  end)
  finish()
end

return M
