--- The hosts of the batch job that this process runs in: SLURM_JOB_NODELIST, PBS_NODEFILE, BACKENDAI_CLUSTER_HOSTS.

local errors = require("sshlua.errors")
local hostset = require("sshlua.hostset")
local read = require("sshlua.inventory.read")

local M = {}

local function from_expression(text, name, limit)
  local ok, list = pcall(hostset.expand, text, { limit = limit, sources = {} })
  if ok then return list end
  if errors.is(list) then
    errors.raise({ kind = "config", message = ("%s: %s"):format(name, list.message), op = "hosts", cause = list })
  end
  error(list, 0)
end

--- One host to a line, repeated for each of its processors.
local function from_file(path, name, limit)
  local words = {}
  for word in read.file(path):gmatch("%S+") do words[#words + 1] = word end
  if #words == 0 then
    errors.raise({ kind = "config", message = ("%s: %s is empty"):format(name, path), op = "hosts" })
  end
  return from_expression(table.concat(words, ","), ("%s (%s)"):format(name, path), limit)
end

local variables = {
  { "SLURM_JOB_NODELIST", from_expression },
  { "PBS_NODEFILE", from_file },
  { "BACKENDAI_CLUSTER_HOSTS", from_expression },
}

--- The job's hosts and the variable that says so; nil outside of a job.
---@param limit? integer
---@return sshlua.HostSpec[]?
---@return string? variable
function M.hosts(limit)
  for _, entry in ipairs(variables) do
    local name, get = entry[1], entry[2]
    local value = os.getenv(name)
    if value and value:find("%S") then return get(value, name, limit), name end
  end
end

return M
