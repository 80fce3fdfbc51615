--- SHA-256 of files on both sides. There by the host's sha256sum where there is a shell, else by reading the file back.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local quote = require("sshlua.quote")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local PIECE = 1024 * 1024
local READ_BACK = 256 * 1024 -- smaller files are read back: that is faster than starting a command

local function hash(job, length, read)
  local hasher, at = core.hasher("sha256"), 0
  while not length or at < length do
    local bytes = read(at, length and math.min(PIECE, length - at) or PIECE)
    if not bytes then break end
    hasher:update(bytes)
    at = at + #bytes
    job:tick()
  end
  return hasher:digest(), at
end

--- Of an open local file, `length` bytes or all. Also returns how many there were.
---@return string hexadecimal, integer bytes
function M.of_local(job, file, length)
  return hash(job, length, function(at, size) return await(file.read, file, size, at) end)
end

--- Of a remote file that is read back.
local function read_back(job, path, length)
  local file = job.sftp:open(path, "r")
  local ok, digest, bytes = pcall(hash, job, length, function(at, size) return file:read_at(at, size) end)
  file:abandon()
  if not ok then error(digest, 0) end
  return digest, bytes
end

-- ProFTPD runs no commands, and 1.3.8 crashes when a channel on which it has refused one is closed.
local function may_run(session)
  local version = session.core:server_version()
  return not (version and version:find("^SSH%-2%.0%-mod_sftp"))
end

-- Other shells than sh fail on it, and then the file is read back.
local SUM = "if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi"

--- Of a remote file by a command; nil when the host does not say.
local function by_command(job, path, length, size)
  local session = job.host:session()
  if session.no_sha256 or not may_run(session) then return nil end
  local from = quote.sh("< %s", path:sub(1, 1) == "-" and "./" .. path or path)
  local cmd = length and ("head -c %d %s | { %s; }"):format(length, from, SUM) or ("{ %s; } %s"):format(SUM, from)
  local opts = { check = false, timeout = 60 + (size or 0) / 2e7, max_output = 4096 }
  for _, name in ipairs({ "sudo", "su", "doas" }) do opts[name] = job.opts[name] end
  local ok, r = pcall(session.exec, session, "exec sh -c " .. quote.quote(cmd), opts)
  if not ok and (not errors.is(r) or r.kind == "cancelled" or r.kind == "connection_lost") then error(r, 0) end
  local digest = ok and r.ok and r.stdout:match("^(%x+) ")
  if digest and #digest == 64 then return digest:lower() end
  session.no_sha256 = true
  return nil
end

--- Of a remote file, `length` bytes or all; `size` is what we think it has. quick: nil rather than reading it back.
---@return string? hexadecimal
function M.of_remote(job, path, length, size, quick)
  return job:quiet(function()
    local digest
    if quick or (length or size or PIECE) > READ_BACK then digest = by_command(job, path, length, size) end
    if digest or quick then return digest end
    return (read_back(job, path, length))
  end)
end

--- Raises unless both are equal.
function M.compare(job, what, here, there)
  job.digest = here
  if here == there then return end
  errors.raise({ kind = "io", name = "DIGEST", host = job.name, op = job.op,
    message = ("%s: the copy differs from the original: sha256 %s here, %s there")
      :format(errors.excerpt(what), here, there),
    hint = "the file may have changed while it was copied" })
end

return M
