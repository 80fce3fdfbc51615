#!/usr/bin/env sshlua
-- One file and one configuration made for each host, to many hosts at once; what differs already is said first.
-- usage: one_to_many.lua [HOSTS [FILE]]
local ssh = require "sshlua"

local fleet = ssh.hosts(arg[1] or "web[1-3]")
local file = arg[2] or arg[0]
local dir = "sshlua-release" -- in the home of the account

-- Every host goes at its own speed; one that fails stops no other.
local results = fleet:put(file, dir .. "/release.lua",
  { parents = true, verify = "sha256", timeout = 60, check = false })
print(results)

local template = os.tmpname()
local f = assert(io.open(template, "w"))
f:write("host = <%= host.name %>\n<% for i, n in ipairs(workers) do -%>\nworker<%= i %> = <%= n %>\n<% end -%>\n")
f:close()
local vars = { workers = { "resize", "mail" } }
for _, r in ipairs(fleet:template(template, dir .. "/app.conf", vars)) do io.write(r.diff) end
print("again, changed:", fleet:template(template, dir .. "/app.conf", vars)[1].changed)
os.remove(template)

print(fleet:read_file(dir .. "/app.conf"):group())
fleet:run({ "rm", "-r", dir })
