--- What a throwaway server needs on disk: a private directory, keys, a configuration. And the guardian, a small shell
--- that cleans up when this process dies without doing so. Knows sshd_config; must not know sockets.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local processes = require("sshlua.testbed.processes")
local scope = require("sshlua.task.scope")
local task = require("sshlua.task.core")

local M = {}

local MARK = "SSHLUA_TESTBED"

local function check(value, err)
  if not value then errors.raise(errors.from(err)) end
  return value
end

local function write(path, text, mode) check(core.fs_write_sync(path, text, mode)) end

local function first_file(paths)
  for _, path in ipairs(paths) do
    if core.fs_stat_sync(path) then return path end
  end
end

--- Where OpenSSH's server is, or nil.
---@return string|nil
function M.find_sshd()
  return first_file({ "/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd", "/opt/homebrew/sbin/sshd" })
end

local function find_sftp_server()
  return first_file({
    "/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server", "/usr/lib64/misc/sftp-server",
  })
end

--- The guardian -----------------------------------------------------------------------------------------------------

-- It waits for the end of its standard input, which comes when we close it or die. Started with the directory and the
-- mark
-- as $1 and $2. It kills what carries the mark, and the process groups of the servers that the file pids names: "+ 123"
-- for one that was started, "- 123" when it has ended. A line "done" means: nothing to do.
local guardian_script = [[
trap '' HUP INT TERM
read -r line && [ "$line" = done ] && exit 0
groups() {
  if [ -r /proc/self/stat ]; then
    cat /proc/[0-9]*/stat 2>/dev/null | awk '{ pid = $1; name = $2; sub(/^.*\) /, ""); print pid, $3, name }'
  else
    ps -A -o pid= -o pgid= -o comm=
  fi
}
for round in 1 2 3; do
  for file in $(grep -lsF -e "$2" /proc/[0-9]*/environ 2>/dev/null); do
    file=${file#/proc/}
    [ "${file%/*}" = $$ ] || kill -KILL "${file%/*}" 2>/dev/null
  done
  { cat "$1/pids"; groups; } 2>/dev/null | awk '
    $1 == "+" { ours[$2] = 1; next }
    $1 == "-" { delete ours[$2]; next }
    $2 in ours && $3 ~ /sshd/ { print $1 }
  ' | while read -r pid; do kill -KILL "$pid" 2>/dev/null; done
done
[ -e "/run/sshd/${1##*/}" ] && rm -f "/run/sshd/${1##*/}" && rmdir /run/sshd 2>/dev/null
rm -rf -- "$1"
]]

local function start_guardian(self, last_words)
  local proc, err = core.spawn({
    args = { "/bin/sh", "-c", guardian_script .. (last_words or ""), "sshlua-guardian", self.dir, self.mark },
    env = processes.environment(), stdin = "pipe", stdout = "null", stderr = "null", cwd = "/", detached = true,
  })
  self.guardian = check(proc, err)
end

local function dismiss_guardian(self)
  local proc = self.guardian
  if not proc then return end
  self.guardian = nil
  local stdin = proc:stdin()
  pcall(task.await, stdin.write, stdin, "done\n")
  stdin:close()
  pcall(task.await, proc.wait, proc)
end

--- The directory ----------------------------------------------------------------------------------------------------

---@class sshlua.TestbedSite
---@field dir string
---@field mark string "NAME=VALUE" in the environment of everything that is started here
local Site = {}
local site_mt = { __index = Site, __name = "sshlua.TestbedSite" }

--- A new private directory with its guardian. `last_words` is more shell for the guardian, `mode` the directory's
--- permissions (default 0700).
---@return sshlua.TestbedSite
function M.new(mode, last_words)
  local parent = os.getenv("TMPDIR")
  if not parent or parent:sub(1, 1) ~= "/" or parent:find("[%c\"'\\]") then parent = "/tmp" end
  local dir = check(core.fs_mkdtemp_sync(parent:gsub("/+$", "") .. "/sshlua-testbed-XXXXXX"))
  local self = setmetatable({ dir = dir, mark = MARK .. "=" .. dir }, site_mt)
  if mode then check(core.fs_chmod_sync(dir, mode)) end
  local ok, err = pcall(start_guardian, self, last_words)
  if not ok then
    core.fs_rmtree_sync(dir)
    error(err, 0)
  end
  return self
end

--- A directory inside, for one host; returns its path.
function Site:mkdir(name, mode)
  local path = self.dir .. "/" .. name
  check(core.fs_mkdir_sync(path, mode or 448))
  check(core.fs_chmod_sync(path, mode or 448)) -- whatever the umask
  return path
end

--- Writes a file inside; the mode holds whatever the umask.
function Site:write(name, text, mode)
  local path = self.dir .. "/" .. name
  write(path, text, mode)
  check(core.fs_chmod_sync(path, mode))
  return path
end

--- Tells the guardian of a server, the leader of its process group, that has started ("+") or ended ("-").
function Site:note(sign, pid)
  local f = not self.removed and io.open(self.dir .. "/pids", "a")
  if not f then return end
  f:write(("%s %d\n"):format(sign, pid))
  f:close()
end

--- Ends what was started here and has not ended: the trees below `roots` (pid -> any) and everything marked.
---@return boolean all gone
function Site:end_processes(roots)
  return processes.end_all(function()
    local all = processes.list()
    local pids = processes.tree(all, roots())
    for pid in pairs(processes.marked(all, self.mark)) do pids[pid] = true end
    return pids
  end)
end

--- Removes the directory and dismisses the guardian; again is nothing.
function Site:remove()
  self.removed = true
  for _ = 1, 5 do -- once more when somebody has just written a file
    core.fs_rmtree_sync(self.dir)
    if not core.fs_stat_sync(self.dir) then break end
    scope.sleep(0.05)
  end
  dismiss_guardian(self)
end

--- Keys -------------------------------------------------------------------------------------------------------------

local key_arguments = {
  ed25519 = { "-t", "ed25519" }, rsa = { "-t", "rsa", "-b", "2048" }, ecdsa = { "-t", "ecdsa", "-b", "256" },
  ecdsa384 = { "-t", "ecdsa", "-b", "384" }, ecdsa521 = { "-t", "ecdsa", "-b", "521" },
}

--- Makes a key pair without a passphrase (or with one) and returns the path and the public line.
---@param path string
---@param kind? string ed25519 (default), rsa, ecdsa, ecdsa384, ecdsa521
---@param passphrase? string for specs only: it is seen in the process list
---@return string path, string public_line "type base64"
function M.make_key(path, kind, passphrase)
  local arguments = key_arguments[kind or "ed25519"]
  if not arguments then errors.usage(2, "unknown kind of key '%s'", tostring(kind)) end
  local args = { "ssh-keygen", "-q", "-N", passphrase or "", "-C", "sshlua-testbed", "-f", path }
  for _, a in ipairs(arguments) do args[#args + 1] = a end
  processes.must_run(args)
  local f = check(io.open(path .. ".pub", "r"))
  local line = f:read("*l")
  f:close()
  return path, (line:match("^(%S+ %S+)"))
end

--- sshd_config ------------------------------------------------------------------------------------------------------

--- sshd takes the first value of most keywords, so a caller's lines stand first, but a Match block to the end of the
--- file.
--- Of several SetEnv lines only one would count: they become one.
local function split_lines(...)
  local global, match, env, has_subsystem = {}, {}, {}, false
  for i = 1, select("#", ...) do
    local in_match = false
    for _, line in ipairs((select(i, ...)) or {}) do
      local keyword, rest = line:match("^%s*(%a+)[%s=]+(.-)%s*$")
      keyword = (keyword or ""):lower()
      if keyword == "match" then in_match = true end
      if keyword == "setenv" and not in_match then
        env[#env + 1] = rest
      else
        local list = in_match and match or global
        list[#list + 1] = line
      end
      has_subsystem = has_subsystem or (keyword == "subsystem" and rest:lower():find("^sftp%f[%s]") ~= nil)
    end
  end
  return global, match, env, has_subsystem
end

local function quoted(path) return '"' .. path .. '"' end

--- Writes the wrapper that gives every host a home of its own: it starts each command where HOME says.
function Site:home_wrapper()
  return self:write("in-home", [[
cd "$HOME" || exit 1
: "${SHELL:=/bin/sh}"
if [ "${SSH_ORIGINAL_COMMAND+set}" ]; then
  command=$SSH_ORIGINAL_COMMAND
  unset SSH_ORIGINAL_COMMAND
  exec "$SHELL" -c "$command"
fi
exec "$SHELL" -l
]], 493)
end

---@class sshlua.TestbedServer what sshd_config is made from
---@field dir string
---@field home string
---@field user string the only one who may log in
---@field host_keys string[] paths
---@field authorized_keys string path
---@field wrapper? string home_wrapper's
---@field pam? boolean
---@field ask_pam? boolean keyboard-interactive, too

--- The text of an sshd_config. `general` and `special` are the caller's lines.
---@param server sshlua.TestbedServer
function Site:sshd_config(server, general, special)
  local lines, match, env, has_subsystem = split_lines(special, general)
  local function add(fmt, ...) lines[#lines + 1] = fmt:format(...) end
  for _, path in ipairs(server.host_keys) do add("HostKey %s", quoted(path)) end
  add("AuthorizedKeysFile %s", quoted(server.authorized_keys))
  add("AllowUsers %s", server.user)
  add("SetEnv %s %s %s", quoted("HOME=" .. server.home), quoted(self.mark), table.concat(env, " "))
  add("UsePAM %s", server.pam and "yes" or "no")
  if server.ask_pam then add("KbdInteractiveAuthentication yes") end
  for _, line in ipairs({
    "AcceptEnv LANG LC_* SSHLUA_*", "PermitRootLogin prohibit-password", "PasswordAuthentication no",
    "KbdInteractiveAuthentication no", "StrictModes no", "PrintMotd no", "PrintLastLog no", "PermitUserRC no",
    "PermitUserEnvironment no", "UseDNS no", "PidFile none", "LogLevel VERBOSE",
  }) do lines[#lines + 1] = line end
  local sftp = find_sftp_server()
  if not has_subsystem then add("Subsystem sftp %s", sftp or "internal-sftp") end
  if server.wrapper then add("ForceCommand exec /bin/sh '%s'", server.wrapper) end
  for _, line in ipairs(match) do lines[#lines + 1] = line end
  return table.concat(lines, "\n") .. "\n"
end

--- sshd run by root insists on an empty directory that Debian makes only when the service starts. Marks inside say who
--- of us needs it, so that the last one removes what the first one made.
local PRIVSEP = "/run/sshd"

local function has_marks()
  local ok, entries = pcall(task.await, core.fs_readdir, PRIVSEP)
  for _, entry in ipairs(ok and entries or {}) do
    if entry.name:find("^sshlua%-testbed%-") then return true end
  end
  return false
end

function Site:need_privsep()
  if core.user().uid ~= 0 or not core.fs_stat_sync("/run") then return end
  local made = core.fs_mkdir_sync(PRIVSEP, 493)
  if not made and not has_marks() then return end
  self.privsep_mark = PRIVSEP .. "/" .. self.dir:match("[^/]*$")
  core.fs_write_sync(self.privsep_mark, "", 384)
end

function Site:release_privsep()
  if not self.privsep_mark then return end
  os.remove(self.privsep_mark)
  pcall(task.await, core.fs_rmdir, PRIVSEP) -- fails when somebody else's mark is there
  self.privsep_mark = nil
end

return M
