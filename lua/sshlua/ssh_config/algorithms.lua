--- Names of algorithms: which ones OpenSSH knows (a name it does not know is an error in its configuration), which it
--- offers by itself, how "+", "-" and "^" make a list of them, and which of them we can do. Pure.

local pattern = require("sshlua.ssh_config.pattern")

local M = {}

local function names(text)
  local list = {}
  for name in text:gmatch("[^%s,]+") do list[#list + 1] = name end
  return list
end

local function set(list)
  local s = {}
  for _, name in ipairs(list) do s[name] = true end
  return s
end

local certificates = [[ssh-ed25519-cert-v01@openssh.com ecdsa-sha2-nistp256-cert-v01@openssh.com
  ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521-cert-v01@openssh.com
  sk-ssh-ed25519-cert-v01@openssh.com sk-ecdsa-sha2-nistp256-cert-v01@openssh.com
  rsa-sha2-512-cert-v01@openssh.com rsa-sha2-256-cert-v01@openssh.com]]
local signatures = [[ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521
  sk-ssh-ed25519@openssh.com sk-ecdsa-sha2-nistp256@openssh.com rsa-sha2-512 rsa-sha2-256]]
local macs = [[umac-64-etm@openssh.com umac-128-etm@openssh.com hmac-sha2-256-etm@openssh.com
  hmac-sha2-512-etm@openssh.com hmac-sha1-etm@openssh.com umac-64@openssh.com umac-128@openssh.com hmac-sha2-256
  hmac-sha2-512 hmac-sha1]]
local gss = "gss-group14-sha256- gss-group16-sha512- gss-nistp256-sha256- gss-curve25519-sha256- "
  .. "gss-group14-sha1- gss-gex-sha1-"

--- By the kind of a keyword's list: all names in OpenSSH's order, its default; `ours` is what this client can do.
M.kinds = {
  cipher = {
    all = names [[3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr aes128-gcm@openssh.com
      aes256-gcm@openssh.com chacha20-poly1305@openssh.com]],
    default = names [[chacha20-poly1305@openssh.com aes128-ctr aes192-ctr aes256-ctr aes128-gcm@openssh.com
      aes256-gcm@openssh.com]],
    ours = names [[3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr aes128-gcm@openssh.com
      aes256-gcm@openssh.com chacha20-poly1305@openssh.com]],
  },
  mac = {
    all = names [[hmac-sha1 hmac-sha1-96 hmac-sha2-256 hmac-sha2-512 hmac-md5 hmac-md5-96 umac-64@openssh.com
      umac-128@openssh.com hmac-sha1-etm@openssh.com hmac-sha1-96-etm@openssh.com hmac-sha2-256-etm@openssh.com
      hmac-sha2-512-etm@openssh.com hmac-md5-etm@openssh.com hmac-md5-96-etm@openssh.com umac-64-etm@openssh.com
      umac-128-etm@openssh.com]],
    default = names(macs),
    ours = names [[hmac-sha1 hmac-sha1-96 hmac-sha2-256 hmac-sha2-512 hmac-md5 hmac-md5-96 hmac-sha1-etm@openssh.com
      hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com]],
  },
  kex = {
    all = names [[diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group14-sha256
      diffie-hellman-group16-sha512 diffie-hellman-group18-sha512 diffie-hellman-group-exchange-sha1
      diffie-hellman-group-exchange-sha256 ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521
      curve25519-sha256 curve25519-sha256@libssh.org sntrup761x25519-sha512 sntrup761x25519-sha512@openssh.com
      mlkem768x25519-sha256]],
    default = names [[sntrup761x25519-sha512 sntrup761x25519-sha512@openssh.com curve25519-sha256
      curve25519-sha256@libssh.org ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521
      diffie-hellman-group-exchange-sha256 diffie-hellman-group16-sha512 diffie-hellman-group18-sha512
      diffie-hellman-group14-sha256]],
    ours = names [[diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group14-sha256
      diffie-hellman-group16-sha512 diffie-hellman-group18-sha512 diffie-hellman-group-exchange-sha1
      diffie-hellman-group-exchange-sha256 ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521
      curve25519-sha256 curve25519-sha256@libssh.org]],
  },
  key = {
    all = names [[ssh-ed25519 ssh-ed25519-cert-v01@openssh.com sk-ssh-ed25519@openssh.com
      sk-ssh-ed25519-cert-v01@openssh.com ecdsa-sha2-nistp256 ecdsa-sha2-nistp256-cert-v01@openssh.com
      ecdsa-sha2-nistp384 ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521
      ecdsa-sha2-nistp521-cert-v01@openssh.com sk-ecdsa-sha2-nistp256@openssh.com
      sk-ecdsa-sha2-nistp256-cert-v01@openssh.com webauthn-sk-ecdsa-sha2-nistp256@openssh.com ssh-dss
      ssh-dss-cert-v01@openssh.com ssh-rsa ssh-rsa-cert-v01@openssh.com rsa-sha2-256
      rsa-sha2-256-cert-v01@openssh.com rsa-sha2-512 rsa-sha2-512-cert-v01@openssh.com]],
    default = names(certificates .. " " .. signatures),
    ours = names [[ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 rsa-sha2-512 rsa-sha2-256
      ssh-rsa]],
    wildcards = true,
    short = set { "ed25519", "ed25519-sk", "ecdsa", "ecdsa-sk", "dsa", "rsa" }, -- key types by their other name
  },
  signature = {
    all = names [[ssh-ed25519 sk-ssh-ed25519@openssh.com ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521
      sk-ecdsa-sha2-nistp256@openssh.com webauthn-sk-ecdsa-sha2-nistp256@openssh.com ssh-dss ssh-rsa rsa-sha2-256
      rsa-sha2-512]],
    default = names(signatures),
  },
  gss = { all = names(gss), default = names(gss), plain = true },
}
M.kinds.signature.wildcards, M.kinds.signature.short = true, M.kinds.key.short
M.kinds.signature.valid = M.kinds.key.all

for _, kind in pairs(M.kinds) do
  kind.known = set(kind.valid or kind.all)
  kind.can = set(kind.ours or {})
end

local function known(kind, name)
  if kind.known[name] or (kind.short and kind.short[name:lower()]) then return true end
  if not kind.wildcards then return false end
  for _, other in ipairs(kind.valid or kind.all) do
    if pattern.list(other, name) then return true end
  end
  return false
end

--- May a keyword have this list?
---@param kind_name string
---@param text string
---@return boolean
function M.valid(kind_name, text)
  if not M.kinds[kind_name].plain then
    if text:sub(1, 1) == "-" then return true end
    if text:find("^[+^]") then text = text:sub(2) end
  end
  if text == "" then return false end
  for name in (text .. ","):gmatch("([^,]*),") do
    if name == "" then return true end -- what follows an empty name is not looked at
    if not known(M.kinds[kind_name], name) then return false end
  end
  return true
end

local function filter(list, patterns, keep)
  local out = {}
  for _, name in ipairs(list) do
    if (pattern.list(name, patterns) == "yes") == keep then out[#out + 1] = name end
  end
  return out
end

--- The list that a keyword's text makes of the default, every name once; nil and a message when it cannot be.
---@param text string|nil
---@param default string[]
---@param all string[] what patterns are matched against
---@return string[]|nil list, string|nil message
function M.assemble(text, default, all)
  if not text or text == "" then return default end
  local how, rest = text:match("^([-+^]?)(.*)$")
  if how == "-" then return filter(default, rest, false) end
  local wanted = text
  if how == "+" then wanted = table.concat(default, ",") .. "," .. rest end
  if how == "^" then wanted = rest .. "," .. table.concat(default, ",") end
  local out, seen = {}, {}
  for one in (wanted .. ","):gmatch("([^,]*),") do
    if one:sub(1, 1) == "!" then return nil, "a negated name is not supported here" end
    for _, name in ipairs(filter(all, one, true)) do
      if not seen[name] then
        seen[name] = true
        out[#out + 1] = name
      end
    end
  end
  if not out[1] then return nil, "no name is left of the list" end
  return out
end

--- As OpenSSH would resolve it.
function M.openssh(kind_name, text)
  local kind = M.kinds[kind_name]
  return M.assemble(text, kind.default, kind.all)
end

--- As we offer it: against our own default, only what we can do. An empty list: nothing usable is left.
---@param kind_name string
---@param text string
---@param default string[]
---@return string[]
function M.offered(kind_name, text, default)
  local kind = M.kinds[kind_name]
  local out = {}
  for _, name in ipairs(M.assemble(text, default, kind.all) or {}) do
    if kind.can[name] then out[#out + 1] = name end
  end
  return out
end

return M
