-- Copies of the trees that tools/systems makes, run as systems of their own: one host each, by sshd in the tree.
local core = require "sshlua.core"
local files = require "spec.support.files"
local run = require "spec.support.run"
local ssh = require "sshlua"

local M = {}

local function quietly(command) return (os.execute(command .. " >/dev/null 2>&1")) == true end

-- nil, or why such a system cannot be run.
function M.missing(name)
  local dir = os.getenv "SSHLUA_SYSTEMS"
  if not dir then return "SSHLUA_SYSTEMS does not say where tools/systems made its trees" end
  if core.user().uid ~= 0 then return "only root can run it" end
  if not core.fs_stat_sync(dir .. "/" .. name) then return "there is no tree " .. dir .. "/" .. name end
  if not quietly "unshare -m -p -f -C -u -i true" then return "no namespaces can be made here" end
end

-- Boots it; { host = fn() -> sshlua.Host, stop = fn() }. Raises the last words of what does not boot.
function M.start(name)
  local state = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-spec.XXXXXX"))
  os.execute(("setsid tools/systems boot '%s/%s' '%s' >'%s/said' 2>&1 & echo $! >'%s/held'"):format(
    os.getenv "SSHLUA_SYSTEMS", name, state, state, state))
  local function stop()
    os.execute(("held=$(cat '%s/held'); kill $held; while kill -0 $held 2>/dev/null; do sleep 0.05; done"):format(state))
    core.fs_rmtree_sync(state)
  end
  local up = run.eventually(function() return core.fs_stat_sync(state .. "/pid") end)
  if not up then
    local said = files.read(state .. "/said")
    stop()
    error("tools/systems boot: " .. said)
  end
  return {
    stop = stop,
    host = function()
      local host = ssh.host(name, { user = "root", proxy_command = ("tools/systems sshd '%s'"):format(state),
        identity = state .. "/key", agent = false, known_hosts = "none", insecure_accept_any_host_key = true, batch = true })
      run.defer(host.close, host)
      return host
    end,
  }
end

return M
