--- What a dialogue waits for: several texts, patterns, functions and objects at once, and the search for the first of
--- them in a stream. Pure; must not know channels, nor what is done about a match.
---
--- Linear in the stream: what has been searched is looked at again only as far as a match may reach back (`look_back`),
--- and patterns that end in "$" see the end of the stream only.

local errors = require("sshlua.errors")

local M = {}

M.LOOK_BACK = 4096
M.END_LOOK_BACK = 1024
local STEP = 16384

--- Compiling ----------------------------------------------------------------------------------------------------------

local words = { eof = true, timeout = true, limit = true }

local function has_find(v) return (type(v) == "table" or type(v) == "userdata") and v.find ~= nil end

local function ends_anchored(pattern)
  local before = pattern:match("(%%*)%$$")
  return before ~= nil and #before % 2 == 0
end

local function finder(key, plain, level)
  if type(key) == "function" then return { find = key } end
  if type(key) ~= "string" then
    return { find = function(text) return key:find(text, 1) end }
  end
  if key == "" then errors.usage(level + 1, "expect: an empty text is always there") end
  if plain or not key:find("[%^%$%(%)%%%.%[%]%*%+%-%?]") then
    return { find = function(text) return text:find(key, 1, true) end }
  end
  local ok, message = pcall(string.find, "", key)
  if not ok then
    local reason = tostring(message):gsub("^.-:%d+: ", "")
    errors.usage(level + 1, "expect: not a Lua pattern: %s (%s)", key, reason)
  end
  return {
    find = function(text) return text:find(key) end,
    at_start = key:sub(1, 1) == "^", at_end = ends_anchored(key),
  }
end

local function add(set, key, action, plain, level)
  if not (type(key) == "string" or type(key) == "function" or has_find(key)) then
    errors.usage(level + 1, "expect: text, pattern, function or something with find expected, got %s", type(key))
  end
  local kind = type(action)
  if kind ~= "function" and kind ~= "boolean" and kind ~= "string" and kind ~= "userdata" then
    errors.usage(level + 1, "expect: true, a function, or what is to be sent expected, got %s", kind)
  end
  local branch = finder(key, plain, level + 1)
  branch.key, branch.action, branch.index = key, action, #set + 1
  set[#set + 1] = branch
end

--- { pattern, action } or { plain = text, action }
local function add_entry(set, entry, plain, level)
  if type(entry) ~= "table" or has_find(entry) then return add(set, entry, true, plain, level + 1) end
  local key, action = entry.plain, entry[1]
  if key == nil then key, action = entry[1], entry[2] end
  if action == nil then action = true end
  add(set, key, action, plain or entry.plain ~= nil, level + 1)
end

--- Keys of a table have no order of their own: longest first, then by letter, then what is no text.
local function sorted_keys(what)
  local texts, others = {}, {}
  for key in pairs(what) do
    if type(key) == "string" then
      texts[#texts + 1] = key
    elseif type(key) ~= "number" then
      others[#others + 1] = key
    end
  end
  table.sort(texts, function(a, b)
    if #a ~= #b then return #a > #b end
    return a < b
  end)
  for _, key in ipairs(others) do texts[#texts + 1] = key end
  return texts
end

--- What to wait for, checked: a set of branches in their order, and what is done at eof, timeout, limit.
---@param what any see Shell.expect
---@param plain boolean|nil
function M.compile(what, plain, level)
  local set = {}
  if type(what) ~= "table" or has_find(what) then
    add(set, what, true, plain, level + 1)
  else
    for _, entry in ipairs(what) do add_entry(set, entry, plain, level + 1) end
    for _, key in ipairs(sorted_keys(what)) do
      if words[key] then
        if type(what[key]) ~= "function" and what[key] ~= true then
          errors.usage(level + 1, "expect: '%s': true or a function expected", key)
        end
        set[key] = what[key]
      else
        add(set, key, what[key], plain, level + 1)
      end
    end
  end
  if not (set[1] or set.eof or set.timeout) then errors.usage(level + 1, "expect: nothing to wait for") end
  return set
end

--- A set in words, for messages.
function M.describe(set)
  local names = {}
  for i, branch in ipairs(set) do
    names[i] = type(branch.key) == "string" and ("'%s'"):format(branch.key) or "a " .. type(branch.key)
  end
  return errors.excerpt(names[1] and table.concat(names, ", ") or "end of output", 160)
end

--- Searching ----------------------------------------------------------------------------------------------------------

local function try(best, branch, window, offset)
  local r = { branch.find(window) }
  local from, to = r[1], r[2]
  if not from then return best end
  if type(from) ~= "number" or type(to) ~= "number" or from < 1 or to > #window then
    errors.raise({ kind = "usage", message = "expect: a function must return where a match begins and ends, or nil" })
  end
  from, to = from + offset, to + offset
  if best and (best.from < from or best.from == from and best.branch.index < branch.index) then return best end
  return {
    from = from, to = to, branch = branch, unsure = branch.at_end,
    captures = { (table.unpack or unpack)(r, 3) }, -- luacheck: ignore 143
  }
end

local function search_middle(set, text, done, look_back)
  while done < #text do
    local upto = math.min(#text, done + STEP)
    local from = math.max(1, done - look_back + 1)
    local window, best = text:sub(from, upto), nil
    for _, branch in ipairs(set) do
      if not branch.at_end and not branch.at_start then best = try(best, branch, window, from - 1) end
    end
    if best then return best end
    done = upto
  end
end

--- The earliest match; of several that begin at the same place the first branch.
---@param text string
---@param done integer bytes at its beginning that have been searched before
---@param opts { look_back?: integer, fresh: boolean } fresh: the text begins where the last match ended
function M.search(set, text, done, opts)
  local best = search_middle(set, text, done, opts.look_back or M.LOOK_BACK)
  local from = math.max(1, #text - (opts.look_back or M.END_LOOK_BACK) + 1)
  for _, branch in ipairs(set) do
    if branch.at_start then
      local whole = opts.fresh and #text <= (opts.look_back or M.LOOK_BACK)
      if opts.fresh and (whole or not branch.at_end) then
        best = try(best, branch, text:sub(1, opts.look_back or M.LOOK_BACK), 0)
      end
    elseif branch.at_end then
      best = try(best, branch, from == 1 and text or text:sub(from), from - 1)
    end
  end
  return best
end

return M
