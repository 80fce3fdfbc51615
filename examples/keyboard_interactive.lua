#!/usr/bin/env sshlua
-- A server that asks questions at login (one-time codes, second factors): a function answers, and may wait.
-- usage: keyboard_interactive.lua [HOST]
local ssh = require "sshlua"

local h = ssh.host(arg[1] or "web1", {
  methods = { "keyboard-interactive", "publickey" }, -- tried in this order
  keyboard_interactive = function(info)
    local answers = {}
    for i, prompt in ipairs(info) do
      io.write(prompt.text, prompt.echo and "" or "(hidden) ", "\n")
      answers[i] = prompt.text:find "[Cc]ode" and ssh.here:read "echo 123456" or os.getenv "EXAMPLE_PASSWORD" or ""
    end
    return answers
  end,
})

print(h:read "echo logged in as $(id -un)")
