--- Bytes of a stream as valid UTF-8: characters that are cut by the end of a piece wait for the next one, what is none
--- becomes U+FFFD. Pure.

local M = {}

local WRONG = "\239\191\189"

--- Well-formed sequences (Unicode 3.9, table 3-7), as patterns.
local FORMS = {
  "^[\194-\223][\128-\191]", "^\224[\160-\191][\128-\191]", "^[\225-\236\238\239][\128-\191][\128-\191]",
  "^\237[\128-\159][\128-\191]", "^\240[\144-\191][\128-\191][\128-\191]",
  "^[\241-\243][\128-\191][\128-\191][\128-\191]", "^\244[\128-\143][\128-\191][\128-\191]",
}
local BEGINNINGS = {
  "^[\194-\244]$", "^\224[\160-\191]$", "^[\225-\236\238\239][\128-\191]$", "^\237[\128-\159]$", "^\240[\144-\191]$",
  "^\240[\144-\191][\128-\191]$", "^[\241-\243][\128-\191]$", "^[\241-\243][\128-\191][\128-\191]$",
  "^\244[\128-\143]$", "^\244[\128-\143][\128-\191]$",
}

--- Bytes above 127 without others between them.
local function repair(run)
  local out, at = {}, 1
  while at <= #run do
    local four, size = run:sub(at, at + 3), nil
    for _, form in ipairs(FORMS) do
      local _, to = four:find(form)
      if to then
        size = to
        break
      end
    end
    out[#out + 1] = size and run:sub(at, at + size - 1) or WRONG
    at = at + (size or 1)
  end
  return table.concat(out)
end

--- Where an unfinished character begins at the end, or nil.
local function unfinished(text)
  for at = #text, math.max(1, #text - 2), -1 do
    local byte = text:byte(at)
    if byte < 128 then return nil end
    if byte >= 192 then
      local tail = text:sub(at)
      for _, beginning in ipairs(BEGINNINGS) do
        if tail:find(beginning) then return at end
      end
      return nil
    end
  end
end

--- A converter for a stream: feed(bytes, last) -> text. With last, nothing waits any more.
---@return fun(bytes: string, last?: boolean): string
function M.new()
  local held = ""
  return function(bytes, last)
    local text = held .. bytes
    held = ""
    if not text:find("[\128-\255]") then return text end
    local at = not last and unfinished(text)
    if at then
      held, text = text:sub(at), text:sub(1, at - 1)
    end
    return (text:gsub("[\128-\255]+", repair))
  end
end

return M
