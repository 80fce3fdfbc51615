-- Other processes for the embed specs: the interpreter that runs busted, with the same module.
local M = {}

function M.interpreter()
  local i = 0
  while arg and arg[i - 1] do i = i - 1 end
  return arg and arg[i] or "lua5.4"
end

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end
M.quote = quote

M.is_luajit = rawget(_G, "jit") ~= nil

-- The sanitizers' runtime must come first in a program that knows nothing of it; here it is if the module needs it.
local function preload()
  local maps = io.open("/proc/self/maps")
  if not maps then return "" end
  local seen, list = {}, {}
  for line in maps:lines() do
    local path = line:match("(/%S*/lib[atu][sb]?san%.so%S*)")
    if path and not seen[path] then
      seen[path] = true
      list[#list + 1] = path
    end
  end
  maps:close()
  if #list == 0 then return "" end
  table.sort(list, function(a, b) return a:find("libasan", 1, true) ~= nil and b:find("libasan", 1, true) == nil end)
  return "LD_PRELOAD=" .. quote(table.concat(list, " ")) .. " ASAN_OPTIONS=detect_leaks=0 "
end
M.preload = preload()

-- Runs a shell command for at most 60 s; what it printed, both streams, and its exit status.
function M.sh(command)
  local pipe = assert(io.popen(("{ timeout -k 5 60 sh -c %s; echo \"[$?]\"; } 2>&1 </dev/null"):format(quote(command))))
  local text = pipe:read("*a")
  pipe:close()
  local output, code = text:match("^(.*)%[(%d+)%]\n$")
  return output, tonumber(code)
end

-- Runs Lua code in a fresh interpreter of the same kind.
function M.lua(code, name)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(code)
  file:close()
  local output, status = M.sh(M.preload .. quote(name or M.interpreter()) .. " " .. path)
  os.remove(path)
  return output, status
end

function M.has(program) return select(2, M.sh("command -v " .. quote(program))) == 0 end

return M
