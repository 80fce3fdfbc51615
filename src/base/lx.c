#include "base/lx.h"

#include <stdio.h>

void **sl_box_new(lua_State *L, const char *tname) {
#if LUA_VERSION_NUM >= 504
  void **box = lua_newuserdatauv(L, sizeof(void *), 1);
#else
  void **box = lua_newuserdata(L, sizeof(void *));
#endif
  *box = NULL;
  luaL_getmetatable(L, tname);
  lua_setmetatable(L, -2);
  return box;
}

void *sl_box_peek(lua_State *L, int idx, const char *tname) {
  return *(void **)luaL_checkudata(L, idx, tname);
}

void *sl_box_check(lua_State *L, int idx, const char *tname) {
  void *p = sl_box_peek(L, idx, tname);
  if (!p) luaL_error(L, "attempt to use a closed %s", tname);
  return p;
}

static int box_tostring(lua_State *L) {
  const char *name = lua_tostring(L, lua_upvalueindex(1));
  void **box = lua_touserdata(L, 1);
  if (box && *box)
    lua_pushfstring(L, "%s: %p", name, *box);
  else
    lua_pushfstring(L, "%s (closed)", name);
  return 1;
}

void sl_class(lua_State *L, const char *tname, const luaL_Reg *methods, const luaL_Reg *meta) {
  if (luaL_newmetatable(L, tname)) { /* [mt] */
    lua_newtable(L);                 /* [mt, index] */
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, tname);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__name");
    lua_pushcclosure(L, box_tostring, 1);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    if (meta) luaL_setfuncs(L, meta, 0);
  }
  lua_pop(L, 1);
}

int sl_ref(lua_State *L, int idx) {
  if (lua_isnoneornil(L, idx)) return LUA_NOREF;
  lua_pushvalue(L, idx);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

void sl_unref(lua_State *L, int *ref) {
  luaL_unref(L, LUA_REGISTRYINDEX, *ref);
  *ref = LUA_NOREF;
}

void sl_push_err(lua_State *L, const sl_err *e) {
  lua_createtable(L, 0, 4);
  lua_pushstring(L, e->kind);
  lua_setfield(L, -2, "kind");
  lua_pushstring(L, e->name);
  lua_setfield(L, -2, "name");
  lua_pushinteger(L, e->code);
  lua_setfield(L, -2, "code");
  lua_pushstring(L, e->message);
  lua_setfield(L, -2, "message");
}

static int traceback(lua_State *L) {
  const char *msg = lua_tostring(L, 1);
  luaL_traceback(L, L, msg ? msg : "(error object)", 1);
  return 1;
}

void sl_call(lua_State *L, int nargs) {
  int base = lua_gettop(L) - nargs;
  lua_pushcfunction(L, traceback);
  lua_insert(L, base);
  if (lua_pcall(L, nargs, 0, base) != 0) {
    fprintf(stderr, "sshlua: internal error: %s\n", lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  lua_remove(L, base);
}

static bool opt_field(lua_State *L, int idx, const char *field) {
  if (lua_isnoneornil(L, idx)) return false;
  luaL_checktype(L, idx, LUA_TTABLE);
  lua_getfield(L, idx, field);
  if (!lua_isnil(L, -1)) return true;
  lua_pop(L, 1);
  return false;
}

static void opt_bad(lua_State *L, int idx, const char *field, const char *want) {
  const char *msg =
      lua_pushfstring(L, "option '%s': %s expected, got %s", field, want, luaL_typename(L, -1));
  luaL_argerror(L, idx, msg);
}

lua_Integer sl_opt_integer(lua_State *L, int idx, const char *field, lua_Integer def) {
  if (!opt_field(L, idx, field)) return def;
  if (lua_type(L, -1) != LUA_TNUMBER) opt_bad(L, idx, field, "integer");
  lua_Integer v = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return v;
}

lua_Number sl_opt_number(lua_State *L, int idx, const char *field, lua_Number def) {
  if (!opt_field(L, idx, field)) return def;
  if (lua_type(L, -1) != LUA_TNUMBER) opt_bad(L, idx, field, "number");
  lua_Number v = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return v;
}

bool sl_opt_boolean(lua_State *L, int idx, const char *field, bool def) {
  if (!opt_field(L, idx, field)) return def;
  bool v = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return v;
}

/* The string stays anchored by the options table, which the caller keeps on its stack. */
const char *sl_opt_string(lua_State *L, int idx, const char *field, const char *def) {
  if (!opt_field(L, idx, field)) return def;
  if (lua_type(L, -1) != LUA_TSTRING) opt_bad(L, idx, field, "string");
  const char *v = lua_tostring(L, -1);
  lua_pop(L, 1);
  return v;
}
