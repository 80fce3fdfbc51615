--- ssh-agent (draft-miller-ssh-agent): list and sign, nothing else. One short connection per question, so that a key
--- that
--- asks for confirmation keeps nobody else waiting; every question has a deadline.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local LIST_SECONDS = 5
local SIGN_SECONDS = 60 -- a person may have to confirm
local CACHE_SECONDS = 10
local FRAME_MAX = 256 * 1024 + 4

local function read_frame(socket)
  local bytes = ""
  while #bytes <= FRAME_MAX do
    local piece = task.await(socket.read, socket, 65536)
    if not piece then
      errors.raise({ kind = "auth", name = "AGENT_PROTOCOL", message = "the agent closed the connection" })
    end
    bytes = bytes .. piece
    local payload, err = core.agent_frame(bytes)
    if err then errors.raise(errors.from(err)) end
    if payload then return payload end
  end
  errors.raise({ kind = "auth", name = "AGENT_PROTOCOL", message = "the agent's answer is too long" })
end

local function exchange(path, request)
  local socket = task.await(core.unix_connect, path)
  local ok, payload = pcall(function()
    task.await(socket.write, socket, request)
    return read_frame(socket)
  end)
  socket:close()
  if not ok then error(payload, 0) end
  return payload
end

local function ask(path, seconds, request)
  return scope.deadline({ seconds = seconds, message = "the agent did not answer" }, exchange, path, request)
end

local lists = {} -- path -> {at=, identities=}

--- The agent's keys, remembered for a few seconds: 500 hosts ask once.
---@param path string socket
---@return { type: string, blob: string, comment: string }[]
function M.identities(path)
  local known = lists[path]
  if known and core.now() - known.at < CACHE_SECONDS then return known.identities end
  local identities, err = core.agent_identities(ask(path, LIST_SECONDS, core.agent_list_request()))
  if not identities then errors.raise(errors.from(err)) end
  lists[path] = { at = core.now(), identities = identities }
  return identities
end

--- The inner signature over data by that key, or an Error of kind auth.
---@return string
function M.sign(path, blob, data)
  local request, err = core.agent_sign_request(blob, data)
  if not request then errors.raise(errors.from(err)) end
  local payload = ask(path, SIGN_SECONDS, request)
  local signature
  signature, err = core.agent_signature(payload, data)
  if not signature then errors.raise(errors.from(err)) end
  return signature
end

return M
