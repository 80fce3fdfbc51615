/* The server's key and what was agreed on with it. Whether the key is right is decided in Lua. */
#include <string.h>

#include "ssh/session.h"

#ifdef SL_LIBSSH2_STATIC
#include "libssh2_priv.h"
#endif

/* session:host_key() -> blob (RFC 4253 6.6); nil before the handshake. */
static int l_host_key(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  size_t len = 0;
  int type = 0;
  const char *blob = s->keyed ? libssh2_session_hostkey(s->engine.raw, &len, &type) : NULL;
  if (blob)
    lua_pushlstring(L, blob, len);
  else
    lua_pushnil(L);
  return 1;
}

static const struct {
  const char *field;
  int method;
} agreed[] = {{"kex", LIBSSH2_METHOD_KEX},           {"host_key", LIBSSH2_METHOD_HOSTKEY},
              {"cipher_out", LIBSSH2_METHOD_CRYPT_CS}, {"cipher_in", LIBSSH2_METHOD_CRYPT_SC},
              {"mac_out", LIBSSH2_METHOD_MAC_CS},      {"mac_in", LIBSSH2_METHOD_MAC_SC},
              {"compression", LIBSSH2_METHOD_COMP_CS}};

/* session:algorithms() -> {kex=, host_key=, cipher_out=, cipher_in=, mac_out=, mac_in=, compression=, strict_kex=}; strict_kex (OpenSSH
   PROTOCOL 1.9) is nil where libssh2 does not tell. */
static int l_algorithms(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  lua_newtable(L);
  if (!s->keyed) return 1;
  for (size_t i = 0; i < sizeof agreed / sizeof *agreed; i++) {
    lua_pushstring(L, libssh2_session_methods(s->engine.raw, agreed[i].method));
    lua_setfield(L, -2, agreed[i].field);
  }
#ifdef SL_LIBSSH2_STATIC
  lua_pushboolean(L, s->engine.raw->kex_strict);
  lua_setfield(L, -2, "strict_kex");
#endif
  return 1;
}

/* session:offered() -> the server's lists of RFC 4253 7.1, or nil when they were not seen. */
static int l_offered(lua_State *L) {
  static const char *const fields[] = {"kex", "host_key", "cipher_out", "cipher_in",
                                       "mac_out", "mac_in", "compression"};
  sl_session *s = sl_session_check(L, 1);
  if (!s->kexinit || s->kexinit_len < 17) {
    lua_pushnil(L);
    return 1;
  }
  sl_reader r = sl_reader_of(s->kexinit + 17, s->kexinit_len - 17); /* type and cookie */
  lua_newtable(L);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    sl_span list;
    if (!sl_get_string(&r, &list)) break;
    lua_pushlstring(L, (const char *)list.p, list.n);
    lua_setfield(L, -2, fields[i]);
  }
  return 1;
}

static const luaL_Reg hostkey_verbs[] = {
    {"host_key", l_host_key}, {"algorithms", l_algorithms}, {"offered", l_offered}, {NULL, NULL}};

const luaL_Reg *sl_hostkey_verbs(void) { return hostkey_verbs; }
