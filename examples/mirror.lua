#!/usr/bin/env sshlua
-- Makes a directory of a host like a local one, and says what it did. usage: mirror.lua [HOST [DIRECTORY]]
local ssh = require "sshlua"

local h = ssh.host(arg[1] or "web1")
local from = arg[2] or "lua/sshlua/task/"
local to = "sshlua-mirror" -- in the home of the account

local plan = h:sync(from, to, { delete = true, exclude = { "*.tmp", ".git/" }, dry_run = true })
print("would do: " .. #plan.diff .. " changes")

local r = h:sync(from, to, { delete = true, exclude = { "*.tmp", ".git/" } })
print(r)
h:run({ "touch", to .. "/too-much" })
print("again:", h:sync(from, to, { delete = true, exclude = { "*.tmp", ".git/" } }))
h:run({ "rm", "-r", to })
