--- What a dialogue is opened with. Must not know how it goes on.

local command = require("sshlua.command")
local errors = require("sshlua.errors")
local lazy = require("sshlua.lazy")
local options = require("sshlua.options")
local profiles = require("sshlua.profiles")

local M = {}

---@class sshlua.ShellOptions
---@field prompt? string|string[]|function|table|false pattern of the last line; default: learnt; false: there is none
---@field pager? boolean|string|table pattern of a pager's line, or patterns and what is sent; true: the common ones
---@field timeout? number seconds for each step, default 30
---@field command? string what to talk to, in place of the user's shell
---@field pty? boolean|{ term?: string, cols?: integer, rows?: integer } default vt100, 511 x 1000
---@field env? table<string, string>
---@field newline? string what ends a line that cmd sends, default "\n"
---@field settle? number seconds of silence that make an end of the output, default 0.05
---@field look_back? integer bytes that a match may reach back over what was searched before
---@field max_buffer? integer bytes that are kept while nothing matches, default 8 MiB
---@field wrap? boolean false: lines that fill the terminal exactly are not joined with the next
---@field profile? string|sshlua.Profile|false a kind of device: its prompt, pager, questions and line end
---@field safe? boolean of a Host in a dry run: nothing is changed in it, and it is opened
---@field record? boolean|string|table file, directory/, true, or { to =, input = }: see docs/recording.md
local shell_options = {
  prompt = "string|function|table|userdata|false", pager = "boolean|string|table", timeout = "seconds",
  command = "string", pty = "boolean|table", env = "table", newline = "string", settle = "seconds",
  look_back = "count", max_buffer = "count", wrap = "boolean", record = "boolean|string|table",
  profile = "string|table|false", safe = "boolean",
}

--- What the options leave open, the profile says.
---@param opts sshlua.ShellOptions|nil
---@return sshlua.ShellOptions
function M.check(opts, level)
  opts = options.check(opts, shell_options, level + 1)
  if opts.profile then
    local p = profiles.find(opts.profile, level + 1)
    local prompt = p.prompt or nil
    opts = options.merge({ prompt = prompt, pager = p.pager, newline = p.newline, pty = p.pty }, opts, { profile = p })
  end
  command.check_pty(opts.pty, level + 1)
  if opts.record then
    if opts.pty == false then errors.usage(level + 1, "option 'record' goes with a pty") end
    lazy.load("sshlua.record").check(opts.record, level + 1)
  end
  if opts.timeout == 0 then errors.usage(level + 1, "option 'timeout': more than 0 s expected") end
  return opts
end

return M
