--- Modules that are loaded when something of them is used first: for what most scripts never need. Who loads the
--- library twice (specs do) has two of each module: a late one must find those that its own copy was loaded with.

local M = {}

local ours = {}

local function is_part(name) return name:find("^sshlua") ~= nil and name ~= "sshlua.core" end

--- Remembers what has been loaded by now.
function M.note()
  for name, module in pairs(package.loaded) do
    if is_part(name) then ours[name] = module end
  end
end

--- require, among our own modules while package.loaded has another copy of the library.
---@param name string
---@return table
function M.load(name)
  if package.loaded["sshlua.lazy"] == M then return require(name) end
  local theirs = {}
  for other, module in pairs(package.loaded) do
    if is_part(other) then theirs[other] = module end
  end
  for other in pairs(theirs) do package.loaded[other] = nil end
  for other, module in pairs(ours) do package.loaded[other] = module end
  local ok, module = pcall(require, name)
  M.note()
  for other in pairs(ours) do package.loaded[other] = nil end
  for other, one in pairs(theirs) do package.loaded[other] = one end
  if not ok then error(module, 0) end
  return module
end

--- A stand-in for a module. Its functions and constants may be asked for, not changed.
return setmetatable(M, {
  __call = function(_, name)
    M.note()
    return setmetatable({}, {
      __index = function(self, key)
        local value = M.load(name)[key]
        rawset(self, key, value)
        return value
      end,
    })
  end,
})
