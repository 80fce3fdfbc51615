--- Host to host: a file read from one and written to the other as it comes, through memory, with no file here and no
--- agent there. Knows host:path names; the rest is transfer_put.

local errors = require("sshlua.errors")
local host = require("sshlua.host")
local names = require("sshlua.transfer_names")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")
local transfer = require("sshlua.transfer")

local M = {}

local function place_of(text, level)
  if type(text) ~= "string" then errors.usage(level + 1, "copy: HOST:PATH expected, got %s", type(text)) end
  local name, path = text:match("^(%[[^%]]+%]):(.+)$")
  if not name then name, path = text:match("^([^:/]+):(.+)$") end
  if not name then errors.usage(level + 1, "copy: HOST:PATH expected, got %s", errors.excerpt(text)) end
  return name, path
end

local own = { mode = true, setuid = true, verify = true, fsync = true, limit = true, progress = true,
  idle = true, timeout = true, check = true, parents = true }

local function check(opts, level)
  options.check(opts, transfer.options, level + 1)
  for name in pairs(opts or {}) do
    if not own[name] then errors.usage(level + 1, "option '%s' does not work from host to host", name) end
  end
end

local function stream(job, source, path, to)
  local sftp = source:session():sftp()
  local st = sftp:stat(path)
  if st.type ~= "file" then
    errors.raise({ kind = "io", host = source.name, op = "copy", path = path,
      message = ("%s is not a regular file but a %s"):format(errors.excerpt(path), st.type) })
  end
  job.total = st.size or 0
  local file, got = sftp:open(path, "r"), 0
  local ok, err = pcall(require("sshlua.transfer_put").data, job, function()
    local bytes = file:read()
    if bytes then
      got = got + #bytes
    elseif st.size and got < st.size then
      errors.raise({ kind = "io", name = "SHORT", host = source.name, op = "copy", path = path,
        message = ("%s: the server sent %d of %d bytes"):format(errors.excerpt(path), got, st.size) })
    end
    return bytes
  end, to, st.mode)
  file:abandon()
  if not ok then error(err, 0) end
end

--- Copies one file: ssh.copy("web1:/srv/a.tar", "web2:/srv/"). Complete under its name, or not at all.
---@param from string|{ [1]: sshlua.Host, [2]: string }
---@param to string|{ [1]: sshlua.Host, [2]: string }
---@param opts? sshlua.TransferOptions mode, setuid, verify, fsync, limit, progress, idle, timeout, check, parents
---@param level? integer
---@return sshlua.Result
function M.copy(from, to, opts, level)
  level = (level or 1) + 1
  check(opts, level)
  local ends = {}
  for i, place in ipairs({ from, to }) do
    local name, path
    if type(place) == "table" then
      name, path = place[1], place[2]
    else
      name, path = place_of(place, level)
      name = host.new(name, nil, level)
    end
    ends[i] = { host = name, path = path }
  end
  local target = names.target(ends[1].path, ends[2].path)
  opts = transfer.check("put", ends[1].path, target, opts, level)
  local message = ("copy timed out after %g s"):format(opts.timeout or 0)
  return scope.deadline({ seconds = opts.timeout, host = ends[2].host.name, op = "copy", message = message }, function()
    return transfer.with_job(ends[2].host, "copy", opts, function(job)
      local parent = opts.parents and target:match("^(.*[^/])/+[^/]*$")
      if parent then job.sftp:mkdir(parent, { parents = true }) end
      stream(job, ends[1].host, ends[1].path, target)
    end)
  end)
end

return M
