--- Standard input, output and error on a channel, byte for byte, in C: see src/ssh/channel_pass.c. What happens at the
--- end of each follows ssh(1). Knows descriptors and a channel; must not know terminals.

local errors = require("sshlua.errors")
local task = require("sshlua.task")

local M = {}

local await = task.await

local function ignore() end

--- Who started us has closed the descriptor: it is as /dev/null, as with ssh.
local function is_closed(err) return err.name == "EBADF" end

--- Nobody reads our output any more: a command that goes on writing is told (as ssh tells OpenSSH's sshd), and what
--- still comes is dropped.
local function abandoned(ch, stream)
  if stream == 0 then pcall(ch.notice, ch, "eow@openssh.com", "", ignore) end
  await(ch.pass_out, ch, stream, -1)
end

--- One output to its end.
---@param ch userdata
---@param stream 0|1
---@param to userdata|integer a stream of ours, or an open file
---@param words sshlua.client.Words
function M.out(ch, stream, to, words)
  local ok, err = pcall(await, ch.pass_out, ch, stream, to)
  if not ok then M.cannot_write(ch, stream, words, err) end
end

--- What is done when an output could not be written: what still comes is dropped.
function M.cannot_write(ch, stream, words, err)
  if not errors.is(err, "io") then error(err, 0) end
  if is_closed(err) then return await(ch.pass_out, ch, stream, -1) end
  if err.name ~= "EPIPE" then
    words:error(("cannot write to standard %s: %s"):format(stream == 0 and "output" or "error", err.message))
  end
  abandoned(ch, stream)
end

--- Input to its end, and the end. A command that ends without reading it is no failure.
---@param ch userdata
---@param from userdata|integer|nil nil: there is none
---@param words sshlua.client.Words
function M.input(ch, from, words)
  M.feed(ch, from and function() await(ch.pass_in, ch, from) end, words)
end

--- Input that pass() gives the command, to its end.
---@param pass? fun()
function M.feed(ch, pass, words)
  local ok, err = true, nil
  if pass then ok, err = pcall(pass) end
  if not ok and errors.is(err, "cancelled") then error(err, 0) end
  if not ok and errors.is(err, "io") and not is_closed(err) then
    words:error("cannot read standard input: " .. err.message)
  end
  pcall(await, ch.send_eof, ch) -- a lost connection is told by whoever reads
end

--- Takes a standard stream of this process.
---@param program table
---@param fd 0|1|2
---@return userdata|integer
function M.take(program, fd) return program.take_stream(fd) or fd end

return M
