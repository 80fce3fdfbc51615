--- A board as lines of text: a model and a view in, exactly as many lines as the screen has out, none wider than it.
--- Pure; the terminal is board/screen.lua's affair.

local bar = require("sshlua.transfer_bar")
local core = require("sshlua.core")
local model_of = require("sshlua.board.model")
local texts = require("sshlua.board.texts")

local M = {}

--- The narrowest and lowest that something can be shown on.
local LEAST_COLUMNS, LEAST_ROWS = 20, 4
local WITH_TITLE, WITH_WORDS, WITH_BARS, BAR = 12, 60, 90, 10

local marks = { failed = "!", running = ">", queued = ".", ok = "+", skipped = "-" }
local styles = { failed = "31", running = "36", queued = "2", ok = "32", skipped = "33" }

---@class sshlua.board.Frame
---@field cols integer
---@field rows integer
---@field now number of the events' clock
---@field title string cleaned
---@field color boolean
---@field over? boolean the run has ended

--- Pieces -----------------------------------------------------------------------------------------------------------

local function pad(text, columns)
  local cut, width = core.fit(text, columns)
  return cut .. (" "):rep(columns - width)
end

local function styled(f, style, text)
  if not f.color or not style or text == "" then return text end
  return ("\27[%sm%s\27[0m"):format(style, text)
end

--- Left and right, one line.
local function both(left, right, columns)
  local width = core.width(right)
  if width + 4 > columns then return pad(left, columns) end
  return pad(left, columns - width - 1) .. " " .. right
end

local function mark_of(row) return row.state == "running" and row.target.phase and ":" or marks[row.state] end

local function elapsed(row, now)
  if not row.started then return "" end
  return bar.span(math.max((row.ended or now) - row.started, 0))
end

local function drawn_bar(share)
  local full = math.floor(share * BAR + 0.001)
  return "[" .. ("="):rep(full) .. (" "):rep(BAR - full) .. "]"
end

--- What rows have room for.
local function columns_of(f, model, list, from, to)
  local c = { name = math.max(8, math.min(model.widest, math.floor(f.cols * 0.3))) }
  c.name = math.min(c.name, math.max(model.widest, 4))
  c.word = f.cols >= WITH_WORDS and 10 or nil
  for i = from, to do
    if model_of.share(list[i]) then c.share = f.cols >= WITH_BARS and BAR + 7 or 4 end
  end
  return c
end

local function share_text(row, c)
  local share = model_of.share(row)
  local percent = share and ("%3d%%"):format(math.floor(share * 100 + 0.001)) or ""
  if c.share == 4 or not share then return pad(percent, c.share) end
  return pad(drawn_bar(share) .. " " .. percent, c.share)
end

--- A row's line.
local function row_line(f, row, c, here, marked)
  local head = ("%s%s %s %s"):format(marked and "*" or " ", mark_of(row), pad(row.name, c.name),
    pad(elapsed(row, f.now), 5))
  if c.word then head = head .. " " .. pad(model_of.word(row), c.word) end
  if c.share then head = head .. " " .. share_text(row, c) end
  local room = f.cols - core.width(head) - 1
  local said = model_of.line(row) or ""
  if not c.word and row.state == "failed" then said = model_of.word(row) .. (said ~= "" and ": " .. said or "") end
  said = room > 0 and " " .. core.fit(said, room) or ""
  if here then return styled(f, "7", pad(head .. said, f.cols)) end
  local rest = head:sub(3) .. said
  return head:sub(1, 1) .. styled(f, styles[row.state], head:sub(2, 2)) .. rest
end

--- The strip --------------------------------------------------------------------------------------------------------

local rank = { failed = 1, running = 2, queued = 3, skipped = 4, ok = 5 }

--- Of several hosts that share a cell the one that wants to be seen.
local function cell_of(rows, from, to)
  local worst = rows[from]
  for i = from + 1, to do
    if rows[i] and rank[rows[i].state] < rank[worst.state] then worst = rows[i] end
  end
  return mark_of(worst), styles[worst.state]
end

