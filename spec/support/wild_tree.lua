-- Random trees with everything that a file system allows, and pictures of trees to compare. The same seed makes the same
-- tree.
local core = require "sshlua.core"
local names = require "sshlua.transfer_names"
local task = require "sshlua.task"

local await = task.await

local M = {}

local awkward = {
  " ", " x", "x ", "new\nline", "\n", "-rf", "--", "*", "?", "[a]", "~", "~root", "$(id)", "`id`", "'", '"', "\\", "\\n", "a\\", "\t",
  "\r", "\27[31m", "\1", "\127", "\195\188ber", "\227\129\130", "\240\159\144\167", "e\204\129", "\255", "\255\254", "\192\175", "\195",
  "x\128y", "...", "....", ".hidden", "#x#", "x;y", "x|y", "x&y", "<x>", "x:y", "host:path", "%s", "%n", "@at", "{host}", "!",
}

-- Numbers from a seed: the same in Lua 5.4 and LuaJIT.
local function generator(seed)
  local state = seed % 2147483647 + 1
  return function(n)
    state = (state * 16807) % 2147483647
    return state % n + 1
  end
end

local function name_of(random, taken)
  while true do
    local name
    local kind = random(10)
    if kind <= 4 then
      name = awkward[random(#awkward)]
    elseif kind == 5 then
      name = ("long"):rep(51) .. ("%051d"):format(random(1000000)) -- 255 bytes, the first 204 alike
    elseif kind == 6 then
      local bytes = {}
      for i = 1, random(20) do
        local byte = random(255)
        bytes[i] = string.char(byte == 47 and 46 or byte)
      end
      name = table.concat(bytes)
    else
      name = ("file%d.txt"):format(random(1000000))
    end
    if taken[name] then name = name:sub(1, 200) .. random(1000000) end
    if not taken[name] and name ~= "." and name ~= ".." and #name <= 255 then
      taken[name] = true
      return name
    end
  end
end

local sizes = { 0, 1, 100, 4096, 32768, 32769, 131072, 131073, 262144, 524288, 524289, 1048576, 1500000 }

local function size_of(random)
  if random(4) > 1 then return random(3000) end
  if random(8) > 1 then return sizes[random(6)] end
  return sizes[random(#sizes)]
end

local function content(random, size)
  local piece = {}
  for i = 1, math.min(size, 997) do piece[i] = string.char(random(256) - 1) end
  local text = table.concat(piece)
  return text:rep(math.ceil(size / math.max(#text, 1))):sub(1, size)
end

-- Makes a tree of n entries at `top`, which must not be there.
function M.make(top, n, seed)
  local random, mask = generator(seed), core.umask()
  local directories = { { path = top, taken = {}, depth = 0, mode = 493 } }
  assert(core.fs_mkdir_sync(top, 448))
  for _ = 1, n do
    local dir = directories[random(#directories)]
    local name, kind = name_of(random, dir.taken), random(10)
    local path = dir.path .. "/" .. name
    if kind == 1 and dir.depth < 8 and #path < 3000 then
      assert(core.fs_mkdir_sync(path, 448))
      directories[#directories + 1] = { path = path, taken = {}, depth = dir.depth + 1,
        mode = names.masked(448 + random(64) - 1, mask) }
    elseif kind == 2 then
      local targets = { "nowhere", "file", "./x y", ".", "\255", ("t"):rep(200) }
      await(core.fs_symlink, targets[random(#targets)], path)
    else
      assert(core.fs_write_sync(path, content(random, size_of(random)), 384))
      await(core.fs_chmod, path, names.masked(256 + random(256) - 1, mask))
      local at = 900000000 + random(700000000)
      await(core.fs_utime, path, at, at)
    end
  end
  for i = #directories, 1, -1 do
    local d = directories[i]
    local at = 900000000 + random(700000000)
    await(core.fs_chmod, d.path, d.mode)
    await(core.fs_utime, d.path, at, at)
  end
end

local function digest(path)
  local f = assert(io.open(path, "rb"))
  local hasher = core.hasher "sha256"
  for bytes in function() return f:read(1048576) end do hasher:update(bytes) end
  f:close()
  return hasher:digest()
end

-- What is below a path, one line for each entry: name, type, mode, time, target, size, content.
function M.picture(path, rel, out)
  out = out or {}
  local entries = await(core.fs_readdir, path)
  table.sort(entries, function(a, b) return a.name < b.name end)
  for _, e in ipairs(entries) do
    local p, r = path .. "/" .. e.name, (rel or "") .. "/" .. e.name
    local st = await(core.fs_lstat, p)
    local more
    if st.type == "link" then
      more = await(core.fs_readlink, p)
    else
      more = ("%o %d"):format(st.mode, math.floor(st.mtime))
      if st.type == "file" then more = ("%s %d %s"):format(more, st.size, digest(p)) end
    end
    out[#out + 1] = ("%q %s %q"):format(r, st.type, more)
    if st.type == "directory" then M.picture(p, r, out) end
  end
  return out
end

-- The first line in which two pictures differ; nil when they do not.
function M.difference(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return ("%s\n  instead of\n%s"):format(tostring(b[i]), tostring(a[i])) end
  end
end

return M
