--- Host expressions: `app@web[01-20,33].dc1,db[1-4/2]:2222` to hosts, names to the shortest expression.
--- A first cut of ClusterShell's and pdsh's common grammar: ranges, steps, padding, several brackets, users,
--- ports, IPv6. Knows how ranges unfold; must not know groups, files or connections.

local errors = require "sshlua.errors"
local fold = require "sshlua.hostset_fold"
local parse = require("sshlua.hostset_parse").parse

local M = {}

local LIMIT = 2000000
local MAX_NAME = 255

---@class sshlua.HostSpec
---@field name string
---@field user? string
---@field port? integer

--- Calls visit(prefix .. value .. suffix) for each value of a bracket, in one format: there may be millions.
local function each_value(bracket, prefix, suffix, visit)
  for _, range in ipairs(bracket.ranges) do
    local format = "%s%0" .. math.max(range.width, 1) .. ".0f%s"
    for n = range.low, range.high, range.step do visit(format:format(prefix, n, suffix)) end
  end
end

--- Calls visit(name) for each name of the pieces, the last bracket counting fastest.
local function each_name(pieces, visit)
  local function descend(i, prefix)
    while type(pieces[i]) == "string" do
      prefix = prefix .. pieces[i]
      i = i + 1
    end
    local bracket, suffix = pieces[i], type(pieces[i + 1]) == "string" and pieces[i + 1] or ""
    if not bracket then return visit(prefix) end
    local following = i + (suffix == "" and 1 or 2)
    if not pieces[following] then return each_value(bracket, prefix, suffix, visit) end
    each_value(bracket, prefix, suffix, function(longer) descend(following, longer) end)
  end
  descend(1, "")
end

--- False when no name can come twice, so that nothing has to be remembered: one word, a single range in each
--- bracket, and text that shows where the numbers end between two brackets.
local function may_repeat(items)
  if #items > 1 then return true end
  local apart = true
  for _, piece in ipairs(items[1].pieces) do
    if type(piece) == "string" then
      apart = apart or piece:find("%D") ~= nil
    elseif not apart or #piece.ranges > 1 then
      return true
    else
      apart = false
    end
  end
  return false
end

--- Only the fields it needs: a table for three would cost twice the memory, times two million.
local function new_host(name, user, port)
  if user and port then return { name = name, user = user, port = port } end
  if user then return { name = name, user = user } end
  if port then return { name = name, port = port } end
  return { name = name }
end

local function expand(expression, limit)
  local items = parse(expression, limit)
  local hosts, seen = {}, may_repeat(items) and {} or nil
  for _, item in ipairs(items) do
    local user, port = item.user, item.port
    local before, behind = (user or "") .. "@", ":" .. (port or "")
    each_name(item.pieces, function(name)
      if #name > MAX_NAME then
        errors.raise { kind = "usage", message = ("column %d: a host name of %d bytes; %d is the most"):format(
          item.column, #name, MAX_NAME) }
      end
      if seen then
        local key = (user or port) and before .. name .. behind or name -- a bare name has no @
        if seen[key] then return end
        seen[key] = true
      end
      hosts[#hosts + 1] = new_host(name, user, port)
    end)
  end
  return hosts
end

--- The hosts of an expression in its order, each once.
---
--- Raises kind usage with the column (`column 4: unclosed bracket in "web[1-3"`), kind limit when it names more
--- hosts than the limit, which is counted before anything is expanded.
---@param expression string
---@param options? { limit?: integer, level?: integer } level: as in error(), puts that caller's file:line in front
---@return sshlua.HostSpec[]
function M.expand(expression, options)
  options = options or {}
  if type(expression) ~= "string" then
    errors.usage((options.level or 1) + 1, "host expression: string expected, got %s", type(expression))
  end
  local good, hosts = pcall(expand, expression, options.limit or LIMIT)
  if good then return hosts end
  if options.level and errors.is(hosts, "usage") then errors.usage(options.level + 1, "%s", hosts.message) end
  error(hosts, 0)
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
  for i, part in ipairs(fold.parts(list)) do texts[i] = part.text end
  return table.concat(texts, ",")
end

--- The same as a list of pieces with the number of names each stands for, for printing with a limit.
---@param names string[]
---@return { text: string, count: integer }[]
function M.fold_parts(names) return fold.parts(names) end

return M
