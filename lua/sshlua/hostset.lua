--- Host expressions: `app@web[01-20,33].dc1,@db!db13,^more.txt` to hosts, names to the shortest expression.
--- The grammar is in hostset_expression and hostset_parse, sets are hostset_algebra's; docs/hosts.md tells all of it.
--- Must not know inventories or connections: groups come from a function.

local errors = require "sshlua.errors"

local M = {}

M.LIMIT = 2000000
local MAX_FILE = 256 * 1024 * 1024

---@class sshlua.HostSpec
---@field name string
---@field user? string
---@field port? integer

---@class sshlua.HostOptions
---@field limit? integer how many hosts may be named, counted before anything is expanded; default 2,000,000
---@field exclude? string an expression whose hosts are taken away
---@field sources? sshlua.HostSources where groups and files come from; default: files are read, no groups
---@field select? boolean the grammar of inventories: ":" is ",", no ports, "*" and "?" match
---@field before? sshlua.HostOperand[] what stands before the expression
---@field level? integer as in error(), puts that caller's file:line in front of a usage error

--- The text of a file. A pipe or device could make everybody wait: those are read where a task can wait for them.
local function read_file(path)
  local file, problem = io.open(path, "rb")
  local text
  if file then
    text, problem = file:read(MAX_FILE + 1)
    file:close()
    if not text and not problem then text = "" end
  end
  if not text then errors.raise { kind = "io", message = tostring(problem), op = "hosts" } end
  if #text > MAX_FILE then
    errors.raise { kind = "limit", message = ("%s: more than %d bytes"):format(path, MAX_FILE), op = "hosts" }
  end
  return text
end

--- Loaded when first used: a script that names one host needs none of it.
local function algebra() return require "sshlua.hostset_algebra" end
local function expression() return require "sshlua.hostset_expression" end
local function fold() return require "sshlua.hostset_fold" end

local default_sources = { read = read_file }

--- Several words of a command line are one expression.
local function parse_all(texts, options, limit)
  local operands = options.before
  for i, text in ipairs(type(texts) == "table" and texts or { texts }) do
    operands = expression().parse(text, {
      limit = limit, sources = options.sources or default_sources, select = options.select, before = operands,
      where = i > 1 and ("\"%s\": "):format(errors.excerpt(text, 60)) or nil,
    })
  end
  return operands or {}
end

local function parse(texts, options)
  local limit = options.limit or M.LIMIT
  local operands = parse_all(texts, options, limit)
  if options.exclude then
    local out = parse_all(options.exclude, { sources = options.sources, select = options.select }, limit)
    operands = { (table.unpack or unpack)(operands) } -- luacheck: ignore 143
    operands[#operands + 1] = { op = "!", words = expression().flatten(out) }
  end
  return operands
end

--- Runs fn; a usage error of the expression gets the caller's line in front if that was asked for.
local function blaming(options, fn, ...)
  local good, result = pcall(fn, ...)
  if good then return result end
  if options.level and errors.is(result, "usage") then errors.usage(options.level + 2, "%s", result.message) end
  error(result, 0)
end

local function check_text(texts, options)
  if type(texts) == "string" then return end
  if type(texts) == "table" then
    for _, text in ipairs(texts) do
      if type(text) ~= "string" then texts = text end
    end
    if type(texts) == "table" then return end
  end
  errors.usage((options.level or 1) + 2, "host expression: string expected, got %s", type(texts))
end

--- Calls visit(name, user, port) for each host of an expression, in its order, each once. Nothing is kept of hosts that
--- no other part of the expression can name, however many there are.
---@param texts string|string[]
---@param options sshlua.HostOptions|nil
---@param visit fun(name: string, user?: string, port?: integer)
function M.each(texts, options, visit)
  options = options or {}
  check_text(texts, options)
  algebra().each(blaming(options, parse, texts, options), visit)
end

--- How many hosts an expression names.
---@param texts string|string[]
---@param options? sshlua.HostOptions
---@return integer
function M.count(texts, options)
  options = options or {}
  check_text(texts, options)
  return algebra().count(blaming(options, parse, texts, options))
end

--- Only the fields it needs: a table for three would cost twice the memory, times two million.
local function new_host(name, user, port)
  if user and port then return { name = name, user = user, port = port } end
  if user then return { name = name, user = user } end
  if port then return { name = name, port = port } end
  return { name = name }
end

--- The hosts of an expression in its order, each once.
---
--- Raises kind usage with the column (`column 4: unclosed bracket in "web[1-3"`), kind limit when it names more
--- hosts than the limit, which is counted before anything is expanded, and kind io for a file that cannot be read.
---@param texts string|string[] several are one expression
---@param options? sshlua.HostOptions
---@return sshlua.HostSpec[]
function M.expand(texts, options)
  options = options or {}
  check_text(texts, options)
  local operands = blaming(options, parse, texts, options)
  local hosts = {}
  algebra().each(operands, function(name, user, port) hosts[#hosts + 1] = new_host(name, user, port) end)
  return hosts
end

--- One host as text that expand() reads back: user@name:port, IPv6 in brackets where it needs them.
---@param host sshlua.HostSpec
---@return string
function M.format(host)
  local name = host.name
  if host.port and name:find(":", 1, true) then name = "[" .. name .. "]" end
  return (host.user and host.user .. "@" or "") .. name .. (host.port and ":" .. host.port or "")
end

--- Names that differ in numbers as the shortest expression for the same set: "web[01-03],db1".
---@param names (string|sshlua.HostSpec)[]
---@return string
function M.fold(names)
  local list = {}
  for i, name in ipairs(names) do list[i] = type(name) == "table" and M.format(name) or name end
  local texts = {}
  for i, part in ipairs(fold().parts(list)) do texts[i] = part.text end
  return table.concat(texts, ",")
end

--- The same as a list of pieces with the number of names each stands for, for printing with a limit.
---@param names string[]
---@return { text: string, count: integer }[]
function M.fold_parts(names) return fold().parts(names) end

return M
