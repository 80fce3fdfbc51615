--- `sshlua rec list|play|grep|cat`: recordings of terminals, found, shown and searched.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local record = require("sshlua.record")
local recordings = require("sshlua.recordings")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = { summary = "list, play and search recordings of terminals" }

M.help = [[
usage: sshlua rec list [PLACE...]
       sshlua rec play [--speed N] [--idle SECONDS] FILE
       sshlua rec cat FILE...
       sshlua rec grep [-i] [-l] [--pattern] TEXT [PLACE...]

Recordings are made with record = (docs/recording.md); they are asciicast v2 files, which asciinema plays, too. A PLACE
is a file or a directory; without one it is $XDG_STATE_HOME/sshlua/recordings (~/.local/state).
  list              when, how long, how large, the terminal's size, title and file of each
  play              as it was seen; --speed 2: twice as fast; --idle 1: no pause longer than a second
  cat               everything at once
  grep              the lines that have TEXT, with file and time; exit status 1 when there is none
    -i              upper and lower case are the same
    -l              only the files
    --pattern       TEXT is a Lua pattern
]]

local function usage(fmt, ...)
  errors.raise({ kind = "usage", message = "rec: " .. fmt:format(...) .. " (see sshlua help rec)" })
end

--- Options of a subcommand: name -> "flag" or "number".
local function parse(args, known)
  local o, words, i = {}, {}, 1
  while args[i] do
    local word = args[i]
    local name, value = word:match("^(%-%-[^=]+)=(.*)$")
    name = name or word
    if word == "--" then
      for j = i + 1, #args do words[#words + 1] = args[j] end
      break
    elseif word:sub(1, 1) ~= "-" then
      words[#words + 1] = word
    elseif known[name] == "number" then
      if not value then
        i = i + 1
        value = args[i]
      end
      o[name] = tonumber(value or "")
      if not o[name] or not (o[name] > 0 and o[name] < 1e6) then usage("%s: a number above 0 expected", name) end
    elseif known[word] then
      o[word] = true
    else
      usage("unknown option %s", errors.excerpt(word, 40))
    end
    i = i + 1
  end
  return o, words
end

local function in_directory(dir, list)
  local names = {}
  for _, entry in ipairs(task.await(core.fs_readdir, dir)) do
    if entry.name:find("%.cast$") then names[#names + 1] = entry.name end
  end
  table.sort(names)
  for _, name in ipairs(names) do list[#list + 1] = (dir:gsub("/+$", "")) .. "/" .. name end
end

--- Files of the places.
local function files_of(places)
  local list = {}
  if not places[1] then
    local dir = record.directory()
    if not dir or not core.fs_stat_sync(dir) then return list end
    places = { dir }
  end
  for _, place in ipairs(places) do
    local stat = core.fs_stat_sync(place)
    if stat and stat.type == "directory" then in_directory(place, list) else list[#list + 1] = place end
  end
  return list
end

local function out(...)
  if not io.stdout:write(...) then error({ nobody_reads = true }, 0) end
end

--- Calls fn for each file; what cannot be read is told, and the rest goes on.
local function each_file(files, fn)
  local code = 0
  for _, path in ipairs(files) do
    local ok, err = pcall(fn, path)
    if not ok then
      if not errors.is(err, "io") then error(err, 0) end
      io.stderr:write("sshlua: rec: ", core.clean(err.message), "\n")
      code = 1
    end
  end
  return code
end

local function size_of(bytes)
  if bytes < 10240 then return ("%d B"):format(bytes) end
  if bytes < 10485760 then return ("%.0f KiB"):format(bytes / 1024) end
  return ("%.0f MiB"):format(bytes / 1048576)
end

local verbs = {}

function verbs.list(args)
  local _, places = parse(args, {})
  return each_file(files_of(places), function(path)
    local r = recordings.about(path)
    local at = r.at and os.date("%Y-%m-%d %H:%M:%S", r.at) or "-"
    out(("%-19s %9.1f s %9s %4dx%-4d %-20s %s\n"):format(at, r.seconds, size_of(r.bytes), r.width, r.height,
      core.clean(r.title), core.clean(path)))
  end)
end

function verbs.cat(args)
  local _, files = parse(args, {})
  if not files[1] then usage("cat: which file?") end
  return each_file(files, function(path)
    recordings.each(path, function(_, kind, text)
      if kind == "o" then out(text) end
    end)
  end)
end

function verbs.play(args)
  local o, files = parse(args, { ["--speed"] = "number", ["--idle"] = "number" })
  if #files ~= 1 then usage("play: one file expected") end
  local speed, idle, last = o["--speed"] or 1, o["--idle"] or math.huge, 0
  recordings.each(files[1], function(time, kind, text)
    if kind ~= "o" then return end
    local pause = math.min(time - last, idle) / speed
    last = time
    if pause > 0 then
      io.stdout:flush()
      scope.sleep(pause)
    end
    out(text)
  end)
  io.stdout:flush()
  return 0
end

local function matcher(o, text)
  local plain = not o["--pattern"]
  if not plain and not pcall(string.find, "", text) then usage("not a Lua pattern: %s", errors.excerpt(text, 60)) end
  if o["-i"] then text = plain and text:lower() or text end
  return function(line)
    return (o["-i"] and line:lower() or line):find(text, 1, plain) ~= nil
  end
end

function verbs.grep(args)
  local o, words = parse(args, { ["-i"] = "flag", ["-l"] = "flag", ["--pattern"] = "flag" })
  local text = table.remove(words, 1)
  if not text or text == "" then usage("grep: which text?") end
  local matches, found = matcher(o, text), false
  local code = each_file(files_of(words), function(path)
    local here = false
    recordings.lines(path, function(line, time)
      if not matches(line) then return end
      if not o["-l"] then out(("%s: %.1f: %s\n"):format(core.clean(path), time, core.clean(line))) end
      here = true
    end)
    if here and o["-l"] then out(core.clean(path), "\n") end
    found = found or here
  end)
  return code == 0 and not found and 1 or code
end

function M.run(args)
  local verb = args[1]
  if verb == nil or verb == "-h" or verb == "--help" then
    io.stdout:write(M.help)
    return verb and 0 or 2
  end
  if not verbs[verb] then usage("list, play, grep or cat expected, got \"%s\"", errors.excerpt(verb, 40)) end
  local ok, result = pcall(verbs[verb], { (table.unpack or unpack)(args, 2) }) -- luacheck: ignore 143
  if ok then return result end
  if type(result) == "table" and rawget(result, "nobody_reads") then return 141 end
  error(result, 0)
end

return M
