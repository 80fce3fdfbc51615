-- An SFTP server that hangs while its sshd lives: the real one, stopped by a signal.
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local files = require "spec.support.files"
local core = require "sshlua.core"
local ssh = require "sshlua"
local task = require "sshlua.task"
local testbed_processes = require "sshlua.testbed.processes"

local MIB = 1024 * 1024
local SERVER = "/usr/lib/openssh/sftp-server"

-- A host whose SFTP server says its number; the server can be stopped.
local function host(seconds)
  local pid_file = files.write("pids", "")
  local fleet = servers.fleet { sshd_config = { ("Subsystem sftp echo $$ >> %s; exec %s"):format(pid_file, SERVER) } }
  local h = servers.host(fleet, nil, { timeouts = { sftp = seconds } })
  local function signal(name)
    local pid = servers.read_file(pid_file):match "(%d+)%s*$"
    testbed_processes.must_run { "kill", "-" .. name, pid }
  end
  return h, function()
    signal "STOP"
    run.defer(function() pcall(signal, "CONT") end)
  end
end

describe("an SFTP server that hangs", function()
  after_each(files.remove)

  it("ends every call with a timeout that says what to do; the next call gets another server", run.body(function()
    local h, stop = host(0.5)
    local path = files.write("a", ("x"):rep(1000000))
    local sftp = h:session():sftp()
    local file = sftp:open(path, "r")
    stop()
    local calls = {
      stat = function() sftp:stat(path) end, list = function() sftp:list(files.directory()) end,
      read = function() file:read(100000) end, write = function() sftp:write_file(path .. "2", "text") end,
      put = function() h:put(path, path .. "3", { idle = 0 }) end,
      read_file = function() h:read_file(path) end,
    }
    local count = 0
    ssh.scope(function(s)
      for name, call in pairs(calls) do
        s:spawn(function()
          local err = run.fails("timeout", call)
          assert.matches("has not answered for 0.5 s", err.message, name)
          assert.matches("timeouts", err.hint, name)
          assert.equal(h.name, err.host)
          assert.is_string(err.path, name)
          count = count + 1
        end)
      end
    end)
    assert.equal(6, count)
    run.fails("timeout", file.read, file, 1)
    assert.equal(1000000, #h:read_file(path))
    assert.equal("still here\n", h:run("echo still here").stdout)
  end))

  it("is given time while anything moves", run.body(function()
    local h = host(0.5)
    local from = files.write("a", ("x"):rep(1500000))
    h:put(from, files.directory() .. "/b", { limit = 1000000 })
    assert.equal(1500000, #h:read_file(files.directory() .. "/b"))
  end))

  -- sshd itself takes 2 MiB for a channel, whoever reads them.
  it("has as many bytes on their way as the round trip asks for", run.body(function()
    if not core.fs_stat_sync "/dev/shm" then run.skip "no /dev/shm" end
    files.directory(true)
    local from = task.await(core.fs_open, files.write("a", ("x"):rep(8 * MIB)), "r", nil)
    local function on_their_way(round_trip)
      local h, stop = host(60)
      local sftp = h:session():sftp()
      local file = sftp:open(files.directory() .. "/b", "w")
      stop()
      local before = sftp.core:moved()
      ssh.scope(function(s)
        s:spawn(file.put, file, from, 8 * MIB, { round_trip = round_trip })
        task.sleep(0.3)
        s:cancel()
      end)
      return (sftp.core:moved() - before) / MIB
    end
    local near, far = on_their_way(0.0005), on_their_way(0.05)
    assert.is_true(near > 0.9 and near < 1.1, near .. " MiB")
    assert.is_true(far > 1.8, far .. " MiB")
  end))
end)
