/* Lua faces of the plain C text code: clean, cleaner, save_file; JSON registers itself. Knows Lua
   and the shapes of arguments; the rules about text are clean.c's, about files savefile.c's. */
#include "base/text.h"

#include "base/clean.h"
#include "base/json.h"
#include "base/lx.h"
#include "base/savefile.h"

#include <string.h>

#define CLEANER "sshlua.cleaner"

static unsigned clean_flags(lua_State *L, int idx) {
  unsigned flags = 0;
  if (sl_opt_boolean(L, idx, "newline", false)) flags |= SL_CLEAN_NEWLINE;
  if (sl_opt_boolean(L, idx, "tab", false)) flags |= SL_CLEAN_TAB;
  return flags;
}

static int add_to_buffer(void *ctx, const char *s, size_t n) {
  luaL_addlstring(ctx, s, n);
  return 0;
}

/* clean(s [, {newline=, tab=}]) -> string; s itself when nothing had to change */
static int l_clean(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  unsigned flags = clean_flags(L, 2);
  if (sl_clean_span(flags, s, n) == n) {
    lua_settop(L, 1);
    return 1;
  }
  sl_clean c;
  luaL_Buffer b;
  sl_clean_init(&c, flags);
  luaL_buffinit(L, &b);
  sl_clean_feed(&c, s, n, add_to_buffer, &b);
  sl_clean_finish(&c, add_to_buffer, &b);
  luaL_pushresult(&b);
  return 1;
}

/* cleaner([{newline=, tab=}]) -> an object that cleans a stream, whatever its chunks */
static int l_cleaner(lua_State *L) {
  unsigned flags = clean_flags(L, 1);
  sl_clean *c = lua_newuserdata(L, sizeof *c);
  sl_clean_init(c, flags);
  luaL_getmetatable(L, CLEANER);
  lua_setmetatable(L, -2);
  return 1;
}

/* cleaner:feed(chunk) -> string */
static int l_cleaner_feed(lua_State *L) {
  size_t n;
  sl_clean *c = luaL_checkudata(L, 1, CLEANER);
  const char *s = luaL_checklstring(L, 2, &n);
  if (c->nheld == 0 && sl_clean_span(c->flags, s, n) == n) {
    lua_settop(L, 2);
    return 1;
  }
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  sl_clean_feed(c, s, n, add_to_buffer, &b);
  luaL_pushresult(&b);
  return 1;
}

/* cleaner:finish() -> string: what was held back, written out; the object may be used again */
static int l_cleaner_finish(lua_State *L) {
  sl_clean *c = luaL_checkudata(L, 1, CLEANER);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  sl_clean_finish(c, add_to_buffer, &b);
  luaL_pushresult(&b);
  return 1;
}

static int l_cleaner_tostring(lua_State *L) {
  lua_pushfstring(L, CLEANER ": %p", luaL_checkudata(L, 1, CLEANER));
  return 1;
}

/* save_file(path, text) -> true, or nil and {kind, name, code, message} */
static int l_save_file(lua_State *L) {
  size_t npath, n;
  sl_err e;
  const char *path = luaL_checklstring(L, 1, &npath);
  const char *text = luaL_checklstring(L, 2, &n);
  luaL_argcheck(L, npath > 0 && strlen(path) == npath, 1, "path is empty or contains a NUL byte");
  if (sl_savefile(path, text, n, &e) != 0) {
    lua_pushnil(L);
    sl_push_err(L, &e);
    return 2;
  }
  lua_pushboolean(L, 1);
  return 1;
}

void sl_text_open(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"clean", l_clean}, {"cleaner", l_cleaner}, {"save_file", l_save_file}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"feed", l_cleaner_feed}, {"finish", l_cleaner_finish}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__tostring", l_cleaner_tostring}, {NULL, NULL}};
  sl_class(L, CLEANER, methods, meta);
  luaL_setfuncs(L, functions, 0);
  sl_json_open(L);
}
