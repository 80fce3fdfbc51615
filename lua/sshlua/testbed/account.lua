--- A second user of this machine, for what needs one: passwords, keyboard-interactive through PAM, signals, other
--- homes. Made by root only, and removed again; what an interrupted run left is removed by the next one.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local options = require("sshlua.options")
local processes = require("sshlua.testbed.processes")
local scope = require("sshlua.task.scope")
local site = require("sshlua.testbed.site")

local M = {}

--- Several, because several runs may want one at the same time.
local NAMES = { "sshlua-test", "sshlua-test2", "sshlua-test3", "sshlua-test4" }

local live = {} -- names of this process's own

--- The PAM service of a user is also the name of its sshd's processes, by which they are told from commands.
local function service_of(name) return "sshd-" .. name end
local function pam_file(name) return "/etc/pam.d/" .. service_of(name) end

--- What sudo knows of a user: rules, that it was lectured, that it has given its password.
local function sudo_files(name)
  return { "/etc/sudoers.d/" .. name, "/var/lib/sudo/lectured/" .. name, "/run/sudo/ts/" .. name }
end

local DOAS_FILE = "/etc/doas.conf"
local DOAS_MARK = "# sshlua test run: "

local function find_program(name)
  for _, dir in ipairs({ "/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/" }) do
    if core.fs_stat_sync(dir .. name) then return dir .. name end
  end
end

local function passwd_entry(wanted)
  local f = io.open("/etc/passwd", "r")
  if not f then return nil end
  for line in f:lines() do
    local name, uid, gid, comment = line:match("^([^:]*):[^:]*:(%d+):(%d+):([^:]*):")
    if name == wanted then
      f:close()
      return { uid = tonumber(uid), gid = tonumber(gid), comment = comment }
    end
  end
  f:close()
end

--- The process that made the user stands in the comment of its entry.
local function owner_of(entry) return tonumber(entry.comment:match("process (%d+)$")) end

local function random_password()
  local f = io.open("/dev/urandom", "rb")
  local bytes = f and f:read(12)
  if f then f:close() end
  if not bytes or #bytes < 12 then errors.raise({ kind = "io", message = "cannot read /dev/urandom" }) end
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function first_line(path)
  local f = io.open(path, "r")
  local line = f and f:read("*l")
  if f then f:close() end
  return line
end

local function forget_rules(name)
  for _, path in ipairs(sudo_files(name)) do os.remove(path) end
  if first_line(DOAS_FILE) == DOAS_MARK .. name then os.remove(DOAS_FILE) end
end

local function of_uid(all, uid)
  local found = {}
  for pid in pairs(all) do
    local f = io.open(("/proc/%d/status"):format(pid), "r")
    local text = f and f:read(2048) or ""
    if f then f:close() end
    if tonumber(text:match("\nUid:%s+(%d+)")) == uid then found[pid] = true end
  end
  return found
end

local function remove_user(name, entry)
  processes.end_all(function() return of_uid(processes.list(), entry.uid) end)
  processes.run({ find_program("userdel") or "userdel", name })
end

--- Takes the name: removes what is left of a run that was interrupted. Or nil and who has it.
local function take(name)
  local entry = passwd_entry(name)
  local owner = entry and owner_of(entry)
  if entry and not owner then return nil, ("there is a user %s that is not ours"):format(name) end
  if live[name] or (owner and owner ~= core.getpid() and processes.list()[owner]) then
    return nil, ("the user %s is in use by process %d"):format(name, owner or core.getpid())
  end
  live[name] = true
  if entry then remove_user(name, entry) end
  os.remove(pam_file(name))
  forget_rules(name)
  return true
end

local function take_any()
  local reasons = {}
  for i, name in ipairs(NAMES) do
    local taken, reason = take(name)
    if taken then return name end
    reasons[i] = reason
  end
  return nil, table.concat(reasons, "; ")
end

---@class sshlua.TestbedAccount
---@field name string
---@field password string
---@field uid integer
---@field gid integer
---@field home string
---@field dir string
---@field sshd? string sshd under a name with a PAM service of its own; for testbed.start{ user = account, pam = true }
local Account = {}
local account_mt = { __index = Account, __name = "sshlua.TestbedAccount" }

--- sshd's PAM service is called as its program.
local function make_pam(self, lines)
  local text = "# Written for a test run; removed at its end.\n" .. table.concat(lines, "\n") .. "\n"
  local ok, err = core.fs_write_sync(pam_file(self.name), text, 420)
  if not ok then errors.raise(errors.from(err)) end
  self.sshd = self.dir .. "/" .. service_of(self.name)
  processes.must_run({ "ln", "-s", site.find_sshd(), self.sshd })
end

local services = {
  one_round = {
    "auth required pam_unix.so", "account required pam_unix.so", "password required pam_unix.so",
    "session required pam_permit.so",
  },
  --- A second module asks again, and takes any answer.
  two_rounds = {
    "auth required pam_unix.so", "auth optional pam_ftp.so", "account required pam_unix.so",
    "password required pam_unix.so", "session required pam_permit.so",
  },
}

