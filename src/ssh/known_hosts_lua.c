/* known_hosts for Lua: class "sshlua.known_hosts" and the functions known_hosts, known_hosts_line,
   known_hosts_append, known_hosts_learn, known_hosts_replace, fingerprint, key_type. Knows Lua and
   the C interface; decides nothing. Keys are strings of raw bytes. Wrong arguments raise;
   everything else is `nil, err`. */
#include "ssh/known_hosts_lua.h"

#include <string.h>

#include "base/lx.h"
#include "ssh/known_hosts.h"

#define CLASS "sshlua.known_hosts"

/* ---- arguments ---- */

/* A string proper: a number in the place of a name or a key is a mistake. */
static const char *check_bytes(lua_State *L, int idx, size_t *len) {
  luaL_checktype(L, idx, LUA_TSTRING);
  return lua_tolstring(L, idx, len);
}

static const char *check_text(lua_State *L, int idx) {
  size_t len;
  const char *s = check_bytes(L, idx, &len);
  if (memchr(s, '\0', len)) luaL_argerror(L, idx, "contains a NUL byte");
  return s;
}

static const unsigned char *check_blob(lua_State *L, int idx, size_t *len) {
  return (const unsigned char *)check_bytes(L, idx, len);
}

static unsigned check_port(lua_State *L, int idx) {
  luaL_checktype(L, idx, LUA_TNUMBER);
  lua_Number n = lua_tonumber(L, idx);
  if (!(n >= 1 && n <= 65535) || n != (lua_Number)(unsigned)n)
    luaL_argerror(L, idx, "a port from 1 to 65535 expected");
  return (unsigned)n;
}

static bool check_flag(lua_State *L, int idx) {
  if (!lua_isnoneornil(L, idx)) luaL_checktype(L, idx, LUA_TBOOLEAN);
  return lua_toboolean(L, idx);
}

/* Seconds, as everywhere in Lua; 0 tries once. */
static unsigned check_wait(lua_State *L, int idx) {
  if (lua_isnoneornil(L, idx)) return SL_KH_WAIT_MS;
  luaL_checktype(L, idx, LUA_TNUMBER);
  lua_Number s = lua_tonumber(L, idx);
  if (!(s >= 0 && s <= 60)) luaL_argerror(L, idx, "seconds from 0 to 60 expected");
  return (unsigned)(s * 1000);
}

static sl_known_hosts *check_set(lua_State *L) {
  return sl_box_check(L, 1, CLASS);
}

/* ---- results ---- */

static int push_failure(lua_State *L, const sl_err *err) {
  lua_pushnil(L);
  sl_push_err(L, err);
  return 2;
}

static void set_string(lua_State *L, const char *field, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
}

static void push_line(lua_State *L, sl_kh_line l) { /* +1 */
  static const char *const markers[] = {NULL, "cert-authority", "revoked"};
  char fingerprint[SL_FINGERPRINT_SIZE];
  lua_createtable(L, 0, 6);
  set_string(L, "file", l.file);
  lua_pushinteger(L, (lua_Integer)l.line);
  lua_setfield(L, -2, "line");
  set_string(L, "type", l.type);
  lua_pushlstring(L, (const char *)l.blob, l.blob_len);
  lua_setfield(L, -2, "blob");
  if (sl_fingerprint_sha256(l.blob, l.blob_len, fingerprint) == 0)
    set_string(L, "fingerprint", fingerprint);
  if (markers[l.marker]) set_string(L, "marker", markers[l.marker]);
  lua_pushboolean(L, l.usable);
  lua_setfield(L, -2, "usable");
}

/* ---- the class ---- */

static int l_set_new(lua_State *L) {
  void **box = sl_box_new(L, CLASS);
  *box = sl_known_hosts_new();
  return *box ? 1 : luaL_error(L, "not enough memory");
}

static int l_set_gc(lua_State *L) {
  void **box = luaL_checkudata(L, 1, CLASS);
  sl_known_hosts_free(*box);
  *box = NULL;
  return 0;
}

