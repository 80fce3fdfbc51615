--- Texts on a board: one host's output, how two differ, the help. Lines in, those that fit out. Pure.

local core = require("sshlua.core")
local diff = require("sshlua.diff")

local M = {}

--- So many lines of an output are compared.
local COMPARED = 5000

local function styled(f, style, text) return f.color and ("\27[%sm%s\27[0m"):format(style, text) or text end

local function pad(text, columns)
  local cut, width = core.fit(text, columns)
  return cut .. (" "):rep(columns - width)
end

--- Long lines go on in the next one.
local function wrapped(lines, columns)
  local out = {}
  for _, line in ipairs(lines) do
    repeat
      local part = core.fit(line, columns)
      if part == "" then part = line end -- one character that is wider than the screen
      out[#out + 1] = part
      line = line:sub(#part + 1)
    until line == ""
  end
  return out
end

--- The end of the lines, or as far up as the view has been scrolled; never past their beginning.
local function window(view, lines, height)
  view.up = math.max(0, math.min(view.up, #lines - height))
  local to = #lines - view.up
  local out = {}
  for i = math.max(1, to - height + 1), to do out[#out + 1] = lines[i] end
  return out
end

local function head(f, text) return styled(f, "7", pad(text, f.cols)) end

--- A host's output below a line that says whose it is.
---@param f sshlua.board.Frame
---@param row sshlua.board.Row
---@return string[]
function M.host(f, view, row, height, model_of)
  if not row then return { head(f, "no host") } end
  local about = ("%s: %s"):format(row.name, model_of.word(row))
  local lines = row.tail:lines()
  if row.tail.cut then table.insert(lines, 1, "[what came before is not kept here]") end
  if row.problem and row.state ~= "running" then lines[#lines + 1] = row.problem end
  local shown = window(view, wrapped(lines, f.cols), height - 1)
  if view.up > 0 then about = ("%s  (%d below)"):format(about, view.up) end
  table.insert(shown, 1, head(f, about))
  return shown
end

local function text_of(row)
  local lines = row.tail:lines()
  local from = math.max(1, #lines - COMPARED + 1)
  return table.concat(lines, "\n", from) .. (lines[from] and "\n" or "")
end

--- Made again only when one of them has said more.
local function difference(view, from, to)
  local made = view.difference
  if made and made.from == from and made.to == to then return made.lines end
  local lines = {}
  local text = diff.unified(from, to, { from = view.other.name, to = view.row.name })
  for line in text:gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  if not lines[1] then lines[1] = "no difference" end
  view.difference = { from = from, to = to, lines = lines }
  return lines
end

local diff_styles = { ["+"] = "32", ["-"] = "31", ["@"] = "36" }

--- What leads from the marked host's output to this one's.
---@param f sshlua.board.Frame
---@return string[]
function M.diff(f, view, height)
  local a, b = view.other, view.row
  local lines = difference(view, text_of(a), text_of(b))
  local shown = window(view, wrapped(lines, f.cols), height - 1)
  for i, line in ipairs(shown) do
    local style = diff_styles[line:sub(1, 1)]
    if style then shown[i] = styled(f, style, line) end
  end
  local about = ("%s and %s"):format(a.name, b.name)
  if view.up > 0 then about = ("%s  (%d below)"):format(about, view.up) end
  table.insert(shown, 1, head(f, about))
  return shown
end

local help = {
  { "q", "leave: the run goes on, in lines" },
  { "^C", "no host starts; again: cancel" },
  { "j k, arrows", "move; PgUp PgDn g G" },
  { "Enter", "one host's output" },
  { "s", "rows above, the output below" },
  { "m, then d", "mark a host; how this one differs" },
  { "f", "failed, running, queued, ok, all" },
  { "/", "hosts whose name contains" },
  { "Esc", "back, all hosts" },
  { "^L", "draw again" },
  { ". : > + ! -", "queued, connecting, running, ok, failed, skipped" },
}

--- The keys.
---@param f sshlua.board.Frame
---@return string[]
function M.help(f)
  local lines = { head(f, "keys") }
  for _, entry in ipairs(help) do
    if #lines < f.rows - 1 then lines[#lines + 1] = (core.fit((" %-12s %s"):format(entry[1], entry[2]), f.cols)) end
  end
  return lines
end

return M
