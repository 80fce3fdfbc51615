--- put, get and sync of a host: what the options mean, what is copied where, over which SFTP session. How a file or a
--- tree is copied is in transfer_put, transfer_get and transfer_tree, which are loaded when they are wanted.

local Job = require("sshlua.transfer_job")
local command = require("sshlua.command")
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local here = require("sshlua.transfer_local")
local leftovers = require("sshlua.transfer_leftovers")
local names = require("sshlua.transfer_names")
local options = require("sshlua.options")
local privilege = require("sshlua.privilege")
local settings = require("sshlua.settings")
local sftp = require("sshlua.sftp")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local verbs = {}

---@class sshlua.TransferOptions
---@field mode? string|number octal digits: the files' permissions; default those of the originals
---@field dir_mode? string|number the directories'
---@field setuid? boolean keep setuid, setgid and sticky bits of the originals
---@field times? boolean keep the originals' modification times; default: sync only
---@field links? "skip"|"copy"|"follow" symbolic links in trees; default skip, sync: copy
---@field unsafe_links? boolean get: make links that lead out of the tree, too
---@field resume? boolean keep an unfinished copy, and go on where it ended
---@field verify? "sha256" compare digests of both sides before the copy gets its name
---@field skip? "time"|"digest"|false leave what is the same by size and time, or by size and digest; default sync: time
---@field delete? boolean sync: remove what the source has not
---@field pull? boolean sync: from the host to here
---@field sparse? boolean false: holes of sparse files are written out; default: they stay holes
---@field exclude? string|string[] patterns: names, paths with a slash, directories with a slash at the end
---@field dry_run? boolean only say what would be done
---@field how? "sftp"|"scp" SFTP and nothing else; the protocol of scp; default: SFTP, or what there is without it
---@field fsync? boolean wait for the disk; default: single files, and of trees those of 1 MiB or more
---@field parents? boolean make the directories above the target
---@field keep_going? boolean false: the first entry that fails ends the tree
---@field files? integer how many at once, default 64 small and 4 large ones
---@field buffer? integer bytes on their way per file, default 4 MiB
---@field limit? number bytes per second
---@field progress? boolean|fun(event: sshlua.TransferProgress) true: a bar, on a terminal
---@field idle? number seconds without a byte until it is given up; default 120, 0: none
---@field timeout? number seconds of wall time, connecting included
---@field check? boolean false: failures give a Result
---@field sudo? boolean|string|sshlua.Privilege as root, as that user
---@field su? boolean|string|sshlua.Privilege
---@field doas? boolean|string|sshlua.Privilege
M.options = {
  mode = "string|number", dir_mode = "string|number", setuid = "boolean", times = "boolean", links = "string",
  unsafe_links = "boolean", resume = "boolean", verify = "string|false", skip = "string|false", delete = "boolean",
  pull = "boolean", sparse = "boolean",
  exclude = "list", dry_run = "boolean", how = "string", fsync = "boolean", parents = "boolean", keep_going = "boolean",
  files = "count", buffer = "count", limit = "count", progress = "boolean|function", idle = "seconds",
  timeout = "seconds", check = "boolean", sudo = privilege.type, su = privilege.type, doas = privilege.type,
}

--- Checking ---------------------------------------------------------------------------------------------------------

--- Raises usage, `level` callers up, unless it can be a file's name.
function M.check_path(path, what, level)
  if type(path) ~= "string" then errors.usage(level + 1, "%s: file name expected, got %s", what, type(path)) end
  if path == "" then errors.usage(level + 1, "%s: empty file name", what) end
  if path:find("\0", 1, true) then errors.usage(level + 1, "%s: NUL byte in a file name", what) end
end
local check_path = M.check_path

local function check_word(opts, name, words, level)
  local value = opts[name]
  if not value then return end
  for _, word in ipairs(words) do
    if value == word then return end
  end
  errors.usage(level + 1, "option '%s': %s expected, got %s", name, table.concat(words, " or "), value)
end

