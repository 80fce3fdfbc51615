--- What was said on a channel: a list of what we sent and what came back, in order; as JSON, and back. Pure.
---
---   {"out":"$ "}, {"sent":"ls\n"}, {"out":"..."}, {"secret":"sudo"}, {"eof":true}, {"end":true}, {"exit":{"code":0}}

local bytes = require("sshlua.bytes")
local core = require("sshlua.core")
local json = require("sshlua.json")

local M = {}

M.MAX = 8 * 1024 * 1024 -- bytes of one channel, both ways
local NOTABLE = 0.01 -- seconds: a shorter wait is none

--- Listening ----------------------------------------------------------------------------------------------------------

---@class sshlua.Talk
---@field size integer bytes
local Talk = {}
Talk.__index = Talk

---@return sshlua.Talk
function M.new() return setmetatable({ list = {}, size = 0 }, Talk) end

--- Anything but bytes: { eof = true }, { signal = "TERM" }, ...
function Talk:note(entry) self.list[#self.list + 1] = entry end

local function add(self, entry, text)
  self.size = self.size + #text
  if self.size <= M.MAX then entry.parts[#entry.parts + 1] = text end -- more is not kept: the recording has failed
end

---@param text string|sshlua.Secret
function Talk:sent(text)
  if core.is_secret(text) then return self:note({ secret = text:name() }) end
  local last = self.list[#self.list]
  if not last or last.field ~= "sent" then
    last = { field = "sent", parts = {} }
    self:note(last)
  end
  add(self, last, text)
end

--- Bytes that came after somebody had waited for so long, and had given up in between or not.
---@param stream integer
---@param text string
---@param seconds number
---@param gave_up boolean
function Talk:came(stream, text, seconds, gave_up)
  local field, last = stream == 1 and "err" or "out", self.list[#self.list]
  if gave_up or not last or last.field ~= field then
    last = { field = field, parts = {}, wait = 0 }
    self:note(last)
  end
  last.wait = math.max(last.wait, seconds)
  add(self, last, text)
end

--- Nothing that is masked may stand on the border of two pieces: then they are told as one, the later one.
local function seal(list, field, fold)
  local mine, raw, folded = {}, {}, {}
  for _, entry in ipairs(list) do
    if entry.field == field then
      mine[#mine + 1] = entry
      raw[#mine], folded[#mine] = entry.text, fold(entry.text)
    end
  end
  if fold(table.concat(raw)) == table.concat(folded) then return end
  for i = 1, #mine - 1 do
    local one, both = mine[i], mine[i].text .. mine[i + 1].text
    if fold(both) ~= fold(one.text) .. fold(mine[i + 1].text) then one.text, mine[i + 1].text = "", both end
  end
  for i, entry in ipairs(mine) do folded[i] = fold(entry.text) end
  if fold(table.concat(raw)) == table.concat(folded) then return end
  for i, entry in ipairs(mine) do entry.text = i == #mine and table.concat(raw) or "" end
end

--- As a JSON array.
---@param fold fun(text: string): string
---@return table
function Talk:lines(fold)
  local out = json.array({})
  for _, entry in ipairs(self.list) do entry.text = entry.parts and table.concat(entry.parts) end
  for _, field in ipairs({ "sent", "out", "err" }) do seal(self.list, field, fold) end
  for _, entry in ipairs(self.list) do
    local line = entry
    if entry.field then
      line = { wait = entry.wait and entry.wait >= NOTABLE and math.floor(entry.wait * 1000) / 1000 or nil }
      bytes.put(line, entry.field, fold(entry.text))
    end
    if not entry.field or entry.text ~= "" then out[#out + 1] = line end
  end
  return out
end

--- Reading ------------------------------------------------------------------------------------------------------------

--- What we did, in order; what came, each with how much we had done before.
---@class sshlua.TalkHeard
---@field units { text?: string, secret?: string, signal?: string, resize?: string }[]
---@field outs table<integer, table[]> of stdout (0) and stderr (1): { bytes, stream, wait, after, eof, order }
---@field ended? table
---@field exit? table
---@field lost? table
---@field unsent? table input was not taken any more: the error

local function is_error(value)
  return type(value) == "table" and type(value.kind) == "string" and type(value.message) == "string"
end

local function placed(heard, fields)
  fields.after, fields.eof = #heard.units, heard.eof
  return fields
end

local function take_bytes(heard, line)
  local sent = bytes.get(line, "sent")
  if sent then
    heard.units[#heard.units + 1] = { text = sent }
    return true
  end
  for stream, field in pairs({ [0] = "out", [1] = "err" }) do
    local text = bytes.get(line, field)
    if text then
      heard.count = heard.count + 1
      table.insert(heard.outs[stream], placed(heard, {
        bytes = text, stream = stream, wait = line.wait or 0, order = heard.count,
      }))
      return line.wait == nil or type(line.wait) == "number"
    end
  end
end

local function take_rest(heard, line)
  for _, name in ipairs({ "secret", "signal", "resize" }) do
    if type(line[name]) == "string" then
      heard.units[#heard.units + 1] = { [name] = line[name] }
      return true
    end
  end
  local exit = line.exit
  if line.eof == true then
    heard.eof = true
  elseif line["end"] == true then
    heard.ended = placed(heard, {})
  elseif type(exit) == "table" and (exit.code == nil or type(exit.code) == "number")
    and (exit.signal == nil or type(exit.signal) == "string") then
    heard.exit = placed(heard, { code = exit.code, signal = exit.signal, message = exit.message })
  elseif is_error(line.lost) then
    heard.lost = placed(heard, { error = line.lost })
  elseif is_error(line.unsent) then
    heard.unsent = line.unsent
  else
    return false
  end
  return true
end

--- nil and the number of the entry that is none.
---@param list table
---@return sshlua.TalkHeard?
---@return integer? wrong
function M.read(list)
  local heard = { units = {}, outs = { [0] = {}, [1] = {} }, count = 0, eof = false }
  for i, line in ipairs(list) do
    if type(line) ~= "table" or not (take_bytes(heard, line) or take_rest(heard, line)) then return nil, i end
  end
  return heard
end

return M
