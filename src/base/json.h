/* JSON for Lua values: json_encode, json_decode and the marks null, array and object.

   Encode. A table with keys 1..n is an array, one with string keys an object, an empty one []; the
   mark json_object makes any table an object (integer keys become text), json_array insists on an
   array. Both kinds of keys in one table, holes, other key types, NaN, infinity, nil, functions,
   userdata, a table inside itself and more than 128 levels are errors that name the path (.a.b[3]).
   Numbers: integers in full; a float as the shortest text that reads back the same, with a point or
   exponent so that it stays a float; a VM without integers writes whole numbers up to 2^53 as
   integers. Strings: a byte that is not UTF-8 becomes U+FFFD; characters that steer a terminal
   (clean.h) are written as \uXXXX, which a parser reads back unchanged: the text is safe to print.

   Decode. Bytes that are not UTF-8 become U+FFFD first, a byte order mark is skipped, null becomes
   json_null, objects carry the json_object mark (so an empty one stays an object), the last of
   equal keys wins. An integer outside 64 bits and a key with \u0000 are errors. */
#ifndef SL_JSON_H
#define SL_JSON_H

#include <lua.h>
#include <stddef.h>

#define SL_JSON_DEPTH 128

/* Metatables that mark a table, and the metatable of the one null. */
#define SL_JSON_ARRAY "sshlua.json.array"
#define SL_JSON_OBJECT "sshlua.json.object"
#define SL_JSON_NULL "sshlua.json.null"

/* Adds json_encode, json_decode, json_null, json_array and json_object to the table on top. */
void sl_json_open(lua_State *L);

void sl_json_push_null(lua_State *L); /* (+1) */
int l_json_encode(lua_State *L);
int l_json_decode(lua_State *L);

#endif
