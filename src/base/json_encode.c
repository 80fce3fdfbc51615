/* Lua values to JSON text. Written out here and not through jansson's tree: that tree would have to
   be freed whenever Lua raises for want of memory, cannot hold keys with NUL, and jansson 2.14
   prints 0.1 as 0.10000000000000001. The output grows in a userdata, so the collector owns it
   whatever happens. */
#include "base/json.h"

#include "base/clean.h"
#include "base/lx.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fixed stack slots of l_json_encode. */
enum { VALUE = 1, OPTIONS, OUTPUT, ARRAY_MARK, OBJECT_MARK, NULL_VALUE };

typedef struct json_key {
  const char *s; /* NULL: the integer i */
  size_t len;
  lua_Integer i;
  char digits[24]; /* i as text */
} json_key;

/* The tables we are inside of, for paths and to find a table inside itself. */
typedef struct frame {
  const struct frame *up;
  const void *table;
  int depth;
  bool in_array;
  lua_Integer index;
  const json_key *key;
} frame;

typedef struct writer {
  lua_State *L;
  char *p;
  size_t n, cap;
  bool pretty, sort;
  sl_err err;
} writer;

static int put_value(writer *w, frame *up); /* value on top of the stack, stays there */

static void put(writer *w, const char *s, size_t n) {
  if (n > w->cap - w->n) {
    if (n > SIZE_MAX / 2 - w->cap) luaL_error(w->L, "JSON text too large");
    size_t cap = w->cap * 2 + n + 256;
    char *p = lua_newuserdata(w->L, cap);
    if (w->n) memcpy(p, w->p, w->n);
    lua_replace(w->L, OUTPUT);
    w->p = p;
    w->cap = cap;
  }
  memcpy(w->p + w->n, s, n);
  w->n += n;
}

static void put_text(writer *w, const char *s) {
  put(w, s, strlen(s));
}

static void put_line(writer *w, int depth) {
  if (!w->pretty) return;
  put(w, "\n", 1);
  for (int i = 0; i < depth; i++) put(w, "  ", 2);
}

/* ---- errors: where in the value, as a Lua expression would say it */

static size_t path_add(char *path, size_t size, size_t n, const char *s) {
  size_t len = strlen(s);
  if (len >= size - n) len = size - n - 1;
  memcpy(path + n, s, len);
  path[n + len] = '\0';
  return n + len;
}

static bool is_name(const char *s, size_t len) {
  if (len == 0 || len > 64 || (s[0] >= '0' && s[0] <= '9')) return false;
  for (size_t i = 0; i < len; i++) {
    char c = s[i], lower = (char)(c | 0x20);
    if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '_') return false;
  }
  return true;
}

/* Names of tables above come first, so the recursion goes up before it writes. */
static size_t path_write(const frame *f, char *path, size_t size) {
  char piece[80];
  if (!f) return path_add(path, size, 0, "");
  size_t n = path_write(f->up, path, size);
  if (f->in_array)
    snprintf(piece, sizeof piece, "[%lld]", (long long)f->index);
  else if (!f->key)
    return n;
  else if (!f->key->s)
    snprintf(piece, sizeof piece, "[%s]", f->key->digits);
  else if (is_name(f->key->s, f->key->len))
    snprintf(piece, sizeof piece, ".%s", f->key->s);
  else
    snprintf(piece, sizeof piece, "[\"%.*s\"]", f->key->len > 64 ? 64 : (int)f->key->len,
             f->key->s);
  return path_add(path, size, n, piece);
}

static int fail_kind(writer *w, const frame *f, const char *kind, const char *what) {
  char path[180];
  path_write(f, path, sizeof path);
  return sl_err_set(&w->err, kind, NULL, 0, "%s at %s", what, *path ? path : "the top");
}

static int fail(writer *w, const frame *f, const char *what) {
  return fail_kind(w, f, SL_USAGE, what);
}

static int fail_type(writer *w, const frame *f) {
  char what[64];
  snprintf(what, sizeof what, "cannot encode a %.40s", luaL_typename(w->L, -1));
  return fail(w, f, what);
}

/* ---- strings and numbers */

static void put_escape(writer *w, uint32_t cp) {
  static const char special[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
  const char *at = cp > 0 && cp < 0x80 ? strchr(special, (int)cp) : NULL;
  char text[16];
  if (at)
    snprintf(text, sizeof text, "\\%c", letters[at - special]);
  else if (cp < 0x10000)
    snprintf(text, sizeof text, "\\u%04x", (unsigned)cp);
  else
    snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800u + ((cp - 0x10000u) >> 10),
             0xdc00u + ((cp - 0x10000u) & 0x3ffu));
  put_text(w, text);
}

