-- The program's require: Lua 5.4's in every respect, but what it loads may wait.
local run = require "spec.support.run"
local program = require "spec.support.program"
local task = require "sshlua.task"

local body = run.body

local is_ours = debug.getinfo(require, "S").what ~= "C"

local function it_requires(name, fn)
  it(name, body(function()
    if not is_ours then run.skip "this is not the program sshlua" end
    fn()
  end))
end

local names = {}

-- A module made of a function; forgotten when the spec ends.
local function module(name, fn)
  names[#names + 1] = name
  package.loaded[name] = nil
  package.preload[name] = fn
  return name
end

local function message_of(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  return err
end

describe("require", function()
  after_each(function()
    for _, name in ipairs(names) do package.preload[name], package.loaded[name] = nil, nil end
    names = {}
  end)
  teardown(program.remove_directory)

  it_requires("gives a module's value and its loader's data, once; then the value alone", function()
    local calls = 0
    module("spec.m", function(...)
      calls = calls + 1
      return { ... }
    end)
    local r = table.pack(require "spec.m")
    assert.same({ "spec.m", ":preload:" }, r[1])
    assert.equal(":preload:", r[2])
    assert.equal(2, r.n)
    r = table.pack(require "spec.m")
    assert.equal(1, r.n)
    assert.equal(1, calls)
    assert.equal(package.loaded["spec.m"], r[1])
  end)

  it_requires("stores true for a module without a value, and keeps what it stores itself", function()
    assert.is_true(require(module("spec.nothing", function() end)))
    assert.equal("own", require(module("spec.own", function(name) package.loaded[name] = "own" end)))
    assert.is_false(require(module("spec.false", function() return false end)))
    local calls = 0
    module("spec.false2", function()
      calls = calls + 1
      return false
    end)
    require "spec.false2"
    require "spec.false2"
    assert.equal(2, calls) -- false counts as not loaded
  end)

  it_requires("takes a file from package.path, with its path as data", function()
    local path = program.file("spec_file.lua", "return { ... }")
    local saved = package.path
    package.path = program.directory() .. "/?.lua"
    local ok, value, data = pcall(require, "spec_file")
    package.path = saved
    package.loaded.spec_file = nil
    assert.is_true(ok, value)
    assert.same({ "spec_file", path }, value)
    assert.equal(path, data)
  end)

  it_requires("passes on a file that does not parse, with its position", function()
    program.file("spec_bad.lua", "x = = 1")
    local saved = package.path
    package.path = program.directory() .. "/?.lua"
    local err = message_of(require, "spec_bad")
    package.path = saved
    assert.truthy(err:find("error loading module 'spec_bad' from file '", 1, true))
    assert.truthy(err:find("spec_bad.lua:1: unexpected symbol", 1, true))
  end)

  it_requires("names all it tried, and the line that wanted it", function()
    local err = message_of(function() require "spec.no.such" end)
    assert.truthy(err:find "^[^\n]*host_require_spec%.lua:%d+: module 'spec%.no%.such' not found:\n\tno field package%.preload")
    assert.truthy(err:find("\n\tno file '", 1, true))
    err = message_of(function() require "sshlua.no.such" end)
    assert.truthy(err:find("sshlua.no.such", 1, true))
  end)

  it_requires("asks package.searchers as it is now, and wants names", function()
    local saved = package.searchers
    package.searchers = { function(name) return "\n\tnot " .. name end, function() end, function() return 7 end }
    local err = message_of(require, "spec.s")
    package.searchers = 1
    local err2 = message_of(require, "spec.s")
    package.searchers = saved
    assert.truthy(err:find "module 'spec%.s' not found:\n\t\n\tnot spec%.s\n\t7$")
    assert.truthy(err2:find "'package.searchers' must be a table$")
    assert.truthy(message_of(require):find "bad argument #1 to 'require' %(string expected, got no value%)")
    assert.truthy(message_of(require, {}):find "%(string expected, got table%)")
    assert.equal("7", require(module("7", function(name) return name end)))
    assert.equal("7", require(7))
  end)

  it_requires("lets the module wait", function()
    module("spec.waits", function()
      task.sleep(0.005)
      return "waited"
    end)
    assert.equal("waited", require "spec.waits")
  end)

  it_requires("loads a module once that two tasks want at the same time", function()
    local calls, got = 0, {}
    module("spec.both", function()
      calls = calls + 1
      task.sleep(0.01)
      return {}
    end)
    task.each({ 1, 2, 3 }, function(i) got[i] = require "spec.both" end)
    assert.equal(1, calls)
    assert.equal(got[1], got[2])
    assert.equal(got[1], got[3])
  end)

  it_requires("after a failure is as if nothing had been: the next one loads", function()
    local calls, oks = 0, 0
    module("spec.fails", function()
      calls = calls + 1
      task.sleep(0.005)
      if calls == 1 then error "first" end
      return "second"
    end)
    task.each({ 1, 2 }, function()
      local ok, value = pcall(require, "spec.fails")
      if ok then oks = oks + 1 end
      assert.truthy(tostring(value):find(ok and "second" or "first", 1, true))
    end)
    assert.equal(2, calls)
    assert.equal(1, oks)
    assert.equal("second", require "spec.fails")
  end)

  it_requires("lets go of a module whose loading was cancelled, and of those who wait for it", function()
    module("spec.slow", function()
      task.sleep(0.05)
      return "loaded"
    end)
    assert.is_false(pcall(task.timeout, 0.005, require, "spec.slow"))
    task.scope(function(s)
      s:spawn(require, "spec.slow")
      s:spawn(function() assert.is_false(pcall(task.timeout, 0.005, require, "spec.slow")) end)
    end)
    assert.equal("loaded", require "spec.slow")
  end)

  it_requires("names a circle", function()
    module("spec.a", function() require "spec.b" end)
    module("spec.b", function() require "spec.a" end)
    assert.truthy(message_of(require, "spec.a"):find "circular require: spec%.a %-> spec%.b %-> spec%.a$")
    module("spec.self", function() require "spec.self" end)
    assert.truthy(message_of(require, "spec.self"):find "circular require: spec%.self %-> spec%.self$")
    assert.truthy(message_of(require, "spec.b"):find "spec%.b %-> spec%.a %-> spec%.b$") -- nothing is left of the first
  end)

  it_requires("names a circle through two tasks instead of waiting for ever", function()
    module("spec.x", function()
      task.sleep(0.005)
      require "spec.y"
    end)
    module("spec.y", function()
      task.sleep(0.005)
      require "spec.x"
    end)
    local errors = {}
    task.each({ "spec.x", "spec.y" }, function(name)
      local ok, err = pcall(require, name)
      if not ok then errors[#errors + 1] = err end
    end)
    assert.is_true(#errors >= 1)
    assert.truthy(errors[1]:find("circular require", 1, true), errors[1])
  end)

  it_requires("shows a message handler the stack of the failing module", function()
    module("spec.deep", function()
      local function culprit() error "deep" end
      culprit()
    end)
    local _, trace = xpcall(require, debug.traceback, "spec.deep")
    assert.truthy(trace:find("culprit", 1, true))
  end)

  it_requires("has a dofile and a loadfile beside it that can be waited in", function()
    local path = program.file("waits.lua", "local task = require 'sshlua.task' task.sleep(0.005) return 1, 2")
    assert.same({ 1, 2 }, { dofile(path) })
    assert.same({ 1, 2 }, { loadfile(path)() })
  end)
end)