--- Raises usage when a source is a pipe: several hosts would get pieces of it.
function M.check_rereadable(from, hosts, level)
  for _, path in ipairs(type(from) == "table" and from or { from }) do
    local st = type(path) == "string" and core.fs_stat_sync(path)
    if st and st.type == "fifo" then
      errors.usage(level + 1, "put: %s is a pipe, which is read once, and these are %d hosts: write it to a file first",
        errors.excerpt(path), hosts)
    end
  end
end

local function is_source(from)
  local kind = type(from)
  return kind == "function" or core.is_secret(from) or (kind == "table" and (from.data ~= nil or from.read ~= nil))
    or io.type(from) == "file"
end

--- A name, or a list of names where a verb takes several.
local function check_from(from, op, level)
  if type(from) ~= "table" or (op ~= "put" and op ~= "get") then
    check_path(from, op, level + 1) -- no tail call: the level counts this function
    return
  end
  if #from == 0 then errors.usage(level + 1, "%s: file names expected, got an empty list", op) end
  for _, path in ipairs(from) do check_path(path, op, level + 1) end
end

--- Raises usage, `level` callers up, unless it can be done. Returns the options in their final form.
---@param op "put"|"get"|"sync"|"template"
---@return sshlua.TransferOptions
function M.check(op, from, to, opts, level)
  opts = options.merge(options.check(opts, M.options, level + 1))
  if op ~= "put" or not is_source(from) then check_from(from, op, level + 1) end
  check_path(to, op, level + 1)
  opts.mode = names.octal(opts.mode, "mode", level + 1)
  opts.dir_mode = names.octal(opts.dir_mode, "dir_mode", level + 1)
  check_word(opts, "links", { "skip", "copy", "follow" }, level + 1)
  check_word(opts, "verify", { "sha256" }, level + 1)
  check_word(opts, "skip", { "time", "digest" }, level + 1)
  check_word(opts, "how", { "sftp", "scp" }, level + 1)
  privilege.check(opts, level + 1)
  opts.exclude = options.list(opts.exclude)
  for _, pattern in ipairs(opts.exclude) do
    if type(pattern) ~= "string" then
      errors.usage(level + 1, "option 'exclude': patterns expected, got %s", type(pattern))
    end
  end
  if op == "sync" then
    if opts.skip == nil then opts.skip = "time" end
    if opts.times == nil then opts.times = true end
    opts.links = opts.links or "copy"
  elseif opts.delete or opts.pull then
    errors.usage(level + 1, "option '%s' is for sync", opts.delete and "delete" or "pull")
  end
  return opts
end

--- Sources ----------------------------------------------------------------------------------------------------------

local function pieces_of(from)
  if type(from) == "table" and from.data ~= nil then from = from.data end
  if core.is_secret(from) then
    local text = from
    return function()
      local bytes = text and text:reveal()
      text = nil
      return bytes
    end
  end
  return command.pieces(from)
end

local function look(path)
  local ok, st = pcall(await, core.fs_stat, path)
  if ok then return st end
  if not errors.is(st, "io") or st.name ~= "ENOENT" then error(st, 0) end
end

--- Bytes have no name that a directory could be given.
local function check_name(to)
  if to:sub(-1) == "/" then errors.usage(6, "put: a file name expected, got the directory %s", errors.excerpt(to)) end
end

local function put_data(job, from, to)
  check_name(to)
  local put = require("sshlua.transfer_put")
  job.named = true
  if io.type(from) == "file" then
    if from ~= io.stdin then return put.data(job, function() return from:read(65536) end, to) end
    return put.file(job, { path = "/dev/stdin", shown = "standard input", how = "r" }, to)
  end
  put.data(job, pieces_of(from), to)
end

local function put_path(job, from, to, st)
  if job.opts.parents then
    local parent = to:match("^(.*[^/])/+[^/]*$")
    if parent and not job.opts.dry_run then job.sftp:mkdir(parent, { parents = true }) end
  end
  job.named = st.type ~= "directory" -- and not found in a tree
  if not job.named then return require("sshlua.transfer_tree").put(job, from, to) end
  require("sshlua.transfer_put").file(job, { path = from, shown = from, how = "r" }, to)
