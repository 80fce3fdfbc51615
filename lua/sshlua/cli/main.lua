--- The program's decisions: what the command line asks for, in which order it runs, with which exit code it ends.
--- `program` is what C gives (see src/host); everything runs in the root task.

local options = require("sshlua.cli.options")

local unpack = table.unpack or unpack -- luacheck: ignore 143

--- On standard error, after all output so far. A script may have closed either.
local function say(message)
  pcall(io.stdout.flush, io.stdout)
  pcall(io.stderr.write, io.stderr, "sshlua: ", message, "\n")
end

local function complain(message)
  say(message)
  return 2
end

--- What is still in stdout's buffer goes out; a full disk is not silence.
local function flush_output(program, code)
  if io.type(io.stdout) ~= "file" then return code end
  local ok, message, errno = program.flush_output()
  if ok then return code end
  if code ~= 0 then return code end
  if errno == 32 then return 141 end -- EPIPE: no news
  say("cannot write to standard output: " .. tostring(message))
  return 1
end

--- Running Lua code ---------------------------------------------------------------------------------------------------

local function stop(...) return require("sshlua.cli.report").stop(...) end

local function check_loaded(chunk, message)
  if not chunk then stop(1, "%s", message) end
  return chunk
end

local function run_init()
  for _, name in ipairs({ "LUA_INIT_5_4", "LUA_INIT" }) do
    local text = os.getenv(name)
    if text and text:sub(1, 1) == "@" then return check_loaded(loadfile(text:sub(2)))() end
    if text then return check_loaded(load(text, "=" .. name))() end
  end
end

--- As lua -l: "mod" and "mod-v2" into the global mod, "name=mod" into name.
local function load_library(value)
  local name, module = value:match("^([^=]*)=(.*)$")
  if not name then name, module = value:match("^[^-]*"), value end
  _G[name] = require(module)
end

local actions = {
  code = function(text) check_loaded(load(text, "=(command line)"))() end,
  module = load_library,
}

local function script_error(path, message)
  if not message:find("^cannot open ") and not message:find("^cannot read ") then stop(1, "%s", message) end
  local hint = path:find("[./]") and "" or " (no such command either; see sshlua --help)"
  stop(2, "%s%s", message, hint)
end

--- path nil: standard input.
local function run_script(path, ...)
  local chunk, message = loadfile(path)
  if not chunk then script_error(path or "stdin", message) end
  chunk(...)
end

local function run_operand(o, argv)
  local path = argv[o.operand]
  if path == "-" and not o.after_dashes then path = nil end
  run_script(path, unpack(argv, o.operand + 1))
end

local function stdin_is_terminal() return require("sshlua.core").isatty(0) end

local function run_lua(program, o, argv)
  run_init()
  local has_code = false
  for _, action in ipairs(o.actions) do
    has_code = has_code or action.what == "code"
    actions[action.what](action.value)
  end
  if o.operand then run_operand(o, argv) end
  if o.interactive or not (o.operand or has_code) then
    if o.interactive or stdin_is_terminal() then return require("sshlua.cli.repl").run(program) end
    run_script(nil)
  end
  return 0
end

local function run_command(program, o, argv)
  return require(o.command).run({ unpack(argv, o.operand + 1) }, program)
end

--- The root task ------------------------------------------------------------------------------------------------------

local function set_up_events(program, o)
  if (o.verbosity == 0 and not o.events) or not program.find("sshlua.log") then return end
  local log = require("sshlua.log")
  log.set_level(math.max(o.verbosity, 1))
  if not o.events then return end
  local ok, message = log.set_file(o.events)
  if not ok then stop(2, "option -E: %s", message) end
end

--- A callback of luv that fails is a failure of the script. Returns a function that gives the error and the frames.
local function watch_luv(program, task)
  local failure
  if program.luv_failed then
    program.luv_failed(function(err)
      failure = failure or { err, require("sshlua.cli.report").frames(program, 2) }
      if task.cancel_run then task.cancel_run({ kind = "cancelled", message = "a callback of luv failed" }) end
    end)
  end
  return function() return failure end
end