static bool string_plain(char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_string(writer *w, const char *s, size_t n) {
  put(w, "\"", 1);
  for (size_t i = 0; i < n;) {
    size_t start = i;
    while (i < n && string_plain(s[i])) i++;
    if (i > start) put(w, s + start, i - start);
    if (i == n) break;
    uint32_t cp;
    int len = sl_utf8_next(s + i, n - i, &cp);
    if (len <= 0) {
      put(w, "\xef\xbf\xbd", 3);
      len = 1;
    } else if (cp == '"' || cp == '\\' || sl_clean_hides(cp)) {
      put_escape(w, cp);
    } else {
      put(w, s + i, (size_t)len);
    }
    i += (size_t)len;
  }
  put(w, "\"", 1);
}

static void put_integer(writer *w, lua_Integer v) {
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)v);
  put_text(w, text);
}

/* Shortest of the precisions that reads back the same. A locale may have put a comma for the point.
 */
static void put_float(writer *w, double v) {
  char text[40];
  for (int precision = 15; precision <= 17; precision++) {
    snprintf(text, sizeof text, "%.*g", precision, v);
    if (strtod(text, NULL) == v) break;
  }
  if (!text[strspn(text, "-0123456789")]) {
    put_text(w, text);
    put(w, ".0", 2);
    return;
  }
  size_t other = strspn(text, "-+0123456789e");
  if (text[other]) text[other] = '.';
  put_text(w, text);
}

static int put_number(writer *w, const frame *f) {
#if LUA_VERSION_NUM >= 503
  if (lua_isinteger(w->L, -1)) {
    put_integer(w, lua_tointeger(w->L, -1));
    return 0;
  }
#endif
  double v = (double)lua_tonumber(w->L, -1);
  if (!isfinite(v)) return fail(w, f, isnan(v) ? "cannot encode NaN" : "cannot encode infinity");
#if LUA_VERSION_NUM < 503
  if (floor(v) == v && fabs(v) <= 9007199254740992.0 && !(v == 0 && signbit(v))) {
    put_integer(w, (lua_Integer)v);
    return 0;
  }
#endif
  put_float(w, v);
  return 0;
}

/* ---- tables */

typedef enum shape { EMPTY_ARRAY, ARRAY, OBJECT, BAD } shape;

static bool marked(lua_State *L, int mark) {
  if (!lua_getmetatable(L, -1)) return false;
  bool yes = lua_rawequal(L, -1, mark);
  lua_pop(L, 1);
  return yes;
}

static bool is_whole(lua_State *L, int idx) {
#if LUA_VERSION_NUM >= 503
  return lua_isinteger(L, idx);
#else
  double v = (double)lua_tonumber(L, idx);
  return floor(v) == v && fabs(v) <= 9007199254740992.0;
#endif
}

/* Looks at every key once. count: how many there are. */
static shape table_shape(writer *w, const frame *f, size_t *count) {
  lua_State *L = w->L;
  size_t n = lua_rawlen(L, -1), whole = 0, text = 0;
  bool object = marked(L, OBJECT_MARK), array = marked(L, ARRAY_MARK), inside = true;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    int t = lua_type(L, -2);
    if (t == LUA_TSTRING) {
      text++;
    } else if (t == LUA_TNUMBER && is_whole(L, -2)) {
      lua_Number i = lua_tonumber(L, -2);
      inside = inside && i >= 1 && i <= (lua_Number)n;
      whole++;
    } else {
      char what[64];
      snprintf(what, sizeof what, "a key of type %.40s", luaL_typename(L, -2));
      lua_pop(L, 2);
      fail(w, f, t == LUA_TNUMBER ? "a key that is not a whole number" : what);
      return BAD;
    }
  }
  *count = whole + text;
  if (object) return OBJECT;
  if (*count == 0) return EMPTY_ARRAY;
  if (whole == 0 && !array) return OBJECT;
  if (text > 0) {
    fail(w, f, array ? "a named entry in an array" : "both a list and named entries");
    return BAD;
  }
  if (inside && whole == n) return ARRAY;
  fail(w, f, "a list with holes (json.null fills them, json.object allows any number as key)");
  return BAD;
}

static int put_array(writer *w, frame *f) {
  lua_State *L = w->L;
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  put(w, "[", 1);
  for (f->index = 1; f->index <= n; f->index++) {
    if (f->index > 1) put(w, ",", 1);
    put_line(w, f->depth);
    lua_rawgeti(L, -1, (int)f->index);
    if (put_value(w, f) != 0) return -1;
    lua_pop(L, 1);
  }
  put_line(w, f->depth - 1);
  put(w, "]", 1);
  return 0;
}

