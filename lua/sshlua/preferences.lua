--- What the user prefers without saying it on each call: config.lua and SSHLUA_* of the environment, as connection
--- options. Which wins over which is docs/inventories.md's table; connect.lua puts the layers together.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local home = require("sshlua.home")
local options = require("sshlua.options")
local settings = require("sshlua.settings")

local M = {}

local PREFIX = "SSHLUA_"
local MAX_CONFIG = 1024 * 1024

--- Neither secrets nor what takes a check away comes from the environment of a process.
local not_from_environment = {
  password = true, passphrase = true, identity_data = true, insecure_accept_any_host_key = true,
}

--- Beyond connection options: what commands and ssh.hosts look at.
local more = { inventory = "string", parallel = "count" }

local truth = { yes = true, ["true"] = true, ["1"] = true, no = false, ["false"] = false, ["0"] = false }

--- A text of the environment as the type that an option wants; nil when it is none.
local function convert(text, wanted)
  for kind in wanted:gmatch("[^|]+") do
    local n = tonumber(text)
    if (kind == "seconds" or kind == "count" or kind == "port" or kind == "number") and n then return n end
    if kind == "boolean" and truth[text:lower()] ~= nil then return truth[text:lower()] end
    if kind == "false" and truth[text:lower()] == false then return false end
  end
  for kind in wanted:gmatch("[^|]+") do
    if kind == "string" or kind == "list" then return text end
  end
end

local function has_text_form(wanted)
  for kind in wanted:gmatch("[^|]+") do
    if kind ~= "function" and kind ~= "table" and kind ~= "any" then return true end
  end
  return false
end

local function config_error(fmt, ...)
  errors.raise({ kind = "config", message = fmt:format(...), op = "settings" })
end

--- Checks one value and says where it came from.
local function check(name, value, spec, where)
  local ok, err = pcall(options.check, { [name] = value }, spec, 1)
  if not ok then config_error("%s: %s", where, (err.message:gsub("^[^\n]-:%d+: ", ""))) end
  return value
end

local function from_environment(spec)
  local out = {}
  for name, wanted in pairs(spec) do
    local text = not not_from_environment[name] and has_text_form(wanted) and os.getenv(PREFIX .. name:upper()) or nil
    if text and text ~= "" then
      local value = convert(text, wanted)
      if value == nil then
        config_error("%s%s: %s expected, got \"%s\"", PREFIX, name:upper(), (wanted:gsub("|", " or ")),
          errors.excerpt(text, 40))
      end
      out[name] = check(name, value, spec, PREFIX .. name:upper())
    end
  end
  return out
end

--- $XDG_CONFIG_HOME/sshlua/config.lua; nil without a home.
---@return string?
function M.path()
  local base = os.getenv("XDG_CONFIG_HOME")
  if base and base:sub(1, 1) == "/" then return base .. "/sshlua/config.lua" end
  local own = home.dir()
  return own and own .. "/.config/sshlua/config.lua" or nil
end

local function read_config(spec)
  local path = M.path()
  local stat = path and core.fs_stat_sync(path)
  if not stat then return {} end
  if stat.type ~= "file" or stat.size > MAX_CONFIG then config_error("%s: a file of Lua expected", path) end
  local file, problem = io.open(path, "rb")
  if not file then config_error("%s", problem) end
  local text = file:read(MAX_CONFIG) or ""
  file:close()
  local config = require("sshlua.sandbox").run(text, path)
  for name, value in pairs(config) do
    if type(name) ~= "string" then config_error("%s: option names expected, got a %s", path, type(name)) end
    check(name, value, spec, path)
  end
  return config
end

local loaded
local none = { environment = {}, config = {}, more = {} }

--- Connection options in `environment` and `config`; the rest, the stronger of both, in `more`.
local function load_all(spec)
  local all = options.merge(spec, more)
  local both = { environment = from_environment(all), config = read_config(all), more = {} }
  for name in pairs(more) do
    both.more[name] = both.environment[name] or both.config[name]
    both.environment[name], both.config[name] = nil, nil
  end
  return both
end

--- What the user prefers, read once in the life of the process.
---@param spec table<string, string> the connection options, as options.check wants them
---@return { environment: table, config: table, more: { inventory?: string, parallel?: integer } }
function M.load(spec)
  if settings.only_mine then return none end
  loaded = loaded or load_all(spec)
  return loaded
end

--- Forgets what was read: for specs, and for who changes the environment.
function M.forget() loaded = nil end

return M
