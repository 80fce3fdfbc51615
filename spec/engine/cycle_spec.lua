-- Connecting, running a command and closing, again and again, leaves nothing behind.

local engine = require("spec.support.engine")
local task = require("sshlua.task")

local BLOCK = 100 -- cycles
local SANITIZED = os.getenv("ASAN_OPTIONS") ~= nil -- its quarantine grows

local function cycle(fleet, number)
  local session = engine.connect(fleet)
  local out, err, code = engine.exec(session, ("echo %d; echo e >&2; exit 3"):format(number))
  assert(out == number .. "\n" and err == "e\n" and code == 3)
  if number % 3 == 0 then
    session:close() -- without a word
  elseif number % 3 == 1 then
    engine.leave(session)
  end -- otherwise the collector does it
end

local function cycles(fleet, from, to)
  local numbers = {}
  for i = from, to do numbers[#numbers + 1] = i end
  task.each(numbers, function(i) cycle(fleet, i) end, { parallel = 4 })
end

describe("300 cycles of connect, exec and close", function()
  local fleet, up, down = engine.fleet({ sshd_config = { "LogLevel ERROR" } })
  setup(up)
  teardown(down)

  it("leave no handle, no operation, no descriptor and no memory", function()
    engine.within(120, function()
      cycles(fleet(), 1, BLOCK) -- warm up
      engine.settle()
      local before, least = engine.resources(), math.huge
      for block = 1, 3 do
        local rss = engine.rss()
        cycles(fleet(), block * BLOCK + 1, (block + 1) * BLOCK)
        engine.settle()
        least = math.min(least, engine.rss() - rss)
      end
      engine.no_growth(before, "cycles")
      -- A heap finds its size in steps; what is lost in each cycle is lost in each block. A packet buffer would be 3 MiB.
      if not SANITIZED then assert(least < 200, ("memory grew by %d KiB in each block"):format(least)) end
    end)
  end)

  it("leave nothing when connections run at the same time as others end", function()
    engine.within(120, function()
      engine.settle()
      local before = engine.resources()
      task.all(
        function() cycles(fleet(), 1, 40) end,
        function()
          for _ = 1, 20 do
            local session = engine.connect(fleet())
            local ch = engine.start(session, "cat")
            ch:read(0, function() end)
            ch:write(("x"):rep(100000), function() end)
            task.sleep(0)
            session:close()
          end
        end
      )
      engine.no_growth(before, "cycles")
    end)
  end)
end)
