---@meta sshlua.core
--- The text functions of sshlua.core (src/base/text.c). Scripts use ssh.json and the printing tools instead.

---@class sshlua.core
---@field json_null userdata JSON's null; prints as "null"; the same for the whole Lua state
---@field json_array table metatable that marks a table as an array
---@field json_object table metatable that marks a table as an object
local core = {}

---@class sshlua.CleanOptions
---@field newline? boolean let \n and \r\n pass (a \r alone never does); default false
---@field tab? boolean let \t pass; default false

--- Text of others made safe to show. Control bytes, bytes that are not UTF-8, bidi and invisible characters are
--- written out in Lua's escapes (`\x1b`, `\n`, `\u{202e}`); all else, a backslash too, passes unchanged. Returns
--- the same string when nothing had to change. Cleaning twice changes nothing.
---@param s string
---@param options? sshlua.CleanOptions
---@return string
function core.clean(s, options) end

---@class sshlua.Cleaner
local Cleaner = {}

--- A cleaner for a stream: a character cut by the end of a chunk waits for the next one.
---@param options? sshlua.CleanOptions
---@return sshlua.Cleaner
function core.cleaner(options) end

--- The next chunk, cleaned as far as it is decided.
---@param chunk string
---@return string
function Cleaner:feed(chunk) end

--- The stream has ended: what was held back, written out. The object may be used again.
---@return string
function Cleaner:finish() end

--- How many columns of a terminal a text of one line takes: wide characters two, combining ones none. As the C library
--- knows Unicode; what is no UTF-8 counts as one for each byte.
---@param s string cleaned
---@return integer
function core.width(s) end

--- The text cut to at most so many columns, never within a character or in front of what combines with it.
---@param s string cleaned
---@param columns integer
---@return string
---@return integer width of what is left
function core.fit(s, columns) end

---@class sshlua.CoreError what C reports; errors.from makes an Error of it
---@field kind sshlua.Kind
---@field message string
---@field name? string
---@field code? integer
---@field line? integer json_decode only
---@field column? integer json_decode only

--- A Lua value as JSON text (RFC 8259). The rules are in src/base/json.h.
---@param value any
---@param options? { pretty?: boolean, sort?: boolean } default: compact, keys sorted
---@return string? text
---@return sshlua.CoreError? err kind usage with the path (".a.b[3]"), or limit past 128 levels
function core.json_encode(value, options) end

--- JSON text (RFC 8259) as a Lua value; null is core.json_null.
---@param text string
---@return any value
---@return sshlua.CoreError? err kind protocol (line, column), limit, memory; config when built without jansson
function core.json_decode(text) end

--- YAML text as a Lua value; the rules are in src/base/yaml.h. `positions[t][key]` is the line of a key or item.
---@param text string
---@return any value
---@return table<table, table<any, integer>>|sshlua.CoreError positions or err: kind protocol (line, column), limit,
--- memory; config when built without libyaml
function core.yaml_decode(text) end

--- Writes a file that is whole or not there: temporary name, sync, rename. Keeps the mode of an existing file and
--- the symbolic link in front of it; refuses devices, pipes and folders. Blocks on the disk.
---@param path string
---@param text string
---@return boolean? done
---@return sshlua.CoreError? err kind io
function core.save_file(path, text) end

return core
