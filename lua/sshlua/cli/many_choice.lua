--- Which hosts the lines of a prompt for many hosts are for: all that were named so far, those that are chosen of them,
--- and what has become of each at the last line. Must not know how lines are read.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local hosts = require("sshlua.hosts")
local hostset = require("sshlua.hostset")
local report = require("sshlua.cli.report")
local targets = require("sshlua.inventory.targets")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = {}

---@class sshlua.cli.Choice
---@field known sshlua.Host[]
---@field chosen sshlua.Host[]
---@field last sshlua.Results|nil of the last line
local Choice = {}
Choice.__index = Choice

--- Of the command line's hosts all are chosen.
---@param fleet sshlua.Fleet
---@param inventory? string[]
function M.new(fleet, inventory)
  local self = setmetatable({ known = {}, chosen = {}, inventory = inventory, result_of = {} }, Choice)
  for i, h in ipairs(fleet) do self.known[i], self.chosen[i] = h, h end
  return self
end

local function is_lost(r) return report.unreachable(r.err) or errors.is(r.err, "connection_lost") end

--- Words that stand for hosts by what the last line did there.
local words = {
  all = function() return true end,
  ok = function(r) return r ~= nil and r.ok end,
  failed = function(r) return r ~= nil and not r.ok and r:status() ~= "skipped" end,
  lost = function(r) return r ~= nil and is_lost(r) end,
}

local function by_word(self, fits)
  local list = {}
  for _, h in ipairs(self.known) do
    if fits(self.result_of[h]) then list[#list + 1] = h end
  end
  return list
end

local function is_named(h, spec)
  return h.name == spec.name and (not spec.user or spec.user == h.user) and (not spec.port or spec.port == h.port)
end

--- Hosts of an expression: those that are known, and new ones unless `only_known`.
local function by_expression(self, text, only_known)
  local list, strangers = {}, {}
  for _, spec in ipairs((targets.expand({ hosts = { text }, inventory = self.inventory }))) do
    local found = false
    for _, h in ipairs(self.known) do
      if is_named(h, spec) then
        list[#list + 1], found = h, true
      end
    end
    if not found then strangers[#strangers + 1] = hostset.format(spec) end
  end
  if #strangers == 0 then return list end
  if only_known then misuse("not among the hosts here: %s", hostset.fold(strangers)) end
  for _, h in ipairs(targets.fleet({ hosts = strangers, inventory = self.inventory })) do
    table.insert(self.known, h)
    list[#list + 1] = h
  end
  return list
end

local function set_of(list)
  local set = {}
  for _, h in ipairs(list) do set[h] = true end
  return set
end

local ways = {}

ways["@"] = function(_, list) return list end

ways["+"] = function(self, list)
  local kept, there = {}, set_of(self.chosen)
  for i, h in ipairs(self.chosen) do kept[i] = h end
  for _, h in ipairs(list) do
    if not there[h] then kept[#kept + 1] = h end
  end
  return kept
end

ways["-"] = function(self, list)
  local kept, gone = {}, set_of(list)
  for _, h in ipairs(self.chosen) do
    if not gone[h] then kept[#kept + 1] = h end
  end
  return kept
end

--- "@" only these, "+" these too, "-" not these. Raises usage, and the choice stays, when nobody would be left.
---@param way "@"|"+"|"-"
---@param text string a word (all, ok, failed, lost), or a host expression
function Choice:change(way, text)
  local fits = words[text]
  if fits and text ~= "all" and not self.last then misuse("%s%s: nothing has run yet", way, text) end
  local list = fits and by_word(self, fits) or by_expression(self, text, way == "-")
  local chosen = ways[way](self, list)
  if #chosen == 0 then misuse("%s%s: no host would be left", way, text) end
  self.chosen = chosen
end

function Choice:note(rs, list)
  self.last, self.result_of = rs, {}
  for i, h in ipairs(list) do self.result_of[h] = rs[i] end
end

local function fold(list)
  local names = {}
  for i, h in ipairs(list) do names[i] = h.name end
  return core.clean(hostset.fold(names))
end

---@return sshlua.Fleet
function Choice:fleet()
  local list = {}
  for i, h in ipairs(self.chosen) do list[i] = h end
  return hosts.of(list)
end

--- The chosen hosts, folded, if that is not too long for a line.
---@param longest? integer
function Choice:text(longest)
  local text = fold(self.chosen)
  if longest and #text > longest then return ("%d hosts"):format(#self.chosen) end
  return text
end

--- What a person wants to know about the choice.
---@return string[]
function Choice:about()
  local lines = { ("%d of %d hosts: %s"):format(#self.chosen, #self.known, fold(self.chosen)) }
  if self.last then lines[2] = "at the last line: " .. tostring(self.last) end
  return lines
end

return M
