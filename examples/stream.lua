#!/usr/bin/env sshlua
-- A process whose streams one talks to while it runs. usage: stream.lua [HOST]
local ssh = require "sshlua"

local h = ssh.host(arg[1] or "web1")
local p = h:spawn [[while read -r line; do echo "you said: $line"; done; echo "no more input" >&2; exit 3]]

for _, word in ipairs { "hello", "good-bye" } do
  p.stdin:write(word .. "\n")
  print(p.stdout:read_line())
end
p.stdin:close_write()

local result = p:wait()
print("stderr:", (result.stderr:gsub("\n", "")))
print("exit status:", result.code)
