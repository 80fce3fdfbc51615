-- Attached to another loop: luv's in lua5.4 and luajit, Neovim's, and one of no loop at all. Each in a process of its own.
local child = require "spec.support.child"
local support = require "spec.support.tasks"

local contains = support.contains

local has_luv = pcall(require, "luv") or select(2, child.lua 'require "luv"') == 0
local luv_it = has_luv and it or function(name) pending(name .. " (no luv here)") end

local head = [[
  local uv = require "luv"
  local ssh = require "sshlua"
  ssh.attach(ssh.driver.luv(uv))
]]

local function expect(code, wanted)
  local output, status = child.lua(head .. code)
  assert.equal(wanted, output)
  assert.equal(0, status)
end

describe("attached to luv", function()
  luv_it("tasks and luv's timers go in the order of their times", function()
    expect([[
      uv.update_time() -- luv reckons from the last look at the clock
      local function say(what) return function() print(what) end end
      local function at(ms, fn) local t = uv.new_timer() t:start(ms, 0, function() t:close() fn() end) end
      at(20, say "luv 20")
      ssh.spawn(function()
        ssh.sleep(0.05) print "task 50"
        ssh.sleep(0.05) print "task 100"
      end)
      at(80, say "luv 80")
      at(120, function()
        print "luv 120"
        ssh.spawn(function() ssh.sleep(0.03) print "task 150, spawned by a callback" end)
      end)
      uv.run()
      print "over"
    ]], "luv 20\ntask 50\nluv 80\ntask 100\nluv 120\ntask 150, spawned by a callback\nover\n")
  end)

  luv_it("the loop ends when our work has ended, and goes on later", function()
    expect([[
      uv.run()
      for i = 1, 3 do
        ssh.spawn(function() ssh.sleep(0.01) print(i) end)
        uv.run()
      end
    ]], "1\n2\n3\n")
  end)

  luv_it("callbacks hand over to tasks", function()
    expect([[
      local q, event = ssh.queue(), ssh.event()
      ssh.spawn(function() for v in q:values() do print(v) end event:wait() print "set" end)
      local n, timer = 0, uv.new_timer()
      timer:start(5, 5, function()
        n = n + 1
        if n <= 3 then return q:put(n) end
        if n == 4 then return q:close() end
        event:set()
        timer:close()
      end)
      uv.run()
    ]], "1\n2\n3\nset\n")
  end)

  luv_it("child processes, threads of the pool and names work", function()
    expect([[
      ssh.spawn(function()
        print(ssh.here:run "echo from a child")
        local core, task = require "sshlua.core", require "sshlua.task"
        print(#task.await(core.resolve, "127.0.0.1", 0))
        print(ssh.timeout(5, function() return 7 end), (pcall(ssh.timeout, 0.01, ssh.sleep, 5)))
      end)
      uv.run()
    ]], "from a child\n1\n7\tfalse\n")
  end)

  luv_it("an error nobody caught is told on stderr and stops nothing", function()
    local output, status = child.lua(head .. [[
      ssh.spawn(function() error("mine", 0) end)
      ssh.spawn(function() error(setmetatable({}, { __tostring = function() error "hostile" end })) end)
      ssh.spawn(function() ssh.sleep(0.01) print "others go on" end)
      uv.run()
    ]])
    contains(output, "sshlua: mine\n")
    contains(output, "sshlua: an error of type table\n")
    contains(output, "others go on\n")
    assert.equal(0, status)
  end)

  luv_it("ssh.run and a second attach are refused", function()
    expect([[
      local function message(f, ...) local _, e = pcall(f, ...) return (e.message:gsub("^.-:%d+: ", "")) end
      print(message(function() ssh.run(print) end))
      print(message(function() ssh.attach(ssh.driver.luv(uv)) end))
      print(message(function() ssh.attach(5) end))
      print(message(function() ssh.driver.luv(5) end))
    ]], "sshlua is attached to another loop: use ssh.spawn\nsshlua is attached to a loop already\n"
      .. "driver table expected, got number\n"
      .. 'luv expected: ssh.driver.luv(require "luv"), in Neovim ssh.driver.luv(vim.loop)\n')
  end)

  luv_it("uv.walk sees luv's own handles only, and does no harm", function()
    expect([[
      ssh.spawn(function() ssh.sleep(0.01) print "woken" end)
      uv.walk(function(handle) assert(type(handle) == "userdata") end)
      uv.run()
    ]], "woken\n")
  end)

  for name, ending in pairs({ ["the end of the script"] = "", ["os.exit(0)"] = "os.exit(0)", ["os.exit(0, true)"] = "os.exit(0, true)" }) do
    luv_it("work that is open at " .. name .. " does no harm", function()
      expect([[
        ssh.spawn(function() ssh.here:run "sleep 5" end)
        ssh.spawn(function() ssh.sleep(100) end)
        ssh.spawn(function() ssh.scope(function(s) s:defer(ssh.sleep, 1) ssh.event():wait() end) end)
        uv.run "nowait"
        uv.run "nowait"
        print "bye"
      ]] .. "io.stdout:flush() " .. ending, "bye\n")
    end)
  end

  luv_it("os.exit inside a task does no harm", function()
    expect([[
      ssh.spawn(function() ssh.sleep(0.01) print "bye" io.stdout:flush() os.exit(0, true) end)
      uv.run()
    ]], "bye\n")
  end)

  luv_it("work by the thousand leaves no handle", function()
    expect([[
      local core = require "sshlua.core"
      for i = 1, 1000 do ssh.spawn(function() ssh.sleep(0.001) ssh.sleep(0) end) end
      uv.run()
      local ours = 0
      uv.walk(function() ours = ours + 1 end)
      print(ours, core.stats().ops, core.stats().handles)
    ]], "3\t0\t0\n")
  end)
end)

describe("attached to a driver of one's own", function()
  it("a loop written by hand runs our tasks", function()
    local output, status = child.lua([[
      local ssh, core = require "sshlua", require "sshlua.core"
      local due, run
      ssh.attach({
        watch = function(fd, step) assert(type(fd) == "number") run = step end,
        timer = function(ms, step)
          due = { at = core.now() + ms / 1000, step = step }
          local mine = due
          return function() if due == mine then due = nil end end
        end,
      })
      local over
      ssh.spawn(function() ssh.sleep(0.02) ssh.scope(function(s) s:spawn(ssh.sleep, 0.01) end) over = true end)
      while not over do
        if due and core.now() >= due.at then due.step() else run() end
      end
      print "over"
    ]])
    assert.equal("over\n", output)
    assert.equal(0, status)
  end)

  it("what is missing in a driver is named, at the caller's line", function()
    local output = child.lua([[
      local ssh = require "sshlua"
      print(select(2, pcall(function() ssh.attach({ watch = print }) end)))
      print(select(2, pcall(function() ssh.run(function() ssh.sleep(0) ssh.attach(ssh.driver.external()) end) end)))
    ]])
    contains(output, ":2: driver: function 'timer' expected, got nil")
    contains(output, ":3: sshlua runs its own loop at the moment: attach first")
  end)
end)

describe("in Neovim", function()
  local nvim = child.is_luajit and child.preload == "" and child.has "nvim"
  local nvim_it = nvim and it or function(name) pending(name .. " (no nvim, or another interpreter's turn)") end

  local function run_in_nvim(code)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(([[package.path = %q .. package.path
      package.cpath = %q .. package.cpath
      local ok, err = xpcall(function() %s end, debug.traceback)
      if not ok then io.stdout:write(tostring(err), "\n") end
      if not _G.keep_open then vim.cmd "qa!" end]]):format(package.path .. ";", package.cpath .. ";", code))
    file:close()
    local output, status = child.sh("nvim --headless -u NONE -n -i NONE -c 'luafile " .. path .. "'")
    os.remove(path)
    return output, status
  end

  nvim_it("ssh.run works, and attached tasks go in order with Neovim's own timers", function()
    local output, status = run_in_nvim([[
      local ssh = require "sshlua"
      local function say(s) io.stdout:write(s, "\n") end
      say(ssh.run(function() ssh.sleep(0.001) return "ran" end))
      ssh.attach(ssh.driver.luv(vim.loop))
      local over
      vim.defer_fn(function() say "nvim 20" end, 20)
      ssh.spawn(function()
        ssh.sleep(0.06)
        say("task 60, fast event: " .. tostring(vim.in_fast_event()))
        local done = ssh.event()
        vim.schedule(function() vim.api.nvim_set_var("x", 1) done:set("scheduled") end)
        say(done:wait())
        over = true
      end)
      vim.defer_fn(function() say "nvim 40" end, 40)
      vim.wait(5000, function() return over end, 10)
      say(tostring(over))
    ]])
    assert.equal("ran\nnvim 20\nnvim 40\ntask 60, fast event: true\nscheduled\ntrue\n", (output:gsub("\r", "")))
    assert.equal(0, status)
  end)

  nvim_it("work that is open does not keep Neovim from leaving", function()
    local output, status = run_in_nvim([[
      local ssh = require "sshlua"
      ssh.attach(ssh.driver.luv(vim.loop))
      ssh.spawn(function() ssh.sleep(100) end)
      ssh.spawn(function() ssh.event():wait() end)
      vim.wait(50)
      io.stdout:write "bye"
    ]])
    assert.equal("bye", output)
    assert.equal(0, status)
  end)
end)
