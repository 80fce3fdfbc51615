-- Transfers as another user: through real sudo, to an account that may not write where the files go.
local core = require "sshlua.core"
local run = require "spec.support.run"
local servers = require "spec.support.servers"
local testbed = require "sshlua.testbed"
local files = require "spec.support.files"

local account, reason, fleet
local _, set_up, tear_down = run.shared(function()
  account, reason = testbed.user {}
  if account then fleet = testbed.start { user = account, pam = true } end
  return true
end, function()
  if fleet then fleet:stop() end
  if account then account:stop() end
end)

describe("a transfer with sudo", function()
  setup(set_up)
  teardown(tear_down)
  after_each(files.remove)

  it("has root's rights, and nobody else gets to see the file", run.body(function()
    if not account then run.skip(reason) end
    local ok, why = account:set_sudoers { "Defaults:NAME timestamp_timeout=0, lecture=never", "NAME ALL=(ALL:ALL) ALL" }
    if not ok then run.skip(why) end
    local h = servers.host(fleet)
    local dir = files.directory() -- mode 0700, root's
    local from = files.write("from/a", "secret text", 384)
    local err = run.fails("sftp", h.put, h, from, dir .. "/b")
    assert.matches("ermission denied", err.message)
    local sudo = { password = account.password }
    h:put(from, dir .. "/b", { sudo = sudo, mode = "640" })
    local st = core.fs_stat_sync(dir .. "/b")
    assert.equal("secret text", servers.read_file(dir .. "/b"))
    assert.equal(0, st.uid)
    assert.equal(416, st.mode)
    local view = h:with { sudo = sudo }
    view:get(dir .. "/b", dir .. "/c", { verify = "sha256" })
    assert.equal("secret text", servers.read_file(dir .. "/c"))
    assert.equal(1, view:sync(dir .. "/from", dir .. "/tree").files)
    assert.is_false(view:sync(dir .. "/from", dir .. "/tree").changed)
    assert.equal("secret text", servers.read_file(dir .. "/tree/a"))
    err = run.fails("auth", h.put, h, from, dir .. "/d", { sudo = { password = "certainly not this" } })
    assert.is_nil(tostring(err):find(account.password, 1, true))
  end))
end)
