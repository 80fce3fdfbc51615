#!/usr/bin/env sshlua
-- A web server set up so that a second run changes nothing. First a dry run that shows what would change, then the run,
-- then another one. usage: state.lua [HOSTS]
local ssh = require "sshlua"

local web = ssh.hosts(arg[1] or "web[1-3]")
local page = "<h1>It works</h1>\n"

-- On real hosts it would begin so:
--   h:package({ "nginx" }, "present", { update_cache = true })
--   h:account("shop", "present", { system = true, home = "/srv/shop" })
-- and end so:
--   if conf.changed then h:service("nginx", "reloaded") end
local function setup(h)
  local changed = 0
  local function count(r)
    if r.changed then changed = changed + 1 end
    return r
  end
  local home = h:read("pwd") .. "/shop"
  count(h:dir(home .. "/releases/r1", { mode = "755" }))
  count(h:file(home .. "/releases/r1/index.html", { content = page }))
  count(h:link(home .. "/current", "releases/r1"))
  local conf = count(h:file(home .. "/shop.conf", {
    content = ("server { listen 80; server_name %s; root %s/current; }\n"):format(h.name, home), mode = "640",
  }))
  count(h:line(home .. "/limits.conf", "nofile = 65536", { match = "^#?nofile", create = true }))
  if h.name == web[1].name and conf.changed then io.write(conf.diff) end
  return changed
end

for _, run in ipairs({ { "would change", true }, { "changed", false }, { "changed again", false } }) do
  for _, r in ipairs(web:with({ dry_run = run[2] }):each(setup)) do
    print(("%s: %d things %s"):format(r.host, r.value, run[1]))
  end
end
local facts = web[1]:facts().facts
print(("%s runs %s on %d processors"):format(web[1].name, facts.os_name or facts.system, facts.cpus or 1))
for _, h in ipairs(web) do h:dir(h:read("pwd") .. "/shop", { state = "absent", recursive = true }) end
