--- `sshlua ssh -Q`: what this client can do, in ssh's lists.

local algorithms = require("sshlua.ssh_config.algorithms")
local errors = require("sshlua.errors")

local M = {}

local CERT = "-cert-v01@openssh.com"

local function only(list, keep)
  local out = {}
  for _, name in ipairs(list) do
    if keep(name) then out[#out + 1] = name end
  end
  return out
end

local function authenticated(name) return name:find("gcm", 1, true) ~= nil or name:find("poly1305", 1, true) ~= nil end

local function certificates(keys)
  local out = {}
  for _, name in ipairs(keys) do out[#out + 1] = name .. CERT end
  return out
end

local function both(a, b)
  local out = {}
  for _, list in ipairs({ a, b }) do
    for _, name in ipairs(list) do out[#out + 1] = name end
  end
  return out
end

local kinds = algorithms.kinds
local plain = only(kinds.key.ours, function(name) return not name:find("^rsa%-sha2") end)

local lists = {
  cipher = kinds.cipher.ours, ["cipher-auth"] = only(kinds.cipher.ours, authenticated), mac = kinds.mac.ours,
  kex = kinds.kex.ours, key = both(plain, certificates(plain)), ["key-cert"] = certificates(plain),
  ["key-plain"] = plain, ["key-sig"] = both(kinds.key.ours, certificates(kinds.key.ours)), sig = kinds.key.ours,
  ["protocol-version"] = { "2" }, compression = { "none", "zlib@openssh.com" },
}

local other_names = {
  ciphers = "cipher", macs = "mac", kexalgorithms = "kex", casignaturealgorithms = "sig", hostkeyalgorithms = "key-sig",
  pubkeyacceptedalgorithms = "key-sig", hostbasedacceptedalgorithms = "key-sig", pubkeyacceptedkeytypes = "key-sig",
  hostbasedkeytypes = "key-sig",
}

--- One name to a line.
---@param what string
---@return string
function M.text(what)
  if what == "help" then
    local names = {}
    for name in pairs(lists) do names[#names + 1] = name end
    table.sort(names)
    return table.concat(names, "\n") .. "\n"
  end
  local list = lists[what] or lists[other_names[what:lower()]]
  if not list then
    local message = ("-Q: no list called '%s' (-Q help names them)"):format(errors.excerpt(what, 60))
    errors.raise({ kind = "usage", message = message })
  end
  return table.concat(list, "\n") .. "\n"
end

return M
