--- The Results of many hosts: a list, a map by host name, and ways to look at them. Knows Result's methods;
--- must not know how hosts are reached.

local core = require "sshlua.core"
local diff = require "sshlua.diff"
local errors = require "sshlua.errors"
local hostset = require "sshlua.hostset"
local json = require "sshlua.json"

---@class sshlua.Results: sshlua.Result[]
---@field [string] sshlua.Result by host name; methods win over names, get(name) is exact
local Results = { __name = "sshlua.Results" }

-- Beside the list, not in it: pairs() meets results only, and no host name can collide.
local by_name = setmetatable({}, { __mode = "k" })
local names_of = setmetatable({}, { __mode = "k" })

function Results.__index(self, key)
  local method = Results[key]
  if method ~= nil then return method end
  local map = by_name[self]
  return map and map[key]
end

--- The names the results go by: the host's, or name:port for all that share a name.
local function names_for(list)
  local count, names, taken, last = {}, {}, {}, {}
  for _, r in ipairs(list) do
    if r.host then count[r.host] = (count[r.host] or 0) + 1 end
  end
  for i, r in ipairs(list) do
    local name = r.host or false
    if name and count[name] > 1 then name = hostset.format { name = name, port = r.port or 22 } end
    local base = name
    while name and taken[name] do -- the same host and port again, by another user perhaps
      last[base] = (last[base] or 1) + 1
      name = base .. "#" .. last[base]
    end
    if name then taken[name] = true end
    names[i] = name
  end
  return names
end

local function new(list, names)
  local self, map = setmetatable({}, Results), {}
  for i, r in ipairs(list) do
    self[i] = r
    if names[i] then map[names[i]] = r end
  end
  by_name[self], names_of[self] = map, names
  return self
end

--- Results in the order of the list.
---@param list sshlua.Result[]
---@return sshlua.Results
function Results.new(list)
  for i, r in ipairs(list) do
    local good = type(r) == "table" and type(r.status) == "function"
    if not good then errors.usage(2, "Results.new: item %d: Result expected, got %s", i, type(r)) end
    if r.host ~= nil and type(r.host) ~= "string" then
      errors.usage(2, "Results.new: item %d: host: string expected, got %s", i, type(r.host))
    end
  end
  return new(list, names_for(list))
end

