-- The line of progress on a terminal.
local bar = require "sshlua.transfer_bar"

local function event(host, bytes, total, rate, eta)
  return { host = host, bytes = bytes, total = total, rate = rate, eta = eta, file = "/srv/a\27[31mb" }
end

describe("the bar", function()
  it("says how far one host is, within the width, without control characters", function()
    local line = bar.line(event("web1", 512 * 1024, 1024 * 1024, 1024, 512), 80)
    assert.matches("^web1  50%% 512.0 KiB/1.0 MiB 1.0 KiB/s 08:32 ", line)
    assert.is_nil(line:find "%c")
    for width = 1, 100, 7 do assert.is_true(#bar.line(event("web1", 1, 2, 3, 4), width) < math.max(width, 1)) end
    assert.matches("  0%%", bar.line(event("web1", 0, 0, 0, nil), 80))
  end)

  it("sums what many hosts do", function()
    local sum = bar.sum({ event("a", 10, 100, 5, 18), event("b", 30, 100, 7, 10) }, { hosts = 2, bytes = 200, total = 200 })
    assert.same({ host = "2 of 4 hosts", bytes = 240, total = 400, rate = 12, eta = 18, ended = false }, sum)
    assert.is_true(bar.sum({}, { hosts = 2, bytes = 1, total = 1 }).ended)
  end)
end)
