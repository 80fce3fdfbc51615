--- The grammar of host expressions above the word: operators, groups (@group, @source:group), files (^file), and names
--- that an inventory knows. Text to operands, counted but not expanded.
--- What a group or file holds is asked of functions; nothing here opens a file.

local algebra = require "sshlua.hostset_algebra"
local errors = require "sshlua.errors"
local parse = require "sshlua.hostset_parse"
local words = require "sshlua.hostset_word"

local M = {}

local MAX_DEPTH = 32 -- groups in groups
local MAX_GROUPS = 10000 -- that one word with ranges may name

---@class sshlua.HostSources what an expression may ask for
---@field group? fun(source: string?, name: string): string|string[]|nil, string?, string? its text or hosts, where it
--- stands, and the source that has it
---@field read? fun(path: string): string the text of a file
---@field names? fun(name: string): string[]? the hosts behind a bare name, when it is a group's
---@field strict? boolean a bare name that `names` does not know is an error

---@class sshlua.HostExpression: sshlua.HostParser
local Expression = setmetatable({}, { __index = getmetatable(parse.new({})).__index })
Expression.__index = Expression

local function inner(self, text, where, fields)
  local e = { text = text, limit = self.limit, where = where, sources = self.sources, shared = self.shared, at = 1,
    total = 0, depth = self.depth + 1 }
  for k, v in pairs(fields or {}) do e[k] = v end
  return setmetatable(e, Expression)
end

