/* Lua helpers that every file with l_* verbs uses: the 5.1/5.4 shim, typed boxes, references, protected
   calls. Knows Lua; must not know libuv or libssh2. */
#ifndef SL_LX_H
#define SL_LX_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#if LUA_VERSION_NUM < 502
#define lua_rawlen lua_objlen
#define lua_getuservalue lua_getfenv
#define lua_setuservalue lua_setfenv
#elif LUA_VERSION_NUM >= 504
#undef lua_getuservalue
#undef lua_setuservalue
#define lua_getuservalue(L, i) lua_getiuservalue(L, i, 1)
#define lua_setuservalue(L, i) lua_setiuservalue(L, i, 1)
#endif

/* A box is a full userdata that holds one C pointer. It is created empty and filled when the object
   exists; emptied when the object is closed, so a stale pointer cannot be reached from Lua. */
void **sl_box_new(lua_State *L, const char *tname); /* pushes the box (+1) */
void *sl_box_check(lua_State *L, int idx, const char *tname); /* raises "closed" when empty */
void *sl_box_peek(lua_State *L, int idx, const char *tname);  /* NULL when empty; raises on wrong type */

/* Registers metatable `tname` with `methods` under __index and `meta` as metamethods (may be NULL).
   Idempotent. Leaves the stack as it was. */
void sl_class(lua_State *L, const char *tname, const luaL_Reg *methods, const luaL_Reg *meta);

/* luaL_ref in the registry; LUA_NOREF stands for "nothing" and is safe to unref. */
int sl_ref(lua_State *L, int idx);
void sl_unref(lua_State *L, int *ref);

/* Pushes the table {kind=, name=, code=, message=} (+1). */
void sl_push_err(lua_State *L, const sl_err *e);

/* Calls the function below its nargs arguments, no results, with a traceback handler. A failure is a bug
   in Lua library code (scripts run under tasks, which catch): it is printed on stderr, never raised
   through libuv or libssh2 frames. */
void sl_call(lua_State *L, int nargs);

/* Options tables: raise an argument error that names the field. */
lua_Integer sl_opt_integer(lua_State *L, int idx, const char *field, lua_Integer def);
lua_Number sl_opt_number(lua_State *L, int idx, const char *field, lua_Number def);
bool sl_opt_boolean(lua_State *L, int idx, const char *field, bool def);
const char *sl_opt_string(lua_State *L, int idx, const char *field, const char *def);

#endif