local function open_journal(o)
  if not (o.journal or o.resume or o.only or o.unknown) then return end
  if o.cassette then stop(2, "--cassette and --journal do not go together") end
  if o.journal and o.resume then stop(2, "--journal begins a journal, --resume goes on with one: one of them") end
  if not (o.journal or o.resume) then stop(2, "--only and --unknown go with --resume FILE") end
  require("sshlua").journal(o.resume or o.journal, {
    resume = o.resume and true or nil, only = o.only, unknown = o.unknown,
  })
end

--- Runs everything; returns true and the exit code, or false, the error, and the script's frames at it.
local function run_root(program, o, argv, task)
  local noted, frames
  local function note(err)
    noted, frames = err, require("sshlua.cli.report").frames(program, 2)
    return err
  end
  local luv_failure = watch_luv(program, task)
  local ok, result = pcall(task.run, function()
    set_up_events(program, o)
    open_journal(o)
    local main = o.command and run_command or run_lua
    if o.cassette then main = require("sshlua.cli.cassette").around(main) end
    local good, result = xpcall(main, note, program, o, argv)
    if not good then error(result, 0) end
    return result
  end)
  if luv_failure() then return false, luv_failure()[1], luv_failure()[2] end
  local same = rawequal(noted, result) or noted == nil -- tasks make nil a text
  return ok, result, same and frames or {}
end

local function exit_code(program, o, signals, ok, result, frames)
  if ok and not signals.code then return math.type(result) == "integer" and result or 0 end
  if not ok then
    local report = require("sshlua.cli.report")
    if not signals.is_silent(result) then say(report.text(program, result, frames)) end
    return signals.code or report.code(result, o.command ~= nil)
  end
  return signals.code
end

local function run(program, o, argv)
  require("sshlua.cli.loader").install()
  local task = program.load_tasks()
  local signals = require("sshlua.cli.signals")
  signals.install(program, task)
  local ok, result, frames = run_root(program, o, argv, task)
  signals.settle(program)
  return flush_output(program, exit_code(program, o, signals, ok, result, frames))
end

--- The table `arg`: the script is 0, what stands before it is negative.
local function set_arg(argv, zero)
  local t = {}
  for i = 0, #argv do t[i - zero] = argv[i] end
  arg = t
end

--- The name of the command's module, or nil and perhaps a message.
local function find_command(program, o, argv)
  if not o.operand or o.after_dashes then return nil end
  local name = argv[o.operand]
  if not name:find("^%a[%w-]*$") then return nil end
  local module = require("sshlua.cli.commands").find(program, name)
  if module and o.lua_option then
    return nil, ("option %s is not for the command %s (a script of that name: ./%s)"):format(o.lua_option, name, name)
  end
  return module
end

--- In front these are commands: the rest is ssh(1)'s command line. What is glued to them is the next word: another of
--- ssh's options, or where to.
local front = { G = { "config", "-" }, W = { "dial", "" } }

--- Under the name sshlua-ssh the program is its command ssh, for what wants one word in place of ssh (scp -S).
local function called_ssh(argv) return (argv[0] or ""):find("sshlua%-ssh$") ~= nil end

local function parse(argv)
  if (argv[0] or ""):match("[^/]*$") == "pdsh" then
    table.insert(argv, 1, "--pdsh")
    table.insert(argv, 1, "run")
  end
  local at = argv[1] == "--lua-path" and 3 or 1
  if called_ssh(argv) then table.insert(argv, at, "ssh") end
  local letter, rest = (argv[at] or ""):match("^%-([GW])(.*)$")
  if letter then
    argv[at] = front[letter][1]
    if rest ~= "" then table.insert(argv, at + 1, front[letter][2] .. rest) end
  end
  return options.parse(argv)
end

--- Returns the exit code.
---@param program table
---@param argv string[] argv[0] is the program's own name
---@return integer
return function(program, argv)
  local o, message = parse(argv)
  if not o then return complain(message) end
  if o.help then
    io.stdout:write(require("sshlua.cli.usage").text(program))
    return flush_output(program, 0)
  elseif o.version then
    io.stdout:write(require("sshlua.cli.version").text(program))
    return flush_output(program, 0)
  end
  o.command, message = find_command(program, o, argv)
  if message then return complain(message) end
  set_arg(argv, o.operand or 0)
  return run(program, o, argv)
end
