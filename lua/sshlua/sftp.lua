--- An SFTP session as scripts hold it: files and directories of a host, any number of calls at once on one channel.
--- Knows paths and requests; open files are in sftp_file.lua, what takes many requests is in sftp_tree.lua.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local options = require("sshlua.options")
local begin = require("sshlua.channel_start")
local scope = require("sshlua.task.scope")
local sftp_file = require("sshlua.sftp_file")
local sftp_tree = require("sshlua.sftp_tree")
local sftp_watch = require("sshlua.sftp_watch")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

local M = {}

local await = task.await

---@class sshlua.SftpStat
---@field type "file"|"directory"|"link"|"fifo"|"socket"|"char"|"block"|"unknown"
---@field size? integer
---@field mode? integer the permission bits only
---@field uid? integer
---@field gid? integer
---@field atime? integer seconds since 1970
---@field mtime? integer

---@class sshlua.SftpAttributes what setstat changes; uid and gid, atime and mtime are set together
---@field size? integer
---@field mode? integer
---@field uid? integer
---@field gid? integer
---@field atime? integer
---@field mtime? integer

---@class sshlua.Sftp
---@field name string the host's
---@field core userdata its verbs are in meta/core_sftp.lua
local Sftp = sftp_tree.methods
local sftp_mt = { __index = Sftp, __name = "sshlua.Sftp" }

--- Starting ---------------------------------------------------------------------------------------------------------

local function explain(err)
  if not errors.is(err) then return err end
  if err.name == "LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED" then
    err.message = "the server refused to start SFTP"
    err.hint = "sshd_config needs a line like: Subsystem sftp internal-sftp"
  elseif err.kind == "channel" and err.name == "EOF" then
    err.hint = "what sshd_config names as Subsystem sftp may be missing or broken; the server's log says more"
  elseif err.kind == "protocol" and err.message:find("text in place of SFTP", 1, true) then
    err.hint = "a start-up file of the account prints something: it has to be silent where there is no terminal"
  end
  return err
end

--- OpenSSH's server answers one request after the other, whatever it is: it is asked for its limits together with its
--- version, which saves a round trip. Others may not expect that.
local function is_patient(session) return session.core:server_version():find("^SSH%-2%.0%-OpenSSH_") ~= nil end

local function start(session, ch, is_started)
  if not is_started then await(ch.subsystem, ch, "sftp") end
  return (await(core.sftp, ch, is_patient(session)))
end

--- As another user there is no subsystem: the server's program is started, from where systems have it.
local PROGRAM = "for f in /usr/lib/openssh /usr/libexec/openssh /usr/lib/ssh /usr/libexec /usr/lib "
  .. "/usr/local/libexec; do "
  .. '[ -x "$f/sftp-server" ] && exec "$f/sftp-server"; done; echo "no sftp-server found" >&2; exit 127'

local function open_as(session, who)
  local ch = begin.start(session, PROGRAM, who, true)
  if type(ch) == "userdata" then return ch end
  session:_close_channel(ch)
  errors.raise({ kind = "channel", host = session.name, op = "sftp",
    message = "SFTP as another user does not work through a terminal, which the host insists on",
    hint = "sudoers: Defaults !requiretty, !use_pty for this account" })
end

--- What comes is taken at once, so a large window costs no memory; with a common one (2 MiB) a server far away would
--- stand still half of the time.
local WINDOW = 8 * 1024 * 1024

--- A new SFTP session on a channel of its own; `who`: { sudo = ... }, { su = ... } or { doas = ... }. `spare`: only on
--- a channel that nobody else will want; kind limit.
---@return sshlua.Sftp
function M.open(session, who, spare)
  local ch = who and open_as(session, who) or session:_open_channel(WINDOW, spare)
  local seconds = session.open_seconds
  local ok, result = pcall(scope.deadline, {
    seconds = seconds, host = session.name, phase = "channel",
    message = ("the server did not start SFTP within %g s"):format(seconds or 0),
  }, start, session, ch, who ~= nil)
  if not ok then
    session:_close_channel(ch)
    error(errors.wrap(explain(result), { host = session.name, op = "sftp", phase = "channel" }), 0)
  end
  local self = { session = session, ch = ch, core = result, name = session.name, offers = result:offers() }
  session:_keep_channel(ch)
  local timeouts = session.target.opts.timeouts
  self.watch = sftp_watch.new(self, timeouts and timeouts.sftp)
  return setmetatable(self, sftp_mt)
end

local shared = setmetatable({}, { __mode = "k" }) -- session -> { sftp=, opening= event }

