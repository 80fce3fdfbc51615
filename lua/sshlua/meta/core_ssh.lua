---@meta sshlua.core
--- Sessions and channels (src/ssh/session.c, auth.c, hostkey.c, channel.c, channel_request.c). docs/engine.md says what
--- may overlap. Every operation on a session can also end with kind connection_lost, protocol or closed.

---@class sshlua.core
local core = {}

--- A connection: greeting, handshake, then check host_key(), then authenticate, then open channels.
---@class sshlua.core.Session
local Session = {}

--- Lists are names separated by commas, best first; names that libssh2 does not know are passed over.
---@class sshlua.core.SessionOptions
---@field kex? string
---@field host_key? string
---@field ciphers? string both directions
---@field macs? string both directions
---@field compression? string "none", or "zlib@openssh.com,none"
---@field sign? string signature algorithms for user keys
---@field trace? boolean|string libssh2's trace on standard error or in a file, without packets
---@field via? string of a channel: the name of the host it leads through, for messages

--- Takes what carries the bytes, which is closed for Lua from then on: a socket, two pipes (to read from, to write to),
--- or a channel of another session. When that session is lost, this one is: kind connection_lost, with the name in via.
--- Raises when the ciphers fail their self-test.
---@param socket sshlua.core.Socket|{ [1]: sshlua.core.Socket, [2]: sshlua.core.Socket }|sshlua.core.Channel
---@param options? sshlua.core.SessionOptions default: libssh2's own lists
---@return sshlua.core.Session?
---@return sshlua.CoreError? err kind config: nothing in a list is known to this build
function core.session(socket, options) end

--- The server has identified itself as SSH-2. Optional: handshake waits for it, too.
---@param done sshlua.core.Done kind protocol: it is no SSH server, or sent 64 KiB without saying so
---@return sshlua.core.Op
function Session:greeting(done) end

--- Keys are exchanged (RFC 4253). Nothing secret was sent: check the host key before authenticating.
---@param done sshlua.core.Done kind handshake, hostkey (its signature), protocol
---@return sshlua.core.Op
function Session:handshake(done) end

--- Says good-bye and waits until all output is with the kernel. Then close.
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Session:disconnect(done) end

--- At once, in any state: operations under way end with kind closed, channels with it. Idempotent.
function Session:close() end

---@return boolean
function Session:is_alive() end

--- Why the connection is gone; nil while it is there. Raises when closed.
---@return sshlua.CoreError?
function Session:why() end

--- The server's identification, "SSH-2.0-OpenSSH_9.2p1 ...".
---@return string
function Session:server_version() end

---@return number received bytes
---@return number sent bytes
---@return number queued bytes that wait to be sent
function Session:traffic() end

--- Probes after silence, as ssh's ServerAliveInterval and ServerAliveCountMax; a peer that has answered none of them
--- within interval * count_max seconds of its last byte is lost. Without the packet hook probes go out, and only TCP
--- can notice.
---@param interval number seconds; 0: off
---@param count_max integer probes that may stay unanswered; 0: off
function Session:keepalive(interval, count_max) end

--- The server's public key (RFC 4253 6.6); nil before the handshake.
---@return string? blob
function Session:host_key() end

---@class sshlua.core.Algorithms
---@field kex string
---@field host_key string
---@field cipher_out string
---@field cipher_in string
---@field mac_out string
---@field mac_in string
---@field compression string
---@field strict_kex? boolean algorithms() only: strict key exchange (CVE-2023-48795); nil where libssh2 does not tell

--- What was agreed on; empty before the handshake.
---@return sshlua.core.Algorithms
function Session:algorithms() end

--- What the server offered (RFC 4253 7.1), lists with commas; nil when it was not seen, as always without the packet
--- hook.
---@return sshlua.core.Algorithms?
function Session:offered() end

--- Authentication (RFC 4252, 4256) ----------------------------------------------------------------------------------
---
--- An attempt ends with done(nil, "ok") or an error. Or it needs something first: done(nil, "sign", data),
--- done(nil, "prompts", info) or done(nil, "new_password", info); it then goes on with auth_signature or auth_answer,
--- whose done is the same. One attempt at a time.

