-- The task library in this interpreter, too: the unit specs again.
for _, name in ipairs({ "scope", "cancel", "sync", "where", "many" }) do
  dofile("spec/unit/task_" .. name .. "_spec.lua")
end
