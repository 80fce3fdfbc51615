/* width(s) -> columns that a line of text takes on a terminal; fit(s, columns) -> s cut to so many,
   its width. The widths of characters are the C library's, in a UTF-8 locale of our own: the
   process keeps the one it has. Knows columns; must not know what is shown, nor who shows it. */
#include "base/width.h"

#include "base/clean.h"
#include "base/lx.h"

#include <locale.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#define LOCALE_CLASS "sshlua.width_locale"

/* The locale whose widths count; (locale_t)0: there is none, and every character has one column. */
typedef struct width_locale {
  locale_t value;
  bool asked;
} width_locale;

static int l_locale_gc(lua_State *L) {
  width_locale *own = luaL_checkudata(L, 1, LOCALE_CLASS);
  if (own->value) freelocale(own->value);
  own->value = (locale_t)0;
  return 0;
}

static int columns_of(uint32_t cp) {
  int n = cp < 0x300 ? 1 : wcwidth((wchar_t)cp);
  return n < 0 ? 1 : n;
}

/* How many bytes from s on fit into `columns`; *width is what they take. */
static size_t span(const char *s, size_t n, size_t columns, size_t *width) {
  size_t at = 0, used = 0;
  while (at < n) {
    uint32_t cp = ' ';
    int len = sl_utf8_next(s + at, n - at, &cp);
    if (len <= 0) {
      len = 1;
      cp = ' ';
    }
    size_t more = (size_t)columns_of(cp);
    if (used + more > columns) break;
    used += more;
    at += (size_t)len;
  }
  *width = used;
  return at;
}

/* Made when it is first wanted: most scripts never ask. */
static locale_t locale_of(width_locale *own) {
  static const char *const names[] = {"C.UTF-8", "C.utf8", "en_US.UTF-8", "UTF-8"};
  for (size_t i = 0; i < sizeof names / sizeof *names && !own->value && !own->asked; i++)
    own->value = newlocale(LC_CTYPE_MASK, names[i], (locale_t)0);
  own->asked = true;
  return own->value;
}

static size_t span_in_locale(lua_State *L, const char *s, size_t n, size_t columns, size_t *width) {
  locale_t own = locale_of(lua_touserdata(L, lua_upvalueindex(1)));
  locale_t before = own ? uselocale(own) : (locale_t)0;
  size_t bytes = span(s, n, columns, width);
  if (before) uselocale(before);
  return bytes;
}

static int l_width(lua_State *L) {
  size_t n, width;
  const char *s = luaL_checklstring(L, 1, &n);
  span_in_locale(L, s, n, SIZE_MAX, &width);
  lua_pushinteger(L, (lua_Integer)width);
  return 1;
}

static int l_fit(lua_State *L) {
  size_t n, width;
  const char *s = luaL_checklstring(L, 1, &n);
  lua_Integer columns = luaL_checkinteger(L, 2);
  size_t bytes = span_in_locale(L, s, n, columns > 0 ? (size_t)columns : 0, &width);
  if (bytes == n)
    lua_pushvalue(L, 1);
  else
    lua_pushlstring(L, s, bytes);
  lua_pushinteger(L, (lua_Integer)width);
  return 2;
}

void sl_width_open(lua_State *L) {
  static const luaL_Reg width_functions[] = {{"width", l_width}, {"fit", l_fit}, {NULL, NULL}};
  static const luaL_Reg nothing[] = {{NULL, NULL}}, meta[] = {{"__gc", l_locale_gc}, {NULL, NULL}};
  sl_class(L, LOCALE_CLASS, nothing, meta);
  width_locale *own = lua_newuserdata(L, sizeof *own);
  *own = (width_locale){.asked = false};
  luaL_getmetatable(L, LOCALE_CLASS);
  lua_setmetatable(L, -2);
  luaL_setfuncs(L, width_functions, 1);
}
