--- The interactive mode: reads a statement, runs it in the root task, shows what it returns; again. Calls may wait, and
--- while a person types sessions and timers go on. ^C clears the line, or cancels the call that runs.

local core = require("sshlua.core")
local guard = require("sshlua.cli.guard")
local line_input = require("sshlua.cli.line_input")
local report = require("sshlua.cli.report")
local task = require("sshlua.task.core")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

local CHUNK = "=stdin"

--- Statements ---------------------------------------------------------------------------------------------------------

local function is_incomplete(message) return message:sub(-5) == "<eof>" end

--- As an expression, else as a statement. Returns a function; or nil, a message, and whether more text may cure it.
local function compile(text)
  local expression, expression_error = load("return " .. text, CHUNK)
  if expression then return expression end
  local statement, message = load(text, CHUNK)
  if statement then return statement end
  if is_incomplete(message) or is_incomplete(expression_error) then return nil, message, true end
  return nil, message
end

local function prompt_text(name, default)
  local prompt = _G[name]
  return prompt == nil and default or tostring(prompt)
end

--- Returns a function, or nil and a message; nothing at the end of input.
local function read_statement(input)
  local text = input:read(prompt_text("_PROMPT", "> "))
  if not text then return nil end
  text = text:gsub("^=", "return ", 1)
  while true do
    local chunk, message, more = compile(text)
    if not more then return chunk, message end
    local line = input:read(prompt_text("_PROMPT2", ">> "))
    if not line then return chunk, message end
    text = text .. "\n" .. line
  end
end

--- Running ------------------------------------------------------------------------------------------------------------

local function complain(text)
  io.stdout:flush()
  io.stderr:write(text, "\n")
end

local function show(r)
  if r.n < 2 then return end
  local ok, message = pcall(print, unpack(r, 2, r.n))
  if not ok then complain(("error calling 'print' (%s)"):format(tostring(message))) end
end

local function run(program, chunk)
  local frames
  local function note(err)
    frames = report.frames(program, 2)
    return err
  end
  local r, cancelled = guard.run(function()
    local results = task.pack(xpcall(chunk, note))
    if not results[1] then error(results[2], 0) end
    return unpack(results, 2, results.n)
  end)
  program.untold() -- a ^C that has ended this call is not for the next line
  if r[1] then return show(r) end
  complain(cancelled and "interrupted" or report.text(program, r[2], frames or {}))
end

--- Reads and runs one statement; false at the end of input.
local function turn(program, input)
  local r, cancelled = guard.run(read_statement, input)
  if cancelled then
    io.stdout:write(input.cleared)
    return true
  end
  if not r[1] then error(r[2], 0) end
  local chunk, message = r[2], r[3]
  if chunk then
    run(program, chunk)
  elseif message then
    complain(message)
  else
    return false
  end
  return true
end

--- Returns the exit code.
---@param program table
function M.run(program)
  if program.find("sshlua") and _G.ssh == nil then _G.ssh = require("sshlua") end
  local input = line_input.editor(program, { complete = require("sshlua.cli.complete").complete, history = "history" })
    or line_input.stdio(program)
  print(("sshlua %s, %s"):format(core.VERSION, program.lua))
  local pop = guard.take()
  local ok, err = pcall(function()
    while turn(program, input) do end -- luacheck: ignore 542
  end)
  pop()
  input.close()
  if not ok then error(err, 0) end
  io.stdout:write("\n")
  return 0
end

return M
