--- Lock files of host keys: known_hosts lines in a fixed order, one for each key, with the fingerprint as the comment,
--- made to be committed, reviewed and pinned. Reads, merges, writes and compares them; scans nothing.

local core = require("sshlua.core")
local edit = require("sshlua.known_hosts_edit")
local errors = require("sshlua.errors")
local known_hosts = require("sshlua.known_hosts")
local trim = require("sshlua.trim")

local M = {}

local HEAD = "# Host keys, one line for each: name, type, key, fingerprint.\n"
  .. "# Made by sshlua keys lock; used with the option host_key_lock; checked by sshlua keys verify.\n"

---@class sshlua.LockEntry
---@field name string as in known_hosts: "web1", "[web1]:2222"
---@field type string
---@field blob string
---@field line integer 0: not from a file
---@field comment string

---@class sshlua.Lock
---@field entries sshlua.LockEntry[] of plain names
---@field rest string[] other lines: patterns, markers, comments of people

local function add_line(lock, number, line)
  local marker, names, kind, base64, rest = edit.split(line)
  local blob = names and core.public_key_parse(kind .. " " .. base64)
  if marker or not blob or names:find("[*?!|]") then
    if not HEAD:find(line, 1, true) and line:find("%S") then lock.rest[#lock.rest + 1] = line end
    return
  end
  for name in names:lower():gmatch("[^,]+") do
    lock.entries[#lock.entries + 1] = {
      name = name, type = kind, blob = blob, line = number, comment = trim(rest),
    }
  end
end

--- Reads a lock file, or what stands in it. A line that is not understood is an error: this file is reviewed.
---@param path string
---@param text? string
---@return sshlua.Lock
function M.read(path, text)
  text = text or edit.read(path)
  local warning = edit.set_of(text, path):warnings()[1]
  if warning then
    errors.raise({ kind = "config", message = ("%s:%d: %s"):format(path, warning.line, warning.message) })
  end
  local lock = { entries = {}, rest = {} }
  for number, line in ipairs(edit.lines(text)) do add_line(lock, number, line) end
  return lock
end

--- Entries of a scanned host.
---@param host sshlua.ScannedHost
---@return sshlua.LockEntry[]
function M.entries_of(host)
  local name = known_hosts.shown_name(host.hostname:lower(), host.port)
  local out = {}
  for i, key in ipairs(host.keys) do
    out[i] = { name = name, type = key.type, blob = key.blob, line = 0, comment = "" }
  end
  return out
end

--- Natural enough for names: numbers by their value.
local function sort_key(entry)
  return entry.name:gsub("0*(%d+)", function(n) return ("0"):rep(12 - #n) .. n end) .. " " .. entry.type
end

local function line_of(entry)
  return ("%s %s %s %s\n"):format(entry.name, entry.type, core.base64(entry.blob), core.fingerprint(entry.blob))
end

--- The text of a lock file.
---@param lock sshlua.Lock
---@return string
function M.text(lock)
  local list, seen, out = {}, {}, { HEAD }
  for i, entry in ipairs(lock.entries) do list[i] = entry end
  table.sort(list, function(a, b) return sort_key(a) < sort_key(b) end)
  for _, line in ipairs(lock.rest) do out[#out + 1] = line:find("\n$") and line or line .. "\n" end
  for _, entry in ipairs(list) do
    local line = line_of(entry)
    if not seen[line] then out[#out + 1] = line end
    seen[line] = true
  end
  return table.concat(out)
end

--- What differs for one host between what is locked and what it shows:
--- { what = "same"|"changed"|"gone"|"new", type =, old = blob, new = blob }.
---@param locked sshlua.LockEntry[] of that host
---@param shown sshlua.LockEntry[]
function M.compare(locked, shown)
  local by_type, out, done = {}, {}, {}
  for _, entry in ipairs(shown) do by_type[entry.type] = entry end
  for _, entry in ipairs(locked) do
    local now = by_type[entry.type]
    local what = not now and "gone" or now.blob == entry.blob and "same" or "changed"
    out[#out + 1] = { what = what, type = entry.type, old = entry.blob, new = now and now.blob, line = entry.line }
    done[entry.type] = true
  end
  for _, entry in ipairs(shown) do
    if not done[entry.type] then out[#out + 1] = { what = "new", type = entry.type, new = entry.blob, line = 0 } end
  end
  return out
end

--- Entries by name, and the names in order of appearance.
---@param lock sshlua.Lock
---@return table<string, sshlua.LockEntry[]> by_name, string[] names
function M.by_name(lock)
  local by_name, names = {}, {}
  for _, entry in ipairs(lock.entries) do
    if not by_name[entry.name] then
      by_name[entry.name] = {}
      names[#names + 1] = entry.name
    end
    table.insert(by_name[entry.name], entry)
  end
  return by_name, names
end

--- Comments that claim another fingerprint than the key has: a review would have been misled.
---@param lock sshlua.Lock
---@return sshlua.LockEntry[]
function M.misleading(lock)
  local out = {}
  for _, entry in ipairs(lock.entries) do
    local claimed = entry.comment:match("SHA256:%S+")
    if claimed and claimed ~= core.fingerprint(entry.blob) then out[#out + 1] = entry end
  end
  return out
end

--- Writes it: a new file, or in the place of `old`, which it must still be.
---@param path string
---@param old string|nil
---@param text string
function M.write(path, old, text)
  local ok, done
  if old then
    ok, done = core.known_hosts_replace(path, old, text)
    if ok and not done then
      errors.raise({ kind = "io", message = path .. " was changed by somebody else meanwhile; do it again" })
    end
  else
    ok, done = core.fs_write_sync(path, text, 420)
  end
  if not ok then errors.raise(errors.from(done)) end
end

return M
