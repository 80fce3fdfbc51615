---@meta sshlua.core
--- SFTP (src/sftp). Verbs with `done` that are cancelled are given up: the answer is dropped when it comes, and a file
--- that was opened after all is closed. Errors: kind sftp with the status as name (SSH_FX_...) and code; kind protocol
--- when the server breaks the rules, channel when it ends; these end the session.

---@class sshlua.core
local core = {}

---@class sshlua.core.Sftp
local Sftp = {}

--- On a channel whose subsystem "sftp" was started. The channel's reads and writes belong to the session from then on.
---@param channel sshlua.core.Channel
---@param eager boolean the server takes a request before it has said its version: it is asked for its limits at once
---@param done fun(err: sshlua.CoreError?, sftp: sshlua.core.Sftp)
---@return sshlua.core.Op
function core.sftp(channel, eager, done) end

--- At once; requests under way end with kind closed. The channel is not closed.
function Sftp:close() end

---@return sshlua.CoreError|nil why it cannot be used any more
function Sftp:why() end

---@return table<string, true> extensions that the server offers and we know, "fsync@openssh.com"
function Sftp:offers() end

---@return { packet: integer, read: integer, write: integer, handles: integer, read_size: integer, write_size: integer }
function Sftp:limits() end

---@return integer requests under way, given-up ones included
function Sftp:in_flight() end

--- Many small local files to the host. `list`: for each local path, a new remote path beside the target, the target,
--- size, 0, mode (-1: none), mtime (-1: none). A file that could not be done is as it was.
---@param list (string|integer)[]
---@param follow boolean links may stand at the ends of local paths
---@param done fun(err: sshlua.CoreError?, flags: string, bytes: integer) "1" for each file that is done, else "0"
---@return sshlua.core.Op
function Sftp:put_files(list, follow, done) end

--- Many small remote files to this machine. `list`: for each remote path, a new local path beside the target, the
--- target, size, mode to make it with, mode to give it (-1: none), mtime (-1: none).
---@param list (string|integer)[]
---@param follow boolean no meaning
---@param done fun(err: sshlua.CoreError?, flags: string, bytes: integer)
---@return sshlua.core.Op
function Sftp:get_files(list, follow, done) end
---@return number bytes of all requests and answers so far
function Sftp:moved() end

---@class sshlua.core.SftpAttributes uid and gid, atime and mtime go together
---@field size? integer
---@field mode? integer
---@field uid? integer
---@field gid? integer
---@field atime? integer seconds since 1970
---@field mtime? integer

---@class sshlua.core.SftpStat
---@field type "file"|"directory"|"link"|"fifo"|"socket"|"char"|"block"|"unknown"
---@field size? integer
---@field mode? integer the permission bits only
---@field uid? integer
---@field gid? integer
---@field atime? integer
---@field mtime? integer

---@alias sshlua.core.SftpStatDone fun(err: sshlua.CoreError?, stat: sshlua.core.SftpStat)
---@alias sshlua.core.SftpNameDone fun(err: sshlua.CoreError?, name: string)
---@alias sshlua.core.SftpHandleDone fun(err: sshlua.CoreError?, handle: sshlua.core.SftpHandle)

---@param path string
---@param flags integer SSH_FXF_READ 1, WRITE 2, APPEND 4, CREAT 8, TRUNC 16, EXCL 32, added up
---@param attributes sshlua.core.SftpAttributes|nil of a new file
---@param done sshlua.core.SftpHandleDone
---@return sshlua.core.Op
function Sftp:open(path, flags, attributes, done) end

---@param path string
---@param done sshlua.core.SftpHandleDone
---@return sshlua.core.Op
function Sftp:opendir(path, done) end

---@param path string
---@param done sshlua.core.SftpStatDone
---@return sshlua.core.Op
function Sftp:stat(path, done) end

---@param path string
---@param done sshlua.core.SftpStatDone
---@return sshlua.core.Op
function Sftp:lstat(path, done) end

---@param path string
---@param attributes sshlua.core.SftpAttributes
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Sftp:setstat(path, attributes, done) end

--- lsetstat@openssh.com
---@param path string
---@param attributes sshlua.core.SftpAttributes
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Sftp:lsetstat(path, attributes, done) end

---@param path string
---@param attributes sshlua.core.SftpAttributes|nil
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Sftp:mkdir(path, attributes, done) end

---@param path string
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Sftp:rmdir(path, done) end

---@param path string
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Sftp:remove(path, done) end

---@param path string
---@param done sshlua.core.SftpNameDone
---@return sshlua.core.Op
function Sftp:realpath(path, done) end

---@param path string
---@param done sshlua.core.SftpNameDone
---@return sshlua.core.Op
function Sftp:readlink(path, done) end

