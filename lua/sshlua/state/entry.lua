--- file, dir and link: that a path is there with content, owner and mode, or is not there.

local core = require("sshlua.core")
local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local options = require("sshlua.options")
local paths = require("sshlua.state.paths")

local M = {}

-- What is there already gets its attributes, when they differ: the end of an if.
local ENDING = [[
elif differs; then
  say changed 1
  if [ -n "$dry" ]; then may_settle; settled; tell after; finish; fi
  settle "$p"
fi
look "$p"
[ -z "$ms" ] || [ "$km" = "$ms" ] || fail "its mode is still $km"
tell after
finish
]]

local FILE = paths.LOOK .. paths.OWNERS .. paths.REPLACE .. [[
p=$1 want=$2 mode=$3 ms=$4 have=$7 len=$8 cap=$9 follow=${10}
look "$p"
follow_link
show() {
  if [ "$kz" -le "$cap" ]; then
    printf '\n%s before.content ' "$m"
    cat "$p" || fail "cannot be read"
  else
    say before.large 1
  fi
}
if [ "$want" = absent ]; then
  [ "$k" != dir ] || fail "is a directory, which file does not remove: use dir"
  tell before
  if [ "$k" != absent ]; then
    [ "$k" != file ] || [ "$cap" -lt 0 ] || show
    say changed 1
    parent "$p"
    if [ -n "$dry" ]; then writable "$d"; k=absent; else rm -f "$p" || fail "cannot be removed"; look "$p"; fi
  fi
  tell after
  finish
fi
case $k in
link) fail "is a symbolic link: follow = true goes where it leads, file(path, { state = 'absent' }) removes it" ;;
dir) fail "is a directory, not a file" ;;
other) fail "is neither a file nor a directory" ;;
esac
tell before
owners "$5" "$6"
digest() {
  if command -v sha256sum >/dev/null 2>&1; then set -- $(sha256sum <"$1")
  elif command -v shasum >/dev/null 2>&1; then set -- $(shasum -a 256 <"$1")
  elif command -v openssl >/dev/null 2>&1; then set -- $(openssl dgst -sha256 -r <"$1")
  else set --; fi
  sum=${1-}
}
made() { [ -z "$have" ] || cat; }
new=
if [ "$k" = absent ]; then
  new=1
  [ -n "$mode" ] || { mode=644 ms=rw-r--r--; }
elif [ -n "$have" ]; then
  [ -r "$p" ] || fail "cannot be read: Permission denied"
  IFS= read -r wanted || fail "nothing came"
  digest "$p"
  if [ -n "$sum" ]; then
    [ "$sum" = "$wanted" ] || new=1
  elif [ -n "$dry" ]; then
    cmp -s - "$p" || new=1
  else
    stage
    cmp -s "$t" "$p" || new=1
  fi
fi
if [ -n "$new" ]; then
  say changed 1
  [ "$k" != file ] || [ "$cap" -lt 0 ] || show
  say new 1
  if [ -n "$dry" ]; then
    may_swap
    [ "$k" = file ] || born "$d"
    may_settle
    k=file
    settled
    tell after
    finish
  fi
  [ -z "$have" ] || [ "$k" != absent ] || IFS= read -r wanted || fail "nothing came"
  stage
  [ $(wc -c <"$t") -eq "$len" ] || fail "the content came short"
  swap
]] .. ENDING

local DIR = paths.LOOK .. paths.OWNERS .. [[
p=$1 want=$2 mode=$3 ms=$4 recursive=$7 follow=$8
look "$p"
follow_link
case $k in
link) fail "is a symbolic link: follow = true goes where it leads" ;;
file | other) fail "is not a directory" ;;
esac
tell before
if [ "$want" = absent ]; then
  if [ "$k" = dir ]; then
    if [ -z "$recursive" ]; then
      inside=$(ls -A "$p") || fail "cannot be read"
      [ -z "$inside" ] || fail "is not empty: recursive = true removes what is in it"
    fi
    say changed 1
    parent "$p"
    if [ -n "$dry" ]; then
      writable "$d"
      k=absent
    else
      if [ -n "$recursive" ]; then rm -rf "$p"; else rmdir "$p"; fi || fail "cannot be removed"
      look "$p"
    fi
  fi
  tell after
  finish
