--- Host keys as people see them: fingerprints, names of types, random art.

local core = require("sshlua.core")
local rsa_size = require("sshlua.rsa_size")

local M = {}

local kinds = {
  ["ssh-ed25519"] = "ED25519", ["ssh-rsa"] = "RSA", ["ssh-dss"] = "DSA",
  ["sk-ssh-ed25519@openssh.com"] = "ED25519-SK", ["sk-ecdsa-sha2-nistp256@openssh.com"] = "ECDSA-SK",
}
local sizes = {
  ["ssh-ed25519"] = 256, ["sk-ssh-ed25519@openssh.com"] = 256, ["sk-ecdsa-sha2-nistp256@openssh.com"] = 256,
  ["ecdsa-sha2-nistp256"] = 256, ["ecdsa-sha2-nistp384"] = 384, ["ecdsa-sha2-nistp521"] = 521,
}

--- "SHA256:..." or "MD5:..", as FingerprintHash says.
---@param blob string a plain key
---@param hash? "sha256"|"md5"
---@return string
function M.fingerprint(blob, hash)
  if hash ~= "md5" then return core.fingerprint(blob) end
  local digest = core.digest("md5", blob)
  return "MD5:" .. digest:gsub(".", function(c) return (":%02x"):format(c:byte()) end):sub(2)
end

--- Bits of a key: of an RSA modulus, or what the type says.
---@param blob string a plain key
---@return integer? bits nil: not known
function M.bits(blob)
  local bits = rsa_size.bits(blob)
  if bits then return bits > 0 and bits or nil end
  return sizes[core.key_type(blob) or ""]
end

--- "ED25519", "RSA", ...
function M.kind(blob)
  local name = core.key_type(blob) or "?"
  return kinds[name] or (name:find("^ecdsa%-") and "ECDSA") or name
end

--- The picture that ssh-keygen -lv draws.
---@param blob string a plain key
---@param hash? "sha256"|"md5"
---@return string eleven lines
function M.randomart(blob, hash)
  hash = hash == "md5" and "md5" or "sha256"
  local bits = M.bits(blob)
  local title = ("%s%s"):format(M.kind(blob), bits and (" %d"):format(bits) or "")
  return core.randomart(core.digest(hash, blob), title, hash:upper())
end

return M
