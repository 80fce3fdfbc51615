--- RequiredRSASize: RSA keys that are too short do not count, whoever shows them.

local core = require("sshlua.core")
local errors = require("sshlua.errors")

local M = {}

local SMALLEST = 1024

--- The bytes of a string of RFC 4251 at `at`, and where the next field begins.
local function field(blob, at)
  local a, b, c, d = blob:byte(at, at + 3)
  if not d then return nil end
  local length = ((a * 256 + b) * 256 + c) * 256 + d
  if at + 3 + length > #blob then return nil end
  return blob:sub(at + 4, at + 3 + length), at + 4 + length
end

--- The bits of an RSA key's modulus, 0 when it has none; nil for keys of other types.
---@param blob string
---@return integer|nil
function M.bits(blob)
  local kind, at = field(blob, 1)
  if kind ~= "ssh-rsa" then return nil end
  local _, modulus
  _, at = field(blob, at)
  if at then modulus = field(blob, at) end
  if not modulus then return 0 end
  modulus = modulus:gsub("^%z+", "")
  local bits, first = #modulus * 8, modulus:byte() or 0
  while first > 0 and first < 128 do
    bits, first = bits - 1, first * 2
  end
  return bits
end

--- Why a key is too short by these options, or nil.
---@return string|nil
function M.problem(blob, opts)
  local bits, least = M.bits(blob), math.max(opts.required_rsa_size or SMALLEST, SMALLEST)
  if not bits or bits >= least then return nil end
  return ("an RSA key of %d bits, %d are required (RequiredRSASize)"):format(bits, least)
end

--- Raises when the server's key is too short.
function M.check_host_key(target, blob)
  local problem = type(blob) == "string" and M.problem(blob, target.opts)
  if not problem then return end
  errors.raise({
    kind = "hostkey", host = target.name, phase = "hostkey", message = "the server shows " .. problem,
    hint = "the server needs a longer or another key: " .. core.fingerprint(blob),
  })
end

return M