static int compare_keys(const void *a, const void *b) {
  const json_key *x = a, *y = b;
  const char *s = x->s ? x->s : x->digits, *t = y->s ? y->s : y->digits;
  int order = memcmp(s, t, x->len < y->len ? x->len : y->len);
  return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Pushes a block with the table's keys (+1). The strings stay where they are: the table holds them.
 */
static json_key *collect_keys(lua_State *L, size_t count) {
  json_key *keys = lua_newuserdata(L, count * sizeof *keys), *k = keys; /* [table, keys] */
  for (lua_pushnil(L); lua_next(L, -3); lua_pop(L, 1), k++) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      k->s = lua_tolstring(L, -2, &k->len);
    } else {
      k->s = NULL;
      k->i = lua_tointeger(L, -2);
      k->len = (size_t)snprintf(k->digits, sizeof k->digits, "%lld", (long long)k->i);
    }
  }
  return keys;
}

/* Pushes the key's value (+1) from [table, keys]; -1 when 1 and "1" would become one key. */
static int get_entry(lua_State *L, const json_key *k) {
  if (!k->s) {
    lua_pushlstring(L, k->digits, k->len);
    lua_rawget(L, -3);
    bool taken = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (taken) return -1;
    lua_pushinteger(L, k->i);
  } else {
    lua_pushlstring(L, k->s, k->len);
  }
  lua_rawget(L, -3);
  return 0;
}

static int put_object(writer *w, frame *f, size_t count) {
  lua_State *L = w->L;
  json_key *keys = collect_keys(L, count ? count : 1); /* [table, keys] */
  if (w->sort) qsort(keys, count, sizeof *keys, compare_keys);
  put(w, "{", 1);
  for (size_t i = 0; i < count; i++) {
    const json_key *k = f->key = &keys[i];
    if (i > 0) put(w, ",", 1);
    put_line(w, f->depth);
    put_string(w, k->s ? k->s : k->digits, k->len);
    put_text(w, w->pretty ? ": " : ":");
    if (get_entry(L, k) != 0) return fail(w, f, "the same key as number and as text");
    if (put_value(w, f) != 0) return -1;
    lua_pop(L, 1);
  }
  lua_pop(L, 1); /* [table] */
  if (count) put_line(w, f->depth - 1);
  put(w, "}", 1);
  return 0;
}

static int put_table(writer *w, frame *up) {
  frame f = {.up = up, .table = lua_topointer(w->L, -1), .depth = up ? up->depth + 1 : 1};
  for (const frame *a = up; a; a = a->up) {
    if (a->table == f.table) return fail(w, up, "a table inside itself");
  }
  if (f.depth > SL_JSON_DEPTH) return fail_kind(w, up, SL_LIMIT, "more than 128 levels");
  luaL_checkstack(w->L, 12, "JSON too deep");
  size_t count;
  shape s = table_shape(w, up, &count);
  if (s == BAD) return -1;
  if (s == OBJECT) return put_object(w, &f, count);
  f.in_array = true;
  if (s == ARRAY) return put_array(w, &f);
  put(w, "[]", 2);
  return 0;
}

static int put_value(writer *w, frame *up) {
  lua_State *L = w->L;
  size_t n;
  const char *s;
  switch (lua_type(L, -1)) {
  case LUA_TBOOLEAN:
    put_text(w, lua_toboolean(L, -1) ? "true" : "false");
    return 0;
  case LUA_TNUMBER:
    return put_number(w, up);
  case LUA_TSTRING:
    s = lua_tolstring(L, -1, &n);
    put_string(w, s, n);
    return 0;
  case LUA_TTABLE:
    return put_table(w, up);
  case LUA_TUSERDATA:
    if (!lua_rawequal(L, -1, NULL_VALUE)) return fail_type(w, up);
    put(w, "null", 4);
    return 0;
  default:
    return fail_type(w, up);
  }
}

/* json_encode(value [, {pretty=false, sort=true}]) -> text, or nil and {kind, message} */
int l_json_encode(lua_State *L) {
  luaL_checkany(L, 1);
  writer w = {.L = L};
  w.pretty = sl_opt_boolean(L, OPTIONS, "pretty", false);
  w.sort = sl_opt_boolean(L, OPTIONS, "sort", true);
  lua_settop(L, OPTIONS);
  lua_pushnil(L); /* OUTPUT */
  luaL_getmetatable(L, SL_JSON_ARRAY);
  luaL_getmetatable(L, SL_JSON_OBJECT);
  sl_json_push_null(L);
  lua_pushvalue(L, VALUE);
  if (put_value(&w, NULL) != 0) {
    lua_pushnil(L);
    sl_push_err(L, &w.err);
    return 2;
  }
  lua_pushlstring(L, w.p, w.n);
  return 1;
}
