--- Text without the blanks around it, in linear time: "^%s*(.-)%s*$" takes minutes for a long row of blanks within.

---@param text string
---@return string
return function(text)
  local from = text:find("%S")
  return from and text:match("^.*%S", from) or ""
end
