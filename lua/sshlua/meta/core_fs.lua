---@meta sshlua.core
--- Files of this machine (src/loop/fs.c, file.c, fs_sync.c). Verbs with `done` run in the thread pool: what has started
--- there ends unseen when it is cancelled. Errors have kind io and the symbolic errno as name. Modes are integers.

---@class sshlua.core
local core = {}

---@class sshlua.core.Stat
---@field type "file"|"directory"|"link"|"fifo"|"socket"|"char"|"block"|"unknown"
---@field size integer bytes
---@field mode integer the permission bits only
---@field uid integer
---@field gid integer
---@field ino integer
---@field dev integer
---@field mtime number seconds since 1970, with fractions

--- An open file. Its operations are served one at a time, in the order they were asked for.
---@class sshlua.core.File
local File = {}

---@param path string
--- With n, and with dir (a directory to be read), a link at the end of the path is an error.
---@param how "r"|"w"|"wx"|"a"|"r+"|"rn"|"r+n"|"dir" wx: a new file, or an error
---@param mode integer|nil of a new file, default 438 (0666); the umask applies
---@param done fun(err: sshlua.CoreError?, file: sshlua.core.File)
---@return sshlua.core.Op
function core.fs_open(path, how, mode, done) end

--- At most `max` bytes (16 MiB at most); nil at the end.
---@param max integer
---@param offset integer -1: where the last read or write ended
---@param done fun(err: sshlua.CoreError?, bytes: string?)
---@return sshlua.core.Op
function File:read(max, offset, done) end

--- Writes all of it.
---@param bytes string
---@param offset integer -1: where the last read or write ended
---@param done sshlua.core.Done
---@return sshlua.core.Op
function File:write(bytes, offset, done) end

---@param done sshlua.core.Done
---@return sshlua.core.Op
function File:fsync(done) end

---@param done fun(err: sshlua.CoreError?, stat: sshlua.core.Stat)
---@return sshlua.core.Op
function File:stat(done) end

---@param size integer
---@param done sshlua.core.Done
---@return sshlua.core.Op
function File:truncate(size, done) end

--- Closes after what was asked for before. Again is nothing.
---@param done sshlua.core.Done
---@return sshlua.core.Op
function File:close(done) end

---@return integer descriptor
function File:fd() end

--- Follows links.
---@param path string
---@param done fun(err: sshlua.CoreError?, stat: sshlua.core.Stat)
---@return sshlua.core.Op
function core.fs_stat(path, done) end

--- Does not follow a link at the end.
---@param path string
---@param done fun(err: sshlua.CoreError?, stat: sshlua.core.Stat)
---@return sshlua.core.Op
function core.fs_lstat(path, done) end

---@param from string
---@param to string
---@param done sshlua.core.Done
---@return sshlua.core.Op
function core.fs_rename(from, to, done) end

---@param path string
---@param done sshlua.core.Done
---@return sshlua.core.Op
function core.fs_unlink(path, done) end

---@param path string
---@param mode integer
---@param done sshlua.core.Done
---@return sshlua.core.Op
function core.fs_mkdir(path, mode, done) end

---@param path string
---@param done sshlua.core.Done
---@return sshlua.core.Op
function core.fs_rmdir(path, done) end

--- The names in a directory without "." and "..", at most 1,000,000 (more: kind limit).
---@param path string
---@param done fun(err: sshlua.CoreError?, entries: { name: string, type: string }[])
---@return sshlua.core.Op
function core.fs_readdir(path, done) end

--- The entries of a directory without "." and "..", at most 1,000,000 (more: kind limit), with what fs_lstat says.
---@param path string
---@param done fun(err: sshlua.CoreError?, entries: (sshlua.core.Stat|{ name: string })[])
---@return sshlua.core.Op
function core.fs_list(path, done) end

--- Makes a directory of mode 0700 with a new name.
---@param template string ends in XXXXXX
---@param done fun(err: sshlua.CoreError?, path: string)
---@return sshlua.core.Op
function core.fs_mkdtemp(template, done) end

---@param path string
---@param mode integer
---@param done sshlua.core.Done
---@return sshlua.core.Op
function core.fs_chmod(path, mode, done) end

---@param path string
---@param done fun(err: sshlua.CoreError?, path: string)
---@return sshlua.core.Op
function core.fs_realpath(path, done) end

---@param path string
---@param done fun(err: sshlua.CoreError?, target: string)
---@return sshlua.core.Op
function core.fs_readlink(path, done) end

---@param target string
---@param path string the link
---@param done sshlua.core.Done
---@return sshlua.core.Op
function core.fs_symlink(target, path, done) end

---@param path string
---@param atime number seconds since 1970
---@param mtime number seconds since 1970
---@param done sshlua.core.Done
---@return sshlua.core.Op
function core.fs_utime(path, atime, mtime, done) end

--- Without a loop, for code that starts up or ends. They block for as long as the file system does. ----------------

---@param path string
---@return sshlua.core.Stat?
---@return sshlua.CoreError? err
function core.fs_stat_sync(path) end

---@param template string ends in XXXXXX
---@return string? path
---@return sshlua.CoreError? err
function core.fs_mkdtemp_sync(template) end

---@param path string
---@param mode integer
---@return boolean? done
---@return sshlua.CoreError? err
function core.fs_mkdir_sync(path, mode) end

---@param path string
---@param mode integer
---@return boolean? done
---@return sshlua.CoreError? err
function core.fs_chmod_sync(path, mode) end

---@param path string
---@param text string
---@param mode integer of a new file; an old one keeps its own
---@return boolean? done
---@return sshlua.CoreError? err
function core.fs_write_sync(path, text, mode) end

--- Removes a directory and all below it, without following links, at most 128 levels deep.
---@param path string
---@return boolean? done
---@return sshlua.CoreError? err the first; the rest was removed as far as it could be
function core.fs_rmtree_sync(path) end

return core
