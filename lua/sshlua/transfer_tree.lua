--- Trees: walks the source, makes directories, copies many files at once, deletes what is too much. Knows two sides
--- that look alike (transfer_local, transfer_remote); must not know how a file is moved.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local get = require("sshlua.transfer_get")
local group = require("sshlua.task.group")
local here = require("sshlua.transfer_local")
local many = require("sshlua.transfer_many")
local names = require("sshlua.transfer_names")
local put = require("sshlua.transfer_put")
local remote = require("sshlua.transfer_remote")
local sync = require("sshlua.task.sync")

local M = {}

local DEPTH_MAX = 64
local WALKERS = 8
local ENTRIES_MAX = 10000000

---@class sshlua.Tree
---@field job sshlua.TransferJob
---@field from table the source's side
---@field to table the target's side
---@field guarded? boolean the source is a host: its links must not lead out of the tree
---@field copy fun(node: table, name: string, st: table)
local Tree = {}
Tree.__index = Tree

--- Directories ------------------------------------------------------------------------------------------------------

--- A pair of directories; it is settled and left when all below it has ended.
local function node_of(parent, source, target, rel, st)
  if parent then parent.uses = parent.uses + 1 end
  return { parent = parent, source = source, target = target, rel = rel, uses = 1, st = st,
    depth = parent and parent.depth + 1 or 1 }
end

local function rel_of(node, name) return node.rel == "" and name or node.rel .. "/" .. name end

function Tree:dir_mode(st)
  local mode = self.job.opts.dir_mode
  if mode or not st.mode then return mode end
  mode = self.job.opts.setuid and st.mode or st.mode % 512
  return self.to.is_local and names.masked(mode, core.umask()) or mode
end

function Tree:settle(node)
  if not node.target or not node.st or self.job.opts.dry_run then return end
  local mode = (node.made or self.compare or self.job.opts.dir_mode) and self:dir_mode(node.st) or nil
  local mtime = self.job.opts.times and node.st.mtime or nil
  if mode == nil and mtime == nil then return end
  self.job:try(node.target.shown, self.to.settle, node.target, mode, mtime)
end

--- What used the node has ended.
function Tree:release(node)
  while node do
    node.uses = node.uses - 1
    if node.uses > 0 then return end
    local ok, err = pcall(self.settle, self, node)
    node.source:leave()
    if node.target then node.target:leave() end
    if not ok then error(err, 0) end
    node = node.parent
  end
end

--- The pair of directories below a node; nil when it could not be made.
function Tree:descend(node, name, st)
  local job, rel = self.job, rel_of(node, name)
  if node.depth >= DEPTH_MAX then
    job:fail(node.source:show(name), errors.new({ kind = "limit",
      message = ("%s: more than %d levels of directories"):format(errors.excerpt(node.source:show(name)), DEPTH_MAX) }))
    return nil
  end
  local source, target, made
  local ok = job:try(node.source:show(name), function()
    source = self.from.enter(node.source, name, self.follow)
    if job.opts.dry_run and (not node.target or not self.to.look(node.target, name)) then
      job:arrive(names.join(self.top, rel) .. "/", "directories")
      return
    end
    if not job.opts.dry_run then made = self.to.make(node.target, name) end
    target = self.to.enter(node.target, name)
    if made then job:arrive(target.shown .. "/", "directories") end
  end)
  if not ok then
    if source then source:leave() end
    if target then target:leave() end
    return nil
  end
  local below = node_of(node, source, target, rel, st)
  below.made = made
  return below
end

--- Entries ----------------------------------------------------------------------------------------------------------

function Tree:copy_link(node, name)
  local job, shown = self.job, node.source:show(name)
  if job.opts.links ~= "copy" then return job:leave_out(shown, "a symbolic link") end
  job:try(shown, function()
    local target = self.from.readlink(node.source, name)
    if self.guarded and not job.opts.unsafe_links and not names.stays_inside(rel_of(node, name), target) then
      return job:leave_out(shown, "a link that leads out of the tree: " .. errors.excerpt(target))
    end
    if self.compare and node.target then
      local st = self.to.look(node.target, name)
      if st and st.type == "link" and self.to.readlink(node.target, name) == target then
        job.same = job.same + 1
        return
      end
    end
    local temp = job.opts.resume and not self.to.is_local and names.part(name) or names.temporary(name)
    if not job.opts.dry_run then self.to.link(node.target, name, target, temp) end
    job:arrive(names.join(self.top, rel_of(node, name)), "links")
  end)
end

function Tree:copy_file(s, node, name, st, old)
  if self.many and self.many:takes(st, old) then return self.many:add(s, node, name, st) end
  local gate = self.job:gate(st.size)
  gate:acquire()
  node.uses = node.uses + 1
  s:spawn(function()
    local ok, err = pcall(function()
      self.job:try(node.source:show(name), self.copy, node, name, st)
      self:release(node)
    end)
    gate:release()
    if not ok then error(err, 0) end
  end)
end

