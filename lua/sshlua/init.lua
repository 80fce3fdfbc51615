--- sshlua: scriptable SSH automation. What users require; re-exports, no logic.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local host = require("sshlua.host")
local lazy = require("sshlua.lazy")
local quote = require("sshlua.quote")
local secret = lazy("sshlua.secret")
local task = require("sshlua.task")

local elevate = lazy("sshlua.elevate")
local hosts = lazy("sshlua.hosts")

---@class sshlua
local M = {
  _VERSION = "sshlua " .. core.VERSION,

  -- where code runs
  run = task.run, spawn = task.spawn, attach = task.attach, driver = task.driver,
  scope = task.scope, all = task.all, race = task.race, each = task.each, map = task.map, timeout = task.timeout,
  shield = task.shield, retry = task.retry, sleep = task.sleep, queue = task.queue, semaphore = task.semaphore,
  event = task.event, now = task.now,

  -- text
  quote = quote.quote, sh = quote.sh,

  -- secrets
  is_secret = core.is_secret, mask = core.mask, masker = core.masker,

  errors = errors,
  is_error = errors.is,
}

--- A host by name: nothing is connected yet.
---@param name string "user@name:port"
---@param opts? sshlua.ConnectOptions
---@return sshlua.Host
function M.host(name, opts) return (host.new(name, opts, 2)) end

--- Does an expression ask for a group or a file? Only then is the code for that loaded.
local function asks(text)
  return type(text) == "string" and (text:find("^%s*@") or text:find("[,!&^]%s*@") or text:find("^", 1, true))
end

--- Many hosts: "web[01-20],db1", "@db!db3", or a list of names.
---@param expression string|string[]
---@param opts? sshlua.ConnectOptions
---@return sshlua.Fleet
function M.hosts(expression, opts)
  local sources = asks(expression) and lazy.load("sshlua.inventory.sources").default() or nil
  return (hosts.new(expression, opts, 2, sources))
end

--- Copies a file from host to host, through memory: ssh.copy("a:/x", "b:/y"). Complete under its name, or not at all.
---@param from string HOST:PATH, or { host, path }
---@param to string HOST:PATH, or { host, path }
---@param opts? sshlua.TransferOptions
---@return sshlua.Result
function M.copy(from, to, opts) return (lazy.load("sshlua.transfer_copy").copy(from, to, opts, 2)) end

--- An inventory: a file (Lua, YAML, INI, JSON, groups of ClusterShell), an executable, a directory, or several.
---@param source? string|string[] default: $SSHLUA_INVENTORY, or config.lua's
---@param opts? sshlua.InventoryOptions
---@return sshlua.Inventory
function M.inventory(source, opts) return (lazy.load("sshlua.inventory").open(source, opts, 2)) end

--- Writes each step of each host down, from now on: a run that was killed goes on with { resume = true } where it was.
---@param file string
---@param opts? sshlua.JournalOptions
function M.journal(file, opts) lazy.load("sshlua.journal").open(file, opts, 2) end

--- Ends the journal before the run ends.
function M.journal_end() lazy.load("sshlua.journal").close() end

--- Calls fn(event) for what happens on fleets: which hosts start, their steps and lines, how they end. docs/fleets.md.
---@param fn fun(event: sshlua.FleetEvent)
---@return fun() stop
function M.watch(fn)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  lazy.load("sshlua.steps").install()
  return lazy.load("sshlua.events").listen(fn)
end

--- fn(board) with a live board of these hosts on the terminal, docs/fleets.md; nothing but fn(nil) where there is no
--- terminal for one. Returns what fn returns. What is printed meanwhile is printed when the board goes.
---@param fleet sshlua.Host[]
---@param fn fun(board: sshlua.Board|nil): ...
---@param title? string
---@return any ...
function M.board(fleet, fn, title)
  if type(fleet) ~= "table" then errors.usage(2, "hosts expected, got %s", type(fleet)) end
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  return lazy.load("sshlua.board").with(fleet, title or "sshlua", fn)
end

--- A session by hand.
---@param name string
---@param opts? sshlua.ConnectOptions
---@return sshlua.Session
function M.connect(name, opts) return (host.connect(name, opts, 2)) end

--- A secret by name: asked once per run, from the environment (SSHLUA_SECRET_NAME), opts.command, opts.file, a person.
---@param name string
---@param opts? sshlua.SecretOptions
---@return sshlua.Secret
function M.secret(name, opts) return (secret.get(name, opts, 2)) end

--- Asks for sudo's password now, for all hosts; see elevate.ask_sudo.
function M.ask_sudo(...) return elevate.ask_sudo(...) end

--- fn(...)'s results; or nil and the error. Cancellation and misuse are raised.
---@param fn fun(...): ...
---@param ... any for fn
---@return any result fn's first, or nil
---@return any ... its others, or the error
function M.try(fn, ...)
  local r = task.pack(pcall(fn, ...))
  if r[1] then return (table.unpack or unpack)(r, 2, r.n) end -- luacheck: ignore 143
  if errors.is(r[2], "cancelled") or errors.is(r[2], "usage") then error(r[2], 0) end
  return nil, r[2]
end

--- Calls fn(event) for what happens on the way to hosts and back. Returns a function that ends it.
---@param fn fun(event: sshlua.LogEvent)
---@return fun() stop
function M.log(fn)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  return lazy.load("sshlua.log").listen(fn)
end

local parts = { here = "sshlua.here", json = "sshlua.json", config = "sshlua.ssh_config" }

lazy.note()

return setmetatable(M, { __index = function(_, name) return parts[name] and lazy.load(parts[name]) end })
