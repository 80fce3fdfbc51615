---@meta sshlua.core
--- Keys, the agent's messages and known_hosts (src/ssh/key_lua.c, known_hosts_lua.c). Public keys and certificates are
--- blobs: strings of raw bytes as in RFC 4253 6.6.

---@class sshlua.core
local core = {}

--- Private keys ------------------------------------------------------------------------------------------------------

--- A private key, parsed. Its bytes are wiped when it is collected.
---@class sshlua.core.Key
local Key = {}

--- Reads OpenSSH, PEM (RSA, EC) and PKCS#8 files of types ed25519, ecdsa and rsa, in the thread pool. Failures have
--- kind auth and name NEED_PASSPHRASE, WRONG_PASSPHRASE, BAD_FORMAT or UNSUPPORTED.
---@param text string|sshlua.Secret the file
---@param passphrase string|sshlua.Secret|nil
---@param done fun(err: sshlua.CoreError?, key: sshlua.core.Key)
---@return sshlua.core.Op
function core.key_parse(text, passphrase, done) end

--- The inner signature over an authentication request, whose algorithm is read out of it. In the thread pool.
---@param data string what "sign" came with
---@param done fun(err: sshlua.CoreError?, signature: string) kind auth, name SIGN_FAILED or UNSUPPORTED
---@return sshlua.core.Op
function Key:sign(data, done) end

---@return string blob of its public half
function Key:blob() end

---@return string "ssh-ed25519", "ssh-rsa", ...
function Key:type() end

---@return string "" when there is none; bytes of the file, not cleaned
function Key:comment() end

--- Does a signature take milliseconds (RSA)? Then sign in the thread pool.
---@return boolean
function Key:is_slow() end

--- What adds the key to an agent; wipe it when it has been written.
---@param comment string at most 1024 bytes
---@param seconds number how long the agent keeps it; 0: for ever
---@param confirm boolean the agent asks before each use
---@return userdata? request a secret
---@return sshlua.CoreError? err kind auth, name UNSUPPORTED
function Key:agent_add(comment, seconds, confirm) end

--- The public half that an OpenSSH private key file shows without its passphrase.
---@param text string|sshlua.Secret
---@return string? blob
---@return string|sshlua.CoreError type kind auth, name NO_PUBLIC_HALF or BAD_FORMAT
---@return string? comment
function core.key_peek(text) end

---@param text string|sshlua.Secret one line, as in id_ed25519.pub
---@return string? blob
---@return string|sshlua.CoreError type kind auth
---@return string? comment
function core.public_key_parse(text) end

--- A user certificate (id_x-cert.pub), if it is made for that public key and valid now. The authority's signature is
--- not verified: the server does that. Failures have kind auth and name BAD_FORMAT, UNSUPPORTED,
--- NOT_USER_CERTIFICATE, NOT_FOR_KEY, CERTIFICATE_EXPIRED or CERTIFICATE_NOT_YET_VALID.
---@param text string
---@param plain_blob string
---@return string? blob
---@return string|sshlua.CoreError type or err
---@return string? key_id the authority's words, not cleaned
function core.certificate_parse(text, plain_blob) end

--- ssh-agent's messages (draft-miller-ssh-agent) ----------------------------------------------------------------------

---@return string bytes to write to the agent
function core.agent_list_request() end

---@param blob string which key
---@param data string what "sign" came with
---@return string? bytes to write to the agent
---@return sshlua.CoreError? err kind auth
function core.agent_sign_request(blob, data) end

--- One message out of what the agent has written since the request.
---@param bytes string
---@return string? payload nil without err: more is needed
---@return sshlua.CoreError? err kind auth, name AGENT_PROTOCOL
function core.agent_frame(bytes) end

---@param payload string
---@return { type: string, blob: string, comment: string }[]? identities
---@return sshlua.CoreError? err kind auth, name AGENT_PROTOCOL or AGENT_REFUSED
function core.agent_identities(payload) end

---@param payload string
---@param data string what was to be signed
---@return string? signature the inner one
---@return sshlua.CoreError? err kind auth, name AGENT_PROTOCOL or AGENT_REFUSED
function core.agent_signature(payload, data) end

---@param payload string the answer to what Key:agent_add gave
---@return boolean? added
---@return sshlua.CoreError? err kind auth, name AGENT_PROTOCOL or AGENT_REFUSED
function core.agent_added(payload) end

--- known_hosts ------------------------------------------------------------------------------------------------------

