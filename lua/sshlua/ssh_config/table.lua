--- The table of docs/ssh_config.md: every keyword and what becomes of it. Made of keywords.lua.

local keywords = require("sshlua.ssh_config.keywords")

local M = {}

local words = {
  applied = "applied", structure = "applied", ignored = "ignored", later = "not yet", unsupported = "error",
}

local function aliases(def)
  local list = {}
  for i, name in ipairs(def.aliases or {}) do list[i] = "`" .. name .. "`" end
  return list[1] and " (also " .. table.concat(list, ", ") .. ")" or ""
end

--- Markdown.
---@return string
function M.markdown()
  local lines, names = { "| keyword | | proven by; why; what else |", "|---|---|---|" }, {}
  for _, def in ipairs(keywords.list) do names[#names + 1] = def end
  for _, title in ipairs({ "Host", "Match", "Include" }) do
    names[#names + 1] = keywords.by_name[title:lower()]
  end
  table.sort(names, function(a, b) return a.name < b.name end)
  for _, def in ipairs(names) do
    lines[#lines + 1] = ("| %s%s | %s | %s |"):format(def.title, aliases(def), words[def.status],
      (def.proof and "`" .. def.proof:match("[^/]*/[^/]*$") .. "`" .. (def.why and "; " or "") or "")
        .. (def.why or ""):gsub("|", "\\|"))
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Keywords that ssh reads without effect.
---@return string
function M.accepted()
  local list = {}
  for name, def in pairs(keywords.by_name) do
    if def.status == "accepted" then list[#list + 1] = "`" .. name .. "`" end
  end
  table.sort(list)
  return table.concat(list, ", ")
end

return M
