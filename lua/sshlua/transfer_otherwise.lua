--- What is done when a server has no SFTP. Knows what a shell and what scp can do; asks the host whether it has a
--- shell.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local quote = require("sshlua.quote")
local task = require("sshlua.task.core")

local M = {}

local PROBE_SECONDS = 20
local NO_GLOBS = "patterns need SFTP: name the file, or a directory"
-- What acts, or has nothing to act on where there is one file.
local with_cat = { mode = true, exclude = true, check = true, idle = true, progress = true, parents = true,
  timeout = true, keep_going = true, files = true, buffer = true }

--- The first option that is none of those.
local function other(opts, known)
  for name, value in pairs(opts) do
    if value and not known[name] then return name end
  end
end

--- What a shell says about a path: "directory", "file" or "nothing"; nil when there is no shell.
local function ask(host, path)
  local cmd = quote.sh("echo sshlua-$((40+2)); if [ -d %s ]; then echo directory; "
    .. "elif [ -e %s ]; then echo file; else echo nothing; fi", path, path)
  local opts = { check = false, timeout = PROBE_SECONDS, max_output = 4096 }
  local ok, r = pcall(function() return host:session():exec(cmd, opts) end)
  if not ok and (not errors.is(r) or r.kind == "cancelled" or r.kind == "connection_lost") then error(r, 0) end
  return ok and r.stdout:match("sshlua%-42\r?\n(%l+)") or nil
end

--- The directories above `to` on the host.
---@param job sshlua.TransferJob
---@param to string
function M.make_parents(job, to)
  local parent = to:match("^(.*[^/])/+[^/]*$")
  if not parent then return end
  local r = job.host:session():exec(quote.sh("mkdir -p -- %s", parent),
    { check = false, timeout = PROBE_SECONDS, max_output = 4096 })
  if r.ok then return end
  errors.raise({ kind = "io", host = job.name, op = job.op, path = parent,
    message = ("cannot make the directory %s: %s"):format(errors.excerpt(parent),
      errors.excerpt(r.stderr:match("([^\r\n]+)%s*$") or r:status())) })
end

--- "cat", "scp", or nil and why not.
---@param host sshlua.Host
---@param op "put"|"get"|"sync"
---@param opts sshlua.TransferOptions
---@return "cat"|"scp"|nil, string?
function M.plan(host, op, from, opts)
  if op == "sync" then return nil, "sync needs SFTP" end
  local is_path = type(from) == "string"
  if not is_path and not (op == "put" and require("sshlua.transfer_cat").takes(from)) then
    return nil, "only files, directories and texts go without SFTP: write the bytes to a file"
  end
  local name = other(opts, require("sshlua.transfer_scp").options) or (opts.links == "copy" and "links")
  if name then return nil, ("option '%s' needs SFTP"):format(name) end
  local simple = opts.how ~= "scp" and not other(opts, with_cat)
  if not is_path then
    if not simple then return nil, "without SFTP texts go through a shell, and no option that needs more" end
    return ask(host, "/") and "cat" or nil, "without SFTP texts go through a shell, and there is none"
  end
  local may_match = from:find("[*?%[]")
  if op == "put" then
    local ok, st = pcall(task.await, core.fs_stat, from)
    if not ok and may_match then return nil, NO_GLOBS end
    if not ok then error(st, 0) end
    if not simple or st.type == "directory" then return "scp" end
    return ask(host, "/") and "cat" or "scp"
  end
  local there = (simple or may_match) and ask(host, from)
  if may_match and there == "nothing" then return nil, NO_GLOBS end
  return simple and (there == "file" or there == "nothing") and "cat" or "scp"
end

return M
