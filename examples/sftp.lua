#!/usr/bin/env sshlua
-- Files of a host over SFTP: whole files, streams, directories, many at once. usage: sftp.lua [HOST]
local ssh = require "sshlua"

local h = ssh.host(arg[1] or "web1")
local sftp = h:session():sftp()
local top = "sshlua-example" -- in the home of the account; must be new

sftp:mkdir(top)
ssh.scope(function(s)
  s:defer(function() sftp:remove(top, { recursive = true }) end)

  sftp:mkdir(top .. "/logs/old", { parents = true })
  sftp:write_file(top .. "/settings.json", '{ "port": 8080 }\n', { mode = 384 }) -- whole or not at all
  sftp:symlink("settings.json", top .. "/current")
  print("settings:", (sftp:read_file(top .. "/current"):gsub("\n", "")))

  -- All of these are under way at once, on one channel.
  ssh.each({ "a", "b", "c" }, function(name)
    local file = sftp:open(("%s/logs/%s.log"):format(top, name), "w")
    for i = 1, 3 do file:write(("%s, line %d\n"):format(name, i)) end
    file:close()
  end)

  local file = sftp:open(top .. "/logs/b.log")
  for line in file:lines() do print("b.log:", line) end
  file:close()

  print("glob:", table.concat(sftp:glob(top .. "/logs/*.log"), " "))
  for path, entry in sftp:walk(top) do print(entry.type, path) end

  local found, err = ssh.try(sftp.stat, sftp, top .. "/none")
  print(found, err.kind, err.name)
end)
print("left behind:", sftp:exists(top) ~= nil)
