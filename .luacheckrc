-- Library code is the common subset of Lua 5.4 and LuaJIT; what only one of them has is guarded where it is used.
std = "max"
max_line_length = 120
unused_args = true
self = false
ignore = { "581" } -- "not (x >= y)" is written for NaN's sake

-- Coroutines are known to one file: everybody else awaits.
not_globals = { "coroutine" }
files["lua/sshlua/task/core.lua"] = { read_globals = { "coroutine" } }

-- Annotations for editors: functions without bodies.
files["lua/sshlua/meta"] = { ignore = { "211", "212", "241" } }

files["lua/sshlua/cli"] = { globals = { "arg", "require" } } -- the program sets them for scripts

files["spec"] = { std = "max+busted", ignore = { "212" }, max_line_length = 160, read_globals = { "coroutine" } }
files["examples"] = { ignore = { "212" } }
files["examples/*_spec.lua"] = { std = "max+busted" }
files["tools"] = { not_globals = {} }
files["tools/lint-*"] = { std = "lua54" }

exclude_files = { "build*/**" }
