--- Small files as strings: template, save and read_file of a host. Each function checks its arguments and returns what
--- is to be done for a host, so that a fleet checks, reads and compiles once. Must not know fleets.

local core = require("sshlua.core")
local diff = require("sshlua.diff")
local errors = require("sshlua.errors")
local here = require("sshlua.transfer_local")
local names = require("sshlua.transfer_names")
local options = require("sshlua.options")
local privilege = require("sshlua.privilege")
local Result = require("sshlua.result").Result
local scope = require("sshlua.task.scope")
local settings = require("sshlua.settings")
local sftp = require("sshlua.sftp")
local task = require("sshlua.task.core")
local template = require("sshlua.template")
local transfer = require("sshlua.transfer")

local M = {}

local await = task.await
local SHOWN_MAX = 1024 * 1024 -- larger files get no diff
local TEMPLATE_MAX = 16 * 1024 * 1024

local function within_time(host, op, path, seconds, fn, ...)
  return scope.deadline({ seconds = seconds, host = host.name, op = op,
    message = ("%s %s timed out after %g s"):format(op, errors.excerpt(path), seconds or 0) }, fn, ...)
end

--- Local files ------------------------------------------------------------------------------------------------------

local function closing(file, fn)
  local ok, value = pcall(fn)
  pcall(file.close, file, function() end)
  if not ok then error(value, 0) end
  return value
end

