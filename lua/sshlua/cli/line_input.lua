--- Lines of a person or a pipe: edited on a terminal, with a history, or as they come. read(prompt) returns a line, nil
--- at the end; it waits as a task does.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local task = require("sshlua.task.core")

local M = {}

local PIECE, LINE_MAX = 65536, 1024 * 1024

--- On the terminal; nil without one. ^C while it reads is a cancellation; `cleared` is then to be shown.
---@param program table
---@param o { history: string, complete?: fun(text: string): string?, string?, one_line?: boolean } one_line: of a paste
--- each line waits for Enter
---@return table|nil
function M.editor(program, o)
  if not program.editor then return nil end
  local editor = program.editor(o.complete or function() end, o.one_line or false)
  if not editor then return nil end
  local history = require("sshlua.cli.history").open(o.history)
  for _, line in ipairs(history.lines) do editor:add(line) end
  local function refresh() editor:refresh() end
  core.signal("WINCH", refresh)
  core.signal("CONT", refresh)
  return {
    cleared = "^C\n",
    read = function(_, prompt)
      io.stdout:flush()
      local line = task.await(editor.read, editor, prompt)
      if line and line:find("%S") then
        editor:add(line)
        history:add(line)
      end
      return line
    end,
    --- How many pasted lines wait.
    waiting = function() return editor:waiting() end,
    close = function()
      core.signal("WINCH", nil)
      core.signal("CONT", nil)
    end,
  }
end

--- By stdio, each line when it is there, so that what runs may read the lines after it. Unbuffered: what stdio had read
--- ahead would not be seen by `readable`.
function M.stdio(program)
  io.stdin:setvbuf("no")
  return {
    cleared = "\n", -- the terminal itself has shown ^C
    read = function(_, prompt)
      io.stdout:write(prompt)
      io.stdout:flush()
      task.await(program.readable, 0)
      return io.stdin:read("l")
    end,
    close = function() end,
  }
end

--- From a pipe or a file, which is ours alone: while half a line has come, everything else goes on.
function M.pipe(program)
  local socket, held = program.take_stream(0), ""
  local function more()
    if socket then return task.await(socket.read, socket, PIECE) end
    return io.stdin:read(PIECE)
  end
  return {
    read = function()
      while not held:find("\n", 1, true) do
        local bytes = more()
        if not bytes then
          local last = held
          held = ""
          return last ~= "" and last or nil
        end
        held = held .. bytes
        if #held > LINE_MAX and not bytes:find("\n", 1, true) then
          errors.raise({ kind = "limit", message = ("a line is longer than %d bytes"):format(LINE_MAX) })
        end
      end
      local line, rest = held:match("^(.-)\n(.*)$")
      held = rest
      return line
    end,
    close = function()
      if socket then
        program.release_stream(0)
        socket:close()
      end
    end,
  }
end

return M
