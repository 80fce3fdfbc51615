--- Changes to a device's configuration: all lines or none where the device can do that, for a time until they are
--- confirmed where it can do that. Knows the order of things; how a kind of device says them is in its profile.

local errors = require("sshlua.errors")
local fresh = require("sshlua.fresh")
local options = require("sshlua.options")
local scope = require("sshlua.task.scope")

local M = {}

---@class sshlua.Device
local Device = {}
M.Device = Device

local REVERT_SECONDS = 60
local last_session = 0

local configure_options = {
  confirm = "seconds|boolean", verify = "function", dry_run = "boolean", answers = "table", timeout = "seconds",
}

--- Lines -------------------------------------------------------------------------------------------------------------

--- A text is split into its lines; empty ones are left out.
local function list_of(lines, level)
  if type(lines) == "string" then
    local list = {}
    for line in lines:gmatch("[^\r\n]+") do
      if line:find("%S") then list[#list + 1] = line end
    end
    lines = list
  end
  if type(lines) ~= "table" then errors.usage(level + 1, "configure: lines expected, got %s", type(lines)) end
  if #lines == 0 then errors.usage(level + 1, "configure: no line to send") end
  return lines
end

--- Confirmation ------------------------------------------------------------------------------------------------------

--- The way changes are made that take themselves back; and the time in what the device counts.
local function confirming(self, opts, level)
  local mode = self.profile.config
  local confirm = mode.confirm
  if not opts.confirm then return nil end
  if not confirm then
    errors.usage(level + 1, "configure: %s cannot take changes back by itself: no option confirm", self.profile.name)
  end
  if not confirm.unit then
    if opts.confirm ~= true then
      errors.usage(level + 1, "configure: %s has no clock for changes, they are taken back when the dialogue ends: "
        .. "confirm = true", self.profile.name)
    end
    return confirm
  end
  local seconds = opts.confirm == true and math.min(600, (confirm.max or 600) * confirm.unit) or opts.confirm
  local units = math.ceil(seconds / confirm.unit)
  if units < (confirm.min or 1) or units > (confirm.max or math.huge) then
    errors.usage(level + 1, "option 'confirm': %s takes %d to %d s", self.profile.name,
      (confirm.min or 1) * confirm.unit, (confirm.max or 0) * confirm.unit)
  end
  return confirm, units
end

--- The steps of one change: the profile's, those for a confirmation in their place.
local function plan_of(self, opts, level)
  local mode = self.profile.config
  if not mode then errors.usage(level + 1, "configure: the profile %s has no config", self.profile.name) end
  local confirm, units = confirming(self, opts, level + 1)
  local plan = options.merge(mode, confirm)
  last_session = last_session + 1
  local session = fresh.word(("sshlua-%d-%d"):format(os.time() % 1000000, last_session))
  plan.units, plan.seconds = units, units and units * confirm.unit
  plan.confirm = confirm
  function plan.fill(line)
    if type(line) == "function" then line = line(units) end
    return (line:gsub("{session}", session):gsub("%%d", units and ("%d"):format(units) or "%%d"))
  end
  if opts.dry_run and not (plan.diff and plan.abort) then
    errors.usage(level + 1, "configure: %s cannot show changes before they are made: no option dry_run",
      self.profile.name)
  end
  return plan
end

local function key(self, keys, answers)
  return self.shell:talk({ keys }, "", "a key", { answers = answers })
end

--- Going in and out --------------------------------------------------------------------------------------------------

local function enter(self, plan)
  local said = ""
  if plan.enter_key then
    said = key(self, plan.enter_key, plan.answers)
  elseif plan.enter then
    said = self:cmd(plan.fill(plan.enter))
  end
  if not self:at(plan.prompt) then
    local words = said:match("([^\n]*)%s*$")
    self:refused("REFUSED", plan.enter and plan.fill(plan.enter) or "safe mode",
      words ~= "" and words or "the device did not enter the mode", said, { op = "configure" })
  end
end

local function leave(self, plan)
  if plan.leave and self:at(plan.prompt) then self:cmd(plan.leave) end
end

--- Back to where nothing has been changed, as far as this kind of device can; true when it is so.
local function give_up(self, plan)
  if plan.abort then
    self:cmd(plan.fill(plan.abort))
    leave(self, plan)
    return true
  end
  leave(self, plan)
  if plan.revert then
    for _, line in ipairs(plan.revert) do self:cmd(plan.fill(line)) end
    return true
  end
  if plan.revert_key then
    self:send(plan.revert_key) -- ends the dialogue, too
    pcall(self.expect, self, { eof = true }, { timeout = 5 })
    self:close()
    return true
  end
  return false
end

local function give_up_quietly(self, plan)
  local ok, undone = pcall(scope.shield, scope.timeout, REVERT_SECONDS, give_up, self, plan)
  return ok and undone
end

--- Lines that were sent, and what came of it: for the error of the one that failed.
local function explain(err, self, plan, done, count)
  local index = done.index
  if not errors.is(err) then return err end
  err.op, err.index = "configure", index
  if index and errors.is(err, "device") then err.message = ("line %d of %d: "):format(index, count) .. err.message end
  if self.shell.closed or self.shell.ended then return err end
  if not done.entered then return err end
  if give_up_quietly(self, plan) then
    err.hint = "nothing was changed: what had been sent was taken back"
  elseif plan.commit then
    err.hint = "nothing was committed"
  elseif index and index > 1 then
    err.hint = ("the %d lines before it have taken effect"):format(index - 1)
  end
  return err
end

--- Verbs -------------------------------------------------------------------------------------------------------------

local function send_lines(self, plan, lines, opts, done)
  local said = {}
  for i, line in ipairs(lines) do
    done.index = i
    local out = self:cmd(line, { answers = opts.answers, timeout = opts.timeout })
    if out ~= "" then said[#said + 1] = out end
  end
  done.index = nil
  local diff = plan.diff and self:cmd(plan.fill(plan.diff)) or nil
  return table.concat(said, "\n"), diff
end

local function commit(self, plan, opts)
  if plan.commit then self:cmd(plan.fill(plan.commit), { answers = opts.answers, timeout = opts.timeout }) end
  if not plan.stays then leave(self, plan) end
end

local function verified(self, opts)
  if not opts.verify then return end
  local ok, err = pcall(opts.verify, self)
  if ok then return self:confirm() end
  if not self.shell.ended then pcall(scope.shield, scope.timeout, REVERT_SECONDS, self.rollback, self) end
  error(err, 0)
end

---@class sshlua.ConfigureOptions
---@field confirm? number|boolean seconds until the device takes the changes back, unless confirm() is called; true: a
--- time of ours
---@field verify? fun(device: sshlua.Device) with confirm: called when the changes are in effect; returns: they are
--- confirmed; raises: they are taken back
---@field dry_run? boolean show what would change, and change nothing
---@field answers? table<string, string> questions of the device, and what is sent
---@field timeout? number seconds for each line

--- Changes the configuration: enters the mode for it, sends the lines, commits where the device has that, leaves. The
--- first line that the device refuses ends it, with an error of kind device that names the line (`line`, `index`); what
--- was sent before is taken back where the device can do that, and the hint says whether it was.
---@param lines string|(string|(string|sshlua.Secret)[])[]
---@param opts? sshlua.ConfigureOptions
---@return { output: string, diff?: string, seconds?: integer } what it said; what changed; time until it is taken back
function Device:configure(lines, opts)
  opts = options.merge({ dry_run = self.dry_run }, options.check(opts, configure_options, 2))
  lines = list_of(lines, 2)
  if opts.verify and not opts.confirm then errors.usage(2, "configure: option verify goes with confirm") end
  if self.pending then errors.usage(2, "configure: changes wait to be confirmed: confirm() or rollback() first") end
  local plan, done = plan_of(self, opts, 2), {}
  local ok, output, diff = pcall(function()
    enter(self, plan)
    done.entered = true
    local output, diff = send_lines(self, plan, lines, opts, done)
    if opts.dry_run then
      give_up(self, plan)
    else
      commit(self, plan, opts)
    end
    return output, diff
  end)
  if not ok then error(explain(output, self, plan, done, #lines), 0) end
  if plan.confirm and not opts.dry_run then self.pending = plan end
  if self.pending then verified(self, opts) end
  return { output = output, diff = diff, seconds = plan.seconds }
end

local function need_pending(self, verb)
  local plan = self.pending
  if not plan then errors.usage(3, "%s: nothing waits to be confirmed", verb) end
  return plan
end

--- Keeps the changes that were made with `confirm`.
function Device:confirm()
  if self.dry_run and not self.pending then return end
  local plan = need_pending(self, "confirm")
  if plan.keep_key then
    key(self, plan.keep_key)
    if self:at(plan.prompt) then self:refused("REFUSED", "safe mode", "the device did not leave it", "") end
  end
  for _, line in ipairs(plan.keep or {}) do self:cmd(plan.fill(line)) end
  self.pending = nil
end

--- Takes the changes back that were made with `confirm`, now. Where that ends the dialogue (Safe Mode), it does.
function Device:rollback()
  if self.dry_run and not self.pending then return end
  local plan = need_pending(self, "rollback")
  if plan.revert_key then
    give_up(self, options.merge(plan, { abort = false, leave = false }))
  elseif plan.revert then
    for _, line in ipairs(plan.revert) do self:cmd(plan.fill(line)) end
  else
    errors.usage(2, "rollback: %s takes changes back when their time is up, not before", self.profile.name)
  end
  self.pending = nil
end

--- Makes the present configuration the one it starts with. Devices that always do have nothing to do.
function Device:save()
  if self.dry_run then return end
  for _, line in ipairs(self.profile.save or {}) do self:do_line(line) end
end

return M
