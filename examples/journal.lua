#!/usr/bin/env sshlua
-- A long job that can be killed at any moment: each step of each host is written down before it begins. The second
-- pass does nothing again that was done. On the command line: sshlua --journal FILE x.lua, sshlua --resume FILE x.lua
local ssh = require "sshlua"

local file = os.tmpname()
os.remove(file)

local function migrate(fails)
  return ssh.hosts "web[1-3]":each(function(h)
    h:run "echo dump >> steps"
    h:run("echo convert >> steps; " .. (h.name == fails and "false" or "true"))
    h:run "echo load >> steps"
    return h:read("cat steps", { safe = true })
  end, { check = false })
end

-- In one program here, in two as a rule: the first pass fails on a host.
ssh.journal(file)
print("first pass:  ", migrate "web2")

ssh.journal_end()
ssh.journal(file, { resume = true })
local results = migrate(nil)
print("second pass: ", results)
for _, r in ipairs(results) do print(r.host, (r.value:gsub("\n", " "))) end

assert(results.web1.value == "dump\nconvert\nload")
assert(results.web2.value == "dump\nconvert\nconvert\nload") -- the step that had failed ran again, and only that
os.remove(file)
