-- Host expressions and inventories are plain Lua on top of the core: their specs, in the other interpreters too.
local environment = getfenv and getfenv(1) or _ENV -- luacheck: ignore 143 113

local function run_again(path)
  local chunk = assert(loadfile(path, "t", environment))
  if setfenv then setfenv(chunk, environment) end -- luacheck: ignore 143 113
  chunk()
end

run_again "spec/unit/hostset_spec.lua"
run_again "spec/unit/hostset_algebra_spec.lua"
run_again "spec/unit/inventory_spec.lua"
