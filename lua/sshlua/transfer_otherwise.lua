--- What is done when a server has no SFTP. Knows what a shell and what scp can do; asks the host whether it has a
--- shell.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local quote = require("sshlua.quote")
local task = require("sshlua.task.core")
local wildcard = require("sshlua.wildcard")

local M = {}

local PROBE_SECONDS = 20
local with_cat = { mode = true, exclude = true, check = true, idle = true }

--- The first option that is none of those.
local function other(opts, known)
  for name, value in pairs(opts) do
    if value and not known[name] then return name end
  end
end

--- What a shell says about a path: "directory" or "file"; nil when there is no shell.
local function ask(host, path)
  local cmd = quote.sh("echo sshlua-$((40+2)); if [ -d %s ]; then echo directory; else echo file; fi", path)
  local opts = { check = false, timeout = PROBE_SECONDS, max_output = 4096 }
  local ok, r = pcall(function() return host:session():exec(cmd, opts) end)
  if not ok and (not errors.is(r) or r.kind == "cancelled" or r.kind == "connection_lost") then error(r, 0) end
  return ok and r.stdout:match("sshlua%-42\r?\n(%l+)") or nil
end

--- "cat", "scp", or nil and why not.
---@param host sshlua.Host
---@param op "put"|"get"|"sync"
---@param opts sshlua.TransferOptions
---@return "cat"|"scp"|nil, string?
function M.plan(host, op, from, opts)
  if op == "sync" then return nil, "sync needs SFTP" end
  if type(from) == "table" and type(from[1]) == "string" then return nil, "several names need SFTP: one call each" end
  if type(from) ~= "string" then return nil, "only files and directories go without SFTP: write the bytes to a file" end
  if wildcard.is_magic(from) and not (op == "put" and core.fs_stat_sync(from)) then
    return nil, "a glob needs SFTP: name the files, or their directory"
  end
  local name = other(opts, require("sshlua.transfer_scp").options) or (opts.links == "copy" and "links")
  if name then return nil, ("option '%s' needs SFTP"):format(name) end
  local simple = opts.how ~= "scp" and not other(opts, with_cat)
  if op == "put" then
    local st = task.await(core.fs_stat, from)
    if not simple or st.type == "directory" then return "scp" end
    return ask(host, "/") and "cat" or "scp"
  end
  return simple and ask(host, from) == "file" and "cat" or "scp"
end

return M
