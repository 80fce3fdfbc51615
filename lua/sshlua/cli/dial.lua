--- `sshlua -W HOST:PORT [USER@]HOST`, the same as `sshlua dial`: standard input and output go to where a host can
--- connect, as with ssh -W. It is what a ProxyCommand runs.

local connect = require("sshlua.connect")
local errors = require("sshlua.errors")
local local_command = require("sshlua.local_command")
local report = require("sshlua.cli.report")
local ssh_options = require("sshlua.cli.ssh_options")
local task = require("sshlua.task")
local tunnel = require("sshlua.tunnel")

local M = { summary = "pass standard input and output on to host:port by way of a host, as ssh -W" }

M.help = [[
usage: sshlua -W HOST:PORT [ssh's options] [user@]host
       sshlua dial HOST:PORT [ssh's options] [user@]host

Connects to the host, asks it to connect to HOST:PORT ([ADDRESS]:PORT for IPv6), and passes standard input and output
on. Ends with 0 when the connection has ended, with 255 when there was none. Options are those of ssh(1).

  ProxyCommand sshlua -W %h:%p bastion
]]

local FAILED = 255
local PIECE = 65536

local await = task.await

local function close_of(program, fd, socket)
  return function()
    program.release_stream(fd)
    socket:close()
  end
end

--- Standard input as a function that returns the next bytes, nil at the end; and one that lets go of it.
local function input(program)
  local socket = program.take_stream(0)
  if not socket then return function() return io.stdin:read(PIECE) end, function() end end
  return function() return await(socket.read, socket, PIECE) end, close_of(program, 0, socket)
end

--- Standard output as a function that takes bytes and one that ends it.
local function output(program)
  local socket = program.take_stream(1)
  if not socket then
    return function(bytes)
      local ok, message = io.stdout:write(bytes)
      if not ok then errors.raise({ kind = "io", message = "cannot write to standard output: " .. message }) end
    end, function() io.stdout:flush() end
  end
  return function(bytes) await(socket.write, socket, bytes) end, close_of(program, 1, socket)
end

local function upwards(ch, read)
  for bytes in read do
    if not pcall(await, ch.write, ch, bytes) then return end -- it takes no more: the other direction tells its end
  end
  pcall(await, ch.send_eof, ch)
end

--- False: nobody reads it any more.
local function downwards(ch, write)
  for bytes in function() return (await(ch.read, ch, 0)) end do
    local ok, err = pcall(write, bytes)
    if not ok and errors.is(err, "connection_lost") then return false end
    if not ok then error(err, 0) end
  end
  return true
end

--- Both directions, each to its end; over when the other side has closed the connection, whatever may still come of
--- our input.
local function pass(program, ch)
  local read, close_input = input(program)
  local write, close_output = output(program)
  local ok, err = pcall(task.scope, function(s)
    s:spawn(upwards, ch, read)
    if downwards(ch, write) then
      close_output()
      await(ch.wait_closed, ch)
    end
    s:cancel()
  end)
  close_input()
  close_output()
  if not ok then error(err, 0) end
end

local function forward(program, o, host, port)
  local target = connect.target(o.host, { ssh_config = o.file })
  target.said.steps = o.steps
  local_command.stdout = 2 -- standard output carries the connection
  local session = connect.open(target)
  local ok, err = pcall(function()
    local t = session:dial((host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port))
    pass(program, t.ch)
  end)
  session:close()
  if not ok then error(err, 0) end
end

--- For `sshlua ssh -W`: `o` is the command line, `where` "host:port".
function M.by(program, o, where)
  if o.command then errors.raise({ kind = "usage", message = "-W takes no command" }) end
  local host, port = tunnel.parse(where, 0)
  forward(program, o, host, port)
  return 0
end

--- The command line: where to, and ssh's arguments.
local function parse(args)
  if args[1] == "--help" or args[1] == "-h" then return { help = true } end
  local usage = M.help:match("usage: ([^\n]*)")
  if not args[1] then errors.raise({ kind = "usage", message = ("where to? (%s)"):format(usage) }) end
  local host, port = tunnel.parse(args[1], 0)
  local o = ssh_options.parse({ table.unpack(args, 2) })
  if not o.help and not o.host then
    errors.raise({ kind = "usage", message = ("by way of which host? (%s)"):format(usage) })
  end
  if o.command then errors.raise({ kind = "usage", message = "-W takes no command" }) end
  return o, host, port
end

---@param args string[]
---@param program table
function M.run(args, program)
  local ok, err = pcall(function()
    local o, host, port = parse(args)
    if o.help then io.stdout:write(M.help) else forward(program, o, host, port) end
  end)
  if ok then return 0 end
  if errors.is(err, "cancelled") then error(err, 0) end
  pcall(io.stderr.write, io.stderr, "sshlua: ", report.text(program, err, {}), "\n")
  return FAILED
end

return M
