--- The keys that a server is shown, one after the other, each in all its forms: certificates, then the key itself.
--- Knows identities and which algorithms are accepted; must not know how a key signs nor what the server says.

local core = require("sshlua.core")
local identities = require("sshlua.identities")
local rsa_size = require("sshlua.lazy")("sshlua.rsa_size")

local M = {}

---@class sshlua.Offer
---@field id sshlua.Identity
---@field blob? string the form to show; nil: all forms, looked at when its turn comes

---@class sshlua.KeyOffers
---@field package line sshlua.Offer[]
---@field package answered sshlua.Offer[] what the server has answered since it last accepted something
local Offers = {}
local offers_mt = { __index = Offers, __name = "sshlua.KeyOffers" }

--- Which signature algorithms a kind of key is for.
local rsa_names = { "rsa-sha2-512", "rsa-sha2-256", "ssh-rsa" }
local CERT = "-cert-v01@openssh.com"

local function is_accepted(opts, key_type)
  if not opts.pubkey_algorithms then return true end
  local names = { key_type }
  if key_type == "ssh-rsa" then names = rsa_names end
  if key_type == "ssh-rsa" .. CERT then names = { rsa_names[1] .. CERT, rsa_names[2] .. CERT, rsa_names[3] .. CERT } end
  for _, name in ipairs(names) do
    for _, accepted in ipairs(opts.pubkey_algorithms) do
      if name == accepted then return true end
    end
  end
  return false
end

--- Puts what of an identity may be shown at the head of the line.
local function unfold(self, id)
  local short = rsa_size.problem(id.blob, self.opts)
  if short then return self.note(id.label, short) end
  local blobs, count, refused = { id.blob }, 0, nil
  for i, certificate in ipairs(id.certificates or {}) do table.insert(blobs, i, certificate) end
  for _, blob in ipairs(blobs) do
    local key_type = core.key_type(blob) or blob:match("^....(.-)%z") or ""
    if is_accepted(self.opts, key_type) then
      count = count + 1
      table.insert(self.line, count, { id = id, blob = blob })
    else
      refused = key_type
    end
  end
  if count == 0 then self.note(id.label, refused .. " is not among PubkeyAcceptedAlgorithms") end
end

--- The next one, which is then out of the line; nil: there is no other.
---@return sshlua.Offer|nil
function Offers:next()
  while self.line[1] do
    local offer = table.remove(self.line, 1)
    if offer.blob then return offer end
    unfold(self, offer.id)
  end
end

--- The server has accepted or refused it.
---@param offer sshlua.Offer
function Offers:settle(offer) self.answered[#self.answered + 1] = offer end

--- The server wants another factor. Any key may be it, as with ssh: first those that it has not seen, the other forms
--- of an accepted one among them, then those that it has.
function Offers:again()
  for _, offer in ipairs(self.answered) do self.line[#self.line + 1] = offer end
  self.answered = {}
end

--- All that the options name; what cannot be used is told to note(label, reason).
---@param opts table
---@param note fun(label: string, why: any)
---@return sshlua.KeyOffers
function M.new(opts, note)
  local line = {}
  for i, id in ipairs(identities.collect(opts, note)) do line[i] = { id = id } end
  return setmetatable({ opts = opts, note = note, line = line, answered = {} }, offers_mt)
end

return M
