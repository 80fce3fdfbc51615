--- Many hosts: the same verbs, fanned out with a limit. A verb finishes on every host, whatever happens on the others,
--- returns Results, and raises one error of kind fleet at the end unless check = false.

local Result = require("sshlua.result").Result
local command = require("sshlua.command")
local connect = require("sshlua.connect")
local lazy = require("sshlua.lazy")
local elevate = lazy("sshlua.elevate")
local errors = require("sshlua.errors")
local executor = require("sshlua.executor")
local host = require("sshlua.host")
local hostset = lazy("sshlua.hostset")
local options = require("sshlua.options")
local privilege = require("sshlua.privilege")
local steps = lazy("sshlua.steps")
local transfer = lazy("sshlua.transfer")
local transfer_text = lazy("sshlua.transfer_text")

local M = {}

---@class sshlua.Fleet a list of hosts
local Fleet = {}
local fleet_mt = { __index = Fleet, __name = "sshlua.Fleet" }

--- The names, folded: web[1-3].
function fleet_mt:__tostring()
  local names = {}
  for i, h in ipairs(self) do names[i] = h.name end
  return hostset.fold(names)
end

--- Hosts by expression ("web[01-20],db1"), or by a list of names.
---@param expression string|string[]
---@param opts? sshlua.ConnectOptions for all of them
---@param sources? sshlua.HostSources where groups and files come from
---@return sshlua.Fleet
function M.new(expression, opts, level, sources)
  level = (level or 1) + 1
  local list = {}
  if type(expression) == "table" then
    for i, name in ipairs(expression) do list[i] = host.new(name, opts, level) end
  else
    if type(expression) ~= "string" then errors.usage(level, "host expression expected, got %s", type(expression)) end
    for i, h in ipairs(hostset.expand(expression, { level = level, sources = sources })) do
      list[i] = host.new(h.name, options.merge(opts, { user = h.user, port = h.port }), level)
    end
  end
  return setmetatable(list, fleet_mt)
end

--- A fleet of hosts that are there already.
---@param list sshlua.Host[]
---@return sshlua.Fleet
function M.of(list) return setmetatable(list, fleet_mt) end

--- The fleet with other defaults for its verbs, on the same connections.
---@param defaults sshlua.CommandOptions
---@return sshlua.Fleet
function Fleet:with(defaults)
  local view = {}
  for i, h in ipairs(self) do view[i] = h:with(defaults) end
  return setmetatable(view, fleet_mt)
end

local function preferred_parallel() return require("sshlua.preferences").load(connect.options).more.parallel end

--- Calls fn(h) for each host and returns Results, one per host, in order. The cancellation of the whole goes through.
local function fan_out(self, opts, op, fn)
  opts.parallel = opts.parallel or preferred_parallel()
  return executor.run(self, opts, op, fn)
end

local each_options = options.merge(executor.options, { timeout = "seconds", idle = "seconds" })

--- Options of the executor that a verb on fleets has beside its own.
local function check_own(opts, level)
  executor.check(options.check(opts, executor.options, level + 1), level + 1)
end

--- Each host's verbs within the silence that is allowed.
local function with_idle(self, opts)
  if not opts.idle then return self end
  local view = self:with({ idle = opts.idle })
  opts.idle = nil
  return view
end

--- fn(h) for each host, `parallel` at once; its failures are collected, and what it returns is in result.value.
--- `timeout` is wall time of each host, `idle` the silence that each of its commands may keep.
---@param fn fun(h: sshlua.Host): any
---@param opts? sshlua.ExecutorOptions and timeout, idle
---@return sshlua.Results
function Fleet:each(fn, opts)
  opts = options.merge(options.check(opts, each_options, 2))
  executor.check(opts, 2)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  return fan_out(with_idle(self, opts), opts, "each", fn)
end

--- fn(h) for each host, batch by batch: rolling({ batch = { 1, 5, "100%" }, max_failed = 1 }, fn). See docs/fleets.md.
---@param opts sshlua.RollingOptions
---@param fn fun(h: sshlua.Host): any
---@return sshlua.Results
function Fleet:rolling(opts, fn)
  local rolling = lazy.load("sshlua.rolling")
  opts = rolling.check(opts, 2)
  if type(fn) ~= "function" then errors.usage(2, "function expected, got %s", type(fn)) end
  opts.parallel = opts.parallel or preferred_parallel()
  return rolling.run(with_idle(self, opts), opts, fn, M.of)
end

