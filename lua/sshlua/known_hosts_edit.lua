--- What people do to known_hosts files by name: removing, hashing, looking for faults. Text in, text out; the file is
--- changed under its lock, and only if it is still what was read.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local scope = require("sshlua.task.scope")
local show = require("sshlua.hostkey_show")

local M = {}

local FILE_MAX = 64 * 1024 * 1024

---@param path string
---@return string
function M.read(path)
  local f, message = io.open(path, "rb")
  local text, why = nil, message
  if f then
    text, why = f:read(FILE_MAX + 1)
    f:close()
    text = text or (not why and "" or nil)
  end
  if not text then errors.raise({ kind = "io", message = why }) end
  if #text > FILE_MAX then errors.raise({ kind = "limit", message = path .. " is larger than 64 MiB" }) end
  return text
end

--- Lines with their newlines, so that what is kept is kept as it is.
function M.lines(text)
  local out = {}
  for line in text:gmatch("[^\n]*\n?") do
    if line ~= "" then out[#out + 1] = line end
  end
  return out
end

--- Calls change(text), which returns the new text and results; writes it; returns the results. The file may be changed
--- by others meanwhile: then it is read again.
---@param path string
---@param change fun(text: string): string, any
function M.change(path, change)
  for _ = 1, 50 do
    local old = M.read(path)
    local new, result = change(old)
    if new == old then return result end
    local ok, done = core.known_hosts_replace(path, old, new, 0)
    if ok and done then return result end
    if not ok and done.kind ~= "timeout" then errors.raise(errors.from(done)) end
    scope.sleep(0.05)
  end
  errors.raise({ kind = "io", message = path .. ": others keep changing it" })
end

--- marker, names, type, base64, rest of a line; nil: none of a key.
function M.split(line)
  local body = line:gsub("[\r\n]+$", "")
  local marker, after = body:match("^%s*(@%S+)%s+(.*)$")
  local names, kind, base64, rest = (after or body):match("^%s*([^#%s]%S*)%s+(%S+)%s+(%S+)(.*)$")
  if not names or names:sub(1, 1) == "@" then return nil end
  return marker, names, kind, base64, rest
end

local function set_of(text, path)
  local set = core.known_hosts()
  local ok, err = set:add_text(text, path)
  if not ok then errors.raise(errors.from(err)) end
  return set
end

M.set_of = set_of

local function without(names, name)
  local kept = {}
  for one in names:gmatch("[^,]+") do
    if one:lower() ~= name then kept[#kept + 1] = one end
  end
  return table.concat(kept, ",")
end

--- Takes a host away: whole lines, or its name out of a line of several. Lines that mean it by pattern, and markers,
--- stay.
---@return string text, table result removed and kept: lists of line numbers
function M.remove(text, path, name, port)
  local found = set_of(text, path):lookup(name, port)
  local lines, result = M.lines(text), { removed = {}, kept = {} }
  local shown = (port == 22 and name or ("[%s]:%d"):format(name, port)):lower()
  for _, l in ipairs(found or {}) do
    local marker, names = M.split(lines[l.line] or "")
    local rest = names and (names:sub(1, 1) == "|" and "" or without(names, shown))
    if marker or not names or names:find("[*?!]") then
      result.kept[#result.kept + 1] = l.line
    else
      result.removed[#result.removed + 1] = l.line
      local at = lines[l.line]:find(names, 1, true)
      lines[l.line] = rest == "" and "" or lines[l.line]:sub(1, at - 1) .. rest .. lines[l.line]:sub(at + #names)
    end
  end
  return table.concat(lines), result
end

local function hashed_lines(names, kind, base64, rest)
  local blob = core.public_key_parse(kind .. " " .. base64)
  local out = {}
  for name in names:gmatch("[^,]+") do
    local host, port = name:match("^%[(.-)%]:(%d+)$")
    local line = blob and core.known_hosts_line(host or name, tonumber(port) or 22, blob, true)
    if not line then return nil end
    out[#out + 1] = line .. rest .. "\n"
  end
  return table.concat(out)
end

--- Hashes plain names; each name of a line gets a line. Patterns, markers and odd lines stay.
---@return string text, table result hashed, kept: numbers
function M.hash(text)
  local lines, result = M.lines(text), { hashed = 0, kept = 0 }
  for i, line in ipairs(lines) do
    local marker, names, kind, base64, rest = M.split(line)
    local new = names and not marker and not names:find("[*?!|]") and hashed_lines(names, kind, base64, rest)
    if new then
      lines[i], result.hashed = new, result.hashed + 1
    elseif names and names:sub(1, 1) ~= "|" then
      result.kept = result.kept + 1
    end
  end
  return table.concat(lines), result
end

--- Audit --------------------------------------------------------------------------------------------------------------

local function weakness(kind, blob)
  if kind == "ssh-dss" then return "DSA keys are no longer safe" end
  local bits = kind == "ssh-rsa" and show.bits(blob)
  if bits and bits < 2048 then return ("an RSA key of %d bits is too short"):format(bits) end
end

local function audit_line(seen, add, number, marker, names, kind, base64)
  local blob = core.public_key_parse(kind .. " " .. base64)
  local weak = weakness(kind, blob or "")
  if weak then add(number, weak) end
  if marker or not blob or names:sub(1, 1) == "|" then return end
  for name in names:lower():gmatch("[^,]+") do
    local key = name .. " " .. kind
    local before = seen[key]
    if before and before.base64 == base64 then
      add(number, ("%s has this key in line %d already"):format(name, before.number))
    elseif before then
      add(number, ("%s has another %s key in line %d: either is accepted"):format(name, kind, before.number))
    else
      seen[key] = { number = number, base64 = base64 }
    end
  end
end

local function audit_mode(path, add)
  local stat = core.fs_stat_sync(path)
  if stat and math.floor(stat.mode / 16) % 2 == 1 then add(0, "its group may write to it") end
  if stat and math.floor(stat.mode / 2) % 2 == 1 then add(0, "everybody may write to it") end
end

--- Faults of a file, in the order of lines: { line = (0: the file itself), text = }.
---@param path string
---@return { line: integer, text: string }[]
function M.audit(path)
  local text = M.read(path)
  local found, seen = {}, {}
  local function add(line, what) found[#found + 1] = { line = line, text = what, order = #found } end
  audit_mode(path, add)
  local set = set_of(text, path)
  for _, w in ipairs(set:warnings()) do add(w.line, w.message) end
  for number, line in ipairs(M.lines(text)) do
    local marker, names, kind, base64 = M.split(line)
    if names then audit_line(seen, add, number, marker, names, kind, base64) end
  end
  table.sort(found, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.order < b.order
  end)
  return found
end

return M
