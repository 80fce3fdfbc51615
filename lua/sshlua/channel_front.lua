--- A channel with something in front: output that has come already, and on a terminal of ours frames around the input
--- and a mark at the end of the output. Knows a channel's verbs; must not know what the command is.

local core = require("sshlua.core")

local M = {}

local FRAME_MAX = 32768

local Channel = {}
local channel_mt = { __index = Channel, __name = "sshlua.Channel" }

local function frames(bytes)
  local out = {}
  if core.is_secret(bytes) then bytes = bytes:reveal() end -- its length has to be told
  for from = 1, #bytes, FRAME_MAX do
    local piece = bytes:sub(from, from + FRAME_MAX - 1)
    out[#out + 1] = #piece .. "\n" .. piece
  end
  return table.concat(out)
end

function Channel:write(bytes, done)
  if not self.frames then return self.raw:write(bytes, done) end
  if self.frames_over then
    return core.timer(0, function()
      done({ kind = "channel", name = "EPIPE", message = "the command has ended and takes no more input" })
    end)
  end
  return self.raw:write(frames(bytes), done)
end

function Channel:send_eof(done)
  if not self.framed then return self.raw:send_eof(done) end
  if not self.frames or self.frames_over then return core.timer(0, done) end
  self.frames_over = true
  return self.raw:write("0\n", done)
end

--- Output without the mark at its end; "": nothing that could be told from it yet.
function Channel:strip(bytes)
  local mark = self.mark
  if not mark then return bytes end
  bytes = self.held .. bytes
  self.held = ""
  local from, to = bytes:find(mark, 1, true)
  if from then
    self.mark = nil
    self:send_eof(function() end)
    return bytes:sub(1, from - 1) .. bytes:sub(to + 1)
  end
  for n = math.min(#mark - 1, #bytes), 1, -1 do
    if bytes:sub(-n) == mark:sub(1, n) then
      self.held = bytes:sub(-n)
      return bytes:sub(1, -n - 1)
    end
  end
  return bytes
end

local function early(self, stream, done)
  local bytes = self.early[stream]
  if not bytes then return nil end
  self.early[stream] = nil
  local timer = core.timer(0, function() done(nil, bytes, stream) end)
  return { cancel = function()
    timer:cancel()
    self.early[stream] = bytes -- for the next one
  end }
end

local function stripped(self, start, done)
  local handle
  local function go()
    handle = start(function(err, bytes, stream)
      if err then return done(err) end
      local text = bytes and stream == 0 and self:strip(bytes) or bytes
      if text == "" then return go() end
      if not text and self.held ~= "" then -- it ended without the mark
        text, stream, self.held, self.mark = self.held, 0, "", nil
      end
      done(nil, text, stream)
    end)
  end
  go()
  return { cancel = function() handle:cancel() end }
end

function Channel:read(stream, done)
  local raw = self.raw
  if not self.mark or stream ~= 0 then return early(self, stream, done) or raw:read(stream, done) end
  return early(self, stream, done) or stripped(self, function(finished) return raw:read(stream, finished) end, done)
end

function Channel:read_any(done)
  local raw = self.raw
  local handle = early(self, 0, done) or early(self, 1, done)
  if handle or not self.mark then return handle or raw:read_any(done) end
  return stripped(self, function(finished) return raw:read_any(finished) end, done)
end

for _, verb in ipairs({ "signal", "resize", "wait_closed", "close" }) do
  Channel[verb] = function(self, ...) return self.raw[verb](self.raw, ...) end
end

--- The channel for whoever goes on with it: the raw one when nothing stands in front.
---@param raw table a channel of the core
---@param stream integer which one the bytes came on
---@param bytes string what has come already
---@param mark? string|false ours is the terminal: the mark after the command; false: ours, and nothing is written
function M.new(raw, stream, bytes, mark)
  if bytes == "" and mark == nil then return raw end
  local self = setmetatable({
    raw = raw, framed = mark ~= nil, frames = mark, mark = mark and "\1" .. mark .. "\n" or nil, held = "",
  }, channel_mt)
  bytes = self:strip(bytes)
  self.early = { [stream] = bytes ~= "" and bytes or nil }
  return self
end

return M
