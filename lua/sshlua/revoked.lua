--- Files of revoked host keys (RevokedHostKeys): lists of public keys, and OpenSSH's binary revocation lists. A file
--- that cannot be read or understood refuses every host.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local home = require("sshlua.home")
local options = require("sshlua.options")

local M = {}

local FILE_MAX = 64 * 1024 * 1024
local cache = {} -- path -> {stamp=, krl=}

local function cannot(target, path, why)
  errors.raise({
    kind = "hostkey", host = target.name, phase = "hostkey",
    message = ("revoked_host_keys: %s"):format(why:find(path, 1, true) and why or path .. ": " .. why),
    hint = "a list of revoked keys that cannot be read refuses all hosts; mend it, or take the option away",
  })
end

local function read_file(target, path)
  local f, message = io.open(path, "rb")
  if not f then cannot(target, path, message) end
  local text, why = f:read(FILE_MAX + 1)
  f:close()
  if why then cannot(target, path, why) end -- a directory
  return text or ""
end

local function load(target, path)
  local stat = core.fs_stat_sync(path)
  local stamp = stat and ("%s:%s:%s"):format(stat.mtime, stat.size, stat.ino)
  local known = cache[path]
  if known and stamp and known.stamp == stamp then return known.krl end
  local krl, err = core.krl(read_file(target, path), path)
  if not krl then cannot(target, path, err.message) end
  cache[path] = { stamp = stamp, krl = krl }
  return krl
end

--- What is revoked, and by which file: "key", "certificate" or "authority"; nil: nothing.
---@param target table
---@param blob string a key or a certificate
---@return string? what, string? path
function M.find(target, blob)
  for _, path in ipairs(options.list(target.opts.revoked_host_keys)) do
    if path ~= "none" then
      path = home.expand(path)
      local what, err = load(target, path):check(blob)
      if what == nil then cannot(target, path, err.message) end
      if what then return what, path end
    end
  end
end

return M
