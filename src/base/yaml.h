/* YAML text to Lua values: yaml_decode. libyaml parses; the rules of what becomes what are here.

   A mapping becomes a table that carries the json_object mark, a sequence one with the json_array
   mark, null json_null. Plain scalars are typed as YAML 1.1 does (null, booleans with yes, no, on
   and off, integers in decimal, 0octal, 0o, 0x and 0b, floats with a point), but sexagesimal
   numbers and dates stay text. Keys are text as written. `<<` merges. Tags: the core ones and
   !unsafe.

   Aliases are the same table again; their size counts each time, so that a bomb of them is refused.
   Refused, too: an anchor inside itself, equal keys, keys that are no text, several documents,
   bytes that are not UTF-8, and more than the limits below. */
#ifndef SL_YAML_H
#define SL_YAML_H

#include <lua.h>

#define SL_YAML_DEPTH 64
#define SL_YAML_NODES 4000000

/* Adds yaml_decode to the table on top. */
void sl_yaml_open(lua_State *L);

/* The version of libyaml, or NULL when this was built without it. */
const char *sl_yaml_version(void);

/* Pushes the value of a scalar without quotes and tag (+1). */
void sl_yaml_push_plain(lua_State *L, const char *s, size_t n);

#endif