end

--- Several names into a directory; one that fails does not stop the others.
local function each_into(job, list, to, fn)
  job.is_tree = true
  if to:sub(-1) ~= "/" then to = to .. "/" end
  for _, from in ipairs(list) do job:try(from, fn, job, from, to) end
end

--- The directory of the host that several copies go into.
local function make_directory(job, to)
  if job.opts.dry_run then return end
  local ok, err = pcall(job.sftp.mkdir, job.sftp, to, { parents = true })
  if ok then return end
  local st = errors.is(err, "sftp") and job.sftp:exists(to)
  if st and st.type ~= "directory" then
    err.message = ("%s is in the way: it is a %s, not a directory"):format(errors.excerpt(to), names.kind(st.type))
    err.hint = "several copies go into a directory"
  end
  error(err, 0)
end

local function put_any(job, from, to)
  if type(from) == "table" and from[1] and not is_source(from) then
    make_directory(job, to)
    return each_into(job, from, to, verbs.put)
  end
  if type(from) ~= "string" then return put_data(job, from, to) end
  local st = look(from)
  if st then return put_path(job, from, names.target(from, to), st) end
  if not from:find("[*?%[]") then await(core.fs_stat, from) end -- raises
  local found = require("sshlua.transfer_glob").here(from)
  if not found[1] then
    errors.raise({ kind = "io", name = "ENOENT", host = job.name, op = job.op, path = from,
      message = "no file matches " .. errors.excerpt(from) })
  end
  make_directory(job, to)
  job.is_tree = true
  for _, path in ipairs(found) do
    job:try(path, function() put_path(job, path, names.target(path, names.join(to, "")), await(core.fs_stat, path)) end)
  end
end

--- The local directory that the copy will be in, and the name of the copy in it.
local function into(job, to)
  local parent, name = to:match("^(.-)/*([^/]+)/*$")
  if not name then errors.usage(6, "%s: a file name expected, got %s", job.op, to) end
  if parent == "" then parent = to:sub(1, 1) == "/" and "/" or "." end
  if job.opts.parents and not job.opts.dry_run then here.make_parents(parent) end
  if name == "." or name == ".." then parent, name = to, "." end
  return here.open(parent), name
end

local function get_path(job, from, to, st)
  if st.type == "directory" then return require("sshlua.transfer_tree").get(job, from, to) end
  local dir, name = into(job, to)
  if name == "." then errors.usage(6, "get: a file name expected, got %s", to) end
  local ok, err = pcall(function()
    here.check_target(dir, name, to)
    require("sshlua.transfer_get").file(job, from, dir, name, st)
  end)
  dir:leave()
  if not ok then error(err, 0) end
end

local function get_any(job, from, to)
  if type(from) == "table" then
    if not job.opts.dry_run then here.make_parents((to:gsub("(.)/+$", "%1"))) end
    return each_into(job, from, to, verbs.get)
  end
  local st = from:find("[*?%[]") and job.sftp:exists(from) or nil
  if st or not from:find("[*?%[]") then
    return get_path(job, from, names.target(from, to), st or job.sftp:stat(from))
  end
  local found = job.sftp:glob(from)
  if not found[1] then
    errors.raise({ kind = "sftp", name = "SSH_FX_NO_SUCH_FILE", host = job.name, op = job.op, path = from,
      message = "no file matches " .. errors.excerpt(from) })
  end
  if not job.opts.dry_run then here.make_parents((to:gsub("(.)/+$", "%1"))) end
  job.is_tree = true
  for _, path in ipairs(found) do
    job:try(path, function() get_path(job, path, names.target(path, names.join(to, "")), job.sftp:stat(path)) end)
  end
end

local function pull(job, from, to)
  local st = job.sftp:stat(from)
  if st.type ~= "directory" then return get_path(job, from, names.target(from, to), st) end
  require("sshlua.transfer_tree").pull(job, from, names.target(from, to))
end