--- Fails when `to` exists.
---@param from string
---@param to string
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Sftp:rename(from, to, done) end

--- posix-rename@openssh.com: replaces `to`.
---@param from string
---@param to string
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Sftp:posix_rename(from, to, done) end

--- hardlink@openssh.com
---@param existing string
---@param new string
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Sftp:hardlink(existing, new, done) end

--- In OpenSSH's order of arguments, which is not the draft's.
---@param target string
---@param link string
---@param done sshlua.core.Done
---@return sshlua.core.Op
function Sftp:symlink(target, link, done) end

--- statvfs@openssh.com
---@param path string
---@param done fun(err: sshlua.CoreError?, vfs: table<string, integer>)
---@return sshlua.core.Op
function Sftp:statvfs(path, done) end

--- expand-path@openssh.com
---@param path string
---@param done sshlua.core.SftpNameDone
---@return sshlua.core.Op
function Sftp:expand_path(path, done) end

--- home-directory
---@param user string
---@param done sshlua.core.SftpNameDone
---@return sshlua.core.Op
function Sftp:home_directory(user, done) end

--- users-groups-by-id@openssh.com: names, "" for a number that has none. At most 1000 of each.
---@param uids integer[]
---@param gids integer[]
---@param done fun(err: sshlua.CoreError?, users: string[], groups: string[])
---@return sshlua.core.Op
function Sftp:owners(uids, gids, done) end

--- An open file or directory; the collector closes it.
---@class sshlua.core.SftpHandle
local SftpHandle = {}

---@param done sshlua.core.SftpStatDone
---@return sshlua.core.Op
function SftpHandle:stat(done) end

---@param attributes sshlua.core.SftpAttributes
---@param done sshlua.core.Done
---@return sshlua.core.Op
function SftpHandle:setstat(attributes, done) end

--- fsync@openssh.com
---@param done sshlua.core.Done
---@return sshlua.core.Op
function SftpHandle:fsync(done) end

--- fstatvfs@openssh.com
---@param done fun(err: sshlua.CoreError?, vfs: table<string, integer>)
---@return sshlua.core.Op
function SftpHandle:statvfs(done) end

--- One request: some entries, without "." and "..", and how many names were left out because no path can be made of
--- them; nil at the end. Several may be under way.
---@param done fun(err: sshlua.CoreError?, entries: (sshlua.core.SftpStat)[]?, refused: integer?)
---@return sshlua.core.Op
function SftpHandle:readdir(done) end

--- copy-data: within the server; length 0 is to the end.
---@param from integer
---@param length integer
---@param to_handle sshlua.core.SftpHandle
---@param to integer
---@param done sshlua.core.Done
---@return sshlua.core.Op
function SftpHandle:copy_data(from, length, to_handle, to, done) end

--- `max` bytes (16 MiB at most) with many requests at once, fewer at the end of the file only; nil there.
---@param max integer
---@param offset integer
---@param done fun(err: sshlua.CoreError?, bytes: string?)
---@return sshlua.core.Op
function SftpHandle:read(max, offset, done) end

--- All of it, with many requests at once; done when the server has answered for all.
---@param bytes string
---@param offset integer
---@param done sshlua.core.Done
---@return sshlua.core.Op
function SftpHandle:write(bytes, offset, done) end

---@class sshlua.core.SftpTransfer
---@field from? integer offset in the source
---@field to? integer offset in the target
---@field length? integer get only: bytes; default to the end
---@field block? integer bytes of one block, default 512 KiB
---@field blocks? integer how many at once, default 8
---@field sparse? boolean zeros are neither sent nor written

--- Into a local descriptor, which is duplicated. `ended`: the end of the remote file was met. When it is met in front
--- of what has been written (the file grew meanwhile), the local file is longer than `bytes`: cut it.
---@param fd integer
---@param opts sshlua.core.SftpTransfer|nil
---@param done fun(err: sshlua.CoreError?, bytes: integer, ended: boolean)
---@return sshlua.core.Op
function SftpHandle:get(fd, opts, done) end

--- From a local descriptor, which is duplicated. `ended`: the local file was shorter.
---@param fd integer
---@param length integer
---@param opts sshlua.core.SftpTransfer|nil
---@param done fun(err: sshlua.CoreError?, bytes: integer, ended: boolean)
---@return sshlua.core.Op
function SftpHandle:put(fd, length, opts, done) end

--- Of the get or put under way, or the last one; also after it has failed or was cancelled.
---@return integer safe bytes without a gap from the beginning that are written
---@return integer moved bytes that have been written at all
function SftpHandle:progress() end

--- What fails here may be a write that failed. The handle is closed for Lua at once.
---@param done sshlua.core.Done
---@return sshlua.core.Op
function SftpHandle:close(done) end

return core
