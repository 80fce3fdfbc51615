--- ssh-agent (draft-miller-ssh-agent): list, sign, add. One short connection per question; every question
--- has a deadline. An agent that asks a person to confirm answers nobody else meanwhile: signatures wait for their turn
--- here, where the deadline does not run yet, and a list of keys that is known already is not asked for again.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local scope = require("sshlua.task.scope")
local sync = require("sshlua.task.sync")
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
local turns = {} -- path -> {line = semaphore, count = who stands in it}

--- The agent's keys, remembered for a few seconds: 500 hosts ask once.
---@param path string socket
---@return { type: string, blob: string, comment: string }[]
function M.identities(path)
  local known, busy = lists[path], turns[path] ~= nil
  if known and (busy or core.now() - known.at < CACHE_SECONDS) then return known.identities end
  local seconds = busy and SIGN_SECONDS or LIST_SECONDS
  local identities, err = core.agent_identities(ask(path, seconds, core.agent_list_request()))
  if not identities then errors.raise(errors.from(err)) end
  lists[path] = { at = core.now(), identities = identities }
  return identities
end

local function in_turn(path, fn, ...)
  local turn = turns[path] or { line = sync.semaphore(1), count = 0 }
  turns[path] = turn
  turn.count = turn.count + 1
  local ok, result = pcall(turn.line.with, turn.line, fn, ...)
  turn.count = turn.count - 1
  if turn.count == 0 then turns[path] = nil end
  if not ok then error(result, 0) end
  return result
end

--- The inner signature over data by that key, or an Error of kind auth.
---@return string
function M.sign(path, blob, data)
  local request, err = core.agent_sign_request(blob, data)
  if not request then errors.raise(errors.from(err)) end
  local payload = in_turn(path, ask, path, SIGN_SECONDS, request)
  local signature
  signature, err = core.agent_signature(payload, data)
  if not signature then
    err = errors.from(err)
    if err.name == "AGENT_REFUSED" then
      err.hint = "the agent may be locked (ssh-add -X), or the use of the key was not confirmed (ssh-add -c)"
    end
    errors.raise(err)
  end
  return signature
end

--- Adds a key unless the agent has it; true when it was added. Raises kind auth when the agent refuses.
---@param path string socket
---@param key userdata the parsed private key
---@param comment string
---@param seconds number how long the agent keeps it; 0: for ever
---@param confirm boolean it asks before each use
---@return boolean
function M.add(path, key, comment, seconds, confirm)
  local blob = key:blob()
  return in_turn(path, function()
    for _, id in ipairs(M.identities(path)) do
      if id.blob == blob then return false end
    end
    local request, err = key:agent_add(comment, seconds, confirm)
    if not request then errors.raise(errors.from(err)) end
    local ok, payload = pcall(ask, path, LIST_SECONDS, request)
    request:wipe()
    lists[path] = nil
    if not ok then error(payload, 0) end
    local added
    added, err = core.agent_added(payload)
    if not added then errors.raise(errors.from(err)) end
    return true
  end)
end

return M