fi
owners "$5" "$6"
if [ "$k" = absent ]; then
  [ -n "$mode" ] || { mode=755 ms=rwxr-xr-x; }
  say changed 1
  parent "$p"
  if [ -n "$dry" ]; then
    while [ ! -e "$d" ]; do parent "$d"; done
    [ -d "$d" ] || fail "$d is not a directory"
    writable "$d"
    born "$d"
    may_settle
    k=dir
    settled
    tell after
    finish
  fi
  if [ ! -d "$d" ]; then (umask 022; mkdir -p "$d") || fail "the directories above it cannot be made"; fi
  (umask 077; mkdir "$p") || fail "cannot be made"
  look "$p"
  settle "$p"
]] .. ENDING

local LINK = paths.LOOK .. paths.OWNERS .. paths.REPLACE .. [[
p=$1 want=$2 target=$3 force=$4
look "$p"
case $k in
dir | other) fail "is in the way, and neither a link nor a file" ;;
file) [ -n "$force" ] || fail "is a file: force = true replaces it by the link" ;;
esac
tell before
if [ "$want" = absent ]; then
  if [ "$k" != absent ]; then
    say changed 1
    parent "$p"
    if [ -n "$dry" ]; then writable "$d"; k=absent; else rm -f "$p" || fail "cannot be removed"; look "$p"; fi
  fi
elif [ "$k" != link ] || [ "$kt" != "$target" ]; then
  say changed 1
  if [ -n "$dry" ]; then
    may_enter
    k=link kt=$target
  else
    temporary
    ln -s -- "$target" "$t" || fail "cannot be made"
    move "$t" "$p" || fail "cannot take its place"
    t=
    look "$p"
    [ "$kt" = "$target" ] || fail "it leads elsewhere still"
  fi
fi
tell after
finish
]]

local STATES = { "present", "absent" }

local function state_of(opts, level)
  return frame.word(opts.state or "present", STATES, "option 'state'", level + 1)
end

local function refuse_with_absent(opts, state, refused, level)
  if state ~= "absent" then return end
  for _, name in ipairs(refused) do
    if opts[name] ~= nil then errors.usage(level + 1, "option '%s' says nothing about what is absent", name) end
  end
end

local function sha256(text)
  local hasher = core.hasher("sha256")
  hasher:update(text)
  return hasher:digest()
end

--- file -------------------------------------------------------------------------------------------------------------

---@class sshlua.FileOptions: sshlua.StateOptions
---@field content? string|sshlua.Secret what is in it; without it, what is there stays
---@field state? "present"|"absent"
---@field mode? string|number octal digits; of a new file 644
---@field owner? string|number
---@field group? string|number
---@field follow? boolean a symbolic link at the path is followed
local file_options = frame.with(options.merge(paths.options, {
  content = "string|number|secret", state = "string", follow = "boolean",
}))

--- What goes to the script's input: a line with the digest, which keeps it off the command line, and the content.
local function input_of(content, secret)
  if content == nil then return nil, "" end
  local text = secret and content:reveal() or content
  local line = sha256(text) .. "\n"
  return secret and core.secret(content:name(), line, content) or line .. text, #text
end

local function file_states(records, content, secret)
  local before, after = paths.state(records, "before"), paths.state(records, "after")
  before.content = records["before.content"]
  if after.type == "absent" then
    after.content = before.content and ""
  elseif records.new then
    if before.type == "absent" then before.content = "" end
    before.content_differs = true
    after.content = not secret and content or nil
    if secret then before.content = nil end
    if not secret and content == nil then after.content = "" end
  end
  return before, after
end