---@class sshlua.core.Prompts a list of prompts
---@field name string
---@field instruction string
---@field [integer] { text: string, echo: boolean }

---@alias sshlua.core.AuthDone fun(err: sshlua.CoreError?, what: "ok"|"sign"|"prompts"|"new_password", info: any)

--- Succeeds where nothing is asked for; else the methods are in auth_state.
---@param user string
---@param done sshlua.core.AuthDone kind auth
---@return sshlua.core.Op
function Session:auth_none(user, done) end

---@param user string
---@param blob string public key or certificate
---@param key sshlua.core.Key|nil signs here and now; nil: the signature is asked for ("sign", data)
---@param done sshlua.core.AuthDone kind auth
---@return sshlua.core.Op
function Session:auth_publickey(user, blob, key, done) end

---@param signature string|nil the inner signature, as Key:sign gives it; nil: refused
---@param done sshlua.core.AuthDone
---@return sshlua.core.Op
function Session:auth_signature(signature, done) end

---@param user string
---@param password string
---@param done sshlua.core.AuthDone kind auth; "new_password": the server wants a new one
---@return sshlua.core.Op
function Session:auth_password(user, password, done) end

---@param user string
---@param answers string[]|nil in advance, for builds without fibres
---@param done sshlua.core.AuthDone kind auth
---@return sshlua.core.Op
function Session:auth_kbdint(user, answers, done) end

---@param answers string[] one for each prompt; {} for none
---@param done sshlua.core.AuthDone
---@return sshlua.core.Op
function Session:auth_answer(answers, done) end

---@return string methods that can continue, with commas; "" when not known
---@return boolean partial the last failure was a partial success
---@return string? banner text that has come since the last question
function Session:auth_state() end

--- Channels (RFC 4254) ----------------------------------------------------------------------------------------------

--- Reads, writes and requests of a channel are served side by side, each kind in the order asked for. A channel that is
--- collected is closed.
---@class sshlua.core.Channel
local Channel = {}

--- A channel of type "session", at once: it is being opened, and what is asked of it waits for that. Opens of one
--- session go one after the other.
---@param window? integer bytes the server may send ahead: 32 KiB to 1 GiB, default 2 MiB
---@param variables? string[] names and values by turns: sent as soon as it is open, as by Channel:send_env
---@return sshlua.core.Channel
function Session:open_channel(window, variables) end

---@return integer open channels of type "session" that are open and not being closed
---@return integer closing those that we have closed and the server not yet
function Session:count_open() end

--- A channel to a host and port that the server connects to (RFC 4254 7.2). Opens do not wait for each other, where
--- libssh2 is built in.
---@param host string name or address, 1 to 255 bytes
---@param port integer
---@param window integer|nil as open_channel
--- kind channel, name SSH_OPEN_FAILURE: refused; its code: 1 prohibited, 2 connect failed, 3 unknown type, 4 shortage
---@param done fun(err: sshlua.CoreError?, channel: sshlua.core.Channel)
---@return sshlua.core.Op
function Session:open_direct(host, port, window, done) end

--- When the server has opened it. Everything that is asked of a channel which the server refuses ends with the reason.
---@param done fun(err: sshlua.CoreError?) kind channel, name SSH_OPEN_FAILURE: refused
---@return sshlua.core.Op
function Channel:opened(done) end

---@return boolean the server has opened it, and we have not closed it
function Channel:is_open() end

--- What has come of one stream, at most 256 KiB; nil at its end. Read both streams: they share one window.
---@param stream 0|1 stdout, stderr
---@param done fun(err: sshlua.CoreError?, bytes: string?, stream: integer?)
---@return sshlua.core.Op
function Channel:read(stream, done) end

--- Whichever stream has something; nil when both are at their end. Not together with read.
---@param done fun(err: sshlua.CoreError?, bytes: string?, stream: integer?)
---@return sshlua.core.Op
function Channel:read_any(done) end

