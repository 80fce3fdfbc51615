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

local function pieces_of(entry, source)
  return function()
    local bytes = source.read(entry.bytes)
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
    .. [[[ -e "$t" ] && [ ! -f "$t" ] && { echo "it is no file, and a copy would take its place" >&2; exit 1; }; ]]
    .. [[mv -f "$n" "$t"]]
end

--- source: shown, size, mode, and read(at), which returns the next bytes there.
local function send(job, source, to)
  job.total = job.total + source.size
  local entry = job:begin(source.shown, source.size)
  local ok, r = pcall(function()
    return job.host:session():exec(receive_script(to, source.size, names.mode(job.opts, source.mode)),
      { stdin = pieces_of(entry, source), check = false })
  end)
  job:finish(entry)
  if not ok then error(r, 0) end
  if not r.ok then refuse(job, "write", to, r.stderr, r) end
  job:arrive(to, "files")
end

local function send_file(job, file, from, to)
  local st = await(file.stat, file)
  if st.type ~= "file" then
    errors.raise({ kind = "io", host = job.name, op = job.op, path = from,
      message = ("%s is not a regular file but a %s"):format(errors.excerpt(from), names.kind(st.type)) })
  end
  send(job, { shown = from, size = st.size, mode = st.mode, read = function(at)
    return await(file.read, file, PIECE, at)
  end }, to)
end

--- A source that is text, a secret perhaps; else nil.
local function text_of(from)
  local data = type(from) == "table" and from.data or from
  if core.is_secret(data) then return data end
  return data ~= from and type(data) == "string" and data or nil
end

--- Can it be put? Sizes are compared, so they have to be known before: files and texts.
---@param from any
---@return boolean
function M.takes(from) return type(from) == "string" or text_of(from) ~= nil end

---@param job sshlua.TransferJob
---@param from string|sshlua.Secret|{ data: string|sshlua.Secret }
---@param to string
function M.put(job, from, to)
  local text = text_of(from)
  if text then
    text = core.is_secret(text) and text:reveal() or text
    return send(job, { shown = to, size = #text, mode = 420, read = function(at)
      return at < #text and text:sub(at + 1, at + PIECE) or nil
    end }, to)
  end
  local file = here.call(from, core.fs_open, from, "r", nil)
  local ok, err = pcall(send_file, job, file, from, to)
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
