/* The types of YAML's plain scalars, by YAML 1.1 as far as yaml.h says. Knows their spelling only.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/lx.h"
#include "base/yaml.h"

static bool is_one_of(const char *s, const char *const *list) {
  for (; *list; list++) {
    if (strcmp(s, *list) == 0) return true;
  }
  return false;
}

static bool is_null(const char *s) {
  static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
  return is_one_of(s, words);
}

/* 1, 0, or -1: neither */
static int to_boolean(const char *s) {
  static const char *const yes[] = {"yes",  "Yes", "YES", "true", "True",
                                    "TRUE", "on",  "On",  "ON",   NULL};
  static const char *const no[] = {"no",    "No",  "NO",  "false", "False",
                                   "FALSE", "off", "Off", "OFF",   NULL};
  return is_one_of(s, yes) ? 1 : is_one_of(s, no) ? 0 : -1;
}

/* Integers that fit; others stay text, as a long number is more likely a name. */
static bool to_integer(const char *s, int64_t *out) {
  const char *digits = s + (*s == '-' || *s == '+');
  char plain[72];
  size_t n = 0;
  int base = 10;
  if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'b' || digits[1] == 'o')) {
    base = digits[1] == 'x' ? 16 : digits[1] == 'b' ? 2 : 8;
    digits += 2;
  } else if (digits[0] == '0' && digits[1]) {
    base = 8;
  }
  if (!isxdigit((unsigned char)*digits)) return false;
  if (*s == '-') plain[n++] = '-';
  for (; *digits; digits++) {
    if (*digits == '_') continue;
    if (!isxdigit((unsigned char)*digits) || n == sizeof plain - 1) return false;
    plain[n++] = *digits;
  }
  plain[n] = 0;
  char *end;
  errno = 0;
  long long v = strtoll(plain, &end, base);
  if (*end || errno) return false;
  *out = v;
  return true;
}

static bool to_float(const char *s, double *out) {
  static const char *const inf[] = {".inf", ".Inf", ".INF", NULL};
  static const char *const nan[] = {".nan", ".NaN", ".NAN", NULL};
  const char *digits = s + (*s == '-' || *s == '+');
  if (is_one_of(digits, inf)) {
    *out = *s == '-' ? -INFINITY : INFINITY;
    return true;
  }
  if (is_one_of(s, nan)) {
    *out = NAN;
    return true;
  }
  if (strspn(digits, "0123456789.eE+-") != strlen(digits)) return false;
  const char *point = strchr(digits, '.');
  if (!point || strlen(digits) > 60) return false;
  if (!isdigit((unsigned char)digits[0]) && !isdigit((unsigned char)point[1])) return false;
  char *end;
  *out = strtod(s, &end);
  return *end == 0;
}

void sl_yaml_push_plain(lua_State *L, const char *s, size_t n) {
  int64_t i;
  double d;
  if (strlen(s) != n) {
    lua_pushlstring(L, s, n);
  } else if (is_null(s)) {
    sl_json_push_null(L);
  } else if (to_boolean(s) >= 0) {
    lua_pushboolean(L, to_boolean(s));
  } else if (to_integer(s, &i)) {
#if LUA_VERSION_NUM >= 503
    lua_pushinteger(L, (lua_Integer)i);
#else
    lua_pushnumber(L, (lua_Number)i);
#endif
  } else if (to_float(s, &d)) {
    lua_pushnumber(L, d);
  } else {
    lua_pushlstring(L, s, n);
  }
}
