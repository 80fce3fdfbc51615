---@meta sshlua.core
--- Secrets and their masking (src/base/secret.c, src/base/secret_mask.c). Scripts use ssh.secret and ssh.mask.

---@class sshlua.core
local core = {}

---@class sshlua.Secret a userdata: tostring hides it, `..` and `#` raise, == compares in constant time
local Secret = {}

--- What it was asked as.
---@return string
function Secret:name() end

--- How often a byte is in it.
---@param byte string
---@return integer
function Secret:count(byte) end

--- Its bytes as a string, which nobody can wipe. For what takes strings only; masked like the secret itself.
---@return string
function Secret:reveal() end

--- Its bytes are gone: every later use raises, and they are not masked any more.
function Secret:wipe() end

--- A secret of the parts, one behind the other.
---@param name string
---@param ... string|sshlua.Secret
---@return sshlua.Secret
function core.secret(name, ...) end

--- The value of a variable of our environment; nil when it is not set, or empty.
---@param name string
---@param variable string
---@return sshlua.Secret?
function core.secret_env(name, variable) end

--- The content of a file without the newline at its end. Only its owner may have access.
---@param name string
---@param path string
---@return sshlua.Secret?
---@return sshlua.CoreError? err
function core.secret_file(name, path) end

--- The whole content of a file, whoever has access to it; it is not masked.
---@param name string
---@param path string
---@return sshlua.Secret?
---@return sshlua.CoreError? err
function core.secret_text(name, path) end

---@param v any
---@return boolean
function core.is_secret(v) end

--- 32 hexadecimal digits nobody can guess.
---@return string
function core.nonce() end

--- The string with the bytes of every live secret hidden; the string itself when there is no secret.
---@param s string
---@return string
function core.mask(s) end

---@class sshlua.Masker
local Masker = {}

--- A masker for a stream: what may be the beginning of a secret waits for the next chunk.
---@return sshlua.Masker
function core.masker() end

---@param chunk string
---@return string
function Masker:feed(chunk) end

--- The stream has ended: what was held back. The object may be used again.
---@return string
function Masker:finish() end

return core
