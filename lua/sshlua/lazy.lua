--- A module that is loaded when something of it is used first: for what most scripts never need. What it gives stands
--- for the module's table; only functions and constants of it may be asked for, not changed.

---@param name string
---@return table
return function(name)
  return setmetatable({}, {
    __index = function(self, key)
      local value = require(name)[key]
      rawset(self, key, value)
      return value
    end,
  })
end
