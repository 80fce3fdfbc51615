-- A terminal that tmux plays, with a command in it. For one spec at a time.
local program = require "spec.support.program"
local run = require "spec.support.run"
local task = require "sshlua.task"

local M = {}

local started = 0

local function shell(line)
  local pipe = assert(io.popen(line .. " 2>&1"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function quoted(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

local Terminal = {}
Terminal.__index = Terminal

-- 80 x 24 or so large, with that line of sh in it; gone when the spec ends.
function M.start(line, cols, rows)
  local found = os.execute "command -v tmux >/dev/null"
  if found ~= true and found ~= 0 then run.skip "no tmux here" end
  started = started + 1
  local self = setmetatable({
    tmux = ("env -u TMUX TMUX_TMPDIR=%s tmux -L terminal%d -f /dev/null "):format(program.directory(), started),
  }, Terminal)
  shell(self.tmux .. ("new-session -d -x %d -y %d "):format(cols or 80, rows or 24) .. quoted("TERM=screen LC_ALL=C.UTF-8; export TERM; " .. line))
  run.defer(function() shell(self.tmux .. "kill-server") end)
  return self
end

-- Lines without trailing space, and no empty ones at the end.
function Terminal:screen() return (shell(self.tmux .. "capture-pane -p"):gsub(" +\n", "\n"):gsub("\n+$", "")) end

-- Waits until the screen matches; returns it.
function Terminal:expect(pattern)
  local text
  for _ = 1, 500 do
    text = self:screen()
    if text:find(pattern) then return text end
    task.sleep(0.03)
  end
  error(("no %q on the screen:\n%s"):format(pattern, text), 0)
end

function Terminal:type(text) shell(self.tmux .. "send-keys -l -- " .. quoted(text)) end
function Terminal:key(...) shell(self.tmux .. "send-keys " .. table.concat({ ... }, " ")) end
function Terminal:enter(text)
  self:type(text)
  self:key "Enter"
end
-- A file's text, as if pasted; `marked` as such, with its line ends as a terminal sends them, if that was asked for.
function Terminal:paste(path, marked)
  shell(("%sload-buffer %s"):format(self.tmux, quoted(path)))
  shell(self.tmux .. "paste-buffer -d " .. (marked and "-p" or "-r"))
end

function Terminal:resize(cols, rows) shell(("%sresize-window -x %d -y %d"):format(self.tmux, cols, rows)) end

return M
