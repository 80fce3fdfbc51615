--- The algorithms that are offered when nobody says otherwise: lists with commas, best first.

local core = require("sshlua.core")

local M = {}

--- Strong algorithms only, in our order: AES-GCM is the cheapest on both sides.
M.kex = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,"
  .. "diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group-exchange-sha256,"
  .. "diffie-hellman-group14-sha256"
M.ciphers = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
  .. "aes256-ctr,aes192-ctr,aes128-ctr"
if not core.about().ciphers:find("chacha20", 1, true) then
  -- libssh2's own takes a wrong tag of ChaCha20-Poly1305 for a packet: offered only where ours stands in its place.
  M.ciphers = M.ciphers:gsub("chacha20[^,]*,", "")
end
M.macs = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512"
--- Added by `legacy = true`, for this host only: old devices.
M.legacy = {
  kex = "diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1",
  ciphers = "aes256-cbc,aes128-cbc,3des-cbc",
  macs = "hmac-sha1",
  rsa_sha1 = true, -- ssh-rsa: signatures with SHA-1
}

local none = {}

--- What the option `legacy` adds: true, lists of a device's profile, or nothing.
---@param legacy boolean|table|nil
---@return { kex?: string, ciphers?: string, macs?: string, rsa_sha1?: boolean }
function M.legacy_of(legacy)
  if not legacy then return none end
  return legacy == true and M.legacy or legacy
end

return M