local function open_shared(entry, session)
  entry.opening = sync.event()
  local ok, result = pcall(M.open, session)
  local opening = entry.opening
  entry.opening, entry.sftp = nil, ok and result or nil
  opening.failure = not ok and result or nil
  opening:set()
  if not ok then error(result, 0) end
  return result
end

--- The session's SFTP session: opened when it is first asked for, the same for everybody.
---@return sshlua.Sftp
function M.of(session)
  local entry = shared[session] or {}
  shared[session] = entry
  while true do
    if entry.sftp and entry.sftp:is_alive() then return entry.sftp end
    if not entry.opening then return open_shared(entry, session) end
    local opening = entry.opening
    opening:wait()
    if opening.failure and not errors.is(opening.failure, "cancelled") then error(opening.failure, 0) end
  end
end

---@return boolean
function Sftp:is_alive() return not self.closed and self.core:why() == nil end

--- Closes the channel; calls under way end with kind closed. Idempotent.
function Sftp:close()
  if self.closed then return end
  self.closed = true
  self.core:close()
  self.session:_close_channel(self.ch)
end
sftp_mt.__close = Sftp.close

function sftp_mt:__tostring() return ("sshlua.Sftp: %s%s"):format(self.name, self.closed and " (closed)" or "") end

--- Calling ----------------------------------------------------------------------------------------------------------

local words = {
  opendir = "list", readdir = "list", stat = "look at", lstat = "look at", setstat = "change", lsetstat = "change",
  mkdir = "make directory", rmdir = "remove directory", realpath = "resolve", readlink = "read link",
  symlink = "make link", hardlink = "make link", get = "read", put = "write",
  statvfs = "look at the file system of", expand_path = "expand", posix_rename = "rename", fsync = "sync",
  home_directory = "find the home of", copy_data = "copy",
}

--- Says what was tried on which path.
function Sftp:_explain(err, op, path, other)
  if not errors.is(err) then return err end
  local about_path = err.kind == "sftp" or err.kind == "io" or (err.kind == "timeout" and err.phase == "sftp")
  if about_path and rawget(err, "path") == nil then
    err.path = path
    err.message = ("cannot %s %s%s: %s"):format(words[op] or op, errors.excerpt(path or "?"),
      other and " to " .. errors.excerpt(other) or "", err.message)
    if err.name == "SSH_FX_FAILURE" and (op == "mkdir" or op == "rename" or op == "symlink" or op == "hardlink") then
      err.hint = "the server does not say why; something with that name may be there already"
    elseif err.name == "SSH_FX_FAILURE" and op == "rmdir" then
      err.hint = "the server does not say why; the directory may not be empty"
    end
  end
  return errors.wrap(err, { host = self.name, op = "sftp." .. op })
end

local function outcome(self, call, op, path, other, ok, ...)
  self.watch:finish(call)
  if ok then return ... end
  error(self:_explain(self.watch:reason(...), op, path, other), 0)
end

--- Awaits a verb of an object of the core; `path` and `other` are for messages.
function Sftp:_await(op, path, other, object, ...)
  if self.closed then
    local closed = errors.new({ kind = "closed", host = self.name, message = "the SFTP session was closed" })
    error(self:_explain(self.watch:reason(closed), op, path, other), 0)
  end
  return outcome(self, self.watch:begin(op), op, path, other, pcall(await, object[op], object, ...))
end

local function check_path(path, level)
  if type(path) ~= "string" then errors.usage(level + 1, "path expected, got %s", type(path)) end
  if path:find("\0", 1, true) then errors.usage(level + 1, "NUL byte in a path") end
end
M.check_path = check_path

--- Raises kind sftp unless the server offers an extension.
function Sftp:_need(extension, op)
  if self.offers[extension] then return end
  errors.raise({
    kind = "sftp", name = "SSH_FX_OP_UNSUPPORTED", code = 8, host = self.name, op = "sftp." .. op,
    message = "the server does not offer " .. extension,
  })
end

local function path_call(self, op, path, ...)
  check_path(path, 3)
  return self:_await(op, path, nil, self.core, path, ...)
end

--- Verbs ------------------------------------------------------------------------------------------------------------

--- What a path leads to, links followed.
---@param path string
---@return sshlua.SftpStat
function Sftp:stat(path) return (path_call(self, "stat", path)) end

--- What stands at a path, a link itself included.
---@param path string
---@return sshlua.SftpStat
function Sftp:lstat(path) return (path_call(self, "lstat", path)) end

