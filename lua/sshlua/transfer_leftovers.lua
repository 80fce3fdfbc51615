--- Temporary files that a lost connection has left on a host: the next transfer to it, by the same user, removes them.
--- For as long as this process lives; names are its own, so no other transfer is hurt. Must not know how they are made.

local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local scope = require("sshlua.task.scope")

local M = {}

local SECONDS = 5
local MANY = 10000

local lists = setmetatable({}, { __mode = "k" }) -- target of a host -> user -> paths

local function user_of(opts)
  for _, name in ipairs({ "sudo", "su", "doas" }) do
    local who = opts[name]
    if who then return name .. " " .. tostring(type(who) == "table" and who.user or who) end
  end
  return ""
end

--- A temporary file could not be removed: nobody is there to be asked.
function M.note(job, path)
  local target, user = job.host.target, user_of(job.opts)
  lists[target] = lists[target] or {}
  local list = lists[target][user] or {}
  lists[target][user] = list
  if #list < MANY then list[#list + 1] = path end
end

--- A new transfer begins: what older ones could not remove goes, if it can.
function M.remove(job)
  local of_host, user = lists[job.host.target], user_of(job.opts)
  local list = of_host and of_host[user]
  if not list then return end
  of_host[user] = nil
  local ok, err = pcall(scope.timeout, SECONDS, group.each, list, function(path)
    pcall(job.sftp.remove, job.sftp, path)
  end, { parallel = 32 })
  if not ok and errors.is(err, "cancelled") then error(err, 0) end
end

return M
