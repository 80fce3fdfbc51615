/* JSON text to Lua values, and what both directions share. jansson parses, because text from a
   server is hostile; this file only walks its tree. Encoding is json_encode.c's. */
#include "base/json.h"

#include "base/clean.h"
#include "base/lx.h"

#include <stdint.h>
#include <string.h>

void sl_json_push_null(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, SL_JSON_NULL ".value");
}

#ifdef SL_HAVE_JANSSON
#include <jansson.h>

#define TREE "sshlua.json.tree"

static void set_err(sl_err *e, const json_error_t *je) {
  const char *kind =
      je->text[0] ? SL_PROTOCOL : SL_MEMORY; /* jansson has no text for want of memory */
#if JANSSON_VERSION_HEX >= 0x020b00
  if (json_error_code(je) == json_error_out_of_memory) kind = SL_MEMORY;
  if (json_error_code(je) == json_error_stack_overflow) kind = SL_LIMIT;
#endif
  if (strcmp(kind, SL_MEMORY) == 0)
    sl_err_set(e, kind, NULL, 0, "out of memory while reading JSON");
  else
    sl_err_set(e, kind, NULL, 0, "line %d, column %d: %s", je->line, je->column, je->text);
}

static int fail(lua_State *L, const sl_err *e, int line, int column) {
  lua_pushnil(L);
  sl_push_err(L, e);
  if (line > 0) {
    lua_pushinteger(L, line);
    lua_setfield(L, -2, "line");
    lua_pushinteger(L, column);
    lua_setfield(L, -2, "column");
  }
  return 2;
}

/* Returns s with every byte that is not UTF-8 replaced, pushing the copy (+1); or s itself (+0). */
static const char *make_utf8(lua_State *L, const char *s, size_t *n) {
  uint32_t cp;
  size_t i = 0;
  int len = 1;
  for (; i < *n && (len = sl_utf8_next(s + i, *n - i, &cp)) > 0; i += (size_t)len) {
  }
  if (i == *n) return s;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addlstring(&b, s, i);
  for (; i < *n; i += (size_t)len) {
    len = sl_utf8_next(s + i, *n - i, &cp);
    if (len > 0) {
      luaL_addlstring(&b, s + i, (size_t)len);
    } else {
      luaL_addlstring(&b, "\xef\xbf\xbd", 3);
      len = 1;
    }
  }
  luaL_pushresult(&b);
  return lua_tolstring(L, -1, n);
}

static void push_integer(lua_State *L, json_int_t v) {
#if LUA_VERSION_NUM >= 503
  lua_pushinteger(L, (lua_Integer)v);
#else
  lua_pushnumber(L, (lua_Number)v);
#endif
}

/* Pushes the value (+1), or returns -1 with nothing promised about the stack. */
static int push_value(lua_State *L, json_t *v, int depth) {
  const char *key;
  json_t *item;
  size_t i;
  switch (json_typeof(v)) {
  case JSON_NULL:
    sl_json_push_null(L);
    return 0;
  case JSON_TRUE:
    lua_pushboolean(L, 1);
    return 0;
  case JSON_FALSE:
    lua_pushboolean(L, 0);
    return 0;
  case JSON_INTEGER:
    push_integer(L, json_integer_value(v));
    return 0;
  case JSON_REAL:
    lua_pushnumber(L, json_real_value(v));
    return 0;
  case JSON_STRING:
    lua_pushlstring(L, json_string_value(v), json_string_length(v));
    return 0;
  case JSON_ARRAY:
    if (depth == SL_JSON_DEPTH) return -1;
    luaL_checkstack(L, 4, "JSON too deep");
    lua_createtable(L, (int)(json_array_size(v) & 0x7fffffff), 0);
    json_array_foreach(v, i, item) {
      if (push_value(L, item, depth + 1) != 0) return -1;
      lua_rawseti(L, -2, (int)i + 1);
    }
    return 0;
  case JSON_OBJECT:
    if (depth == SL_JSON_DEPTH) return -1;
    luaL_checkstack(L, 4, "JSON too deep");
    lua_createtable(L, 0, (int)(json_object_size(v) & 0x7fffffff));
    luaL_getmetatable(L, SL_JSON_OBJECT);
    lua_setmetatable(L, -2);
    json_object_foreach(v, key, item) {
      lua_pushstring(L, key);
      if (push_value(L, item, depth + 1) != 0) return -1;
      lua_rawset(L, -3);
    }
    return 0;
  }
  return -1;
}

static int l_tree_gc(lua_State *L) {
  void **box = luaL_checkudata(L, 1, TREE);
  json_decref(*box);
  *box = NULL;
  return 0;
}

static void open_tree(lua_State *L) {
  static const luaL_Reg methods[] = {{NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_tree_gc}, {NULL, NULL}};
  sl_class(L, TREE, methods, meta);
}

/* json_decode(text) -> value, or nil and {kind, message, line, column} */
int l_json_decode(lua_State *L) {
  size_t n;
  json_error_t je;
  sl_err e;
  const char *s = luaL_checklstring(L, 1, &n);
  lua_settop(L, 1);
  s = make_utf8(L, s, &n);
  if (n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0) {
    s += 3;
    n -= 3;
  }
  void **box = sl_box_new(L, TREE); /* owns the tree should pushing raise for want of memory */
  json_t *root = json_loadb(s, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
  if (!root) {
    set_err(&e, &je);
    return fail(L, &e, je.line, je.column);
  }
  *box = root;
  int rc = push_value(L, root, 0);
  *box = NULL;
  json_decref(root);
  if (rc == 0) return 1;
  lua_settop(L, 1);
  sl_err_set(&e, SL_LIMIT, NULL, 0, "more than %d levels", SL_JSON_DEPTH);
  return fail(L, &e, 0, 0);
}

#else

static void open_tree(lua_State *L) {
  (void)L;
}

int l_json_decode(lua_State *L) {
  sl_err e;
  sl_err_set(&e, SL_CONFIG, NULL, 0,
             "this sshlua was built without JSON (jansson), it cannot read it");
  lua_pushnil(L);
  sl_push_err(L, &e);
  return 2;
}
#endif

static int l_null_tostring(lua_State *L) {
  lua_pushliteral(L, "null");
  return 1;
}

/* One null per state, however often the module is opened: scripts compare with ==. */
static void open_null(lua_State *L) {
  static const luaL_Reg methods[] = {{NULL, NULL}};
  static const luaL_Reg meta[] = {{"__tostring", l_null_tostring}, {NULL, NULL}};
  sl_class(L, SL_JSON_NULL, methods, meta);
  sl_json_push_null(L);
  bool known = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (known) return;
  sl_box_new(L, SL_JSON_NULL);
  lua_setfield(L, LUA_REGISTRYINDEX, SL_JSON_NULL ".value");
}

void sl_json_open(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"json_encode", l_json_encode}, {"json_decode", l_json_decode}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  open_tree(L);
  open_null(L);
  sl_json_push_null(L);
  lua_setfield(L, -2, "json_null");
  luaL_newmetatable(L, SL_JSON_ARRAY);
  lua_setfield(L, -2, "json_array");
  luaL_newmetatable(L, SL_JSON_OBJECT);
  lua_setfield(L, -2, "json_object");
}
