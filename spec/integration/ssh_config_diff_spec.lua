-- Generated configurations through the real `ssh -G` and ours, line by line of what they print; of configurations that
-- are wrong, the lines that are named.
local core = require "sshlua.core"
local errors = require "sshlua.errors"
local gen = require "spec.support.ssh_config_gen"
local openssh = require "spec.support.openssh"
local printer = require "sshlua.ssh_config.printer"
local resolver = require "sshlua.ssh_config.resolver"
local run = require "spec.support.run"
local task = require "sshlua.task"

local ssh = openssh.ssh

-- Which lists of algorithms a configuration sets: the others are another version's business.
local lists = { "ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms",
  "hostbasedacceptedalgorithms", "casignaturealgorithms", "gssapikexalgorithms" }

local function lines_of(text, set)
  local out = {}
  for line in text:gmatch "[^\n]+" do
    local word = line:match "^%S+"
    local skip = false
    for _, name in ipairs(lists) do skip = skip or (word == name and not set[name]) end
    if not skip then out[#out + 1] = line end
  end
  return out
end

-- "file line 3: ...", "file: line 3: ..." -> "file:3"
local function named_by_ssh(err)
  local seen = {}
  for line in err:gmatch "[^\r\n]+" do
    local file, number = line:match "^(%S-):? line (%d+):"
    if file and not line:find("Unsupported option", 1, true) then seen[#seen + 1] = (file == "command-line" and "" or file) .. ":" .. number end
  end
  table.sort(seen)
  return seen
end

local function named_by_us(err)
  local seen = {}
  for _, p in ipairs(err.problems or {}) do
    seen[#seen + 1] = (p.line == 0 and "" or p.file) .. ":" .. p.line
  end
  table.sort(seen)
  return seen
end

local function unique(list)
  local out = {}
  for i, v in ipairs(list) do
    if v ~= list[i - 1] then out[#out + 1] = v end
  end
  return table.concat(out, " ")
end

local function difference(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return ("ours: %s\n  ssh: %s"):format(tostring(a[i]), tostring(b[i])) end
  end
end

-- What the two disagree about, or nil; true when the configuration is wrong for both.
local function compare(case, path)
  local args = { "-F", path, "-G" }
  for _, o in ipairs(case.options or {}) do
    args[#args + 1], args[#args + 2] = "-o", o
  end
  if case.user then args[#args + 1], args[#args + 2] = "-l", case.user end
  if case.port then args[#args + 1], args[#args + 2] = "-p", tostring(case.port) end
  args[#args + 1] = case.host
  local code, out, err = ssh(args)
  local ok, config = pcall(resolver.resolve, case.host, {
    file = path, options = case.options, strict_command = true, steps = {
      function(state)
        if case.user and not state.values.user then state.values.user = case.user end
        if case.port and not state.values.port then state.values.port = case.port end
      end,
    },
  })
  if not ok and not errors.is(config) then return "an error of Lua: " .. tostring(config) end
  -- ssh says so, and goes on with a list of nothing; here that is an error.
  if not ok and err:find "fill_default_options: " and config.message:find "no name is left" then return nil, true end
  if ok ~= (code == 0) then
    return ("ours: %s\n  ssh: %s %s"):format(ok and "good" or tostring(config), code == 0 and "good" or "bad", err)
  end
  if not ok then
    if not errors.is(config, "config") and not errors.is(config, "resolve") then return "kind " .. config.kind end
    local theirs, ours = unique(named_by_ssh(err)), unique(named_by_us(config))
    local same = ours == theirs
    if err:find "percent_expand: failed" then -- ssh does not name that line
      same = true
      for one in theirs:gmatch "%S+" do same = same and (" " .. ours .. " "):find(" " .. one .. " ", 1, true) end
    end
    if theirs ~= "" and not same then return ("ours: %s (%s)\n  ssh: %s"):format(ours, tostring(config), err) end
    return nil, true
  end
  return difference(lines_of(table.concat(printer.lines(config), "\n"), config.written), lines_of(out, config.written))
end

describe("sshlua -G and ssh -G", function()
  local directory

  setup(function() directory = assert(core.fs_mkdtemp_sync((os.getenv "TMPDIR" or "/tmp") .. "/sshlua-config.XXXXXX")) end)
  teardown(function() core.fs_rmtree_sync(directory) end)

  local function one(seed, failures, count)
    local case = gen.config(seed, directory)
    local path = ("%s/config%d"):format(directory, seed)
    assert(core.fs_write_sync(path, case.text, 384))
    for _, name in ipairs(case.includes) do
      assert(core.fs_write_sync(directory .. "/" .. name, case.includes[name], 384))
    end
    local difference_text, wrong = compare(case, path)
    count.all = count.all + 1
    if wrong then count.wrong = count.wrong + 1 end
    if difference_text then
      failures[#failures + 1] = ("seed %d, host %s, %s %s %s: %s\n%s\n"):format(seed, case.host, (case.options or {})[1] or "",
        tostring(case.user), tostring(case.port), difference_text, case.text)
    else
      os.remove(path)
      for _, name in ipairs(case.includes) do os.remove(directory .. "/" .. name) end
    end
  end

  local function check(first, last)
    local failures, count, seeds = {}, { all = 0, wrong = 0 }, {}
    for seed = first, last do seeds[#seeds + 1] = seed end
    task.each(seeds, function(seed) one(seed, failures, count) end, { parallel = 4 })
    assert.equal("", table.concat(failures, "\n", 1, math.min(#failures, 5)))
    assert.equal(last - first + 1, count.all)
    assert(count.wrong < count.all / 2, "too many configurations are wrong: " .. count.wrong)
  end

  local first = tonumber(os.getenv "SSHLUA_SEED" or "1")

  it("agree about 1200 generated configurations", run.body(function() check(first, first + 1199) end, 240))

  it("agree about 20000 more #long", run.body(function() check(first + 100000, first + 119999) end, 3000))
end)
