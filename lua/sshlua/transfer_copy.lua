--- Host to host: files read from one and written to the other as they come, through memory, with no file here and no
--- agent there. Knows host:path names; the rest is transfer_put and transfer_tree.

local errors = require("sshlua.errors")
local host = require("sshlua.host")
local names = require("sshlua.transfer_names")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")
local settings = require("sshlua.settings")
local steps = require("sshlua.lazy")("sshlua.steps")
local transfer = require("sshlua.transfer")

local M = {}

local GROWTH = 256 * 1024 * 1024 -- a file that never ends must not fill the other host's disk

local function place_of(text, level)
  if type(text) ~= "string" then errors.usage(level + 1, "copy: HOST:PATH expected, got %s", type(text)) end
  local name, path = text:match("^(%[[^%]]+%]):(.+)$")
  if not name then name, path = text:match("^([^:/]+):(.+)$") end
  if not name then errors.usage(level + 1, "copy: HOST:PATH expected, got %s", errors.excerpt(text)) end
  return name, path
end

local own = { mode = true, dir_mode = true, setuid = true, times = true, links = true, unsafe_links = true, skip = true,
  exclude = true, dry_run = true, keep_going = true, files = true, verify = true, fsync = true, limit = true,
  progress = true, idle = true, timeout = true, check = true, parents = true }

local function check(opts, level)
  options.check(opts, transfer.options, level + 1)
  for name in pairs(opts or {}) do
    if not own[name] then errors.usage(level + 1, "option '%s' does not work from host to host", name) end
  end
  for _, pair in ipairs({ { "links", "follow" }, { "skip", "digest" } }) do
    if opts and opts[pair[1]] == pair[2] then
      errors.usage(level + 1, "option '%s': \"%s\" does not work from host to host", pair[1], pair[2])
    end
  end
end

local function is_same(job, to, st)
  if job.opts.skip ~= "time" then return false end
  local ok, there = pcall(job.sftp.lstat, job.sftp, to)
  if not ok and not errors.is(there, "sftp") then error(there, 0) end
  return ok and there.type == "file" and there.size == st.size and there.mtime ~= nil and st.mtime ~= nil
    and math.abs(there.mtime - st.mtime) <= 1
end

--- One file, whose attributes are `st`.
local function stream(job, source, sftp, path, to, st)
  if st.type ~= "file" then
    errors.raise({ kind = "io", host = source.name, op = "copy", path = path,
      message = ("%s is not a regular file but a %s"):format(errors.excerpt(path), st.type) })
  end
  if is_same(job, to, st) then
    job.same = job.same + 1
    return
  end
  job.total = job.total + (st.size or 0)
  if job.opts.dry_run then return job:arrive(to, "files") end
  local file, got = sftp:open(path, "r"), 0
  local ok, err = pcall(require("sshlua.transfer_put").data, job, function()
    local bytes = file:read()
    if bytes then
      got = got + #bytes
      if st.size and got > st.size + GROWTH then
        errors.raise({ kind = "limit", host = source.name, op = "copy", path = path,
          message = ("%s: the server sends more than the %d bytes it announced")
            :format(errors.excerpt(path), st.size) })
      end
    elseif st.size and got < st.size then
      errors.raise({ kind = "io", name = "SHORT", host = source.name, op = "copy", path = path,
        message = ("%s: the server sent %d of %d bytes"):format(errors.excerpt(path), got, st.size) })
    end
    return bytes
  end, to, st.mode, st.mtime)
  file:abandon()
  if not ok then error(err, 0) end
end

local function copy_any(job, source, from, to)
  local sftp = source:session():sftp()
  local st = sftp:stat(from)
  job.named = st.type ~= "directory"
  if job.named then return stream(job, source, sftp, from, to, st) end
  require("sshlua.transfer_tree").copy(job, sftp, from, to, function(path, target, entry)
    stream(job, source, sftp, path, target, entry)
  end)
end

--- Copies a file or a directory: ssh.copy("web1:/srv/a.tar", "web2:/srv/"). Files are complete under their names, or
--- not there at all.
---@param from string|{ [1]: sshlua.Host, [2]: string }
---@param to string|{ [1]: sshlua.Host, [2]: string }
---@param opts? sshlua.TransferOptions not resume, delete, buffer, sudo, su, doas
---@param level? integer
---@return sshlua.Result
function M.copy(from, to, opts, level)
  level = (level or 1) + 1
  check(opts, level)
  local ends = {}
  for i = 1, 2 do
    local place = i == 1 and from or to
    local name, path
    if type(place) == "table" then
      name, path = place[1], place[2]
      if type(name) ~= "table" or not name.target or type(path) ~= "string" then
        errors.usage(level, "copy: { HOST, PATH } expected, HOST from ssh.host and PATH a string")
      end
    else
      name, path = place_of(place, level)
      name = host.new(name, nil, level)
    end
    ends[i] = { host = name, path = path }
  end
  local target, given = names.target(ends[1].path, ends[2].path), opts
  opts = transfer.check("put", ends[1].path, target, opts, level)
  opts.dry_run = settings.is_dry(ends[2].host.defaults, opts)
  local message = ("copy timed out after %g s"):format(opts.timeout or 0)
  local bound = { seconds = opts.timeout, host = ends[2].host.name, op = "copy", message = message }
  local args = { n = 3, ends[1].host.name .. ":" .. ends[1].path, ends[2].path, given or {} }
  return steps.step(ends[2].host, "copy", args, function(view)
    local source = view == ends[2].host and ends[1].host or steps.inner_view(ends[1].host)
    return scope.deadline(bound, transfer.with_job, view, "copy", opts, function(job)
      local parent = opts.parents and target:match("^(.*[^/])/+[^/]*$")
      if parent and not opts.dry_run then job.sftp:mkdir(parent, { parents = true }) end
      copy_any(job, source, ends[1].path, target)
    end)
  end)
end

return M
