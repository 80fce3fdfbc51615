--- A person at the terminal who talks to a command that has one: raw settings while it lasts, keys and the escape key,
--- the terminal's size. Knows a channel and a terminal; must not know how the session began.

local core = require("sshlua.core")
local escape = require("sshlua.client.escape")
local log = require("sshlua.log")
local task = require("sshlua.task")

local M = {}

local await = task.await
local PIECE = 65536
local BREAK_MS = "\0\0\3\232" -- 1000, as ssh asks for

local function ignore() end

---@class sshlua.client.Person
---@field ch userdata
---@field plan sshlua.client.Plan
---@field words sshlua.client.Words
---@field host string
---@field background? fun() lets go of the terminal
---@field socket? userdata where keys come from; nil: standard input is a file
---@field recording? sshlua.Recording
---@field quit fun() ends the connection at once
local Person = {}
local person_mt = { __index = Person }

--- Columns and rows; 0 where there is no terminal, as ssh says it.
---@return integer cols, integer rows
function M.size()
  local rows, cols = core.tty_size(0)
  return cols or 0, rows or 0
end

---@param fields sshlua.client.Person
---@return sshlua.client.Person
function M.new(fields)
  fields.escape = escape.new(fields.plan.escape)
  return setmetatable(fields, person_mt)
end

--- The terminal on standard input is ours, raw.
function Person:take_terminal()
  local tty, err = core.tty_raw(0)
  if not tty then error(err, 0) end
  self.socket, self.raw, self.words.raw = tty, true, true
  core.signal("WINCH", function() self:resize() end)
end

--- The terminal as it was. Again is nothing.
function Person:give_back()
  if not self.raw then return end
  self.raw, self.words.raw = false, false
  core.signal("WINCH", nil)
  core.tty_restore()
end

function Person:resize()
  local cols, rows = M.size()
  pcall(self.ch.resize, self.ch, cols, rows, ignore)
  if self.recording then self.recording:resize(cols, rows) end
end

--- The escape key's commands ------------------------------------------------------------------------------------------

local commands = {}

commands["."] = function(self)
  self:show(".")
  self.quit()
  return true
end

commands["\26"] = function(self)
  self:show("^Z [suspended]")
  core.kill(core.getpid(), "TSTP") -- its handler puts the terminal back, stops, and makes it raw again
  self:resize()
end

commands["?"] = function(self) self.words:show("\r\n" .. escape.help(self.plan.escape)) end

commands["#"] = function(self)
  self:show("#")
  self.words:show(("open connections:\r\n  #0 %s to %s%s\r\n"):format(self.plan.what, self.host,
    self.plan.pty and ", with a terminal" or ""))
end

commands["B"] = function(self)
  self:show("B [sent a BREAK]")
  pcall(self.ch.notice, self.ch, "break", BREAK_MS, ignore)
end

commands["R"] = function(self)
  self:show("R: not supported; the server may begin a key exchange, this client cannot")
end

commands["C"] = function(self)
  if self.plan.escape_commands then return self:show("C: forwardings are not part of this version") end
  self:show("C: the command line is off (EnableEscapeCommandline)")
end

commands["&"] = function(self)
  if not self.background then return self:show("&: not possible here") end
  self:show("& [in the background]")
  self:give_back()
  self.background()
  pcall(self.ch.send_eof, self.ch, ignore)
  return true
end

local function verbosity(step)
  return function(self)
    log.set_level(math.max(0, math.min(3, log.level + step)))
    self.words.level = math.max(0, math.min(3, self.words.level + step))
    self:show(("%s [-v %d times]"):format(step > 0 and "v" or "V", log.level))
  end
end
commands["v"], commands["V"] = verbosity(1), verbosity(-1)

--- The escape key and what was typed after it, on a line of its own.
function Person:show(text) self.words:show(("%s%s\r\n"):format(escape.name(self.plan.escape), text)) end

--- Keys ---------------------------------------------------------------------------------------------------------------

--- Sends typed bytes; true when a command has ended the talking.
local function typed(self, bytes)
  local at = 1
  while at <= #bytes do
    local send, command
    send, command, at = self.escape:next(bytes, at)
    if send ~= "" then
      if self.recording then self.recording:input(send) end
      await(self.ch.write, self.ch, send)
    end
    if command and commands[command](self) then return true end
  end
  return false
end

local function next_bytes(self)
  if self.socket then return await(self.socket.read, self.socket, PIECE) end
  return io.stdin:read(PIECE)
end

--- From the keys to the command, until its input ends.
function Person:talk()
  while true do
    local bytes = next_bytes(self)
    if not bytes then break end
    if typed(self, bytes) then return end
  end
  await(self.ch.send_eof, self.ch)
end

return M