--- A file where a directory should be, or the other way round: in the way, unless we may delete.
function Tree:clear(node, name, st, old)
  local is_directory = st.type == "directory"
  if not old or (old.type == "directory") == is_directory then return true end
  if not self.job.opts.delete then return true end -- whoever makes the entry says what is in the way
  return self.job:try(node.target:show(name), function()
    if self:remove(node.target, name, old, rel_of(node, name), 1) then return end
    errors.raise({ kind = "io", name = "ENOTEMPTY", path = node.target:show(name),
      message = ("%s is in the way: a directory that holds what is excluded"):format(
        errors.excerpt(node.target:show(name))) })
  end)
end

function Tree:entry(s, node, st, old)
  local name = st.name
  if self.follow and st.type == "link" then
    st = self.from.look(node.source, name, true)
    if not st then return self.job:leave_out(node.source:show(name), "a link that leads nowhere") end
    st.name = name
  end
  if not self:clear(node, name, st, old) then return end
  if st.type == "directory" then
    local below = self:descend(node, name, st)
    if below then self:walk_somewhere(s, below) end
  elseif st.type == "file" then
    self:copy_file(s, node, name, st, old)
  elseif st.type == "link" then
    self:copy_link(node, name)
  else
    self.job:leave_out(node.source:show(name), "a " .. names.kind(st.type))
  end
end

local function within(side, dir, name, fn)
  local inner = side.enter(dir, name)
  local ok, value = pcall(function()
    local list = side.list(inner)
    table.sort(list, function(a, b) return a.name < b.name end)
    return fn(inner, list)
  end)
  inner:leave()
  if not ok then error(value, 0) end
  return value
end

--- Is something excluded below an entry of the target?
function Tree:shelters(dir, name, st, rel, depth)
  local patterns = self.job.opts.exclude
  if st.type ~= "directory" or not patterns or not patterns[1] then return false end
  if depth > DEPTH_MAX then
    errors.raise({ kind = "limit", message = errors.excerpt(dir:show(name)) .. ": too deep" })
  end
  return within(self.to, dir, name, function(inner, list)
    for _, e in ipairs(list) do
      local below = rel .. "/" .. e.name
      if names.excluded(patterns, below, e.name, e.type == "directory")
        or self:shelters(inner, e.name, e, below, depth + 1) then return true end
    end
    return false
  end)
end

--- Removes an entry of the target with what is below it. What is excluded stays, and the directories that it is in.
--- True: nothing stayed.
function Tree:remove(dir, name, st, rel, depth)
  if not self:shelters(dir, name, st, rel, depth) then
    if not self.job.opts.dry_run then self.to.remove(dir, name, st.type) end
    self.job:delete(dir:show(name))
    return true
  end
  within(self.to, dir, name, function(inner, list)
    for _, e in ipairs(list) do
      local below = rel .. "/" .. e.name
      if not names.excluded(self.job.opts.exclude, below, e.name, e.type == "directory") then
        self.job:try(inner:show(e.name), self.remove, self, inner, e.name, e, below, depth + 1)
      end
    end
  end)
  return false
end

