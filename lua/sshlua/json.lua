--- ssh.json: encode, decode, load, save. The rules of what becomes what are in src/base/json.h; this file
--- adds the Errors and the files.

local core = require "sshlua.core"
local errors = require "sshlua.errors"

local M = {}

--- Stands for JSON's null in lists and objects, in both directions. It is true in a test: compare with ==.
M.null = core.json_null

local function mark(t, metatable, what)
  t = t == nil and {} or t
  if type(t) ~= "table" then errors.usage(3, "json.%s: table expected, got %s", what, type(t)) end
  local old = getmetatable(t)
  if old ~= nil and old ~= core.json_array and old ~= core.json_object then
    errors.usage(3, "json.%s: the table has a metatable of its own", what)
  end
  return setmetatable(t, metatable)
end

--- Marks a table (a new one without argument) as an array: anything but a list in it is an error.
---@generic T: table
---@param t? T
---@return T
function M.array(t)
  t = mark(t, core.json_array, "array")
  return t
end

--- Marks a table (a new one without argument) as an object, also when it is empty or has numbers as keys.
---@generic T: table
---@param t? T
---@return T
function M.object(t)
  t = mark(t, core.json_object, "object")
  return t
end

local known = { pretty = true, sort = true }

local function encode(value, options, what, level)
  if options ~= nil and type(options) ~= "table" then
    errors.usage(level + 1, "%s: options: table expected, got %s", what, type(options))
  end
  for name in pairs(options or {}) do
    if not known[name] then
      errors.usage(level + 1, "%s: unknown option %s", what, errors.excerpt(tostring(name), 40))
    end
  end
  local text, e = core.json_encode(value, options)
  if text then return text end
  if e.kind == "usage" then errors.usage(level + 1, "%s: %s", what, e.message) end
  errors.raise(errors.from(e, { op = what }))
end

---@class sshlua.JsonOptions
---@field pretty? boolean indented by two blanks; default false, true for save
---@field sort? boolean keys in byte order, so that equal values give equal text; default true

--- A value as JSON text. Raises kind usage, naming the path of what cannot be encoded (`.a.b[3]`), and kind
--- limit for more than 128 levels.
---@param value any
---@param options? sshlua.JsonOptions
---@return string
function M.encode(value, options)
  local text = encode(value, options, "json.encode", 2)
  return text
end

--- JSON text as a value. Raises kind protocol with `line` and `column`, kind limit for more than 128 levels.
---@param text string
---@return any
function M.decode(text)
  if type(text) ~= "string" then errors.usage(2, "json.decode: string expected, got %s", type(text)) end
  local value, e = core.json_decode(text)
  if e then errors.raise(errors.from(e, { op = "json.decode" })) end
  return value
end

local function check_path(path, what, level)
  if type(path) ~= "string" then errors.usage(level + 1, "%s: path: string expected, got %s", what, type(path)) end
  if path == "" or path:find("\0", 1, true) then
    errors.usage(level + 1, "%s: the path is empty or contains a NUL byte", what)
  end
end

--- The value in a JSON file. Raises kind io when it cannot be read, kind config when it is no JSON.
---@param path string
---@return any
function M.load(path)
  check_path(path, "json.load", 2)
  local file, problem, code = io.open(path, "rb")
  local text
  if file then
    text, problem, code = file:read("*a")
    file:close()
  end
  if not text then
    problem = problem or "cannot be read"
    local message = problem:sub(1, #path) == path and problem or path .. ": " .. problem
    errors.raise { kind = "io", message = message, code = code, op = "json.load" }
  end
  local value, e = core.json_decode(text)
  if e then
    local kind = e.kind == "protocol" and "config" or e.kind
    errors.raise(errors.from(e, { kind = kind, message = path .. ": " .. e.message, op = "json.load" }))
  end
  return value
end

--- Writes a value as a JSON file that is whole or not there at all: temporary file, sync, rename. A new file
--- gets the mode the umask leaves, an existing one keeps its own. Raises as encode does, and kind io.
---@param path string
---@param value any
---@param options? sshlua.JsonOptions pretty is true by default here
function M.save(path, value, options)
  check_path(path, "json.save", 2)
  local merged = options
  if options == nil or type(options) == "table" then
    merged = { pretty = true }
    for k, v in pairs(options or {}) do merged[k] = v end
  end
  local text = encode(value, merged, "json.save", 2)
  local _, e = core.save_file(path, text .. "\n")
  if e then errors.raise(errors.from(e, { op = "json.save" })) end
end

return M
