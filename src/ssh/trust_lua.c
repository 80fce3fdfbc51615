/* What judges host keys beyond known_hosts, for Lua: host certificates, revocation lists (class
   "sshlua.krl"), digests and random art. Knows Lua and the C interfaces; decides nothing. */
#include "ssh/trust_lua.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/lx.h"
#include "ssh/host_certificate.h"
#include "ssh/known_hosts_key.h"
#include "ssh/krl.h"
#include "ssh/randomart.h"

#define KRL_CLASS "sshlua.krl"

static const unsigned char *check_bytes(lua_State *L, int idx, size_t *len) {
  luaL_checktype(L, idx, LUA_TSTRING);
  return (const unsigned char *)lua_tolstring(L, idx, len);
}

static const char *check_text(lua_State *L, int idx) {
  size_t len;
  const char *s = (const char *)check_bytes(L, idx, &len);
  if (memchr(s, '\0', len)) luaL_argerror(L, idx, "contains a NUL byte");
  return s;
}

static int push_failure(lua_State *L, const sl_err *err) {
  lua_pushnil(L);
  sl_push_err(L, err);
  return 2;
}

/* ---- host certificates ---- */

static void set_span(lua_State *L, const char *field, sl_span s) {
  lua_pushlstring(L, s.n ? (const char *)s.p : "", s.n);
  lua_setfield(L, -2, field);
}

static void set_number(lua_State *L, const char *field, uint64_t n) {
  lua_pushnumber(L, (lua_Number)n);
  lua_setfield(L, -2, field);
}

static void set_principals(lua_State *L, sl_span list) {
  sl_reader r = sl_reader_of(list.p, list.n);
  sl_span name;
  lua_newtable(L);
  for (int i = 1; sl_get_string(&r, &name); i++) {
    lua_pushlstring(L, name.n ? (const char *)name.p : "", name.n);
    lua_rawseti(L, -2, i);
  }
  lua_setfield(L, -2, "principals");
}

/* host_certificate(blob) -> {type=, key_id=, principals=, authority=, plain=, serial=, valid_after=,
   valid_before=}, or nil, err. The authority's signature has been verified. */
static int l_host_certificate(lua_State *L) {
  sl_certificate_view v;
  sl_err err;
  size_t len, plain_len = 0;
  const unsigned char *blob = check_bytes(L, 1, &len);
  if (sl_host_certificate_read(blob, len, &v, &err) != 0) return push_failure(L, &err);
  lua_newtable(L);
  lua_pushstring(L, v.type->name);
  lua_setfield(L, -2, "type");
  set_span(L, "key_id", v.key_id);
  set_span(L, "authority", v.signature_key);
  set_principals(L, v.principals);
  set_number(L, "serial", v.serial);
  set_number(L, "valid_after", v.valid_after);
  set_number(L, "valid_before", v.valid_before);
  void *room = lua_newuserdata(L, len); /* collected, should Lua run out of memory */
  unsigned char *plain = sl_certificate_plain_blob(blob, len, &plain_len);
  if (!plain || plain_len > len) {
    free(plain);
    return luaL_error(L, "not enough memory");
  }
  memcpy(room, plain, plain_len);
  free(plain);
  lua_pushlstring(L, room, plain_len);
  lua_remove(L, -2);
  lua_setfield(L, -2, "plain");
  return 1;
}

/* host_certificate_check(blob, name [, algorithms [, now]]) -> true, or nil, err */
static int l_host_certificate_check(lua_State *L) {
  sl_certificate_view v;
  sl_err err;
  size_t len;
  const unsigned char *blob = check_bytes(L, 1, &len);
  const char *name = check_text(L, 2);
  const char *algorithms = lua_isnoneornil(L, 3) ? SL_CA_ALGORITHMS : check_text(L, 3);
  lua_Number at = luaL_optnumber(L, 4, (lua_Number)time(NULL));
  luaL_argcheck(L, at >= 0 && at < 1e15, 4, "seconds since 1970 expected");
  if (sl_host_certificate_read(blob, len, &v, &err) != 0 ||
      sl_host_certificate_check(&v, name, (uint64_t)at, algorithms, &err) != 0)
    return push_failure(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- revocation ---- */

/* krl(bytes, name) -> krl, or nil, err */
static int l_krl_new(lua_State *L) {
  sl_err err;
  size_t len;
  const unsigned char *data = check_bytes(L, 1, &len);
  const char *name = check_text(L, 2);
  void **box = sl_box_new(L, KRL_CLASS);
  *box = sl_krl_parse(data, len, name, &err);
  return *box ? 1 : push_failure(L, &err);
}

static int l_krl_gc(lua_State *L) {
  void **box = luaL_checkudata(L, 1, KRL_CLASS);
  sl_krl_free(*box);
  *box = NULL;
  return 0;
}

/* krl:check(blob) -> false, or "key", "certificate", "authority"; or nil, err */
static int l_krl_check(lua_State *L) {
  static const char *const words[] = {NULL, "key", "certificate", "authority"};
  sl_err err;
  size_t len;
  const sl_krl *krl = sl_box_check(L, 1, KRL_CLASS);
  const unsigned char *blob = check_bytes(L, 2, &len);
  int rc = sl_krl_check(krl, blob, len, &err);
  if (rc < 0) return push_failure(L, &err);
  if (rc == SL_NOT_REVOKED)
    lua_pushboolean(L, 0);
  else
    lua_pushstring(L, words[rc]);
  return 1;
}

/* ---- for people ---- */

/* digest("sha1"|"sha256"|"md5", bytes) -> raw bytes */
static int l_digest(lua_State *L) {
  static const char *const names[] = {"md5", "sha1", "sha256", "sha384", "sha512", NULL};
  unsigned char md[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  size_t len;
  const char *name = names[luaL_checkoption(L, 1, NULL, names)];
  const unsigned char *data = check_bytes(L, 2, &len);
  const EVP_MD *type = EVP_get_digestbyname(name);
  if (!type || EVP_Digest(data, len, md, &n, type, NULL) != 1)
    return luaL_error(L, "libcrypto has no %s", name);
  lua_pushlstring(L, (const char *)md, n);
  return 1;
}

/* base64(bytes) -> text with padding */
static int l_base64(lua_State *L) {
  size_t len;
  const unsigned char *data = check_bytes(L, 1, &len);
  luaL_argcheck(L, len <= SL_KRL_FILE_MAX, 1, "too long");
  char *out = lua_newuserdata(L, SL_KH_BASE64_SIZE(len));
  lua_pushlstring(L, out, sl_kh_base64_encode(out, data, len));
  return 1;
}

/* randomart(digest, title, hash) -> text of eleven lines */
static int l_randomart(lua_State *L) {
  char out[SL_RANDOMART_SIZE];
  size_t len;
  const unsigned char *digest = check_bytes(L, 1, &len);
  sl_randomart(digest, len, check_text(L, 2), check_text(L, 3), out);
  lua_pushstring(L, out);
  return 1;
}

static const luaL_Reg krl_methods[] = {{"check", l_krl_check}, {NULL, NULL}};
static const luaL_Reg krl_meta[] = {{"__gc", l_krl_gc}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"host_certificate", l_host_certificate},
                                     {"host_certificate_check", l_host_certificate_check},
                                     {"krl", l_krl_new},
                                     {"digest", l_digest},
                                     {"base64", l_base64},
                                     {"randomart", l_randomart},
                                     {NULL, NULL}};

void sl_trust_open(lua_State *L) {
  sl_class(L, KRL_CLASS, krl_methods, krl_meta);
  luaL_setfuncs(L, functions, 0);
}
