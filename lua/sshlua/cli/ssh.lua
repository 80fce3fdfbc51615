--- `sshlua ssh [options] [user@]host [command]`: a client for the daily work, with ssh(1)'s command line.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local lazy = require("sshlua.lazy")
local ssh_options = require("sshlua.cli.ssh_options")
local words = require("sshlua.client.words")

local M = { summary = "log in to a host, or run a command there, as ssh" }

M.help = [[
usage: sshlua ssh [-46aCfGgkNnqsTtVvx] [-B interface] [-b address] [-c ciphers] [-E log] [-e key]
                  [-F config] [-i identity] [-J hops] [-l user] [-m macs] [-o Keyword=value]
                  [-P tag] [-p port] [-Q list] [-S path] [-W host:port]
                  [--record directory] [--record-input] [user@]host [command]

Logs in, or runs the command, with the options, the configuration and the exit status of ssh(1):
the command's own, or 255. ~. at the beginning of a line ends a session, ~? lists what else the
escape key can do. -Q help names the lists of algorithms. --record keeps what is shown in a new
file of the directory (docs/recording.md), with --record-input also what is typed, passwords too.

Not part of this version: forwardings (-L -R -D -A -X -Y -w), shared connections (-M, -O), -K, -y.
]]

local FAILED = 255

local function usage(fmt, ...) errors.raise({ kind = "usage", message = fmt:format(...) }) end

--- Letters of ssh(1) that are not acted on, and why.
local refused = {
  L = "forwarding of ports", R = "forwarding of ports", D = "SOCKS", A = "forwarding of the agent",
  X = "forwarding of X11", Y = "forwarding of X11", w = "forwarding of tun devices",
  O = "control of a shared connection", M = "sharing of a connection", K = "GSSAPI", y = "syslog",
  ["1"] = "SSH protocol 1", I = "PKCS#11 (add the token's keys to an agent: ssh-add -s)",
}

local function refuse(o)
  for letter in pairs(o.letters) do
    if refused[letter] then usage("-%s: %s is not part of this version", letter, refused[letter]) end
  end
end

--- What is answered without a connection; nil: nothing was.
local function answer(o, args)
  if o.help then
    io.stdout:write(M.help)
  elseif o.letters.V then
    local about = core.about()
    io.stderr:write(("sshlua_%s, libssh2 %s, %s\n"):format(about.version, about.libssh2, about.openssl))
  elseif o.letters.Q then
    io.stdout:write(lazy.load("sshlua.client.query").text(o.letters.Q))
  elseif o.letters.G then
    return lazy.load("sshlua.cli.config").run(args)
  else
    return nil
  end
  return 0
end

--- Is there a terminal to ask on, wherever the standard streams lead?
local function has_person()
  local tty = io.open("/dev/tty", "r")
  if tty then tty:close() end
  return tty ~= nil
end

--- The target, with its settings read.
local function prepare(o, w)
  local connect = lazy.load("sshlua.connect")
  lazy.load("sshlua.settings").defaults.person = has_person() or nil
  local target = connect.target(o.host, {
    ssh_config = o.file,
    banner = function(text)
      if w.level >= 3 then w:show(core.clean(text, { newline = true, tab = true })) end
    end,
  })
  target.said.steps, target.said.command = o.steps, o.command
  lazy.load("sshlua.target").prepare(target)
  return connect, target
end

--- Who wants to be told when a forwarding fails is told that all of them do.
local function check_forwards(v)
  if not v.exitonforwardfailure or v.clearallforwardings then return end
  for keyword, list in pairs({ LocalForward = v.localforward, RemoteForward = v.remoteforward }) do
    if list[1] then usage("ExitOnForwardFailure: %s: forwarding of ports is not part of this version", keyword) end
  end
end

local function connected(o, program, w)
  local plan_of = lazy.load("sshlua.client.plan")
  local connect, target = prepare(o, w)
  local plan = plan_of.new(target.config.values, o.command, core.isatty(0))
  w.level = plan.level
  check_forwards(target.config.values)
  if plan.what == "subsystem" and not plan.text then usage("which subsystem?") end
  if plan.what == "none" and o.record then usage("--record: nothing is shown with -N") end
  local record = o.record and { to = lazy.load("sshlua.record").into(o.record), input = o.record_input }
  if plan.refused_pty then w:info("no terminal for the command: standard input is none (-tt insists)") end
  local session = connect.open(target)
  local ok, code = pcall(lazy.load("sshlua.client.run").run, {
    program = program, session = session, plan = plan, words = w, host = target.hostname, record = record,
  })
  session:close()
  if not ok then error(code, 0) end
  return code or FAILED
end

local function log_file(o)
  local path = o.letters.E
  if not path then return nil end
  local ok, message = lazy.load("sshlua.log").set_file(path)
  if not ok then usage("-E: %s", message) end
  return io.open(path, "a")
end

local function run(args, program, w)
  local o = ssh_options.parse(args, true)
  local code = answer(o, args)
  if code then return code end
  w.file = log_file(o)
  refuse(o)
  if not o.host then usage("which host? (%s)", (M.help:match("usage: ([^\n]*)"))) end
  if o.record_input and not o.record then usage("--record-input goes with --record") end
  if o.letters.W and o.record then usage("--record: what passes with -W is no terminal's") end
  if o.letters.W then return lazy.load("sshlua.cli.dial").by(program, o, o.letters.W) end
  return connected(o, program, w)
end

--- A signal that ended us is 255, as with ssh.
local function ended(err)
  local signals = require("sshlua.cli.signals")
  if not signals.code or not errors.is(err, "cancelled") then return false end
  signals.code = FAILED
  return true
end

---@param args string[]
---@param program table
---@return integer
function M.run(args, program)
  local w = words.new(3)
  local ok, code = pcall(run, args, program, w)
  if ok then return code end
  if not ended(code) then w:fatal(code) end
  return FAILED
end

return M
