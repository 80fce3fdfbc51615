---@meta sshlua.core
--- The C module under the library: what this build is, the event loop, operations, timers, names, sockets, processes,
--- the terminal. Files are in core_fs.lua, sessions and channels in core_ssh.lua, keys and known hosts in
--- core_keys.lua, text and JSON in core_text.lua.
---
--- Scripts reach these objects as an escape hatch (`session.core`). The rules of all of them:
---
--- * A verb with a last argument `done` starts an operation, returns its handle at once and calls `done(err, ...)`
---   later from the loop, once. `err` is nil, or a sshlua.CoreError. Optional arguments before `done` are given as nil.
--- * `require("sshlua.task").await(verb, ...)` appends `done`, suspends the task, returns what follows `err`, and
---   raises `err` as an Error.
--- * A verb without `done` answers at once: with its result, or with nil and a sshlua.CoreError.
--- * Wrong arguments and closed objects raise a plain error with the caller's line.
--- * Durations are seconds, sizes are bytes, strings are bytes.

--- Called once, from a turn of the loop, never from inside the verb that was given it.
---@alias sshlua.core.Done fun(err: sshlua.CoreError?, ...: any)

---@class sshlua.core
local core = {}

---@class sshlua.core.About
---@field version string sshlua's own
---@field libssh2 string version that runs
---@field libssh2_source string the tree it was built from and what is known of its fixes, or "the system's"
---@field libuv string
---@field openssl string
---@field ciphers string "whole-packet ..." or "libssh2's own"
---@field packet_hook boolean the engine sees packets before libssh2 does
---@field fibres boolean prompts of the server can wait
---@field json boolean json_decode works (built with jansson)
---@field yaml? string version of libyaml; nil: yaml_decode does not work

--- sshlua's own version, "1.2.3".
core.VERSION = ""

--- What this build is made of.
---@return sshlua.core.About
function core.about() end

--- The loop ---------------------------------------------------------------------------------------------------------

--- Runs the loop. Raises when it runs already.
---@return boolean stopped true: stop() was called; false: nothing is left that could ever happen
function core.run() end

--- Ends run() after the present turn.
function core.stop() end

---@return boolean running a run() or step() is under way
function core.running() end

--- The descriptor that another event loop watches for reading.
---@return integer
function core.fd() end

--- Does what can be done without blocking.
---@return integer ms until step must be called again at the latest; -1: no limit
---@return boolean alive something is going on
function core.step() end

--- Seconds on a clock that never jumps.
---@return number
function core.now() end

--- What is alive, for tests: libuv handles besides the loop's own, operations, and objects that hold resources.
---@return { handles: integer, ops: integer, owned: integer }
function core.stats() end

--- The handle of an operation.
---@class sshlua.core.Op
local Op = {}

--- Abandons the operation: `done` will not be called. What cannot stop half-way goes on to its end unseen, and its
--- result is disposed of. Harmless when it has ended.
function Op:cancel() end

--- Begins nothing more: what is under way ends soon, and `done` hears what was done until then. Without effect on
--- operations of one step, which go on.
function Op:stop() end

--- done() once, that many seconds from now.
---@param seconds number
---@param done sshlua.core.Done
---@return sshlua.core.Op
function core.timer(seconds, done) end

--- Addresses of a host, numeric, in the order of RFC 6724, at most 32. Runs in the thread pool unless it is numeric.
---@param host string
---@param family integer 0 any, 4, 6
---@param done fun(err: sshlua.CoreError?, addresses: string[]) kind resolve; name EAI_AGAIN: may work later
---@return sshlua.core.Op
function core.resolve(host, family, done) end

--- The same with the canonical name (CNAME), nil when there is none.
---@param host string
---@param family integer 0 any, 4, 6
---@param done fun(err: sshlua.CoreError?, addresses: string[], name: string?)
---@return sshlua.core.Op
function core.resolve_canonical(host, family, done) end

--- A numeric address in its usual form; nil when the text is a name. Asks nobody.
---@param text string
---@param family? integer 0 any (default), 4, 6
---@return string?
function core.numeric_address(text, family) end