--- Cells of one line, colours put around runs of them.
local function cells_line(f, cells, from, to)
  local out, at = {}, from
  while at <= to do
    local stop = at
    while stop < to and cells[stop + 1].style == cells[at].style do stop = stop + 1 end
    local text = {}
    for i = at, stop do text[#text + 1] = cells[i].mark end
    out[#out + 1] = styled(f, cells[at].style, table.concat(text))
    at = stop + 1
  end
  return table.concat(out)
end

--- One cell for each host, in the order of the fleet, or for several when there is not so much room.
---@return string[] lines
---@return integer each so many hosts share a cell
local function strip(f, rows, height)
  local each = math.max(1, math.ceil(#rows / (f.cols * height)))
  local cells = {}
  for from = 1, #rows, each do
    local mark, style = cell_of(rows, from, from + each - 1)
    cells[#cells + 1] = { mark = mark, style = style }
  end
  local lines = {}
  for from = 1, #cells, f.cols do
    lines[#lines + 1] = cells_line(f, cells, from, math.min(from + f.cols - 1, #cells))
  end
  return lines, each
end

--- Head and foot ----------------------------------------------------------------------------------------------------

local function counts_text(model, wide)
  local parts = {}
  for _, state in ipairs(model_of.states) do
    local n = model.counts[state]
    if n > 0 then parts[#parts + 1] = wide and ("%d %s"):format(n, state) or ("%s%d"):format(marks[state], n) end
  end
  return table.concat(parts, wide and ", " or " ")
end

local function head(f, model)
  local clock = model.started and bar.span(f.now - model.started) or ""
  local hosts = ("%d host%s"):format(#model.rows, #model.rows == 1 and "" or "s")
  local wide = hosts .. ": " .. counts_text(model, true)
  if core.width(wide) + 8 > f.cols then wide = hosts .. ": " .. counts_text(model, false) end
  if f.rows < WITH_TITLE then return { both(wide, clock, f.cols) } end
  return { styled(f, "1", both(f.title, clock, f.cols)), pad(wide, f.cols) }
end

local function filter_text(view)
  local parts = {}
  if view.state then parts[#parts + 1] = view.state end
  if view.text then parts[#parts + 1] = "/" .. view.text end
  return parts[1] and "shown: " .. table.concat(parts, " ") .. " (Esc: all)  " or ""
end

local hints = {
  list = "? help  q leave  ^C stop", host = "q back  ? help", split = "q back  ? help", diff = "q back  ? help",
  help = "q back",
}

local function foot(f, model, view)
  if view.typing then return pad("name contains: " .. view.typing .. "_", f.cols) end
  local at = view.row and view.hidden and view.what == "list" and "on " .. view.row.name .. "  " or ""
  local text = view.said or model.notice or f.over and "all are done: q leaves"
    or filter_text(view) .. at .. hints[view.what]
  return styled(f, "2", pad(text, f.cols))
end

--- Views ------------------------------------------------------------------------------------------------------------

--- The rows' lines, `height` of them.
local function rows_lines(f, model, view, height)
  local list, at = view:list()
  local from = view.from or 1
  -- The lines go after the cursor when it was moved, not when its host goes on to another place.
  if at and view.moved and at < from then from = at end
  if at and view.moved and at >= from + height then from = at - height + 1 end
  from = math.max(1, math.min(from, #list - height + 1))
  view.from, view.room, view.moved = from, math.max(height, 1), false
  view.hidden = at and (at < from or at >= from + height) or false
  local to = math.min(#list, from + height - 1)
  local lines, c = {}, columns_of(f, model, list, from, to)
  for i = from, to do
    local row = list[i]
    lines[#lines + 1] = row_line(f, row, c, i == at, row == view.other)
  end
  if #list == 0 then lines[1] = "  no host here" end
  return lines
end

local function append(lines, more)
  for _, line in ipairs(more) do lines[#lines + 1] = line end
end

local function fill(lines, height)
  while #lines < height do lines[#lines + 1] = "" end
  while #lines > height do lines[#lines] = nil end
end

local function list_view(f, model, view)
  local lines = head(f, model)
  local room = f.rows - #lines - 1
  if #model.rows > room then
    local height = math.max(1, math.min(math.ceil(#model.rows / f.cols), math.floor(room / 3)))
    local cells, each = strip(f, model.rows, height)
    if each > 1 and f.rows >= WITH_TITLE then
      lines[#lines] = pad(("%s  (a cell: %d hosts)"):format(lines[#lines]:gsub("%s+$", ""), each), f.cols)
    end
    append(lines, cells)
    room = room - #cells
  end
  append(lines, rows_lines(f, model, view, room))
  fill(lines, f.rows - 1)
  return lines
end

local function split_view(f, model, view)
  local lines = head(f, model)
  local room = f.rows - 1 - #lines
  local above = math.max(1, math.floor((room - 1) / 2))
  append(lines, rows_lines(f, model, view, above))
  fill(lines, f.rows - 1 - (room - above))
  append(lines, texts.host(f, view, view.row, room - above, model_of))
  fill(lines, f.rows - 1)
  return lines
end

local views = { list = list_view, split = split_view }

function views.host(f, _, view)
  local lines = texts.host(f, view, view.row, f.rows - 1, model_of)
  view.room = math.max(1, f.rows - 3)
  fill(lines, f.rows - 1)
  return lines
end

function views.diff(f, _, view)
  local lines = texts.diff(f, view, f.rows - 1)
  view.room = math.max(1, f.rows - 3)
  fill(lines, f.rows - 1)
  return lines
end

function views.help(f)
  local lines = texts.help(f)
  fill(lines, f.rows - 1)
  return lines
end

--- The whole screen.
---@param f sshlua.board.Frame
---@param model sshlua.board.Model
---@param view sshlua.board.View
---@return string[]
function M.frame(f, model, view)
  if f.cols < LEAST_COLUMNS or f.rows < LEAST_ROWS then
    local lines = { (core.fit("too small", f.cols)) }
    fill(lines, f.rows)
    return lines
  end
  local lines = views[view.what](f, model, view)
  lines[#lines + 1] = foot(f, model, view)
  return lines
end

return M
