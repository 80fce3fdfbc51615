--- Goes through configuration files for one host: sections that concern it, Include, the first value of a keyword.
--- Problems name the file and line; all of one file are found before they are raised.

local errors = require("sshlua.errors")
local files = require("sshlua.ssh_config.files")
local glob = require("sshlua.ssh_config.glob")
local keywords = require("sshlua.ssh_config.keywords")
local match = require("sshlua.ssh_config.match")
local pattern = require("sshlua.ssh_config.pattern")

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore 143

local DEPTH_MAX = 16

--- Where values come from: "-i", the user's files and -o, the system's.
M.sources = { option = 1, user = 2, system = 0 }

---@class sshlua.ConfigState
---@field values table<string, any>
---@field origins table<string, string[]> keyword -> "file:line", ...
---@field host string what Host compares with
---@field original string as given
---@field me { name: string, uid: integer, home: string }
---@field final boolean the second pass
---@field want_final boolean
---@field command? string

local function describe(path, item, message)
  local where = item.line == 0 and path or ("%s:%d"):format(path, item.line)
  return ("%s: %s: %s"):format(where, item.def and item.def.title or item.word, message)
end

local IN_FILE = "correct the line, or leave the file out: ssh_config = false, -F none"

--- Raises what is wrong in a file. `problems` has { line=, message= }.
local function raise_problems(path, problems)
  local first, more = problems[1], #problems - 1
  errors.raise({
    kind = "config", message = first.message .. (more > 0 and (" (and %d more)"):format(more) or ""),
    hint = first.hint or first.line ~= 0 and IN_FILE or nil,
    path = path, problems = problems,
  })
end

local function problem(run, item, message, hint)
  run.problems[#run.problems + 1] = {
    line = item.line, file = run.path, message = describe(run.path, item, message), hint = hint,
  }
end

local function fatal(run, item, message)
  problem(run, item, message)
  raise_problems(run.path, run.problems)
end

local function origin_of(run, item) return item.line == 0 and run.path or ("%s:%d"):format(run.path, item.line) end

local function add_origin(state, run, item, name, kind)
  local origin = origin_of(run, item)
  local list = state.origins[name]
  if not list or kind == keywords.kinds.mask then
    state.origins[name] = { origin }
  else
    list[#list + 1] = origin
  end
end

--- Origins of a list from which names have been taken away, and to which others were added here.
local function align(before, origins, values, origin)
  local out, at = {}, 1
  for i, value in ipairs(values) do
    while before[at] and before[at] ~= value do at = at + 1 end
    out[i] = before[at] and origins[at] or origin
    at = at + 1
  end
  return out
end

local function take_value(state, run, item)
  local def = item.def
  local kind, name = keywords.kinds[def.kind], def.into or def.name
  if run.active then
    local wrong = kind.limit_active and kind.limit_active(state.values, name)
      or kind.limit and state.values[name] == nil and kind.limit(item.value, def)
    if wrong then return problem(run, item, wrong) end
  end
  local before = kind == keywords.kinds.env_names and run.active and { unpack(state.values[name] or {}) }
  local taken = kind.store(state.values, name, item.value, run.active or def.always or false, run.source)
  if before then
    local origin = origin_of(run, item)
    state.origins[name] = align(before, state.origins[name] or {}, state.values[name], origin)
  elseif taken then
    add_origin(state, run, item, name, kind)
  end
end

local function unknown(state, run, item)
  local ignored = state.values.ignoreunknown
  if ignored and pattern.list(item.word, ignored, true) == "yes" then return end
  problem(run, item, "unknown keyword", "if it is another program's, say IgnoreUnknown " .. item.word)
end

local structure = {}

function structure.nothing() end

function structure.host(state, run, item)
  if run.never then
    run.active = false
    if item.args[1] == "" then problem(run, item, "an empty argument") end
    return
  end
  local matched = match.host(state.host, item.args)
  run.active = matched == true
  if matched == nil then problem(run, item, "an empty argument") end
end

function structure.match(state, run, item)
  local matched, message, is_fatal = match.criteria(state, item.raw)
  if matched == nil then
    if is_fatal then fatal(run, item, message) end
    return problem(run, item, message)
  end
  run.active = matched and not run.never
end

local function include_one(state, run, item, path)
  local ok, message, name = M.file(state, path, {
    source = run.source, check = true, depth = run.depth + 1, never = run.never or not run.active, outer = run.problems,
    active = run.active,
  })
  if not ok then problem(run, item, name == "ENOENT" and path .. ": no such file" or message) end
  return ok or name == "ENOENT"
end

function structure.include(state, run, item)
  for _, word in ipairs(item.args) do
    if word == "" then return problem(run, item, "an empty argument") end
    local user = run.source == M.sources.user
    if word:sub(1, 1) == "~" and not user then
      return problem(run, item, ("bad path '%s': a system-wide file has no home directory"):format(word))
    end
    if not word:find("^[~/]") then word = (user and "~/.ssh/" or "/etc/ssh/") .. word end
    for _, path in ipairs(glob.expand(word)) do
      if not include_one(state, run, item, path) then return end
    end
  end
end

local function one_line(state, run, item)
  if item.problem then
    if item.fatal then fatal(run, item, item.problem) end
    return problem(run, item, item.problem)
  end
  if not item.def then return unknown(state, run, item) end
  local special = structure[item.def.kind]
  if special then return special(state, run, item) end
  if run.active or item.def.always or item.def.kind == "mask" then take_value(state, run, item) end
end

--- Reads a file into the state. true, or nil, a message and the errno's name when it cannot be opened.
---@param state sshlua.ConfigState
---@param path string
---@param how table { source=, check=, depth=, never=, active=, outer= problems of the files around it }
function M.file(state, path, how)
  local depth = how.depth or 0
  if depth > DEPTH_MAX then
    errors.raise({ kind = "config", message = ("%s: included %d levels deep"):format(path, depth),
      hint = "does a file include itself?" })
  end
  local items, stat, name = files.load(path)
  if not items then return nil, stat, name end
  local distrust, hint = nil, nil
  if how.check then distrust, hint = files.distrust(stat) end
  if distrust then
    errors.raise({ kind = "config", message = ("%s: %s, so it is not trusted"):format(path, distrust), hint = hint,
      path = path })
  end
  local run = {
    path = path, source = how.source, depth = depth, never = how.never or false, active = how.active ~= false,
    problems = {},
  }
  for i, earlier in ipairs(how.outer or {}) do run.problems[i] = earlier end
  local before = #run.problems
  for _, item in ipairs(items) do one_line(state, run, item) end
  if #run.problems > before then raise_problems(path, run.problems) end
  return true
end

--- One setting of a command line: "Keyword value" or "Keyword=value".
---@param state sshlua.ConfigState
---@param text string
---@param origin? string
function M.option(state, text, origin)
  local item = files.line(text, 0)
  if not item then return end
  local run = { path = origin or "command line", source = M.sources.user, depth = 0, active = true, problems = {} }
  local def = item.def
  if def and def.status == "structure" then
    problem(run, item, "cannot be given as an option")
  else
    one_line(state, run, item)
  end
  if run.problems[1] then raise_problems(run.path, run.problems) end
end

return M
