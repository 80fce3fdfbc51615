--- `sshlua help --complete WORD...`: what may stand in place of the last word, for the shells' completions (bash, zsh,
--- fish; tools/completion). A line "word TAB text" for each; ":files" and ":dirs": names of files, of directories.

local commands = require("sshlua.cli.commands")
local described = require("sshlua.cli.described")
local usage = require("sshlua.cli.usage")

local M = {}

--- They take ssh's options.
local like_ssh = { config = true, explain = true, dial = true, ssh = true }
--- Behind their first word everything is somebody else's.
local ends_options = { run = true, ssh = true, demo = true }

local function help_of(program, command)
  if not command then return usage.text(program) end
  local module = commands.find(program, command)
  return module and (require(module).help or "") or nil
end

local function options_of(program, command)
  local help = help_of(program, command and like_ssh[command] and "ssh" or command)
  local list, by = described.options(help), {}
  described.add_usage(help, list)
  for _, option in ipairs(list) do
    for _, name in ipairs(option.names) do by[name] = option end
  end
  return list, by
end

--- The option that waits for the next word after `word`, if it does.
local function waits(by, word)
  if word:sub(1, 2) == "--" then
    local option = by[word]
    return option and option.arg and not option.optional and word or nil
  end
  for at = 2, #word do
    local name = "-" .. word:sub(at, at)
    local option = by[name]
    if option and option.arg then return at == #word and name or nil end
  end
end

--- What the words before the last one mean.
local function read(program, words)
  local state = { list = nil, by = nil, command = nil, waiting = nil, free = false }
  state.list, state.by = options_of(program, nil)
  for i = 1, #words - 1 do
    local word = words[i]
    if state.free then break end
    if word == "=" and state.waiting then
      state.waiting = state.waiting -- bash cuts there
    elseif state.waiting then
      state.waiting = nil
    elseif word == "--" then
      state.free = true
    elseif word:find("^%-.") then
      state.waiting = waits(state.by, word)
    elseif not state.command and commands.find(program, word) then
      state.command = word
      state.list, state.by = options_of(program, word)
    elseif not state.command or ends_options[state.command] then
      state.free = true
    else
      state.operand = true
    end
  end
  return state
end

local function add_argument(add, name, option)
  local words = described.words(name)
  if words then
    for _, word in ipairs(words) do add(word, "") end
    return
  end
  local arg = (option.arg or ""):upper()
  if arg == "DIR" or arg == "PLACE" then return add(":dirs") end
  if arg:find("FILE") or arg == "CONFIG" or arg == "IDENTITY" or arg == "KEY" or arg == "LOG" then add(":files") end
end

local function add_operands(add, program, state)
  if state.free then return add(":files") end
  if not state.command or state.command == "help" then
    for line in commands.lines(program):gmatch("[^\n]+") do add(line:match("^%s*(%S+)%s+(.*)$")) end
    return not state.command and add(":files")
  end
  local verbs = described.verbs(help_of(program, state.command), state.command)
  if state.operand or #verbs == 0 then return add(":files") end
  for _, verb in ipairs(verbs) do add(verb, "") end
end

--- The lines for the words behind `sshlua`, the last of which is being written (perhaps empty).
---@param program table
---@param words string[]
---@return string[]
function M.lines(program, words)
  local state, out, last = read(program, words), {}, words[#words] or ""
  if last == "=" and state.waiting then last = "" end
  local function add(word, text)
    if word:sub(1, 1) ~= ":" and word:sub(1, #last) ~= last then return end
    out[#out + 1] = text and word .. "\t" .. text or word
  end
  if state.waiting then
    add_argument(add, state.waiting, state.by[state.waiting])
  elseif last:find("^%-%-[^=]+=") and not state.free then
    local name = last:match("^(.-)=")
    if state.by[name] then
      add_argument(function(word, text) add(word:sub(1, 1) == ":" and word or name .. "=" .. word, text) end, name,
        state.by[name])
    end
  elseif last:find("^%-") and not state.free then
    for _, option in ipairs(state.list) do
      for _, name in ipairs(option.names) do add(name, option.text) end
    end
  else
    add_operands(add, program, state)
  end
  return out
end

return M
