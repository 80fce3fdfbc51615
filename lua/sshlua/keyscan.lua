--- What host keys a server shows: one key exchange for each type of key, nothing is logged in to, nothing is trusted.

local connect = require("sshlua.connect")
local errors = require("sshlua.errors")
local group = require("sshlua.task.group")
local options = require("sshlua.options")

local M = {}

--- One list for each type of key: of several, a server shows one only.
local types = {
  { name = "ed25519", algorithms = { "ssh-ed25519" } },
  { name = "ecdsa", algorithms = { "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521" } },
  { name = "rsa", algorithms = { "rsa-sha2-512", "rsa-sha2-256" } },
}

---@class sshlua.ScannedHost
---@field name string as asked for
---@field hostname string
---@field port integer
---@field keys { type: string, blob: string, fingerprint: string }[]
---@field err? sshlua.Error why there are no keys

local function key_of(text, algorithms, opts)
  local shown
  local target = connect.target(text, options.merge(opts, {
    host_key_algorithms = algorithms, agent = false, identity = false, batch = true,
    verify_host_key = function(key)
      shown = key
      return false -- it has shown its key: that is all
    end,
  }))
  local ok, err = pcall(connect.open, target)
  if shown then return shown, target end
  if not ok and errors.is(err, "handshake") and err.message:find("no common host key", 1, true) then
    return nil, target
  end
  error(err, 0)
end

local function scan_one(text, opts, wanted)
  local host = { name = text, keys = {} }
  for _, kind in ipairs(types) do
    if not wanted or wanted[kind.name] then
      local ok, key, target = pcall(key_of, text, kind.algorithms, opts)
      if not ok then
        if not errors.is(key) or key.kind == "usage" or key.kind == "cancelled" then error(key, 0) end
        host.err = key
        break
      end
      host.name, host.hostname, host.port = target.name, target.hostname, target.port
      if key then host.keys[#host.keys + 1] = { type = key.type, blob = key.blob, fingerprint = key.fingerprint } end
    end
  end
  if not host.err and #host.keys == 0 then
    host.err = errors.new({ kind = "hostkey", host = host.name, message = "the server shows no key of these types" })
  end
  return host
end

--- Scans hosts, `opts.parallel` (default 16) at a time.
---@param targets string[] [user@]name[:port]
---@param opts? table connect options, and parallel, types (names: ed25519, ecdsa, rsa)
---@return sshlua.ScannedHost[] in the order asked for
function M.scan(targets, opts)
  opts = options.merge(opts)
  local parallel, wanted = opts.parallel or 16, nil
  if opts.types then
    wanted = {}
    for _, name in ipairs(options.list(opts.types)) do wanted[name] = true end
  end
  opts.parallel, opts.types = nil, nil
  return group.map(targets, function(text) return scan_one(text, opts, wanted) end, { parallel = parallel })
end

return M
