--- A device by its profile: a dialogue that knows pages, errors, the privileged mode and how changes are made. What is
--- the same for all kinds is here and in device_changes.lua, what differs is in the profile.

local Result = require("sshlua.result").Result
local changes = require("sshlua.device_changes")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local fresh = require("sshlua.fresh")
local gate = require("sshlua.password_gate")
local options = require("sshlua.options")
local profiles = require("sshlua.profiles")
local prompts = require("sshlua.shell_prompt")
local shell = require("sshlua.shell")

local M = {}

---@class sshlua.Device
---@field host string
---@field shell sshlua.Shell the dialogue itself: send, expect
---@field profile sshlua.Profile
---@field pending? { seconds: integer?, profile: table } changes that are not confirmed yet
local Device = {}
for name, fn in pairs(changes.Device) do Device[name] = fn end
local device_mt = { __index = Device, __name = "sshlua.Device" }

function device_mt:__tostring() return ("sshlua.Device: %s (%s)"):format(self.host, self.profile.name) end

---@class sshlua.DeviceOptions: sshlua.ShellOptions
---@field profile string|sshlua.Profile
---@field enable? boolean|string|sshlua.Secret|fun(host: string): any the privileged mode: true asks for its password,
--- when the device wants one; a password, or a function that gets one
---@field prepare? boolean false: the terminal is left as it is

--- What is said ------------------------------------------------------------------------------------------------------

--- A line for messages: secrets hidden.
local function shown(line)
  if type(line) ~= "table" then return tostring(line) end
  local parts = {}
  for i, part in ipairs(line) do parts[i] = core.is_secret(part) and "********" or tostring(part) end
  return table.concat(parts)
end

--- The first error of a profile's in what a device has said: its name and its line.
local function find_error(profile, text)
  text = "\n" .. text
  local first, name
  for _, entry in ipairs(profile.errors or {}) do
    local pattern = entry[1]:gsub("^%^", "\n")
    local from = text:find(pattern)
    if from and (not first or from < first) then first, name = from, entry[2] end
  end
  if first then return name, text:match("^\n?([^\n]*)", first) end
end

--- Raises what a device has said as an error: kind device.
---@param name string "INVALID", "INCOMPLETE", "AMBIGUOUS", "DENIED", "REFUSED", "COMMIT", "LOCKED"
function Device:refused(name, line, said, output, more)
  local fields = options.merge({
    kind = "device", name = name, host = self.host, op = "cmd", phase = "command", line = shown(line),
    message = ("'%s': %s"):format(errors.excerpt(shown(line), 60), errors.excerpt(said:gsub("^%s+", ""), 120)),
    result = Result.new({ host = self.host, stdout = output }),
  }, more)
  errors.raise(fields)
end

--- What stands above the next prompt and belongs to it goes.
local function without_trailer(profile, text)
  for _, pattern in ipairs(profile.trailer or {}) do text = text:gsub(pattern, "") end
  return text
end

local function check_status(self, line, output)
  local status = self.profile.status
  local said = self.shell:cmd(status.command)
  local code = tonumber(said:match(status.pattern))
  if code == 0 then return end
  errors.raise({
    kind = "exit", code = code, host = self.host, op = "cmd", phase = "command", line = shown(line),
    message = ("'%s' failed with status %s"):format(errors.excerpt(shown(line), 60), code or "unknown"),
    result = Result.new({ host = self.host, stdout = output, code = code }),
  })
end

local cmd_options = {
  timeout = "seconds", prompt = "string|function|table|userdata", answers = "table", check = "boolean",
}

--- Sends a line and returns what the device says to it. When that is an error of its kind: kind device, with `name`,
--- `line` and what came in err.result.stdout.
---@param line string|(string|sshlua.Secret)[]
---@param opts? { timeout?: number, prompt?: any, answers?: table<string, string>, check?: boolean }
---@return string
function Device:cmd(line, opts)
  opts = options.check(opts, cmd_options, 2)
  local out = self.shell:cmd(line, { timeout = opts.timeout, prompt = opts.prompt, answers = opts.answers })
  out = without_trailer(self.profile, out)
  if opts.check == false then return out end
  local name, said = find_error(self.profile, out)
  if name then self:refused(name, line, said, out) end
  if self.profile.status and not opts.prompt then check_status(self, line, out) end
  return out
end

