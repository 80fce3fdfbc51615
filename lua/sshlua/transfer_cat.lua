--- A file to a host and back through `cat`: works wherever there is a shell. The target appears whole under its name
--- or not
--- at all; sizes are compared before it does.

local Result = require("sshlua.result").Result
local core = require("sshlua.core")
local errors = require("sshlua.errors")
local names = require("sshlua.transfer_names")
local quote = require("sshlua.quote")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local PIECE = 1024 * 1024

local function check_path(path, what, level)
  if type(path) ~= "string" then errors.usage(level + 1, "%s: file name expected, got %s", what, type(path)) end
  if path == "" then errors.usage(level + 1, "%s: empty file name", what) end
  if path:find("\0", 1, true) then errors.usage(level + 1, "%s: NUL byte in a file name", what) end
end

local function file_pieces(file)
  local at = 0
  return function()
    local bytes = await(file.read, file, PIECE, at)
    if bytes then at = at + #bytes end
    return bytes
  end
end

local function closing(file, fn, ...)
  local r = task.pack(pcall(fn, ...))
  pcall(file.close, file, function() end)
  if not r[1] then error(r[2], 0) end
  return r[2]
end

local function octal(mode)
  return type(mode) == "number" and mode % 1 == 0 and ("%o"):format(mode) or mode
end

--- Raises usage, `level` callers up, unless these can be names and a mode.
---@param what "put"|"get"
function M.check(what, from, to, mode, level)
  check_path(from, what, level + 1)
  check_path(to, what, level + 1)
  if mode ~= nil and not tostring(octal(mode)):find("^[0-7]?[0-7][0-7][0-7]$") then
    errors.usage(level + 1, "option 'mode': octal digits expected, got %s", tostring(mode))
  end
end

--- The remote half: writes to a name beside the target that nobody has, compares the size, renames.
local function receive_script(name, size, mode)
  return quote.sh("t=%s; ", name)
    .. [[umask 077; n="$t.sshlua.$$"; trap 'rm -f "$n"' EXIT; cat > "$n" || exit; ]]
    .. ([[s=$(wc -c < "$n") && [ "$s" -eq %d ] || ]]):format(size)
    .. ([[{ echo "received $s of %d bytes" >&2; exit 1; }; ]]):format(size)
    .. ("chmod %s \"$n\" || exit; "):format(mode)
    .. [[[ -d "$t" ] && { echo "$t is a directory" >&2; exit 1; }; ]]
    .. [[[ -e "$t" ] && [ ! -f "$t" ] && { echo "$t is no regular file: a copy would replace it" >&2; exit 1; }; ]]
    .. [[mv -f "$n" "$t"]]
end

local function transferred(host, bytes, before)
  return Result.new({ host = host.name, code = 0, bytes = bytes, changed = true, duration = core.now() - before })
end

---@param host sshlua.Host
function M.put(host, from, to, opts)
  to = names.target(from, to)
  local mode, before = octal(opts.mode), core.now()
  local file = await(core.fs_open, from, "r", nil)
  return closing(file, function()
    local stat = await(file.stat, file)
    if stat.type ~= "file" then
      errors.raise({ kind = "io", host = host.name, op = "put", message = from .. " is not a regular file" })
    end
    host:session():exec(receive_script(to, stat.size, mode or ("%03o"):format(stat.mode % 512)),
      { stdin = file_pieces(file) })
    return transferred(host, stat.size, before)
  end)
end

local function send_script(name)
  return quote.sh("f=%s; ", name)
    .. [[[ -f "$f" ] || { echo "$f: no such regular file" >&2; exit 1; }; wc -c < "$f" >&2; cat "$f"]]
end

---@param host sshlua.Host
function M.get(host, from, to)
  to = names.target(from, to)
  local before = core.now()
  local partial = ("%s.sshlua.%d.%s"):format(to, core.getpid(), tostring({}):match("0x(%x+)") or "0")
  local file = await(core.fs_open, partial, "wx", nil)
  local ok, result = pcall(closing, file, function()
    local at, announced = 0, ""
    host:session():exec(send_script(from), {
      max_output = 65536,
      sink = function(bytes, stream)
        if stream == "stderr" then
          announced = (announced .. bytes):sub(1, 4096)
        else
          await(file.write, file, bytes, at)
          at = at + #bytes
        end
      end,
    })
    local size = tonumber(announced:match("^%s*(%d+)%s*$"))
    if size ~= at then
      errors.raise({
        kind = "io", host = host.name, op = "get",
        message = ("%s: received %d of %s bytes"):format(from, at, tostring(size or "?")),
      })
    end
    await(file.fsync, file)
    return transferred(host, at, before)
  end)
  if ok then
    local failure
    ok, failure = pcall(await, core.fs_rename, partial, to)
    if not ok then result = failure end
  end
  if not ok then
    core.fs_unlink(partial, function() end)
    error(errors.wrap(result, { host = host.name, op = "get" }), 0)
  end
  return result
end

return M
