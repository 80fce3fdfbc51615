/* A Lua state for one input, with the verbs of one file of ours: whatever is not given back is a leak. */
#ifndef LUA_STATE_H
#define LUA_STATE_H

#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/json.h"

#include "truth.h"

/* The table of verbs is at index 1. */
static inline lua_State *lua_state_new(void (*open)(lua_State *L)) {
  lua_State *L = luaL_newstate();
  if (!L) abort();
  lua_newtable(L);
  sl_json_open(L);
  if (open) open(L);
  return L;
}

/* Calls a verb with the value on top of the stack: two results in its place. */
static inline void lua_state_call(lua_State *L, const char *verb) {
  lua_getfield(L, 1, verb);
  lua_insert(L, -2);
  TRUTH(lua_pcall(L, 1, 2, 0) == LUA_OK);
}

/* The error on top is one that a user may see. */
static inline void lua_state_check_error(lua_State *L) {
  TRUTH(lua_istable(L, -1));
  lua_getfield(L, -1, "kind");
  TRUTH(lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), "memory") != 0);
  lua_getfield(L, -2, "message");
  TRUTH(lua_isstring(L, -1) && *lua_tostring(L, -1));
  lua_pop(L, 2);
}

#endif
