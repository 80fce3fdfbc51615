--- Profiles of kinds of devices: tables of what one has to know to talk to one. Ours are in devices/, a script may give
--- its own, or one of ours with changes (base = "cisco_ios"). Knows the tables; must not know how they are used.

local errors = require("sshlua.errors")
local lazy = require("sshlua.lazy")
local options = require("sshlua.options")

local M = {}

--- What we ship.
M.names = { "arista_eos", "cisco_ios", "cisco_nxos", "juniper_junos", "linux", "mikrotik_routeros" }
local FOLDER = "sshlua.devices." -- tables only
local ours = {}
for _, name in ipairs(M.names) do ours[name] = true end

---@alias sshlua.ProfileLine string|{ [1]: string, may_fail?: boolean }

---@class sshlua.ProfileConfirm how changes are made that the device takes back by itself
---@field unit? integer seconds in what the device counts; nil: it has no clock, the end of the dialogue takes them back
---@field min? integer of these units
---@field max? integer
---@field enter? string in place of the mode's own; %d is the time
---@field enter_key? string the same as keys, without an end of line
---@field prompt? string what tells that it is in that mode
---@field diff? string
---@field commit? string|fun(units: integer): string
---@field abort? string
---@field stays? boolean the mode is not left before the changes are kept
---@field keep? string[] lines that keep the changes
---@field keep_key? string
---@field revert? string[] lines that take them back at once
---@field revert_key? string ends the dialogue, too
---@field answers? table<string, string>

---@class sshlua.ProfileConfig "{session}" in a line is a name of ours
---@field enter? string line that enters the mode for changes; nil: there is none
---@field prompt string pattern of a prompt in that mode
---@field leave? string
---@field diff? string line that shows what would change
---@field commit? string lines take effect with this one; nil: each at once
---@field abort? string what takes them back before the commit
---@field confirm? sshlua.ProfileConfirm nil: the device cannot

---@class sshlua.Profile
---@field name? string
---@field base? string one of ours; what is said here wins
---@field prompt? any see Shell; nil: learnt
---@field pager? any
---@field answers? table<string, string> questions, and what is sent
---@field newline? string
---@field pty? table
---@field prepare? sshlua.ProfileLine[] lines for a terminal without pages
---@field outside? { prompt: any, command: string } another shell than the device's own, and what leads there
---@field trailer? string[] patterns of what stands above a prompt and belongs to it
---@field errors? string[][] { pattern, name }; "^" is the beginning of a line
---@field status? { command: string, pattern: string } asks for the exit status of the last command
---@field enable? { command: string, password: string, prompt: string, learn?: boolean } "{nonce}" is a random word
---@field config? sshlua.ProfileConfig
---@field save? sshlua.ProfileLine[]
---@field login_suffix? string added to the user's name when one logs in
---@field legacy? boolean|table old algorithms it may need: { kex=, ciphers=, macs=, rsa_sha1= }
local fields = {
  name = "string", base = "string", prompt = "string|table|function|userdata|false", pager = "boolean|string|table",
  answers = "table", newline = "string", pty = "table", prepare = "table", outside = "table|false", trailer = "table",
  errors = "table", status = "table|false", enable = "table|false", config = "table|false", save = "table|false",
  login_suffix = "string|false", legacy = "boolean|table",
}

local parts = {
  enable = { command = "string", password = "string", prompt = "string", learn = "boolean" },
  config = {
    enter = "string", prompt = "string", leave = "string", diff = "string", commit = "string", abort = "string",
    confirm = "table|false",
  },
  legacy = { kex = "string", ciphers = "string", macs = "string", rsa_sha1 = "boolean" },
  status = { command = "string", pattern = "string" },
  outside = { prompt = "any", command = "string" },
}

local needed = {
  enable = { "command", "password", "prompt" }, config = { "prompt" }, status = { "command", "pattern" },
  outside = { "prompt", "command" },
}

local function check_lines(list, what, level)
  for _, line in ipairs(list or {}) do
    local text = type(line) == "table" and line[1] or line
    if type(text) ~= "string" or text:find("[\r\n%z]") then
      errors.usage(level + 1, "profile: %s: one line expected in each place", what)
    end
  end
end

local function check_errors(list, level)
  for _, entry in ipairs(list or {}) do
    local good = type(entry) == "table" and type(entry[1]) == "string" and type(entry[2]) == "string"
    if not good or not pcall(string.find, "", entry[1]) then
      errors.usage(level + 1, "profile: errors: { pattern, name } expected in each place")
    end
  end
end

local function check(profile, level)
  options.check(profile, fields, level + 1)
  for name, spec in pairs(parts) do
    local part = profile[name]
    if type(part) == "table" then
      options.check(part, spec, level + 1)
      for _, field in ipairs(needed[name] or {}) do
        if part[field] == nil then errors.usage(level + 1, "profile: %s: '%s' is missing", name, field) end
      end
    end
  end
  check_lines(profile.prepare, "prepare", level + 1)
  check_lines(profile.save or nil, "save", level + 1)
  check_errors(profile.errors, level + 1)
end

local function shipped(name, level)
  if not ours[name] then
    errors.usage(level + 1, "option 'profile': %s, or a table expected, got '%s'", table.concat(M.names, ", "),
      errors.excerpt(name, 40))
  end
  return lazy.load(FOLDER .. name)
end

local done = setmetatable({}, { __mode = "k" }) -- a script's table -> the whole profile

--- The whole profile.
---@param given string|sshlua.Profile a name of ours, or a table
---@return sshlua.Profile
function M.find(given, level)
  if type(given) == "string" then
    local profile = shipped(given, level + 1)
    profile.name = given
    return profile
  end
  if done[given] then return done[given] end
  check(given, level + 1)
  local profile = given
  if given.base then profile = options.merge(shipped(given.base, level + 1), given) end
  profile.name = profile.name or given.base or "your profile"
  done[given], done[profile] = profile, profile
  return profile
end

--- The old algorithms of a profile as connecting wants them: true, lists, or nil. The first place tells lists apart.
---@param profile sshlua.Profile
function M.legacy(profile)
  local lists = profile.legacy
  if type(lists) ~= "table" then return lists or nil end
  local words = { lists.kex or "", lists.ciphers or "", lists.macs or "", tostring(lists.rsa_sha1) }
  return options.merge(lists, { table.concat(words, "/") })
end

return M
