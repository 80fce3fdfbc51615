--- What `sshlua ssh` says to the person, on standard error or in the file of -E: one line each, as much as LogLevel
--- asks for. Must not know what it is about.

local core = require("sshlua.core")
local errors = require("sshlua.errors")

local M = {}

---@class sshlua.client.Words
---@field level integer see plan.lua
local Words = {}
local words_mt = { __index = Words }

---@param level integer
---@param file? file* in place of standard error
---@return sshlua.client.Words
function M.new(level, file) return setmetatable({ level = level, file = file, raw = false }, words_mt) end

--- Text as it is. On a raw terminal a line needs its carriage return.
function Words:show(text)
  if self.raw then text = text:gsub("\r?\n", "\r\n") end
  pcall(function()
    io.stdout:flush()
    io.stderr:write(text)
  end)
end

local function line(self, level, text)
  if self.level < level then return end
  text = ("sshlua: %s\n"):format(core.clean(text))
  if not self.file then return self:show(text) end
  self.file:write(text)
  self.file:flush()
end

function Words:info(text) line(self, 3, text) end
function Words:error(text) line(self, 2, text) end

--- An error that ends it, with its hint, in one line.
---@param err any
function Words:fatal(err)
  local text = tostring(err)
  local hint = errors.is(err) and err.hint
  if hint then text = ("%s (%s)"):format(text, (hint:gsub("%s*\n%s*", "; "))) end
  line(self, 1, (core.mask(text):gsub("%s*\n%s*", "; ")))
end

return M
