--- A large file to a host far away, over several channels of one connection. OpenSSH's server lets 2 MiB of each
--- be on their way, so at 50 ms a channel carries 40 MiB/s, whatever the network could do. Knows the bytes of one file
--- that is open at the other end; its name, attributes and end are transfer_put's.

local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local sftp = require("sshlua.sftp")

local M = {}

local SIZE = 16 * 1024 * 1024 -- of a file that is worth it
local SECONDS = 0.01 -- round trip of a host that is far away
local CHANNELS = 4
local PIECES = 8 -- of a file: who is done early takes another
local LEAST, MOST = 8 * 1024 * 1024, 64 * 1024 * 1024 -- of a piece: between two, a channel may be given to others

--- Is it worth it? `seconds`: what opening the file took, a round trip and little more.
---@param job sshlua.TransferJob
---@param size integer
---@param seconds number
---@return boolean
function M.is_for(job, size, seconds)
  local o = job.opts
  if o.resume or o.limit then return false end -- a part is proved by its beginning; a limit needs no width
  return size >= SIZE and seconds >= SECONDS and not (o.sudo or o.su or o.doas)
end

---@class sshlua.TransferPiece
---@field at integer
---@field size integer
---@field file sshlua.SftpFile? that it is being written through

--- A file's pieces, in order; `next` is the first that nobody has taken.
local function cut(size, block)
  local length, pieces = math.ceil(math.min(math.max(size / PIECES, LEAST), MOST) / block) * block, { next = 1 }
  for at = 0, size - 1, length do pieces[#pieces + 1] = { at = at, size = math.min(length, size - at) } end
  return pieces
end

local function take(pieces)
  local piece = pieces[pieces.next]
  pieces.next = pieces.next + 1
  return piece
end

--- Bytes without a gap from the beginning.
local function safe(pieces, size)
  local i = pieces.whole or 1
  while pieces[i] and pieces[i].done do i = i + 1 end
  pieces.whole = i
  return pieces[i] and pieces[i].at or size
end

--- Somebody may want the place of one of our channels: a command must not wait for the end of a large file.
local function is_in_the_way(state)
  return not state.leaving and state.job.sftp.session.places:left() < 1
end

--- Writes pieces through one open remote file until there are none. `may_leave`: or until others want the channel.
local function carry(state, remote, may_leave)
  local job, entry = state.job, state.entry
  while not (may_leave and is_in_the_way(state)) do
    local piece = take(state.pieces)
    if not piece then return end
    piece.file = remote
    local moved, _, left_out = remote:put(state.file, piece.size, { from = piece.at, to = piece.at, block = job.block,
      blocks = job.blocks, sparse = job.opts.sparse ~= false })
    piece.file, piece.done = nil, moved == piece.size
    entry.bytes = entry.bytes + moved
    state.holes = state.holes or left_out
    state.remote.safe = safe(state.pieces, entry.size)
    if not piece.done then state.short(piece.at + moved) end
  end
  state.leaving = true
end

local function carry_and_close(state, other)
  local ok, err = pcall(function()
    carry(state, other.file, true)
    other.file:close()
  end)
  other.sftp:close()
  state.leaving = nil
  if not ok then error(err, 0) end
end

--- The file once more, on a channel of its own.
local function open_again(session, path)
  local other = sftp.open(session, nil, true)
  local ok, file = pcall(other.open, other, path, "r+")
  if ok then return { sftp = other, file = file } end
  other:close()
  error(file, 0)
end

--- Channels that the server or its other users do not leave to us are done without.
local function open_others(state, s, path)
  group.scope(function(openers)
    state.openers = openers
    for _ = 2, math.min(CHANNELS, #state.pieces) do
      openers:spawn(function()
        local ok, other = pcall(open_again, state.job.sftp.session, path)
        if ok then s:spawn(carry_and_close, state, other) end
        if not ok and errors.is(other, "cancelled") then error(other, 0) end
      end)
    end
  end)
end

--- Sends all of `file` into the open remote file. True: blocks of zeros were left out, so it has not its size yet.
---@param job sshlua.TransferJob
---@param entry table of the job
---@param file userdata
---@param remote sshlua.SftpFile
---@param path string its path
---@param size integer
---@param short fun(at: integer) raises: the local file ended there
---@return boolean
function M.send(job, entry, file, remote, path, size, short)
  local state = { job = job, entry = entry, file = file, remote = remote, pieces = cut(size, job.block), short = short }
  remote.safe = 0
  entry.poll = function()
    local moved = 0
    for _, piece in ipairs(state.pieces) do
      if piece.file then moved = moved + select(2, piece.file:progress()) end
    end
    return moved
  end
  group.scope(function(s)
    s:spawn(open_others, state, s, path)
    carry(state, remote)
    state.openers:cancel()
  end)
  return state.holes or false
end

return M
