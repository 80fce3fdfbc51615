--- What recording and playing have in common below the verbs: how a request on a channel is named, and what of a
--- session cannot be on a cassette.

local core = require("sshlua.core")
local entry = require("sshlua.journal_entry")

local M = {}

--- The first words of a verb that sends a command; those of others are their request's.
local has_command = { spawn = true, tail = true }

---@class sshlua.CassetteUse who asked for a connection
---@field host table a Host, or what stands for one: name, target, defaults
---@field verb string
---@field args table packed

local function pty_text(pty) return pty and ("%dx%d"):format(pty.cols, pty.rows) or nil end

local function described(text)
  if not text or #text <= 120 then return text end
  local hasher = core.hasher("sha256")
  hasher:update(text)
  return ("%d bytes, sha256 %s"):format(#text, hasher:digest())
end

--- The line that says that something begins on a channel.
---@param use sshlua.CassetteUse
---@param number integer
---@param request { op: string, text?: string, pty?: table, env?: table }
---@param words table cassette_talk.words
---@return table
function M.line(use, number, request, words)
  local text, h = request.text, use.host
  if text then words.learn(text) end
  local folded = text and words.fold(text) or nil
  local op = use.verb == "session" and "session:" .. request.op or use.verb
  local shown = has_command[use.verb] and use.args or { n = 1, folded }
  local what = { n = 4, request.op, folded or false, { pty = pty_text(request.pty) }, { env = request.env } }
  local line = entry.start({ name = h.name, target = h.target, defaults = {} }, number, op, shown)
  line.digest = entry.digest(op, what)
  line.with = entry.with({ n = 1, { pty = pty_text(request.pty), env = request.env, command = described(folded) } })
  return entry.map(line, words.fold)
end

--- Refuses what of a session would slip past the cassette.
---@param s sshlua.Session
---@param refuse fun(verb: string) raises
function M.fence(s, refuse)
  rawset(s, "sftp", function() refuse("session:sftp") end)
  rawset(s, "refuse", refuse)
  return s
end

--- Makes verbs refuse themselves by name: what a cassette cannot hold.
---@param methods table
---@param prefix string
---@param verbs string[]
function M.refuse_verbs(methods, prefix, verbs)
  for _, verb in ipairs(verbs) do
    methods[verb] = function(self) self.refuse(prefix .. verb) end
  end
end

--- What the core's sessions and channels can do besides, of use to clients and to the library itself.
M.session_verbs = { "server_version", "traffic", "keepalive", "host_key", "algorithms", "offered" }
M.channel_verbs = { "pass_in", "pass_out", "notice", "window" }

return M
