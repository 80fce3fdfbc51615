--- Host keys as people see them: fingerprints, names of types, random art.

local core = require("sshlua.core")

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

local function take_string(blob, at)
  local a, b, c, d = blob:byte(at, at + 3)
  if not d then return nil end
  local n = ((a * 256 + b) * 256 + c) * 256 + d
  if at + 3 + n > #blob then return nil end
  return blob:sub(at + 4, at + 3 + n), at + 4 + n
end

--- Bits of a key: of an RSA modulus, or what the type says.
---@param blob string a plain key
---@return integer? bits nil: not known
function M.bits(blob)
  local name, at = take_string(blob, 1)
  if name ~= "ssh-rsa" then return sizes[name or ""] end
  local _, after = take_string(blob, at)
  local n = after and take_string(blob, after)
  n = n and n:gsub("^%z+", "") or ""
  if n == "" then return nil end
  local bits, top = (#n - 1) * 8, n:byte(1)
  while top > 0 do
    bits, top = bits + 1, math.floor(top / 2)
  end
  return bits
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
