--- What took how long, for reports and traces: spans { host, name, at, seconds, ok, note }, in seconds since the
--- beginning. Made from events of ssh.log as they come, or afterwards from the timing that Results have.

local core = require("sshlua.core")
local log = require("sshlua.log")

local M = {}

local SPANS_MAX = 200000 -- of a very long run the rest is only counted

---@class sshlua.Span
---@field host string
---@field name string "resolve", "connect", "handshake", "auth", "exec", ...
---@field at number seconds since the beginning
---@field seconds number
---@field ok boolean
---@field note? string

---@class sshlua.SpanRecorder
---@field spans sshlua.Span[]
---@field lost integer how many there was no room for
local Recorder = {}
Recorder.__index = Recorder

--- Takes one event: those that say how long something took are spans, the others moments.
---@param event table with at, host, what or verb, and seconds
---@param at number seconds since the beginning
function Recorder:add(event, at)
  if not event.host then return end
  if #self.spans >= SPANS_MAX then
    self.lost = self.lost + 1
    return
  end
  local seconds = math.max(tonumber(event.seconds) or 0, 0)
  local ok = event.ok ~= false and (event.code == nil or event.code == 0) and not event.signal and not event.error
  local note = event.error or event.signal and "signal " .. tostring(event.signal) or event.code and event.code ~= 0
    and "exit status " .. tostring(event.code) or nil
  self.spans[#self.spans + 1] = {
    host = event.host, name = event.verb or event.what, at = math.max(at - seconds, 0), seconds = seconds, ok = ok,
    note = note,
  }
end

--- Ends the recording.
function Recorder:stop()
  if self.ended then self.ended() end
  self.ended = nil
end

--- Records from now on what ssh.log tells.
---@return sshlua.SpanRecorder
function M.record()
  local self, began = setmetatable({ spans = {}, lost = 0 }, Recorder), core.now()
  self.ended = log.listen(function(event) self:add(event, core.now() - began) end)
  return self
end

--- In the order in which they happen.
local phases = { "queue", "dns", "tcp", "kex", "auth", "connect", "exec", "transfer" }
local parts = { dns = true, tcp = true, kex = true, auth = true }

--- Spans of Results, one behind the other on each host: queue is how long it waited for its turn. `connect` as a whole
--- counts only when its parts are not known.
---@param results sshlua.Result[]
---@return sshlua.Span[]
function M.of_results(results)
  local spans = {}
  for i, r in ipairs(results) do
    local timing, at, whole = r.timing or {}, 0, true
    for name in pairs(parts) do whole = whole and timing[name] == nil end
    local host, first = r.host or tostring(i), #spans
    for _, name in ipairs(phases) do
      local seconds = tonumber(timing[name])
      if seconds and seconds >= 0 and (name ~= "connect" or whole) then
        spans[#spans + 1] = { host = host, name = name, at = at, seconds = seconds, ok = true }
        at = at + seconds
      end
    end
    if #spans == first and r.duration then
      spans[#spans + 1] = { host = host, name = r.op or "exec", at = 0, seconds = r.duration, ok = true }
    end
    if #spans > first then
      spans[#spans].ok = r.ok or r.skipped or false
      spans[#spans].note = r.problem and r:problem() or nil
    end
  end
  return spans
end

return M
