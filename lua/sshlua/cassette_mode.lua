--- Is a cassette recorded or played? The option `mode`, SSHLUA_CASSETTE, or whether the file is there.

local errors = require("sshlua.errors")
local options = require("sshlua.options")
local words = require("sshlua.cassette_words")

local M = {}

---@class sshlua.CassetteOptions
---@field mode? "record"|"replay"|"auto" auto (default): record when the file is missing; SSHLUA_CASSETTE says otherwise
---@field unplayed? boolean true: steps that were recorded need not all be played
---@field replace? table<string, string> text that differs in each run (a temporary directory) -> what stands for it
local cassette_options = { mode = "string", unplayed = "boolean", replace = "table" }

local modes = { record = true, replay = true, auto = true }

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- Will it be recorded or replayed?
---@param path string
---@param opts? sshlua.CassetteOptions
---@return "record"|"replay"
function M.of(path, opts, level)
  level = (level or 1) + 1
  opts = options.check(opts, cassette_options, level)
  if type(path) ~= "string" or path == "" then errors.usage(level, "cassette: file name expected") end
  words.check(opts.replace, level)
  local mode = opts.mode
  if mode == nil then mode = os.getenv("SSHLUA_CASSETTE") end
  if mode == nil or mode == "" then mode = "auto" end
  if not modes[mode] then
    errors.usage(level, "%s: record, replay or auto expected, got %s",
      opts.mode and "option 'mode'" or "SSHLUA_CASSETTE", errors.excerpt(mode, 40))
  end
  if mode == "auto" then return exists(path) and "replay" or "record" end
  return mode
end

return M
