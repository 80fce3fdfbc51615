--- Names that differ in numbers, folded: web01 web02 web03 db7 to web[01-03] and db7. The inverse of
--- expansion: the same set, in as few pieces as merging one number after the other finds.
--- Knows strings only; must not know hosts.

local M = {}

local MAX_DIGITS = 15
local MANY = 20000

--- "app@web01.dc2:22" as a pattern with holes and the texts of its numbers. Users and ports stay as they
--- are: an expression has no ranges there. Nor have IPv6 addresses (more than one colon).
local function split(name)
  local _, colons = name:gsub(":", "")
  if colons > 1 or name:find("[%z,%[%]%s!&^]") then return name, {} end
  local user = name:match("^.*@") or ""
  local host, port = name:match("^([^:]*)(.*)$", #user + 1)
  local numbers = {}
  local pattern = host:gsub("%d+", function(digits)
    if #digits > MAX_DIGITS then return nil end
    numbers[#numbers + 1] = digits
    return "\0"
  end)
  return user .. pattern .. port, numbers
end

--- The same for the names that most are: one number, nothing that could be a user or a port.
local function split_simple(name)
  local before, digits, behind = name:match("^([%a._-]*)(%d+)([%a._-]*)$")
  if not digits or #digits > MAX_DIGITS then return nil end
  return before .. "\0" .. behind, digits
end

--- Numbers of a set by how they are written: plain ones, and those with leading zeros by their width.
local function by_width(texts)
  local plain, padded = { list = {}, has = {} }, {}
  for _, text in ipairs(texts) do
    local n, group = tonumber(text), plain
    if text:find("^0.") then
      group = padded[#text] or { list = {}, has = {} }
      padded[#text] = group
    end
    group.has[n] = true
    group.list[#group.list + 1] = n
  end
  table.sort(plain.list)
  for _, group in pairs(padded) do table.sort(group.list) end
  return plain, padded
end

--- Appends the runs of a group. `beyond` is asked for the numbers past the group's own: behind 09 comes 10,
--- which is written alike in both groups.
local function add_runs(runs, group, width, beyond)
  local i, list = 1, group.list
  while i <= #list do
    local low = list[i]
    local high = low
    if group.has[low] then
      while group.has[high + 1] do high = high + 1 end
      for n = low, high do group.has[n] = nil end
      while beyond and beyond(high + 1) do high = high + 1 end
      runs[#runs + 1] = { low = low, high = high, width = width }
    end
    i = i + 1
  end
end

--- Texts of numbers as what stands between brackets: {"1","3","4","07"} to "1,3-4,07". Numbers that belong to a plain
--- run and behind a padded one go with the padded one if that is eager. Also: was there such a number?
local function written(texts, eager)
  local contested = false
  local plain, padded = by_width(texts)
  local runs = {}
  for width, group in pairs(padded) do
    local first = 10 ^ (width - 1)
    local plain_goes_on = plain.has[first - 1]
    add_runs(runs, group, width, function(n)
      if n < first or n >= first * 10 or not plain.has[n] then return false end
      contested = contested or plain_goes_on
      if plain_goes_on and not eager then return false end
      plain.has[n] = nil
      return true
    end)
  end
  add_runs(runs, plain, 0)
  table.sort(runs, function(a, b)
    if a.low ~= b.low then return a.low < b.low end
    return a.width < b.width
  end)
  local out = {}
  for i, run in ipairs(runs) do
    local format = "%0" .. math.max(run.width, 1) .. ".0f"
    local low = format:format(run.low)
    out[i] = run.high == run.low and low or low .. "-" .. format:format(run.high)
  end
  return table.concat(out, ","), contested
end

local function ranges(texts)
  local text, contested = written(texts, false)
  if not contested then return text end
  local other = written(texts, true)
  return #other < #text and other or text
end

--- A box is a set of names, all combinations of what its numbers may be: box[d] is number d, or the ranges
--- it takes, whose texts are then in box.sets[d]. count: how many names.
local function add_texts(list, box, d)
  local set = box.sets and box.sets[d]
  if not set then
    list[#list + 1] = box[d]
    return
  end
  for _, text in ipairs(set) do list[#list + 1] = text end
end

local function key_without(box, d)
  local own = box[d]
  box[d] = ""
  local key = table.concat(box, ";")
  box[d] = own
  return key
end

--- One box for all of a group, which differ only in number d. They are disjoint, so their texts there are too.
local function join(group, d)
  local first = group[1]
  if #group == 1 then return first end
  local box, set = { count = 0, sets = {} }, {}
  for e = 1, #first do
    box[e] = first[e]
    box.sets[e] = first.sets and first.sets[e]
  end
  for _, other in ipairs(group) do
    box.count = box.count + (other.count or 1)
    add_texts(set, other, d)
  end
  box[d], box.sets[d] = ranges(set), set
  return box
end

local function merge(boxes, d)
  local groups, out = {}, {}
  for _, box in ipairs(boxes) do
    local key = key_without(box, d)
    local group = groups[key]
    if not group then
      group = {}
      groups[key] = group
      out[#out + 1] = group
    end
    group[#group + 1] = box
  end
  for i, group in ipairs(out) do out[i] = join(group, d) end
  return out
end

--- Merges number by number in the order given until nothing merges any more.
local function merge_all(boxes, order)
  repeat
    local before = #boxes
    for _, d in ipairs(order) do boxes = merge(boxes, d) end
  until #boxes == before
  return boxes
end

local function box_text(pattern, box)
  local d = 0
  return (pattern:gsub("%z", function()
    d = d + 1
    return box.sets and box.sets[d] and "[" .. box[d] .. "]" or box[d]
  end))
end

--- By the first value of each number in turn; padded forms of a value behind the plain one.
local function before(a, b)
  for d = 1, #a do
    local x, y = a[d]:match("^%d+"), b[d]:match("^%d+")
    if x ~= y then
      local n, m = tonumber(x), tonumber(y)
      if n ~= m then return n < m end
      return #x < #y
    end
  end
  return false
end

local function texts_of(pattern, boxes)
  local parts, length = {}, 0
  table.sort(boxes, before)
  for i, box in ipairs(boxes) do
    parts[i] = { text = box_text(pattern, box), count = box.count or 1 }
    length = length + #parts[i].text + 1
  end
  return parts, length
end

--- Names with one number, the usual case: no boxes. `texts` are the numbers.
local function fold_line(pattern, texts)
  local text = #texts == 1 and texts[1] or "[" .. ranges(texts) .. "]"
  return { { text = (pattern:gsub("%z", text)), count = #texts } }
end

--- In which orders numbers may be merged. It matters: all of them are tried while there are few.
local function orders(dims, count)
  local all = { {} }
  if dims <= 3 and count <= MANY or dims == 2 then
    for d = 1, dims do
      local longer = {}
      for _, order in ipairs(all) do
        for at = 1, #order + 1 do
          local copy = { (table.unpack or unpack)(order) } -- luacheck: ignore 143
          table.insert(copy, at, d)
          longer[#longer + 1] = copy
        end
      end
      all = longer
    end
    return all
  end
  local back = {}
  for d = 1, dims do all[1][d], back[d] = d, dims + 1 - d end
  return { back, all[1] }
end

--- With several numbers: the shortest of what the orders give. Without anything left to merge it is the only one.
local function fold_group(pattern, boxes)
  local dims = #boxes[1]
  if dims == 0 then return { { text = pattern, count = 1 } } end
  local best, best_length
  for _, order in ipairs(orders(dims, #boxes)) do
    local merged = merge_all(boxes, order)
    local parts, length = texts_of(pattern, merged)
    if not best or length < best_length then best, best_length = parts, length end
    if #parts == 1 then break end
  end
  return best
end

--- The pieces of the folded expression, in the order in which their patterns first appear.
---@param names string[] repetitions count once
---@return { text: string, count: integer }[]
function M.parts(names)
  local groups, order, seen = {}, {}, {}
  for _, name in ipairs(names) do
    if not seen[name] then
      seen[name] = true
      local pattern, numbers = split_simple(name)
      if not pattern then pattern, numbers = split(name) end
      local key = type(numbers) == "string" and pattern or #numbers .. ";" .. pattern
      local group = groups[key]
      if not group then
        group = { pattern = pattern, line = type(numbers) == "string" }
        groups[key] = group
        order[#order + 1] = group
      end
      group[#group + 1] = numbers
    end
  end
  local parts = {}
  for _, group in ipairs(order) do
    local fold = group.line and fold_line or fold_group
    for _, part in ipairs(fold(group.pattern, group)) do parts[#parts + 1] = part end
  end
  return parts
end

return M