--- The words of operands; with operators among them what is left of them, name by name.
local function flatten(operands)
  local list = {}
  local plain = true
  for _, operand in ipairs(operands) do plain = plain and operand.op == "," end
  if not plain then
    algebra.each(operands, function(name, user, port)
      list[#list + 1] = { name = name, user = user, port = port, count = 1 }
    end)
    return list
  end
  for _, operand in ipairs(operands) do
    for _, word in ipairs(operand.words) do list[#list + 1] = word end
  end
  return list
end

--- Words are asked by identity later: what is used twice is two.
local function copies(list)
  local out = {}
  for i, w in ipairs(list) do
    out[i] = { name = w.name, pieces = w.pieces, count = w.count, user = w.user, port = w.port, column = w.column }
  end
  return out
end

-- ---- groups

--- Only where a group is being looked up for the first time: its definition as words.
function Expression:define(source, name, full, column)
  local shared = self.shared
  if not self.sources.group then self:fail(column, "no groups are known here (%s)", full) end
  if shared.open[full] then self:fail(column, "the group %s contains itself", full) end
  if self.depth >= MAX_DEPTH then self:raise("limit", column, "more than %d groups inside each other", MAX_DEPTH) end
  local definition, where, home = self.sources.group(source, name)
  if definition == nil then
    self:raise("usage", column, "no group %s%s", full, where and " in " .. where or "")
  end
  where = where and ("%s: group %s: "):format(where, full) or ("group %s: "):format(full)
  shared.open[full] = true
  local list = {}
  for _, text in ipairs(type(definition) == "table" and definition or { definition }) do
    local operands = inner(self, text, where, { empty = true, source = home or source }):operands()
    for _, word in ipairs(flatten(operands)) do list[#list + 1] = word end
    if #list > self.limit then self:raise("limit", column, "more hosts than the limit of %d", self.limit) end
  end
  shared.open[full] = nil
  return list
end

function Expression:group_named(source, name, column)
  local full = "@" .. (source and source .. ":" or "") .. name
  local known = self.shared.groups[full]
  if not known then
    known = self:define(source, name, errors.excerpt(full, 80), column)
    self.shared.groups[full] = known
  end
  return copies(known)
end

--- At "@": group names may have ranges, and * is every host there is.
function Expression:group()
  local column = self.at
  self.at = column + 1
  local source = not self.select and self.text:match("^([%w._-]+):", self.at)
  if source then self.at = self.at + #source + 1 end
  source = source or self.source -- inside a group its own source is meant
  if self:byte() == "*" then
    self.at = self.at + 1
    return self:group_named(source, "*", column)
  end
  local before = self.total
  self.total = 0
  local pieces, count = self:pieces(column, "%w._+=~/\128-\255-")
  self.total = before
  if #pieces == 0 then self:fail(self.at, "the name of a group is missing") end
  if count > MAX_GROUPS then self:raise("limit", column, "%.15g groups; %d are the most", count, MAX_GROUPS) end
  local list = {}
  words.each({ pieces = pieces }, function(name)
    for _, word in ipairs(self:group_named(source, name, column)) do list[#list + 1] = word end
    if #list > self.limit then self:raise("limit", column, "more hosts than the limit of %d", self.limit) end
  end)
  return list
end

-- ---- files

--- At "^": a file with words, one or more to a line; "#" starts a comment.
function Expression:file()
  local column = self.at
  local path = self.text:match("^[^,!&^%s]+", column + 1)
  if not path then self:fail(column, "the name of a file is missing after ^") end
  if self.depth > 0 then
    self:fail(column, "a file or group cannot ask for another file (%s)", errors.excerpt(path, 60))
  end
  if not self.sources.read then self:fail(column, "no files are read here (^%s)", errors.excerpt(path, 60)) end
  self.at = column + 1 + #path
  local list, number = {}, 0
  for line in (self.sources.read(path) .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    for text in line:gsub("#.*", ""):gmatch("%S+") do
      local where = ("%s:%d: "):format(errors.excerpt(path, 100), number)
      for _, word in ipairs(flatten(inner(self, text, where):operands())) do list[#list + 1] = word end
      if #list > self.limit then self:raise("limit", column, "more hosts than the limit of %d", self.limit) end
    end
  end
  return list
end

-- ---- words

--- What an inventory makes of one name; nil: it does not know it.
function Expression:look_up(name, word, column)
  local known = self.sources.names(name)
  if not known then
    if name:find("[*?]") then self:fail(column, "nothing in the inventory matches \"%s\"", name) end
    if self.sources.strict then
      self:fail(column, "no group and no host \"%s\" in the inventory", errors.excerpt(name, 80))
    end
    return nil
  end
  local list = {}
  for i, host in ipairs(known) do list[i] = { name = host, user = word.user, port = word.port, count = 1 } end
  return list
end

function Expression:hosts()
  local column = self.at
  local word = self:word()
  local names = self.sources.names
  if not names or not word.name and not self.sources.strict then return { word } end
  if word.name then return self:look_up(word.name, word, column) or { word } end
  local list = {}
  words.each(word, function(name)
    for _, found in ipairs(self:look_up(name, word, column)) do list[#list + 1] = found end
  end)
  return list
end

function Expression:operand(op)
  local column, c = self.at, self:byte()
  local list
  if c == "@" then
    list = self:group()
  elseif c == "^" then
    list = self:file()
  else
    list = self:hosts()
  end
  local after = self:byte()
  if after ~= "" and not after:find(self:ends()) then self:refuse_char(column) end
  for _, word in ipairs(list) do self.total = self.total + word.count end
  if self.total > self.limit then self:raise("limit", column, "more hosts than the limit of %d", self.limit) end
  return { op = op, words = list }
end

--- The operator in front of the next operand; `,!x` means `!x`.
function Expression:operator()
  local op, column = self:byte(), self.at
  if self.select and op == ":" then op = "," end
  if not op:find("[,!&^]") then
    if self.text:find("^%s", column - 1) then
      self:fail(self.blank, "a blank inside a host expression; a comma separates hosts")
    end
    self:refuse_char(column)
  end
  self.at = column + 1
  local following = self:skip_blanks()
  if op == "," and following:find("[!&]") then
    op = following
    self.at = self.at + 1
    following = self:skip_blanks()
  end
  if following == "" or following:find("[,!&]") or (self.select and following == ":") then
    if op == "," then self:fail(self.at, "a host is missing at the comma") end
    self:fail(self.at, "a host is missing after the operator %s", op)
  end
  return op
end

--- An operator may come first when something stands before this text: another word of the command line, or, in the
--- grammar of inventories, all hosts.
function Expression:first_operator()
  local c = self:byte()
  if c == "," or (self.select and c == ":") then self:fail(self.at, "a host is missing at the comma") end
  if not c:find("[!&]") then return "," end
  if not self.continued then self:fail(self.at, "nothing stands before the operator %s", c) end
  return self:operator()
end

---@return sshlua.HostOperand[]
function Expression:operands()
  local list = {}
  if self:skip_blanks() == "" then
    if self.empty then return list end
    self:fail(1, "the host expression is empty")
  end
  list[1] = self:operand(self:first_operator())
  while true do
    self.blank = self.at
    if self:skip_blanks() == "" then return list end
    local operand = self:operand(self:operator())
    list[#list + 1] = operand
  end
end

---@class sshlua.ExpressionOptions
---@field limit integer how many hosts may be named
---@field sources? sshlua.HostSources
---@field select? boolean the grammar of inventories
---@field before? sshlua.HostOperand[] what stands before the expression; it may start with an operator then
---@field where? string in front of the column in messages

--- The operands of an expression. Raises kind usage naming the column, or kind limit.
---@param text string
---@param options sshlua.ExpressionOptions
---@return sshlua.HostOperand[]
function M.parse(text, options)
  local shared = { groups = {}, open = {} }
  local outer = { limit = options.limit, sources = options.sources or {}, shared = shared, depth = -1 }
  local e = inner(outer, text, options.where, {
    select = options.select, globs = options.select and outer.sources.names ~= nil, continued = options.before ~= nil,
  })
  local list = {}
  for i, operand in ipairs(options.before or {}) do
    list[i] = operand
    for _, word in ipairs(operand.words) do e.total = e.total + word.count end
  end
  for _, operand in ipairs(e:operands()) do list[#list + 1] = operand end
  return list
end

--- The hosts of operands as one list of words.
M.flatten = flatten

return M
