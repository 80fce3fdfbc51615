--- Passwords that open doors on many hosts: where one comes from, and that it is tried on one host first. While it is,
--- and after it was refused there, no other host gets it: fifty hosts would lock fifty accounts. Knows secrets; must
--- not know what asks for the password.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local secret = require("sshlua.secret")
local sync = require("sshlua.task.sync")
local task = require("sshlua.task.core")

local M = {}

local gates = setmetatable({}, { __mode = "k" }) -- secret -> { accepted=, refused=, trying= event }
local from_text = {}                              -- a password given as a string -> its secret

--- The password as a secret; asked for once per run when none is given.
---@param program string "sudo", "enable", ...
---@param given string|sshlua.Secret|fun(host: string): any|nil
---@param host string
---@return sshlua.Secret
function M.password(program, given, host)
  if type(given) == "function" then given = given(host) end
  if given == nil then
    return secret.get(program, { prompt = ("[%s] password: "):format(program) })
  end
  if core.is_secret(given) then return given end
  if type(given) ~= "string" then
    local message = ("option '%s': the password function gave a %s"):format(program, type(given))
    errors.raise({ kind = "usage", message = message })
  end
  from_text[given] = from_text[given] or core.secret(program, given)
  return from_text[given]
end

local function refused_before(program, host, refusal)
  errors.raise({
    kind = "auth", host = host, op = program, name = "WRONG_PASSWORD", cause = refusal,
    message = ("%s: not tried: the password was wrong on %s"):format(program, refusal.host),
  })
end

--- Calls fn(...), which sends the password, in its turn; what it raises with the name WRONG_PASSWORD shuts the gate for
--- the others.
---@param password sshlua.Secret
---@param program string
---@param host string
function M.try(password, program, host, fn, ...)
  local gate = gates[password]
  if not gate then
    gate = {}
    gates[password] = gate
  end
  while gate.trying do gate.trying:wait() end
  if gate.refused then refused_before(program, host, gate.refused) end
  if not gate.accepted then gate.trying = sync.event() end
  local r = task.pack(pcall(fn, ...))
  if r[1] then
    gate.accepted = true
  elseif errors.is(r[2], "auth") and r[2].name == "WRONG_PASSWORD" and not gate.accepted then
    gate.refused = r[2]
  end
  local trying = gate.trying
  gate.trying = nil
  if trying then trying:set() end
  if not r[1] then error(r[2], 0) end
  return (table.unpack or unpack)(r, 2, r.n) -- luacheck: ignore 143
end

return M