local function sync_any(job, from, to)
  if job.opts.pull then return pull(job, from, to) end
  local st = await(core.fs_stat, from)
  if st.type ~= "directory" then return put_path(job, from, names.target(from, to), st) end
  require("sshlua.transfer_tree").sync(job, from, names.target(from, to))
end

--- Sessions ---------------------------------------------------------------------------------------------------------

--- { sudo = ... }, { su = ... } or { doas = ... } of a verb's options, or nil.
function M.as_who(opts)
  for _, name in ipairs({ "sudo", "su", "doas" }) do
    if opts[name] then return { [name] = opts[name] } end
  end
end

local as_who = M.as_who

--- What a host's defaults (Host.with) say about transfers.
---@param host sshlua.Host
function M.kept(host)
  local d = host.defaults
  return { sudo = d.sudo, su = d.su, doas = d.doas, timeout = d.timeout, check = d.check,
    dry_run = settings.is_dry(d, {}) or nil }
end

verbs.put, verbs.get, verbs.sync = put_any, get_any, sync_any

local function with_bar(job, progress)
  if type(progress) == "function" then
    job.progress = progress
  elseif progress then
    job.progress = require("sshlua.transfer_bar").of(job)
  end
end

local function finish(job, fn)
  with_bar(job, job.opts.progress)
  local good, r = pcall(Job.run, job, fn)
  if not good then
    if job.opts.check == false and errors.is(r) and r.result and r.kind ~= "cancelled" then return r.result end
    error(r, 0)
  end
  if job.opts.check ~= false then r:check() end
  return r
end

--- fn(job) as a job to a host, with its SFTP session; `opts` have been checked. `otherwise`: what is done when there is
--- no SFTP.
---@return sshlua.Result
function M.with_job(host, op, opts, fn, otherwise)
  local session, who = host:session(), as_who(opts)
  local ok, client
  if who then ok, client = pcall(sftp.open, session, who) else ok, client = pcall(session.sftp, session) end
  if not ok and otherwise then return otherwise(client) end
  if not ok then error(client, 0) end
  local job = Job.new(host, op, opts)
  job.sftp = client
  local good, r = pcall(finish, job, function()
    leftovers.remove(job)
    fn(job)
  end)
  if who then client:close() end
  if not good then error(r, 0) end
  return r
end

local function by_other(way, host, op, from, to, opts)
  local job = Job.new(host, op, opts)
  if type(from) == "string" then to = names.target(from, to) else check_name(to) end
  return finish(job, function()
    if op == "put" then
      if job.opts.parents then require("sshlua.transfer_otherwise").make_parents(job, to) end
      return way.put(job, from, to)
    end
    local dir, name = into(job, to)
    local ok, err = pcall(way.get, job, from, dir, name)
    dir:leave()
    if not ok then error(err, 0) end
  end)
end

--- The server has no SFTP, or scp is wanted: single files go through a shell, whole or not at all, the rest by scp.
local function without_sftp(host, op, from, to, opts, err)
  local refused = errors.is(err, "channel")
    and (err.name == "LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED" or err.name == "EOF")
  if err and (not refused or opts.how == "sftp") then error(err, 0) end
  local plan, why = require("sshlua.transfer_otherwise").plan(host, op, from, opts)
  if plan == "cat" then return by_other(require("sshlua.transfer_cat"), host, op, from, to, opts) end
  if plan == "scp" then return by_other(require("sshlua.transfer_scp"), host, op, from, to, opts) end
  err = err or errors.new({ kind = "usage", host = host.name, op = op, message = op .. ": scp cannot do that" })
  err.hint = why
  error(err, 0)
end

--- Does it; `opts` have been checked.
---@param host sshlua.Host
---@param op "put"|"get"|"sync"
---@param opts sshlua.TransferOptions
---@return sshlua.Result
function M.run(host, op, from, to, opts)
  if opts.how == "scp" then return without_sftp(host, op, from, to, opts) end
  return M.with_job(host, op, opts, function(job) verbs[op](job, from, to) end,
    function(err) return without_sftp(host, op, from, to, opts, err) end)
end

return M