local function service_lines(pam)
  if type(pam) == "table" then return pam end
  return services[pam]
end

local function make(self, opts)
  self.home = self.site:mkdir("home", 493)
  processes.must_run({
    find_program("useradd"), "-r", "-U", "-M", "-d", self.home, "-s", opts.shell or "/bin/sh",
    "-c", ("sshlua test run, process %d"):format(core.getpid()), self.name,
  })
  local entry = passwd_entry(self.name)
  self.uid, self.gid = entry.uid, entry.gid
  processes.must_run({ "chown", ("%d:%d"):format(self.uid, self.gid), self.home })
  self:set_password(random_password())
  if opts.pam then make_pam(self, service_lines(opts.pam)) end
end

local function missing(opts)
  if core.user().uid ~= 0 then return "only root can make users" end
  for _, name in ipairs({ "useradd", "userdel", "chpasswd" }) do
    if not find_program(name) then return "there is no " .. name end
  end
  if not core.fs_stat_sync("/proc/self/status") then return "there is no /proc" end
  if opts.pam and not core.fs_stat_sync("/etc/pam.d") then return "there is no /etc/pam.d" end
  if opts.pam and not site.find_sshd() then return "there is no sshd" end
end

-- Shell for the guardian: the user goes when its directory does.
local last_words = [[
pkill -KILL -u NAME 2>/dev/null
userdel NAME 2>/dev/null
rm -f /etc/pam.d/sshd-NAME /etc/sudoers.d/NAME /var/lib/sudo/lectured/NAME /run/sudo/ts/NAME
[ "$(head -n 1 /etc/doas.conf 2>/dev/null)" = "# sshlua test run: NAME" ] && rm -f /etc/doas.conf
]]

--- Makes the user, or says why that cannot be: nil, reason. `pam` is a PAM service: one_round, which asks for the
--- password, two_rounds, or the service's text as lines.
---@param opts? { pam?: "one_round"|"two_rounds"|string[], shell?: string }
---@return sshlua.TestbedAccount|nil, string|nil reason
function M.new(opts)
  opts = options.check(opts, { pam = "string|table", shell = "string" }, 2)
  if type(opts.pam) == "string" and not services[opts.pam] then
    errors.usage(2, "option 'pam': one_round, two_rounds or a list of lines expected")
  end
  local reason = missing(opts)
  if reason then return nil, reason end
  local name, used = take_any()
  if not name then return nil, used end
  local self = setmetatable({ name = name, site = site.new(457, (last_words:gsub("NAME", name))) }, account_mt)
  self.dir = self.site.dir
  local ok, err = pcall(make, self, opts)
  if ok then return self end
  scope.shield(self.stop, self)
  error(err, 0)
end

--- Sets another password.
function Account:set_password(password)
  processes.must_run({ find_program("chpasswd") }, self.name .. ":" .. password .. "\n")
  self.password = password
end

local function write_rules(path, text, mode)
  local ok, err = core.fs_write_sync(path, text, mode)
  if not ok then errors.raise(errors.from(err)) end
  core.fs_chmod_sync(path, mode)
end

--- The lines of sudoers for this user, NAME standing for its name; or why there is no sudo.
---@param lines string[]
---@return boolean|nil, string|nil reason
function Account:set_sudoers(lines)
  if not find_program("sudo") then return nil, "there is no sudo" end
  if not core.fs_stat_sync("/etc/sudoers.d") then return nil, "there is no /etc/sudoers.d" end
  forget_rules(self.name)
  local text = table.concat(lines, "\n"):gsub("NAME", (self.name:gsub("%%", "%%%%"))) .. "\n"
  local draft = self.site:write("sudoers", text, 256) -- 0400
  processes.must_run({ find_program("visudo") or "visudo", "-q", "-c", "-f", draft })
  write_rules(sudo_files(self.name)[1], text, 288) -- 0440
  return true
end

--- The lines of doas.conf in the same way.
---@param lines string[]
---@return boolean|nil, string|nil reason
function Account:set_doas(lines)
  if not find_program("doas") then return nil, "there is no doas" end
  local owner = first_line(DOAS_FILE)
  if owner and owner ~= DOAS_MARK .. self.name then return nil, "there is a doas.conf that is not ours" end
  local text = table.concat(lines, "\n"):gsub("NAME", (self.name:gsub("%%", "%%%%")))
  write_rules(DOAS_FILE, DOAS_MARK .. self.name .. "\n" .. text .. "\n", 256)
  return true
end

--- The password has expired: the next login has to change it.
function Account:expire_password() processes.must_run({ "chage", "-d", "0", self.name }) end

--- Ends the user's processes, removes user, PAM service and directory. Again is nothing.
function Account:stop()
  if self.stopped then return end
  self.stopped = true
  scope.shield(function()
    local entry = passwd_entry(self.name)
    if entry and owner_of(entry) == core.getpid() then -- another run may have been quicker to make it
      remove_user(self.name, entry)
      os.remove(pam_file(self.name))
      forget_rules(self.name)
    end
    self.site:remove()
    live[self.name] = nil
  end)
end

return M
