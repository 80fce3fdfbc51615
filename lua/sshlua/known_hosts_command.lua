--- The command line of KnownHostsCommand (ssh_config(5)): words, quotes, tokens, ${ENV}. Runs nothing.

local core = require("sshlua.core")
local options = require("sshlua.options")

local M = {}

--- Is there a command?
function M.given(opts)
  local command = opts.known_hosts_command
  return command ~= nil and command ~= false and command ~= "none" and opts.host_key_lock == nil
end

--- Words as OpenSSH splits them: blanks part, quotes of both kinds keep together, a backslash before a quote, a
--- backslash or a blank takes its meaning. nil: a quote is open.
---@param text string
---@return string[]|nil
function M.split(text)
  local words, word, quote, i = {}, nil, nil, 1
  while i <= #text do
    local c = text:sub(i, i)
    local after = text:sub(i + 1, i + 1)
    if c == "\\" and (after == "'" or after == '"' or after == "\\" or (after == " " and not quote)) then
      word = (word or "") .. after
      i = i + 1
    elseif not quote and (c == " " or c == "\t") then
      words[#words + 1], word = word, nil
    elseif c == quote then
      quote = nil
    elseif not quote and (c == '"' or c == "'") then
      quote, word = c, word or ""
    else
      word = (word or "") .. c
    end
    i = i + 1
  end
  words[#words + 1] = word
  return not quote and words or nil
end

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

local function tokens(target, invocation, name, blob)
  local user = core.user()
  local here = core.hostname()
  local jump = "" -- filled in by routes, where there is one
  local t = {
    ["%"] = "%", h = target.hostname, n = target.name, p = tostring(target.port), r = target.user,
    u = user.name or tostring(user.uid), d = user.home or os.getenv("HOME") or "", i = tostring(user.uid),
    k = target.opts.host_key_alias or target.name, l = here, L = (here:gsub("%..*", "")), j = jump,
    H = name, I = invocation, t = "NONE", f = "NONE", K = "NONE",
  }
  t.C = hex(core.digest("sha1", t.l .. t.h .. t.p .. t.r .. t.j))
  if blob then t.t, t.f, t.K = core.key_type(blob) or "NONE", core.fingerprint(blob), core.base64(blob) end
  return t
end

local function expand(word, values)
  local fault
  word = word:gsub("%%(.?)", function(letter)
    if not values[letter] then fault = fault or ("unknown token %%%s"):format(letter) end
    return values[letter]
  end)
  word = word:gsub("%${([%w_]+)}", function(variable)
    local value = os.getenv(variable)
    if not value then fault = fault or ("the environment has no %s"):format(variable) end
    return value
  end)
  return word, fault
end

--- The argument vector, or nil and why there is none.
---@param target table
---@param invocation string
---@param name string
---@param blob? string
---@return string[]|nil argv, string? why
function M.argv(target, invocation, name, blob)
  local command = target.opts.known_hosts_command
  local words = type(command) == "table" and options.merge(command) or M.split(command)
  if not words then return nil, ("a quote is not closed in: %s"):format(command) end
  if not words[1] or words[1]:sub(1, 1) ~= "/" then
    return nil, ("an absolute path is needed, not '%s'"):format(words[1] or "")
  end
  local values = tokens(target, invocation, name, blob)
  for i = 2, #words do
    local fault
    words[i], fault = expand(words[i], values)
    if fault then return nil, fault end
  end
  return words
end

return M