--- What a local regular file holds, and its stat.
local function read_local(path, most)
  local file = here.call(path, core.fs_open, path, "r", nil)
  local st = await(file.stat, file)
  return closing(file, function()
    if st.type ~= "file" then
      errors.raise({ kind = "io", path = path, message = errors.excerpt(path) .. " is not a regular file" })
    end
    local pieces, size = {}, 0
    while true do
      local bytes = await(file.read, file, 262144, size)
      if not bytes then return table.concat(pieces) end
      pieces[#pieces + 1], size = bytes, size + #bytes
      if size > most then
        errors.raise({ kind = "limit", path = path,
          message = ("%s has more than %d bytes"):format(errors.excerpt(path), most) })
      end
    end
  end), st
end

--- Template ---------------------------------------------------------------------------------------------------------

local template_options = {}
for _, name in ipairs({ "mode", "parents", "dry_run", "verify", "fsync", "idle", "timeout", "check", "sudo", "su",
  "doas" }) do
  template_options[name] = transfer.options[name]
end

--- What stands at the target now; nil when that is no file, or not ours to read.
local function existing(job, to)
  local ok, st = pcall(job.sftp.lstat, job.sftp, to)
  if not ok and not errors.is(st, "sftp") then error(st, 0) end
  if not ok or st.type ~= "file" or (st.size or 0) > SHOWN_MAX then return nil, ok and st or nil end
  local good, text = pcall(job.sftp.read_file, job.sftp, to, { max = SHOWN_MAX })
  if good then return text, st end
  if errors.is(text, "sftp") or errors.is(text, "limit") then return nil, st end
  error(text, 0)
end

local function put_text(job, text, to, mode)
  local before, st = existing(job, to)
  job.before = before
  if before ~= text then
    local done = false
    return require("sshlua.transfer_put").data(job, function()
      if done or text == "" then return nil end
      done = true
      return text
    end, to, mode)
  elseif job.opts.mode and st.mode ~= job.opts.mode then
    if not job.opts.dry_run then job.sftp:setstat(to, { mode = job.opts.mode }) end
    return job:arrive(to, "files")
  end
  job.same = job.same + 1
end

--- Secrets do not get into what is there to be shown.
local function finish(r, before, text, to)
  r.before, r.after = before and core.mask(before), core.mask(text)
  local small = #text <= SHOWN_MAX and r.changed
  r.diff = small and core.mask(diff.unified(before or "", text, { from = before and to or "/dev/null", to = to })) or ""
  return r
end

local function apply(host, compiled, mode, to, vars, opts)
  local scopes = { vars, { host = host }, host.vars }
  local text = template.render(compiled, scopes)
  local before
  local r = transfer.with_job(host, "template", opts, function(job)
    if opts.parents and not opts.dry_run then
      local parent = to:match("^(.*[^/])/+[^/]*$")
      if parent then job.sftp:mkdir(parent, { parents = true }) end
    end
    put_text(job, text, to, mode)
    before = job.before
  end)
  return finish(r, before, text, to)
end

---@param from string
---@param to string
---@param vars? table<string, any>|fun(h: sshlua.Host): table
---@param opts? sshlua.TransferOptions
---@param level integer
---@return fun(host: sshlua.Host, vars?: table): sshlua.Result vars: in place of what was given
function M.template(from, to, vars, opts, level)
  if vars ~= nil and type(vars) ~= "table" and type(vars) ~= "function" then
    errors.usage(level + 1, "template: a table of variables expected, got %s", type(vars))
  end
  options.check(opts, template_options, level + 1)
  transfer.check("template", from, to, opts, level + 1)
  if to:sub(-1) == "/" then errors.usage(level + 1, "template: a file name expected, got the directory %s", to) end
  local text, st = read_local(from, TEMPLATE_MAX)
  local compiled = template.compile(text, from)
  return function(host, own_vars)
    local own = transfer.check("template", from, to, options.merge(transfer.kept(host), opts), 1)
    return within_time(host, "template", to, own.timeout, function()
      own.timeout = nil
      local values = own_vars or type(vars) == "function" and vars(host) or vars or {}
      return apply(host, compiled, st.mode % 512, to, values, own)
    end)
  end
end

--- Save -------------------------------------------------------------------------------------------------------------

local save_options = { mode = "string|number", dry_run = "boolean" }

local function text_of(value)
  if type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  if Result.is(value) then return value.stdout end
end

--- To a new name beside the target, on the disk, renamed: the old text or the new one.
local function write_local(path, text, mode)
  local parent, name = path:match("^(.-)/*([^/]+)$")
  if parent == "" then parent = path:sub(1, 1) == "/" and "/" or "." end
  here.make_parents(parent)
  local dir, temp = here.open(parent), names.temporary(name)
  local ok, err = pcall(function()
    local old = here.look(dir, name)
    local file = dir:make_file(temp, mode or (old and old.type == "file" and old.mode % 512) or 438)
    closing(file, function()
      if #text > 0 then await(file.write, file, text, 0) end
      if mode then await(core.fs_chmod, dir:at(temp), mode) end
      await(file.fsync, file)
    end)
    dir:call(core.fs_rename, temp, dir:at(name))
  end)
  if not ok then dir:drop(temp) end
  dir:leave()
  if ok then return end
  if errors.is(err) then
    err.message = err.message:gsub("/proc/self/fd/%d+", function() return errors.excerpt(parent) end)
  end
  error(err, 0)
end

local function save(host, path, text, mode, dry_run)
  local before = core.now()
  local ok, old = pcall(read_local, path, math.max(#text, SHOWN_MAX))
  local changed = not ok or old ~= text or (mode ~= nil and core.fs_stat_sync(path).mode ~= mode)
  if changed and not dry_run then
    local good, err = pcall(write_local, path, text, mode)
    if not good then error(errors.wrap(err, { host = host.name, op = "save", path = path }), 0) end
  end
  local r = Result.new({ host = host.name, port = host.port, code = 0, bytes = #text, changed = changed,
    dry_run = dry_run, duration = core.now() - before, stdout = ("%s: %d bytes\n"):format(path, #text) })
  return finish(r, ok and old or nil, text, path)
end

---@param path string local
---@param what string|number|sshlua.Result|fun(h: sshlua.Host): string|number|sshlua.Result
---@param opts? { mode?: string|number, dry_run?: boolean }
---@param level integer
---@return fun(host: sshlua.Host, path: string): sshlua.Result
function M.save(path, what, opts, level)
  opts = options.check(opts, save_options, level + 1)
  local mode = names.octal(opts.mode, "mode", level + 1)
  transfer.check_path(path, "save", level + 1)
  if path:sub(-1) == "/" then errors.usage(level + 1, "save: a file name expected, got the directory %s", path) end
  if type(what) ~= "function" and not text_of(what) then
    errors.usage(level + 1, "save: text or a Result expected, got %s", core.is_secret(what) and "secret" or type(what))
  end
  return function(host, own_path)
    local value = what
    if type(what) == "function" then value = what(host) end
    local text = text_of(value)
    if not text then
      errors.raise({ kind = "usage", host = host.name, op = "save",
        message = "save: the function gave no text but a " .. type(value) })
    end
    return save(host, own_path or path, text, mode, settings.is_dry(host.defaults, opts))
  end
end

--- Reading ----------------------------------------------------------------------------------------------------------

local read_options = { max = "count", timeout = "seconds", sudo = privilege.type, su = privilege.type,
  doas = privilege.type }

---@param path string
---@param opts? { max?: integer, timeout?: number }
---@param level integer
---@return fun(host: sshlua.Host): string
function M.read(path, opts, level)
  transfer.check_path(path, "read_file", level + 1)
  options.check(opts, read_options, level + 1)
  privilege.check(opts or {}, level + 1)
  return function(host)
    local own = options.merge(transfer.kept(host), opts)
    local who = transfer.as_who(own)
    return within_time(host, "read_file", path, own.timeout, function()
      local session = host:session()
      if not who then return session:sftp():read_file(path, { max = own.max }) end
      local client = sftp.open(session, who)
      local ok, text = pcall(client.read_file, client, path, { max = own.max })
      client:close()
      if not ok then error(text, 0) end
      return text
    end)
  end
end

return M
