--- Kinds of values: how a keyword's arguments are read, how a value joins those that were there before (the first one
--- wins, or a list grows), how `ssh -G` prints it. Pure. What a kind has:
---
--- * read(args, def, raw): the value, or nil, a message and perhaps "fatal". args has next() and left().
--- * store(values, name, value, active, source): true when the value was taken. Default: the first active one.
--- * show(value, def): what stands behind the name; a table is as many lines; nil is none.

local algorithms = require("sshlua.ssh_config.algorithms")
local expand = require("sshlua.ssh_config.expand")
local forwards = require("sshlua.ssh_config.forwards")
local jump = require("sshlua.ssh_config.jump")
local numbers = require("sshlua.ssh_config.numbers")
local pattern = require("sshlua.ssh_config.pattern")

local M = {}

local MISSING = "an argument is missing"

local function next_word(args)
  local word = args.next()
  if not word or word == "" then return nil, MISSING end
  return word
end

local function first_wins(values, name, value, active)
  if not active or values[name] ~= nil then return false end
  values[name] = value
  return true
end

local function as_is(value) return tostring(value) end

local function kind(name, k)
  k.store = k.store or first_wins
  k.show = k.show or as_is
  M[name] = k
end

--- One word out of a set -------------------------------------------------------------------------------------------

local yes_no = { yes = true, ["true"] = true, no = false, ["false"] = false }

kind("flag", {
  read = function(args)
    local word, message = next_word(args)
    if not word then return nil, message end
    local value = yes_no[word:lower()]
    if value == nil then return nil, ("yes or no expected, got '%s'"):format(word) end
    return value
  end,
  show = function(value) return value and "yes" or "no" end,
})

--- def.choices: word -> value as it is printed.
kind("choice", {
  read = function(args, def)
    local word, message = next_word(args)
    if not word then return nil, message end
    local value = def.choices[word:lower()]
    if value == nil then return nil, ("unknown value '%s'"):format(word) end
    return value
  end,
})

--- Numbers ----------------------------------------------------------------------------------------------------------

kind("integer", { read = function(args) return numbers.integer(args.next()) end })

kind("port", {
  read = function(args)
    local word, message = next_word(args)
    if not word then return nil, message end
    local port = numbers.port(word)
    if not port or port == 0 then return nil, ("bad port '%s'"):format(word) end
    return port
  end,
})

local function read_time(args)
  local word = next_word(args)
  if not word then return nil, "a time is missing" end
  if word == "none" then return "none" end
  local seconds = numbers.time(word)
  if not seconds then return nil, ("not a time: '%s'"):format(word) end
  return seconds
end

--- "none" is as if nothing had been said.
kind("time", {
  read = read_time,
  store = function(values, name, value, active)
    return value ~= "none" and first_wins(values, name, value, active)
  end,
})

kind("mask", {
  read = function(args)
    local word, message = next_word(args)
    if not word then return nil, message end
    local mask = numbers.octal(word)
    if not mask or mask > 511 then return nil, ("bad mask '%s'"):format(word) end
    return mask
  end,
  store = function(values, name, value) -- the last one wins, in sections for other hosts, too: OpenSSH's way
    values[name] = value
    return true
  end,
  show = function(value) return ("0%o"):format(value) end,
})

kind("rekey", {
  read = function(args)
    local word, message = next_word(args)
    if not word then return nil, message end
    local value = {}
    value.bytes = word == "default" and 0 or numbers.size(word)
    if not value.bytes then return nil, ("bad number '%s'"):format(word) end
    if value.bytes ~= 0 and value.bytes < 16 then return nil, "the limit is too small" end
    if args.left() > 0 then
      local seconds, why = read_time(args)
      if not seconds then return nil, why end
      value.seconds = seconds ~= "none" and seconds or nil
    end
    return value
  end,
  store = function(values, name, value, active)
    if not active then return false end
    local old = values[name]
    if not old then
      values[name] = { bytes = value.bytes, seconds = value.seconds }
    elseif not old.seconds then
      old.seconds = value.seconds
    end
    return not old
  end,
  show = function(value) return ("%.0f %d"):format(value.bytes, value.seconds or 0) end,
})

--- Text -------------------------------------------------------------------------------------------------------------

kind("text", { read = next_word })

--- To the end of the line, as it is.
kind("command", {
  read = function(args, _, raw)
    args.skip()
    return raw:match("^[ \t\r\n=]*(.*)$")
  end,
})

