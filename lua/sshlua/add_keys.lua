--- AddKeysToAgent: the key files that have let us in are handed to the agent, as ssh does. Whatever goes wrong here is
--- said in an event and is no failure of the connection.

local agent = require("sshlua.agent")
local errors = require("sshlua.errors")
local identities = require("sshlua.identities")
local log = require("sshlua.log")
local secret = require("sshlua.secret")
local sync = require("sshlua.task.sync")

local M = {}

local answers = {} -- agent and key -> { done = event, yes = boolean }: a person is asked once

local function may(opts, path, id, comment)
  if opts.batch then return false end
  local key = path .. "\0" .. id.blob
  local known = answers[key]
  if known then
    known.done:wait()
    return known.yes
  end
  known = { done = sync.event(), yes = false }
  answers[key] = known
  local ok, yes = pcall(secret.confirm, ("Add key %s (%s) to agent?"):format(id.path, comment))
  known.yes = ok and yes
  known.done:set()
  if not ok then
    answers[key] = nil
    error(yes, 0)
  end
  return yes
end

local function add(opts, path, id)
  local how, key = opts.add_keys_to_agent, id.key()
  local comment = key:comment()
  if comment == "" or #comment > 1024 then comment = id.path:sub(1, 1024) end
  if how.mode == "ask" and not may(opts, path, id, comment) then return "not added: not confirmed" end
  local added = agent.add(path, key, comment, how.seconds, how.mode == "confirm")
  return added and "added" or "the agent has it"
end

--- Hands the keys that were used to the agent, where ssh_config says so.
---@param target table {name=, opts=}
---@param used sshlua.Identity[]
function M.hand_over(target, used)
  local opts = target.opts
  local how, path = opts.add_keys_to_agent, identities.agent_path(opts)
  if not how or how.mode == "false" or not path or path == "" then return end
  for _, id in ipairs(used) do
    if id.path and not id.agent then
      local ok, what = pcall(add, opts, path, id)
      if not ok and (not errors.is(what) or errors.is(what, "cancelled")) then error(what, 0) end
      if log.wants(1) then
        log.emit(1, target.name, "agent.add", { key = id.path, result = ok and what or "not added: " .. what.message })
      end
    end
  end
end

return M
