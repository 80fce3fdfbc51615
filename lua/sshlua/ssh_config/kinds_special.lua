--- Kinds of values that one keyword has for itself. See kinds.lua.

local jump = require("sshlua.ssh_config.jump")
local kinds = require("sshlua.ssh_config.kinds")
local numbers = require("sshlua.ssh_config.numbers")

local M = setmetatable({}, { __index = kinds })

local MISSING = "an argument is missing"

local function kind(name, k)
  k.store = k.store or kinds.text.store
  k.show = k.show or tostring
  M[name] = k
end

local keys = {
  yes = "true", ["true"] = "true", no = "false", ["false"] = "false", ask = "ask", confirm = "confirm",
}

kind("add_keys", {
  read = function(args)
    local word, lifetime = args.next(), args.next()
    if not word or word == "" then return nil, MISSING end
    local mode = keys[word:lower()]
    if mode == "confirm" and lifetime then
      local seconds = numbers.time(lifetime)
      if not seconds then return nil, ("not a time: '%s'"):format(lifetime) end
      return { mode = mode, seconds = seconds }
    elseif not mode and not lifetime then
      local seconds = numbers.time(word)
      if not seconds then return nil, ("unknown value '%s'"):format(word) end
      return { mode = "true", seconds = seconds }
    elseif not mode or lifetime then
      return nil, ("unknown value '%s'"):format(word)
    end
    return { mode = mode, seconds = 0 }
  end,
  show = function(value)
    if value.seconds <= 0 then return value.mode end
    return (value.mode == "confirm" and "confirm " or "") .. value.seconds
  end,
})

kind("persist", {
  read = function(args)
    local word = args.next()
    if not word or word == "" then return nil, MISSING end
    if word == "no" or word == "false" then return "no" end
    if word == "yes" or word == "true" then return "yes" end
    local seconds = numbers.time(word)
    if not seconds then return nil, ("unknown value '%s'"):format(word) end
    return seconds == 0 and "yes" or seconds
  end,
})

kind("escape", {
  read = function(args)
    local word = args.next()
    if not word or word == "" then return nil, MISSING end
    if word == "none" then return "none" end
    if #word == 1 then return word:byte() end
    local control = word:match("^%^([\64-\127])$")
    if not control then return nil, ("bad escape character '%s'"):format(word) end
    return control:byte() % 32
  end,
  show = function(value)
    if value == "none" then return value end
    local c = value % 128
    local control = c < 32 or c == 127
    if value == 32 then return "\\040" end
    if value == 160 then return "\\240" end
    if value == 92 then return "\\\\" end
    if control then return (value > 127 and "\\M^" or "\\^") .. string.char(c < 32 and c + 64 or 63) end
    return (value > 127 and "\\M-" or "") .. string.char(c)
  end,
})

--- Names of type-of-service values, in the order that a number is named by.
local services = {
  { "af11", 0x28 }, { "af12", 0x30 }, { "af13", 0x38 }, { "af21", 0x48 }, { "af22", 0x50 }, { "af23", 0x58 },
  { "af31", 0x68 }, { "af32", 0x70 }, { "af33", 0x78 }, { "af41", 0x88 }, { "af42", 0x90 }, { "af43", 0x98 },
  { "cs0", 0 }, { "cs1", 0x20 }, { "cs2", 0x40 }, { "cs3", 0x60 }, { "cs4", 0x80 }, { "cs5", 0xa0 }, { "cs6", 0xc0 },
  { "cs7", 0xe0 }, { "ef", 0xb8 }, { "le", 4 }, { "lowdelay", 0x10 }, { "throughput", 8 }, { "reliability", 4 },
}

local function read_service(word)
  if not word then return nil end
  if word:lower() == "none" then return "none" end
  for _, s in ipairs(services) do
    if s[1] == word:lower() then return s[2] end
  end
  local n = numbers.any_base(word)
  return n and n <= 255 and n or nil
end

local function service_name(value)
  for _, s in ipairs(services) do
    if s[2] == value then return s[1] end
  end
  return value == "none" and value or ("0x%02x"):format(value)
end

--- For sessions with a terminal, and for all others.
kind("ipqos", {
  read = function(args)
    local first = read_service(args.next())
    if not first then return nil, "unknown class of service" end
    local second = first
    if args.left() > 0 then
      second = read_service(args.next())
      if not second then return nil, "unknown class of service" end
    end
    return { first, second }
  end,
  show = function(value) return service_name(value[1]) .. " " .. service_name(value[2]) end,
})

kind("cnames", {
  read = function(args)
    local list = {}
    for word in args.next do
      if word:lower() == "none" then
        if list[1] or args.left() > 0 then return nil, "'none' must stand alone" end
        list[1] = "none"
      elseif word == "*" then
        list[#list + 1] = { "*", "*" }
      else
        local source, target = word:lower():match("^([^:]*):(.+)$")
        if not source then return nil, ("not a rule for aliases: '%s'"):format(word) end
        list[#list + 1] = { source, target }
      end
    end
    return list
  end,
  store = kinds.words.store,
  limit = function(value) return #value > 32 and "too many rules" or nil end,
  show = function(value)
    local out = {}
    for i, rule in ipairs(value) do out[i] = type(rule) == "table" and rule[1] .. ":" .. rule[2] or nil end
    return out[1] and table.concat(out, " ") or "none"
  end,
})

--- Of several words the first counts.
kind("first_word", {
  read = kinds.words.read,
  store = function(values, name, value, active)
    return kinds.words.store(values, name, { value[1] }, active)
  end,
  show = kinds.words.show,
})

--- A domain suffix: lower case, without a dot at its end.
function M.check_domain(word) return jump.domain(word:lower()) end

kind("keystrokes", {
  read = function(args)
    local word = args.next()
    if word == "yes" or word == "true" then return 20 end
    if word == "no" or word == "false" then return 0 end
    local interval = numbers.integer((word or ""):match("^interval:(.*)$"), 1000)
    if not interval or interval == 0 then return nil, "yes, no or interval:MILLISECONDS expected" end
    return interval
  end,
})

return M