function M.file(path, opts, level)
  local at = frame.path(path, "file", level + 1)
  options.check(opts, file_options, level + 1)
  local state = state_of(opts, level + 1)
  refuse_with_absent(opts, state, { "content", "mode", "owner", "group", "follow" }, level + 1)
  local secret = core.is_secret(opts.content)
  local content = type(opts.content) == "number" and tostring(opts.content) or opts.content
  local stdin, length = input_of(content, secret)
  local mode, shown, owner, group = paths.attributes(opts, level + 1)
  local cap = (secret or opts.diff == false) and -1 or frame.TEXT_MAX
  return {
    op = "file", path = path, label = paths.label("file", path), subject = errors.excerpt(path, 1000), script = FILE,
    stdin = stdin, at = at, names = { owner, group }, makes = state == "present" and { file = at } or nil,
    args = { at, state, mode, shown, owner, group, content and "1" or "", length == "" and 0 or length, cap,
      opts.follow and "1" or "" },
    read = function(records) return file_states(records, content, secret or opts.diff == false) end,
  }
end

--- dir --------------------------------------------------------------------------------------------------------------

---@class sshlua.DirOptions: sshlua.StateOptions
---@field state? "present"|"absent"
---@field mode? string|number octal digits; of a new directory 755
---@field owner? string|number
---@field group? string|number
---@field recursive? boolean absent: with everything that is in it
---@field follow? boolean a symbolic link at the path is followed
local dir_options = frame.with(options.merge(paths.options, {
  state = "string", recursive = "boolean", follow = "boolean",
}))

local function plain_states(records) return paths.state(records, "before"), paths.state(records, "after") end

--- Nobody means these.
local function refuse_roots(path, level)
  local rest = ("/" .. path .. "/"):gsub("/%.?/+%.?", "/")
  if rest:find("^/*$") or rest:find("/%.%./") or path:find("^%.?/*$") or path:find("/%.?/*$") or path == "./."
    or path:find("^/+[^/]+$") and ({ bin = 1, boot = 1, dev = 1, etc = 1, home = 1, lib = 1, opt = 1, proc = 1,
      root = 1, run = 1, sbin = 1, sys = 1, usr = 1, var = 1 })[path:match("[^/]+$")] then
    errors.usage(level + 1, "dir: %s is not removed with everything that is in it", errors.excerpt(path))
  end
end

function M.dir(path, opts, level)
  local at = frame.path(path, "dir", level + 1)
  options.check(opts, dir_options, level + 1)
  local state = state_of(opts, level + 1)
  refuse_with_absent(opts, state, { "mode", "owner", "group", "follow" }, level + 1)
  if opts.recursive and state ~= "absent" then
    errors.usage(level + 1, "option 'recursive' is for state = 'absent'")
  end
  if opts.recursive then refuse_roots(at, level + 1) end
  local mode, shown, owner, group = paths.attributes(opts, level + 1)
  return {
    op = "dir", path = path, label = paths.label("dir", path), subject = errors.excerpt(path, 1000), script = DIR,
    makes = state == "present" and { dir = at } or nil, names = { owner, group },
    args = { at, state, mode, shown, owner, group, opts.recursive and "1" or "", opts.follow and "1" or "" },
    read = plain_states,
  }
end

--- link -------------------------------------------------------------------------------------------------------------

---@class sshlua.LinkOptions: sshlua.StateOptions
---@field force? boolean a file that is in the way is replaced
local link_options = frame.with({ force = "boolean" })

function M.link(path, target, opts, level)
  local at = frame.path(path, "link", level + 1)
  options.check(opts, link_options, level + 1)
  if target ~= false and type(target) ~= "string" then
    errors.usage(level + 1, "link: what it leads to expected (or false: no link), got %s", type(target))
  end
  if target == "" then errors.usage(level + 1, "link: it leads to an empty path") end
  if target and target:find("\0", 1, true) then errors.usage(level + 1, "link: NUL byte in a path") end
  return {
    op = "link", path = path, label = paths.label("link", path), subject = errors.excerpt(path, 1000), script = LINK,
    args = { at, target and "present" or "absent", target or "", opts.force and "1" or "" },
    at = at, read = plain_states,
  }
end

return M
