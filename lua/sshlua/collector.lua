--- What a run gives, collected: bounded, and passed on to whoever wants it as it comes. Pure.

local M = {}

--- What one run has given so far.
---@param limit integer bytes of each stream that are kept
---@param sink? fun(bytes: string, stream: string)
function M.new(limit, sink)
  local self = { pieces = { [0] = {}, {} }, sizes = { [0] = 0, 0 }, bytes = 0, truncated = false }
  function self.add(bytes, which)
    self.bytes = self.bytes + #bytes
    local room = limit - self.sizes[which]
    if #bytes > room then self.truncated = true end
    if room > 0 then
      local list = self.pieces[which]
      list[#list + 1] = #bytes > room and bytes:sub(1, room) or bytes
      self.sizes[which] = self.sizes[which] + math.min(#bytes, room)
    end
    if sink then sink(bytes, which == 0 and "stdout" or "stderr") end
  end
  function self.output()
    return {
      stdout = table.concat(self.pieces[0]), stderr = table.concat(self.pieces[1]), bytes = self.bytes,
      truncated = self.truncated,
    }
  end
  return self
end

return M