--- All that comes of a stream goes to a descriptor, in the speed of the slower one, and without Lua. Not together with
--- read of the same stream.
---@param stream 0|1
---@param to sshlua.core.Socket|integer a socket (closed for Lua from now on, really at the end), a file; -1: nobody
---@param done fun(err: sshlua.CoreError?, bytes: number) at the stream's end; kind io (EPIPE: nobody reads it)
---@return sshlua.core.Op
function Channel:pass_out(stream, to, done) end

--- All that comes from a descriptor goes to the command, without Lua. Its end does not end the command's input.
---@param from sshlua.core.Socket|integer as pass_out
---@param done fun(err: sshlua.CoreError?, bytes: number) kind io; channel (EPIPE): the command has ended
---@return sshlua.core.Op
function Channel:pass_in(from, done) end

--- Writes all of it, within the server's window; done when it is in our queue to be sent.
---@param bytes string
---@param done sshlua.core.Done kind channel: the server has closed the channel
---@return sshlua.core.Op
function Channel:write(bytes, done) end

--- The end of the command's input, after the writes before it.
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Channel:send_eof(done) end

--- How it ended: its exit status (nil: none came); and if a signal ended it, the signal's name without SIG, the
--- server's words about it, and whether it dumped core. Read both streams to their end first.
---@param done fun(err: sshlua.CoreError?, code: integer?, signal: string?, message: string?, core_dumped: boolean?)
---@return sshlua.core.Op
function Channel:wait_closed(done) end

--- A whole command in one operation: exec, end of input, all output gathered, how it ended as in wait_closed. Of each
--- stream `max` bytes are kept, the rest is counted. Do not read beside it. done's results: stdout, stderr, bytes (all
--- that came), truncated, and those of wait_closed.
---@param command string
---@param max number bytes
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Channel:run(command, max, done) end

--- What a run that did not come to its end has gathered.
---@return string stdout
---@return string stderr
---@return number bytes
---@return boolean truncated
function Channel:gathered() end

--- At once for Lua, in the background for the server. Reads and writes end with kind closed. Idempotent.
---@return boolean closed now; false: it was closed already
function Channel:close() end

---@return integer bytes that the server would take now
function Channel:window() end

--- Requests: each waits for the server's answer before the next goes out.

---@param command string at most 30,000 bytes
---@param done sshlua.core.Done kind channel: refused
---@return sshlua.core.Op
function Channel:exec(command, done) end

--- The user's login shell.
---@param done sshlua.core.Done kind channel: refused
---@return sshlua.core.Op
function Channel:shell(done) end

---@param name string "sftp"
---@param done sshlua.core.Done kind channel: refused
---@return sshlua.core.Op
function Channel:subsystem(name, done) end

---@param name string at most 1024 bytes
---@param value string at most 30,000 bytes
---@param done sshlua.core.Done kind channel: the server does not accept it (AcceptEnv)
---@return sshlua.core.Op
function Channel:setenv(name, value, done) end

--- Without an answer: what the server does not accept (AcceptEnv), it leaves out. The next request may follow at once.
---@param name string at most 1024 bytes
---@param value string at most 30,000 bytes
---@param done sshlua.core.Done when it has been sent
---@return sshlua.core.Op
function Channel:send_env(name, value, done) end

--- Any request without an answer: "break", "eow@openssh.com".
---@param type string at most 64 bytes
---@param data string what belongs to the type, encoded; at most 256 bytes
---@param done sshlua.core.Done when it has been sent
---@return sshlua.core.Op
function Channel:notice(type, data, done) end

---@param term string at most 100 bytes
---@param cols integer
---@param rows integer
---@param modes string encoded as in RFC 4254 8, at most 256 bytes with the name; "\0" is none
---@param done sshlua.core.Done kind channel: refused
---@return sshlua.core.Op
function Channel:pty(term, cols, rows, modes, done) end

--- The server does not answer.
---@param cols integer
---@param rows integer
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Channel:resize(cols, rows, done) end

--- The server does not answer; OpenSSH delivers signals for ordinary users only.
---@param name string without SIG (RFC 4254 6.9)
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Channel:signal(name, done) end

return core
