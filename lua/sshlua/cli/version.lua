--- The text of --version: what this build is made of, and what it can and cannot do.

local core = require("sshlua.core")

local M = {}

local function on(flag) return flag and "on" or "off" end

---@param program table
function M.text(program)
  local about = core.about()
  local rows = {
    { "Lua", (program.lua:gsub("^Lua ", "")) },
    { "libssh2", ("%s, source: %s"):format(about.libssh2, about.libssh2_source) },
    { "libuv", about.libuv },
    { "OpenSSL", (about.openssl:gsub("^OpenSSL ", "")) },
    { "ciphers", about.ciphers },
    { "packet hook", on(about.packet_hook) },
    { "fibres", on(about.fibres) },
    { "JSON", on(about.json) },
    { "YAML", about.yaml and "on (libyaml " .. about.yaml .. ")" or "off" },
    { "line editing", on(program.edit) },
    { "luv", on(program.luv) },
  }
  local lines = { "sshlua " .. about.version }
  for _, row in ipairs(rows) do lines[#lines + 1] = ("  %-14s%s"):format(row[1], row[2]) end
  return table.concat(lines, "\n") .. "\n"
end

return M
