--- A file to a host and back through `cat`: works wherever there is a shell. The target appears whole under its name
--- or not at all; sizes are compared before it does.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local here = require("sshlua.transfer_local")
local names = require("sshlua.transfer_names")
local quote = require("sshlua.quote")
local task = require("sshlua.task.core")

local M = {}

local await = task.await
local PIECE = 1024 * 1024
local WORDS_MAX = 4096

--- No program takes it for an option.
local function plain(path) return path:sub(1, 1) == "-" and "./" .. path or path end

--- What the host said last, or how it ended.
local function refuse(job, verb, path, words, r)
  words = words:match("([^\r\n]+)%s*$") or r:status()
  errors.raise({ kind = "io", host = job.name, op = job.op, path = path,
    message = ("cannot %s %s: %s"):format(verb, errors.excerpt(path), errors.excerpt(words)) })
end

--- To a host --------------------------------------------------------------------------------------------------------

local function pieces_of(entry, file)
  return function()
    local bytes = await(file.read, file, PIECE, entry.bytes)
    if bytes then entry.bytes = entry.bytes + #bytes end
    return bytes
  end
end

--- The remote half: writes to a name beside the target that nobody has, compares the size, renames.
local function receive_script(path, size, mode)
  return quote.sh("t=%s; ", plain(path))
    .. [[umask 077; n="$t.sshlua.$$"; trap 'rm -f "$n"' EXIT; cat > "$n" || exit; ]]
    .. ([[s=$(wc -c < "$n") && [ "$s" -eq %d ] || ]]):format(size)
    .. ([[{ echo "received $s of %d bytes" >&2; exit 1; }; ]]):format(size)
    .. ("chmod %03o \"$n\" || exit; "):format(mode)
    .. [[[ -d "$t" ] && { echo "it is a directory" >&2; exit 1; }; ]]
    .. [[[ -e "$t" ] && [ ! -f "$t" ] && { echo "it is no regular file: a copy would replace it" >&2; exit 1; }; ]]
    .. [[mv -f "$n" "$t"]]
end

local function send(job, file, from, to)
  local st = await(file.stat, file)
  if st.type ~= "file" then
    errors.raise({ kind = "io", host = job.name, op = job.op, path = from,
      message = ("%s is not a regular file but a %s"):format(errors.excerpt(from), st.type) })
  end
  job.total = job.total + st.size
  local entry = job:begin(from, st.size)
  local ok, r = pcall(function()
    return job.host:session():exec(receive_script(to, st.size, names.mode(job.opts, st.mode)),
      { stdin = pieces_of(entry, file), check = false })
  end)
  job:finish(entry)
  if not ok then error(r, 0) end
  if not r.ok then refuse(job, "write", to, r.stderr, r) end
  job:arrive(to, "files")
end

---@param job sshlua.TransferJob
---@param from string
---@param to string
function M.put(job, from, to)
  local file = here.call(from, core.fs_open, from, "r", nil)
  local ok, err = pcall(send, job, file, from, to)
  pcall(file.close, file, function() end)
  if not ok then error(err, 0) end
end

--- From a host ------------------------------------------------------------------------------------------------------

--- Says size and mode, where stat(1) can, before the bytes.
local function send_script(path)
  return quote.sh("f=%s; ", plain(path))
    .. [[[ -f "$f" ] || { echo "no such regular file" >&2; exit 1; }; s=$(wc -c < "$f") || exit; ]]
    .. [[m=$(stat -Lc %a "$f" 2>/dev/null || stat -Lf %Lp "$f" 2>/dev/null); ]]
    .. [[echo "sshlua-file $s $m" >&2; cat "$f"]]
end

local function receive(job, entry, from, file)
  local words = ""
  local r = job.host:session():exec(send_script(from), {
    check = false, max_output = 65536,
    sink = function(bytes, stream)
      if stream == "stderr" then
        words = (words .. bytes):sub(-WORDS_MAX)
      else
        await(file.write, file, bytes, entry.bytes)
        entry.bytes = entry.bytes + #bytes
      end
    end,
  })
  if not r.ok then refuse(job, "read", from, words, r) end
  local size, mode = words:match("sshlua%-file%s+(%d+)%s*([0-7]*)")
  if tonumber(size) ~= entry.bytes then
    refuse(job, "read", from, ("received %d of %s bytes"):format(entry.bytes, size or "?"), r)
  end
  return tonumber(mode, 8) or 384
end

---@param job sshlua.TransferJob
---@param from string
---@param dir sshlua.LocalDirectory
---@param name string one component
function M.get(job, from, dir, name)
  local temp = names.temporary(name)
  local file = dir:make_file(temp, 384)
  local entry = job:begin(from, nil)
  local ok, err = pcall(function()
    local mode = receive(job, entry, from, file)
    await(core.fs_chmod, dir:at(temp), job.opts.mode or names.masked(names.mode(job.opts, mode), core.umask()))
    job:quiet(await, file.fsync, file)
    await(file.close, file)
    dir:call(core.fs_rename, temp, dir:at(name))
  end)
  job:finish(entry)
  if ok then return job:arrive(dir:show(name), "files") end
  pcall(file.close, file, function() end)
  dir:drop(temp)
  error(err, 0)
end

return M