--- Addresses of this machine's interfaces that are up.
---@return { name: string, address: string, family: integer, internal: boolean }[]?
---@return sshlua.CoreError? err kind io
function core.interfaces() end

--- Sockets ----------------------------------------------------------------------------------------------------------

--- A byte stream: TCP, a Unix socket, or one end of a child's pipe. Each direction serves its operations in the order
--- they were asked for.
---@class sshlua.core.Socket
local Socket = {}

---@class sshlua.core.ConnectOptions
---@field bind? string numeric source address
---@field sndbuf? integer bytes of the kernel's send buffer; default the kernel's own sizing
---@field tos? integer type of service, 0 to 255; default the kernel's
---@field keepalive? boolean the kernel's probes of a silent connection (SO_KEEPALIVE)

--- Connects with TCP_NODELAY. It has no deadline of its own: cancel it.
---@param ip string numeric
---@param port integer
---@param options sshlua.core.ConnectOptions|nil
---@param done fun(err: sshlua.CoreError?, socket: sshlua.core.Socket) kind connect
---@return sshlua.core.Op
function core.tcp_connect(ip, port, options, done) end

---@param path string
---@param done fun(err: sshlua.CoreError?, socket: sshlua.core.Socket) kind connect
---@return sshlua.core.Op
function core.unix_connect(path, done) end

--- What has come, at most `max` bytes (262,144 at most); nil at the end.
---@param max integer
---@param done fun(err: sshlua.CoreError?, bytes: string?) kind connection_lost, io, closed
---@return sshlua.core.Op
function Socket:read(max, done) end

--- Writes all of it; done when the kernel has it.
---@param bytes string
---@param done sshlua.core.Done kind connection_lost, io, closed
---@return sshlua.core.Op
function Socket:write(bytes, done) end

--- No more output. Wait for writes to be done first. A pipe is closed by it.
function Socket:close_write() end

--- Closes; operations under way end with kind closed. Idempotent.
function Socket:close() end

--- Closes so that the peer sees a reset.
function Socket:reset() end

--- Small writes leave at once (TCP_NODELAY). What we connect has it, what we accept has not. Nothing for other sockets.
---@param on boolean
function Socket:nodelay(on) end

---@return integer descriptor
function Socket:fd() end

---@return boolean
function Socket:is_closed() end

---@class sshlua.core.Listener
local Listener = {}

---@param ip string numeric
---@param port integer 0: any free one, see Listener:port
---@param backlog? integer default 128
---@return sshlua.core.Listener?
---@return sshlua.CoreError? err kind io
function core.tcp_listen(ip, port, backlog) end

--- The caller sees to the mode of the directory.
---@param path string
---@return sshlua.core.Listener?
---@return sshlua.CoreError? err kind io
function core.unix_listen(path) end

--- The next connection.
---@param done fun(err: sshlua.CoreError?, socket: sshlua.core.Socket) kind io, closed
---@return sshlua.core.Op
function Listener:accept(done) end

---@return integer
function Listener:port() end

--- Closes; accepts under way end with kind closed. Idempotent.
function Listener:close() end

--- Processes --------------------------------------------------------------------------------------------------------

--- "pipe": a pipe whose other end is Proc:stdin() etc.; "null"; "inherit"; a descriptor; or something with fd().
---@alias sshlua.core.Stdio "pipe"|"null"|"inherit"|integer|userdata

---@class sshlua.core.SpawnOptions
---@field args string[] the program, looked up in PATH, and its arguments
---@field env? string[] "NAME=VALUE", the whole environment; default ours
---@field cwd? string
---@field stdin? sshlua.core.Stdio default "null"
---@field stdout? sshlua.core.Stdio default "inherit"
---@field stderr? sshlua.core.Stdio default "inherit"
---@field detached? boolean in a session of its own
---@field uid? integer
---@field gid? integer

--- A child process. When it is collected while the child runs, nothing is sent: the child goes on and is reaped. A
--- child keeps the loop running only while somebody waits for it.
---@class sshlua.core.Proc
local Proc = {}