--- Is the prompt that came last one of these?
function Device:at(pattern)
  return prompts.test(pattern, 2)(self.shell.line or "") ~= nil
end

--- A line of a profile; one that may fail does.
function Device:do_line(line, fill)
  local may_fail = type(line) == "table" and line.may_fail
  local text = type(line) == "table" and line[1] or line
  return self:cmd(fill and fill(text) or text, { check = not may_fail })
end

--- The privileged mode -----------------------------------------------------------------------------------------------

local function enable_refused(self, name, text, said)
  local words = said:match("[^\n]*$")
  errors.raise({
    kind = "auth", name = name, host = self.host, op = "enable", phase = "command",
    message = text .. (words ~= "" and ": " .. errors.excerpt(words, 100) or ""),
  })
end

local function send_password(self, mode, password, waits)
  local said = self.shell:talk({ password, self.shell.newline }, "", "the password for enable", { prompt = waits })
  if self:at(mode.password) or not self:at(mode.prompt) then
    enable_refused(self, "WRONG_PASSWORD", "the password for enable is wrong", said)
  end
end

--- Enters the privileged mode, if it is not there. The password is asked for when the device wants one, tried on one
--- host first, and sent as the answer to that prompt alone. Raises kind auth.
---@param given? boolean|string|sshlua.Secret|fun(host: string): any
function Device:enable(given)
  local mode = self.profile.enable
  if not mode then errors.usage(2, "enable: the profile %s knows no such mode", self.profile.name) end
  if self:at(mode.prompt) then return end
  if given == true then given = nil end
  local nonce = fresh.word((core.nonce():gsub("%W", "")))
  local function fill(text) return (text:gsub("{nonce}", nonce)) end
  mode = { command = fill(mode.command), password = fill(mode.password), prompt = mode.prompt, learn = mode.learn }
  local waits = { mode.password, mode.prompt, self.shell.is_prompt }
  local said = self.shell:cmd(mode.command, { prompt = waits })
  if self:at(mode.password) then
    local password = gate.password("enable", given, self.host)
    gate.try(password, "enable", self.host, send_password, self, mode, password, waits)
  elseif not self:at(mode.prompt) then
    enable_refused(self, "REFUSED", "the device did not enter the privileged mode", said)
  end
  if mode.learn then self.shell:learn() end
end

--- Opening -----------------------------------------------------------------------------------------------------------

local device_options = {
  profile = "string|table", enable = "boolean|string|secret|function", prepare = "boolean", dry_run = "boolean",
}

--- Ours are taken out, the rest is the shell's to check.
local function split(opts, level)
  local own, rest = {}, {}
  if opts ~= nil and type(opts) ~= "table" then errors.usage(level + 1, "options table expected") end
  for name, value in pairs(opts or {}) do
    if device_options[name] then own[name] = value else rest[name] = value end
  end
  options.check(own, device_options, level + 1)
  if not own.profile then
    errors.usage(level + 1, "device: the option profile says what kind it is: %s, or a table",
      table.concat(profiles.names, ", "))
  end
  rest.profile = profiles.find(own.profile, level + 1)
  return own, rest
end

local function start(self, own)
  local outside = self.profile.outside
  if outside and self:at(outside.prompt) then self.shell:cmd(outside.command) end
  if own.enable then self:enable(own.enable) end
  for _, line in ipairs(own.prepare ~= false and self.profile.prepare or {}) do self:do_line(line) end
end

--- Opens a dialogue with a device and prepares it: no pages, the privileged mode when it is wanted.
---@param session_of fun(): sshlua.Session
---@param opts sshlua.DeviceOptions
---@return sshlua.Device
function M.open(session_of, opts, level)
  level = (level or 1) + 1
  local own, rest = split(opts, level)
  local t = shell.open(session_of, rest, level)
  local self = setmetatable({ shell = t, host = t.host, profile = rest.profile, dry_run = own.dry_run }, device_mt)
  local ok, err = pcall(start, self, own)
  if ok then return self end
  t:close()
  error(errors.wrap(err, { host = self.host, op = "device" }), 0)
end

--- The dialogue's own verbs.
for _, verb in ipairs({ "send", "expect", "interact", "resize" }) do
  Device[verb] = function(self, ...) return self.shell[verb](self.shell, ...) end
end

--- Ends the dialogue. Changes that are not confirmed are taken back by the device, at the latest when their time is up.
function Device:close() self.shell:close() end
device_mt.__close = Device.close

return M