local function split(opts, keep)
  local own, rest = {}, {}
  for k, v in pairs(opts or {}) do
    local to = keep[k] and own or rest
    to[k] = v
  end
  return own, rest
end

--- What runs a command on each host of a fleet; a password for it is tried on one host before the others.
---@param opts table those of host:run
---@return fun(h: sshlua.Host, more?: table): sshlua.Result more: options of this host
function M.runner(fleet, cmd, opts)
  local refusal = fleet[1] and privilege.plan(options.merge(fleet[1].defaults, opts)) and elevate.prepare(fleet, opts)
  return function(h, more)
    if refusal then error(elevate.not_tried(refusal, h.name), 0) end
    return h:run(cmd, more and options.merge(opts, more) or opts)
  end
end

--- Runs a command on every host.
---@param cmd string|(string|number)[]
---@param opts? table those of host:run, and sshlua.ExecutorOptions
---@return sshlua.Results
function Fleet:run(cmd, opts)
  local own, rest = split(opts, executor.options)
  check_own(own, 2)
  command.check(cmd, options.check(rest, command.options, 2), 2)
  rest.check = false
  return fan_out(self, own, "run", M.runner(self, cmd, rest))
end

--- Gives each host's name as the name of a file; with its port when others have the same.
local function file_names(self)
  local counts = {}
  for _, h in ipairs(self) do counts[h.name] = (counts[h.name] or 0) + 1 end
  return function(h)
    local name = h.name:gsub("[/%z]", "_"):gsub("^%.+$", "_")
    return (counts[h.name] or 0) > 1 and ("%s:%d"):format(name, h.port or 22) or name
  end
end

--- The path that {host} in it makes; nil without.
local function with_name(file_name, path, h)
  if not path:find("{host}", 1, true) then return nil end
  return (path:gsub("{host}", (file_name(h):gsub("%%", "%%%%"))))
end

--- Where what comes from a host goes: `to`/HOST/, or the path that {host} makes.
local function below_host(self, to, op, level)
  if type(to) ~= "string" then errors.usage(level + 1, "%s: file name expected, got %s", op, type(to)) end
  local file_name = file_names(self)
  return function(h)
    return with_name(file_name, to, h) or (to:gsub("(.)/+$", "%1")) .. "/" .. file_name(h) .. "/"
  end
end

--- What all hosts together may have on their way, so that memory does not grow with the fleet.
local BUFFERS, BUFFER_MIN, BUFFER_MAX = 16 * 1024 * 1024, 256 * 1024, 4 * 1024 * 1024

