--- --journal, --resume and --only of the command line: what a journal adds to a run's hosts and command, and the lists
--- of hosts beside it.

local files = require("sshlua.cli.fleet_files")
local hostset = require("sshlua.hostset")
local journal = require("sshlua.journal")

local misuse = require("sshlua.cli.fleet_options").misuse

local M = {}

--- Hosts and command are the journal's own unless the command line names others.
local function from_past(o, past)
  local about = type(past.head.about) == "table" and past.head.about or {}
  if not o.hosts and not o.groups and type(about.hosts) == "string" then o.hosts = { about.hosts } end
  if not o.rest[1] and type(about.command) == "string" then o.rest = { about.command } end
  if o.only then
    o.keep_host = function(h) return journal.belongs(past.hosts[journal.name_of(h)], o.only) end
  end
end

local function fold(fleet)
  local names = {}
  for i, h in ipairs(fleet) do names[i] = journal.name_of(h) end
  return hostset.fold(names)
end

--- Reads what there is; the journal is opened for writing by open(o, command, fleet).
---@param o table of cli/fleet_args.lua
function M.start(o)
  if o.journal and o.resume then misuse("--journal begins a journal, --resume goes on with one: one of them") end
  if (o.only or o.unknown) and not o.resume then misuse("--only and --unknown go with --resume FILE") end
  if o.resume then from_past(o, journal.read(o.resume)) end
  local path = o.resume or o.journal
  return {
    open = function(_, command, fleet)
      journal.open(path, {
        resume = o.resume and true or nil, unknown = o.resume and o.unknown or nil,
        about = { command = command, hosts = fold(fleet) },
      })
    end,
    finish = function(_, rs, hosts) files.lists(path .. ".", hosts, rs) end,
  }
end

return M
