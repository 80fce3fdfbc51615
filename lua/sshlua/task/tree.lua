--- The tree of scopes, and which cancellation holds where. Knows no coroutines: tasks are entries of a scope.

local errors = require("sshlua.errors")

local M = {}

--- A new scope below `parent`; not entered yet. It lasts until close_scope.
---@return sshlua.CancelScope
function M.new_scope(parent, shield)
  local scope = { parent = parent, shield = shield or false, tasks = {}, children = {} }
  if parent then parent.children[scope] = true end
  return scope
end

function M.close_scope(scope)
  if scope.parent then scope.parent.children[scope] = nil end
end

--- What one await raises: an object of its own, because callers add their host to it.
function M.cancellation(reason)
  local fields = {}
  for k, v in pairs(reason) do fields[k] = v end
  fields.cancelled_by = reason
  return errors.new(fields)
end

--- Is err this cancellation, or one that carries what a cancelled call had so far?
function M.is_cancellation(err, cancelled)
  if cancelled == nil or not errors.is(err) then return false end
  return err == cancelled or rawget(err, "cancelled_by") == cancelled
end

--- The reason that an await of this scope would raise now, or nil.
function M.pending(scope)
  while scope do
    if scope.cancelled then return scope.cancelled end
    if scope.shield then return nil end
    scope = scope.parent
  end
end

--- Is err a cancellation that reaches this scope, its own or that of one around it?
function M.is_pending(err, scope)
  while scope do
    if M.is_cancellation(err, scope.cancelled) then return true end
    if scope.shield then return false end
    scope = scope.parent
  end
  return false
end

return M
