--- `sshlua explain HOST`: every effective setting, where it was set, and what this client does with it.

local config_command = require("sshlua.cli.config")
local core = require("sshlua.core")
local keywords = require("sshlua.ssh_config.keywords")
local printer = require("sshlua.ssh_config.printer")

local M = { summary = "print a host's settings, where each comes from, and what becomes of it" }

M.help = [[
usage: sshlua explain [ssh's options] [user@]host

Prints what ~/.ssh/config and /etc/ssh/ssh_config make of a host: each setting, the file and line it comes from, and
whether sshlua applies it, ignores it (and why), or refuses to connect because of it. Defaults follow.
]]

--- What becomes of a setting, in words.
local function fate(def, value)
  if def.status == "applied" then return "applied" .. (def.why and " (" .. def.why .. ")" or "") end
  if def.status == "unsupported" then
    local refused = value ~= nil and def.refuse and def.refuse(value, os.getenv("SSH_AUTH_SOCK") ~= nil)
    return refused and "unsupported: " .. def.why or "applied (off)"
  end
  return (def.status == "later" and "ignored for now: " or "ignored: ") .. def.why
end

local function lines_of(config)
  local set, defaults = {}, {}
  for _, def in ipairs(keywords.list) do
    local value = config.values[def.name]
    for _, entry in ipairs(printer.entries(config, def)) do
      local line = { core.clean(def.title .. " " .. entry.text), entry.origin or "default", fate(def, value) }
      table.insert(entry.origin and set or defaults, line)
    end
  end
  return set, defaults
end

local function write(lines)
  for _, line in ipairs(lines) do
    io.stdout:write(line[1], "\n    ", core.clean(line[2]), ": ", line[3], "\n")
  end
end

local function offered(config)
  local apply = require("sshlua.ssh_config.apply")
  for _, line in ipairs(apply.offers(config)) do io.stdout:write(line, "\n") end
end

---@param args string[]
function M.run(args)
  local config = config_command.resolve(args, M.help)
  if not config then return 0 end
  local set, defaults = lines_of(config)
  io.stdout:write(("%s is %s@%s, port %d\n\n"):format(core.clean(config.host), core.clean(config.values.user),
    core.clean(config.values.hostname), config.values.port))
  write(set)
  io.stdout:write("\nsshlua offers, best first:\n")
  offered(config)
  io.stdout:write("\ndefaults:\n")
  write(defaults)
  return 0
end

return M
