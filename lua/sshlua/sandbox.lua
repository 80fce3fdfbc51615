--- Lua files that say something and do nothing: config.lua, inventories. They return a table, see the environment of
--- the process and pure functions, and end within a bound.

local errors = require("sshlua.errors")

local M = {}

local STEPS = 5e7 -- instructions of Lua, a second

local function copy(library, names)
  local out = {}
  for name in names:gmatch("%S+") do out[name] = library[name] end
  return out
end

--- What such a file sees, new for each: nothing that it changes reaches anybody else.
local function environment()
  local env = copy(_G, "assert error ipairs next pairs select tonumber tostring type")
  env.string = copy(string, "byte char find format gmatch gsub len lower match rep reverse sub upper")
  env.table = copy(table, "concat insert remove sort")
  env.table.unpack = table.unpack or unpack -- luacheck: ignore 143
  env.math = {}
  for name, value in pairs(math) do env.math[name] = value end
  env.os = copy(os, "getenv time date")
  return env
end

local function bounded(fn)
  local hook, mask, count = debug.gethook()
  debug.sethook(function() error("it does not come to an end", 2) end, "", STEPS)
  local r = { pcall(fn) }
  debug.sethook(hook, mask, count)
  return r[1], r[2]
end

--- The table that a file returns. Raises kind config, naming file and line.
---@param text string
---@param path string for messages
---@return table
function M.run(text, path)
  if text:sub(1, 1) == "\27" then
    errors.raise({ kind = "config", message = path .. ": compiled Lua is not read here" })
  end
  if text:find("^#") then text = "--" .. text end -- a shebang
  local chunk, message = load(text, "@" .. path, "t", environment())
  if chunk and rawget(_G, "jit") then jit.off(chunk, true) end -- luacheck: ignore 143 113
  local ok, value = false, message
  if chunk then ok, value = bounded(chunk) end
  if not ok then
    errors.raise({ kind = "config", message = type(value) == "string" and value or path .. ": it raised no text" })
  end
  if type(value) ~= "table" then
    errors.raise({
      kind = "config", message = ("%s: a table expected, it returned %s"):format(path, type(value)),
      hint = "the file ends with: return { ... }",
    })
  end
  return value
end

return M
