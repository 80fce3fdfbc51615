-- The SFTP client against a server of ours that lies, behind a real sshd: every lie ends in a named error or in right
-- data, and nobody waits for ever.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local ssh = require "sshlua"
local task = require "sshlua.task"

local await = task.await
local here = debug.getinfo(1, "S").source:match "^@(.*)spec/integration/" or ""
local mode_file = os.tmpname()
local fleet, start_fleet, stop_fleet

local function absolute(path)
  if path:sub(1, 1) == "/" then return path end
  return (os.getenv "PWD" or ".") .. "/" .. path
end

fleet, start_fleet, stop_fleet = servers.shared {
  sshd_config = { ("Subsystem sftp /usr/bin/python3 %s %s"):format(absolute(here .. "spec/support/sftp_liar.py"), mode_file) },
}

local function lying(how, more)
  servers.write_file(mode_file, how .. "\n")
  return servers.connect(fleet(), nil, more)
end

local function data(size)
  local bytes = {}
  for i = 0, size - 1 do bytes[i + 1] = string.char((i * 7 + math.floor(i / 251)) % 256) end
  return table.concat(bytes)
end

local function read(sftp) return sftp:read_file "/f" end
local function list(sftp) return sftp:list "/d" end
local function stat(sftp) return sftp:stat "/f" end
local function open(sftp) return sftp:open "/f" end
local function write(sftp) sftp:open("/f", "w"):write "bytes" end
local function close(sftp) sftp:open("/f", "w"):close() end

describe("an SFTP server that lies", function()
  setup(start_fleet)
  teardown(function()
    stop_fleet()
    os.remove(mode_file)
  end)

  local function at_start(how, kind, words)
    it(("with '%s' is a %s error"):format(how, kind), run.body(function()
      local s = lying(how)
      local err = run.fails(kind, s.sftp, s)
      assert.matches(words, err.message)
      assert.equal(fleet():host().name, err.host)
      assert.is_true(s:is_alive())
      assert.equal("still here\n", s:exec("echo still here").stdout)
    end))
  end
  at_start("text", "protocol", "text in place of SFTP: Last login: never")
  at_start("version-2", "protocol", "version 2")
  at_start("version-6", "protocol", "version 6")
  at_start("ext-cut", "protocol", "extension that is cut short")
  at_start("exit", "channel", "ended its SFTP subsystem")

  it("by saying nothing at all is a timeout", run.body(function()
    local s = lying("silent", { timeouts = { channel = 0.5 } })
    local err = run.fails("timeout", s.sftp, s)
    assert.equal("channel", err.phase)
  end))

  local function later(how, verb, kind, words)
    it(("with '%s' is a %s error"):format(how, kind), run.body(function()
      local s = lying(how)
      local sftp = s:sftp()
      local err = run.fails(kind, verb, sftp)
      assert.matches(words, err.message)
      assert.equal(fleet():host().name, err.host)
      if kind == "protocol" then
        assert.is_false(sftp:is_alive())
        run.fails("protocol", stat, sftp)
      end
      assert.equal("still here\n", s:exec("echo still here").stdout)
    end))
  end
  later("unknown-id", stat, "protocol", "nothing that was asked")
  later("twice", function(sftp) for _ = 1, 50 do sftp:stat "/f" end end, "protocol", "nothing that was asked")
  later("wrong-type", stat, "protocol", "wrong type")
  later("huge", stat, "protocol", "impossible length")
  later("status-cut", stat, "protocol", "cut short")
  later("status-bare", stat, "sftp", "permission denied")
  later("status-odd", stat, "sftp", "unknown status.*odd")
  later("attrs-cut", stat, "protocol", "do not fit")
  later("attrs-many", stat, "protocol", "do not fit")
  later("open-ok", open, "protocol", "status of success")
  later("long-handle", open, "protocol", "impossible length")
  later("more", read, "protocol", "more data")
  later("zero", read, "protocol", "without bytes")
  later("lie-count", read, "protocol", "does not fit")
  later("read-ok", read, "protocol", "status of success")
  later("half", read, "channel", "ended its SFTP subsystem")
  later("die", stat, "channel", "ended its SFTP subsystem")
  later("close-fails", close, "sftp", "No space left on device")
  later("write-fails", write, "sftp", "Disk quota exceeded")
  later("endless", list, "protocol", "do not fit")
  later("count", list, "protocol", "do not fit")
  later("name-cut", list, "protocol", "do not fit")
  later("two-names", function(sftp) sftp:realpath "/" end, "protocol", "do not fit")
  later("nul-name", function(sftp) sftp:readlink "/l" end, "protocol", "do not fit")

  local function harmless(how, bytes)
    it(("with '%s' gives right data all the same"):format(how), run.body(function()
      local sftp = lying(how):sftp()
      local want = data(bytes)
      assert(sftp:read_file "/f" == want, "other bytes than expected")
      local path = os.tmpname()
      run.defer(os.remove, path)
      local file = await(core.fs_open, path, "w", nil)
      local remote = sftp:open "/f"
      local got, ended = remote:get(file)
      assert.same({ bytes, true }, { got, ended })
      remote:close()
      await(file.close, file)
      assert(servers.read_file(path):sub(1, bytes) == want, "other bytes than expected")
      assert.equal(0, sftp:in_flight())
    end, 60))
  end
  harmless("honest", 300000)
  harmless("reversed", 300000)
  harmless("short", 300000)
  harmless("early-eof", 150000)
  harmless("big-limits", 300000)
  harmless("tiny-limits", 300000)

  it("about the end of a file gives nothing from behind it", run.body(function()
    local sftp = lying("hole"):sftp()
    local got = sftp:open("/f"):read_at(0, 300000)
    assert(#got < 200000 and got == data(#got), "bytes from behind an end of file")
  end))

  it("with names that are no names has them left out", run.body(function()
    local sftp = lying("names"):sftp()
    local entries, refused = sftp:list "/d"
    assert.equal(4, refused)
    assert.same({ "good\27[31m", "plain" }, { entries[1].name, entries[2].name })
    assert.is_nil(entries[3])
  end))

  it("by never answering keeps nobody who does not want to wait", run.body(function()
    local s = lying "hang"
    local sftp = s:sftp()
    for _ = 1, 20 do
      local err = run.fails("timeout", task.timeout, 0.02, read, sftp)
      assert.is_not_nil(err)
    end
    assert.equal("file", sftp:stat("/f").type)
    sftp:close()
    assert.equal("still here\n", s:exec("echo still here").stdout)
    local _, err = ssh.try(read, sftp)
    assert.equal("closed", err.kind)
  end))
end)
