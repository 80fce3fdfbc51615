---@meta sshlua.core
--- What judges host keys beyond known_hosts (src/ssh/trust_lua.c). Keys and certificates are blobs: strings of raw
--- bytes.

---@class sshlua.core
local core = {}

---@class sshlua.core.HostCertificate
---@field type string "ssh-ed25519-cert-v01@openssh.com"
---@field key_id string the authority's words, not cleaned
---@field principals string[] names and patterns of hosts, not cleaned
---@field authority string blob of the key that signed
---@field plain string blob of the certified key
---@field serial number
---@field valid_after number seconds since 1970
---@field valid_before number

--- Reads a certificate and verifies its authority's signature. Any role, any time.
---@param blob string
---@return sshlua.core.HostCertificate?
---@return sshlua.CoreError? err kind hostkey, name BAD_FORMAT, UNSUPPORTED or BAD_SIGNATURE
function core.host_certificate(blob) end

--- Does it say that its key is this host's, now? Whether the authority is trusted is known_hosts' affair.
---@param blob string
---@param name string without a port, in small letters
---@param algorithms? string what the authority may sign with; default: OpenSSH's, without SHA-1
---@param now? number seconds since 1970
---@return boolean?
---@return sshlua.CoreError? err kind hostkey, name NOT_HOST_CERTIFICATE, CERTIFICATE_NOT_YET_VALID,
--- CERTIFICATE_EXPIRED, CERTIFICATE_PRINCIPAL, CERTIFICATE_OPTION, CERTIFICATE_ALGORITHM or one of the above
function core.host_certificate_check(blob, name, algorithms, now) end

--- Revoked keys: a revocation list of ssh-keygen -k, or lines of public keys.
---@class sshlua.core.Krl
local Krl = {}

---@param bytes string the whole file
---@param name string stands for it in messages
---@return sshlua.core.Krl?
---@return sshlua.CoreError? err kind hostkey, name BAD_KRL: something in it is not understood
function core.krl(bytes, name) end

---@param blob string a key or a certificate
---@return false|"key"|"certificate"|"authority"|nil what is revoked; nil: it cannot be told
---@return sshlua.CoreError? err
function Krl:check(blob) end

---@param name "md5"|"sha1"|"sha256"|"sha384"|"sha512"
---@param bytes string
---@return string raw bytes
function core.digest(name, bytes) end

--- A digest that grows: for what does not fit into memory.
---@class sshlua.core.Hasher
local Hasher = {}

---@param bytes string
function Hasher:update(bytes) end

---@return string hexadecimal; the hasher is used up
function Hasher:digest() end

---@param name "md5"|"sha1"|"sha256"|"sha384"|"sha512"
---@return sshlua.core.Hasher
function core.hasher(name) end

---@param bytes string
---@return string with padding
function core.base64(bytes) end

--- The picture that ssh-keygen -lv draws.
---@param digest string of a key
---@param title string in the upper border
---@param hash string in the lower one
---@return string eleven lines
function core.randomart(digest, title, hash) end

return core
