--- Scripts inside another program: with `arg`, with their output kept, and with an os.exit that ends them only.

local Result = require("sshlua.result").Result
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local task = require("sshlua.task")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

local function code_of(value)
  if value == nil or value == true then return 0 end
  if value == false then return 1 end
  return tonumber(value) or 1
end

--- fn(...) in which os.exit only ends it. Returns its exit code, or nil, and what pcall gave.
---@param fn fun(...): ...
---@return integer? code
---@return boolean ok
---@return any ...
function M.without_exit(fn, ...)
  local exit, ended = os.exit, nil
  os.exit = function(code) -- luacheck: ignore 122
    ended = ended or { code = code_of(code) }
    error(ended, 0)
  end
  local r = task.pack(pcall(fn, ...))
  os.exit = exit -- luacheck: ignore 122
  return ended and ended.code, unpack(r, 1, r.n)
end

--- fn(...); os.exit of something else than success is a failure.
function M.guarded(fn, ...)
  local code, ok, err = M.without_exit(fn, ...)
  if code and code ~= 0 then error(("the script ended with exit code %d"):format(code), 0) end
  if not ok and not code then error(err, 0) end
end

--- print and io.write go to a list.
local function captured(out, fn)
  local old_print, old_write = print, io.write
  local function write(...)
    for i = 1, select("#", ...) do out[#out + 1] = tostring((select(i, ...))) end
  end
  _G.print = function(...) -- luacheck: ignore 122
    local words = {}
    for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
    write(table.concat(words, "\t"), "\n")
  end
  io.write = function(...) -- luacheck: ignore 122
    write(...)
    return io.stdout
  end
  local r = task.pack(pcall(fn))
  _G.print, io.write = old_print, old_write -- luacheck: ignore 122
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

--- Runs a script file with `arg`, as the program would. What it prints (print, io.write) is the stdout, os.exit
--- gives its code; what it raises is raised.
---@param path string
---@param ... string its arguments
---@return sshlua.Result
function M.run(path, ...)
  if type(path) ~= "string" then errors.usage(2, "script: file name expected, got %s", type(path)) end
  local chunk, problem = loadfile(path)
  if not chunk then errors.raise({ kind = "config", op = "script", message = problem }) end
  local args, out, before, old = task.pack(...), {}, core.now(), rawget(_G, "arg")
  _G.arg = { [0] = path, ... }
  local code, ok, err = captured(out, function()
    return M.without_exit(chunk, unpack(args, 1, args.n))
  end)
  _G.arg = old
  if not ok and not code then error(err, 0) end
  return Result.new({
    host = "localhost", op = "script", cmd = { path, ... }, code = code or 0, stdout = table.concat(out),
    duration = core.now() - before,
  })
end

return M
