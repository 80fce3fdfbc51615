--- line: that a file has a line, or has it not. Everything happens on the host; the file is replaced as a whole.

local errors = require("sshlua.errors")
local frame = require("sshlua.state.frame")
local options = require("sshlua.options")
local paths = require("sshlua.state.paths")

local M = {}

-- A last line without a newline gets one, but only if something changes.
local SCRIPT = paths.LOOK .. paths.OWNERS .. paths.REPLACE .. [[
p=$1 want=$2 line=$3 match=$4 after=$5 before=$6 create=$7 mode=$8 ms=$9 cap=${10} follow=${11}
wu= wi=
look "$p"
follow_link
case $k in
link) fail "is a symbolic link: follow = true goes where it leads" ;;
dir | other) fail "is not a file" ;;
absent) [ "$want" = absent ] || [ -n "$create" ] || fail "No such file: create = true makes it" ;;
file) [ -r "$p" ] || fail "cannot be read: Permission denied" ;;
esac
tell before
if [ "$k" = absent ]; then
  if [ "$want" = absent ]; then tell after; finish; fi
  [ -n "$mode" ] || { mode=644 ms=rw-r--r--; }
  made() { printf '%s\n' "$line"; }
else
  mode= ms=
  [ "$(tr -d '\000' <"$p" | wc -c)" -eq "$(wc -c <"$p")" ] || fail "is not a text file"
  numbers() {
    found=$(grep -n "$@" <"$p")
    [ $? -le 1 ] || fail "the pattern cannot be used"
    found=$(printf '%s\n' "$found" | sed -n 's/^\([0-9][0-9]*\):.*/\1/p')
  }
  without() {
    if [ -n "$match" ]; then grep -v -E -e "$match"; else grep -v -F -x -e "$line"; fi
    [ $? -le 1 ]
  }
  all() {
    cat "$p" || return
    [ ! -s "$p" ] || [ "$(tail -c 1 <"$p" | wc -l)" -gt 0 ] || echo
  }
  if [ -n "$match" ]; then numbers -E -e "$match"; else numbers -F -x -e "$line"; fi
  if [ "$want" = absent ]; then
    [ -n "$found" ] || { tell after; finish; }
    made() { all | without; }
  elif [ -n "$found" ]; then
    [ -n "$match" ] || { tell after; finish; }
    first=${found%%"$nl"*}
    if [ "$first" = "$found" ] && [ "$(sed -n "${first}p" <"$p")" = "$line" ]; then tell after; finish; fi
    made() {
      [ "$first" -le 1 ] || all | head -n $((first - 1)) || return
      printf '%s\n' "$line" || return
      all | tail -n +$((first + 1)) | without
    }
  else
    # nothing matches: perhaps it is there all the same
    if [ -n "$match" ]; then numbers -F -x -e "$line"; [ -z "$found" ] || { tell after; finish; }; fi
    at=
    if [ -n "$after" ]; then
      numbers -E -e "$after"; at=${found##*"$nl"}
    elif [ -n "$before" ]; then
      numbers -E -e "$before"; at=${found%%"$nl"*}
      [ -z "$at" ] || at=$((at - 1))
    fi
    made() {
      if [ -n "$at" ]; then
        [ "$at" -lt 1 ] || all | head -n "$at" || return
        printf '%s\n' "$line" && all | tail -n +$((at + 1))
      else
        all && printf '%s\n' "$line"
      fi
    }
  fi
fi
say changed 1
if [ "$cap" -ge 0 ] && [ "${kz:-0}" -le "$cap" ]; then
  printf '\n%s before.content ' "$m"
  [ "$k" = absent ] || cat "$p" || fail "cannot be read"
  printf '\n%s after.content ' "$m"
  made || fail "cannot be made"
fi
if [ -n "$dry" ]; then
  may_swap
  [ "$k" = file ] || born "$d"
  k=file
  settled
  tell after
  finish
fi
stage
swap
look "$p"
tell after
finish
]]

---@class sshlua.LineOptions: sshlua.StateOptions
---@field state? "present"|"absent"
---@field match? string POSIX extended regular expression: lines that match are replaced by the one, or removed
---@field after? string expression: a new line goes behind the last line that matches; else to the end
---@field before? string expression: a new line goes before the first line that matches
---@field create? boolean make the file when there is none
---@field mode? string|number of a file that is made, octal digits; 644
---@field follow? boolean a symbolic link at the path is followed
local line_options = frame.with({
  state = "string", match = "string", after = "string", before = "string", create = "boolean", mode = "string|number",
  follow = "boolean",
})

local function one_line(text, what, level)
  if text == nil then return "" end
  if type(text) ~= "string" then errors.usage(level + 1, "%s: string expected, got %s", what, type(text)) end
  if text:find("[%z\n\r]") then errors.usage(level + 1, "%s: a single line expected", what) end
  return text
end

local function expression(opts, name, level)
  if opts[name] == "" then errors.usage(level + 1, "option '%s': empty, which every line matches", name) end
  return one_line(opts[name], "option '" .. name .. "'", level + 1)
end

function M.line(path, line, opts, level)
  local at = frame.path(path, "line", level + 1)
  options.check(opts, line_options, level + 1)
  local state = frame.word(opts.state or "present", { "present", "absent" }, "option 'state'", level + 1)
  if line == nil and not (state == "absent" and opts.match) then
    errors.usage(level + 1, "line: string expected, got nil (only state = 'absent' with match needs none)")
  end
  if opts.after and opts.before then errors.usage(level + 1, "options 'after' and 'before' at once") end
  if opts.mode and not opts.create then errors.usage(level + 1, "option 'mode' is for create = true") end
  local text = one_line(line, "line", level + 1)
  local mode, shown = paths.attributes(opts, level + 1)
  return {
    op = "line", path = path, label = paths.label("line", path), subject = errors.excerpt(path, 1000), script = SCRIPT,
    at = at, args = { at, state, text, expression(opts, "match", level + 1), expression(opts, "after", level + 1),
      expression(opts, "before", level + 1), opts.create and "1" or "", mode, shown,
      opts.diff == false and -1 or frame.TEXT_MAX, opts.follow and "1" or "" },
    read = function(records)
      local before, after = paths.state(records, "before"), paths.state(records, "after")
      before.content, after.content = records["before.content"], records["after.content"]
      before.content_differs = records.changed == "1" or nil
      return before, after
    end,
  }
end

return M