local function filter(self, keep)
  local list, names, own = {}, {}, names_of[self]
  for i, r in ipairs(self) do
    if keep(r) then
      list[#list + 1] = r
      names[#list] = own[i]
    end
  end
  return new(list, names)
end

--- Those that went well.
---@return sshlua.Results
function Results:ok()
  return filter(self, function(r) return r.ok end)
end

--- Those that failed, for whatever reason. Skipped ones are in neither.
---@return sshlua.Results
function Results:failed()
  return filter(self, function(r) return not r.ok and r:status() ~= "skipped" end)
end

--- The result of exactly this name (or name:port, when hosts share the name).
---@param name string
---@return sshlua.Result?
function Results:get(name) return by_name[self][name] end

--- The names of the results, in their order.
---@return string[]
function Results:names()
  local names = {}
  for i, name in ipairs(names_of[self]) do names[i] = name or "?" end
  return names
end

--- Folded names for a summary line; many that cannot be folded are cut, with the number of the rest.
local function folded(names, room)
  local texts, used, left = {}, 0, #names
  for _, part in ipairs(hostset.fold_parts(names)) do
    if #texts > 0 and used + #part.text > room then break end
    texts[#texts + 1] = errors.excerpt(part.text, 2 * room)
    used = used + #part.text + 1
    left = left - part.count
  end
  if left > 0 then texts[#texts + 1] = (" %d more"):format(left) end
  return table.concat(texts, ",")
end

--- One line for people: "497 ok, 2 timeout (node[113,340]), 1 auth (node017)". Most frequent first.
function Results.__tostring(self)
  local names, groups, order, ok = Results.names(self), {}, {}, 0
  for i, r in ipairs(self) do
    local status = r:status()
    if status == "ok" then
      ok = ok + 1
    else
      if not groups[status] then
        groups[status] = { status = status }
        order[#order + 1] = groups[status]
      end
      table.insert(groups[status], names[i])
    end
  end
  table.sort(order, function(a, b)
    if #a ~= #b then return #a > #b end
    return a.status < b.status
  end)
  local parts = { ok .. " ok" }
  for _, group in ipairs(order) do
    parts[#parts + 1] = ("%d %s (%s)"):format(#group, group.status, folded(group, 200))
  end
  return table.concat(parts, ", ")
end

--- Returns itself when nothing failed, else raises one Error of kind fleet that carries these `results`.
---@return sshlua.Results
function Results:check()
  local failed = self:failed()
  if #failed == 0 then return self end
  errors.raise { kind = "fleet", message = tostring(self), result = self, results = self,
    cause = failed[1].err, op = "fleet" }
end

---@class sshlua.ResultGroup
---@field count integer
---@field names string[]
---@field hosts string the names, folded
---@field status string
---@field code? integer
---@field stdout string
---@field stderr string
---@field result sshlua.Result the first of them
local Group = { __name = "sshlua.ResultGroup" }
Group.__index = Group

local RULE = ("-"):rep(15)

--- A head with the folded names, then the output, made fit for a terminal.
function Group.__tostring(self)
  local head = ("%s\n%s (%d)%s\n%s\n"):format(RULE, self.hosts, self.count,
    self.status == "ok" and "" or ": " .. (self.result:problem() or self.status), RULE)
  local between = self.stdout:find("[^\n]$") and self.stderr ~= "" and "\n" or ""
  local text = core.clean(core.mask(self.stdout .. between .. self.stderr), { newline = true, tab = true })
  return head .. (text:gsub("\n$", ""))
end

local group_list = { __name = "sshlua.ResultGroups" }

function group_list.__tostring(self)
  local texts = {}
  for i, group in ipairs(self) do texts[i] = tostring(group) end
  return table.concat(texts, "\n")
end

--- Results that are the same (status, exit code, both outputs), the largest group first. Printing the list, or
--- one of it, shows the outputs under their folded host names.
---@return sshlua.ResultGroup[]
function Results:group()
  local tree, list, names = {}, {}, self:names()
  for i, r in ipairs(self) do
    -- One level per value and not one long key: outputs may be megabytes each.
    local level = tree
    for _, value in ipairs { r:status(), tostring(r.code), tostring(r.signal), r.stdout } do
      level[value] = level[value] or {}
      level = level[value]
    end
    local group = level[r.stderr]
    if not group then
      group = setmetatable({ count = 0, names = {}, status = r:status(), code = r.code, stdout = r.stdout,
        stderr = r.stderr, result = r, first = i }, Group)
      level[r.stderr] = group
      list[#list + 1] = group
    end
    group.count = group.count + 1
    group.names[group.count] = names[i]
  end
  for _, group in ipairs(list) do group.hosts = hostset.fold(group.names) end
  table.sort(list, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    return a.first < b.first
  end)
  return setmetatable(list, group_list)
end

--- What leads from host a's stdout to host b's, as `diff -u` prints it; "" when they are equal.
---@param a string name, as for get
---@param b string
---@return string
function Results:diff(a, b)
  local texts = {}
  for i, name in ipairs { a or false, b or false } do
    local r = self:get(name)
    if not r then errors.usage(2, 'diff: no result of host "%s"', errors.excerpt(tostring(name), 60)) end
    texts[i] = r.stdout
  end
  return diff.unified(texts[1], texts[2], { from = a, to = b })
end

local added = { host = true, ok = true, error = true }

--- The names that are read from the output: what each row has anyway need not be named, and may be.
local function check_names(what, ...)
  local seen, names = {}, {}
  for i = 1, select("#", ...) do
    local name = select(i, ...)
    if type(name) ~= "string" then errors.usage(3, "%s: field %d: string expected, got %s", what, i, type(name)) end
    if seen[name] then errors.usage(3, '%s: field "%s" is there already', what, name) end
    seen[name] = true
    if not added[name] then names[#names + 1] = name end
  end
  return names
end

local whole = { "status", "code", "signal", "duration", "stdout", "stderr" }

local function rows(self, fields, all)
  local list, names = {}, self:names()
  for i, r in ipairs(self) do
    local row
    if fields[1] or not all then
      row = r:fields((table.unpack or unpack)(fields)) -- luacheck: ignore 143
    else
      row = { status = r:status(), code = r.code, signal = r.signal, duration = r.duration, stdout = r.stdout,
        stderr = r.stderr }
    end
    row.host, row.ok, row.error = names[i], r.ok, r:problem()
    list[i] = row
  end
  return list
end

--- One table per host: a field per line of its stdout, by the names given, with host, ok and error added.
--- Without names: status, code, signal, duration, stdout and stderr.
---@param ... string
---@return table[]
function Results:rows(...)
  return rows(self, check_names("rows", ...), select("#", ...) == 0)
end

--- rows(...) as a JSON array.
---@param ... string
---@return string
function Results:json(...)
  return json.encode(json.array(rows(self, check_names("json", ...), select("#", ...) == 0)))
end

local function csv_cell(v)
  local text = v == nil and "" or tostring(v)
  if text:find('[",\r\n]') or text:find("^%s") or text:find("%s$") then return '"' .. text:gsub('"', '""') .. '"' end
  return text
end

--- rows(...) as CSV (RFC 4180, but lines end in \n): a head line, then host, ok, error and the fields.
---@param ... string
---@return string
function Results:csv(...)
  local names = check_names("csv", ...)
  local columns = { "host", "ok", "error" }
  for _, name in ipairs(select("#", ...) > 0 and names or whole) do columns[#columns + 1] = name end
  local out = {}
  local function add(row)
    local cells = {}
    for i, column in ipairs(columns) do cells[i] = csv_cell(row[column]) end
    out[#out + 1] = table.concat(cells, ",") .. "\n"
  end
  local head = {}
  for _, column in ipairs(columns) do head[column] = column end
  add(head)
  for _, row in ipairs(rows(self, names, select("#", ...) == 0)) do add(row) end
  return table.concat(out)
end

--- Characters, which is near enough to columns.
local function width(text)
  local _, following = text:gsub("[\128-\191]", "")
  return #text - following
end

--- rows(...) as aligned text for people, one line per host, cells cleaned and cut. Without names: the status
--- and the first line of stdout.
---@param ... string
---@return string
function Results:table(...)
  local none, columns = select("#", ...) == 0, { "host" }
  local list = rows(self, check_names("table", ...), none)
  for _, name in ipairs({ ... }) do
    if name ~= "host" then columns[#columns + 1] = name end
  end
  if none then
    columns = { "host", "status", "stdout" }
    for _, row in ipairs(list) do row.stdout = row.stdout:match("^[^\n]*") end
  end
  if #self:ok() < #self then columns[#columns + 1] = "error" end
  local lines, widths = { {} }, {}
  for i, column in ipairs(columns) do lines[1][i] = errors.excerpt(column, 60) end
  for _, row in ipairs(list) do
    local cells = {}
    for i, column in ipairs(columns) do
      cells[i] = row[column] == nil and "" or errors.excerpt(tostring(row[column]), 60)
    end
    lines[#lines + 1] = cells
  end
  for _, cells in ipairs(lines) do
    for i, cell in ipairs(cells) do widths[i] = math.max(widths[i] or 0, width(cell)) end
  end
  for n, cells in ipairs(lines) do
    for i, cell in ipairs(cells) do cells[i] = cell .. (" "):rep(widths[i] - width(cell)) end
    lines[n] = table.concat(cells, "  "):gsub(" +$", "")
  end
  return table.concat(lines, "\n")
end

return Results