--- Does the path lead to something? Its stat, or nil; other failures are raised.
---@param path string
---@return sshlua.SftpStat|nil
function Sftp:exists(path)
  check_path(path, 2)
  local ok, st = pcall(self._await, self, "stat", path, nil, self.core, path)
  if ok then return st end
  if errors.is(st, "sftp") and st.name == "SSH_FX_NO_SUCH_FILE" then return nil end
  error(st, 0)
end

---@param path string
---@param attributes sshlua.SftpAttributes
function Sftp:setstat(path, attributes)
  sftp_file.check_attributes(attributes, 2)
  path_call(self, "setstat", path, attributes)
end

--- Changes a symbolic link itself.
---@param path string
---@param attributes sshlua.SftpAttributes
function Sftp:lsetstat(path, attributes)
  sftp_file.check_attributes(attributes, 2)
  self:_need("lsetstat@openssh.com", "lsetstat")
  path_call(self, "lsetstat", path, attributes)
end

---@param path string an empty directory
function Sftp:rmdir(path) path_call(self, "rmdir", path) end

--- The absolute path; of what need not exist on some servers.
---@param path string
---@return string
function Sftp:realpath(path) return (path_call(self, "realpath", path)) end

---@param path string
---@return string target not checked: it is whatever the server says
function Sftp:readlink(path) return (path_call(self, "readlink", path)) end

local function two(self, op, from, to, first, second)
  check_path(from, 3)
  check_path(to, 3)
  self:_await(op, from, to, self.core, first, second)
end

--- Replaces `to` in one step where the server offers posix-rename@openssh.com; otherwise `to` must not exist.
---@param from string
---@param to string
function Sftp:rename(from, to)
  two(self, self.offers["posix-rename@openssh.com"] and "posix_rename" or "rename", from, to, from, to)
end

--- Servers that keep to the draft's order of symlink's arguments unless the client calls itself OpenSSH. All others
--- have OpenSSH's, because that is what sftp(1) sends.
local function has_draft_order(session)
  local version = session.core:server_version()
  return version ~= nil and version:find("AsyncSSH", 1, true) ~= nil
end

--- Makes `link` point to `target`.
---@param target string
---@param link string
function Sftp:symlink(target, link)
  if has_draft_order(self.session) then return two(self, "symlink", link, target, link, target) end
  two(self, "symlink", link, target, target, link)
end

---@param existing string
---@param new string
function Sftp:hardlink(existing, new)
  self:_need("hardlink@openssh.com", "hardlink")
  two(self, "hardlink", existing, new, existing, new)
end

---@class sshlua.SftpStatvfs as in statvfs(3)
---@field bsize integer
---@field frsize integer
---@field blocks integer
---@field bfree integer
---@field bavail integer
---@field files integer
---@field ffree integer
---@field favail integer
---@field fsid integer
---@field flag integer
---@field namemax integer

---@param path string
---@return sshlua.SftpStatvfs
function Sftp:statvfs(path)
  self:_need("statvfs@openssh.com", "statvfs")
  return (path_call(self, "statvfs", path))
end

--- "~/x" and "~user/x" as absolute paths.
---@param path string
---@return string
function Sftp:expand_path(path)
  self:_need("expand-path@openssh.com", "expand_path")
  return (path_call(self, "expand_path", path))
end

---@param user? string default: the one who is logged in
---@return string
function Sftp:home_directory(user)
  self:_need("home-directory", "home_directory")
  return (path_call(self, "home_directory", user or self.session.target.user))
end

--- Names of users and groups on the server, "" for a number that has none.
---@param uids integer[]
---@param gids integer[]
---@return string[] users, string[] groups
function Sftp:owners(uids, gids)
  self:_need("users-groups-by-id@openssh.com", "owners")
  return self:_await("owners", nil, nil, self.core, uids or {}, gids or {})
end

--- What the server said about sizes (0: nothing), and the sizes of our requests.
---@return { packet: integer, read: integer, write: integer, handles: integer, read_size: integer, write_size: integer }
function Sftp:limits() return self.core:limits() end

--- Requests under way, given-up ones included.
---@return integer
function Sftp:in_flight() return self.core:in_flight() end

local open_options = { mode = "number" }

--- Opens a file. how: "r", "w" (made or emptied), "wx" (must be new), "a" (writes go to the end), "r+".
---@param path string
---@param how? "r"|"w"|"wx"|"a"|"r+" default "r"
---@param opts? { mode?: integer } permissions of a new file; the server's umask applies
---@return sshlua.SftpFile
function Sftp:open(path, how, opts)
  check_path(path, 2)
  opts = options.check(opts, open_options, 2)
  return sftp_file.open(self, path, how or "r", opts.mode, 2)
end

return M
