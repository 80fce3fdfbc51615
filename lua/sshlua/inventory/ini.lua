--- Inventories in INI, Ansible's layout: [group], [group:children], [group:vars], host lines with key=value.
--- Knows lines; must not know files.

local literal = require("sshlua.inventory.literal")
local model = require("sshlua.inventory.model")
local ranges = require("sshlua.inventory.ranges")
local trim = require("sshlua.trim")

local M = {}

local fail = model.fail
local MAX_LINE = 65536

--- The words of a line, split as sh would: quotes, backslashes, "#" starts a comment.
local function split(line, where)
  local list, at = {}, 1
  while true do
    at = line:find("[^ \t]", at)
    if not at or line:find("^#", at) then return list end
    local parts = {}
    while at <= #line and not line:find("^[ \t#]", at) do
      local c = line:sub(at, at)
      if c == "'" then
        local close = line:find("'", at + 1, true)
        if not close then fail(where, "unclosed quote") end
        parts[#parts + 1] = line:sub(at + 1, close - 1)
        at = close + 1
      elseif c == '"' then
        at = at + 1
        while line:sub(at, at) ~= '"' do
          if at > #line then fail(where, "unclosed quote") end
          local escaped = line:match('^\\(["\\])', at)
          local plain = not escaped and line:match('^[^"\\]+', at) or nil
          parts[#parts + 1] = escaped or plain or line:sub(at, at)
          at = at + (escaped and 2 or plain and #plain or 1)
        end
        at = at + 1
      elseif c == "\\" then
        if at == #line then fail(where, "a backslash at the end of the line") end
        parts[#parts + 1] = line:sub(at + 1, at + 1)
        at = at + 2
      else
        local plain = line:match("^[^ \t#'\"\\]+", at)
        parts[#parts + 1] = plain
        at = at + #plain
      end
    end
    list[#list + 1] = table.concat(parts)
    if line:find("^#", at) then return list end
  end
end

local sections = {}

--- web[01:03]:2222 ansible_user=deploy role="front end"
function sections.hosts(m, group, line, where)
  local words = split(line, where)
  if not words[1] then return end
  local vars = {}
  for i = 2, #words do
    local name, value = words[i]:match("^([^=]+)=(.*)$")
    if not name then fail(where, "\"%s\" is no key=value", words[i]:sub(1, 80)) end
    vars[#vars + 1] = { name, literal.value(value) }
  end
  ranges.hosts(words[1], where, function(name, port)
    local host = m:host(name, where)
    m:add_host(group, host)
    if port then m:set(host, "ansible_port", port, where) end
    for _, var in ipairs(vars) do m:set(host, var[1], var[2], where) end
  end)
end

function sections.children(m, group, line, where)
  local name = line:match("^([^%s#;]+)%s*$") or line:match("^([^%s#;]+)%s*[#;]")
  if not name then fail(where, "the name of a group expected, got \"%s\"", line:sub(1, 80)) end
  m:add_child(group, m:group(name, where), where)
end

function sections.vars(m, group, line, where)
  local name, value = line:match("^([^=]*)=%s*(.*)$")
  name = name and trim(name)
  if not name or name == "" then fail(where, "\"%s\" is no key = value", line:sub(1, 80)) end
  m:set(group, name, literal.value(value), where)
end

local function header(m, line, where)
  local text = line:match("^%[([^%]]*)%]%s*$") or line:match("^%[([^%]]*)%]%s*[#;]")
  if not text then fail(where, "a section is [group], [group:children] or [group:vars]") end
  local name, kind = text:match("^([^:]+):(.*)$")
  name, kind = name or text, kind or "hosts"
  if not sections[kind] then fail(where, "unknown section [%s]; there are :children and :vars", text:sub(1, 80)) end
  return m:group(name, where), kind
end

--- Adds what a text says to a model.
---@param m sshlua.InventoryModel
---@param text string
---@param path string for messages
function M.read(m, text, path)
  local group, kind, number = m:group("ungrouped", path .. ":1"), "hosts", 0
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local where = path .. ":" .. number
    if #line > MAX_LINE then fail(where, "a line of %d bytes", #line) end
    line = trim(line)
    if line:find("%z") then fail(where, "a NUL byte: this is no text") end
    if line:find("^%[") then
      -- "[::1]" is a host, "[web]" a section.
      if line:find("^%[[%x:.]*:[%x:.]*:[%x:.]*%]") then
        sections.hosts(m, group, line, where)
      else
        group, kind = header(m, line, where)
      end
    elseif line ~= "" and not line:find("^[#;]") then
      sections[kind](m, group, line, where)
    end
  end
end

return M
