--- group_vars/ and host_vars/ beside an inventory: files, or directories of files, named like a group or host.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local read = require("sshlua.inventory.read")
local task = require("sshlua.task.core")
local tree = require("sshlua.inventory.tree")
local yaml = require("sshlua.yaml")

local M = {}

local MAX_FILES = 100000

local function read_vars(item, path)
  local text = read.file(path)
  if text:find("^%s*%$ANSIBLE_VAULT") then
    local message = path .. ":1: encrypted files (ansible-vault) are not read"
    errors.raise({ kind = "config", message = message, op = "inventory" })
  end
  local value, positions
  if path:find("%.json$") then
    value, positions = core.json_decode(text)
    if value == nil then
      errors.raise({ kind = "config", message = path .. ": " .. positions.message, op = "inventory" })
    end
    positions = nil
  else
    value, positions = yaml.decode(text, path, { environment = true })
  end
  tree.read_vars(item, value, path, positions)
end

--- The entries of a directory, sorted, without hidden ones and what editors leave behind.
---@param path string
---@return { name: string, type: string }[]
function M.entries(path)
  if not task.current() then
    errors.raise({ kind = "usage", message = path .. ": a directory is read inside a task (ssh.run)" })
  end
  local list = {}
  for _, entry in ipairs(task.await(core.fs_readdir, path)) do
    local name = entry.name
    if not name:find("^%.") and not name:find("~$") and not name:find("%.bak$") and not name:find("%.orig$") then
      list[#list + 1] = entry
    end
  end
  if #list > MAX_FILES then
    errors.raise({ kind = "limit", message = ("%s: more than %d files"):format(path, MAX_FILES), op = "inventory" })
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function read_entry(item, path)
  local stat = read.stat(path)
  if not stat or stat.type ~= "directory" then return read_vars(item, path) end
  for _, entry in ipairs(M.entries(path)) do
    if entry.name:find("%.ya?ml$") or entry.name:find("%.json$") or not entry.name:find(".", 1, true) then
      read_vars(item, path .. "/" .. entry.name)
    end
  end
end

local function read_folder(folder, items)
  local stat = read.stat(folder)
  if not stat or stat.type ~= "directory" then return end
  for _, entry in ipairs(M.entries(folder)) do
    local name = entry.name:gsub("%.ya?ml$", ""):gsub("%.json$", "")
    local item = items[entry.name] or items[name]
    if item then read_entry(item, folder .. "/" .. entry.name) end
  end
end

--- Adds what the two folders in a directory say.
---@param m sshlua.InventoryModel
---@param directory string
function M.read(m, directory)
  read_folder(directory .. "/group_vars", m.groups)
  read_folder(directory .. "/host_vars", m.hosts)
end

return M