static int l_set_add_file(lua_State *L) {
  sl_err err;
  int rc = sl_known_hosts_add_file(check_set(L), check_text(L, 2), &err);
  if (rc < 0) return push_failure(L, &err);
  lua_pushboolean(L, rc);
  return 1;
}

static int l_set_add_text(lua_State *L) {
  sl_err err;
  size_t len;
  sl_known_hosts *set = check_set(L);
  const char *text = check_bytes(L, 2, &len);
  if (sl_known_hosts_add_text(set, text, len, check_text(L, 3), &err) != 0)
    return push_failure(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_set_warnings(lua_State *L) {
  const sl_known_hosts *set = check_set(L);
  size_t n = sl_known_hosts_warnings(set);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    sl_kh_warning w = sl_known_hosts_warning(set, i);
    lua_createtable(L, 0, 3);
    set_string(L, "file", w.file);
    lua_pushinteger(L, (lua_Integer)w.line);
    lua_setfield(L, -2, "line");
    set_string(L, "message", w.message);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static int push_verdict(lua_State *L, sl_kh_verdict v, const sl_kh_line *line, const sl_err *err) {
  static const char *const words[] = {[SL_KH_UNKNOWN] = "unknown",
                                      [SL_KH_CHANGED] = "changed",
                                      [SL_KH_REVOKED] = "revoked",
                                      [SL_KH_MATCH] = "match"};
  if (v == SL_KH_ERROR) return push_failure(L, err);
  lua_pushstring(L, words[v]);
  if (v == SL_KH_UNKNOWN)
    lua_pushnil(L);
  else
    push_line(L, *line);
  return 2;
}

static int l_set_check(lua_State *L) {
  sl_err err;
  sl_kh_line line;
  size_t len;
  sl_known_hosts *set = check_set(L);
  const char *name = check_text(L, 2);
  unsigned port = check_port(L, 3);
  const unsigned char *blob = check_blob(L, 4, &len);
  sl_kh_verdict v = sl_known_hosts_check(set, name, port, blob, len, &line, &err);
  return push_verdict(L, v, &line, &err);
}

static int l_set_check_authority(lua_State *L) {
  sl_err err;
  sl_kh_line line;
  size_t len, ca_len;
  sl_known_hosts *set = check_set(L);
  const char *name = check_text(L, 2);
  unsigned port = check_port(L, 3);
  const unsigned char *cert = check_blob(L, 4, &len), *ca = check_blob(L, 5, &ca_len);
  sl_kh_verdict v =
      sl_known_hosts_check_authority(set, name, port, cert, len, ca, ca_len, &line, &err);
  return push_verdict(L, v, &line, &err);
}

static int l_set_wants_certificate(lua_State *L) {
  sl_err err;
  sl_known_hosts *set = check_set(L);
  const char *name = check_text(L, 2);
  int rc = sl_known_hosts_wants_certificate(set, name, check_port(L, 3), &err);
  if (rc < 0) return push_failure(L, &err);
  lua_pushboolean(L, rc);
  return 1;
}

static int l_set_types(lua_State *L) {
  sl_err err;
  const char *types[SL_KH_TYPES_MAX];
  sl_known_hosts *set = check_set(L);
  const char *name = check_text(L, 2);
  ptrdiff_t n = sl_known_hosts_types(set, name, check_port(L, 3), types, &err);
  if (n < 0) return push_failure(L, &err);
  lua_createtable(L, (int)n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, types[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int l_set_lookup(lua_State *L) {
  sl_err err;
  sl_known_hosts *set = check_set(L);
  const char *name = check_text(L, 2);
  ptrdiff_t n = sl_known_hosts_lookup(set, name, check_port(L, 3), &err);
  if (n < 0) return push_failure(L, &err);
  lua_createtable(L, (int)n, 0);
  for (int i = 0; i < n; i++) {
    push_line(L, sl_known_hosts_found(set, (size_t)i));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int l_set_stale(lua_State *L) {
  lua_pushboolean(L, sl_known_hosts_stale(check_set(L)));
  return 1;
}

/* ---- functions ---- */

static int l_line(lua_State *L) {
  sl_err err;
  size_t len;
  char out[SL_KH_FORMAT_SIZE];
  const char *name = check_text(L, 1);
  unsigned port = check_port(L, 2);
  const unsigned char *blob = check_blob(L, 3, &len);
  if (sl_known_hosts_format(name, port, blob, len, check_flag(L, 4), out, &err) != 0)
    return push_failure(L, &err);
  lua_pushstring(L, out);
  return 1;
}

/* true and whether it was written just now */
static int push_written(lua_State *L, int rc, const sl_err *err) {
  if (rc < 0) return push_failure(L, err);
  lua_pushboolean(L, 1);
  lua_pushboolean(L, rc);
  return 2;
}

static int l_append(lua_State *L) {
  sl_err err;
  const char *path = check_text(L, 1), *line = check_text(L, 2);
  int rc = sl_known_hosts_append(path, line, check_wait(L, 3), &err);
  return push_written(L, rc, &err);
}

static int l_learn(lua_State *L) {
  sl_err err;
  size_t len;
  const char *path = check_text(L, 1), *name = check_text(L, 2);
  unsigned port = check_port(L, 3);
  const unsigned char *blob = check_blob(L, 4, &len);
  bool hashed = check_flag(L, 5);
  int rc = sl_known_hosts_learn(NULL, path, name, port, blob, len, hashed, check_wait(L, 6), &err);
  return push_written(L, rc, &err);
}

static int l_set_learn(lua_State *L) {
  sl_err err;
  size_t len;
  sl_known_hosts *set = check_set(L);
  const char *path = check_text(L, 2), *name = check_text(L, 3);
  unsigned port = check_port(L, 4);
  const unsigned char *blob = check_blob(L, 5, &len);
  bool hashed = check_flag(L, 6);
  int rc = sl_known_hosts_learn(set, path, name, port, blob, len, hashed, check_wait(L, 7), &err);
  return push_written(L, rc, &err);
}

static int l_replace(lua_State *L) {
  sl_err err;
  size_t old_len, len;
  const char *path = check_text(L, 1), *old = check_bytes(L, 2, &old_len);
  const char *text = check_bytes(L, 3, &len);
  int rc = sl_known_hosts_replace(path, old, old_len, text, len, check_wait(L, 4), &err);
  return push_written(L, rc, &err);
}

static int l_fingerprint(lua_State *L) {
  size_t len;
  char out[SL_FINGERPRINT_SIZE];
  const unsigned char *blob = check_blob(L, 1, &len);
  if (sl_fingerprint_sha256(blob, len, out) != 0) return luaL_error(L, "libcrypto has no SHA-256");
  lua_pushstring(L, out);
  return 1;
}

static int l_key_type(lua_State *L) {
  size_t len, type_len = 0;
  const unsigned char *blob = check_blob(L, 1, &len);
  const char *type = sl_kh_key_type(blob, len, &type_len);
  if (type)
    lua_pushlstring(L, type, type_len);
  else
    lua_pushnil(L);
  return 1;
}

static const luaL_Reg methods[] = {
    {"add_file", l_set_add_file},
    {"add_text", l_set_add_text},
    {"warnings", l_set_warnings},
    {"check", l_set_check},
    {"types", l_set_types},
    {"lookup", l_set_lookup},
    {"stale", l_set_stale},
    {"learn", l_set_learn},
    {"check_authority", l_set_check_authority},
    {"wants_certificate", l_set_wants_certificate},
    {NULL, NULL},
};

static const luaL_Reg meta[] = {{"__gc", l_set_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"known_hosts", l_set_new},         {"known_hosts_line", l_line},
    {"known_hosts_append", l_append},   {"known_hosts_learn", l_learn},
    {"known_hosts_replace", l_replace}, {"fingerprint", l_fingerprint},
    {"key_type", l_key_type},           {NULL, NULL},
};

void sl_known_hosts_open(lua_State *L) {
  sl_class(L, CLASS, methods, meta);
  luaL_setfuncs(L, functions, 0);
}