--- Starts a program. The first pipe sets SIGPIPE to be ignored if it had its default action.
---@param options sshlua.core.SpawnOptions
---@param done? fun(err: sshlua.CoreError?, code: integer?, signal: string?) a first Proc:wait
---@return sshlua.core.Proc?
---@return sshlua.CoreError? err kind io
function core.spawn(options, done) end

--- Its exit status, or nil and the name of the signal ("SIGTERM") that ended it.
---@param done fun(err: sshlua.CoreError?, code: integer?, signal: string?)
---@return sshlua.core.Op
function Proc:wait(done) end

---@param signal string|integer "TERM", "SIGTERM" or 15
---@return boolean? sent false: it is gone already
---@return sshlua.CoreError? err kind io
function Proc:kill(signal) end

---@return integer
function Proc:pid() end

--- Our end of its standard input; nil unless it is a pipe.
---@return sshlua.core.Socket?
function Proc:stdin() end

---@return sshlua.core.Socket?
function Proc:stdout() end

---@return sshlua.core.Socket?
function Proc:stderr() end

---@param pid integer as for kill(2): 0 and negative numbers are process groups
---@param signal string|integer
---@return boolean? sent
---@return sshlua.CoreError? err kind io
function core.kill(pid, signal) end

--- This process -----------------------------------------------------------------------------------------------------

--- Calls fn(name) from a turn of the loop whenever the signal came; signals between two turns are one call. nil takes
--- the handler away. A handler does not keep the loop running.
---@param name string|integer "INT", "SIGINT" or 2
---@param fn fun(name: string)|nil
function core.signal(name, fn) end

---@return integer
function core.getpid() end

--- How many descriptors this process may have open; math.huge when nothing limits them.
---@return number
function core.max_files() end

--- Who runs this; only uid when the number has no entry.
---@return { uid: integer, name?: string, home?: string, shell?: string }
function core.user() end

---@return string?
function core.hostname() end

--- Sets the mask for new files, if one is given.
---@param mask? integer
---@return integer before
function core.umask(mask) end

---@return string[] "NAME=VALUE"
function core.environ() end

--- The terminal -----------------------------------------------------------------------------------------------------

--- Asks on the controlling terminal, never on standard input. Prompts are shown one after the other; the timeout runs
--- from when this one is shown. A signal that would end the process puts the terminal back first. The prompt is
--- written as it is: clean text of others first. The answer has at most 1024 bytes (more: kind limit).
---@param options { prompt?: string, echo?: boolean, timeout?: number } echo: default false; timeout: 0 is none
---@param done fun(err: sshlua.CoreError?, line: string) kind io (no terminal), timeout, cancelled, limit
---@return sshlua.core.Op
function core.tty_prompt(options, done) end

--- The controlling terminal for a person who talks to another host: every byte as it is typed. Kind io when there is
--- none, or while somebody is asked something. Fatal signals and exit() put the terminal back.
---@param fd? integer the terminal that this is, in place of the controlling one
---@return sshlua.core.Socket?
---@return sshlua.CoreError? err
function core.tty_raw(fd) end

--- The same for whoever draws on it: the alternate screen, without a cursor, without wrapped lines. Keys come one by
--- one, but ^C, ^Z and ^\ are signals as ever. Kind io when there is none, or when we are in the background there.
---@param fd? integer
---@return sshlua.core.Socket?
---@return sshlua.CoreError? err
function core.tty_screen(fd) end

--- Is the terminal as tty_raw or tty_screen made it? A signal that ends the process has put it back already.
---@return boolean
function core.tty_held() end

--- The settings of a terminal as a pty request has them (RFC 4254 8); "\0" when fd is none.
---@param fd integer
---@param max? integer bytes; default 512
---@return string
function core.tty_modes(fd, max) end

--- The terminal as it was before tty_raw or tty_screen. Again is nothing.
function core.tty_restore() end

---@param fd integer
---@return boolean
function core.isatty(fd) end

---@param fd integer
---@return integer? rows nothing when fd is no terminal
---@return integer? columns
function core.tty_size(fd) end

return core
