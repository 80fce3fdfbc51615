-- The program sshlua as a child: started with arguments, input and signals, its output and end collected. Which program:
-- SSHLUA_BIN, or SSHLUA (as ./test sets it), or the one that runs the specs.
local core = require "sshlua.core"
local processes = require "sshlua.testbed.processes"
local task = require "sshlua.task"

local M = {}

local function lowest_argument()
  local i = 0
  while arg and arg[i - 1] do i = i - 1 end
  return arg and arg[i]
end

-- The path, or nil when plain Lua runs the specs and nobody says where the program is.
local function find()
  local path = os.getenv "SSHLUA_BIN" or os.getenv "SSHLUA"
  if path then return path end
  path = lowest_argument()
  return path and path:find "sshlua[^/]*$" and path or nil
end

M.path = find()

local directory

-- A directory of our own, made when first asked for.
function M.directory()
  directory = directory or assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-spec.XXXXXX"))
  return directory
end

function M.remove_directory()
  if directory then core.fs_rmtree_sync(directory) end
  directory = nil
end

-- Writes a file there; returns its path.
function M.file(name, text)
  local path = M.directory() .. "/" .. name
  assert(core.fs_write_sync(path, text, 448))
  return path
end

local function absolute(path) return path:sub(1, 1) == "/" and path or task.await(core.fs_realpath, path) end

-- env(1)'s arguments: what concerns Lua and homes is the spec's own affair.
local function environment(set)
  local args = { "env", "-u", "LUA_INIT", "-u", "LUA_INIT_5_4", "-u", "XDG_STATE_HOME" }
  for name, value in pairs(set or {}) do
    if not value then
      table.insert(args, 2, "-u")
      table.insert(args, 3, name)
    end
  end
  if not (set and set.SSHLUA_SSH_CONFIG ~= nil) then args[#args + 1] = "SSHLUA_SSH_CONFIG=none" end
  for name, value in pairs(set or {}) do
    if value then args[#args + 1] = name .. "=" .. value end
  end
  return args
end

local Child = {}
Child.__index = Child

-- Starts the program; inside a task. opts: stdin (text, "pipe" that stays open, or nothing), env (name -> value or false), cwd, shell (a
-- line of sh in which "$0" is the program).
function M.start(args, opts)
  opts = opts or {}
  local command = environment(opts.env)
  local program = absolute(M.path)
  if opts.shell then
    for _, word in ipairs { "sh", "-c", opts.shell, program } do command[#command + 1] = word end
  else
    command[#command + 1] = program
  end
  for _, word in ipairs(args) do command[#command + 1] = word end
  local proc = assert(core.spawn {
    args = command, cwd = opts.cwd, stdin = opts.stdin and "pipe" or "null", stdout = "pipe", stderr = "pipe",
  })
  return setmetatable({ proc = proc, opts = opts, waiting = {}, seen = "" }, Child)
end

-- fn(child) runs beside the reading of output; returns { code, signal, out, err }.
function Child:finish(fn)
  local r = {}
  task.scope(function(s)
    s:spawn(function()
      r.out = processes.read_all(self.proc:stdout(), function(text)
        self.seen = text
        if self.changed then self.changed:set() end
      end)
    end)
    s:spawn(function() r.err = processes.read_all(self.proc:stderr()) end)
    s:spawn(function()
      if self.opts.stdin and self.opts.stdin ~= "pipe" then
        pcall(self.write, self, self.opts.stdin)
        self.proc:stdin():close()
      end
      if fn then fn(self) end
    end)
  end)
  if self.opts.stdin then self.proc:stdin():close() end
  r.code, r.signal = task.await(self.proc.wait, self.proc)
  return r
end

-- Waits until stdout has that text.
function Child:expect(text)
  task.timeout(10, function()
    while not self.seen:find(text, 1, true) do
      self.changed = task.event()
      self.changed:wait()
    end
  end)
end

function Child:write(text)
  local input = self.proc:stdin()
  task.await(input.write, input, text)
end

function Child:kill(signal) self.proc:kill(signal) end

function M.run(args, opts) return M.start(args, opts):finish() end

-- Runs Lua code given as text.
function M.lua(code, opts) return M.run({ "-e", code }, opts) end

return M
