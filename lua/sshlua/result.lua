--- The Result of one command or transfer on one host. Knows what came back; must not know how it came.

local core = require "sshlua.core"
local errors = require "sshlua.errors"
local json = require "sshlua.json"
local quote = require "sshlua.quote"

---@class sshlua.Result
---@field ok boolean code is 0 and no error came
---@field code? integer exit status; nil: no exit status came
---@field signal? string name of the signal that ended it, without SIG
---@field stdout string what was captured
---@field stderr string what was captured
---@field duration? number seconds
---@field bytes? integer
---@field host? string name of the host
---@field port? integer
---@field cmd? string|(string|number)[]
---@field changed boolean
---@field skipped boolean
---@field truncated boolean more came than was captured
---@field err? any the error that ended it: an Error, or what a script raised
---@field timing? table<string, number> seconds per phase
local Result = {}
Result.__index = Result
Result.__name = "sshlua.Result"

--- A new Result. `ok` is computed; the other fields are taken as they are.
---@param fields table
---@return sshlua.Result
function Result.new(fields)
  if type(fields) ~= "table" then errors.usage(2, "Result.new: table expected, got %s", type(fields)) end
  local r = {}
  for k, v in pairs(fields) do r[k] = v end
  return Result.own(r)
end

--- new without a copy: `r` becomes the Result.
---@param r table
---@return sshlua.Result
function Result.own(r)
  r.stdout, r.stderr = r.stdout or "", r.stderr or ""
  r.changed, r.skipped, r.truncated = r.changed or false, r.skipped or false, r.truncated or false
  r.ok = r.code == 0 and r.err == nil
  return setmetatable(r, Result)
end

--- True for a Result, also one of a module that was loaded twice.
---@param v any
---@return boolean
function Result.is(v)
  local meta = type(v) == "table" and getmetatable(v)
  return type(meta) == "table" and rawget(meta, "__name") == Result.__name
end

--- stdout without its last newline, for people: secrets are masked. The fields, lines, json and fields give the data
--- as it came.
function Result:__tostring() return core.mask((self.stdout:gsub("\n$", ""))) end

--- stdout without its last newline, as it came.
---@return string
function Result:text() return (self.stdout:gsub("\n$", "")) end

--- The lines of stdout without their newlines, for `for line in r:lines() do`.
---@return fun(): string?
function Result:lines()
  local text, at = self.stdout, 1
  return function()
    if at > #text then return nil end
    local stop = text:find("\n", at, true) or #text + 1
    local line = text:sub(at, stop - 1)
    at = stop + 1
    return line
  end
end

local function command_text(cmd)
  if type(cmd) == "table" then
    local good, text = pcall(quote.argv, cmd)
    cmd = good and text or nil
  end
  return type(cmd) == "string" and "'" .. errors.excerpt(cmd, 80) .. "'" or "the command"
end

--- stdout as JSON. Raises kind protocol, naming the command and where its output is wrong.
---@return any
function Result:json()
  local good, value = pcall(json.decode, self.stdout)
  if good then return value end
  if not errors.is(value) then error(value, 0) end
  errors.raise { kind = value.kind, host = self.host, op = "json", line = value.line, column = value.column,
    result = self, message = ("output of %s is not JSON: %s"):format(command_text(self.cmd), value.message) }
end

--- One field per line of stdout: r:fields("os", "kernel") is { os = first line, kernel = second }.
---@param ... string
---@return table<string, string>
function Result:fields(...)
  local fields, next_line = {}, self:lines()
  for i = 1, select("#", ...) do
    local name = select(i, ...)
    if type(name) ~= "string" then errors.usage(2, "fields: name %d: string expected, got %s", i, type(name)) end
    fields[name] = next_line()
  end
  return fields
end

--- What the far side said last: stderr's last line that is not blank. Linear, whatever stderr holds.
local function last_words(stderr)
  stderr = core.mask(stderr)
  local blanks = stderr:reverse():match("^%s*")
  local text = stderr:sub(1, #stderr - #blanks)
  if text == "" then return nil end
  return errors.excerpt(text:match("^.*[\r\n](.*)$") or text, 200) -- \r: progress bars write over their line
end

local function failure(r)
  local how
  if r.signal then
    how = "was ended by signal " .. errors.excerpt(tostring(r.signal), 40)
  elseif r.code then
    how = "exited with " .. tostring(r.code)
  else
    how = "ended without an exit status"
  end
  local words = last_words(r.stderr)
  return ("%s %s%s"):format(command_text(r.cmd), how, words and ": " .. words or "")
end

--- Returns itself when ok, else raises: the error that ended it, or one of kind exit or signal with the
--- command, how it ended and the last line of stderr. The error carries this Result.
---@return sshlua.Result
function Result:check()
  if self.ok then return self end
  if self.err ~= nil then error(errors.wrap(self.err, { host = self.host, result = self }), 0) end
  errors.raise { kind = self.signal and "signal" or "exit", host = self.host, op = "exec", code = self.code,
    signal = self.signal, result = self, message = failure(self) }
end

--- In one word how it went: "ok", "skipped", the kind of its error, "signal" or "exit"; "error" for an error of
--- the script's own.
---@return string
function Result:status()
  if self.ok then return "ok" end
  if self.err ~= nil then return errors.is(self.err) and self.err.kind or "error" end
  if self.skipped then return "skipped" end
  return self.signal and "signal" or "exit"
end

--- One line about what went wrong, nil when nothing did.
---@return string?
function Result:problem()
  if self.ok or self:status() == "skipped" then return nil end
  if self.err ~= nil then
    if errors.is(self.err) then return self.err.kind .. ": " .. self.err.message end
    local good, text = pcall(tostring, self.err)
    return errors.excerpt(good and type(text) == "string" and text or "an error of type " .. type(self.err), 400)
  end
  return failure(self)
end

return { Result = Result }
