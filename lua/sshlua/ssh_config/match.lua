--- Host and Match: does a section concern this host? Match exec runs a command, as a task with a deadline.

local cidr = require("sshlua.ssh_config.cidr")
local errors = require("sshlua.errors")
local expand = require("sshlua.ssh_config.expand")
local pattern = require("sshlua.ssh_config.pattern")
local tokens = require("sshlua.ssh_config.tokens")
local user_shell = require("sshlua.user_shell")
local words = require("sshlua.ssh_config.words")

local M = {}

local EXEC_SECONDS = 30

--- The words of a Host line.
---@return boolean|nil matched nil: an empty word
function M.host(name, args)
  local matched = false
  for _, word in ipairs(args) do
    if word == "" then return nil end
    local negated = word:sub(1, 1) == "!"
    if pattern.match(name, negated and word:sub(2) or word) then
      if negated then return false end
      matched = true
    end
  end
  return matched
end

--- True when the command ends with 0. Its messages go to our standard error, as ssh lets them.
local function run(command)
  local code = user_shell.run(command, { what = "Match exec", seconds = EXEC_SECONDS, stdout = "null" })
  if not code then
    errors.raise({ kind = "config", message = ("Match exec '%s' was ended by a signal"):format(
      errors.excerpt(command, 60)) })
  end
  return code == 0
end

--- What a criterion is compared with. Each gets the state and its argument; nil and a message: it is wrong.
local criteria = {
  host = function(state, arg) return pattern.host(tokens.match_host(state), arg) end,
  originalhost = function(state, arg) return pattern.host(state.original, arg) end,
  user = function(state, arg) return pattern.list(state.values.user or state.me.name, arg) == "yes" end,
  localuser = function(state, arg) return pattern.list(state.me.name, arg) == "yes" end,
  tagged = function(state, arg)
    local tag = state.values.tag or ""
    if tag == "" then return arg == "" end
    return pattern.list(tag, arg) == "yes"
  end,
  command = function(state, arg)
    local command = state.command or ""
    if command == "" then return arg == "" end
    return pattern.list(command, arg) == "yes"
  end,
  sessiontype = function(state, arg)
    local kinds = { none = "none", subsystem = "subsystem" }
    local kind = kinds[state.values.sessiontype] or ((state.command or "") ~= "" and "exec" or "shell")
    return pattern.list(kind, arg) == "yes"
  end,
  localnetwork = function(_, arg) return cidr.match_interfaces(arg) end,
}

local may_be_empty = { tagged = true, command = true }

local function exec(state, arg, needed)
  local command, message = expand.tokens(arg, tokens.match(state))
  if not command then return nil, message, "fatal" end
  if not needed then return false end
  local ok, result = pcall(run, command)
  if not ok then
    if errors.is(result, "cancelled") then error(result, 0) end
    return nil, errors.is(result) and result.message or tostring(result), "fatal"
  end
  return result
end

--- A criterion without an argument, or nil.
local function plain(state, name, negated)
  if name ~= "canonical" and name ~= "final" then return nil end
  if name == "final" and not state.final then state.want_final = true end
  return (state.final == true) ~= negated
end

local function is_end(word) return word == nil or word == "" or word:sub(1, 1) == "#" end

--- The criteria of a Match line.
---@param state table see resolver.lua
---@param text string what follows "Match"
---@return boolean|nil matched nil: message says what is wrong
---@return string|nil message, string|nil fatal
function M.criteria(state, text)
  local at, matched, count = 1, true, 0
  while true do
    local word
    word, at = words.delimited(text, at)
    if is_end(word) then
      if word and word:sub(1, 1) == "#" then at = nil end
      break
    end
    local negated = word:sub(1, 1) == "!"
    local name = (negated and word:sub(2) or word):lower()
    if name == "all" then
      local follows
      follows, at = words.delimited(text, at)
      if count > 1 or not is_end(follows) then
        return nil, "'all' cannot be combined with other criteria"
      end
      if follows and follows:sub(1, 1) == "#" then at = nil end
      if at and at <= #text then return nil, "too many arguments" end
      return matched and not negated
    end
    count = count + 1
    local fits = plain(state, name, negated)
    if fits == nil then
      local arg
      arg, at = words.delimited(text, at)
      if is_end(arg) and not (arg == "" and may_be_empty[name]) then
        return nil, ("the criterion %s has no argument"):format(name)
      end
      local result, message, fatal
      if name == "exec" then
        result, message, fatal = exec(state, arg, matched)
      elseif criteria[name] then
        result, message = criteria[name](state, arg)
      else
        return nil, ("unknown criterion '%s'"):format(name)
      end
      if result == nil then return nil, message, fatal end
      fits = result ~= negated
    end
    matched = matched and fits
  end
  if count == 0 then return nil, "a criterion is missing" end
  if at and at <= #text then return nil, "too many arguments" end
  return matched
end

return M
