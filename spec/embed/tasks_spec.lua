-- The task library in this interpreter, too: the unit specs again.
local environment = setfenv and getfenv(1) or _ENV -- luacheck: ignore 113

for _, name in ipairs({ "scope", "cancel", "sync", "where", "many" }) do
  assert(loadfile("spec/unit/task_" .. name .. "_spec.lua", "t", environment))()
end