--- The lines of known_hosts files. Fill it once, ask it often.
---@class sshlua.core.KnownHosts
local KnownHosts = {}

---@class sshlua.core.KnownHostsLine
---@field file string
---@field line integer from 1
---@field type string as written
---@field blob string the key
---@field fingerprint? string "SHA256:..."
---@field marker? "cert-authority"|"revoked"
---@field usable boolean false: something is wrong with the line; it only refuses, never vouches

---@return sshlua.core.KnownHosts
function core.known_hosts() end

---@param path string
---@return boolean? read false: there is no such file
---@return sshlua.CoreError? err kind io, limit, memory
function KnownHosts:add_file(path) end

---@param text string
---@param name string stands for the file in reports
---@return boolean? done
---@return sshlua.CoreError? err
function KnownHosts:add_text(text, name) end

--- Lines that were not understood; after a thousand the rest are not listed.
---@return { file: string, line: integer, message: string }[]
function KnownHosts:warnings() end

--- The verdict on a key. Only "match" may pass. At a port other than 22 the host is "[name]:port".
---@param name string
---@param port integer
---@param blob string
---@return "match"|"changed"|"revoked"|"unknown"|nil verdict nil: none, see err
---@return sshlua.core.KnownHostsLine|sshlua.CoreError|nil line the one it rests on
function KnownHosts:check(name, port, blob) end

--- The verdict on the authority of a host certificate. Whether the certificate is good for the host is
--- core.host_certificate_check's to say.
---@param name string
---@param port integer
---@param certificate string blob
---@param authority string blob, as core.host_certificate gives it
---@return "match"|"revoked"|"unknown"|nil verdict nil: none, see err
---@return sshlua.core.KnownHostsLine|sshlua.CoreError|nil line
function KnownHosts:check_authority(name, port, certificate, authority) end

--- Is a certificate of this host worth seeing: is an authority known that may vouch for it, or a key revoked?
---@param name string
---@param port integer
---@return boolean?
---@return sshlua.CoreError? err
function KnownHosts:wants_certificate(name, port) end

--- The key types this host could be accepted with, in the order of the files.
---@param name string
---@param port integer
---@return string[]?
---@return sshlua.CoreError? err
function KnownHosts:types(name, port) end

--- All lines that concern this host.
---@param name string
---@param port integer
---@return sshlua.core.KnownHostsLine[]?
---@return sshlua.CoreError? err
function KnownHosts:lookup(name, port) end

--- Has one of the files come, gone or changed since it was read?
---@return boolean
function KnownHosts:stale() end

--- core.known_hosts_learn, without reading the file anew if the set has it as it is; the set knows the line afterwards.
---@param path string
---@param name string
---@param port? integer
---@param blob string
---@param hashed? boolean
---@param wait? number
---@return boolean? done
---@return boolean|sshlua.CoreError written or err
function KnownHosts:learn(path, name, port, blob, hashed, wait) end

--- The line for a key, without a newline.
---@param name string
---@param port integer
---@param blob string
---@param hashed? boolean
---@return string? line
---@return sshlua.CoreError? err
function core.known_hosts_line(name, port, blob, hashed) end

--- Appends a line unless an equal one is there; makes the file (0600). Under a lock; blocks for the disk and the lock.
---@param path string
---@param line string
---@param wait? number seconds for the lock, 0 to 60, default 5; 0: try once
---@return boolean? done
---@return boolean|sshlua.CoreError written or err: kind timeout (the lock), io, usage
function core.known_hosts_append(path, line, wait) end

--- As append, for a key: under the lock the file is asked again.
---@param path string
---@param name string
---@param port integer
---@param blob string
---@param hashed? boolean
---@param wait? number
---@return boolean? done
---@return boolean|sshlua.CoreError written or err: kind hostkey when the file knows another key by now, timeout, io
function core.known_hosts_learn(path, name, port, blob, hashed, wait) end

--- Puts text in the place of all that a file holds, if it still holds old; the old file is kept as PATH.old.
---@param path string
---@param old string
---@param text string
---@param wait? number seconds for the lock
---@return boolean? done
---@return boolean|sshlua.CoreError replaced false: the file is another by now; or err: kind timeout, io
function core.known_hosts_replace(path, old, text, wait) end

---@param blob string
---@return string "SHA256:..." as ssh-keygen -l prints it
function core.fingerprint(blob) end

--- The type a blob names, if it is a well-formed host key.
---@param blob string
---@return string?
function core.key_type(blob) end

return core