--- What the source has not is removed.
function Tree:delete_extras(node, wanted, old)
  local extras = {}
  for name, st in pairs(old) do
    local rel = rel_of(node, name)
    if not wanted[name] and not names.excluded(self.job.opts.exclude, rel, name, st.type == "directory") then
      extras[#extras + 1] = name
    end
  end
  table.sort(extras)
  for _, name in ipairs(extras) do
    self.job:try(node.target:show(name), function()
      if not self:remove(node.target, name, old[name], rel_of(node, name), 1) then
        self.job:leave_out(node.target:show(name), "not deleted, as it holds what is excluded")
      end
    end)
  end
end

function Tree:existing(node)
  local old = {}
  if not self.compare or not node.target then return old end
  for _, st in ipairs((self.to.list(node.target))) do old[st.name] = st end
  return old
end

local function is_name(name) return name ~= "" and name ~= "." and name ~= ".." and not name:find("[/%z]") end

function Tree:walk(s, node)
  local job = self.job
  local entries, refused, old
  local ok = job:try(node.source.shown, function()
    entries, refused = self.from.list(node.source)
    old = self:existing(node)
  end)
  if not ok then return end
  job:tick()
  self.entries = (self.entries or 0) + #entries
  if self.entries > ENTRIES_MAX then
    errors.raise({ kind = "limit", message = ("more than %d entries in a tree"):format(ENTRIES_MAX) })
  end
  if refused > 0 then
    job:leave_out(node.source.shown, ("%d names that are not names of files"):format(refused))
  end
  local wanted = {}
  for _, st in ipairs(entries) do
    local rel = rel_of(node, st.name)
    if not is_name(st.name) or wanted[st.name] then
      job:leave_out(node.source:show(st.name), wanted[st.name] and "its name came twice" or "not a name")
    elseif not names.excluded(job.opts.exclude, rel, st.name, st.type == "directory") then
      wanted[st.name] = true
      job:try(node.source:show(st.name), self.entry, self, s, node, st, old[st.name])
    end
  end
  if job.opts.delete and refused == 0 then self:delete_extras(node, wanted, old) end
end

function Tree:walk_and_release(s, node)
  local ok, err = pcall(self.walk, self, s, node)
  self:release(node)
  if not ok then error(err, 0) end
  self.walking = self.walking - 1
  if self.walking == 0 and self.many then self.many:flush(s) end -- nobody will add any more
end

--- In a task of its own while there are few, else at once.
function Tree:walk_somewhere(s, node)
  self.walking = self.walking + 1
  if self.walkers.free == 0 then return self:walk_and_release(s, node) end
  self.walkers:acquire()
  s:spawn(function()
    local ok, err = pcall(self.walk_and_release, self, s, node)
    self.walkers:release()
    if not ok then error(err, 0) end
  end)
end

--- `way`: "put" or "get" when many small files may go together, else nil.
local function run(self, way, source, target, st)
  local job = self.job
  job.is_tree = true
  self.walking = 1
  self.many = way and many.new(job, way, self.copy, function(node) self:release(node) end)
  self.walkers = sync.semaphore(WALKERS)
  self.follow = job.opts.links == "follow"
  local node = node_of(nil, source, target, "", st)
  node.made = self.made
  group.scope(function(s) self:walk_and_release(s, node) end)
end

--- Directions -------------------------------------------------------------------------------------------------------

local function remote_top(job, path)
  local sftp = job.sftp
  local st = sftp:exists(path)
  if st and st.type == "directory" then return remote.hold(sftp, path, job), false end
  if st then
    errors.raise({ kind = "sftp", name = "ENOTDIR", path = path,
      message = ("%s is in the way: it is a %s, not a directory"):format(errors.excerpt(path), names.kind(st.type)) })
  end
  if job.opts.dry_run then
    put.pretend(job, path, "directories")
    return nil, false
  end
  local ok, err = pcall(sftp.mkdir, sftp, path, { mode = 448 })
  if not ok then
    put.explain(job, err, path)
    error(err, 0)
  end
  job:arrive(path .. "/", "directories")
  return remote.hold(sftp, path, job), true
end

local function upload(job, from, to, compare)
  local source = here.open(from)
  local ok, target, made = pcall(remote_top, job, to)
  if not ok then
    source:leave()
    error(target, 0)
  end
  local st = here.look(source, ".")
  local self = setmetatable({ job = job, from = here, to = remote, compare = compare, made = made,
    top = to }, Tree)
  self.copy = function(node, name)
    local path = node.target and node.target:show(name) or names.join(to, rel_of(node, name))
    put.file(job, here.source(node.source, name, self.follow), path)
  end
  run(self, "put", source, target, st)
end

--- A local directory with what is in it.
function M.put(job, from, to) upload(job, from, to, job.opts.skip and true or false) end

--- The same, and what is there already is compared and, if asked for, deleted.
function M.sync(job, from, to) upload(job, from, to, true) end

local function local_top(job, path)
  local ok, dir = pcall(here.open, path)
  if ok then return dir, false end
  if dir.name ~= "ENOENT" then error(dir, 0) end
  if job.opts.dry_run then
    local parent = path:match("^(.*[^/])/+[^/]*$")
    if parent and not job.opts.parents then here.open(parent):leave() end
    job:arrive(path .. "/", "directories")
    return nil, false
  end
  if job.opts.parents then here.make_parents(path) else here.call(path, core.fs_mkdir, path, 448) end
  job:arrive(path .. "/", "directories")
  return here.open(path), true
end

local function download(job, from, to, compare)
  local source = remote.hold(job.sftp, from)
  local st = job.sftp:stat(from)
  local target, made = local_top(job, to)
  local self = setmetatable({ job = job, from = remote, to = here, compare = compare, made = made,
    guarded = true, top = to }, Tree)
  self.copy = function(node, name, entry)
    if not node.target then return job:arrive(names.join(to, rel_of(node, name)), "files") end
    get.file(job, node.source:show(name), node.target, name, entry)
  end
  run(self, "get", source, target, st)
end

--- A directory of the host with what is in it.
function M.get(job, from, to) download(job, from, to, job.opts.skip and true or false) end

--- The same, and what is here already is compared and, if asked for, deleted.
function M.pull(job, from, to) download(job, from, to, true) end

--- From host to host. `sftp`: of the source; copy_file(path, to, st) copies a file.
function M.copy(job, sftp, from, to, copy_file)
  local st = sftp:stat(from)
  local target, made = remote_top(job, to)
  local self = setmetatable({ job = job, from = remote, to = remote, compare = job.opts.skip and true or false,
    made = made, guarded = true, top = to }, Tree)
  self.copy = function(node, name, entry)
    local path = node.target and node.target:show(name) or names.join(to, rel_of(node, name))
    copy_file(node.source:show(name), path, entry)
  end
  run(self, nil, remote.hold(sftp, from), target, st)
end

return M