--- def.max words on one line; "none" stands alone; the first line counts.
local function read_words(args, def)
  local list = {}
  for word in args.next do
    if word == "" then return nil, "an empty argument" end
    if word:lower() == "none" and (list[1] or args.left() > 0) then return nil, "'none' must stand alone" end
    if def.check then
      local good, message = def.check(word)
      if not good then return nil, message end
      word = good
    end
    list[#list + 1] = word
  end
  return list
end

local function store_words(values, name, value, active)
  if not active or values[name] or not value[1] then return false end
  values[name] = value
  return true
end

kind("words", {
  read = read_words,
  store = store_words,
  limit = function(value, def) return def.max and #value > def.max and "too many entries" or nil end,
  show = function(value) return value[1] and table.concat(value, " ") or "none" end,
})

--- One word a line; lines add up, each word once from each source (the user's files, the system's).
kind("files", {
  read = next_word,
  store = function(values, name, value, active, source)
    if not active then return false end
    local list = values[name] or { sources = {} }
    for i, old in ipairs(list) do
      if old == value and list.sources[i] == source then return false end
    end
    values[name] = list
    list[#list + 1] = value
    list.sources[#list] = source
    return true
  end,
  limit_active = function(values, name) return #(values[name] or {}) >= 100 and "too many files" or nil end,
  show = function(value) return value end,
})

local function is_variable(name) return name:find("^[%w_]+$") ~= nil end

local function read_agent(args)
  local word, message = next_word(args)
  if not word then return nil, message end
  local good, why = expand.environment(word)
  if not good then return nil, why end
  if word:find("^%$[^{]") and not is_variable(word:sub(2)) or word == "$" then
    return nil, ("not the name of a variable: %s"):format(word)
  end
  return word
end

kind("agent", { read = read_agent })

kind("agent_or_flag", {
  read = function(args)
    local word, why = read_agent(args)
    if not word then return nil, why end
    local flag = yes_no[word:lower()]
    if flag ~= nil then return { flag = flag } end
    return { flag = true, path = word }
  end,
  store = function(values, name, value, active)
    if not active then return false end
    local old = values[name]
    if old and (old.path or not value.path) then return false end
    values[name] = { flag = old == nil and value.flag or (old ~= nil and old.flag), path = value.path }
    return true
  end,
  show = function(value) return value.path or (value.flag and "yes" or "no") end,
})

--- Environment ------------------------------------------------------------------------------------------------------

kind("env_names", {
  read = function(args)
    local list = {}
    for word in args.next do
      if word == "" or word:find("=", 1, true) then return nil, "not the name of a variable" end
      list[#list + 1] = word
    end
    return list
  end,
  store = function(values, name, value, active)
    if not active then return false end
    local list = values[name] or {}
    values[name] = list
    for _, word in ipairs(value) do
      if word:sub(1, 1) == "-" then
        for i = #list, 1, -1 do
          if pattern.match(list[i], word:sub(2)) then table.remove(list, i) end
        end
      else
        list[#list + 1] = word
      end
    end
    return true
  end,
  show = function(value) return value end,
})

kind("env_values", {
  read = function(args)
    local list, seen = {}, {}
    for word in args.next do
      local variable = word:match("^([^=]*)=")
      if not variable then return nil, ("NAME=VALUE expected, got '%s'"):format(word) end
      if not seen[variable] then list[#list + 1] = word end
      seen[variable] = true
    end
    return list
  end,
  store = store_words,
  show = function(value) return value end,
})

--- Algorithms -------------------------------------------------------------------------------------------------------

--- def.list: which names. The text is kept: what it makes of the default is decided at the end.
kind("algorithms", {
  read = function(args, def)
    local word, message = next_word(args)
    if not word then return nil, message end
    if not algorithms.valid(def.list, word) then return nil, ("unknown algorithm in '%s'"):format(word) end
    return word
  end,
  show = function(value) return type(value) == "table" and table.concat(value, ",") or value end,
})

--- Forwards and routes ----------------------------------------------------------------------------------------------

--- def.dynamic: no target; def.remote.
kind("forward", {
  read = function(args, def)
    local listen, message = next_word(args)
    if not listen then return nil, message end
    local dynamic, text = def.dynamic or false, listen
    if not dynamic then
      local target = args.next()
      if target and target ~= "" then
        text = listen .. ":" .. target
      elseif def.remote then
        dynamic = true
      else
        return nil, "what it leads to is missing"
      end
    end
    local forward = forwards.parse(text, dynamic, def.remote or false)
    if not forward then return nil, ("not a forwarding: '%s'"):format(text) end
    return forward
  end,
  store = function(values, name, value, active)
    if not active then return false end
    local list = values[name] or {}
    for _, old in ipairs(list) do
      if forwards.equal(old, value) then return false end
    end
    values[name] = list
    list[#list + 1] = value
    return true
  end,
})

kind("jump", {
  read = function(args, _, raw)
    args.skip()
    local chain = jump.chain(raw:match("^[ \t\r\n=]*(.*)$"))
    if not chain then return nil, "not a chain of [user@]host[:port]" end
    return chain
  end,
  store = function(values, name, value, active)
    if values.proxycommand ~= nil then return false end
    return first_wins(values, name, value, active)
  end,
  show = jump.text,
})

kind("proxy_command", {
  read = M.command.read,
  store = function(values, name, value, active)
    if values.proxyjump ~= nil and values.proxyjump.last then return false end
    return first_wins(values, name, value, active)
  end,
})

kind("permit_open", {
  read = function(args)
    local list = {}
    for word in args.next do
      local lower = word:lower()
      if lower == "none" or lower == "any" then
        if list[1] or args.left() > 0 then return nil, ("'%s' must stand alone"):format(word) end
      else
        local port = word:match("^%[[^%]]*%]:(.*)$") or word:match("^[^:/%[][^:/]*:(.*)$") or word:match("^:(.*)$")
        if not port then return nil, ("host:port expected, got '%s'"):format(word), "fatal" end
        if port ~= "*" and (numbers.port(port) or 0) == 0 then
          return nil, ("bad port in '%s'"):format(word), "fatal"
        end
      end
      list[#list + 1] = word
    end
    if not list[1] then return nil, MISSING, "fatal" end
    return list
  end,
  store = store_words,
  show = function(value) return table.concat(value, " ") end,
})

local function read_tunnel(text)
  if text:lower() == "any" then return "any" end
  return (numbers.integer(text, 2147483645))
end

kind("tunnel_device", {
  read = function(args)
    local word, message = next_word(args)
    if not word then return nil, message end
    local here, there = word:match("^([^:]*):(.*)$")
    local value = { read_tunnel(here or word), there and read_tunnel(there) or (not there and "any") or nil }
    if not value[1] or not value[2] then return nil, ("bad tunnel device '%s'"):format(word) end
    return value
  end,
  show = function(value) return ("%s:%s"):format(value[1], value[2]) end,
})

return M
