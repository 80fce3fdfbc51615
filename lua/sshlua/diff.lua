--- Differences between two texts, line by line, in the form of `diff -u`. The algorithm is E. Myers, "An
--- O(ND) Difference Algorithm" (1986), with a bound on D. Knows lines; must not know where they came from.

local M = {}

--- Past so many changed lines a shortest script is worth neither its time nor its memory (both grow with D
--- squared): then everything between the first and the last change counts as changed.
local MAX_CHANGES = 1000

local function split(text)
  local lines = {}
  for line in text:gmatch("[^\n]*\n?") do
    if line ~= "" then lines[#lines + 1] = line end
  end
  return lines
end

--- How far each diagonal was reached with d = 0, 1, ... changes, until the end of both; nil past the bound.
--- rows[d][i] is the x on diagonal k = x - y = 2(i-1) - d. `from` lines are equal in front, n and m follow.
local function search(a, b, from, n, m)
  local rows = {}
  for d = 0, math.min(n + m, MAX_CHANGES) do
    local row, before = {}, rows[d - 1]
    rows[d] = row
    for i = 1, d + 1 do
      local k, x = 2 * (i - 1) - d, 0
      if d > 0 then
        local down = i == 1 or (i <= d and before[i - 1] < before[i])
        x = down and before[i] or before[i - 1] + 1
      end
      while x < n and x - k < m and a[from + x + 1] == b[from + x - k + 1] do x = x + 1 end
      row[i] = x
      if k == n - m and x >= n then return rows, d end
    end
  end
  return nil
end

--- Goes the way back and marks the lines that were removed from a and added from b.
local function mark(rows, d, from, n, m, removed, added)
  local x, y = n, m
  while d > 0 do
    local before, i = rows[d - 1], (x - y + d) / 2 + 1
    local down = i == 1 or (i <= d and before[i - 1] < before[i])
    local k = x - y
    x = down and before[i] or before[i - 1]
    y = x - (down and k + 1 or k - 1)
    if down then added[from + y + 1] = true else removed[from + x + 1] = true end
    d = d - 1
  end
end

--- Which lines of a are removed and which of b added.
local function compare(a, b)
  local removed, added = {}, {}
  local front, n, m = 0, #a, #b
  while front < n and front < m and a[front + 1] == b[front + 1] do front = front + 1 end
  while n > front and m > front and a[n] == b[m] do n, m = n - 1, m - 1 end
  local rows, d = search(a, b, front, n - front, m - front)
  if rows then
    mark(rows, d, front, n - front, m - front, removed, added)
  else
    for i = front + 1, n do removed[i] = true end
    for i = front + 1, m do added[i] = true end
  end
  return removed, added
end

--- The stretches of change: lines i..i2 of a become j..j2 of b (i2 = i - 1: nothing removed).
local function changes(a, b)
  local removed, added = compare(a, b)
  local list, i, j = {}, 1, 1
  while i <= #a or j <= #b do
    if removed[i] or added[j] then
      local change = { i = i, j = j }
      while removed[i] do i = i + 1 end
      while added[j] do j = j + 1 end
      change.i2, change.j2 = i - 1, j - 1
      list[#list + 1] = change
    else
      i, j = i + 1, j + 1
    end
  end
  return list
end

local function add(out, sign, lines, from, to)
  for i = from, to do
    local line = lines[i]
    out[#out + 1] = sign .. line
    if line:sub(-1) ~= "\n" then out[#out + 1] = "\n\\ No newline at end of file\n" end
  end
end

--- "3,4" of a hunk's head: an empty side names the line before it, a single line needs no count.
local function side(from, to)
  local count = to - from + 1
  if count == 1 then return ("%d"):format(from) end
  return ("%d,%d"):format(count == 0 and from - 1 or from, count)
end

--- Writes changes[first..last], which lie so near to each other that their context meets.
local function add_hunk(out, a, b, list, first, last, context)
  local head, tail = list[first], list[last]
  local lead = math.min(context, head.i - 1)
  local trail = math.min(context, #a - tail.i2)
  out[#out + 1] = ("@@ -%s +%s @@\n"):format(side(head.i - lead, tail.i2 + trail), side(head.j - lead, tail.j2 + trail))
  local i = head.i - lead
  for n = first, last do
    local change = list[n]
    add(out, " ", a, i, change.i - 1)
    add(out, "-", a, change.i, change.i2)
    add(out, "+", b, change.j, change.j2)
    i = change.i2 + 1
  end
  add(out, " ", a, i, tail.i2 + trail)
end

---@class sshlua.DiffOptions
---@field from? string name of the first text, "a" when none is given
---@field to? string name of the second
---@field context? integer equal lines around each change, default 3

--- What leads from text a to text b, as `diff -u` prints it; "" when they are equal. Bytes as they are:
--- clean the result before it goes to a terminal.
---@param a string
---@param b string
---@param options? sshlua.DiffOptions
---@return string
function M.unified(a, b, options)
  if a == b then return "" end
  options = options or {}
  local context = options.context or 3
  local lines_a, lines_b = split(a), split(b)
  local list = changes(lines_a, lines_b)
  local out = { "--- " .. (options.from or "a") .. "\n", "+++ " .. (options.to or "b") .. "\n" }
  local first = 1
  for n = 1, #list do
    local following = list[n + 1]
    if not following or following.i - list[n].i2 - 1 > 2 * context then
      add_hunk(out, lines_a, lines_b, list, first, n, context)
      first = n + 1
    end
  end
  return table.concat(out)
end

return M
