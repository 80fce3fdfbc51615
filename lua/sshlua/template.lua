--- Templates: text with Lua in it, as etlua has it: <%= expression %>, <% statements %>, -%> eats the end of its line,
--- <%% is a plain <%. Nothing is escaped: these are configuration files. A name that nobody gave is an error with the
--- template's file:line. Knows texts and names; must not know hosts or files.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local json = require("sshlua.json")
local quote = require("sshlua.quote")

local M = {}

local SIZE_MAX = 16 * 1024 * 1024

---@class sshlua.Template
---@field name string the file, for messages
---@field texts string[] the pieces between the tags
---@field code string a chunk of Lua whose lines are the template's

--- Compiling --------------------------------------------------------------------------------------------------------

--- What a template may use besides what it is given: nothing that reaches out of it.
local library = {
  ipairs = ipairs, pairs = pairs, next = next, select = select, tostring = tostring, tonumber = tonumber, type = type,
  string = string, table = table, math = math, error = error,
  unpack = table.unpack or unpack, -- luacheck: ignore 143
  quote = quote.quote, json = json.encode,
}

local function fail(name, line, message, hint)
  errors.raise({ kind = "config", op = "template", path = name, hint = hint,
    message = ("%s:%d: %s"):format(errors.excerpt(name), line, message) })
end

local function newlines(text) return select(2, text:gsub("\n", "")) end

--- One tag: "=" or "-" when it is an expression, the Lua in it, the place behind it. A comment ends with its line.
local function tag_at(self, text, at, line)
  local from, till, trim = text:find("(%-?)%%>", at + 2)
  if not from then fail(self.name, line, "<% without %>", "a plain <% is written <%%") end
  local body = text:sub(at + 2, from - 1)
  local eaten = trim == "-" and select(2, text:find("^[ \t]*\r?\n", till + 1))
  return body:match("^[=-]"), body, (eaten or till) + 1, eaten and "\n" or ""
end

--- The code has the lines of the template, so that Lua's messages name them.
local function compile(self, text)
  local out, at, line = {}, 1, 1
  local function emit(code) out[#out + 1] = code end
  local function plain(piece)
    if piece == "" then return end
    self.texts[#self.texts + 1] = piece
    emit((" _text(%d);%s"):format(#self.texts, ("\n"):rep(newlines(piece))))
  end
  while true do
    local from = text:find("<%", at, true)
    local piece = text:sub(at, (from or #text + 1) - 1)
    plain(piece)
    if not from then return table.concat(out) end
    line = line + newlines(piece)
    if text:sub(from + 2, from + 2) == "%" then
      plain("<%")
      at = from + 3
    else
      local is_value, body, after, eaten = tag_at(self, text, from, line)
      emit(is_value and (" _value((%s));%s"):format(body:sub(2), eaten) or (" %s %s"):format(body, eaten))
      line = line + newlines(body) + #eaten
      at = after
    end
  end
end

--- Lua's own message about a chunk begins with its name and line.
local function raise_lua(self, message, hint)
  message = tostring(message)
  local line, rest = message:match("^%[?[^\n]-:(%d+): (.*)$")
  fail(self.name, tonumber(line) or 1, errors.excerpt(rest or message, 200), hint)
end

--- A template from its text; raises kind config where it is no template.
---@param text string
---@param name string the file, for messages
---@return sshlua.Template
function M.compile(text, name)
  if #text > SIZE_MAX then
    errors.raise({ kind = "limit", op = "template", path = name,
      message = ("%s: templates are %d MiB at most"):format(errors.excerpt(name), SIZE_MAX / 1048576) })
  end
  if text:sub(1, 1) == "\27" then fail(name, 1, "this is not text") end
  local self = { name = name, texts = {} }
  self.code = compile(self, text)
  local chunk, message = load(self.code, "=template", "t", {})
  if not chunk then raise_lua(self, message) end
  return self
end

--- Rendering --------------------------------------------------------------------------------------------------------

local function value_text(value)
  if core.is_secret(value) then return value:reveal() end
  local kind = type(value)
  if kind == "number" and math.type == nil and value % 1 == 0 then return ("%.0f"):format(value) end
  if kind == "string" or kind == "number" or kind == "boolean" then return tostring(value) end
  error(("the value is %s: a string, number, boolean or secret expected")
    :format(kind == "nil" and "nil" or "a " .. kind), 3)
end

--- Names: those of each of `scopes` in turn, then the library's. `vars` is them all as a table in which what is missing
--- is nil: for <% if vars.port then %>.
local function environment(scopes, out, texts)
  local own = {
    _text = function(i) out[#out + 1] = texts[i] end,
    _value = function(value) out[#out + 1] = value_text(value) end,
  }
  local function find(_, name)
    for _, scope in ipairs(scopes) do
      local value = scope[name]
      if value ~= nil then return value end
    end
    return library[name]
  end
  own.vars = setmetatable({}, { __index = find })
  return setmetatable(own, {
    __index = function(_, name)
      local value = find(nil, name)
      if value == nil then error(("undefined variable '%s'"):format(tostring(name)), 2) end
      return value
    end,
  })
end

--- The text that the template makes of these names. Raises kind config with the template's line.
---@param self sshlua.Template
---@param scopes table[] tables of names, the first one that has a name gives it
---@return string
function M.render(self, scopes)
  local out = {}
  local chunk = load(self.code, "=template", "t", environment(scopes, out, self.texts))
  local ok, err = pcall(chunk)
  if ok then return table.concat(out) end
  if errors.is(err) then error(err, 0) end
  local name = type(err) == "string" and err:match("undefined variable '(.*)'$")
  raise_lua(self, err, name and ("give it in the variables; where it may be missing: vars.%s"):format(name) or nil)
end

return M
