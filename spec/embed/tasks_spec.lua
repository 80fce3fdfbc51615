-- The task library in this interpreter, too: the unit specs again.
for _, name in ipairs({ "scope", "cancel", "sync", "where", "many" }) do
  -- busted's words are in this file's environment, not among the globals.
  local chunk = assert(loadfile("spec/unit/task_" .. name .. "_spec.lua"))
  local here = setfenv and getfenv(1) -- luacheck: ignore 143 113
  if here then setfenv(chunk, here) else debug.setupvalue(chunk, 1, _ENV) end -- luacheck: ignore 143 113
  chunk()
end