--- What copies to or from each host of a fleet: to `to`, and what comes from hosts below that. A password for it is
--- tried on one host before the others. Raises usage, `level` callers up.
---@param op "put"|"get"|"sync"
---@param opts sshlua.TransferOptions
---@param parallel? integer so many hosts at once have to do with the buffers
---@return fun(h: sshlua.Host): sshlua.Result
function M.copier(fleet, op, from, to, opts, parallel, level)
  local to_of = function() return to end
  if op == "get" or op == "sync" and opts.pull then
    opts, to_of = options.merge({ parents = true }, opts), below_host(fleet, to, op, level + 1)
  end
  transfer.check(op, from, to_of({ name = "host" }), opts, level + 1)
  if #fleet > 1 and type(from) ~= "string" and (type(from) ~= "table" or (from.data == nil and from[1] == nil)) then
    errors.usage(level + 1, "%s: what is read once cannot be copied to %d hosts: give a file name or { data = ... }",
      op, #fleet)
  end
  if #fleet > 1 and op == "put" then transfer.check_rereadable(from, #fleet, level + 1) end
  local at_once = math.min(#fleet, parallel or preferred_parallel() or executor.PARALLEL)
  local buffer = math.max(BUFFER_MIN, math.min(BUFFER_MAX, math.floor(BUFFERS / math.max(at_once, 1))))
  opts = options.merge({ buffer = buffer }, opts)
  local refusal = elevate.prepare(fleet, opts)
  return function(h)
    if refusal then error(elevate.not_tried(refusal, h.name), 0) end
    return h[op](h, from, to_of(h), opts)
  end
end

local function copy(self, op, from, to, opts)
  local own, rest = split(opts, executor.options)
  check_own(own, 3)
  return fan_out(self, own, op, M.copier(self, op, from, to, rest, own.parallel, 3))
end

--- Copies to every host; see Host.put. What is read is read from the page cache once per host, and every host goes at
--- its own speed.
---@param from string|string[]|{ data: string }
---@param to string a name, or a directory with a slash at its end
---@param opts? sshlua.TransferOptions and parallel, check
---@return sshlua.Results
function Fleet:put(from, to, opts) return (copy(self, "put", from, to, opts)) end

--- Makes every host's directory like the local one; see Host.sync. With pull = true a local one for each host.
---@param from string
---@param to string
---@param opts? sshlua.TransferOptions and parallel, check
---@return sshlua.Results
function Fleet:sync(from, to, opts) return (copy(self, "sync", from, to, opts)) end

--- Copies from every host: to `to`/HOST/..., or to the path that {host} in `to` makes.
---@param from string
---@param to string
---@param opts? sshlua.TransferOptions and parallel, check
---@return sshlua.Results
function Fleet:get(from, to, opts) return (copy(self, "get", from, to, opts)) end

--- Host.template for every host; `vars` may be a function(h) that returns them.
---@param from string
---@param to string
---@param vars? table<string, any>|fun(h: sshlua.Host): table
---@param opts? sshlua.TransferOptions and parallel, check
---@return sshlua.Results
function Fleet:template(from, to, vars, opts)
  local own, rest = split(opts, each_options)
  options.check(own, each_options, 2)
  local apply = transfer_text.template(from, to, vars, rest, 2)
  local refusal = elevate.prepare(self, rest)
  return fan_out(self, own, "template", function(h)
    if refusal then error(elevate.not_tried(refusal, h.name), 0) end
    local values = type(vars) == "function" and vars(h) or vars
    return steps.step(h, "template", { n = 4, from, to, values, rest }, function(view) return apply(view, values) end)
  end)
end

--- Host.save for every host: to the path that {host} in `path` makes. `text` may be a function(h).
---@param path string
---@param text string|number|fun(h: sshlua.Host): string|number|sshlua.Result
---@param opts? { mode?: string|number, dry_run?: boolean, parallel?: integer, check?: boolean }
---@return sshlua.Results
function Fleet:save(path, text, opts)
  local own, rest = split(opts, each_options)
  options.check(own, each_options, 2)
  local write = transfer_text.save(path, text, rest, 2)
  if #self > 1 and not path:find("{host}", 1, true) then
    errors.usage(2, "save: %d hosts cannot have one file: put {host} into its name", #self)
  end
  local file_name = file_names(self)
  return fan_out(self, own, "save", function(h)
    local to = with_name(file_name, path, h)
    return steps.step(h, "save", { n = 3, to or path, text, rest }, function(view) return write(view, to) end)
  end)
end

--- What a file holds on every host; it is the Results' stdout.
---@param path string
---@param opts? { max?: integer, timeout?: number, parallel?: integer, check?: boolean }
---@return sshlua.Results
function Fleet:read_file(path, opts)
  local own, rest = split(opts, each_options)
  options.check(own, each_options, 2)
  local read = transfer_text.read(path, rest, 2)
  local refusal = elevate.prepare(self, rest)
  return fan_out(self, own, "read_file", function(h)
    if refusal then error(elevate.not_tried(refusal, h.name), 0) end
    local text = steps.step(h, "read_file", { n = 2, path, rest }, read)
    return Result.new({ host = h.name, port = h.port, code = 0, stdout = text })
  end)
end

--- Follows a file on every host: for event in fleet:tail(path) do print(event.host, event.line) end
---@param path string
---@param opts? sshlua.TailOptions
---@return sshlua.Tail
function Fleet:tail(path, opts)
  local tail, views = lazy.load("sshlua.tail"), {} -- loaded when somebody follows
  for i, h in ipairs(self) do
    steps.step(h, "tail", { n = 2, path, opts }, function(view) views[i] = view end, true)
  end
  return tail.loop(tail.new(views, path, opts, 2))
end

--- State verbs: the executor's options are the fleet's, the rest is as for one host; see sshlua.state.
for _, verb in ipairs({
  "file", "dir", "link", "line", "service", "package", "account", "facts", "reboot", "wait_up", "hostkeys",
}) do
  Fleet[verb] = function(self, ...)
    local args, own, rest = lazy.load("sshlua.state").for_fleet(verb, executor.options, 2, ...)
    executor.check(own, 2)
    local refusal = elevate.prepare(self, rest)
    return (fan_out(self, own, verb, function(h)
      if refusal then error(elevate.not_tried(refusal, h.name), 0) end
      return (h[verb](h, (table.unpack or unpack)(args, 1, args.n))) -- luacheck: ignore 143
    end))
  end
end

--- Closes every connection.
function Fleet:close()
  for _, h in ipairs(self) do h:close() end
end

return M
